"""What is asked of stage 2, as one frozen value: it is kept with every run, and its fingerprint tells whether two ask the same.

An experiment covers what may change a figure (features, labels, clips, folds, cells, choice, seeds, statistics). It does not cover
what must not: the number of processes, where results are kept, how they are shown.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vjepa_fer.doors import canonical_json, not_one_of
from vjepa_fer.errors import ExperimentError
from vjepa_fer.experiment.params import check_decision, resolve
from vjepa_fer.experiment.protocol import DRAWN_FOLDS, Cell, Protocol, Statistics

FUSIONS = ("early", "late", "stacked")
"""What becomes of streams; or one alone, ``only:NAME``."""

FRAMES = "frames"
"""What streams can be aligned at, ``frames`` or ``frames:SECONDS``."""
MOST_REPEATS = 1000
EXCLUDE = (None, "damaged")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One question to stage 2.

    Attributes
    ----------
    cache : str
        The cache folder; "" where it is said elsewhere, as by a shipped experiment.
    streams : mapping of str to str
        In place of `cache`, two or more caches by the name of their stream: clips that all have, features side by side.
    fusion : {"early", "late", "stacked"}, or "only:NAME"
        One probe sees all streams' features; or one probe a stream, and their probabilities are averaged, or weighed by a classifier that was
        fitted on inner folds; or one stream alone, on the clips that all have.
    align : str
        "frames" or "frames:SECONDS", for early fusion: moments of the streams are brought together by time, within half a step of the slower
        stream or so many seconds; "" joins vectors of whole clips.
    labels, ties : str
        What counts as right; see :func:`vjepa_fer.evaluation.make_reference`.
    cells : tuple of Cell
        What is fitted; where there are several, `protocol` says whether one is chosen among them, and how.
    protocol : Protocol
        Folds, seed, choice, leaks, groups, exclusions.
    statistics : Statistics
        How intervals are made.
    test_on : str
        A second cache: all of the first is trained on, all of this one is tested. Folds then have no part in it.
    policies : tuple of str
        With `test_on`, what becomes of classes that one side lacks; names of :data:`vjepa_fer.judging.POLICIES`.
    label_names : mapping of str to str
        With `test_on`, names that unite the two sides' labels, before the built-in ones.
    refit : bool
        Fit the best cell once on all clips and keep it, for new videos.

    Raises
    ------
    ExperimentError
        Values that contradict each other, or that no probe could be given; the field is named.
    """

    cache: str = ""
    streams: Mapping[str, str] = field(default_factory=dict)
    fusion: str = "early"
    align: str = ""
    labels: str = "intended"
    ties: str = "skip"
    cells: tuple[Cell, ...] = (Cell(),)
    protocol: Protocol = field(default_factory=Protocol)
    statistics: Statistics = field(default_factory=Statistics)
    test_on: str = ""
    policies: tuple[str, ...] = ("strict",)
    label_names: Mapping[str, str] = field(default_factory=dict)
    refit: bool = False

    def __post_init__(self) -> None:
        _check_sources(self)
        _check_cells(self.cells)
        _check_protocol(self.protocol, self.statistics)
        _check_repeats(self)
        _check_texts(self.to_dict())

    @property
    def resolved(self) -> Experiment:
        """The same with every parameter of every cell written out.

        Raises
        ------
        ProbeError
            A cell's probe, parameter or decision does not exist, or the probe cannot be put under the decision.
        ExperimentError
            Two cells are one.
        """
        cells = tuple(map(resolve, self.cells))
        for cell in cells:
            check_decision(cell)
        for number, cell in enumerate(cells):
            if cell in cells[:number]:
                raise ExperimentError(f"cells[{number}] is cells[{cells.index(cell)}] again: leave one out")
        return dataclasses.replace(self, cells=cells)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what is asked, whatever its spelling; where the caches lie has no part in it: their own fingerprints say which."""
        asked = self.resolved.to_dict()
        asked |= {"streams": list(self.streams), "test_on": bool(self.test_on)}
        asked = {name: value for name, value in asked.items() if name not in ("cache", "refit")}
        return hashlib.sha256(canonical_json(asked).encode()).hexdigest()

    @property
    def tolerance(self) -> float | None:
        """How far aligned moments may be apart, in seconds; None for half a step of the slower stream."""
        said = self.align.partition(":")[2]
        return float(said) if said else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, every field; `align` where it is said."""
        own = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        if not self.align:  # as experiments were written before there was such a thing
            del own["align"]
        own |= dataclasses.asdict(own.pop("protocol")) | {"statistics": dataclasses.asdict(self.statistics)}
        own |= {"streams": dict(self.streams), "label_names": dict(self.label_names), "by": list(self.protocol.by)}
        own |= {"cells": [_plain(cell.to_dict()) for cell in self.cells], "policies": list(self.policies)}
        return own


