"""A plan, its folds and the features' hashes go in; the settings that decide a run's numbers come out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from vjepa_fer.doors import canonical_json
from vjepa_fer.errors import RunError
from vjepa_fer.experiment import Cell, Plan
from vjepa_fer.probes import PROBES, plugin_probes

PLUGINS = "plugins"
"""Of the settings, which plug-ins had a part in the plan; other plans of an experiment have others."""


def run_settings(
    plan: Plan, *, folds_name: str, folds_sha256: str, seed: int, source: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that decides a run's numbers, as plain JSON values.

    `source` names the features by content: the cache's ``fingerprint``, and ``clips`` (see :func:`digest_of_clips`).

    Raises
    ------
    RunError
        A number that is NaN or infinite, or a name that is no Unicode: JSON has no word for it.
    """
    folds = {"folds": folds_name, "folds_sha256": folds_sha256, "seed": seed}
    settings = {**plan.to_dict(), **folds, **source, **_plugins_of(plan)}
    try:
        return json.loads(canonical_json(settings).encode())
    except ValueError as error:
        raise RunError(
            f"a run cannot be kept with {settings}: {error}; give it finite numbers and plain names"
        ) from error


def _plugins_of(plan: Plan) -> dict[str, str]:
    """``{"plugins": "prototype: my-probes 1.2"}``: another version's code may give other numbers. Empty where all is ours."""
    probes = {cell.probe for cell in ((plan,) if isinstance(plan, Cell) else plan.cells)} - set(PROBES)
    usable = plugin_probes().usable if probes else {}
    named = [f"{name}: {usable[name].origin}" for name in sorted(probes) if name in usable]
    return {PLUGINS: ", ".join(named)} if named else {}


def digest_of_clips(*columns: Any) -> str:
    """SHA-256 of the clips evaluated: ids, labels and subjects, in order."""
    return digest(canonical_json([list(map(str, column)) for column in columns]))


def digest(content: str | bytes) -> str:
    """SHA-256 of bytes, or of a text in UTF-8."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
