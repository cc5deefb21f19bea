"""A command goes in, as typed; how it ended comes out. For ``fuzz_inputs.py``."""

from __future__ import annotations

import signal
import sys
import traceback
from pathlib import Path

MOST_SECONDS = 30
"""Of CPU, so that a busy machine finds no hang; for one command."""


def command_line(words: list[str]) -> str:
    """Run a command as typed; "done", "refused", or a fault."""
    from vjepa_fer.cli import main as program
    from vjepa_fer.errors import VjepaFerError

    sys.argv = ["vjepa-fer", *words]
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)  # what changed the input may have taken time of its own
    try:
        if words[0] == "FITTED":
            from vjepa_fer.evaluation import read_fitted

            read_fitted(Path(words[1]) / "fitted")
        elif words[0] == "HASH":
            from vjepa_fer.encoder.files.hashes import known_sha256

            known_sha256(words[1])
        elif words[0] == "RECORD":
            from vjepa_fer.encoder.files.records import read_record

            read_record(Path(words[1]))
        else:
            program.main()
    except SystemExit as end:
        return "done" if end.code in (None, 0, 4) else "refused"  # 4: done, but for some clips
    except VjepaFerError:
        return "refused"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"FAULT {type(error).__name__}: {str(error)[:200]} ({Path(last.filename).name}:{last.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "done"


def run(line: str) -> None:
    """A command that must work."""
    end = command_line(line.split())
    if end != "done":
        raise SystemExit(f"`vjepa-fer {line}`: {end}")
