"""``vjepa-fer cache import | export``: feature tables of and for other programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import completion
from .cache_copy import Anonymise, KeyFile, anonymiser, warn_of_telling_ids
from .clips import read_clips
from .options import CacheArgument, FolderArgument, UnifyOption, taken_for_one_name
from .terminal import say, warn

if TYPE_CHECKING:
    from vjepa_fer.cache import Cache
    from vjepa_fer.cache.column_roles import Role
    from vjepa_fer.manifest import Manifest


def import_(
    features: Annotated[
        Path,
        typer.Argument(
            metavar="FEATURES",
            help="CSV, NPZ, NPY, HDF5, safetensors or Parquet with one row a clip; HDF5, NPZ or safetensors with one array a clip; a "
            "folder of NPY files, one a clip; or, with one row a frame, a CSV, a folder of CSV files, one a clip, or arrays over time.",
            show_default=False,
        ),
    ],
    cache: FolderArgument,
    manifest: Annotated[
        Path, typer.Option("--manifest", "-m", help="Which clips, with label and subject.", show_default=False)
    ],
    id_column: Annotated[
        str,
        typer.Option(help="Column, array or dataset that holds the clip ids; for NPY a text file of them, one a line."),
    ] = "clip_id",
    values: Annotated[
        str,
        typer.Option(
            help="Array, dataset or tensor that holds the features; for a folder the names of its files, * being the clip id: "
            "'*_rgb.npy'."
        ),
    ] = "X",
    columns: Annotated[
        list[str] | None,
        typer.Option(
            help="Feature columns, a name or a pattern such as 'AU*'; may be repeated. What a pattern takes is looked at: row "
            "numbers, and columns that tell the label or the subject, are left out and listed.",
            show_default="all others",
        ),
    ] = None,
    level: Annotated[
        Literal["mean", "frames"] | None,
        typer.Option(
            help="mean: one row a clip; arrays over time are averaged. frames: one row a frame, told apart by a column such as frame or "
            "timestamp; or arrays (clips, times, features), with an array lengths or mask where clips are padded, or (times, "
            "features) a clip. Frames without a face (success 0, or an empty or NaN feature) are left out, not filled.",
            show_default="frames where the file has a row a frame",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=1000,
            help="Frames a second, where a source counts frames and says no times.",
            show_default=False,
        ),
    ] = None,
    unify_names: UnifyOption = False,
) -> None:
    """Turn any table of features into a cache, so that stage 2 works with other people's features."""
    from vjepa_fer.cache.import_frames import is_over_time

    clips = read_clips(manifest, unify_names=unify_names)
    patterns = [p for value in columns or ["*"] for p in value.split(",")]
    if level == "frames" or (level is None and is_over_time(features, id_column=id_column, values=values)):
        made = _import_frames(features, cache, clips, id_column, values, patterns, fps, unify_names)
    elif fps is not None:
        raise typer.BadParameter("--fps is for features with a row a frame: give --level frames too, or leave it out")
    else:
        made = _import_vectors(features, cache, clips, id_column, values, patterns, unify_names)
    earlier = sorted(set(made.done) - {clip.clip_id for clip in clips})
    if earlier:
        warn(
            f"{len(earlier)} clips of {cache} are not in {manifest}, such as {earlier[0]!r}: an earlier import brought them, and they "
            "stay; for the clips of this manifest alone, import into a new folder"
        )
    _warn_of_failures(made, features)


def _warn_of_failures(made: Cache, features: Path) -> None:
    """How many clips are not there, by what is missing; a run that lacks some ends with status 4."""
    reasons = Counter(failure.reason for failure in made.failures.values())
    if no_face := reasons.pop("no_face", 0):
        warn(f"{no_face:,} clips have no frame with a face in {features}; see {made.root}/failed.csv")
    if absent := reasons.total():
        warn(f"{absent:,} clips have no row in {features}; see {made.root}/failed.csv")
    if made.failures:
        raise typer.Exit(4)


def _import_vectors(
    features: Path, cache: str, clips: Manifest, ids: str, values: str, columns: list[str], unify_names: bool
) -> Cache:
    """A vector a clip."""
    from vjepa_fer.cache.column_roles import codes_for_missing
    from vjepa_fer.cache.import_arrays import read_feature_table
    from vjepa_fer.cache.imports import import_features, spelled_as, without_telling_columns

    read = read_feature_table(features, ids=ids, values=values, columns=columns)
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


def _import_frames(
    features: Path,
    cache: str,
    clips: Manifest,
    ids: str,
    values: str,
    columns: list[str],
    fps: float | None,
    unify_names: bool,
) -> Cache:
    """A vector a frame."""
    from vjepa_fer.cache.import_frames import import_frames, read_frames

    stream = read_frames(features, ids=ids, values=values, columns=columns, fps=fps)
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
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="A name ending in .npz, .safetensors, .csv or .parquet.", show_default=False),
    ],
    level: Annotated[
        str,
        typer.Option(
            "--features", "-f", help="Stored level: mean, frames, grid:4 ….", autocompletion=completion.stored_levels
        ),
    ] = "mean",
    windows: Annotated[bool, typer.Option("--windows", help="One row a window, not their mean a clip.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
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
