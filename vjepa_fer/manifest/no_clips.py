"""Rows of a table go in; those that are about other rows, a sum at its end or a second header at its top, are refused.

A spreadsheet has such rows for its readers. Taken for a clip, ``Total, 36, 36`` is one of a class ``36`` that was recognised: a UAR of 36 becomes 52.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from vjepa_fer.errors import ManifestError, VjepaFerError
from vjepa_fer.manifest.spelling import canonical

SUMS = frozenset(
    {
        *("total", "totals", "grand total", "sum", "sums", "all", "overall", "count", "counts"),
        *("mean", "means", "average", "avg", "median", "sd", "std", "stdev", "min", "max"),
        *("accuracy", "acc", "war", "uar", "percent"),
        *("gesamt", "gesamtergebnis", "summe", "mittelwert", "anzahl", "somme", "moyenne", "suma", "promedio", "media"),
        *("总计", "合计", "平均", "合計", "итого", "всего"),
    }
)
"""What people call a last row that sums up the others, as :func:`canonical` has it."""

HEADS = frozenset(
    {
        *("clip", "clips", "clip id", "clip_id", "video", "file", "filename", "file name"),
        *("name", "id", "path", "sample"),
        *("label", "labels", "class", "emotion", "expression", "category", "true_label", "truth", "ground truth"),
        *("text", "string", "str", "int", "integer", "word", "code"),
    }
)
"""What stands in a second header, below the first: names of columns once more, or what their values are."""


def refuse_no_clips(
    rows: Sequence[tuple[int, str, str]], where: str, *, error: type[VjepaFerError] = ManifestError
) -> None:
    """Raise where a last row is called like a sum, or the first is a header.

    Parameters
    ----------
    rows : sequence of (int, str, str)
        Number, clip id and label of each.
    where : str
        The file, for messages.
    error : type of VjepaFerError
    """
    last = list(itertools.takewhile(lambda row: _bare(row[1]) in SUMS, reversed(rows)))
    head = [row for row in rows[:1] if _is_head(row[1]) and _is_head(row[2])]
    for number, clip_id, label in (*head, *last):
        what = "a second header" if head else "a row about the others"
        raise error(
            f"{where}, row {number}: {clip_id!r}, {label!r} is no clip but {what}; take it out, or, where it is a clip, give it another id"
        )


def _bare(name: str) -> str:
    return canonical(name).strip(" .:()[]")


def _is_head(name: str) -> bool:
    return _bare(name) in HEADS or bool(re.fullmatch(r"\(.+\)|\[.+\]", name.strip()))
