"""A shard that ``index.npz`` tells of goes in; whether the file itself says the same comes out, before one of its rows is believed.

The index may have been made by anybody, of other files under the same names. HDF5 takes milliseconds to say what a shard holds;
but shards of equally many rows, ids of one width and one size lie alike. So of each kind one shard is read by HDF5, and of the
others the few kB of index and checksums are compared at the places that it has. What differs there is read by HDF5 too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.hdf5 import shard_errors
from vjepa_fer.cache.shard import Places, ShardIndex, places_in, read_shard_index, says_the_same
from vjepa_fer.disk import open_to_read
from vjepa_fer.errors import CacheError

_GAP_BYTES = 4096


def is_doubtful(shard: ShardIndex) -> bool:
    """Whether nobody looked yet if the file says the same."""
    return shard.notebook is not None and shard.path.name not in shard.notebook.agreed


def require_agreement(shard: ShardIndex) -> None:
    """Refuse what the file itself does not say; looked at once.

    Raises
    ------
    CacheError
        It says other things than the index, or is damaged.
    """
    if is_doubtful(shard) and not agrees(shard):
        raise CacheError(
            f"{shard.path.with_name(layout.INDEX_NPZ)}: says other things of {shard.path.name} than it holds; "
            "delete it, it makes itself again"
        )


def agrees(shard: ShardIndex) -> bool:
    """Whether the file says what the index does.

    Raises
    ------
    CacheError
        The file is damaged, or gone.
    """
    book = shard.notebook
    if book is None:
        return True
    ids = np.array([clip_id.encode() for clip_id in shard.clip_ids])
    kind = (len(ids), ids.itemsize, shard.size)
    if kind not in book.alike or not _lies_alike(shard, ids, book.alike[kind]):
        own = read_shard_index(shard.path)
        if not says_the_same(own, shard):
            return False
        book.alike[kind] = places_in(own)
    book.agreed.add(shard.path.name)
    return True


def _lies_alike(shard: ShardIndex, ids: np.ndarray, places: Places) -> bool:
    """Whether the shard has at these places what the index says."""
    if not all(np.array_equal(offsets, places.rows[name]) for name, offsets in shard.offsets.items()):
        return False
    said = [(places.columns[name], array.tobytes()) for name, array in _columns(shard, ids) if array.nbytes]
    with shard_errors(shard.path), open_to_read(shard.path) as file:
        return all(_has(file, part) for part in _neighbours(sorted(said)))


def _columns(shard: ShardIndex, ids: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield layout.CLIP_ID, ids
    yield from shard.columns.items()
    yield from ((f"{layout.CHECKSUMS}/{name}", sums) for name, sums in shard.checksums.items())


def _neighbours(said: list[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """What lies so close together that it is one read."""
    part: list[tuple[int, bytes]] = []
    for offset, data in said:
        if part and offset - part[-1][0] - len(part[-1][1]) > _GAP_BYTES:
            yield part
            part = []
        part.append((offset, data))
    yield part


def _has(file: BinaryIO, said: list[tuple[int, bytes]]) -> bool:
    """Whether the file has these bytes at these places, which ascend."""
    start, stop = said[0][0], said[-1][0] + len(said[-1][1])
    file.seek(start)
    found = file.read(stop - start)
    return all(found.startswith(data, offset - start) for offset, data in said)
