"""A folder of runs goes in; which work on an experiment is this process's comes out, and what others did: several fill the folder together.

::

    runs/first/unfinished/         there while an experiment is at work, and after one that was stopped
      experiment.json      which: another is refused, field by field, while a process is at this one
      claims/              who is at what; see vjepa_fer.claims
      answers/KEY.npz      what a fit decided

A fit goes to whoever claims it. Its answer appears whole, and is the same whoever fitted it: one that stood still for so long that
another took its work over writes what is there already. Whoever goes last, with everything done, takes the folder away.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vjepa_fer.cache.description import library_versions
from vjepa_fer.claims import CLAIMS, MOST_DEATHS, Claims
from vjepa_fer.disk import make_own_folder, partial_path, remove_files, write_durably
from vjepa_fer.doors import TooLargeError, canonical_json, parse_object, read_bytes
from vjepa_fer.errors import RunError, VjepaFerError
from vjepa_fer.experiment import LARGEST_EXPERIMENT, Experiment, plan_title
from vjepa_fer.manifest import abridged
from vjepa_fer.runs import digest_of_clips
from vjepa_fer.sweep.source import Source

UNFINISHED = "unfinished"
EXPERIMENT_JSON, ANSWERS = "experiment.json", "answers"
POLL_SECONDS = 0.5
DOOR_SECONDS = 0.02

_DOOR = "coming and going"  # no key: those are hexadecimal
_ANSWER = re.compile(r"[0-9a-f]{64}\.npz|\..*\.partial")
_ADVICE = "remove the folder it is in, and what was not finished there with it"

Tell = Callable[[str], None]


def facts_of(source: Source, asked: Experiment) -> dict[str, Any]:
    """What two processes must have in common to do one experiment, as plain values: what is asked, of which features, with which libraries."""
    facts = asked.to_dict() | {"streams": list(asked.streams), "test_on": bool(asked.test_on)}
    facts["cells"] = [plan_title(cell) for cell in asked.cells]
    columns = ([getattr(clip, name) for clip in source.clips] for name in ("clip_id", "label", "subject"))
    facts |= {"fingerprint": source.fingerprint, "clips": digest_of_clips(*columns)}
    return {name: value for name, value in facts.items() if name not in ("cache", "refit")} | libraries()


def libraries() -> dict[str, str]:
    """Versions of what a fit's numbers come from; processes that share one have the same."""
    versions = library_versions("vjepa-fer", "numpy", "scikit-learn", "lightgbm")
    return {f"version of {name}": version for name, version in versions.items() if name != "python"}


