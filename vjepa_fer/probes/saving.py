"""A fitted probe goes into a folder of JSON, safetensors and text, with what it expects of features; it comes back equal.

::

    folder/
      probe.json           kind, parameters, classes, expectations, and the SHA-256 of everything here
      arrays.safetensors   what was learnt, and the scaling
      model.txt            LightGBM's trees, where there are some: LightGBM reads them too

Nothing is pickled, and every file is checked before it is read further: one that was changed or cut is refused. A digest says
nothing of who made a file, so what is in it is checked as well: shapes, kinds and ranges, before anything is made of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vjepa_fer.disk import new_folder, refuse_link
from vjepa_fer.doors import read_bytes, read_text
from vjepa_fer.doors.bounded import TooLargeError
from vjepa_fer.errors import MissingExtraError, ProbeError
from vjepa_fer.features import Scaler
from vjepa_fer.probes import probe_entry, probe_name
from vjepa_fer.probes.base import Probe
from vjepa_fer.probes.checks import seed_of
from vjepa_fer.probes.description import (
    ADVICE,
    CHANGED,
    MODEL,
    Description,
    description_from_json,
    description_to_json,
)
from vjepa_fer.probes.learnt import ARRAYS, PROBE_JSON, Held, Learnt

LARGEST = {PROBE_JSON: 16 * 2**20, ARRAYS: 4 * 2**30, MODEL: 2**28}
"""Bytes of each file, read or written: neighbours of 7,000 clips with all their tokens fit, and trees with two million leaves."""

LARGEST_HEADER = 2**20
"""Bytes in which safetensors names its arrays; ours have a few dozen."""


@dataclass(frozen=True, eq=False)
class SavedProbe:
    """A fitted probe, the scaling that comes before it, and what it expects of the features that it is given.

    Attributes
    ----------
    probe : Probe
    scaler : Scaler or None
        Applied to features first.
    expects : mapping of str to str
        Such as ``{"level": "mean", "recipe": "<fingerprint>"}``.
    """

    probe: Probe
    scaler: Scaler | None = None
    expects: Mapping[str, str] = field(default_factory=dict)

    def predict_proba(self, X: ArrayLike, /, **described: str) -> NDArray:
        """Probabilities ``(N, K)`` of features that are `described` as `expects` is.

        Raises
        ------
        ProbeError
            The description differs, and each difference is named with both values; or the probe's numbers are so large that no
            probabilities of these features come of them.
        """
        self.check(described)
        with _large_numbers():
            return _finite(self.probe.predict_proba(self.scaled(X)))

    def predict(self, X: ArrayLike, /, **described: str) -> NDArray:
        """Labels ``(N,)`` that the probe decides for; raises as :meth:`predict_proba`."""
        self.check(described)
        with _large_numbers():
            probabilities, labels = self.probe.answer(self.scaled(X))
        _finite(probabilities)
        return labels

    def scaled(self, X: ArrayLike) -> NDArray:
        """Features as the probe itself sees them."""
        X = np.asarray(X)
        return X if self.scaler is None else self.scaler.apply(X)

    def check(self, described: Mapping[str, str]) -> None:
        """Refuse features that are not described as expected, naming each difference."""
        wrong = [
            f"{name} {described.get(name, 'not given')!r}, not {value!r}"
            for name, value in self.expects.items()
            if described.get(name) != value
        ]
        if wrong:
            raise ProbeError("these are not the features that the probe was fitted on: " + "; ".join(wrong))


def save_probe(
    probe: Probe,
    folder: str | Path,
    *,
    scaler: Scaler | None = None,
    expects: Mapping[str, str] | None = None,
) -> None:
    """Write a fitted probe into a new folder, which appears whole or not at all.

    Raises
    ------
    ProbeError
        The folder exists; or the probe would not be read back: it is too large, or was changed since it was fitted.
    """
    folder = Path(folder)
    probe._check_fitted()
    _check_parameters(probe)
    try:
        with new_folder(folder) as partial:
            _write(probe, partial, scaler, dict(expects or {}))
    except FileExistsError as error:
        raise ProbeError(f"{folder} exists already: a probe is written into a new folder") from error


def load_probe(folder: str | Path) -> SavedProbe:
    """Read a probe that :func:`save_probe` wrote.

    Raises
    ------
    ProbeError
        Not such a folder, written by a newer version, a file in it is missing or was changed, or holds what no probe of its
        kind does; the file is named.
    VjepaFerError
        A file in it is a link.
    MissingExtraError
        What this kind of probe needs is not installed.
    """
    folder = Path(folder)
    description = _read_description(folder / PROBE_JSON)
    files = {name: _read_checked(folder / name, digest) for name, digest in description.files.items()}
    try:
        return _restore(description, files)
    except MissingExtraError:
        raise
    except ProbeError as error:
        raise ProbeError(f"{folder}: {error}: {ADVICE}") from error
    except Exception as error:
        # whatever numbers that nobody thought of provoke in a library that works with them
        raise ProbeError(f"{folder}: holds no probe that can be read ({type(error).__name__}: {error})") from error


def _write(probe: Probe, folder: Path, scaler: Scaler | None, expects: dict[str, str]) -> None:
    from safetensors.numpy import save

    learnt = probe._learnt()
    arrays = {name: np.ascontiguousarray(value) for name, value in learnt.arrays.items()}
    if scaler is not None:
        arrays |= {"scaler.offset": scaler.offset, "scaler.factor": scaler.factor}
    files = {ARRAYS: save(arrays)} | {f"{name}.txt": text.encode() for name, text in learnt.texts.items()}
    kind = probe_name(type(probe))
    plugin = probe_entry(kind).plugin
    description = Description(
        kind=kind,
        params=probe.get_params(),
        classes=probe.classes_,
        num_features=int(probe.n_features_in_),
        numbers=learnt.numbers,
        expects=expects,
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        plugin=plugin.origin if plugin else "",
    )
    for name, content in {**files, PROBE_JSON: description_to_json(description).encode()}.items():
        if len(content) > LARGEST[name]:
            raise ProbeError(f"{name} would take {len(content):,} bytes, but up to {LARGEST[name]:,} are read back")
        (folder / name).write_bytes(content)


def _read_description(path: Path) -> Description:
    refuse_link(path)
    try:
        text = read_text(path, error=ProbeError, advice=ADVICE, at_most=LARGEST[PROBE_JSON], follow=False)
    except FileNotFoundError as error:
        raise ProbeError(f"{path}: no such file; expected a folder written by save_probe") from error
    return description_from_json(text, str(path))


def _read_checked(path: Path, digest: str) -> bytes:
    refuse_link(path)
    try:
        content = read_bytes(path, at_most=LARGEST[path.name], follow=False)
    except (OSError, TooLargeError) as error:
        raise ProbeError(f"{path}: cannot be read ({error}): {ADVICE}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ProbeError(f"{path}: {CHANGED}")
    return content


def _restore(description: Description, files: dict[str, bytes]) -> SavedProbe:
    entry = probe_entry(description.kind)
    here = entry.plugin.origin if entry.plugin else ""
    if here != description.plugin:
        raise ProbeError(f"the plug-in that made it is {description.plugin}, and {here or 'none'} is installed here")
    probe = entry.load()().set_params(**description.params)
    _check_parameters(probe)
    probe.classes_, probe.n_features_in_ = description.classes, description.num_features
    texts = {Path(name).stem: _decoded(name, content) for name, content in files.items() if name != ARRAYS}
    held = Held(Learnt(_arrays(files[ARRAYS]), description.numbers, texts))
    scaler = _scaler(held, probe.n_features_in_)
    probe._recall(held)
    held.finish()
    with _large_numbers():
        _finite(probe.predict_proba(probe._least_features()))  # what no check thought of shows here, and not in a study
    return SavedProbe(probe, scaler, description.expects)


def _check_parameters(probe: Probe) -> None:
    probe._check_parameters()
    seed_of(probe.get_params()["random_state"])


def _arrays(content: bytes) -> dict[str, NDArray]:
    from safetensors.numpy import load

    if int.from_bytes(content[:8], "little") > LARGEST_HEADER:
        raise ProbeError(f"{ARRAYS}: names more arrays than any probe has, or is no safetensors file")
    try:
        return load(content)
    except Exception as error:  # its own, or numpy's of a kind of number that numpy lacks
        raise ProbeError(f"{ARRAYS}: not a safetensors file of plain numbers ({error})") from error


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ProbeError(f"{name}: byte {error.start:,} is not UTF-8") from error


def _scaler(held: Held, num_features: int) -> Scaler | None:
    names = ("scaler.offset", "scaler.factor")
    return Scaler(*(held.floats(name, num_features) for name in names)) if any(name in held for name in names) else None


def _large_numbers() -> np.errstate:
    """Numbers may grow out of bounds for as long as a block runs: :func:`_finite` looks at what comes of it."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def _finite(probabilities: NDArray) -> NDArray:
    if not np.isfinite(probabilities).all():
        raise ProbeError("the probe's numbers are so large that these features have no probabilities: fit it again")
    return probabilities
