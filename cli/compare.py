"""``vjepa-fer runs compare``: several runs, or tables of predictions, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from .compare_options import IntersectOption, ReferenceOption, RunsArgument, ScoresOption
from .compare_words import print_as_json, print_comparison, warn_of_doubts
from .options import FormatOption, JsonOption, SeedOption, UnifyOption, check_format, taken_for_one_name
from .terminal import print_sheet, warn

if TYPE_CHECKING:
    from vjepa_fer.doors import Sheet
    from vjepa_fer.judging import Comparison, Predictions
    from vjepa_fer.runs import Run


def compare(
    runs: RunsArgument,
    intersect: IntersectOption = False,
    scores: ScoresOption = False,
    reference: ReferenceOption = None,
    seed: SeedOption = 0,
    form: FormatOption = "table",
    unify_names: UnifyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say which differences are real: paired on identical clips, chance judged over subjects, Holm over all pairs.

    Runs of several encoders, or of several fusions of streams, are one table first: their figures, and the difference to the reference.
    """
    from vjepa_fer.judging import compare_predictions, comparison_sheet

    check_format(form, as_json)
    read = {name: one for path in runs for name, one in _read(path, scores, unify_names).items()}
    predictions = _predictions(read, unify_names)
    leaky = [name for name, one in read.items() if one.leaks]
    picked = [name for name, one in read.items() if one.picked]
    chosen = None if reference is None else _called(reference, read)
    found = compare_predictions(predictions, intersect=intersect, leaky=leaky, reference=chosen, seed=seed)
    against = chosen or (next(iter(predictions)) if len(predictions) == 2 else None)
    sheets = _sheets(read, found, against)
    if as_json:
        print_as_json(found, sheets, leaky, picked)
        return
    if form == "table":
        print_comparison(found, leaky, sheets, against)
    else:
        print_sheet(comparison_sheet(found.to_dict(), leaky, picked), form)
    warn_of_doubts(found, leaky, picked)


class Compared(NamedTuple):
    """Predictions, how they leak, and whether they are of one of several cells."""

    predictions: Predictions
    leaks: Sequence[str]
    picked: bool = False
    run: Run | None = None


def _read(path: Path, scores: bool, unify_names: bool) -> dict[str, Compared]:
    """What is to be compared of a run folder, a table, or a folder of runs, by name."""
    from vjepa_fer.judging import read_predictions
    from vjepa_fer.runs import facts_of_table, runs_that_stand_for, to_report

    if not path.is_dir():
        leaks = facts_of_table(path).leaks
        read = read_predictions(path, scores=scores or None, spelling="unify" if unify_names else "refuse")
        return {str(path): Compared(read, leaks)}
    runs = runs_that_stand_for(path)
    honest = to_report(runs)
    return {
        _run_name(run, path): Compared(
            run.evaluation.predictions, run.evaluation.leaks, not fine or run.evaluation.selection == "grid", run
        )
        for run, fine in zip(runs, honest, strict=True)
    }


def _predictions(read: Mapping[str, Compared], unify_names: bool) -> dict[str, Predictions]:
    """Each one's predictions by its name; where names that differ in spelling are one, which ones is said."""
    from vjepa_fer.judging import spelled_alike

    predictions = {name: one.predictions for name, one in read.items()}
    if unify_names:
        predictions, united = spelled_alike(predictions)
        if united:
            warn(taken_for_one_name(united))
    return predictions


def _sheets(read: Mapping[str, Compared], found: Comparison, reference: str | None) -> dict[str, Sheet | None]:
    """A table of the encoders and one of the fusions, where the runs are of several."""
    from vjepa_fer.runs import encoder_sheet, fusion_sheet, result_of

    results = {name: result_of(one.run.evaluation, name) for name, one in read.items() if one.run}
    differences = found.to_dict()["differences"]
    of = {"encoders": encoder_sheet, "fusions": fusion_sheet}
    return {name: sheet(results, differences, reference) for name, sheet in of.items()}


def _called(asked: str, read: Mapping[str, Compared]) -> str:
    """The one among what is compared that is called so, by name, by path, or as the only one in a folder."""
    from vjepa_fer.doors import not_one_of

    there = Path(asked).resolve()
    places = {name: one.run.path.resolve() for name, one in read.items() if one.run}
    found = [name for name in read if name == asked] or [n for n, at in places.items() if there in (at, *at.parents)]
    if len(found) != 1:
        raise typer.BadParameter(not_one_of("run", asked, read), param_hint="--reference")
    return found[0]


def _run_name(run: Run, asked: Path) -> str:
    """A run that was named goes by its path; those that stand for a folder by what people call them."""
    from vjepa_fer.runs import run_title

    return str(asked) if run.path == asked else f"{run_title(run.evaluation)} ({run.path})"
