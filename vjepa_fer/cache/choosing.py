"""What a user typed (``label=happy,sad``, a file of clip ids) goes in; the question whether to keep a clip comes out."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from vjepa_fer.cache.asked import read_cache_manifest
from vjepa_fer.disk import AnyPath
from vjepa_fer.doors import nearest, read_text
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import MOST_SHOWN, UNIFY, Clip, Manifest, abridged, respelled, shown
from vjepa_fer.remote import place_of


def chosen(
    root: AnyPath,
    where: Sequence[str],
    clips_file: str | os.PathLike[str] | None = None,
    *,
    unify_names: bool = False,
) -> Callable[[Clip], bool]:
    """A predicate over clips for :func:`vjepa_fer.cache.copying.subset_cache`.

    Parameters
    ----------
    root : path
        The cache whose clips are meant: columns, values and ids that it does not have are refused.
    where : sequence of str
        ``COLUMN=VALUE[,VALUE…]``; all must hold. A value that has a comma stands alone, or in quotation marks.
    clips_file : path, optional
        Clip ids, one a line; blank lines are skipped.
    unify_names : bool
        An id that the list spells otherwise is the cache's; otherwise it is refused.

    Raises
    ------
    CacheError
        Nothing to choose by, or a column, value or clip that is not there.
    """
    manifest = read_cache_manifest(place_of(root))
    if not where and clips_file is None:
        raise CacheError("say which clips to keep, such as --where label=happy,sad or --clips ids.txt")
    conditions = [_condition(text, manifest) for text in where]
    ids = _read_ids(Path(clips_file), manifest, unify_names) if clips_file is not None else None
    return lambda clip: (ids is None or clip.clip_id in ids) and all(clip.value(c) in v for c, v in conditions)


def _condition(text: str, manifest: Manifest) -> tuple[str, frozenset[str]]:
    column, equals, values = text.partition("=")
    if not equals or column not in manifest.columns:
        raise CacheError(
            f"{text!r} is not COLUMN=VALUE[,VALUE…] with one of the columns {abridged(manifest.columns, MOST_SHOWN)}"
        )
    known = {clip.value(column) for clip in manifest.clips}
    wanted = _values(text, values, known)
    for value in sorted(wanted - known):
        raise CacheError(f"{text!r}: no clip has the {column} {value!r}{nearest(value, known)}")
    return column, wanted


def _values(text: str, values: str, known: set[str]) -> frozenset[str]:
    """The values in a list with commas; one that holds a comma stands alone or in quotation marks."""
    try:
        parts = next(csv.reader([values], skipinitialspace=True), [])
    except csv.Error:  # a line break, say
        parts = values.split(",")
    listed = frozenset(value.strip() for value in parts)
    alone = values.strip()
    if len(listed) > 1 and alone in known and listed <= known:
        raise CacheError(
            f"{text!r}: there is a value {alone!r} and there are {' and '.join(map(repr, sorted(listed)))}; put a value with a comma "
            "into double quotation marks, and the others each into theirs"
        )
    return frozenset([alone]) if alone in known else listed


def _read_ids(path: Path, manifest: Manifest, unify_names: bool) -> frozenset[str]:
    try:
        text = read_text(path, error=CacheError, advice="a list of clip ids is expected, one a line")
    except FileNotFoundError as error:
        raise CacheError(f"{path}: cannot be read as a list of clip ids ({error})") from error
    lines = enumerate(text.removeprefix("\ufeff").splitlines(), start=1)
    row_of = {line.strip(): number for number, line in lines if line.strip()}
    known = {clip.clip_id for clip in manifest.clips}
    spelt = respelled(row_of, known)
    ids = frozenset(spelt.get(line, line) for line in row_of)
    for told, ours in spelt.items() if not unify_names else ():
        said, name = shown([told, ours])
        raise CacheError(
            f"{path}, row {row_of[told]}: {said} and the clip {name} differ only in spelling; write it as the cache does, or {UNIFY} takes "
            "them for one name"
        )
    unknown = sorted(ids - known)
    if unknown:
        raise CacheError(f"{path}: {len(unknown)} ids are no clips of the cache, such as {unknown[0]!r}")
    return ids
