"""Clips and folds go in; what training and test parts share comes out, and what nobody could look at: neither is passed over."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vjepa_fer.cache import Features
from vjepa_fer.errors import CacheError
from vjepa_fer.folds import FEWEST_COLUMNS, AnyFolds, find_leaks, identical_rows, identities, refuse_leaks
from vjepa_fer.sweep.source import Source


class Audit(NamedTuple):
    """In words: what leaks, and what could not be looked at."""

    leaks: tuple[str, ...]
    unaudited: tuple[str, ...]


def audit(source: Source, who: Features, folds: AnyFolds, *, allow_leak: bool) -> Audit:
    """Look for clips, files, features, recordings and people on both sides of a fold, before anything is fitted.

    Parameters
    ----------
    source : Source
    who : Features
        Its clips; the features are not read.
    folds : AnyFolds
    allow_leak : bool
        False refuses what is found.

    Raises
    ------
    SplitError
        The first few leaks are named with clips.
    """
    hashes = np.array([cached.source_sha256 for cached in source], dtype=str)
    recordings = [clip.value("recording") for clip in source.clips]
    shares = identities(who.clip_ids.tolist(), who.subjects.tolist(), recordings, hashes.tolist())
    unaudited = []
    if (hashes == "").any():
        shares["features"], said = _features(source, hashes == "")
        unaudited.append(said)
    if (shares["recording"] == "").all():
        unaudited.append("recordings: the manifest has no column recording, and no clip id tells one")
    if len(set(who.subjects.tolist())) == len(who.subjects):
        unaudited.append("people: every clip is a subject of its own, so no subjects are known")
    leaks = find_leaks(folds.rows(who), shares, folds.fold_names)
    if not allow_leak:
        refuse_leaks(folds.name, leaks)
    return Audit(tuple(map(str, leaks)), tuple(unaudited))


def _features(source: Source, hashless: np.ndarray) -> tuple[np.ndarray, str]:
    """What clips share by their features that carry no hash of a file, and what is to be said of it."""
    what = f"files: {np.count_nonzero(hashless):,} of {len(hashless):,} clips carry no hash of theirs"
    same = np.full(len(hashless), "", dtype="<U32")
    try:
        x = source.features("mean").X
    except CacheError:
        return same, f"{what}, and no level mean to compare"
    same[hashless] = identical_rows(x[hashless])
    if x.shape[1] < FEWEST_COLUMNS:
        return same, f"{what}, and {x.shape[1]} features are too few to know a copy by"
    return same, f"{what}; their features were compared instead"
