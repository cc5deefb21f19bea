"""A damaged cache goes in; what is whole stays, and what is not is set aside, so that extract does exactly that again.

Nothing is deleted but what writers that are dead left half written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vjepa_fer.cache import layout
from vjepa_fer.cache.asked import read_cache_manifest, refresh_copy, union_of_pieces
from vjepa_fer.cache.copying import checked_clips
from vjepa_fer.cache.description import read_cache_recipe
from vjepa_fer.cache.failures import FailureList, failure_pieces, read_failure_piece, read_failures, refresh_failed
from vjepa_fer.cache.index import read_shards
from vjepa_fer.cache.pieces import LARGEST_PIECE, digest_of, piece_paths, read_piece
from vjepa_fer.cache.reader import CachePath
from vjepa_fer.cache.shard import ShardIndex
from vjepa_fer.cache.verify import Problem, shard_files, verify_shard
from vjepa_fer.cache.writer import ShardWriter
from vjepa_fer.disk import refuse_link, sweep_partials, sync_folder, write_durably
from vjepa_fer.doors import TooLargeError, read_bytes
from vjepa_fer.errors import CacheError, VjepaFerError
from vjepa_fer.recipe import AnyRecipe
from vjepa_fer.remote import place_here


@dataclass(frozen=True)
class Repair:
    """What :func:`repair_cache` did.

    Attributes
    ----------
    problems : tuple of Problem
        What was wrong.
    rescued : tuple of str
        Clips that were taken out of damaged shards whole.
    set_aside : tuple of Path
        Damaged files, kept under another name that no reader looks at. Delete them when you no longer want them.
    swept : tuple of Path
        What killed writers had left.
    """

    problems: tuple[Problem, ...]
    rescued: tuple[str, ...]
    set_aside: tuple[Path, ...]
    swept: tuple[Path, ...]


def repair_cache(root: CachePath, *, progress: Callable[[str], None] = lambda shard: None) -> Repair:
    """Take out what is damaged, so that extract does exactly that again.

    The whole clips of a damaged shard are first copied to a new shard; then the damaged one is renamed to
    ``NAME.h5.damaged``. A damaged list of clips is restored from ``manifest.csv`` if that still holds it, and
    ``manifest.csv`` from the lists; a damaged list of failures is set aside, and its clips are tried again. Nothing is deleted
    but partial files of writers that are dead.

    Raises
    ------
    CacheError
        `root` is not a cache, or its ``cache.json`` is damaged.
    """
    folder = place_here(root)
    recipe = read_cache_recipe(folder)
    for name in (layout.SHARDS, layout.MANIFEST_PIECES, layout.FAILED_PIECES):
        refuse_link(folder / name)
    problems: list[Problem] = []
    rescued: list[str] = []
    set_aside: list[Path] = []
    for path in shard_files(folder):
        shard, found = verify_shard(path, recipe)
        if found:
            problems += found
            rescued += _rescue(folder, recipe, shard, found) if shard else []
            set_aside.append(_set_aside(path))
        progress(path.name)
    (folder / layout.SHARDS / layout.INDEX_NPZ).unlink(missing_ok=True)  # it is made again of what is left
    _repair_manifest(folder, problems, set_aside)
    _repair_failures(folder, recipe, problems, set_aside)
    swept = [path for place in (folder, folder / layout.SHARDS) for path in sweep_partials(place)]
    return Repair(tuple(problems), tuple(rescued), tuple(set_aside), tuple(swept))


def _set_aside(path: Path) -> Path:
    aside = path.rename(path.with_name(path.name + layout.DAMAGED_SUFFIX))
    sync_folder(path.parent)
    return aside


def _repair_manifest(folder: Path, problems: list[Problem], set_aside: list[Path]) -> None:
    """Restore a damaged piece from the copy for people, and that from the pieces; what cannot be restored stays a problem."""
    copy = folder / layout.MANIFEST_CSV
    for path in piece_paths(folder / layout.MANIFEST_PIECES):
        try:
            read_piece(path)
        except CacheError as error:
            problems.append(_problem(path, error))
            data = _bytes_of(copy)
            if digest_of(data) not in path.name:
                raise CacheError(
                    f"{path}: is damaged, and {copy.name} does not hold the same any more; restore it from a backup, or move it "
                    "away and run extract with its manifest again"
                ) from error
            set_aside.append(_set_aside(path))
            write_durably(path, data)
    try:
        if union_of_pieces(folder) is not None:
            read_cache_manifest(folder)
    except CacheError as error:
        problems.append(_problem(copy, error))
        set_aside.append(_set_aside(copy))
    refresh_copy(folder)


def _repair_failures(folder: Path, recipe: AnyRecipe, problems: list[Problem], set_aside: list[Path]) -> None:
    """Set damaged lists aside; clips that were taken out of the shards are not taken for failed because they once were."""
    for path in failure_pieces(folder):
        try:
            read_failure_piece(path)
        except CacheError as error:
            problems.append(_problem(path, error))
            set_aside.append(_set_aside(path))
    damaged = {problem.clip_id for problem in problems if problem.clip_id}
    with FailureList(folder) as mine:
        mine.take_back(damaged & read_failures(folder).keys())
    shards = read_shards(folder / layout.SHARDS, recipe)
    refresh_failed(folder, lambda: frozenset(clip_id for shard in shards for clip_id in shard.clip_ids))


def _bytes_of(copy: Path) -> bytes:
    """What may be what a piece was; nothing, where it cannot be read: no piece is empty."""
    try:
        return read_bytes(copy, at_most=LARGEST_PIECE, follow=False)
    except (OSError, TooLargeError):
        return b""


def _problem(path: Path, error: VjepaFerError) -> Problem:
    return Problem(path.name, None, str(error).removeprefix(f"{path}: "))


def _rescue(folder: Path, recipe: AnyRecipe, shard: ShardIndex, problems: Sequence[Problem]) -> list[str]:
    bad = {problem.clip_id for problem in problems}
    if None in bad:  # not known which clip it is
        return []
    writer = ShardWriter(folder, recipe, shard_bytes=1 << 62)
    whole = [clip_id for clip_id, _ in shard.clip_runs if clip_id not in bad]
    for clip_id, columns in checked_clips(shard, whole):
        writer.add_columns(clip_id, columns)
    writer.flush()
    return whole
