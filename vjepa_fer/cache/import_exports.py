"""Safetensors and Parquet files go in, those that `export` writes among them; ids, a matrix and its columns' names come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache.import_clips import stack_clips
from vjepa_fer.cache.npy import MAX_BYTES, most_bytes
from vjepa_fer.doors import nearest
from vjepa_fer.errors import CacheError
from vjepa_fer.extras import require_extra
from vjepa_fer.manifest import COLUMNS


def read_safetensors(source: Path, ids: str, values: str) -> tuple[list[str], np.ndarray, list[str] | None]:
    """A tensor of values whose ids are a list in the metadata, as `export` writes it; or one tensor a clip.

    Raises
    ------
    CacheError
        Not a whole file, or neither of the two.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(source, "np") as file:
            said, names = file.metadata() or {}, list(file.keys())
            if values not in names:
                clip_ids, array = stack_clips(((name, file.get_tensor(name)) for name in names), source)
                return clip_ids, array, None
            array = file.get_tensor(values)
    except (SafetensorError, TypeError) as error:
        raise CacheError(f"{source}: cannot be read as safetensors ({str(error)[:200]})") from error
    if ids not in said:
        raise CacheError(f"{source}: no ids {ids!r} in its metadata, which has {', '.join(sorted(said)) or 'nothing'}")
    return (
        _listed(said[ids], ids, source),
        array,
        _listed(said["columns"], "columns", source) if "columns" in said else None,
    )


def _listed(text: str, name: str, source: Path) -> list[str]:
    """A list of texts, as JSON."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise CacheError(f"{source}: {name} in its metadata is no list of texts")
    "".join(found).encode()  # no half of a Unicode pair, which could not be written
    return found


def read_parquet(source: Path, ids: str, values: str) -> tuple[list[str], np.ndarray, list[str]]:
    """A column of ids and a column a feature; those of texts, and a manifest's, are no features. `values` has no part in it.

    Raises
    ------
    CacheError
        Not a Parquet file, no such column, an empty cell, or more than a table may hold.
    MissingExtraError
        pyarrow is not installed.
    """
    require_extra("parquet", ("pyarrow",), "reading Parquet")
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(source, memory_map=False) as file:
            chosen = _parquet_features(file.schema_arrow, source, ids)
            num_rows, room = file.metadata.num_rows, min(MAX_BYTES, most_bytes(source.stat().st_size))
            if 8 * num_rows * max(len(chosen), 1) > room:
                raise CacheError(f"{source}: says {num_rows:,} rows of {len(chosen):,} columns, more than it can hold")
            table = file.read(columns=[ids, *chosen])
    except pyarrow.ArrowException as error:
        raise CacheError(f"{source}: cannot be read as Parquet ({str(error)[:200]})") from error
    for name in (ids, *chosen):
        if table[name].null_count:
            raise CacheError(f"{source}: column {name} has {table[name].null_count:,} empty cells")
    array = np.column_stack([table[name].to_numpy() for name in chosen]) if chosen else np.empty((len(table), 0))
    return [str(value) for value in table[ids].to_pylist()], array, chosen


def _parquet_features(schema: Any, source: Path, ids: str) -> list[str]:
    """The columns of numbers, but for the ids and a manifest's own."""
    from pyarrow import types

    if ids not in schema.names:
        raise CacheError(
            f"{source}: no column {ids!r}; the columns are {', '.join(schema.names[:12])}{nearest(ids, schema.names)}"
        )
    if len(set(schema.names)) < len(schema.names):
        raise CacheError(f"{source}: a column stands twice in the header")
    return [
        field.name
        for field in schema
        if field.name not in (ids, *COLUMNS) and (types.is_integer(field.type) or types.is_floating(field.type))
    ]
