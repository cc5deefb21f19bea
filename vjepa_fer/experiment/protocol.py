"""The plan of an evaluation as values: what is fitted on what, and how it is judged. Every default of the commands is here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vjepa_fer.doors import Given

DRAWN_FOLDS = "subject-kfold"
"""The folds that a seed draws; all others are what they are."""

PLAN_WORDS = ("probe", "params", "features", "scale", "decision", "inner_folds", "cells")
"""The words of a plan: what a sweep varies. All other settings must be equal for two runs to be of one sweep."""

MEAN_FEATURE = "mean-feature"
"""The decision that averages a clip's windows and views before the probe; the others join the probe's answers about each."""

JOINED_WINDOWS = "joined-windows"
"""The decision of V-JEPA's own evaluation: the probe sees the tokens of all windows of a view as one sequence, and the probabilities
that it gives a clip's views are averaged."""

DECISIONS = (MEAN_FEATURE, JOINED_WINDOWS, "mean-probability", "sum", "vote", "mean-logit")
"""Ways from a clip's windows to one decision; see :mod:`vjepa_fer.features.windows`."""

Row = Literal["clip", "window", "view"]


def row_of(decision: str) -> Row:
    """What the probe sees at once under a decision: a clip, one of its windows, or one of its views with all windows joined."""
    return {MEAN_FEATURE: "clip", JOINED_WINDOWS: "view"}.get(decision, "window")  # type: ignore[return-value]


def rule_of(decision: str) -> str:
    """How answers about a clip's rows are joined under a decision, of :data:`vjepa_fer.features.RULES`."""
    return "mean-probability" if decision == JOINED_WINDOWS else decision


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a sweep: a probe with its parameters, the level that it reads, and how columns are scaled.

    Attributes
    ----------
    probe : str
        A name of :data:`vjepa_fer.probes.PROBES`, or a plug-in's.
    params : mapping
        As the user named them, nothing else.
    level : str
        ``mean``, ``frames``, ``grid:4`` …; or statistics over a level's time axis, ``frames:mean+std``.
    scale : {"none", "standard", "minmax"}
        Fitted on the training part of each fold.
    decision : str
        How a clip's windows become one decision, of :data:`DECISIONS`.
    """

    probe: str = "logreg"
    params: Mapping[str, Any] = field(default_factory=dict)
    level: str = "mean"
    scale: str = "standard"
    decision: str = MEAN_FEATURE

    @property
    def row(self) -> Row:
        """What the probe sees at once."""
        return row_of(self.decision)

    @property
    def windowed(self) -> bool:
        """The probe sees a clip in several rows, windows or views, and its answers about them are joined."""
        return self.row != "clip"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, in the words of ``probe --json``."""
        return {
            "probe": self.probe,
            "params": dict(self.params),
            "features": self.level,
            "scale": self.scale,
            "decision": self.decision,
        }

    @classmethod
    def from_given(cls, said: Given) -> Cell:
        """The cell that :meth:`to_dict` described; lists of its parameters are tuples again."""
        params = said.object("params").values
        return cls(
            probe=said.text("probe"),
            params={name: tuple(value) if isinstance(value, list) else value for name, value in params.items()},
            level=said.text("features"),
            scale=said.text("scale"),
            decision=said.text("decision", MEAN_FEATURE),
        )


