"""A folder of shards goes in, their checked indices come out: remembered in one file, so that 1,000 shards open at once.

``shards/index.npz`` holds nothing that the shards do not say. It is written where a job ends, and by any reader who finds that it tells
too little. A shard that it does not know under the same name and size is read itself; one whose time of change is another, as a
copy's is, is compared with it first (`agreement`), and every one is before a row of it is given away. An index that is damaged, or
cannot be written, does not matter.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.agreement import agrees
from vjepa_fer.cache.hdf5 import shard_errors
from vjepa_fer.cache.npy import read_npz
from vjepa_fer.cache.shard import Notebook, ShardIndex, read_shard_index
from vjepa_fer.disk import Elsewhere, open_regular, refuse_link, write_durably
from vjepa_fer.errors import CacheError, VjepaFerError
from vjepa_fer.recipe import AnyRecipe, fingerprint, require_same_recipe
from vjepa_fer.remote import place_of

WORTH_WRITING = 16
"""Shards that a reader had to look at before it writes the index again; a folder of fewer opens at once without one."""


def remember_shards(root: Path, recipe: AnyRecipe) -> None:
    """Leave an index that tells of all shards of the cache `root`; at the end of a job, when they still are in memory.

    A shard that is damaged, or a disk that may not be written to, leaves all as it was: whoever reads is told.
    """
    folder = root / layout.SHARDS
    with contextlib.suppress(VjepaFerError):
        shards, num_new = _shards_and_new(folder, recipe)
        if num_new and len(shards) >= WORTH_WRITING:
            _remember(folder, recipe, shards)


def read_shards(folder: Path, recipe: AnyRecipe) -> list[ShardIndex]:
    """All complete shards of a cache, by name.

    Raises
    ------
    CacheError
        A shard is damaged.
    RecipeMismatchError
        A shard has another recipe than the cache.
    """
    shards, num_new = _shards_and_new(folder, recipe)
    if num_new >= WORTH_WRITING and not isinstance(folder, Elsewhere):
        _remember(folder, recipe, shards)
    return shards


def _shards_and_new(folder: Path, recipe: AnyRecipe) -> tuple[list[ShardIndex], int]:
    """The shards, and of how many the index told nothing, or something else."""
    refuse_link(folder)
    names = sorted(path.name for path in folder.glob(f"*{layout.SHARD_SUFFIX}"))
    known = {shard.path.name: shard for shard in remembered_shards(folder, recipe)} if names else {}
    shards = [_still_right(known.get(name)) or _read_own(folder / name, recipe) for name in names]
    return shards, sum(shard is not known.get(shard.path.name) for shard in shards)


def _still_right(shard: ShardIndex | None) -> ShardIndex | None:
    """What the index tells of a shard; under its new time, if only that has changed; None when the file has to be read."""
    if shard is None:
        return None
    with shard_errors(shard.path):
        status = shard.path.stat()
    if status.st_size != shard.size:
        return None
    if status.st_mtime_ns in (
        shard.mtime_ns,
        None,
    ):  # a store's times say nothing; rows are compared before they are given
        return shard
    return dataclasses.replace(shard, mtime_ns=status.st_mtime_ns) if agrees(shard) else None


def _read_own(path: Path, recipe: AnyRecipe) -> ShardIndex:
    shard = read_shard_index(path)
    require_same_recipe(shard.recipe, recipe, str(path))
    return shard


def index_elsewhere(address: str, recipe: AnyRecipe) -> bytes | None:
    """The index of a cache elsewhere, to be sent there; None where there are few shards, or the one there tells of all."""
    shards, num_new = _shards_and_new(place_of(address) / layout.SHARDS, recipe)
    return _image(recipe, shards) if num_new and len(shards) >= WORTH_WRITING else None


def _remember(folder: Path, recipe: AnyRecipe, shards: Sequence[ShardIndex]) -> None:
    try:
        write_durably(folder / layout.INDEX_NPZ, _image(recipe, shards))
    except OSError:  # a disk that is full or may not be written to: reading works without
        return


def _image(recipe: AnyRecipe, shards: Sequence[ShardIndex]) -> bytes:
    files = [[s.path.name, s.size, s.mtime_ns, len(s)] for s in shards]
    about = {"format_version": layout.FORMAT_VERSION, "fingerprint": fingerprint(recipe), "shards": files}
    arrays: dict[str, Any] = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    arrays[layout.CLIP_ID] = np.array([i.encode() for s in shards for i in s.clip_ids])
    for name in shards[0].columns:
        arrays[name] = np.concatenate([s.columns[name] for s in shards])
    for name in shards[0].offsets:
        arrays[f"offsets/{name}"] = np.concatenate([s.offsets[name] for s in shards])
        arrays[f"checksums/{name}"] = np.concatenate([s.checksums[name] for s in shards])
    image = io.BytesIO()
    np.savez(image, **arrays)
    return image.getvalue()


def remembered_shards(folder: Path, recipe: AnyRecipe) -> list[ShardIndex]:
    """The shards that ``index.npz`` tells of; none if it is absent, damaged, or of another recipe."""
    try:
        with open(open_regular(folder / layout.INDEX_NPZ, follow=False), "rb") as file:
            arrays = read_npz(file, folder / layout.INDEX_NPZ, packed=False)  # so that no few bytes become many
        about = json.loads(arrays.pop("about").tobytes())
        if (about["format_version"], about["fingerprint"]) != (layout.FORMAT_VERSION, fingerprint(recipe)):
            return []
        return _split(folder, recipe, about["shards"], arrays)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, MemoryError, ArithmeticError):
        return []
    except (zipfile.BadZipFile, RuntimeError, CacheError):
        return []


def _split(folder: Path, recipe: AnyRecipe, files: list, arrays: dict[str, np.ndarray]) -> list[ShardIndex]:
    if any(name != Path(name).name for name, *_ in files):  # another folder's shard would be read for ours
        return []
    total = sum(num_rows for *_, num_rows in files)
    ids = arrays.get(layout.CLIP_ID, np.empty(0))
    wanted = {d.path: (d.dtype, (total, *d.row_shape)) for d in layout.index_datasets(recipe)}
    wanted |= {f"offsets/{d.path}": (np.dtype("<i8"), (total,)) for d in layout.stored_datasets(recipe)}
    wanted |= {f"checksums/{d.path}": (np.dtype("<u4"), (total,)) for d in layout.stored_datasets(recipe)}
    wanted[layout.CLIP_ID] = (np.dtype(f"S{ids.itemsize}"), (total,))
    if {name: (array.dtype, array.shape) for name, array in arrays.items()} != wanted:
        return []
    texts = [i.decode() for i in arrays.pop(layout.CLIP_ID).tolist()]
    shards, start, book = [], 0, Notebook()
    for name, size, mtime_ns, num_rows in files:
        rows = slice(start, start + num_rows)
        part = {key: array[rows] for key, array in arrays.items()}
        columns = {key: array for key, array in part.items() if key.startswith("index/")}
        offsets, sums = _below("offsets/", part), _below("checksums/", part)
        own = tuple(texts[rows])
        shards.append(ShardIndex(folder / name, recipe, own, columns, offsets, sums, size, mtime_ns, notebook=book))
        start += num_rows
    return shards


def _below(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
