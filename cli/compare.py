"""``vjepa-fer runs compare``: several runs, or tables of predictions, side by side."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from .options import FormatOption, JsonOption, SeedOption, UnifyOption, check_format, taken_for_one_name
from .probe_fusions import print_fusions
from .terminal import fits, print_json, print_sheet, print_table, warn

if TYPE_CHECKING:
    from vjepa_fer.doors import Sheet
    from vjepa_fer.judging import Comparison, Predictions
    from vjepa_fer.runs import Run

LEAKY = "LEAKY "
ASKED = (
    "asked: would these fitted classifiers differ on other subjects of this kind?",
    "not: would they after training anew, which moves figures too (probe --repeats)",
)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN …",
            help="Run folders, tables of predictions, or one folder that `probe --out` filled.",
            show_default=False,
        ),
    ],
    intersect: Annotated[
        bool, typer.Option("--intersect", help="Compare on the clips that all of them have, and count the others.")
    ] = False,
    scores: Annotated[
        bool, typer.Option("--scores", help="The tables' class columns are scores, not probabilities.")
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Compare all others with this one alone: its path or title. Of several encoders the one that the rest are held against.",
            show_default="each with each",
        ),
    ] = None,
    seed: SeedOption = 0,
    form: FormatOption = "table",
    unify_names: UnifyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say which differences are real: paired on identical clips, chance judged over subjects, Holm over all pairs.

    Runs of several encoders, or of several fusions of streams, are one table first: their figures, and the difference to the reference.
    """
    from vjepa_fer.judging import compare_predictions, comparison_sheet, spelled_alike
    from vjepa_fer.runs import encoder_sheet, fusion_sheet, result_of

    check_format(form, as_json)
    read = {name: one for path in runs for name, one in _read(path, scores, unify_names).items()}
    predictions = {name: one.predictions for name, one in read.items()}
    if unify_names:
        predictions, united = spelled_alike(predictions)
        if united:
            warn(taken_for_one_name(united))
    leaky = [name for name, one in read.items() if one.leaks]
    picked = [name for name, one in read.items() if one.picked]
    chosen = None if reference is None else _called(reference, read)
    found = compare_predictions(predictions, intersect=intersect, leaky=leaky, reference=chosen, seed=seed)
    against = chosen or (next(iter(predictions)) if len(predictions) == 2 else None)
    results = {name: result_of(one.run.evaluation, name) for name, one in read.items() if one.run}
    differences = found.to_dict()["differences"]
    sheets = {
        name: of(results, differences, against) for name, of in (("encoders", encoder_sheet), ("fusions", fusion_sheet))
    }
    if as_json:
        tables = {
            name: [dict(zip(sheet.names, row, strict=True)) for row in sheet.full_rows()]
            for name, sheet in sheets.items()
            if sheet
        }
        print_json({"schema": "vjepa-fer/compare/1", **found.to_dict(), **tables, "leaky": leaky, "picked": picked})
        return
    if form == "table":
        _print_comparison(found, leaky, sheets, against)
    else:
        print_sheet(comparison_sheet(found.to_dict(), leaky, picked), form)
    for name in leaky:
        warn(f"LEAKY: {name} was tested on what it knew from training; no difference from it means anything")
    for name in picked:
        warn(
            f"{name}: one of several, chosen on the test parts if it was picked by its figure: not the figure to report"
        )
    for note in found.notes:
        warn(note)


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


def _print_comparison(
    found: Comparison, leaky: Sequence[str], sheets: Mapping[str, Sheet | None], reference: str | None = None
) -> None:
    """The runs with a letter each, their encoders or fusions if they have several, then every pair, figure by figure."""
    from vjepa_fer.judging import subjects_in_words

    result = found.to_dict()
    letters = (a + b for b in ("", *string.digits) for a in string.ascii_uppercase)
    letter = dict(zip(found.predictions, letters, strict=False))
    rows = [
        (
            f"{letter[run['name']]}  {LEAKY * (run['name'] in leaky)}{run['name']}",
            f"{run['war']:.2f}",
            f"{run['uar']:.2f}",
            f"{run['left_out']:,}",
        )
        for run in result["runs"]
    ]
    title = f"{result['n_clips']:,} clips in common, {subjects_in_words(result['n_subjects'], result['n_clips'])}; %, all clips pooled"
    print_table(("run", "WAR", "UAR", "left out"), rows, title=title)
    if encoders := sheets["encoders"]:
        _print_encoders(encoders, letter, reference)
    if fusions := sheets["fusions"]:
        print_fusions(fusions, letter.get(reference or "", ""), letter)
    for figure, head in (("war", "WAR"), ("uar", "UAR")):
        chosen = [d for d in result["differences"] if d["figure"] == figure]
        lines = [(f"{letter[d['second']]} − {letter[d['first']]}", *_difference_cells(d)) for d in chosen]
        print_table(
            (head, "points", "95 %", "p", "p Holm", "McNemar", "real"), lines, title=ASKED if figure == "war" else ()
        )


ENCODERS = (
    "encoders: M parameters in millions, D numbers a token, GB of the level read,",
    "GFLOP matrix products a clip; WAR pooled [95 % over subjects]; –: cannot be judged",
)


def _print_encoders(encoders: Sheet, letter: Mapping[str, str], reference: str | None) -> None:
    """A row a run, called by its letter: one table, or where there is no room for it the costs and then the figures."""
    short = {
        "params, M": "M",
        "GFLOP a clip": "GFLOP",
        "width": "D",
        "− reference": f"− {letter.get(reference or '', '')}",
    }
    head = ["encoder", *(short.get(name, name) for name in encoders.heads[2:])]
    rows = [[f"{letter[run]}  {name}", *cells] for run, name, *cells in encoders.shown_rows()]
    if fits(head, rows):
        print_table(head, rows, title=ENCODERS)
        return
    costs = head.index("WAR, %")
    print_table(head[:costs], [row[:costs] for row in rows], title=ENCODERS)
    print_table(("", *head[costs:]), [(row[0][:2], *row[costs:]) for row in rows])


def _difference_cells(difference: dict) -> tuple[str, ...]:
    num = difference["num_differing"]
    few = f"cannot be judged: {num} subject{'s' * (num != 1)}"
    verdict = {None: few, True: "yes", False: "no"}[difference["real"]]
    real = "LEAKY" if difference["leaky"] else verdict
    span = "–" if difference["interval"] is None else "[{:+.2f}, {:+.2f}]".format(*difference["interval"])
    p_values = (f"{difference[name]:.4f}" for name in ("p", "p_holm", "p_mcnemar"))
    return f"{difference['value']:+.2f}", span, *p_values, real
