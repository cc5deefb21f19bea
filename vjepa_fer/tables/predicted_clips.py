"""Anyone's predictions and a manifest go in; predictions with the manifest's subjects come out, and which clips nobody predicted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.folds import Split, find_leaks, identities, shortlist
from vjepa_fer.judging import Predictions
from vjepa_fer.manifest import MOST_SHOWN, UNIFY, Manifest, abridged, clip_of_path, common_names, respelled, shown


class Joined(NamedTuple):
    """Predictions that the manifest knows, and the ids of its clips that have none, in its order."""

    predictions: Predictions
    missing: tuple[str, ...]


def join_manifest(predictions: Predictions, manifest: Manifest, *, unify_names: bool = False) -> Joined:
    """Look every predicted clip up; a subject that the table does not tell is the manifest's.

    A path of a clip's file is that clip. With `unify_names` clips and subjects that the table spells otherwise are the manifest's too. Labels are for :func:`labelled_otherwise`.

    Raises
    ------
    RunError
        A clip that the manifest lacks, or a subject that is another one there, be it in spelling only.
    """
    known = {clip.clip_id: clip.subject for clip in manifest}
    predictions = _as_spelled(_by_files(predictions, known), "clip_ids", "clip", known, unify_names)
    predictions = _as_spelled(predictions, "subjects", "subject", known.values(), unify_names)
    strangers = [clip for clip in predictions.clip_ids.tolist() if clip not in known]
    if strangers:
        raise RunError(
            f"{len(strangers)} of {len(predictions)} predicted clips are not in the manifest: {shortlist(strangers)}; "
            "are they of another data set, or is --column clip_id=NAME another column?"
        )
    subjects = np.array([known[clip] for clip in predictions.clip_ids.tolist()])
    differ = (predictions.subjects != "") & (predictions.subjects != subjects)
    if differ.any():
        row = int(differ.argmax())
        raise RunError(
            f"{int(differ.sum())} clips have another subject than in the manifest, such as {predictions.clip_ids[row]}: "
            f"{str(predictions.subjects[row])!r} here, {str(subjects[row])!r} there"
        )
    predicted = set(predictions.clip_ids.tolist())
    missing = tuple(clip.clip_id for clip in manifest if clip.clip_id not in predicted)
    return Joined(dataclasses.replace(predictions, subjects=subjects), missing)


def _by_files(predictions: Predictions, known: Mapping[str, str]) -> Predictions:
    """The predictions with the manifest's clips for paths of their files."""
    said = predictions.clip_ids.tolist()
    ours = [clip_of_path(name, known) for name in said]
    if ours == said:
        return predictions
    twice = next((clip for clip, count in Counter(ours).items() if count > 1), None)
    if twice is not None:
        same = [name for name, clip in zip(said, ours, strict=True) if clip == twice]
        raise RunError(f"{shortlist(same)} are one clip of the manifest, {twice}; a clip is decided once")
    return dataclasses.replace(predictions, clip_ids=np.array(ours))


class OtherLabel(NamedTuple):
    """A clip whose true label is another one in the manifest."""

    clip_id: str
    here: str
    manifest: str


def labelled_otherwise(
    predictions: Predictions, manifest: Manifest, names: Mapping[str, str] | None = None
) -> tuple[OtherLabel, ...]:
    """The clips that the manifest labels otherwise: a table may be about what raters saw. Anger and ANG are no two labels.

    Parameters
    ----------
    predictions : Predictions
        Of clips that the manifest has.
    manifest : Manifest
    names : mapping, optional
        Label to common name, before the built-in ones.

    Raises
    ------
    RunError
        Not one label is in the manifest, in whatever words: then nothing can be compared.
    """
    theirs = {clip.clip_id: clip.label for clip in manifest}
    here, there = np.array(predictions.classes)[predictions.truth].tolist(), set(theirs.values())
    called = common_names([*here, *there], names)
    if {called[label] for label in here}.isdisjoint(called[label] for label in there):
        raise RunError(
            f"no true label of the predictions ({abridged(sorted(set(here)), MOST_SHOWN)}) is one of the manifest's "
            f"({abridged(sorted(there), MOST_SHOWN)}); are they of the same clips? --label-map TABLE (label, name) gives both one name"
        )

    def differ(label: str, other: str) -> bool:  # where the manifest has joy and happy, these are two
        return label != other and (label in there or called[label] != called[other])

    rows = zip(predictions.clip_ids.tolist(), here, strict=True)
    return tuple(OtherLabel(clip, label, theirs[clip]) for clip, label in rows if differ(label, theirs[clip]))


def _as_spelled(
    predictions: Predictions, column: str, kind: str, ours: Iterable[str], unify_names: bool
) -> Predictions:
    """The predictions with the manifest's spelling of one column's names."""
    said = getattr(predictions, column).tolist()
    spelt = respelled(filter(None, said), ours)
    for theirs, known in spelt.items() if not unify_names else ():
        told, name = shown([theirs, known])
        raise RunError(
            f"{len(spelt)} {kind}s differ only in spelling, such as {told} in the predictions and {name} in the manifest; spell them "
            "alike, or --unify-names takes them for one name"
        )
    if not spelt:
        return predictions
    united = [spelt.get(name, name) for name in said]
    if kind == "clip" and len(set(united)) < len(set(said)):
        raise RunError(
            f"with {UNIFY} clips of the predictions are one: {shortlist(list(spelt))} beside another spelling"
        )
    names = {"clip_ids": predictions.clip_ids, "subjects": predictions.subjects, column: np.array(united)}
    return dataclasses.replace(predictions, clip_ids=names["clip_ids"], subjects=names["subjects"])


def straddling(predictions: Predictions) -> tuple[str, ...]:
    """What is tested in more than one fold, in words: whoever trained on the other folds has met it.

    The table does not tell what was trained on, so this is what cross-validation would have leaked: each fold against the
    others. Only subjects and RAVDESS' recordings can be known from it.
    """
    fold = predictions.fold
    splits = [Split(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in np.unique(fold)]
    shares = identities(predictions.clip_ids.tolist(), predictions.subjects.tolist())
    return tuple(map(str, find_leaks(splits, shares, predictions.names_of_folds)))
