"""The facts of a cache go in; blocks of text that fit the terminal come out: what is in it, what is missing, what failed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vjepa_fer.disk import bytes_for_people
from vjepa_fer.doors import printable

from .extract_words import spans_differ
from .terminal import screen_of_text

MOST_LISTED = 10
"""Clips that are missing or failed are listed up to this many; --json lists all."""


def print_facts(facts: Mapping[str, Any]) -> None:
    """The object of ``cache info --json``, to stdout."""
    _print_block(facts["cache"], _overview(facts))
    _print_block(
        "levels",
        [
            (v["level"], " × ".join(map(str, v["shape"])), v["dtype"], bytes_for_people(v["bytes"]))
            for v in facts["levels"]
        ],
    )
    for name in ("labels", "subjects"):
        if facts[name]:
            _print_cells(f"{name}: clips done", [f"{key}: {n:,}" for key, n in facts[name].items()])
    _print_block("recipe", [(name, _words(value)) for name, value in facts["recipe"].items()])
    if facts["missing"]:
        title = _some("missing, neither done nor failed", len(facts["missing"]))
        _print_cells(title, facts["missing"][:MOST_LISTED])
    if facts["failed"]:
        rows = [(f["clip_id"], f"{f['reason']}: {f['message']}".rstrip(": ")) for f in facts["failed"][:MOST_LISTED]]
        _print_block(_some("failed", len(facts["failed"])), rows)


def _overview(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        *_counts(facts),
        *_about_windows(facts),
        ("fingerprint", facts["fingerprint"][:16]),
        *_about_library(facts["recipe"]),
    ]


def _about_library(recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Whose numbers they are, where they are not those of our own model."""
    if recipe["kind"] == "sound":
        return [("computed by", f"{recipe['library']} {recipe['version']}, from the sound")]
    if not recipe.get("encoder.library.library"):
        return []
    return [("computed by", f"{recipe['encoder.library.library']} {recipe['encoder.library.version']}")]


def _about_windows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    lines = []
    if facts["shorter_than_window"]:
        lines.append(
            ("short clips", f"{facts['shorter_than_window']:,} are shorter than a window, and repeat their last frame")
        )
    if facts["window_seconds"]:
        shortest, longest = facts["window_seconds"]
        differ = spans_differ(shortest, longest)
        lines.append(("window spans", f"note: {differ}" if differ else f"{(shortest + longest) / 2:.2f} s"))
    return lines


def _counts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("clips done", f"{facts['clips_done']:,} of {facts['clips_asked']:,}"),
        ("clips missing", f"{len(facts['missing']):,}"),
        ("clips failed", f"{facts['clips_failed']:,}"),
        (_rows_are(facts), f"{facts['rows']:,}"),
        ("labels, subjects", f"{len(facts['labels'])}, {_subjects(facts)}"),
        ("shards", f"{facts['shards']:,}, {bytes_for_people(facts['disk_bytes'])}"),
    ]


def _rows_are(facts: Mapping[str, Any]) -> str:
    """What a row of the cache is: of features over time, which say what their time is counted in, and of sound a moment."""
    recipe = facts["recipe"]
    if recipe["kind"] == "sound":
        return "moments" if recipe["storage.levels"][0].startswith("frames") else "rows"
    return "moments" if recipe.get("clock", "none") != "none" else "windows × views"


def _subjects(facts: Mapping[str, Any]) -> str:
    from vjepa_fer.judging import subjects_in_words

    return subjects_in_words(len(facts["subjects"]), facts["clips_asked"]).removesuffix(" subjects")


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _some(title: str, count: int) -> str:
    return title if count <= MOST_LISTED else f"{title} (the first {MOST_LISTED} of {count:,}; --json has all)"


def _print_cells(title: str, cells: Sequence[str]) -> None:
    """In as many columns as the terminal has room for, read downwards."""
    texts = [printable(cell) for cell in cells]
    width = max(map(len, texts)) + 3
    across = max(1, screen_of_text().width // width)
    down = math.ceil(len(texts) / across)
    _print_block(title, [("".join(text.ljust(width) for text in texts[row::down]).rstrip(),) for row in range(down)])


def _print_block(title: str, rows: Iterable[Sequence[str]]) -> None:
    from rich.table import Table

    grid = Table.grid(padding=(0, 3, 0, 0))
    for row in rows:
        grid.add_row(*row)
    for column in grid.columns:
        column.overflow = "fold"
    screen = screen_of_text()
    screen.print(title, style="bold")
    screen.print(grid)
    screen.print()
