"""Your own videos: class folders, or a table with any column names, in; a manifest out."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vjepa_fer.doors import nearest
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.doubts import doubts_of
from vjepa_fer.manifest.no_clips import refuse_no_clips
from vjepa_fer.manifest.official import require_some
from vjepa_fer.manifest.pictures import about_pictures
from vjepa_fer.manifest.rows import COLUMNS, MOST_SHOWN, Clip, Manifest, abridged
from vjepa_fer.manifest.spelling import refuse_spelled_twice
from vjepa_fer.manifest.tables import Table, manifest_from_table, read_table, rename_columns, require_column
from vjepa_fer.manifest.unify import unified
from vjepa_fer.manifest.walk import check_folder, file_notes, look_through

CLASS_FOLDERS = r"(?P<label>[^/]+)/.+"
"""The pattern of ``ROOT/<label>/…``; it names no subject."""

NO_SUBJECTS = (
    "no subjects known: each clip counts as a subject of its own, so folds cannot keep a person's clips together "
    "and scores may be too good"
)


def folder_manifest(
    root: str | os.PathLike[str],
    *,
    pattern: str = CLASS_FOLDERS,
    picture_fps: float | None = None,
    unify_names: bool = False,
) -> Manifest:
    r"""Videos and folders of pictures below a folder, label and subject taken from their paths.

    What is no clip is counted in the manifest's notes; two files of one clip id (``same.mp4`` and ``same.avi``) are both left out
    and named there.

    Parameters
    ----------
    root
        The folder.
    pattern
        Regular expression that the whole path relative to `root` must match (with ``/`` on every system). Its named
        groups become columns: ``label`` must be there; ``subject`` should, otherwise each clip counts as a subject of its
        own; ``clip_id`` is the path without suffix and with ``__`` for ``/`` unless named.
        ``(?P<subject>[^/]+)/(?P<label>[^/]+)/.+`` reads ``anna/happy/3.mp4``.
    picture_fps
        Pictures a second of clips that are folders of them, for the column ``fps``.
    unify_names
        Labels and subjects that differ only in spelling (``Happy/``, ``happy/``) are one; otherwise they are refused.

    Raises
    ------
    ManifestError
        The pattern is not one or has no ``label``, or no video matches it.
    """
    rule = _compile(pattern)
    found = look_through(root).require_clips().for_manifest()
    paths = sorted(found.videos + found.pictures)
    matched = {path: rule.fullmatch(path.relative_to(found.folder).as_posix()) for path in paths}
    others = [path.relative_to(found.folder) for path, match in matched.items() if not match]
    made = [_clip(path.relative_to(found.folder), path, match) for path, match in matched.items() if match]
    require_some(made, found.folder, f"videos whose relative path matches {pattern}", others)
    clips, twice = _told_apart(made)
    united: tuple[str, ...] = ()
    if unify_names:
        clips, united = unified(clips)
    refuse_spelled_twice("clip ids", {clip.clip_id: clip.path for clip in clips}, f"{found.folder}: ")
    left_out = (
        f"{len(others):,} videos do not match the pattern and were left out: {abridged([o.as_posix() for o in others])}"
    )
    notes = (
        *([left_out] if others else []),
        *twice,
        *united,
        *([] if "subject" in rule.groupindex else [NO_SUBJECTS]),
        *found.unread,
        *file_notes([Path(clip.path) for clip in clips]),
        *found.left_out,
        *doubts_of(clips),
    )
    return about_pictures(Manifest(clips=clips, notes=notes), picture_fps)


def _told_apart(made: Sequence[Clip]) -> tuple[tuple[Clip, ...], list[str]]:
    """The clips that have a clip id of their own; and a line about the others, for nobody can know which of them is meant.

    Raises
    ------
    ManifestError
        No clip has one.
    """
    of_id: dict[str, list[Clip]] = {}
    for clip in made:
        of_id.setdefault(clip.clip_id, []).append(clip)
    shared = [" and ".join(clip.path for clip in clips) for clips in of_id.values() if len(clips) > 1]
    if not shared:
        return tuple(made), []
    line = (
        f"{len(shared):,} clip ids stand for several files each, which were left out; rename or remove one of each: "
        f"{abridged(shared, 6)}"
    )
    single = tuple(clips[0] for clips in of_id.values() if len(clips) == 1)
    if not single:
        raise ManifestError(line)
    return single, [line]


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        rule = re.compile(pattern)
    except re.error as error:
        raise ManifestError(f"pattern {pattern!r} is not a regular expression: {error}") from error
    if "label" not in rule.groupindex:
        raise ManifestError(
            f"pattern {pattern!r} has no group (?P<label>…); it must say which part of a path is the label"
        )
    if "path" in rule.groupindex:
        raise ManifestError(f"pattern {pattern!r}: the path is known already; give the group (?P<path>…) another name")
    return rule


def _clip(relative: Path, video: Path, match: re.Match[str]) -> Clip:
    clip_id = "__".join((relative if os.path.isdir(video) else relative.with_suffix("")).parts)
    values = {"clip_id": clip_id, "subject": clip_id} | {name: value or "" for name, value in match.groupdict().items()}
    try:
        extra = {name: value for name, value in values.items() if name not in COLUMNS}
        return Clip(values["clip_id"], str(video), values["label"], values["subject"], extra)
    except ManifestError as error:
        raise ManifestError(f"{video}: {error}") from None


def csv_manifest(
    path: str | os.PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    root: str | os.PathLike[str] | None = None,
    unify_names: bool = False,
) -> Manifest:
    """Any table with one row a clip as a manifest.

    Parameters
    ----------
    path
        The table.
    columns
        Which of its columns is what: ``{"label": "emotion", "subject": "speaker"}``. Columns that have our name already
        need no entry; a table without ``clip_id``, or whose ``clip_id`` is its path, gets the file names without suffix. Without
        ``subject`` each clip counts as a subject of its own, and a note says so.
    root
        Folder that relative paths start at; the table's own when not given.
    unify_names
        As of :func:`vjepa_fer.manifest.read_manifest`.

    Raises
    ------
    ManifestError
        The table cannot be used; the message names file, row, column and value.
    """
    table = read_table(path, check=lambda headed: _require_columns(_renamed(headed, columns or {})))
    table = _renamed(table, columns or {})
    _refuse_paths(table, (columns or {}).get("clip_id", "clip_id"))
    if "clip_id" not in table.header:
        table = _with_column(table, "clip_id", lambda row: Path(row["path"]).stem)
    refuse_no_clips([(number, row["clip_id"], row["label"]) for number, row in table.rows], str(table.path))
    notes = []
    if "subject" not in table.header:
        notes = [f"{NO_SUBJECTS}; the table's columns are {abridged(table.header, MOST_SHOWN)}"]
        table = _with_column(table, "subject", lambda row: row["clip_id"])
    manifest = manifest_from_table(table, unify_names=unify_names)
    manifest = dataclasses.replace(manifest, notes=(*notes, *manifest.notes, *doubts_of(manifest.clips)))
    if root is None:
        return manifest
    base = check_folder(root)
    clips = [dataclasses.replace(clip, path=str(base / clip.path)) if clip.path else clip for clip in manifest]
    return manifest.where(clips)


def _renamed(table: Table, columns: Mapping[str, str]) -> Table:
    """Under our names; the column that holds the paths may be asked to serve as ids too."""
    path = columns.get("path", "path")
    serves_twice = columns.get("clip_id") == path and "clip_id" not in table.header
    return rename_columns(
        table, {ours: theirs for ours, theirs in columns.items() if not (serves_twice and ours == "clip_id")}
    )


def _refuse_paths(table: Table, theirs: str) -> None:
    """Paths are no clip ids; where they stand in no other column, they may be what ids are made of."""
    for number, row in table.rows if "path" not in table.header else ():
        if "/" in row["clip_id"] or "\\" in row["clip_id"]:
            raise ManifestError(
                f"{table.path}, row {number}: clip_id {row['clip_id']!r} is a path; expected a plain name: --column path={theirs} instead makes "
                "clip ids of the files' names without suffix"
            )


def _with_column(table: Table, name: str, value: Callable[[Mapping[str, str]], str]) -> Table:
    rows = tuple((number, {name: value(row), **row}) for number, row in table.rows)
    return dataclasses.replace(table, header=(name, *table.header), rows=rows)


def _require_columns(table: Table) -> None:
    if "path" not in table.header:
        require_column(table, "clip_id", instead="path")
    require_column(table, "label")
    if nearest("subject", table.header):  # a name mistyped is no table without subjects
        require_column(table, "subject")
