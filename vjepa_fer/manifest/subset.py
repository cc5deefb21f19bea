"""A list of clips as a corpus hands it out, in any of the usual forms, goes in; a manifest of just these clips comes out.

A line names a clip by its id, or by the end of its path with or without suffix; what else stands in the line (a label, a number of
frames) is passed by: ``Action/Happy/0267 Happy``, ``00001.mp4,3``, ``1,7`` of the folder ``00001``, ``"clips/00001.mp4"``.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

from vjepa_fer.doors import TooLargeError, printable, read_bytes
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.rows import Clip, Manifest, abridged
from vjepa_fer.manifest.spelling import ADVICE, canonical, shown
from vjepa_fer.manifest.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES, suffix_of

LARGEST_LIST = 64 << 20
MOST_FOLDERS = 6
"""So much of the end of a path can be in a list."""


def subset_of(manifest: Manifest, path: str | os.PathLike[str], *, unify_names: bool = False) -> Manifest:
    """The clips that a list names, in the manifest's order; a note says which of its names are not there.

    A first line that names no clip, and holds no digit, is taken for a header.

    Raises
    ------
    ManifestError
        The list cannot be read, names no clip of the manifest, or one of its names means several clips, or one in another spelling;
        `unify_names` accepts the latter.
    """
    file = Path(path)
    lines = _lines(file)
    known = _by_name(manifest)
    alike = {canonical(name): name for name in known}
    kept: set[str] = set()
    absent: list[str] = []
    for number, line in lines:
        found = next((known[name] for name in _names(line) if name in known), set())
        if not found and (
            spelt := next((alike[form] for form in map(canonical, _names(line)) if form and form in alike), "")
        ):
            found = _accepted(known[spelt], line, f"{file}, row {number}", unify_names)
        if len(found) > 1:
            raise ManifestError(
                f"{file}, row {number}: {line[:100]!r} stands for {len(found)} clips, such as {abridged(sorted(found), 2)}: "
                "the list must say more of their paths"
            )
        kept |= found
        if not found and not (number == 1 and not re.search("[0-9]", line)):
            absent.append(line)
    if not kept:
        raise ManifestError(
            f"{file}: names no clip of the manifest; its lines are such as {lines[-1][1][:100]!r}, the clips' ids such as "
            f"{manifest.clips[0].clip_id!r}"
        )
    note = f"{file.name}: {len(absent):,} of {len(lines):,} lines name clips that are not there: "
    shown = abridged([printable(line[:60]) for line in absent])
    chosen = manifest.where(clip for clip in manifest if clip.clip_id in kept)
    return dataclasses.replace(chosen, notes=(*manifest.notes, *([note + shown] if absent else [])))


def _accepted(clips: set[str], line: str, where: str, unify_names: bool) -> set[str]:
    if not unify_names:
        told, name = shown([line[:100], min(clips)])
        raise ManifestError(f"{where}: {told} and the clip {name} differ only in spelling; {ADVICE}")
    return clips


def _lines(file: Path) -> list[tuple[int, str]]:
    """Lines that are not empty, by their number from 1."""
    try:
        text = read_bytes(file, at_most=LARGEST_LIST).decode("utf-8-sig")
    except TooLargeError as error:
        raise ManifestError(f"{file}: {error}; is it a list of clips?") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{file}: byte 0x{error.object[error.start]:02x} is not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise ManifestError(f"{file}: cannot be read ({error.strerror or error})") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        raise ManifestError(f"{file}: is empty; a list has a clip a line")
    return lines


def _by_name(manifest: Manifest) -> dict[str, set[str]]:
    """Every name that a list may use → the ids of the clips that have it."""
    known: dict[str, set[str]] = {}
    for clip in manifest:
        for name in {_plain(clip.clip_id), *_tails(clip)}:
            known.setdefault(name, set()).add(clip.clip_id)
    for clip in manifest:
        known[_plain(clip.clip_id)] = {clip.clip_id}  # an id is the clip's own, whatever another's file is called
    return known


def _tails(clip: Clip) -> Iterator[str]:
    if not clip.path:
        return
    parts = _plain(clip.path).split("/")
    for depth in range(1, min(len(parts), MOST_FOLDERS) + 1):
        yield "/".join(parts[-depth:])


def _names(line: str) -> Iterator[str]:
    """What of a line may be the clip's name, the longest first."""
    yield _plain(line)
    for field in re.split(r"[,;\t]", line)[:1]:
        yield _plain(field)
        yield _plain(field.rpartition(" ")[0])
        yield _plain(field.partition(" ")[0])


def _plain(name: str) -> str:
    """Without quotation marks, suffix, ``./``, a leading ``/``, and zeros before a number: ``"./00001.mp4"`` → ``1``."""
    name = name.strip().strip("\"'").replace("\\", "/").removeprefix("./").strip("/")
    suffix = suffix_of(name.rpartition("/")[2])
    name = name[: -len(suffix)] if suffix in VIDEO_SUFFIXES | PICTURE_SUFFIXES else name
    folder, slash, last = name.rpartition("/")
    return folder + slash + (last.lstrip("0") or "0" if last.isascii() and last.isdigit() else last)
