"""``vjepa-fer runs …``: look at what was evaluated."""

from __future__ import annotations

import shutil
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from .options import (
    SOME_FAILED,
    FormatOption,
    JsonOption,
    SeedOption,
    Shape,
    UnifyOption,
    check_format,
    taken_for_one_name,
)
from .terminal import print_json, print_sheet, print_table, say, screen_width, warn

if TYPE_CHECKING:
    from vjepa_fer.doors import Sheet
    from vjepa_fer.judging import Comparison, Predictions
    from vjepa_fer.runs import Run

LEAKY = "LEAKY "
MOST_CONTROLS = 4
"""Runs that are named as one control's."""

NUM_LEAKS = 3
GAP = 3
"""Blanks between two columns of a table."""
COVERED = (
    "intervals cover other subjects of this kind, same fitted classifiers;",
    "not how figures move when they are trained anew (probe --repeats)",
)
"""What a reader of intervals must know, in lines that fit a terminal; :data:`vjepa_fer.judging.COVERS` says it in JSON."""
ASKED = (
    "asked: would these fitted classifiers differ on other subjects of this kind?",
    "not: would they after training anew, which moves figures too (probe --repeats)",
)
MAX_FOLD_COLUMNS = 6
"""More do not fit into a terminal of 80 columns beside mean, sd and pooled."""

UNITS = "in percent: all clips pooled [95 % over subjects]; over folds: mean ± sd; log-loss in nats"

Part = Literal[
    "figures", "folds", "classes", "confusion", "groups"
]  # the keys of vjepa_fer.runs.PARTS, which --help must not load
PartOption = Annotated[
    Part | None,
    typer.Option(
        "--part",
        help="One table only, with a row for: the run (figures), each fold, each class, each true class (confusion), each group of --by. "
        "With --format other than table it is figures where nothing else is said.",
        show_default=False,
    ),
]

app = typer.Typer(no_args_is_help=True, help="Look at evaluated runs: list them, show one, compare several.")

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]