class Shared:
    """The work on one experiment, divided among all processes that have the same `out`. A context manager.

    Nothing is on the disk before something is to be done. Attribute `deadly` holds the keys that were not given out because several
    processes died of what they stand for.

    Parameters
    ----------
    out : Path or None
        Folder of the runs. None: nobody else is there, and nothing is kept.
    facts : mapping
        Of :func:`facts_of`.
    tell : callable
        Gets a line for people.
    """

    def __init__(self, out: Path | None, facts: Mapping[str, Any], *, tell: Tell = lambda line: None) -> None:
        self.out, self._facts, self._tell = out, json.loads(canonical_json(dict(facts))), tell
        self._root = Path() if out is None else out / UNFINISHED
        self._says = hashlib.sha256(canonical_json(self._facts).encode()).hexdigest()
        self._claims: Claims | None = None
        self.deadly: set[str] = set()
        self._lock = threading.Lock()
        self._has_told = False

    @property
    def is_alone(self) -> bool:
        """Whether there is no folder, and so nobody to share with."""
        return self.out is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if (claims := self._claims) is None:
            return
        try:
            self._leave(claims, is_done=kind is None or not self.answered())
        finally:
            claims.__exit__()
        for folder in (self._root / CLAIMS, self._root):
            with suppress(OSError):  # others are there, or what a stopped experiment left
                folder.rmdir()

    def begin(self) -> None:
        """Join those who are at this experiment, or be the first; again, after the others took this process for dead and went.

        Raises
        ------
        RunError
            A live process is at another experiment in this folder: the fields that differ are named, both values each.
        """
        if self.out is None or (self._claims is not None and self._is_there()):
            return
        with _explained(self.out):
            make_own_folder(self._root)
            self._claims = self._claims or Claims(self._root).__enter__()
            with self._door(self._claims):
                self._join(self._claims)
                make_own_folder(self._root / ANSWERS)

    def ours(self, key: str) -> bool:
        """Whether to do, now and here, what `key` stands for; False when a live process is at it, or has answered it.

        Also when everything was done while this process stood still: what for is to be looked up then. Any thread may ask.
        """
        if self.is_alone:
            return True
        assert self._claims is not None, "begin() comes first"
        with self._lock, _explained(self._root):
            if not self._is_there() or not self._claims.take(key):
                return False
            if self.path(key).exists():  # looked at last: whoever had it may have answered and be gone
                self._claims.give_up(key)
                return False
            if self._claims.deaths(key) >= MOST_DEATHS:
                self.deadly.add(key)
                return False
            return True

    def begins(self, key: str) -> bool:
        """:meth:`ours`, and if so this process does it by itself, at once: should it die until :meth:`keep`, it died of it."""
        is_ours = self.ours(key)
        if is_ours and self._claims is not None:
            self._claims.begin(key)
        return is_ours

    def keep(self, key: str, data: bytes) -> None:
        """Leave an answer for others, and for whoever goes on after a stop. It appears whole; a power cut may cost it."""
        if self._claims is not None:
            self._claims.end(key)
        if self.is_alone or self.path(key).exists():
            return
        partial = partial_path(self.path(key))
        with _explained(self._root), suppress(FileNotFoundError):  # the others took us for dead, did it, and went
            try:
                partial.write_bytes(data)
                os.replace(partial, self.path(key))
            finally:
                partial.unlink(missing_ok=True)

    def path(self, key: str) -> Path:
        """Where an answer is."""
        return self._root / ANSWERS / f"{key}.npz"

    def answered(self) -> frozenset[str]:
        """Keys of all answers that are there."""
        try:
            names = os.listdir(self._root / ANSWERS) if self._claims else []
        except FileNotFoundError:
            names = []
        return frozenset(name.removesuffix(".npz") for name in names)

    def forget(self, key: str) -> None:
        """Take an answer away that cannot be used."""
        self.path(key).unlink(missing_ok=True)

    def wait(self, num_left: int) -> None:
        """Wait a moment for what others are at; the first time, it is said how much that is."""
        if not self._has_told:
            self._tell(f"waiting for {num_left:,} fits that other processes are at")
            self._has_told = True
        time.sleep(POLL_SECONDS)

    def alone_at(self, key: str, is_done: Callable[[], bool]) -> bool:
        """Whether to do what `key` stands for, after waiting for whoever is at it; False once it is done."""
        while not is_done():
            self.begin()
            if self.ours(key):
                return not is_done()
            self.wait(1)
        return False

    def _join(self, claims: Claims) -> None:
        """Say which experiment it is, unless others are at another one; nobody else comes or goes meanwhile."""
        marker = self._root / EXPERIMENT_JSON
        there = _read_facts(marker)
        said = hashlib.sha256(canonical_json(there).encode()).hexdigest()
        if said != self._says and said in claims.heard().values():
            claims.__exit__()
            self._claims = None
            raise RunError(
                f"{self.out} holds another run, which a process is at:",
                *_differences(there, self._facts),
                "Choose another --out, or wait until it is done.",
            )
        claims.say(self._says)
        if said != self._says:
            write_durably(marker, canonical_json(self._facts))

    def _leave(self, claims: Claims, *, is_done: bool) -> None:
        """Be no longer at the experiment; the last one takes away what was for the others, if nothing is left to do."""
        with _explained(self._root), self._door(claims):
            if is_done and not any(claims.heard().values()):
                self._clear(claims)
            claims.say("")

    def _is_there(self) -> bool:
        return (self._root / ANSWERS).is_dir()

    def _clear(self, claims: Claims) -> None:
        claims.sweep()
        answers = self._root / ANSWERS
        if answers.is_dir():
            remove_files(answers, _ANSWER)
            with suppress(OSError):  # somebody's own files
                answers.rmdir()
        (self._root / EXPERIMENT_JSON).unlink(missing_ok=True)

    @contextmanager
    def _door(self, claims: Claims) -> Iterator[None]:
        """One process at a time."""
        while not claims.take(_DOOR):
            time.sleep(DOOR_SECONDS)
        try:
            yield
        finally:
            claims.give_up(_DOOR)


def _read_facts(marker: Path) -> dict[str, Any]:
    try:
        data = read_bytes(marker, at_most=LARGEST_EXPERIMENT, follow=False)
    except FileNotFoundError:
        return {}
    except (OSError, TooLargeError) as error:
        raise RunError(f"{marker}: cannot be read ({error}); {_ADVICE}") from error
    return dict(parse_object(data, str(marker), error=RunError, advice=_ADVICE).values)


def _differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """A line a field that differs; of lists, what one side alone has."""
    names = [name for name in {**there, **asked} if there.get(name) != asked.get(name)]
    return [f"  {name}: {_said(there, asked, name)} there, {_said(asked, there, name)} asked for" for name in names]


def _said(own: Mapping[str, Any], other: Mapping[str, Any], name: str) -> str:
    mine, theirs = own.get(name), other.get(name)
    if not (isinstance(mine, list) and isinstance(theirs, list)):
        return repr(mine)
    only = [str(one) for one in mine if one not in theirs]
    return f"also {abridged(only)}" if only else "nothing else"


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, VjepaFerError):
            raise
        raise RunError(f"{folder}: cannot be written ({error}); choose another --out") from error
