"""The columns of a feature table and the manifest go in; what each column is taken as comes out, and which of them are no features.

A table that pandas wrote holds its row numbers, and often the label and the person as numbers: a probe that reads these knows the
answer, on noise too. Columns that a pattern took are looked at here; one that was named letter by letter is taken as it is, and
whoever named it is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vjepa_fer.manifest import COLUMNS, MOST_SHOWN, Manifest, abridged

FEWEST_REPEATS = 8
"""Clips, beyond one a value, that a column must get right before it is no chance that it tells the label or the subject."""

LARGEST_SHARE = 1 / 3
"""Of distinct values among the clips: whole numbers that are finer than this are counts or measurements, not codes."""

MOST_NAMED = 12
"""Features that are listed by name."""

_BLOCK = 4096
"""Rows that are looked at together."""

UNNAMED = re.compile(r"(unnamed: ?\d+(\.\d+)*(_level_\d+)?)?", re.IGNORECASE)
"""What pandas, or nobody, calls a column."""

INDEX_NAMES = frozenset({"index", "level_0", "__index_level_0__", "row", "rownames", "row_id", "idx", "id", "no", "nr"})
CODE_NAMES = frozenset(
    f"{name}{end}"
    for name in (
        *("label", "labels", "emotion", "emotions", "expression", "class", "classes", "target", "targets", "y"),
        *("subject", "subjects", "actor", "speaker", "participant", "person", "identity"),
        *("fold", "split", "partition", "set", "subset", "usage", "phase"),
        *("gt", "gold", "truth", "ground_truth", "annotation", "annotated", "rating", "vote", "votes", "voted"),
        *("pred", "predicted", "prediction", "perceived", "intended", "is_train", "is_test", "is_val", "train", "test"),
    )
    for end in ("", "_id", "id", "_no", "_nr", "_num", "_idx", "_index", "_code", "_label")
)

NEARLY = 0.9
"""Share of clips at which a column with as many values as there are labels is those, as another's answers or with a slip."""


CODES_FOR_MISSING = (-999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0)
"""What SPSS, Matlab and coders of Action Units write where nothing is known."""

FAR = 10
"""Times as far from zero as any other value of its column such a code lies; nearer it may be measured."""


@dataclass(frozen=True)
class Role:
    """What one column is taken as.

    Attributes
    ----------
    name : str
        As the header has it.
    taken_as : str
        ``features``, ``clip ids``, ``left out``, ``not asked for``.
    why : str
        What it does instead of being a feature, ``counts the rows``; "" for those that are one.
    """

    name: str
    taken_as: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.why})" if self.why else self.name


def telling_columns(
    names: Sequence[str], values: np.ndarray, clip_ids: Sequence[str], manifest: Manifest
) -> dict[str, str]:
    """Columns that are no features, and what they are.

    Parameters
    ----------
    names : sequence of str
        Of length D.
    values : ndarray of float, shape (num_rows, D)
    clip_ids : sequence of str
        A row each, in the file's order; rows that the manifest does not know are not asked.
    manifest : Manifest
    """
    known = {clip.clip_id: clip for clip in manifest.clips}
    rows = [row for row, clip_id in enumerate(clip_ids) if clip_id in known]
    clips = [known[clip_ids[row]] for row in rows]
    what = {
        "label": _numbers_of([clip.label for clip in clips]),
        "subject": _numbers_of([clip.subject for clip in clips]),
    }
    found: dict[str, str] = {}
    for number in _candidates(values):
        why = _why_no_feature(names[number], values[:, number], values[rows, number], what)
        if why:
            found[names[number]] = why
    return found | {
        name: "is a column of the manifest" for name in names if name in manifest.columns or name in COLUMNS
    }


def _candidates(values: np.ndarray) -> list[int]:
    """Columns whose values repeat, or are whole numbers: most embeddings have none, and need no second look."""
    whole = np.ones(values.shape[1], bool)
    for start in range(0, len(values), _BLOCK):  # in portions: no second table in memory
        block = values[start : start + _BLOCK]
        whole &= (block == np.rint(block)).all(axis=0)
    some = values[: 4 * FEWEST_REPEATS]
    repeat = [len(np.unique(column)) < len(column) for column in some.T] if len(values) > len(some) else True
    steps = np.diff(some, axis=0)  # a row number or a time of day goes one way, whatever its unit
    return np.flatnonzero(whole | repeat | (steps > 0).all(axis=0) | (steps < 0).all(axis=0)).tolist()


