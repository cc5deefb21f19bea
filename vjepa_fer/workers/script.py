"""The script that a user runs goes in; in a child it is read once more, without the part for ``__main__``, so that its functions are there.

This is what :mod:`multiprocessing` does where it spawns, with the same name for the module.
"""

from __future__ import annotations

import runpy
import sys
import types
from dataclasses import dataclass

from vjepa_fer.errors import VjepaFerError

_NAME = "__mp_main__"
_reading = False


@dataclass(frozen=True)
class Script:
    """How to run it: by the name of its module or by its path, with its arguments."""

    name: str
    is_module: bool
    arguments: tuple[str, ...]


def this_script() -> Script | None:
    """The script that this process runs; None if it is no file that could be run twice (a session, a package's ``__main__``)."""
    main = sys.modules["__main__"]
    sys.modules.setdefault(_NAME, main)  # what a child defines comes home under that name
    spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None and not spec.name.endswith("__main__"):
        return Script(spec.name, True, tuple(sys.argv))
    return None if spec is not None or path is None else Script(path, False, tuple(sys.argv))


def read_script(script: Script) -> None:
    """Make its functions those of ``__main__`` in this process."""
    global _reading
    sys.argv[:] = script.arguments
    _reading = True
    try:
        run = runpy.run_module if script.is_module else runpy.run_path
        names = run(script.name, run_name=_NAME)
    finally:
        _reading = False
    module = types.ModuleType(_NAME)
    module.__dict__.update(names)
    sys.modules["__main__"] = sys.modules[_NAME] = module


def refuse_unguarded() -> None:
    """Raise :class:`VjepaFerError` where a script that is only being read starts processes again."""
    if _reading:
        raise VjepaFerError("a script that works with several processes must do so under `if __name__ == '__main__':`")
