"""How ``probe`` shows several streams: what was joined; and of ``--fusion all`` one table of each stream alone and each fusion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from .options import SOME_FAILED, Shape
from .terminal import fits, print_json, print_sheet, print_table, say, warn

if TYPE_CHECKING:
    from vjepa_fer.doors import Sheet
    from vjepa_fer.features import Joined
    from vjepa_fer.sweep import Fused

FIRST = 3
"""Columns before the differences."""

FIGURES = "streams alone and fused: %, all clips pooled [95 % over subjects]"
APART = "− {}: points, paired on the same clips [95 %], Holm over all rows"


def say_what_was_joined(joined: Joined) -> None:
    """Which clips, in which way, and what dropped out; to stderr."""
    alone = joined.fusion.partition("only:")[2]
    how = f"{alone} alone" if alone else f"{joined.fusion} fusion"
    say(f"{' + '.join(joined.streams)}: {len(joined):,} clips that every stream has; {how}")
    for name, lost in joined.dropped.items():
        if lost:
            warn(f"{len(lost):,} clips of {name} are in no other stream and drop out, such as {', '.join(lost[:3])}")
    if joined.alignment is not None:
        (warn if joined.alignment.num_lost else say)(str(joined.alignment))


def show_fusions(fused: Fused, form: Shape, as_json: bool) -> None:
    """The table to stdout; what was joined, chosen, weighed and kept to stderr."""
    from vjepa_fer.runs import SCHEMA

    first = next(iter(fused.outcomes.values()))
    say(*dict.fromkeys(line for outcome in fused.outcomes.values() for line in outcome.roles))
    if first.joined is not None:
        _say_once(fused)
    if as_json:
        print_json({"schema": SCHEMA, **fused.to_dict()})
    elif (sheet := fused.sheet) is not None:
        title = fused.reference.removeprefix("only:")
        print_fusions(sheet, title) if form == "table" else print_sheet(sheet, form)
    _say_what_became(fused)
    if any(outcome.swept.lost for outcome in fused.outcomes.values()):
        raise typer.Exit(SOME_FAILED)


def print_fusions(sheet: Sheet, reference: str, letter: Mapping[str, str] | None = None) -> None:
    """A row a run: one table, or where there is no room for it the figures and then the differences."""
    head = [name.replace("reference", reference) for name in sheet.heads[1:]]
    rows = [[f"{letter[run]}  {name}" if letter else name, *cells] for run, name, *cells in sheet.shown_rows()]
    apart = APART.format(reference)
    if len(head) == FIRST or fits(head, rows):
        print_table(head, rows, title=[FIGURES, apart][: 1 + (len(head) > FIRST)])
        return
    print_table(head[:FIRST], [row[:FIRST] for row in rows], title=FIGURES)
    short = [name.partition(" −")[0] for name in head[FIRST:]]
    called = [row[0].partition("  ")[0] if letter else row[0].removesuffix(" alone") for row in rows]
    print_table(["", *short], [[name, *row[FIRST:]] for name, row in zip(called, rows, strict=True)], title=apart)


def _say_once(fused: Fused) -> None:
    """What was joined, of the whole: streams and clips are the same for all."""
    joined = [outcome.joined for outcome in fused.outcomes.values() if outcome.joined is not None]
    say(f"{' + '.join(joined[0].streams)}: {len(joined[0]):,} clips that every stream has, in all rows")
    for name, lost in joined[0].dropped.items():
        if lost:
            warn(f"{len(lost):,} clips of {name} are in no other stream and drop out, such as {', '.join(lost[:3])}")
    for alignment in (one.alignment for one in joined if one.alignment is not None):
        (warn if alignment.num_lost else say)(f"early: {alignment}")


def _say_what_became(fused: Fused) -> None:
    from vjepa_fer.runs import stacker_words

    for how, outcome in fused.outcomes.items():
        for line in outcome.swept.lost:
            warn(f"lost: {how}: {line}")
    for one in fused.best.values():
        evaluation = one.evaluation
        if evaluation.stackers:
            for line in stacker_words(evaluation.beside["fusion"]["streams"], evaluation.stackers):
                say(line)
    for line in dict.fromkeys(x for one in fused.best.values() for x in one.evaluation.beside.get("unaudited", ())):
        say(f"the search for leaks did not see {line}")
    for note in fused.comparison.notes if fused.comparison else ():
        warn(note)
    for how, one in fused.best.items():
        if one.run:
            say(f"run, {how}: {one.run}")