def _why_no_feature(name: str, column: np.ndarray, inside: np.ndarray, what: Mapping[str, np.ndarray]) -> str:
    if _counts_rows(name, column):
        return "counts the rows"
    if len(column) > FEWEST_REPEATS and _goes_one_way(column):
        return "goes one way from row to row"
    for asked, codes in what.items():
        how = _tells(inside, codes)
        if how and (asked, how) != ("subject", "follows from"):  # such as an age, which many may share
            return f"{how} the {asked}"
    if name.strip().lower() in CODE_NAMES and _are_whole(column) and column.min() < column.max():
        return "has the name of a label, a person or a fold, and whole numbers"
    return ""


def _counts_rows(name: str, column: np.ndarray) -> bool:
    """Whole numbers under a name that says so, or each once and without a gap, in any order."""
    if not _are_whole(column):
        return False
    if UNNAMED.fullmatch(name.strip()) or name.strip().lower() in INDEX_NAMES:
        return True
    without_gap = len(column) > FEWEST_REPEATS and column.max() - column.min() == len(column) - 1
    return without_gap and len(np.unique(column)) == len(column)


def _goes_one_way(column: np.ndarray) -> bool:
    """Whether it only rises or only falls, as a number in a larger table or a time does: of a table in order it tells who and what."""
    steps = np.diff(column)
    return bool((steps > 0).all() or (steps < 0).all())


def _tells(column: np.ndarray, codes: np.ndarray) -> str:
    """How the values tell what has these codes, both a clip each: ``equals``, ``nearly equals``, ``determines``, ``follows from``; or not: ""."""
    _, place = np.unique(column, return_inverse=True)
    num_values, num_codes = place.max(initial=-1) + 1, codes.max(initial=-1) + 1
    if num_values < 2 or num_codes < 2 or len(column) - num_values < FEWEST_REPEATS:
        return ""
    pairs = len(np.unique(place.astype(np.int64) * num_codes + codes))
    if pairs == num_values == num_codes:
        return "equals"
    if pairs == num_values and _are_whole(column) and num_values <= LARGEST_SHARE * len(column):
        return "determines"
    if num_values == num_codes > 2 and _are_whole(column) and _share_alike(place, codes) >= NEARLY:
        return "nearly equals"
    if pairs == num_codes and np.bincount(codes).min() > 1:
        return "follows from"
    return ""


def _share_alike(place: np.ndarray, codes: np.ndarray) -> float:
    """Of clips whose value is that of most clips with their code; 0 where two codes share a value."""
    counts = np.zeros((codes.max() + 1, place.max() + 1), np.int64)
    np.add.at(counts, (codes, place), 1)
    one_to_one = len(set(counts.argmax(axis=1).tolist())) == len(counts)
    return float(counts.max(axis=1).sum() / len(place)) if one_to_one else 0.0


def _are_whole(column: np.ndarray) -> bool:
    return bool((column == np.rint(column)).all())


def _numbers_of(texts: Sequence[str]) -> np.ndarray:
    return np.unique(np.array(texts, dtype=str), return_inverse=True)[1]


def codes_for_missing(names: Sequence[str], values: np.ndarray) -> Iterator[str]:
    """Columns that hold a number that seems to say that nothing is known, in words: a probe takes it for a very large value.

    Parameters
    ----------
    names : sequence of str
        Of length D.
    values : ndarray of float, shape (num_rows, D)
    """
    for code in CODES_FOR_MISSING:
        is_code = values == code
        for number in np.flatnonzero(is_code.any(axis=0)).tolist():
            others = np.abs(values[~is_code[:, number], number])
            if len(others) and FAR * others.max() < abs(code):
                rows = int(is_code[:, number].sum())
                yield f"{names[number]} holds {code:g} in {rows:,} of {len(values):,} rows, and nothing near it elsewhere: is it a word for missing data?"


def words_of(roles: Iterable[Role]) -> tuple[str, ...]:
    """A line each thing that columns were taken as, their names behind it; those of which the same is to be said stand together."""
    grouped: dict[str, dict[str, list[str]]] = {}
    for role in roles:
        grouped.setdefault(role.taken_as, {}).setdefault(role.why, []).append(role.name)
    return tuple(
        f"{taken_as} ({sum(map(len, kinds.values())):,}): {'; '.join(_kind_words(taken_as, *kind) for kind in kinds.items())}"
        for taken_as, kinds in grouped.items()
    )


def _kind_words(taken_as: str, why: str, names: Sequence[str]) -> str:
    shown = abridged(names, MOST_NAMED if taken_as == "features" or why else MOST_SHOWN)
    return f"{shown} ({why})" if why else shown
