"""A plan, its folds and the features' hashes go in; the settings that decide a run's numbers, and the name of its folder, come out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from vjepa_fer.disk import on_disk
from vjepa_fer.errors import RunError
from vjepa_fer.experiment import Cell, Nest, Plan


def run_name(plan: Plan) -> str:
    """Folder name of a plan: probe and level, and a short hash of whatever else differs from the defaults.

    A name that a disk may take for another one, by its letter case, has the hash too.
    """
    name = f"{plan.probe}-{plan.level.replace(':', '')}"
    if isinstance(plan, Nest):
        name += "-nested"
    elif plan == Cell(probe=plan.probe, level=plan.level) and name == on_disk(name):
        return name
    return f"{name}-{digest(canonical(plan.to_dict()))[:8]}"


def run_settings(
    plan: Plan, *, folds_name: str, folds_sha256: str, seed: int, source: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that decides a run's numbers, as plain JSON values.

    `source` names the features by content: the cache's ``fingerprint``, and ``clips`` (see :func:`digest_of_clips`).

    Raises
    ------
    RunError
        A number that is NaN or infinite, or a name that is no Unicode: JSON has no word for it.
    """
    folds = {"folds": folds_name, "folds_sha256": folds_sha256, "seed": seed}
    settings = {**plan.to_dict(), **folds, **source}
    try:
        return json.loads(canonical(settings).encode())
    except ValueError as error:
        raise RunError(
            f"a run cannot be kept with {settings}: {error}; give it finite numbers and plain names"
        ) from error


def digest_of_clips(*columns: Any) -> str:
    """SHA-256 of the clips evaluated: ids, labels and subjects, in order."""
    return digest(canonical([list(map(str, column)) for column in columns]))


def canonical(value: Any) -> str:
    """JSON that equal values have in common: keys in order, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(content: str | bytes) -> str:
    """SHA-256 of bytes, or of a text in UTF-8."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
