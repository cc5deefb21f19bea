"""An experiment on several streams goes in; each stream alone and each fusion of them, judged on the same clips and folds, comes out, and how far they are apart."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vjepa_fer.doors import Sheet, not_one_of
from vjepa_fer.errors import ExperimentError
from vjepa_fer.experiment import Experiment
from vjepa_fer.features import EARLY, FUSIONS, ONLY
from vjepa_fer.judging import Comparison, compare_predictions
from vjepa_fer.runs import fusion_sheet
from vjepa_fer.sweep.asked import Judged
from vjepa_fer.sweep.running import Outcome

LONGEST = 40
"""Characters of a stream's name in its folder's."""

_ODD = re.compile(r"[^A-Za-z0-9_-]+")

Run = Callable[[Experiment, Path | None], Outcome]
"""Does an experiment, as :func:`vjepa_fer.sweep.run_experiment`, and keeps its runs in a folder, if there is one."""


@dataclass(frozen=True, eq=False)
class Fused:
    """What came of several streams.

    Attributes
    ----------
    outcomes : mapping of str to Outcome
        By what was made of the streams: ``only:NAME`` for each, then ``early``, ``late``, ``stacked``.
    reference : str
        The one that the others are compared with.
    """

    outcomes: Mapping[str, Outcome]
    reference: str

    @property
    def best(self) -> dict[str, Judged]:
        """Of each the figure to report: its only cell, or what was chosen on inner folds; without those of which all was lost."""
        return {how: outcome.best for how, outcome in self.outcomes.items() if outcome.best is not None}

    @cached_property
    def comparison(self) -> Comparison | None:
        """All against the reference, paired on the same clips; None where that, or all others, was lost."""
        best = self.best
        if self.reference not in best or len(best) < 2:
            return None
        leaky = [how for how, one in best.items() if one.evaluation.leaks]
        predictions = {how: one.evaluation.predictions for how, one in best.items()}
        return compare_predictions(predictions, leaky=leaky, reference=self.reference)

    @property
    def sheet(self) -> Sheet | None:
        """The table."""
        found = self.comparison
        results = {how: one.to_dict() for how, one in self.best.items()}
        return fusion_sheet(results, found.to_dict()["differences"] if found else (), self.reference)

    def to_frame(self) -> Any:
        """A pandas DataFrame of the table.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        return self.sheet.to_frame() if self.sheet else None

    def to_dict(self) -> dict[str, Any]:
        """The object that ``probe --fusion all --json`` prints, without its schema: each outcome's, and the table."""
        found, sheet = self.comparison, self.sheet
        rows = [dict(zip(sheet.names, row, strict=True)) for row in sheet.full_rows()] if sheet else []
        return {
            "reference": self.reference,
            "table": rows,
            "comparison": found.to_dict() if found else None,
            "fusions": {how: outcome.to_dict() for how, outcome in self.outcomes.items()},
        }


def fusions_of(asked: Experiment) -> dict[str, Experiment]:
    """Each stream alone, then each fusion; moments are aligned for early fusion alone, which is what they are aligned for.

    Raises
    ------
    ExperimentError
        Fewer than two streams, or cells of which none would be chosen.
    """
    if len(asked.streams) < 2:
        raise ExperimentError("fusion = 'all' is for two or more streams; leave it out, or give streams")
    if len(asked.cells) > 1 and not asked.protocol.nested:
        raise ExperimentError(
            f"fusion = 'all' compares one figure of each fusion, and nobody chooses among {len(asked.cells)} cells: expected one cell, or nested = true"
        )
    hows = [*(f"{ONLY}{name}" for name in asked.streams), *FUSIONS]
    return {how: dataclasses.replace(asked, fusion=how, align=asked.align if how == EARLY else "") for how in hows}


def run_fusions(asked: Experiment, run: Run, *, reference: str = "", out: Path | None = None) -> Fused:
    """Do an experiment once with each stream alone and once with each fusion.

    Parameters
    ----------
    asked : Experiment
        Its fusion has no part in it.
    run : callable
        See :data:`Run`.
    reference : str
        A stream's name, which stands for that stream alone, or a fusion; the first stream. It must be named before anybody has seen a
        figure: differences from whatever turns out best would be chosen on the test parts.
    out : Path or None
        Folder that gets a folder of runs for each.

    Raises
    ------
    ExperimentError
        There is no such reference, or see :func:`fusions_of`.
    """
    each = fusions_of(asked)
    against = find_reference(reference, each)
    folders = {how: None if out is None else out / folder for how, folder in zip(each, _folders(each), strict=True)}
    return Fused({how: run(one, folders[how]) for how, one in each.items()}, against)


def find_reference(named: str, each: Mapping[str, Experiment]) -> str:
    """What a reference's name stands for: a fusion, or a stream alone."""
    known = {how: how for how in each}
    for how in each:
        known.setdefault(how.removeprefix(ONLY), how)
    if named and named not in known:
        raise ExperimentError(not_one_of("reference", named, known))
    return known[named] if named else next(iter(each))


def _folders(each: Mapping[str, Experiment]) -> list[str]:
    """``early``, ``1-au``: names that every disk takes, and that no two streams share."""
    return [
        how if how in FUSIONS else f"{number}-{_ODD.sub('-', how.removeprefix(ONLY))[:LONGEST]}"
        for number, how in enumerate(each, 1)
    ]
