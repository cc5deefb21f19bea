"""Facts about a cache, as ``cache info --json`` prints them, go in; tables to paste come out: a row a fact, a level, a label, a subject, a clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vjepa_fer.doors import Column, Sheet

Facts = Mapping[str, Any]
COUNTS = ("clips_asked", "clips_done", "clips_failed", "rows", "shards", "disk_bytes", "shorter_than_window")


def facts_sheet(facts: Facts) -> Sheet:
    """Counts and the recipe, as a paper's section on methods needs them."""
    counts = [(name, facts[name]) for name in COUNTS]
    counts += [("labels", len(facts["labels"])), ("subjects", len(facts["subjects"]))]
    rows = [("cache", facts["cache"]), ("fingerprint", facts["fingerprint"]), *counts]
    rows += [(f"recipe.{name}", value) for name, value in facts["recipe"].items()]
    return _of([("fact", "text"), ("value", "text")], [(name, _words(value)) for name, value in rows])


def levels_sheet(facts: Facts) -> Sheet:
    """What is stored of each window."""
    rows = [(one["level"], " × ".join(map(str, one["shape"])), one["dtype"], one["bytes"]) for one in facts["levels"]]
    return _of([("level", "text"), ("shape", "text"), ("dtype", "text"), ("bytes", "count")], rows)


def labels_sheet(facts: Facts) -> Sheet:
    """How many finished clips have each label."""
    return _of([("label", "text"), ("clips", "count")], list(facts["labels"].items()))


def subjects_sheet(facts: Facts) -> Sheet:
    """How many finished clips are of each subject."""
    return _of([("subject", "text"), ("clips", "count")], list(facts["subjects"].items()))


def absent_sheet(facts: Facts) -> Sheet:
    """Each clip that was asked for and is not there, and why."""
    failed = [(one["clip_id"], one["reason"], one["message"]) for one in facts["failed"]]
    rows = [*failed, *((clip, "missing", "not done yet") for clip in facts["missing"])]
    return _of([("clip_id", "text"), ("reason", "text"), ("message", "text")], rows)


def _of(columns: list[tuple[str, str]], rows: list[tuple[Any, ...]]) -> Sheet:
    return Sheet(tuple(Column((name,), name, kind) for name, kind in columns), tuple(rows))


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


CACHE_PARTS: dict[str, Callable[[Facts], Sheet]] = {
    "facts": facts_sheet,
    "levels": levels_sheet,
    "labels": labels_sheet,
    "subjects": subjects_sheet,
    "absent": absent_sheet,
}
"""What can be asked for of a cache, by what a row of it is about."""
