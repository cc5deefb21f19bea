"""What was compared goes in; the tables, JSON and remarks of ``runs compare`` come out."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .figures import LEAKY
from .probe_fusions import print_fusions
from .terminal import fits, print_json, print_table, warn

if TYPE_CHECKING:
    from vjepa_fer.doors import Sheet
    from vjepa_fer.judging import Comparison

ASKED = (
    "asked: would these fitted classifiers differ on other subjects of this kind?",
    "not: would they after training anew, which moves figures too (probe --repeats)",
)
ENCODERS = (
    "encoders: M parameters in millions, D numbers a token, GB of the level read,",
    "GFLOP matrix products a clip; WAR pooled [95 % over subjects]; –: cannot be judged",
)


def print_as_json(
    found: Comparison, sheets: Mapping[str, Sheet | None], leaky: Sequence[str], picked: Sequence[str]
) -> None:
    """All of it, each number in full."""
    tables = {
        name: [dict(zip(sheet.names, row, strict=True)) for row in sheet.full_rows()]
        for name, sheet in sheets.items()
        if sheet
    }
    print_json({"schema": "vjepa-fer/compare/1", **found.to_dict(), **tables, "leaky": leaky, "picked": picked})


def warn_of_doubts(found: Comparison, leaky: Sequence[str], picked: Sequence[str]) -> None:
    """Whose figures mean less than they seem to, and what else there is to know."""
    for name in leaky:
        warn(f"LEAKY: {name} was tested on what it knew from training; no difference from it means anything")
    for name in picked:
        warn(
            f"{name}: one of several, chosen on the test parts if it was picked by its figure: not the figure to report"
        )
    for note in found.notes:
        warn(note)


def print_comparison(
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
