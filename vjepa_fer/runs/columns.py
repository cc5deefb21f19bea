"""Predictions go in; ``predictions.npz`` comes out, a copy of ``predictions.csv`` by columns that is read in a fiftieth of the time.

The table is what a run says; the columns say whose copy they are. They hold the table's SHA-256, and ``run.json`` holds theirs as
``columns``. Columns of another table are passed over, changed ones are refused, and a run without any, as older ones are, is read
from its table.

::

    names.npy          UTF-8 JSON: {"predictions.csv": SHA-256, "classes": …, "clip_ids": …, "subjects": …, "folds": …}
    subject.npy …      int32 (num_clips,): the number of its subject, fold, true and predicted class
    probabilities.npy  float64 (num_clips, num_classes)
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache.npy import read_npz
from vjepa_fer.doors import Given, parse_object
from vjepa_fer.errors import CacheError, RunError
from vjepa_fer.judging import Predictions
from vjepa_fer.manifest import natural_order

PREDICTIONS_NPZ = "predictions.npz"
NUMBERED_BY = {"subject": "subjects", "fold": "folds", "truth": "classes", "predicted": "classes"}
"""Columns of numbers, and the list of names that each counts in."""

ADVICE = "remove it: the run is read from predictions.csv then, which says the same"


def write_columns(path: Path, predictions: Predictions, *, table_sha256: str) -> None:
    """Write the columns of a table that lies on disk, with every name as it comes back from there."""
    subjects, subject = np.unique(predictions.subjects, return_inverse=True)
    numbers, place = np.unique(predictions.fold, return_inverse=True)
    called = [predictions.name_of_fold(number).strip() for number in numbers.tolist()]
    folds = natural_order(called)
    names = {
        "predictions.csv": table_sha256,
        "classes": _stripped(predictions.classes),
        "clip_ids": _stripped(predictions.clip_ids.tolist()),
        "subjects": _stripped(subjects.tolist()),
        "folds": folds,
    }
    columns = {
        "subject": subject,
        "fold": np.array([folds.index(name) for name in called])[place],
        "truth": predictions.truth,
        "predicted": predictions.predicted,
    }
    arrays: dict[str, Any] = {name: values.reshape(-1).astype(np.int32) for name, values in columns.items()}
    arrays["names"] = np.frombuffer(json.dumps(names, ensure_ascii=False).encode(), np.uint8)
    arrays["probabilities"] = np.asarray(predictions.probabilities, np.float64)
    np.savez(path, **arrays)


def _stripped(names: Iterable[str]) -> list[str]:
    return [name.strip() for name in names]


def read_columns(data: bytes, source: Path, *, table_sha256: str) -> Predictions | None:
    """The predictions in the bytes of ``predictions.npz``; None if they are a copy of another table.

    Raises
    ------
    RunError
        They are no columns of predictions.
    """
    try:
        arrays = read_npz(io.BytesIO(data), source, packed=False)
        names = parse_object(arrays["names"].tobytes(), f"{source}: names", error=RunError, advice=ADVICE)
        return None if names.text("predictions.csv") != table_sha256 else _predictions(arrays, names)
    except (CacheError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(f"{source}: no columns of predictions ({error}); {ADVICE}") from error


def _predictions(arrays: Mapping[str, np.ndarray], names: Given) -> Predictions:
    lists = {key: names.texts(key) for key in ("classes", "clip_ids", "subjects", "folds")}
    num_clips = len(lists["clip_ids"])
    column = {name: _numbers(arrays[name], num_clips, len(lists[key])) for name, key in NUMBERED_BY.items()}
    probabilities = arrays["probabilities"]
    if probabilities.dtype != np.float64 or probabilities.shape != (num_clips, len(lists["classes"])):
        raise ValueError(f"probabilities are {probabilities.dtype} {probabilities.shape}")
    if not (probabilities >= 0).all():  # NaN is no number that is at least 0
        raise ValueError("a probability is negative or none")
    by_number = lists["folds"] == tuple(map(str, range(len(lists["folds"]))))
    return Predictions(
        classes=lists["classes"],
        clip_ids=np.array(lists["clip_ids"]),
        subjects=np.array(lists["subjects"])[column["subject"]],
        fold=column["fold"],
        fold_names=() if by_number else lists["folds"],
        truth=column["truth"],
        predicted=column["predicted"],
        probabilities=probabilities,
    )


def _numbers(values: np.ndarray, num_clips: int, num_names: int) -> np.ndarray:
    if values.dtype != np.int32 or values.shape != (num_clips,) or not num_clips:
        raise ValueError(f"a column is {values.dtype} {values.shape} for {num_clips} clips")
    if values.min() < 0 or values.max() >= num_names:
        raise ValueError(f"a column counts up to {values.max()} in {num_names} names")
    return values.astype(np.int64)