@app.command("list")
def list_(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with runs, at any depth.", show_default=False)],
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """List the runs in a folder, the figure to report first, then by WAR; those that cannot be read are named, and the exit status is 4 then."""
    from vjepa_fer.runs import list_runs, result_of, to_report

    check_format(form, as_json)
    found, unread = list_runs(root)
    runs = [run for run in found if not run.repeats_a_cell]
    results = [
        {**result_of(run.evaluation, str(run.path)), "to_report": fine}
        for run, fine in zip(runs, to_report(runs), strict=True)
    ]
    results.sort(key=lambda result: (not result["to_report"], -result["war"]["mean"]))
    if as_json:
        broken = [{"run": str(path), "message": why} for path, why in unread]
        print_json({"schema": "vjepa-fer/runs/1", "results": results, "unread": broken})
    elif results and form != "table":
        print_part(results, "figures", form)
    elif results:
        from vjepa_fer.manifest import abridged

        _print_list(root, results)
        for control in dict.fromkeys(result["control"] for result in results if "control" in result):
            names = [_below(result["run"], root) for result in results if result.get("control") == control]
            say(f"a control, what an encoder must beat: {control}, of {abridged(names, MOST_CONTROLS)}")
    elif not unread:
        say(f"{root}: no runs in it; `vjepa-fer probe CACHE --out {root}` makes them")
    for _, why in unread:
        warn(f"not listed: {why}")
    if unread:
        raise typer.Exit(SOME_FAILED)


def _print_list(root: Path, results: Sequence[dict]) -> None:
    """What to report, then everything that a figure was or could be picked from; what all rows share is in the heading."""
    shared = [name for name in ("folds", "n_clips") if len({result[name] for result in results}) == 1]
    title = [f"runs in {root}", *([_shared_words(results[0], shared)] if shared else [])]
    honest = [result for result in results if result["to_report"]]
    if honest:
        several = [f"% {PICKING}: several stand here"] * (len(honest) > 1)
        print_table(*_list_table(root, honest, shared), title=[*title, *several])
        title = []
    picked = [result for result in results if not result["to_report"]]
    if picked:
        print_table(
            *_list_table(root, picked, shared), title=[*title, f"% one of several; {PICKING}: not the figure to report"]
        )


PICKING = "picked from these rows, a figure would be chosen on the test parts"


def _shared_words(result: dict, shared: Sequence[str]) -> str:
    from vjepa_fer.judging import subjects_in_words

    num_clips, num_subjects = result["n_clips"], result["n_subjects"]
    words = {"folds": result["folds"], "n_clips": f"{num_clips:,} clips"}
    unknown = [subjects_in_words(num_subjects, num_clips)] * (num_subjects == num_clips and "n_clips" in shared)
    return ", ".join([words[name] for name in shared] + unknown)


def _list_table(
    root: Path, results: Sequence[dict], shared: Sequence[str]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    head = (
        "run",
        "WAR",
        "UAR",
        *(name for name, key in (("folds", "folds"), ("clips", "n_clips")) if key not in shared),
        "folder",
    )
    from vjepa_fer.runs import shown

    rows = []
    for result in results:
        own = [
            f"{result[key]:,}" if key == "n_clips" else result[key] for key in ("folds", "n_clips") if key not in shared
        ]
        figures = (shown(result["war"]), shown(result["uar"]))
        rows.append((LEAKY * result["leaky"] + result["name"], *figures, *own, _below(result["run"], root)))
    if _fits(head, rows):
        return head, rows
    below = [("  " + row[-1], *("" for _ in row[1:-1])) for row in rows]
    return head[:-1], [line for row, folder in zip(rows, below, strict=True) for line in (row[:-1], folder)]


def _fits(head: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the terminal is wide enough for a table."""
    room = screen_width() or shutil.get_terminal_size().columns
    return sum(max(map(len, column)) + GAP for column in zip(head, *rows, strict=True)) <= room


def _below(run: str, root: Path) -> str:
    """The run's path below the folder that was listed: a row must fit into a terminal."""
    inside = Path(run).relative_to(root)
    return run if inside == Path() else str(inside)


@app.command()
def show(run: RunArgument, part: PartOption = None, form: FormatOption = "table", as_json: JsonOption = False) -> None:
    """Show one run: settings, figures per fold, recall by class, the pooled confusion matrix."""
    from vjepa_fer.runs import read_run, result_of

    check_format(form, as_json)
    found = read_run(run)
    result = result_of(found.evaluation, str(run))
    if as_json:
        print_json({"schema": "vjepa-fer/run/1", "settings": dict(found.settings), "result": result})
        return
    for line in result.get("unaudited", ()):
        say(f"the search for leaks did not see {line}")
    leaks = [f"LEAKY: {leak}" for leak in result["leaks"][:NUM_LEAKS]]
    more = len(result["leaks"]) - len(leaks)
    title = [str(run), *leaks, *([f"LEAKY: and {more} more"] if more else [])]
    if part or form != "table":
        for line in [*leaks, *_before(found)]:
            warn(line)
        print_part([result], part, form)
        return
    print_table(("setting", "value"), [(name, _short(value)) for name, value in found.settings.items()], title=title)
    print_figures(result, title=list(_before(found)))
    if result["by"]:
        print_groups(result["by"])


def print_part(results: Sequence[dict], part: Part | None, form: Shape) -> None:
    """One rectangle of results to stdout; on stderr what its figures are, and what a reader of the first should know."""
    from vjepa_fer.runs import PARTS

    sheet = PARTS[part or "figures"](results)
    if not sheet.rows:
        raise typer.BadParameter("these figures are by no group; --by asks for them", param_hint="--part")
    print_sheet(sheet, form)
    say(UNITS)
    for note in results[0]["notes"]:
        warn(note)


def _before(run: Run) -> Iterator[str]:
    """What must be read before a run's figures."""
    from vjepa_fer.manifest import Damage
    from vjepa_fer.runs import fusion_words, settled_words, stacker_words

    if run.evaluation.leaks:
        yield "LEAKY, not comparable"
    if control := run.evaluation.beside.get("control"):
        yield f"a control, what an encoder must beat: {control}"
    encoder = run.evaluation.beside.get("encoder")
    if encoder and encoder["computed_by"] != "vjepa-fer":
        yield f"features of {encoder['name']}, computed by {encoder['computed_by']}"
    if run.evaluation.folds.name.startswith("test-on:"):
        yield "strict: 100.0 % of the clips scored; a foreign true class and a foreign prediction are errors"
        yield f"other policies: vjepa-fer evaluate {run.path}/predictions.csv --policy merge,repredict"
    if run.evaluation.damage != Damage():
        yield str(run.evaluation.damage)
    if run.evaluation.absent:
        yield str(run.evaluation.absent)
    if run.evaluation.settled:
        yield f"auto: {settled_words(run.evaluation.settled)}"
    if fusion := run.evaluation.beside.get("fusion"):
        yield fusion_words(fusion)
        if run.evaluation.stackers:
            yield from stacker_words(fusion["streams"], run.evaluation.stackers)


@app.command()
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
    from vjepa_fer.experiment import plan_title

    return str(asked) if run.path == asked else f"{plan_title(run.evaluation.cell)} ({run.path})"


def _print_comparison(
    found: Comparison, leaky: Sequence[str], sheets: Mapping[str, Sheet | None], reference: str | None = None
) -> None:
    """The runs with a letter each, their encoders or fusions if they have several, then every pair, figure by figure."""
    from vjepa_fer.judging import subjects_in_words

    from .probe_fusions import print_fusions

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
    if _fits(head, rows):
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


def print_figures(result: dict, *, title: Sequence[str] = ()) -> None:
    """Figures per fold, their intervals, recall by class and the pooled confusion matrix; then what a reader should know."""
    names = [("war", "WAR"), ("uar", "UAR"), ("macro_f1", "macro-F1"), ("weighted_f1", "w-F1")]
    names = [(key, name) for key, name in names if result[key]]
    trust = [("ece", "ECE"), ("log_loss", "log-loss")] if result["ece"] else []
    units = "%; log-loss in nats" if trust else "%"
    print_table(*_fold_table(result, names + trust), title=[*title, units])
    known = [(key, name) for key, name in names + trust if result[key]["interval"]]
    if known:
        spans = [(name, *(_number(end, key) for end in result[key]["interval"])) for key, name in known]
        print_table(("95 % over subjects, pooled", "from", "to"), spans, title=COVERED)
    print_table(("class", "clips", "recall", "95 %", "precision", "F1"), list(_class_rows(result)))
    print_table(*_confusion_table(result))
    people = list(_people_rows(result))
    if people:
        print_table(("beside it", ""), people)
    for note in result["notes"]:
        warn(note)


def _people_rows(result: dict) -> Iterator[tuple[str, str]]:
    """What raters said of the same clips, where that is known."""
    from vjepa_fer.evaluation import human_words

    if result.get("human"):
        for words, value in human_words(result["human"]):
            yield f"{words}, {result['human']['clips']:,} clips", f"{value:.2f} %"
    if result.get("agreement") is not None:
        yield "share of the label in what counts as right", f"{result['agreement']:.2f} %"
    if result.get("vote_cross_entropy") is not None:
        yield "cross-entropy to the raters' votes", f"{result['vote_cross_entropy']:.3f} nats"
        yield "  at least possible", f"{result['vote_entropy']:.3f} nats"


def _fold_table(result: dict, names: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A column a fold; the lowest and the highest only, where more would not fit beside each other."""
    num_folds = len(result["uar"]["folds"])
    if num_folds == 1:
        return ("", "one fold"), [(title, _number(result[key]["pooled"], key)) for key, title in names]
    if num_folds <= MAX_FOLD_COLUMNS:
        head = [f"fold {name}" for name in result.get("fold_names", range(num_folds))]
        rows = [
            (title, *(_number(v, key) for v in result[key]["folds"]), *_summary(result[key], key))
            for key, title in names
        ]
        return ("", *head, "mean", "sd", "pooled"), rows
    ends = [(min(result[key]["folds"]), max(result[key]["folds"])) for key, _ in names]
    rows = [
        (title, *(_number(v, key) for v in span), *_summary(result[key], key))
        for (key, title), span in zip(names, ends, strict=True)
    ]
    return (f"{num_folds} folds", "lowest", "highest", "mean", "sd", "pooled"), rows


def _summary(value: dict, key: str) -> tuple[str, str, str]:
    sd = "–" if value["sd"] is None else _number(value["sd"], key)
    return _number(value["mean"], key), sd, _number(value["pooled"], key)


def _number(value: float | None, key: str) -> str:
    if value is None:  # of percentages by fold nothing can be pooled
        return "–"
    return f"{value:.3f}" if key == "log_loss" else f"{value:.2f}"


def print_groups(by: dict, *, title: str | Sequence[str] = ()) -> None:
    """A table a column, a row a group with its n."""
    for position, (column, groups) in enumerate(by.items()):
        rows = [(one["value"], f"{one['n_clips']:,}", one["n_subjects"], *_group_cells(one)) for one in groups]
        head = (column, "clips", "subjects", "WAR", "95 %", "UAR", "macro-F1")
        print_table(head, rows, title=() if position else title)


def _group_cells(one: dict) -> tuple[str, ...]:
    ends = one["war_interval"]
    span = "–" if ends is None else f"{ends[0]:.1f}–{ends[1]:.1f}"
    return f"{one['war']:.2f}", span, f"{one['uar']:.2f}", f"{one['macro_f1']:.2f}"


def _class_rows(result: dict) -> Iterator[tuple]:
    for label, one in result["by_class"].items():
        recall, precision, f1 = (
            "–" if one[name] is None else f"{one[name]:.1f}" for name in ("recall", "precision", "f1")
        )
        ends = one.get("recall_interval")
        span = "–" if ends is None else f"{ends[0]:.1f}–{ends[1]:.1f}"
        clips = "–" if one["n_clips"] is None else f"{one['n_clips']:,}"
        yield label, clips, recall, span, precision, f1


def _short(value: object) -> object:
    """Hashes as their first 16 digits; `--json` gives them whole."""
    parts = value.split("+") if isinstance(value, str) else []
    return " + ".join(part[:16] for part in parts) if parts and all(len(part) == 64 for part in parts) else value


def abbreviate(names: Sequence[str]) -> list[str]:
    """Column heads: the shortest beginnings, three letters or more, that tell the names apart."""
    longest = max(map(len, names))
    for length in range(3, longest):
        heads = [name[:length] for name in names]
        if len(set(heads)) == len(names):
            return heads
    return list(names)


def _confusion_table(result: dict) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Counts with their classes' names; classes are called A, B, C where that would be too wide for the terminal."""
    head, rows = ("truth \\ said", *abbreviate(result["classes"]), "recall"), list(_confusion_rows(result))
    if _fits(head, rows):
        return head, rows
    letter = dict(zip(result["classes"], string.ascii_uppercase, strict=False))
    if len(letter) < len(result["classes"]):
        return head, rows
    return ("truth \\ said", *letter.values()), [(f"{letter[row[0]]} {row[0]}", *row[1:-1]) for row in rows]


def _confusion_rows(result: dict) -> Iterator[tuple]:
    for number, (label, counts) in enumerate(zip(result["classes"], result["confusion"], strict=True)):
        total = sum(counts)
        if not total:  # a class that no clip has: its column says how often it was predicted
            continue
        shown = (str(n) if isinstance(n, int) else f"{n:.10g}" for n in counts)
        yield (label, *shown, f"{100 * counts[number] / total:.1f}")
