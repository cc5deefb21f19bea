"""Labels as corpora spell them go in; the names under which two corpora can be compared come out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.spelling import canonical, refuse_spelled_twice
from vjepa_fer.manifest.tables import read_table

SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "anger": ("angry", "ang"),
        "calm": (),
        "contempt": ("contemptuous",),
        "disgust": ("disgusted", "dis"),
        "fear": ("fearful", "afraid", "fea"),
        "happy": ("happiness", "joy", "hap"),
        "neutral": ("neu",),
        "sad": ("sadness",),
        "surprise": ("surprised", "sur"),
    }
)
"""The common name of each expression, and the other ways in which corpora write it (in lower case)."""

MERGED: Mapping[str, str] = MappingProxyType({"calm": "neutral"})
"""What the policies that merge put together: RAVDESS' calm is a second baseline that looks nearly like neutral."""


def common_names(labels: Iterable[str], others: Mapping[str, str] | None = None) -> dict[str, str]:
    """Common name of each label; one that no table knows keeps its own, in the first of its spellings.

    Parameters
    ----------
    labels : iterable of str
    others : mapping, optional
        Label to name, looked at first, by its canonical form where it is spelled otherwise; see :func:`read_label_map`.
    """
    known = {spelling: name for name, spellings in SPELLINGS.items() for spelling in (name, *spellings)}
    by_form = known | {canonical(label): name for label, name in (others or {}).items()}
    return {label: (others or {}).get(label) or by_form.setdefault(canonical(label), label) for label in labels}


def require_other_names(classes: Sequence[str], names: Mapping[str, str]) -> None:
    """Raise :class:`vjepa_fer.errors.ManifestError` where two classes would have one common name."""
    called = Counter(names[label] for label in classes)
    twice = {name for name, count in called.items() if count > 1}
    if twice:
        spelt = ", ".join(label for label in classes if names[label] in twice)
        raise ManifestError(
            f"classes {spelt} have one common name, {', '.join(sorted(twice))}; give them names of their own by --label-map"
        )


def read_label_map(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read a table with the columns ``label`` and ``name``.

    Raises
    ------
    ManifestError
        Not such a table, an empty value, or a label twice, be it in two spellings.
    """
    table = read_table(path)
    names: dict[str, str] = {}
    for needed in ("label", "name"):
        if needed not in table.header:
            raise ManifestError(f"{table.path}, row 1: no column {needed!r}; a label map has the columns label, name")
    for number, row in table.rows:
        if not row["label"] or not row["name"] or row["label"] in names:
            raise ManifestError(f"{table.path}, row {number}: a label or name is empty, or the label stands twice")
        names[row["label"]] = row["name"]
    refuse_spelled_twice("labels", dict.fromkeys(names, ""), f"{table.path}: ")
    return names