def _plain(cell: dict[str, Any]) -> dict[str, Any]:
    params = {name: list(value) if isinstance(value, tuple) else value for name, value in cell["params"].items()}
    return {**cell, "params": params}


def _check_sources(asked: Experiment) -> None:
    if asked.cache and asked.streams:
        raise ExperimentError(
            f"cache = {asked.cache!r} and streams = {', '.join(asked.streams)}: expected one of the two"
        )
    if len(asked.streams) == 1:
        raise ExperimentError(f"streams has {next(iter(asked.streams))!r} alone: expected two or more, or cache")
    known = (*FUSIONS, *(f"only:{name}" for name in asked.streams))
    if not asked.streams and asked.fusion.startswith("only:"):
        known = (asked.fusion,)
    if asked.fusion not in known:
        raise ExperimentError(not_one_of("fusion", asked.fusion, known))
    if asked.fusion != "early" and not asked.streams:
        raise ExperimentError(f"fusion = {asked.fusion!r} is for two or more streams; leave it out, or give streams")
    _check_align(asked)
    if asked.streams and (asked.test_on or asked.labels != "intended"):
        raise ExperimentError("streams go without test_on and labels; leave those out")
    if asked.test_on and asked.labels != "intended":
        raise ExperimentError(f"test_on compares intended labels; leave labels = {asked.labels!r} out")
    if asked.refit and (asked.test_on or asked.streams):
        raise ExperimentError("refit goes without test_on and streams; leave it out")


def _check_align(asked: Experiment) -> None:
    if asked.align and (asked.fusion != "early" or not asked.streams):
        raise ExperimentError(
            f"align = {asked.align!r} brings moments of streams together before a probe sees them: expected streams, and fusion = 'early'"
        )
    level, colon, said = asked.align.partition(":")
    if level not in ("", FRAMES):
        raise ExperimentError(not_one_of("align", asked.align, (FRAMES,), listed="frames, or frames:SECONDS"))
    try:
        fine = not colon or 0 <= float(said) < math.inf
    except ValueError:
        fine = False
    if not fine:
        raise ExperimentError(f"align = {asked.align!r}: expected frames, or frames:SECONDS such as frames:0.02")


def _check_cells(cells: tuple[Cell, ...]) -> None:
    if not cells:
        raise ExperimentError("cells is empty: expected at least one cell")
    for number, cell in enumerate(cells):
        for name, value in cell.params.items():
            if not _is_value(value):
                raise ExperimentError(
                    f"cells[{number}].params.{name} = {value!r}: expected a finite number, a word, true, false, none, or a list of these"
                )


def _check_protocol(protocol: Protocol, statistics: Statistics) -> None:
    expected = {
        "seed": (protocol.seed, protocol.seed >= 0, "0 or more"),
        "inner_folds": (protocol.inner_folds, protocol.inner_folds >= 2, "2 or more"),
        "exclude": (protocol.exclude, protocol.exclude in EXCLUDE, "'damaged', or nothing"),
        "repeats": (protocol.repeats, 1 <= protocol.repeats <= MOST_REPEATS, f"1 to {MOST_REPEATS:,}"),
        "statistics.confidence": (statistics.confidence, 0 < statistics.confidence < 1, "between 0 and 1"),
    }
    for name, (value, fine, words) in expected.items():
        if not fine:
            raise ExperimentError(f"{name} = {value!r}: expected {words}")


def _check_repeats(asked: Experiment) -> None:
    """Folds that no seed draws would be the same every time."""
    repeats, folds = asked.protocol.repeats, asked.protocol.folds
    if repeats > 1 and asked.test_on:
        raise ExperimentError(f"repeats = {repeats} draws folds anew, and test_on has none; leave one of them out")
    if repeats > 1 and folds.partition(":")[0] != DRAWN_FOLDS:
        raise ExperimentError(
            f"repeats = {repeats} draws folds anew, and folds = {folds!r} are always the same; "
            f"expected folds = '{DRAWN_FOLDS}:5', say, or one repeat"
        )


def _check_texts(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        try:
            canonical_json(value).encode()
        except ValueError as error:
            raise ExperimentError(f"{name} = {value!r}: holds half a letter ({error}); expected Unicode") from error


def _is_value(value: Any, *, inside: bool = False) -> bool:
    """What a parameter can be; a text that reads as a number or as ``none`` would come back as one."""
    from vjepa_fer.experiment.grid import parse_value

    if isinstance(value, tuple):
        return not inside and all(_is_value(one, inside=True) for one in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return isinstance(parse_value(value), str) and value.strip() == value
    return value is None or isinstance(value, bool | int)
