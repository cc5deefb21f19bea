"""Words of the command line, or a program, go in; what a process of its own said comes out, forked from one that has loaded everything already.

A command spends two to four seconds of processor time on importing torch before it does anything. What is tested with it is what a person
meets: exit status, streams, files; tests of what is imported, of signals and of terminals start their own. So do programs that fork, die or
are killed: what happens to them then needs no import either.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PROGRAM = """
import atexit, gc, json, os, sys, traceback
import torch
import vjepa_fer.encoder, vjepa_fer.extract, vjepa_fer.report, vjepa_fer.sweep, vjepa_fer.video
from vjepa_fer.cli.main import main
gc.freeze()  # what is collected is written to, and what is written to is copied
for line in sys.stdin:
    asked = json.loads(line)
    if "reap" in asked:
        print(os.waitstatus_to_exitcode(os.waitpid(asked["reap"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child == 0:
        os.chdir(asked["cwd"])
        os.environ.update(asked["env"])
        for number, place in enumerate((os.devnull, asked["out"], asked["err"])):
            os.dup2(os.open(place, os.O_RDONLY if number == 0 else os.O_WRONLY), number)
        sys.argv = ["vjepa-fer", *asked["words"]]
        break
    if asked["wait"]:
        child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(child, flush=True)
else:
    sys.exit()
try:
    if asked["code"]:
        exec(compile(asked["code"], "forked", "exec"), {"__name__": "__main__"})
    status = 0 if asked["code"] else main() or 0
except SystemExit as ended:
    status = ended.code or 0
except BaseException:
    traceback.print_exc()
    status = 1
atexit._run_exitfuncs()
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)  # taking torch apart takes as long as most commands
"""


@cache
def _server() -> subprocess.Popen:
    """One for each process of the tests, from the first command on; it ends when its input does."""
    command = [sys.executable, "-P", "-c", PROGRAM]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run_forked(
    *words: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """``vjepa-fer WORDS`` in a folder, with some variables of the environment set, to its end."""
    command = [str(word) for word in words]
    if not hasattr(os, "fork"):
        whole = [sys.executable, "-m", "vjepa_fer.cli", *command]
        own = {**os.environ, **(env or {})}
        return subprocess.run(whole, cwd=cwd, env=own, capture_output=True, text=True, check=False)
    return _forked(command, "", cwd, env)


def run_code(code: str, *words: object) -> subprocess.CompletedProcess:
    """``python -c CODE WORDS`` in a process that need import nothing of ours, to its end; POSIX."""
    return _forked([str(word) for word in words], code)


class Started:
    """The same, begun: its number, and what it says as it says it, in `out`."""

    def __init__(self, code: str, *words: object) -> None:
        with tempfile.TemporaryDirectory() as folder:
            pipe = os.path.join(folder, "out")
            os.mkfifo(pipe)
            asked = _asked([str(word) for word in words], code, out=pipe, err=os.devnull, wait=False)
            self.pid = _answer(asked)
            self.out = open(pipe, encoding="utf-8")  # noqa: SIM115 - closed by end()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> str:
        """What it has still said when it is no more; somebody else's child, it is buried by its parent."""
        with self.out:
            rest = self.out.read()
        _answer({"reap": self.pid})
        return rest


def _forked(
    command: list[str], code: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        status = _answer(_asked(command, code, cwd, env, out=out.name, err=err.name, wait=True))
        return subprocess.CompletedProcess(command, status, out.read().decode(), err.read().decode())


def _asked(
    command: list[str],
    code: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    **streams: object,
) -> dict[str, object]:
    return {"words": command, "code": code, "cwd": str(cwd or Path.cwd()), "env": dict(env or {}), **streams}


def _answer(asked: dict[str, object]) -> int:
    """The exit status, or of a process that nobody waits for its number."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(asked) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())
