"""Several tables of predictions go in; one comes out: the folds of one evaluation together, or the mean of several classifiers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.features import Decision, decide
from vjepa_fer.folds import recording_of, shortlist
from vjepa_fer.judging import Predictions, PredictionTable, in_words_of
from vjepa_fer.manifest import MOST_SHOWN, abridged, natural_order

_TEST_FOLD = re.compile(r"test[_-]?fold[_-]?(\d+)")
"""How files are called that hold what was said of a fold's test clips, in the published code."""


def names_of_files(paths: Sequence[Path]) -> list[str]:
    """What each file is called among the others: its name without endings, or the whole path where two are called alike; ``test_fold0.csv`` … are 0 …."""
    short = [path.name.removesuffix(".gz").rpartition(".")[0] or path.name for path in paths]
    numbers = [match[1] for name in short if (match := _TEST_FOLD.fullmatch(name))]
    short = numbers if len(numbers) == len(short) else short
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def folds_of_files(tables: Sequence[PredictionTable], paths: Sequence[Path], *, foreign: bool) -> PredictionTable:
    """Tables that test other clips each, as one; a table without a column ``fold`` is a fold and called like its file.

    Parameters
    ----------
    tables : sequence of PredictionTable
    paths : sequence of Path
        Their files.
    foreign : bool
        Each fold is a model and may test every clip.

    Raises
    ------
    RunError
        A clip in two tables, or tables whose class columns differ.
    """
    parts = _in_the_first_ones_words(tables)
    _require_kinds(parts, paths)
    classes = tuple(dict.fromkeys(name for table in parts for name in table.predictions.classes))
    if parts[0].kind == "decisions":  # nobody says which classes there are, and a fold may lack one
        classes = tuple(sorted(classes))
    else:
        _require_classes(parts, paths)
    files = names_of_files(paths)
    folds = [_fold_names(table, name) for table, name in zip(parts, files, strict=True)]
    _refuse_twice(parts, folds, paths, foreign)
    names = natural_order(set(np.concatenate(folds).tolist()))
    number_of = {name: number for number, name in enumerate(names)}
    moved = [_over(table.predictions, classes) for table in parts]
    probabilities = [one.probabilities for one in moved]
    predictions = Predictions(
        classes=classes,
        **{name: np.concatenate([getattr(one, name) for one in moved]) for name in _COLUMNS},
        fold=np.array([number_of[name] for name in np.concatenate(folds).tolist()], np.int64),
        fold_names=() if names == [str(number) for number in range(len(names))] else tuple(names),
        probabilities=None if any(p is None for p in probabilities) else np.concatenate(probabilities),  # type: ignore[arg-type]
    )
    return _together(parts, predictions)


_COLUMNS = ("clip_ids", "subjects", "truth", "predicted")


def mean_of_files(tables: Sequence[PredictionTable], paths: Sequence[Path], *, foreign: bool) -> PredictionTable:
    """The mean of several classifiers' probabilities for the same clips, which decides anew.

    Raises
    ------
    RunError
        See :func:`align_tables`.
    """
    parts, aligned = align_tables(tables, paths, foreign=foreign)
    mean = np.mean([np.asarray(one.probabilities) for one in aligned], axis=0)
    known = len(parts[0].known)  # what no table can say comes behind, and is 0
    decided = decide(mean, aligned[-1].classes, among=np.arange(len(aligned[-1].classes)) < known)
    return fused_table(parts, aligned, mean, decided)


def align_tables(
    tables: Sequence[PredictionTable], paths: Sequence[Path], *, foreign: bool = False
) -> tuple[list[PredictionTable], list[Predictions]]:
    """Several classifiers' tables with the first one's words, and their predictions row by row for the same clips.

    Clips that all go by other names, and are the same RAVDESS recordings with and without sound, are matched by these.

    Raises
    ------
    RunError
        A table without probabilities, or tables that differ in clips, true labels, subjects, folds or class columns.
    """
    parts = _in_the_first_ones_words(tables)
    for table, path in zip(parts, paths, strict=True):
        if table.predictions.probabilities is None:
            raise RunError(f"{path}: it holds {table.kind}, of which there is no mean; probabilities are needed")
    _require_classes(parts, paths)
    first, where, aligned = parts[0].predictions, paths[0], []
    for table, path in zip(parts, paths, strict=True):
        one = _over(table.predictions, first.classes)
        keys, theirs = _keys_of_both(first, one, foreign)
        one = one.take(_rows_in_order(keys, theirs, where, path))
        first = dataclasses.replace(first, **_agreeing(first, one, where, path))
        aligned.append(dataclasses.replace(first, probabilities=one.probabilities, predicted=one.predicted))
    return parts, aligned


