"""Words of the command line go in; what a process of its own said comes out, forked from one that has loaded everything already.

A command spends two to four seconds of processor time on importing torch before it does anything. What is tested with it is what a person
meets: exit status, streams, files; tests of what is imported, of signals and of terminals start their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PROGRAM = """
import atexit, gc, json, os, sys
import torch
import vjepa_fer.encoder, vjepa_fer.extract, vjepa_fer.report, vjepa_fer.sweep, vjepa_fer.video
from vjepa_fer.cli.main import main
gc.freeze()  # what is collected is written to, and what is written to is copied
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(asked["cwd"])
        os.environ.update(asked["env"])
        for number, place in enumerate((os.devnull, asked["out"], asked["err"])):
            os.dup2(os.open(place, os.O_RDONLY if number == 0 else os.O_WRONLY), number)
        sys.argv = ["vjepa-fer", *asked["words"]]
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
try:
    status = main() or 0
except SystemExit as ended:
    status = ended.code or 0
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
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        asked = {
            "words": command,
            "cwd": str(cwd or Path.cwd()),
            "env": dict(env or {}),
            "out": out.name,
            "err": err.name,
        }
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(command, status, out.read().decode(), err.read().decode())
