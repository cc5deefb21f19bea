"""A cache and a level go in; a feature table in a file that other programs read comes out: NPZ, safetensors, CSV or Parquet."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vjepa_fer.cache.anonymous import Anonymiser
from vjepa_fer.cache.pooling import Features
from vjepa_fer.cache.reader import Cache
from vjepa_fer.disk import write_durably
from vjepa_fer.doors import csv_text, not_one_of
from vjepa_fer.errors import CacheError
from vjepa_fer.extras import require_extra
from vjepa_fer.recipe import Recipe, fingerprint, level_key, recipe_to_json


@dataclass(frozen=True, eq=False)
class _Export:
    """What every format writes: the features, the names of their columns, and where they come from."""

    features: Features
    columns: tuple[str, ...]
    about: dict[str, str]


def export_features(
    cache: Cache,
    path: str | os.PathLike[str],
    level: str = "mean",
    *,
    pool: Literal["mean"] | None = "mean",
    anonymiser: Anonymiser | None = None,
    force: bool = False,
) -> Path:
    """Write ``cache.features(level, pool=pool)`` to a file; its suffix decides the format.

    ``.npz``: arrays X, y, subjects, clip_id, columns, fingerprint, recipe. ``.safetensors``: X, with the rest as JSON in its
    metadata. ``.csv`` and ``.parquet``: clip_id, label, subject, then one column a feature (``mean_0`` …, or the names of
    an imported table and of opensmile, where there is one number of each); in a CSV, names that a spreadsheet would take for formulas have an apostrophe in front.

    Raises
    ------
    CacheError
        An unknown suffix, or the file is there already and `force` is not set, or cannot be written.
    MissingExtraError
        Parquet without pyarrow.
    """
    target = Path(path)
    write = _FORMATS.get(target.suffix.lower())
    if write is None:
        raise CacheError(not_one_of(f"{target}: suffix", target.suffix, _FORMATS))
    if target.exists() and not force:
        raise CacheError(f"{target}: is there already; choose another name, or --force to replace it")
    features, recipe = cache.features(level, pool=pool), cache.recipe
    if anonymiser:
        recipe = anonymiser.recipe(recipe)
        features = features._replace(subjects=np.array([anonymiser.subject(s) for s in features.subjects.tolist()]))
    about = {"format": "vjepa-fer/features", "level": level, "fingerprint": fingerprint(recipe)}
    columns = _columns(cache, level, features.X.shape[1])
    data = write(_Export(features, columns, about | {"recipe": recipe_to_json(recipe)}))
    try:
        write_durably(target, data)
    except OSError as error:
        raise CacheError(f"{target}: cannot be written ({error.strerror or error})") from error
    return target


def _columns(cache: Cache, level: str, dim: int) -> tuple[str, ...]:
    names = () if isinstance(cache.recipe, Recipe) else cache.recipe.columns
    if len(names) == dim:
        return names
    return tuple(f"{level_key(level)}_{n}" for n in range(dim))


def _npz(export: _Export) -> bytes:
    x, y, subjects, clip_ids = export.features
    image = io.BytesIO()
    texts: dict[str, Any] = {name: np.array(text) for name, text in export.about.items()}
    np.savez(image, X=x, y=y, subjects=subjects, clip_id=clip_ids, columns=np.array(export.columns), **texts)
    return image.getvalue()


def _safetensors(export: _Export) -> bytes:
    from safetensors.numpy import save

    names = ("y", "subjects", "clip_id")
    texts = {name: json.dumps(array.tolist()) for name, array in zip(names, export.features[1:], strict=True)}
    metadata = export.about | texts | {"columns": json.dumps(export.columns)}
    return save({"X": np.ascontiguousarray(export.features.X)}, metadata=metadata)


def _csv(export: _Export) -> bytes:
    # a float32 is written as the shortest text that reads back as the same
    rows = ([clip_id, y, subject, *x] for x, y, subject, clip_id in zip(*export.features, strict=True))
    return csv_text(["clip_id", "label", "subject", *export.columns], rows).encode()


def _parquet(export: _Export) -> bytes:
    require_extra("parquet", ("pyarrow",), "writing Parquet")
    import pyarrow
    from pyarrow import parquet

    x, y, subjects, clip_ids = export.features
    texts = {"clip_id": clip_ids.tolist(), "label": y.tolist(), "subject": subjects.tolist()}
    table = pyarrow.table(texts | {name: x[:, n] for n, name in enumerate(export.columns)})
    image = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata(export.about), image)
    return image.getvalue()


_FORMATS: dict[str, Callable[[_Export], bytes]] = {
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".csv": _csv,
    ".parquet": _parquet,
}
