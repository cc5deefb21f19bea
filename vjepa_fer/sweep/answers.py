"""What a fit decided goes in; bytes of a file come out, and the same again: a process may take it from another, or from before it was stopped."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache.npy import read_npz
from vjepa_fer.doors import TABLE, TooLargeError, parse_object, read_bytes
from vjepa_fer.errors import RunError, VjepaFerError
from vjepa_fer.evaluation import Answer, Decided


def answer_bytes(answer: Answer, numbers: Sequence[int]) -> bytes:
    """An NPZ file of an answer; `numbers` says which of the family's cells it decides, in their order."""
    facts = {
        "cells": list(numbers),
        "seconds": answer.seconds,
        "judged": answer.num_judged,
        "settled": [dict(one.settled) for one in answer.decided],
        "stackers": [one.stacker for one in answer.decided],
    }
    arrays: dict[str, Any] = {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)}
    if answer.hits is not None:
        arrays["hits"] = answer.hits
    if answer.decided:
        classes = answer.decided[0].classes  # one training part: the same for all cells
        arrays["classes"] = classes.astype(str)
        arrays["probabilities"] = np.stack([one.probabilities for one in answer.decided])
        arrays["predicted"] = np.stack([np.searchsorted(classes, one.labels) for one in answer.decided])
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def read_answer(path: Path, numbers: Sequence[int], *, num_rows: int) -> Answer | None:
    """An answer for these of the family's cells; None if there is none that is whole and is about all of them.

    Parameters
    ----------
    path : Path
    numbers : sequence of int
        Cells to be decided; empty for one that counts hits.
    num_rows : int
        Clips that are decided, or cells whose hits are counted.
    """
    try:
        data = read_bytes(path, at_most=TABLE.size, follow=False)
        arrays = read_npz(io.BytesIO(data), path, packed=False)
        facts = parse_object(arrays["facts"].tobytes(), str(path), error=RunError, advice="")
        seconds = facts.number("seconds")
        if not numbers:
            hits = _checked(arrays["hits"], (num_rows,), "i")
            return Answer([], hits, seconds, facts.whole("judged", least=max(1, int(hits.max()))))
        return Answer(_decided(arrays, facts.values, numbers, num_rows), None, seconds)
    except (VjepaFerError, OSError, ValueError, KeyError, TypeError, TooLargeError, zipfile.BadZipFile):
        return None  # absent, or cut off when the power went: it is worth a fit


def _decided(arrays: dict[str, np.ndarray], facts: Any, numbers: Sequence[int], num_rows: int) -> list[Decided]:
    there: Collection[int] = list(facts["cells"])
    classes, shape = arrays["classes"], (len(there), num_rows)
    probabilities = _checked(arrays["probabilities"], (*shape, len(classes)), "f")
    predicted = _checked(arrays["predicted"], shape, "i")
    if predicted.size and not 0 <= predicted.min() <= predicted.max() < len(classes):
        raise ValueError("a label beyond the classes")
    at = [list(there).index(number) for number in numbers]
    settled, stackers = facts["settled"], facts["stackers"]
    return [Decided(classes, probabilities[n], classes[predicted[n]], dict(settled[n]), stackers[n]) for n in at]


def _checked(values: np.ndarray, shape: tuple[int, ...], kind: str) -> np.ndarray:
    if values.shape != shape or values.dtype.kind != kind:
        raise ValueError(f"{values.dtype} {values.shape}")
    return values
