"""A grid goes in whose rows and columns are not called alike; the same comes out under the names that they have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from vjepa_fer.judging.class_columns import without_beginning
from vjepa_fer.judging.confusion_grid import Grid
from vjepa_fer.judging.confusion_margins import is_beside
from vjepa_fer.manifest import common_names

MARK = r"[_\-:. ]"


def barely_named(grid: Grid, names: Mapping[str, str] | None) -> Grid:
    """Without a word before all names of a side, or a unit behind them, where more rows and columns are called alike then.

    ``true_sad`` and ``pred_sad`` are both sad, ``sad (%)`` too.
    """
    as_they_are = grid._replace(columns=_without_beginning(grid.columns, grid.rows, names))
    bare = grid._replace(rows=_bare(grid.rows), columns=_bare(grid.columns))
    return max(as_they_are, bare, key=lambda grid: _alike(grid, names))


def _alike(grid: Grid, names: Mapping[str, str] | None) -> int:
    """How many rows are called like a column, margins apart."""
    called = common_names([*grid.rows, *grid.columns], names)
    classes = {called[name] for name in grid.rows if not is_beside(name)}
    return len(classes & {called[name] for name in grid.columns})


def _without_beginning(
    columns: tuple[str, ...], rows: Sequence[str], names: Mapping[str, str] | None
) -> tuple[str, ...]:
    found = without_beginning(columns, {name for name in rows if not is_beside(name)}, names)
    bare = dict(zip(found.headed, found.bare, strict=True))
    return tuple(bare.get(name, name) for name in columns)


def _bare(names: Sequence[str]) -> tuple[str, ...]:
    plain = [re.sub(r"\s*\(?%\)?$", "", name) for name in names]
    begun = [name for name in plain if re.search(MARK, name) and not is_beside(name)]
    shared = os.path.commonprefix(begun) if len(begun) > 1 else ""  # noqa: RUF071 - names, no paths
    beginning = re.match(f".*{MARK}", shared)
    return tuple(name.removeprefix(beginning[0]) if beginning else name for name in plain)
