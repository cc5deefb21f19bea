"""What a work reads and where it writes go in; what a machine lacks of it comes out, before any of the work begins there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vjepa_fer import __version__
from vjepa_fer.disk import partial_path

MOST_LOOKED_FOR = 100
"""Paths that every machine is asked for: of more, as many spread evenly."""

MOST_NAMED = 3

Look = Callable[[], list[str]]


@dataclass(frozen=True)
class Needs:
    """What every machine must have.

    Attributes
    ----------
    reads : tuple of str
        Absolute paths of what is read, as far as it is there on this machine.
    shares : Path
        The folder that all write to together; it may not be there yet.
    """

    reads: tuple[str, ...]
    shares: Path

    @classmethod
    def of(cls, files: Iterable[str | Path], many: Iterable[str], shares: Path) -> Needs:
        """Of all `files`, and of `many` others at most :data:`MOST_LOOKED_FOR`, those that are there."""
        others = list(many)
        chosen = others[:: -(-len(others) // MOST_LOOKED_FOR) or 1]
        paths = dict.fromkeys(os.path.abspath(path) for path in [*files, *chosen])
        return cls(tuple(path for path in paths if os.path.exists(path)), shares.absolute())

    @contextmanager
    def look(self) -> Iterator[Look]:
        """Yield a function that says, on whatever machine it is called, what is missing there.

        It brings its own code, for there may be no vjepa-fer at all. While it may be called, a file lies where the shared folder is, or
        will be: a machine that does not see it has another disk there.
        """
        mark = partial_path(_existing(self.shares) / "engine")
        try:
            mark.touch()
        except OSError:  # who writes there says so
            mark = _existing(self.shares)
        try:
            yield _bound(__version__, list(self.reads), str(self.shares), str(mark), MOST_NAMED)
        finally:
            if mark.is_file():
                mark.unlink(missing_ok=True)


def _existing(path: Path) -> Path:
    return path if path.is_dir() else _existing(path.parent)


def _bound(version: str, reads: list[str], shares: str, mark: str, most_named: int) -> Look:
    """A function made here goes to another machine by its code; one of a module would go by its name."""

    def look() -> list[str]:
        import os
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as version_of

        try:
            there = version_of("vjepa-fer")
        except PackageNotFoundError:
            return [f"has no vjepa-fer: pip install vjepa-fer=={version}"]
        if there != version:
            return [f"has vjepa-fer {there}, this machine has {version}: install the same one"]
        unseen = [path for path in reads if not os.path.exists(path)]
        missing = [f"does not see {', '.join(unseen[:most_named])}" + (" …" if len(unseen) > most_named else "")]
        missing = missing if unseen else []
        if not os.path.exists(mark):
            missing.append(f"has another disk than this machine at {shares}: all must write to one folder")
        return missing

    return look
