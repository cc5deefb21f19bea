"""Results in the words of ``--json`` go in; tables to paste come out: a row a result, a fold, a class, a group.

All figures are in percent, log-loss in nats. What must be read beside a figure stands in its row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vjepa_fer.doors import Column, Sheet, span, spread
from vjepa_fer.judging import LEAKY, ONE_OF_SEVERAL

Result = Mapping[str, Any]

FIGURES = (("war", "WAR"), ("uar", "UAR"), ("macro_f1", "macro-F1"), ("weighted_f1", "weighted F1"))


def results_sheet(results: Sequence[Result]) -> Sheet:
    """A row a result: each figure over all clips with its interval, and over folds; for programs also ECE, log-loss and the counts."""
    notes = [_note(one) for one in results]
    policies = any("policy" in one for one in results)
    columns = [
        Column(("name",), "run"),
        *([Column(("policy",), "policy"), Column(("scored",), "% scored", "number", digits=1)] if policies else []),
        *(_pooled(key, head, aside=key == "weighted_f1") for key, head in FIGURES),
        *(_over_folds(key, head, aside=key not in ("war", "uar")) for key, head in FIGURES),
        *(_pooled(key, head, aside=True) for key, head in (("ece", "ECE"), ("log_loss", "log-loss"))),
        Column(("folds",), "folds"),
        Column(("n_clips",), "clips", "count"),
        Column(("n_subjects",), "subjects", "count"),
        Column(("note",), "note", aside=not any(notes)),
        Column(("leaky",), "leaky", "flag", aside=True),
        Column(("to_report",), "to report", "flag", aside=True),
        Column(("run",), "folder", aside=True),
    ]
    rows = [
        (
            one.get("name"),
            *([one.get("policy"), one.get("coverage", {}).get("percent")] if policies else []),
            *(_span(one[key]) for key, _ in FIGURES),
            *(_spread(one[key]) for key, _ in FIGURES),
            *(_span(one[key]) for key in ("ece", "log_loss")),
            one.get("folds"),
            one["n_clips"],
            one["n_subjects"],
            note or "",
            bool(one.get("leaky")),
            one.get("to_report"),
            one.get("run"),
        )
        for one, note in zip(results, notes, strict=True)
    ]
    return Sheet(tuple(columns), tuple(rows))


def figures_in_words(result: Result) -> dict[str, str]:
    """The headline figures of a result by their names: ``{"WAR": "78.86 [75.10, 82.32]", …}``."""
    return {head: _pooled(key, head).shown(_span(result[key])) for key, head in FIGURES[:3]}


def _pooled(key: str, head: str, *, aside: bool = False) -> Column:
    return span(key, head, f"{key}_low", f"{key}_high", aside=aside, digits=3 if key == "log_loss" else 2)


def _over_folds(key: str, head: str, *, aside: bool = False) -> Column:
    return spread(f"{key}_mean", f"{key}_sd", head=f"{head} over folds", aside=aside)


def _note(result: Result) -> str:
    picked = result.get("to_report") is False
    return "; ".join([LEAKY] * bool(result.get("leaky")) + [ONE_OF_SEVERAL] * picked)


def _span(figure: Mapping[str, Any] | None) -> tuple[Any, Any, Any] | None:
    return None if figure is None else (figure["pooled"], *(figure.get("interval") or (None, None)))


def _spread(figure: Mapping[str, Any] | None) -> tuple[Any, Any] | None:
    return None if figure is None else (figure["mean"], figure["sd"])


def folds_sheet(results: Sequence[Result]) -> Sheet:
    """A row a fold of each result."""
    keys = [*FIGURES, ("ece", "ECE"), ("log_loss", "log-loss")]
    own, who = _told_apart(results)
    columns = (
        *own,
        Column(("fold",), "fold"),
        Column(("n_clips",), "clips", "count"),
        *(Column((key,), head, "number", digits=3 if key == "log_loss" else 2) for key, head in keys),
    )
    rows = [
        (*who(one), name, clips, *(None if one[key] is None else one[key]["folds"][number] for key, _ in keys))
        for one in results
        for number, (name, clips) in enumerate(_folds(one))
    ]
    return Sheet(columns, tuple(rows))


def _folds(result: Result) -> list[tuple[str, int | None]]:
    """Each fold's name, and how many clips it tests where that is known."""
    count = len(result["uar"]["folds"])
    names = result.get("fold_names") or [str(number) for number in range(count)]
    matrices = result.get("confusion_by_fold") or [None] * count
    return [(name, matrix and sum(map(sum, matrix))) for name, matrix in zip(names, matrices, strict=True)]


