"""Folders of finished experiments go in; their table for a paper or a README comes out, and whether one still says what they say.

Each row is the figure to report of one folder: over all clips with its interval over subjects, and as mean and standard deviation over
folds; the command that makes it again, and the first digits of the SHA-256 of its predictions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vjepa_fer.doors import Column, Form, Sheet, printable
from vjepa_fer.errors import RunError
from vjepa_fer.report.reproduce import commands
from vjepa_fer.runs import PREDICTIONS_CSV, Run, result_of, runs_that_stand_for, shown, to_report

HEAD = (
    "experiment",
    "probe",
    "folds",
    "clips",
    "WAR",
    "WAR over folds",
    "UAR",
    "UAR over folds",
    "command",
    "predictions",
)
HASH_DIGITS = 12


@dataclass(frozen=True)
class Row:
    """One finished experiment, in the words of :data:`HEAD`."""

    cells: tuple[str, ...]


def result_rows(folders: Sequence[Path]) -> list[Row]:
    """The row of each folder, in the order given.

    Raises
    ------
    RunError
        A folder without runs, with one that cannot be read, or whose figures were all picked from several.
    """
    return [_row(folder, _honest(folder)) for folder in folders]


def _honest(folder: Path) -> Run:
    runs = runs_that_stand_for(folder)
    fine = [
        run for run, honest in zip(runs, to_report(runs), strict=True) if honest and run.evaluation.selection != "grid"
    ]
    if len(fine) != 1:
        said = (
            "no figure in it is one to report: each is one of several"
            if not fine
            else f"{len(fine)} experiments lie in it"
        )
        raise RunError(
            f"{folder}: {said}; name a run folder, or run `vjepa-fer probe … --out DIR` with one experiment a folder"
        )
    return fine[0]


def _row(folder: Path, run: Run) -> Row:
    result = result_of(run.evaluation)
    digest = hashlib.sha256((run.path / PREDICTIONS_CSV).read_bytes()).hexdigest()[:HASH_DIGITS]
    figures = [text for key in ("war", "uar") for text in (_with_interval(result[key]), shown(result[key]))]
    command = " && ".join(commands(run)) or "–"
    leaky = "LEAKY " * result["leaky"]
    name = folder.resolve().name
    cells = (leaky + name, result["name"], result["folds"], f"{result['n_clips']:,}", *figures, command, digest)
    return Row(tuple(map(printable, cells)))


def _with_interval(figure: dict[str, Any]) -> str:
    """``58.33 [53.47, 62.99]``."""
    ends = figure["interval"]
    return f"{figure['pooled']:.2f}" + (f" [{ends[0]:.2f}, {ends[1]:.2f}]" if ends else "")


def _sheet(rows: Sequence[Row]) -> Sheet:
    columns = tuple(Column((head,), head, _KINDS.get(head, "figure")) for head in HEAD)
    return Sheet(columns, tuple(row.cells for row in rows))


_KINDS = {"experiment": "text", "probe": "text", "folds": "text", "command": "code", "predictions": "code"}

FORMATS: dict[Form, Callable[[Sequence[Row]], str]] = {
    "markdown": lambda rows: _sheet(rows).to_text("markdown"),
    "csv": lambda rows: _sheet(rows).to_text("csv"),
    "latex": lambda rows: _sheet(rows).to_text("latex"),
}
OF_SUFFIX: dict[str, Form] = {".md": "markdown", ".csv": "csv", ".tex": "latex"}


def differences(text: str, rows: Sequence[Row], form: Form) -> list[str]:
    """Where a text's table differs from these rows, line by line in words; empty if it says the same.

    The table is the one with our heading; what else the text holds is its author's.
    """
    ours, theirs = FORMATS[form](rows).splitlines(), text.splitlines()
    head = ours[0] if form != "latex" else ours[2]
    starts = [number for number, line in enumerate(theirs) if line.strip() == head.strip()]
    if not starts:
        return ["there is no table of `vjepa-fer experiments table` in it"]
    ours = ours[ours.index(head) :] if form != "latex" else ours[2:-2]
    there = _lines_of_table(theirs, starts[0], form)
    told = [
        f"line {starts[0] + number + 1}: says {line.strip()!r}, the runs say {(ours[number] if number < len(ours) else 'nothing')!r}"
        for number, line in enumerate(there)
        if number >= len(ours) or line.strip() != ours[number].strip()
    ]
    return told + [f"is missing: {line!r}" for line in ours[len(there) :]]


def _lines_of_table(lines: Sequence[str], start: int, form: str) -> list[str]:
    """From its heading to where it ends."""
    ends = {
        "markdown": lambda line: not line.startswith("|"),
        "csv": lambda line: not line,
        "latex": lambda line: line.startswith(r"\bottomrule"),
    }
    stop = next((n for n in range(start, len(lines)) if ends[form](lines[n].strip())), len(lines))
    return list(lines[start:stop])
