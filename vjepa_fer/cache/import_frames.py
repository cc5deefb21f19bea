"""Features over time that another program made go in; a cache comes out with the level ``frames``, a row a moment.

A frame without a face, and one that the source does not have, has no row: no reader can take it for a face. The clip's other rows
say by their place in time that it is not there.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vjepa_fer.cache.column_roles import Role
from vjepa_fer.cache.failures import Failure, write_failures
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.frame_arrays import holds_arrays_over_time, read_frame_arrays
from vjepa_fer.cache.frame_tables import TABLES, holds_frames, read_frame_tables
from vjepa_fer.cache.imports import FeatureTable, absent, spelled_as, without_telling_columns
from vjepa_fer.cache.moments import FrameStream, Moments
from vjepa_fer.cache.notes import write_notes
from vjepa_fer.cache.reader import Cache, open_cache
from vjepa_fer.cache.rounding import to_float32
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.cache.writer import ShardWriter
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import Manifest, clip_of_path
from vjepa_fer.recipe import ImportedRecipe

NO_FACE = "no_face"
"""Why a clip failed that has rows, and none of them with a face."""


@dataclass(frozen=True, eq=False)
class FramesImport:
    """What an import of features over time made.

    Attributes
    ----------
    cache : Cache
    roles : tuple of Role
        What every column was taken as, the features first.
    telling : tuple of Role
        Columns that were asked for by name and are no features.
    surplus : tuple of str
        Where clips stand that the manifest lacks; they are not imported.
    renamed : dict of str to str
        Ids that are paths or spelled otherwise → the manifest's.
    num_rows, num_masked, num_gaps : int
        Of the clips that were imported: rows of the source; those of them without a face; places in time without a row.
    """

    cache: Cache
    roles: tuple[Role, ...]
    telling: tuple[Role, ...]
    surplus: tuple[str, ...]
    renamed: dict[str, str]
    num_rows: int
    num_masked: int
    num_gaps: int


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a first look found of one clip."""

    clip_id: str
    where: str
    mean: np.ndarray
    num_rows: int
    num_masked: int
    num_gaps: int
    unfilled: Mapping[str, int]

    @property
    def note(self) -> str:
        """What is missing in the clip; "" for nothing."""
        parts = [f"{self.num_masked:,} of {self.num_rows:,} frames without a face"] if self.num_masked else []
        parts += [_unfilled_words(self.unfilled)] if self.unfilled else []
        parts += [f"{self.num_gaps:,} frames have no row"] if self.num_gaps else []
        return ", ".join(parts)


def is_over_time(path: Path, *, id_column: str, values: str) -> bool:
    """Whether a file or folder has a row a frame, where nobody said so: see the readers of tables and arrays."""
    if path.is_dir():
        return _holds_tables(path, values)
    if not path.is_file():
        return False
    return holds_frames(path, id_column) if _is_table(path) else holds_arrays_over_time(path, values)


def read_frames(
    path: str | os.PathLike[str],
    *,
    ids: str = "clip_id",
    values: str = "X",
    columns: Sequence[str] = ("*",),
    fps: float | None = None,
) -> FrameStream:
    """Features over time of a table, a folder of tables, arrays, or a folder of arrays; see the two readers.

    Raises
    ------
    CacheError
        No such file, or what is wrong with it.
    """
    source = Path(path)
    if not source.exists():
        raise CacheError(f"{source}: no such file or folder")
    tables = _holds_tables(source, values) if source.is_dir() else _is_table(source)
    if tables:
        return read_frame_tables(source, id_column=ids, columns=columns, fps=fps)
    return read_frame_arrays(source, ids=ids, values=values, columns=columns, fps=fps)


def _holds_tables(folder: Path, values: str) -> bool:
    """Whether a folder is one of tables; where arrays lie in it too, tables only go with them."""
    found = any(file.name.lower().endswith(TABLES) for file in folder.iterdir())
    return found and "*" not in values and next(folder.rglob("*.npy"), None) is None


def _is_table(path: Path) -> bool:
    return path.name.lower().endswith((*TABLES, ".txt", ".txt.gz")) or not path.suffix


def import_frames(
    stream: FrameStream, root: str | os.PathLike[str], manifest: Manifest, *, unify_names: bool = False
) -> FramesImport:
    """Write features over time as a cache, joined to the manifest by clip id. The source is read twice: checked, then written.

    A clip that the source lacks is listed in ``failed.csv`` as ``missing``, one of which no frame has a face as ``no_face``. An id that is a path of
    a clip's file, as Py-Feat writes it, is that clip; one that differs from the manifest's in spelling only with `unify_names`.

    Raises
    ------
    CacheError
        What is wrong with a row; no id in common; or the folder holds something else. Nothing has been written then.
    """
    seen = [_look_at(one) for one in stream.read()]
    ours = _our_names(stream, seen, manifest, unify_names)
    seen = [dataclasses.replace(one, clip_id=ours[one.clip_id]) for one in seen]
    known = {clip.clip_id for clip in manifest.clips}
    held = [one for one in seen if one.clip_id in known and one.num_masked < one.num_rows]
    if not held:
        raise CacheError(_why_none(stream, seen, manifest))
    table, telling = _without_telling(stream, held, manifest)
    recipe = ImportedRecipe(
        source=stream.source, source_sha256=stream.source_sha256, columns=table.columns, clock=stream.clock
    )
    prepare_cache(root, recipe, manifest)
    _write(stream, Path(root), recipe, {theirs: name for theirs, name in ours.items() if name in known})
    _list_the_rest(Path(root), seen, manifest, stream.source)
    done = [one for one in seen if one.clip_id in known]
    return FramesImport(
        cache=open_cache(root),
        roles=table.roles,
        telling=telling,
        surplus=tuple(f"{one.clip_id!r} ({one.where})" for one in seen if one.clip_id not in known),
        renamed={theirs: name for theirs, name in ours.items() if theirs != name},
        num_rows=sum(one.num_rows for one in done),
        num_masked=sum(one.num_masked for one in done),
        num_gaps=sum(one.num_gaps for one in done),
    )