def classes_sheet(results: Sequence[Result]) -> Sheet:
    """A row a class of each result: recall with its interval, precision, F1."""
    own, who = _told_apart(results)
    columns = (
        *own,
        Column(("class",), "class"),
        Column(("n_clips",), "clips", "count"),
        *(_pooled(key, head) for key, head in (("recall", "recall"), ("precision", "precision"), ("f1", "F1"))),
    )
    rows = [
        (*who(one), label, said["n_clips"], *(_of_class(said, key) for key in ("recall", "precision", "f1")))
        for one in results
        for label, said in one["by_class"].items()
    ]
    return Sheet(columns, tuple(rows))


def _of_class(said: Mapping[str, Any], key: str) -> tuple[Any, Any, Any] | None:
    return None if said[key] is None else (said[key], *(said.get(f"{key}_interval") or (None, None)))


def confusion_sheet(results: Sequence[Result]) -> Sheet:
    """A row a true class of each result, a column a class that was said, and the recall."""
    own, who = _told_apart(results)
    classes = list(dict.fromkeys(label for one in results for label in one["classes"]))
    columns = (
        *own,
        Column(("true_label",), "truth \\ said"),
        *(Column((label,), label, "count") for label in classes),
        Column(("recall",), "recall", "number", digits=1),
    )
    rows = []
    for one in results:
        for label, counts in zip(one["classes"], one["confusion"], strict=True):
            said = dict(zip(one["classes"], counts, strict=True))
            share = 100 * said[label] / sum(counts) if sum(counts) else None
            rows.append((*who(one), label, *(said.get(name, 0) for name in classes), share))
    return Sheet(columns, tuple(rows))


def groups_sheet(results: Sequence[Result]) -> Sheet:
    """A row a group of each result, of all columns that figures were asked by."""
    own, who = _told_apart(results)
    keys = FIGURES[:3]
    columns = (
        *own,
        Column(("column",), "column"),
        Column(("value",), "group"),
        Column(("n_clips",), "clips", "count"),
        Column(("n_subjects",), "subjects", "count"),
        *(_pooled(key, head) for key, head in keys),
    )
    rows = [
        (
            *who(one),
            column,
            group["value"],
            group["n_clips"],
            group["n_subjects"],
            *(_of_class(group, key) for key, _ in keys),
        )
        for one in results
        for column, groups in (one.get("by") or {}).items()
        for group in groups
    ]
    return Sheet(columns, tuple(rows))


def _told_apart(results: Sequence[Result]) -> tuple[list[Column], Callable[[Result], list[Any]]]:
    """The columns that tell one result from another, and what each has in them; none where there is only one."""
    keys = [("name", "run")] * (len({one.get("name") for one in results}) > 1)
    keys += [("policy", "policy")] * any("policy" in one for one in results)
    if len(results) == 1:
        return [], lambda one: []
    return [Column((key,), head) for key, head in keys], lambda one: [one.get(key) for key, _ in keys]


PARTS: dict[str, Callable[[Sequence[Result]], Sheet]] = {
    "figures": results_sheet,
    "folds": folds_sheet,
    "classes": classes_sheet,
    "confusion": confusion_sheet,
    "groups": groups_sheet,
}
"""What can be asked for of results, by what a row of it is about."""