@dataclass(frozen=True, kw_only=True)
class Nest:
    """Cells, usually all of one probe on one level, and the choice among them, made inside each fold's training part.

    Attributes
    ----------
    cells : tuple of Cell
        In the order typed; of equally good ones the first is chosen.
    inner_folds : int
        Subject-wise folds of the training part that choose by WAR; fewer where it has fewer subjects.
    """

    cells: tuple[Cell, ...]
    inner_folds: int

    @property
    def probe(self) -> str:
        """The cells' probe; several, when the choice goes over probes too, with commas."""
        return ",".join(_different(cell.probe for cell in self.cells))

    @property
    def level(self) -> str:
        """The level that they read, or levels with commas."""
        return ",".join(_different(cell.level for cell in self.cells))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the words of :meth:`Cell.to_dict`, with every value offered in a list."""
        names = dict.fromkeys(name for cell in self.cells for name in cell.params)
        params = {name: _different(cell.params[name] for cell in self.cells if name in cell.params) for name in names}
        return {
            "probe": self.probe,
            "params": params,
            "features": self.level,
            "scale": ",".join(_different(cell.scale for cell in self.cells)),
            "decision": ",".join(_different(cell.decision for cell in self.cells)),
            "inner_folds": self.inner_folds,
            "cells": [cell.to_dict() for cell in self.cells],
        }


def _different(values: Iterable[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


Plan = Cell | Nest
"""What an evaluation judged: one cell, or the honest choice among many."""


def plan_from_given(said: Given) -> Plan:
    """The plan that its ``to_dict`` described, among other settings."""
    if "cells" not in said:
        return Cell.from_given(said)
    cells = tuple(map(Cell.from_given, said.objects("cells")))
    if not cells:
        said.refuse("cells", "at least one cell")
    nest = Nest(cells=cells, inner_folds=said.whole("inner_folds", least=1))
    expected = json.loads(json.dumps(nest.to_dict()))
    for word in (word for word in PLAN_WORDS if said.raw(word) != expected[word]):
        said.refuse(word, "what its cells say")
    return nest


@dataclass(frozen=True)
class Choice:
    """What one fold's inner folds chose.

    Attributes
    ----------
    cell : Cell
    war : float
        Its WAR on the inner folds that were needed, pooled, as a fraction.
    num_clips : int
        Of these folds; 0 where a run of an earlier version does not say, and means the whole training part.
    """

    cell: Cell
    war: float
    num_clips: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``inner_war`` in percent, of ``inner_clips``."""
        said = {"inner_clips": self.num_clips} if self.num_clips else {}
        return {**self.cell.to_dict(), "inner_war": round(100 * self.war, 4), **said}

    @classmethod
    def from_given(cls, said: Given) -> Choice:
        """The choice that :meth:`to_dict` described."""
        return cls(Cell.from_given(said), said.number("inner_war") / 100, said.whole("inner_clips", 0))


Selection = Literal["fixed", "grid", "nested"]
"""How a figure's parameters came about: given; one of several that were tried, so that to pick it by its figure is to choose on the
test parts; or chosen on inner folds that never saw the test parts."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How every cell is judged.

    Attributes
    ----------
    folds : str
        See :func:`vjepa_fer.folds.sources.plan_folds`.
    seed : int
        Of drawn folds and of probes with random parts.
    nested : bool
        Where there is more than one cell, choose among them on inner folds too, which the test parts never see.
    inner_folds : int
        How many of these.
    allow_leak : bool
        Go on where training and test parts share a subject, a recording or a file, and label every figure LEAKY.
    by : tuple of str
        Manifest columns to give figures by, besides those of all clips; see :mod:`vjepa_fer.judging.groups`.
    exclude : {None, "damaged"}
        Leave the clips out whose official file is damaged; recorded with the run. See :mod:`vjepa_fer.manifest.damage`.
    repeats : int
        Judge so many times, with the seeds `seed`, `seed` + 1 …: how far figures move with other drawn folds and other training, which is
        no part of an interval.
    """

    folds: str = "subject-kfold:5"
    seed: int = 0
    nested: bool = True
    inner_folds: int = 4
    allow_leak: bool = False
    by: tuple[str, ...] = ()
    exclude: str | None = None
    repeats: int = 1


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """How far each figure might be off with other subjects; see :func:`vjepa_fer.judging.intervals_of`.

    Attributes
    ----------
    confidence : float
        Share of such studies whose interval holds the truth.
    """

    confidence: float = 0.95
