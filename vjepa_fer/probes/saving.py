"""A fitted probe goes into a folder of JSON, safetensors and text, with what it expects of features; it comes back equal.

::

    folder/
      probe.json           kind, parameters, classes, expectations, and the SHA-256 of everything here
      arrays.safetensors   what was learnt, and the scaling
      model.txt            LightGBM's trees, where there are some

Nothing is pickled, and every file is checked before it is read further: one that was changed or cut is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vjepa_fer.disk import new_folder
from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import PROBES, make_probe
from vjepa_fer.probes.base import Learnt, Probe
from vjepa_fer.scaling import Scaler

FORMAT = "vjepa-fer/probe-file/1"
PROBE_JSON, ARRAYS = "probe.json", "arrays.safetensors"
LARGEST_JSON = 16 * 2**20
"""Bytes; the largest ``probe.json`` that is read."""

LARGEST_WIDTH = 2**26
"""Features; more than any level of a clip has."""


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

    def predict_proba(self, X: ArrayLike, **described: str) -> NDArray:
        """Probabilities ``(N, K)`` of features that are `described` as `expects` is.

        Raises
        ------
        ProbeError
            The description differs; each difference is named with both values.
        """
        self.check(described)
        X = np.asarray(X)
        return self.probe.predict_proba(X if self.scaler is None else self.scaler.apply(X))

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
        The folder exists.
    """
    folder = Path(folder)
    probe._check_fitted()
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
        Not such a folder, written by a newer version, or a file in it is missing or was changed; the file is named.
    """
    folder = Path(folder)
    facts = _read_facts(folder / PROBE_JSON)
    files = {name: _read_checked(folder / name, digest) for name, digest in facts["files"].items()}
    try:
        return _restore(facts, files)
    except ProbeError as error:
        raise ProbeError(f"{folder}: {error}") from error
    except Exception as error:
        # whatever a damaged or hostile file provokes in a library that reads it
        raise ProbeError(f"{folder}: holds no probe that can be read ({type(error).__name__}: {error})") from error


def _write(probe: Probe, folder: Path, scaler: Scaler | None, expects: dict[str, str]) -> None:
    from safetensors.numpy import save

    learnt = probe._learnt()
    arrays = {name: np.ascontiguousarray(value) for name, value in learnt.arrays.items()}
    if scaler is not None:
        arrays |= {"scaler.offset": scaler.offset, "scaler.factor": scaler.factor}
    files = {ARRAYS: save(arrays)} | {f"{name}.txt": text.encode() for name, text in learnt.texts.items()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    facts = {
        "format": FORMAT,
        "probe": next(name for name, entry in PROBES.items() if entry.class_name == type(probe).__name__),
        "params": {name: _to_json(value) for name, value in probe.get_params().items()},
        "classes": probe.classes_.tolist(),
        "num_features": int(probe.n_features_in_),
        "numbers": learnt.numbers,
        "expects": expects,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    text = json.dumps({**facts, "sha256": _digest(facts)}, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / PROBE_JSON).write_text(text, encoding="utf-8")


def _read_facts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ProbeError(f"{path}: no such file; expected a folder written by save_probe")
    if path.stat().st_size > LARGEST_JSON:
        raise ProbeError(f"{path}: larger than any probe's description")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        written = facts.pop("sha256")
        kind = facts["format"]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ProbeError(f"{path}: not the description of a probe ({error})") from error
    if kind != FORMAT:
        raise ProbeError(f"{path}: format {kind!r}, but this version reads {FORMAT!r}")
    if written != _digest(facts):
        raise ProbeError(f"{path}: was changed after it was written (its SHA-256 differs): save the probe again")
    return facts


def _read_checked(path: Path, digest: str) -> bytes:
    if path.name not in (ARRAYS, "model.txt") or not path.is_file():
        raise ProbeError(f"{path}: missing, or no file of a probe")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ProbeError(f"{path}: was changed after it was written (its SHA-256 differs): save the probe again")
    return content


def _restore(facts: dict[str, Any], files: dict[str, bytes]) -> SavedProbe:
    from safetensors.numpy import load

    probe = make_probe(facts["probe"], {name: _from_json(value) for name, value in facts["params"].items()})
    arrays = load(files[ARRAYS])
    offset, factor = arrays.pop("scaler.offset", None), arrays.pop("scaler.factor", None)
    scaler = None if offset is None or factor is None else Scaler(offset, factor)
    texts = {Path(name).stem: content.decode() for name, content in files.items() if name != ARRAYS}
    probe.classes_, probe.n_features_in_ = np.asarray(facts["classes"]), int(facts["num_features"])
    probe._recall(Learnt(arrays, facts["numbers"], texts))
    _check_answers(probe)
    return SavedProbe(probe, scaler, facts["expects"])


def _check_answers(probe: Probe) -> None:
    """Ask the probe once: arrays that do not fit each other, or trees of other features, show here and not in a study."""
    if not 0 < probe.n_features_in_ <= LARGEST_WIDTH:
        raise ProbeError(f"num_features {probe.n_features_in_} is not between 1 and {LARGEST_WIDTH}")
    answer = probe.predict_proba(np.zeros((1, probe.n_features_in_), np.float32))
    if answer.shape != (1, len(probe.classes_)) or not np.isfinite(answer).all():
        raise ProbeError(f"its arrays do not make a probe of {len(probe.classes_)} classes")


def _digest(facts: Mapping[str, Any]) -> str:
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _to_json(value: Any) -> Any:
    """A parameter as JSON: a mapping with keys of any kind becomes pairs, a tuple a list."""
    if isinstance(value, Mapping):
        return {"pairs": [[_to_json(key), _to_json(each)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return [_to_json(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(value["pairs"])
    return tuple(value) if isinstance(value, list) else value