def fused_table(
    parts: Sequence[PredictionTable], aligned: Sequence[Predictions], probabilities: np.ndarray, decided: Decision
) -> PredictionTable:
    """One table of what several became."""
    predictions = dataclasses.replace(aligned[-1], probabilities=probabilities, **decided._asdict())
    return dataclasses.replace(_together(parts, predictions), contradicted=())


def are_twins(first: Predictions, other: Predictions) -> bool:
    """Whether all clips go by other names and each is the same RAVDESS recording as one of the others."""
    ours, theirs = ([recording_of(clip) for clip in one.clip_ids.tolist()] for one in (first, other))
    return (
        set(first.clip_ids.tolist()).isdisjoint(other.clip_ids.tolist())
        and "" not in ours
        and len(set(ours)) == len(ours)
        and sorted(ours) == sorted(theirs)
    )


def _keys_of_both(
    first: Predictions, other: Predictions, foreign: bool
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    keys = _keys(first, foreign), _keys(other, foreign)
    if not are_twins(first, other):
        return keys
    mine, theirs = ([(recording_of(clip), fold) for clip, fold in own] for own in keys)
    return mine, theirs


def _in_the_first_ones_words(tables: Sequence[PredictionTable]) -> list[PredictionTable]:
    """All tables with the classes' names of the first."""
    ours = tables[0].predictions.classes
    return [_renamed(table, in_words_of(table.predictions.classes, ours)) for table in tables]


def _renamed(table: PredictionTable, words: Mapping[str, str]) -> PredictionTable:
    if not words:
        return table
    classes = tuple(words.get(name, name) for name in table.predictions.classes)
    return dataclasses.replace(
        table,
        predictions=dataclasses.replace(table.predictions, classes=classes),
        known=tuple(words.get(name, name) for name in table.known),
        reworded=tuple(sorted({*table.reworded, *words.items()})),
    )


def _require_kinds(tables: Sequence[PredictionTable], paths: Sequence[Path]) -> None:
    """Sums over windows became mean probabilities, so that both go together."""
    for table, path in zip(tables, paths, strict=True):
        if {table.kind, tables[0].kind} not in (
            {tables[0].kind},
            {"sums", "probabilities"},
            {"logits", "probabilities"},
        ):
            raise RunError(
                f"{path}: it holds {table.kind}, but {paths[0]} {tables[0].kind}; folds of one kind are needed"
            )


def _require_classes(tables: Sequence[PredictionTable], paths: Sequence[Path]) -> None:
    for table, path in zip(tables, paths, strict=True):
        if set(table.known) != set(tables[0].known):
            raise RunError(
                f"{path}: its classes are {abridged(table.known, MOST_SHOWN)}, those of {paths[0]} "
                f"{abridged(tables[0].known, MOST_SHOWN)}; tables of the same classes are needed"
            )


def _over(predictions: Predictions, classes: tuple[str, ...]) -> Predictions:
    """The same over all of these classes, in their order."""
    missing = [name for name in predictions.classes if name not in classes]
    classes = (*classes, *missing)
    place = np.array([classes.index(name) for name in predictions.classes])
    probabilities = None
    if predictions.probabilities is not None:
        probabilities = np.zeros((len(predictions), len(classes)))
        probabilities[:, place] = predictions.probabilities
    return dataclasses.replace(
        predictions,
        classes=classes,
        truth=place[predictions.truth],
        predicted=place[predictions.predicted],
        probabilities=probabilities,
    )


def _fold_names(table: PredictionTable, name: str) -> np.ndarray:
    predictions = table.predictions
    if "fold" not in table.columns["read"]:
        return np.full(len(predictions), name, dtype=object)
    return np.array([predictions.name_of_fold(number) for number in predictions.fold.tolist()], dtype=object)


def _refuse_twice(
    tables: Sequence[PredictionTable], folds: Sequence[np.ndarray], paths: Sequence[Path], foreign: bool
) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for table, fold, path in zip(tables, folds, paths, strict=True):
        ids = table.predictions.clip_ids.tolist()
        keys = [(clip, name if foreign else "") for clip, name in zip(ids, fold.tolist(), strict=True)]
        again = [key for key in keys if key in seen]
        if again:
            raise RunError(
                f"{path}: {len(again):,} of {len(keys):,} clips are in {seen[again[0]]} too: {shortlist([c for c, _ in again])}; "
                "several tables are the folds of one evaluation, unless --fusion mean averages them"
            )
        seen |= dict.fromkeys(keys, path)


def _keys(predictions: Predictions, foreign: bool) -> list[tuple[str, str]]:
    """A clip, and across corpora the model that tested it."""
    folds = map(predictions.name_of_fold, predictions.fold.tolist()) if foreign else [""] * len(predictions)
    return list(zip(predictions.clip_ids.tolist(), folds, strict=True))


def _rows_in_order(
    keys: Sequence[tuple[str, str]], theirs: Sequence[tuple[str, str]], first: Path, path: Path
) -> np.ndarray:
    row_of = {key: row for row, key in enumerate(theirs)}
    differ = [*(set(keys) - set(row_of)), *(set(row_of) - set(keys))]
    if differ:
        raise RunError(
            f"{path}: {len(differ):,} clips are only here or only in {first}: {shortlist(sorted(clip for clip, _ in differ))}; a fusion "
            "needs the same clips in all tables"
        )
    return np.array([row_of[key] for key in keys])


def _agreeing(first: Predictions, other: Predictions, where: Path, path: Path) -> dict[str, Any]:
    """Classes, subjects and folds of both, each from whoever knows it."""
    names, others = np.array(first.classes, object), np.array(other.classes, object)
    _refuse_other("true label", names[first.truth], others[other.truth], first.clip_ids, where, path)
    found: dict[str, Any] = {"classes": other.classes}
    known = (first.subjects != "") & (other.subjects != "")
    _refuse_other("subject", first.subjects[known], other.subjects[known], first.clip_ids[known], where, path)
    found["subjects"] = np.where(first.subjects == "", other.subjects, first.subjects)
    if len(np.unique(first.fold)) == 1:
        return found | {"fold": other.fold, "fold_names": other.fold_names}
    if len(np.unique(other.fold)) > 1:
        mine, theirs = (np.array([p.name_of_fold(n) for n in p.fold.tolist()], dtype=object) for p in (first, other))
        _refuse_other("fold", mine, theirs, first.clip_ids, where, path)
    return found


def _refuse_other(what: str, ours: np.ndarray, theirs: np.ndarray, clips: np.ndarray, where: Path, path: Path) -> None:
    differ = ours != theirs
    if differ.any():
        row = int(np.argmax(differ))
        raise RunError(
            f"{path}: {int(differ.sum()):,} clips have another {what} than in {where}, such as {clips[row]}: "
            f"{str(theirs[row])!r} here, {str(ours[row])!r} there"
        )


def _together(tables: Sequence[PredictionTable], predictions: Predictions) -> PredictionTable:
    """What was said of each table, said of all."""
    columns = {
        what: tuple(dict.fromkeys(name for table in tables for name in table.columns[what]))
        for what in tables[0].columns
    }
    return PredictionTable(
        predictions,
        next((table.kind for table in tables if table.kind in ("sums", "logits")), tables[0].kind),
        tables[0].known if tables[0].kind != "decisions" else predictions.classes,
        columns,
        tuple(sorted({pair for table in tables for pair in table.united})),
        tuple(sorted({pair for table in tables for pair in table.reworded})),
        tuple(clip for table in tables for clip in table.contradicted),
    )
