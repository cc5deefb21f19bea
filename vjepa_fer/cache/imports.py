"""A table of features that another program made goes in; a cache with the level ``mean`` comes out."""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vjepa_fer.cache.folder import Failure, prepare_cache, write_failures
from vjepa_fer.cache.reader import Cache, open_cache
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.cache.writer import ShardWriter
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import Manifest
from vjepa_fer.recipe import ImportedRecipe


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features by clip: `ids` of length N, `columns` of length D, `values` float32 (N, D), and which file they are."""

    ids: tuple[str, ...]
    columns: tuple[str, ...]
    values: np.ndarray
    source: str
    source_sha256: str


def import_features(
    table: FeatureTable, root: str | os.PathLike[str], manifest: Manifest
) -> tuple[Cache, tuple[str, ...]]:
    """Write a feature table as a cache: one row a clip, level ``mean``, joined to the manifest by clip id.

    A clip of the manifest that the table lacks is listed in ``failed.csv`` with the reason ``missing``.

    Returns
    -------
    cache : Cache
    surplus : tuple of str
        Ids of the table that the manifest lacks; they are not imported.

    Raises
    ------
    CacheError
        No id in common, or the folder holds something else.
    """
    row_of = {clip_id: row for row, clip_id in enumerate(table.ids)}
    wanted = [clip.clip_id for clip in manifest.clips]
    found = [clip_id for clip_id in wanted if clip_id in row_of]
    if not found:
        raise CacheError(
            f"{table.source}: none of its {len(table.ids)} ids is a clip of the manifest: "
            f"{table.ids[0]!r} in the table, {wanted[0]!r} in the manifest; is --id-column the right column?"
        )
    recipe = ImportedRecipe(source=table.source, source_sha256=table.source_sha256, columns=table.columns)
    prepare_cache(root, recipe, manifest)
    done = open_cache(root).done
    writer = ShardWriter(root, recipe)
    for clip_id in found:
        if clip_id not in done:
            writer.add(_one_row(clip_id, table.values[row_of[clip_id]]))
    writer.flush()
    write_failures(Path(root), {i: _absent(i, table.source) for i in wanted if i not in row_of})
    known = set(wanted)
    return open_cache(root), tuple(clip_id for clip_id in table.ids if clip_id not in known)


def _one_row(clip_id: str, vector: np.ndarray) -> ClipRows:
    zero, one = np.zeros(1, np.int32), np.ones(1, np.int32)
    empty = np.zeros((1, 0))
    return ClipRows(
        clip_id=clip_id,
        source_sha256="",
        start_frame=zero,
        view=zero,
        multiplicity=one,
        num_real_frames=zero,
        frame_indices=empty,
        timestamps=empty,
        levels={"mean": vector[None]},
    )


def _absent(clip_id: str, source: str) -> Failure:
    return Failure(clip_id, source, "missing", f"the feature table has no row for {clip_id}", "")


def read_feature_csv(path: str | os.PathLike[str], *, id_column: str, columns: Sequence[str]) -> FeatureTable:
    """Read a CSV of features, one row a clip; comma, semicolon or tab.

    Parameters
    ----------
    path : path
    id_column : str
        The column that holds the clip id.
    columns : sequence of str
        Feature columns: names or patterns such as ``AU*``, in the file's order.

    Raises
    ------
    CacheError
        Names file, row, column and value of what is wrong: no such column, not a finite number, an id twice.
    """
    source = Path(path)
    header, rows = _read_rows(source)
    if id_column not in header:
        raise CacheError(f"{source}: no column {id_column!r}; the columns are {_some(header)}")
    names = match_columns(header, columns, id_column, source)
    positions = [header.index(name) for name in names]
    ids, values = [], []
    for number, row in rows:
        if len(row) != len(header):
            raise CacheError(f"{source}, row {number}: {len(row)} values, the header has {len(header)}")
        ids.append(row[header.index(id_column)])
        values.append([_number(row[p], source, number, header[p]) for p in positions])
    check_ids(ids, source)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    return FeatureTable(tuple(ids), tuple(names), np.array(values, np.float32), source.name, sha256)


def _read_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CacheError(f"{path}: not UTF-8 text ({error}); save it as CSV UTF-8") from error
    except OSError as error:
        raise CacheError(f"{path}: cannot be read ({error.strerror})") from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    rows = [(number, row) for number, row in enumerate(reader, start=1) if row]
    if len(rows) < 2:
        raise CacheError(f"{path}: {'empty' if not rows else 'only a header'}; expected a header and one row a clip")
    return rows[0][1], iter(rows[1:])


def match_columns(header: list[str], patterns: Sequence[str], id_column: str | None, path: Path) -> list[str]:
    """The feature columns that the patterns name, in the file's order."""
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in header):
            raise CacheError(f"{path}: no column matches {pattern!r}; the columns are {_some(header)}")
    names = [n for n in header if n != id_column and any(fnmatch.fnmatchcase(n, p) for p in patterns)]
    if len(set(names)) < len(names):
        raise CacheError(f"{path}: a feature column stands twice in the header")
    return names


def _number(text: str, path: Path, row: int, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(np.float32(value) if abs(value) < 3e38 else np.inf):
        raise CacheError(f"{path}, row {row}: column {column} holds {text!r}, expected a finite number")
    return value


def check_ids(ids: list[str], path: Path) -> None:
    """Refuse a table that has two rows of one clip."""
    seen: set[str] = set()
    for clip_id in ids:
        if clip_id in seen:
            raise CacheError(f"{path}: the id {clip_id!r} stands twice; expected one row a clip")
        seen.add(clip_id)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
