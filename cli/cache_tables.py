"""``vjepa-fer cache import | export``: feature tables of and for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import completion
from .cache_copy import Anonymise, KeyFile, anonymiser, warn_of_telling_ids
from .options import CacheArgument, FolderArgument, UnifyOption, taken_for_one_name
from .terminal import say, warn


def import_(
    features: Annotated[
        Path,
        typer.Argument(
            metavar="FEATURES",
            help="CSV, NPZ, NPY, HDF5, safetensors or Parquet with one row a clip; HDF5, NPZ or safetensors with one array a clip; or a "
            "folder of NPY files, one a clip.",
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
    unify_names: UnifyOption = False,
) -> None:
    """Turn any table of features into a cache, so that stage 2 works with other people's features."""
    from vjepa_fer.cache.column_roles import words_of
    from vjepa_fer.cache.import_arrays import read_feature_table
    from vjepa_fer.cache.imports import import_features, without_telling_columns
    from vjepa_fer.evaluation import manifest_roles
    from vjepa_fer.judging import subjects_in_words
    from vjepa_fer.manifest import read_manifest, respelled

    clips = read_manifest(manifest, unify_names=unify_names)
    for note in clips.notes:
        warn(note)
    patterns = [p for value in columns or ["*"] for p in value.split(",")]
    read = read_feature_table(features, ids=id_column, values=values, columns=patterns)
    spelt = respelled(read.ids, (clip.clip_id for clip in clips))
    table, telling = without_telling_columns(read, clips)
    made, surplus = import_features(table, cache, clips, unify_names=unify_names)
    subjects = len({clip.subject for clip in made.clips})
    unknown = f"; {subjects_in_words(subjects, len(made))}" if subjects == len(made) > 1 else ""
    say(f"{cache}: {len(made):,} clips × {len(table.columns)} features from {table.source}{unknown}")
    say(*words_of(table.roles), *manifest_roles(clips))
    if spelt:
        warn(taken_for_one_name(spelt))
    for role in telling:
        warn(
            f"{role.name} was asked for by name, but is no feature: it {role.why}; a probe would read the answer from it"
        )
    if surplus:
        warn(f"{len(surplus)} rows are not clips of {manifest} and were left out, such as {surplus[0]!r}")
    earlier = sorted(set(made.done) - {clip.clip_id for clip in clips})
    if earlier:
        warn(
            f"{len(earlier)} clips of {cache} are not in {manifest}, such as {earlier[0]!r}: an earlier import brought them, and they "
            "stay; for the clips of this manifest alone, import into a new folder"
        )
    if made.failures:
        warn(f"{len(made.failures)} clips have no row in {features}; see {cache}/failed.csv")
        raise typer.Exit(4)


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