def _look_at(one: Moments) -> _Seen:
    mean = one.values.mean(axis=0) if len(one.values) else np.empty(0)
    return _Seen(one.clip_id, one.where, mean, one.num_rows, one.num_masked, one.num_gaps, one.unfilled)


def _unfilled_words(unfilled: Mapping[str, int]) -> str:
    """The column that is empty most often beside others that hold something."""
    name = max(unfilled, key=lambda one: unfilled[one])
    more = f", and {len(unfilled) - 1:,} more columns in some" if len(unfilled) > 1 else ""
    rows = "1 frame that has" if unfilled[name] == 1 else f"{unfilled[name]:,} frames that have"
    return f"column {name} is empty in {rows} other features{more}"


def _our_names(stream: FrameStream, seen: Sequence[_Seen], manifest: Manifest, unify_names: bool) -> dict[str, str]:
    """Each id of the source → the manifest's name of the clip; its own, where the manifest has none."""
    known, there = {clip.clip_id for clip in manifest.clips}, {one.clip_id: one.where for one in seen}
    ids = [clip_of_path(one.clip_id, known) for one in seen]
    taken: dict[str, str] = {}
    for one, clip_id in zip(seen, ids, strict=True):
        other = taken.setdefault(clip_id, one.clip_id)
        if other != one.clip_id:
            raise CacheError(
                f"{one.where}: {one.clip_id!r} is the clip {clip_id!r}, which {other!r} is too ({there[other]}); expected each clip once"
            )
    table = FeatureTable(tuple(ids), (), np.empty((len(ids), 0), np.float32), stream.source, stream.source_sha256)
    return dict(zip(there, spelled_as(manifest, table, unify_names).ids, strict=True))


def _why_none(stream: FrameStream, seen: Sequence[_Seen], manifest: Manifest) -> str:
    known = [clip.clip_id for clip in manifest.clips]
    if any(one.clip_id in known for one in seen):
        unfilled = sum((Counter(one.unfilled) for one in seen), Counter[str]())
        if unfilled:
            words = _unfilled_words(unfilled)
            return f"{stream.source}: no frame has every feature: {words}; say with --columns which columns are features, as --columns 'AU*'"
        return f"{stream.source}: none of the manifest's clips has a frame with a face in it"
    return (
        f"{stream.source}: none of its {len(seen):,} clips is one of the manifest: {seen[0].clip_id!r} ({seen[0].where}), "
        f"{known[0]!r} in the manifest; is --id-column the right column?"
    )


def _without_telling(
    stream: FrameStream, held: Sequence[_Seen], manifest: Manifest
) -> tuple[FeatureTable, tuple[Role, ...]]:
    """The clips' means as a table, without columns that tell label or subject: one that does is as constant in a clip as they are."""
    ids = tuple(one.clip_id for one in held)
    values = to_float32([one.mean for one in held], stream.columns, ids, Path(stream.source))
    table = FeatureTable(
        ids, stream.columns, values, stream.source, stream.source_sha256, named=stream.named, others=stream.others
    )
    return without_telling_columns(table, manifest)


def _write(stream: FrameStream, root: Path, recipe: ImportedRecipe, ours: dict[str, str]) -> None:
    """The clips of the manifest that are not there yet, one after the other."""
    chosen = [stream.columns.index(name) for name in recipe.columns]
    done, writer = open_cache(root).done, ShardWriter(root, recipe)
    for one in stream.read():
        clip_id = ours.get(one.clip_id)
        if clip_id is not None and clip_id not in done and len(one.place):
            writer.add(_rows(clip_id, one, chosen))
    writer.flush()


def _rows(clip_id: str, one: Moments, chosen: Sequence[int]) -> ClipRows:
    num = len(one.place)
    return ClipRows(
        clip_id=clip_id,
        source_sha256="",
        start_frame=one.place,
        view=np.zeros(num, np.int32),
        multiplicity=np.ones(num, np.int32),
        num_real_frames=np.ones(num, np.int32),
        frame_indices=one.frame[:, None],
        timestamps=one.time[:, None],
        levels={"frames": one.values[:, None, chosen]},
    )


def _list_the_rest(root: Path, seen: Sequence[_Seen], manifest: Manifest, source: str) -> None:
    """Clips that are not there, or not whole, by what is missing."""
    there = {one.clip_id: one for one in seen}
    failures = {clip.clip_id: absent(clip.clip_id, source) for clip in manifest.clips if clip.clip_id not in there}
    known = [there[clip.clip_id] for clip in manifest.clips if clip.clip_id in there]
    for one in known:
        if one.num_masked == one.num_rows:
            why = f"; {_unfilled_words(one.unfilled)}" if one.unfilled else ""
            message = f"none of its {one.num_rows:,} frames has a face ({one.where}){why}"
            failures[one.clip_id] = Failure(one.clip_id, source, NO_FACE, message, "")
    write_failures(root, failures)
    write_notes(root, _notes(known, source, failures))


def _notes(known: Sequence[_Seen], source: str, failures: dict[str, Failure]) -> Iterator[tuple[str, str, str]]:
    return ((one.clip_id, source, one.note) for one in known if one.note and one.clip_id not in failures)
