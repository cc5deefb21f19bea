"""The header of a table and what was asked for go in; which columns are features, and what the others are, comes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from pathlib import Path

from vjepa_fer.cache.column_roles import Role
from vjepa_fer.doors import nearest
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import COLUMNS


def match_columns(header: list[str], patterns: Sequence[str], id_column: str | None, path: Path) -> list[str]:
    """The feature columns that the patterns name, in the file's order.

    A pattern with wild cards never takes a manifest's columns (path, label, subject), which our own exports carry. What is the
    name of a column is that column and no pattern; where names hold brackets (``mfcc_sma[1]``), a bracket is a bracket.
    """
    matches = [_matcher(pattern, header) for pattern in patterns]
    for pattern, match in zip(patterns, matches, strict=True):
        if not any(map(match, header)):
            raise CacheError(
                f"{path}: no column matches {pattern!r}; the columns are {some_of(header)}{nearest(pattern, header)}"
            )
    wanted = [n for n in header if n in patterns or n not in COLUMNS]
    names = [n for n in wanted if n != id_column and any(match(n) for match in matches)]
    if not names:
        raise CacheError(f"{path}: no feature column; the columns are {some_of(header)}")
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise CacheError(
            f"{path}: the feature column {twice!r} stands twice in the header; expected each name once: rename one, or choose others by --columns"
        )
    return names


def _matcher(pattern: str, header: list[str]) -> Callable[[str], object]:
    if pattern in header:
        return pattern.__eq__
    if any("[" in name for name in header):
        pattern = pattern.replace("[", "[[]")
    return re.compile(translate(pattern)).match


def named_by(names: Sequence[str], columns: Sequence[str]) -> frozenset[str]:
    """Which of the names were asked for letter by letter."""
    return frozenset(names) & frozenset(columns)


def roles_of_others(header: Sequence[str], names: Sequence[str], id_column: str | None) -> tuple[Role, ...]:
    """What columns are that are neither features nor ids."""
    taken = {*names, id_column}
    rest = [name for name in header if name not in taken]
    return tuple(
        Role(name, "left out", "is a column of manifests") if name in COLUMNS else Role(name, "not asked for")
        for name in rest
    )


def some_of(names: Sequence[str]) -> str:
    """The first few names, and how many there are."""
    return ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
