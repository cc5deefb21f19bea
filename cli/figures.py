"""A run's figures as plain values go in, as ``--json`` prints them; its tables are printed, for people or as one rectangle."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import typer

from .options import Shape
from .terminal import fits, print_sheet, print_table, say, warn

COVERED = (
    "intervals cover other subjects of this kind, same fitted classifiers;",
    "not how figures move when they are trained anew (probe --repeats)",
)
"""What a reader of intervals must know, in lines that fit a terminal; :data:`vjepa_fer.judging.COVERS` says it in JSON."""
LEAKY = "LEAKY "
"""Before the name of a run that knew its test clips from training, in every table."""
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
    if fits(head, rows):
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
