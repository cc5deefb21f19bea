"""What a user names as folds (a preset, ``loso``, a manifest column, a file) goes in; folds as data come out, and go to JSON and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from vjepa_fer.doors import Given, TooLargeError, parse_object, read_bytes
from vjepa_fer.errors import SplitError
from vjepa_fer.folds.clip_folds import ClipFolds, ClipLists
from vjepa_fer.folds.columns import column_folds
from vjepa_fer.folds.splits import Folds, make_folds
from vjepa_fer.manifest import Clip, Manifest

FORMAT = "vjepa-fer/folds/1"
MAX_FOLDS_BYTES = 64 * 2**20
AnyFolds = Folds | ClipFolds


def plan_folds(spec: str, manifest: Manifest, clips: tuple[Clip, ...], seed: int = 0) -> AnyFolds:
    """The folds that `spec` names, for these clips.

    Parameters
    ----------
    spec : str
        What :func:`vjepa_fer.folds.splits.make_folds` knows, or ``column:NAME`` (a manifest column with train / test or a fold's name
        in each row), or ``file:PATH`` (JSON, as :func:`folds_to_json` writes it).
    manifest : Manifest
        All clips asked for.
    clips : tuple of Clip
        Those of them that have features.
    seed : int
        Of drawn folds.

    Raises
    ------
    SplitError
        An unknown specification, a column or file that holds no folds, or folds that do not fit the clips.
    """
    kind, _, argument = spec.partition(":")
    if kind == "column":
        return column_folds(argument, manifest).on((c.clip_id for c in clips), (c.clip_id for c in manifest))
    if kind == "file":
        folds = read_folds(argument)
        if isinstance(folds, ClipFolds):
            return folds.on((c.clip_id for c in clips), (c.clip_id for c in manifest))
        return folds
    return make_folds(spec, np.array([c.subject for c in clips]), np.array([c.label for c in clips]), seed)


def read_folds(path: str) -> AnyFolds:
    """Folds from a JSON file, named after it.

    Raises
    ------
    SplitError
        No such file, or not folds.
    """
    try:
        return folds_from_json(read_bytes(path, at_most=MAX_FOLDS_BYTES), path)
    except TooLargeError as error:
        raise SplitError(f"{path}: {error}, too big for folds; is it the right file?") from error
    except OSError as error:
        raise SplitError(f"folds 'file:{path}': cannot be read ({error})") from error


def folds_to_json(folds: AnyFolds) -> str:
    """Readable JSON with the hash in it; :func:`folds_from_json` gives an equal value back."""
    data: dict[str, Any] = {"format": FORMAT, "name": folds.name, "note": folds.note, "sha256": folds.sha256}
    if isinstance(folds, ClipFolds):
        names = {"fold_names": folds.names} if folds.names else {}
        data |= {**names, "train_clips": folds.train_clips, "test_clips": folds.test_clips}
    else:
        data |= {"test_subjects": folds.test_subjects}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def folds_from_json(text: str | bytes, where: str) -> AnyFolds:
    """Read folds back; `where` names the file in messages.

    ``{"format": "vjepa-fer/folds/1", "name": …}`` and either ``"test_subjects": [[…], …]`` or ``"train_clips"`` with
    ``"test_clips"``, a list a fold each, and if the folds have names ``"fold_names"``. ``sha256`` is checked where it is there.

    Raises
    ------
    SplitError
        Not JSON, not folds, or edited without their hash.
    """
    said = parse_object(text, f"{where}: not a folds file as vjepa-fer writes it", error=SplitError)
    if said.text("format") != FORMAT:
        raise SplitError(f"{where}: format {said.text('format')!r} is not {FORMAT!r}; a newer version may read it")
    folds = _from_given(said)
    if said.text("sha256", folds.sha256) != folds.sha256:
        raise SplitError(
            f"{where}: the folds do not have the sha256 beside them; if the edit was meant, remove that line"
        )
    return folds


def _from_given(said: Given) -> AnyFolds:
    name, note = said.text("name"), said.text("note", "")
    if "test_clips" in said:
        names = said.texts("fold_names", optional=True)
        return ClipFolds(name, _lists(said, "train_clips"), _lists(said, "test_clips"), note, names)
    return Folds(name, _lists(said, "test_subjects"), note)


def _lists(said: Given, key: str) -> ClipLists:
    folds = said.list(key)
    if not all(isinstance(fold, list) and all(isinstance(name, str) for name in fold) for fold in folds):
        said.refuse(key, "a list of lists of names, in quotation marks")
    return tuple(map(tuple, folds))
