"""``vjepa-fer cache import | export``: feature tables of and for other programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from .cache_copy import Anonymise, KeyFile, anonymiser, warn_of_telling_ids
from .cache_tables_options import (
    ColumnsOption,
    FeaturesArgument,
    ForceOption,
    FpsOption,
    IdColumnOption,
    LevelOption,
    ManifestOption,
    OutOption,
    StoredLevelOption,
    ValuesOption,
    WindowsOption,
)
from .clips import read_clips
from .options import CacheArgument, FolderArgument, UnifyOption, taken_for_one_name
from .terminal import say, warn

if TYPE_CHECKING:
    from vjepa_fer.cache import Cache
    from vjepa_fer.cache.column_roles import Role
    from vjepa_fer.manifest import Manifest


def import_(
    features: FeaturesArgument,
    cache: FolderArgument,
    manifest: ManifestOption,
    id_column: IdColumnOption = "clip_id",
    values: ValuesOption = "X",
    columns: ColumnsOption = None,
    level: LevelOption = None,
    fps: FpsOption = None,
    unify_names: UnifyOption = False,
) -> None:
    """Turn any table of features into a cache, so that stage 2 works with other people's features."""
    clips = read_clips(manifest, unify_names=unify_names)
    patterns = [p for value in columns or ["*"] for p in value.split(",")]
    source = Source(features, id_column, values, patterns, fps)
    if level == "frames" or (level is None and source.is_over_time):
        made = _import_frames(source, cache, clips, unify_names)
    elif fps is not None:
        raise typer.BadParameter("--fps is for features with a row a frame: give --level frames too, or leave it out")
    else:
        made = _import_vectors(source, cache, clips, unify_names)
    _warn_of_earlier(made, clips, cache, manifest)
    _warn_of_failures(made, features)


class Source(NamedTuple):
    """Where features are read, and which of them, as typed."""

    path: Path
    ids: str
    values: str
    columns: list[str]
    fps: float | None

    @property
    def is_over_time(self) -> bool:
        """Whether it has a row a frame."""
        from vjepa_fer.cache.import_frames import is_over_time

        return is_over_time(self.path, id_column=self.ids, values=self.values)


def _warn_of_earlier(made: Cache, clips: Manifest, cache: str, manifest: Path) -> None:
    """Which clips an earlier import has left in the cache."""
    earlier = sorted(set(made.done) - {clip.clip_id for clip in clips})
    if earlier:
        warn(
            f"{len(earlier)} clips of {cache} are not in {manifest}, such as {earlier[0]!r}: an earlier import brought them, and they "
            "stay; for the clips of this manifest alone, import into a new folder"
        )


def _warn_of_failures(made: Cache, features: Path) -> None:
    """How many clips are not there, by what is missing; a run that lacks some ends with status 4."""
    reasons = Counter(failure.reason for failure in made.failures.values())
    if no_face := reasons.pop("no_face", 0):
        warn(f"{no_face:,} clips have no frame with a face in {features}; see {made.root}/failed.csv")
    if absent := reasons.total():
        warn(f"{absent:,} clips have no row in {features}; see {made.root}/failed.csv")
    if made.failures:
        raise typer.Exit(4)


def _import_vectors(source: Source, cache: str, clips: Manifest, unify_names: bool) -> Cache:
    """A vector a clip."""
    from vjepa_fer.cache.column_roles import codes_for_missing
    from vjepa_fer.cache.import_arrays import read_feature_table
    from vjepa_fer.cache.imports import import_features, spelled_as, without_telling_columns

    read = read_feature_table(source.path, ids=source.ids, values=source.values, columns=source.columns)
    named = spelled_as(clips, read, unify_names)
    table, telling = without_telling_columns(named, clips)
    made, surplus = import_features(table, cache, clips)
    say(f"{cache}: {len(made):,} clips × {len(table.columns)} features from {table.source}{_people(made)}")
    _say_roles(table.roles, telling, clips)
    codes = list(codes_for_missing(table.columns, table.values))
    if codes:
        warn(f"{codes[0]}{f' So do {len(codes) - 1:,} more columns' if len(codes) > 1 else ''}")
    renamed = {theirs: ours for theirs, ours in zip(read.ids, named.ids, strict=True) if theirs != ours}
    if renamed:
        warn(_taken_for(renamed))
    if surplus:
        warn(f"{len(surplus)} rows are not clips of {clips.source} and were left out, such as {surplus[0]!r}")
    return made


def _import_frames(source: Source, cache: str, clips: Manifest, unify_names: bool) -> Cache:
    """A vector a frame."""
    from vjepa_fer.cache.import_frames import import_frames, read_frames

    stream = read_frames(source.path, ids=source.ids, values=source.values, columns=source.columns, fps=source.fps)
    done = import_frames(stream, cache, clips, unify_names=unify_names)
    made = done.cache
    num_features = len(made.recipe.columns)  # type: ignore[union-attr]  # of an imported cache
    say(f"{cache}: {len(made):,} clips × {num_features} features over time from {stream.source}{_people(made)}")
    say(
        f"frames ({done.num_rows:,}): {done.num_masked:,} without a face, left out; {done.num_gaps:,} more have no row; time in {stream.clock}"
    )
    _say_roles(done.roles, done.telling, clips)
    if done.renamed:
        warn(_taken_for(done.renamed))
    if done.surplus:
        warn(f"{len(done.surplus):,} clips are not in {clips.source} and were left out, such as {done.surplus[0]}")
    return made


def _taken_for(renamed: Mapping[str, str]) -> str:
    """Ids that are paths of clips' files, or spelled otherwise."""
    from vjepa_fer.manifest import respelled

    spelt = respelled(renamed, renamed.values())
    if len(spelt) == len(renamed):
        return taken_for_one_name(spelt)
    theirs, ours = next(iter(renamed.items()))
    return f"{len(renamed):,} ids were taken for the manifest's, such as {theirs!r} for {ours!r}"


def _people(made: Cache) -> str:
    from vjepa_fer.judging import subjects_in_words

    subjects = len({clip.subject for clip in made.clips})
    return f"; {subjects_in_words(subjects, len(made))}" if subjects == len(made) > 1 else ""


def _say_roles(roles: Sequence[Role], telling: Sequence[Role], clips: Manifest) -> None:
    """What every column was taken as, and which of them tell the answer."""
    from vjepa_fer.cache.column_roles import words_of
    from vjepa_fer.evaluation import manifest_roles

    say(*words_of(roles), *manifest_roles(clips))
    for role in telling:
        warn(
            f"{role.name} was asked for by name, but is no feature: it {role.why}; a probe would read the answer from it"
        )


def export(
    cache: CacheArgument,
    out: OutOption,
    level: StoredLevelOption = "mean",
    windows: WindowsOption = False,
    force: ForceOption = False,
    anonymise: Anonymise = False,
    key_file: KeyFile = None,
) -> None:
    """Write a level as a feature table that other programs read."""
    from vjepa_fer.cache import open_cache
    from vjepa_fer.cache.exports import export_features

    opened, hidden = open_cache(cache), anonymiser(anonymise, key_file)
    export_features(opened, out, level, pool=None if windows else "mean", anonymiser=hidden, force=force)
    say(f"{out}: {level} of {len(opened):,} clips")
    if anonymise:
        warn_of_telling_ids([cache], opened.done)
