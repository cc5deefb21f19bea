"""A table of features that another program made goes in; a cache with the level ``mean`` comes out."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vjepa_fer.cache.column_roles import UNNAMED, Role, telling_columns
from vjepa_fer.cache.failures import Failure, write_failures
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.reader import Cache, open_cache
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.cache.writer import ShardWriter
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import UNIFY, Manifest, clip_of_path, place_of, respelled, shown
from vjepa_fer.recipe import ImportedRecipe


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features by clip, and which file they are.

    Attributes
    ----------
    ids : tuple of str
        Of length N.
    columns : tuple of str
        Of length D: the features.
    values : ndarray of float32, shape (N, D)
    source, source_sha256 : str
        Name and hash of the file.
    rows : tuple of int
        Row numbers of a text table, of length N; () for arrays.
    named : frozenset of str
        The columns that were asked for letter by letter, not by a pattern.
    others : tuple of Role
        Every other column of the file, and what it is instead of a feature.
    """

    ids: tuple[str, ...]
    columns: tuple[str, ...]
    values: np.ndarray
    source: str
    source_sha256: str
    rows: tuple[int, ...] = ()
    named: frozenset[str] = field(default=frozenset(), repr=False)
    others: tuple[Role, ...] = field(default=(), repr=False)

    def place_of(self, clip_id: str) -> str:
        """Where an id stands, for a message."""
        number = self.ids.index(clip_id)
        return f"{self.source}, row {self.rows[number]}" if self.rows else f"{self.source}, id {number + 1:,}"

    @property
    def roles(self) -> tuple[Role, ...]:
        """What every column was taken as, the features first."""
        return (*(Role(name, "features") for name in self.columns), *self.others)


def without_telling_columns(table: FeatureTable, manifest: Manifest) -> tuple[FeatureTable, tuple[Role, ...]]:
    """The table without the columns that a pattern took and that are no features: row numbers, the label, the person.

    Returns
    -------
    table : FeatureTable
        The same one where there are none.
    named : tuple of Role
        Such columns that stay, because they were asked for letter by letter.

    Raises
    ------
    CacheError
        A column without a name that is none of these, or no column is left.
    """
    telling = telling_columns(table.columns, table.values, table.ids, manifest)
    nameless = [n for n in table.columns if UNNAMED.fullmatch(n) and n not in telling and n not in table.named]
    if nameless:
        raise CacheError(
            f"{table.source}: {nameless[0]!r} is a column without a name, so nobody can tell what it is; name it in the "
            "file, or choose the features by --columns"
        )
    out = [name for name in table.columns if name in telling and name not in table.named]
    if len(out) == len(table.columns):
        said = ", ".join(f"{name} ({telling[name]})" for name in out[:3])
        raise CacheError(f"{table.source}: no feature column is left: {said}; name those to take by --columns")
    named = tuple(
        Role(name, "features", telling[name]) for name in table.columns if name in telling and name not in out
    )
    if not out:
        return table, named
    kept = [number for number, name in enumerate(table.columns) if name not in set(out)]
    others = (*table.others, *(Role(name, "left out", telling[name]) for name in out))
    columns = tuple(table.columns[number] for number in kept)
    return replace(table, columns=columns, values=table.values[:, kept], others=others), named


def import_features(
    table: FeatureTable, root: str | os.PathLike[str], manifest: Manifest, *, unify_names: bool = False
) -> tuple[Cache, tuple[str, ...]]:
    """Write a feature table as a cache: one row a clip, level ``mean``, joined to the manifest by clip id.

    A clip of the manifest that the table lacks is listed in ``failed.csv`` with the reason ``missing``. An id that is a path of a clip's
    file is that clip. With `unify_names` an id that differs from the manifest's only in spelling is that clip; otherwise it is refused.
    Columns that are no features stay out; see :func:`without_telling_columns`.

    Returns
    -------
    cache : Cache
    surplus : tuple of str
        Ids of the table that the manifest lacks; they are not imported. What an earlier import brought is none of them: it stays.

    Raises
    ------
    CacheError
        No id in common, one that is spelled otherwise, or the folder holds something else.
    """
    table = spelled_as(manifest, table, unify_names)
    row_of = {clip_id: row for row, clip_id in enumerate(table.ids)}
    wanted = [clip.clip_id for clip in manifest.clips]
    found = [clip_id for clip_id in wanted if clip_id in row_of]
    if not found:
        raise CacheError(
            f"{table.source}: none of its {len(table.ids)} ids is a clip of the manifest: "
            f"{table.ids[0]!r} in the table, {wanted[0]!r} in the manifest; is --id-column the right column?"
        )
    table, _ = without_telling_columns(table, manifest)
    recipe = ImportedRecipe(source=table.source, source_sha256=table.source_sha256, columns=table.columns)
    prepare_cache(root, recipe, manifest)
    done = open_cache(root).done
    writer = ShardWriter(root, recipe)
    for clip_id in found:
        if clip_id not in done:
            writer.add(_one_row(clip_id, table.values[row_of[clip_id]]))
    writer.flush()
    write_failures(Path(root), {i: absent(i, table.source) for i in wanted if i not in row_of})
    known = {*wanted, *done}
    return open_cache(root), tuple(clip_id for clip_id in table.ids if clip_id not in known)


def spelled_as(manifest: Manifest, table: FeatureTable, unify_names: bool) -> FeatureTable:
    """The table with the manifest's names of its clips: a path of a clip's file is that clip; without `unify_names`, another spelling is refused."""
    known = dict.fromkeys(clip.clip_id for clip in manifest.clips)
    named = {clip_id: clip_of_path(clip_id, known) for clip_id in table.ids}
    spelt = respelled(named.values(), known)
    ours = {theirs: spelt.get(name, name) for theirs, name in named.items()}
    strange = [theirs for theirs, name in named.items() if name in spelt] if not unify_names else []
    if strange:
        told, clip_id = shown([named[strange[0]], ours[strange[0]]])
        raise CacheError(
            f"{len(strange):,} ids differ from the manifest's only in spelling, such as {told} ({table.place_of(strange[0])}) from {clip_id} "
            f"({place_of(manifest, ours[strange[0]])}); spell them alike, or {UNIFY} takes them for one clip"
        )
    twice = next((clip_id for clip_id, count in Counter(ours.values()).items() if count > 1), None)
    if twice is not None:
        same = [theirs for theirs, clip_id in ours.items() if clip_id == twice]
        places = " and ".join(f"{text} ({table.place_of(i)})" for text, i in zip(shown(same), same, strict=True))
        raise CacheError(f"{places} are one clip, so it has two rows; expected one row a clip")
    return dataclasses.replace(table, ids=tuple(ours[clip_id] for clip_id in table.ids))


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


def absent(clip_id: str, source: str) -> Failure:
    """The row of ``failed.csv`` about a clip that a table lacks."""
    return Failure(clip_id, source, "missing", f"the feature table has no row for {clip_id}", "")


def sha256_of_file(path: Path) -> str:
    """Of its bytes, as hex; read in portions."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_ids(ids: list[str], path: Path) -> None:
    """Refuse a table that has two rows of one clip."""
    seen: set[str] = set()
    for clip_id in ids:
        if clip_id in seen:
            raise CacheError(f"{path}: the id {clip_id!r} stands twice; expected one row a clip")
        seen.add(clip_id)
