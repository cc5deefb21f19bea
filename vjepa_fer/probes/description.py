"""What a saved probe is and expects goes to the text of ``probe.json``, sealed with its own SHA-256, and comes back value by value."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.doors import Given, parse_object
from vjepa_fer.doors.objects import LARGEST_NUMBER
from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import PROBES, plugin_probes
from vjepa_fer.probes.learnt import ARRAYS

FORMAT = "vjepa-fer/probe-file/1"
MODEL = "model.txt"
ADVICE = "save the probe again"
CHANGED = f"was changed after it was written (its SHA-256 differs): {ADVICE}"

MOST_FEATURES = 2**26
"""More than any level of a clip has."""

MOST_CLASSES, LONGEST_CLASS = 2**14, 1000
"""How many there may be, and characters of a name."""

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, eq=False)
class Description:
    """All that ``probe.json`` says.

    Attributes
    ----------
    kind : str
        A name of :data:`vjepa_fer.probes.PROBES`, or a plug-in's.
    params : dict
        Parameters by name.
    classes : ndarray (K,)
    num_features : int
    numbers : dict
        What was learnt and is a number; as yet of any type.
    expects : dict of str to str
        See :class:`vjepa_fer.probes.saving.SavedProbe`.
    files : dict of str to str
        The SHA-256 of each other file, by name.
    plugin : str
        Package and version of the plug-in whose probe it is; "" of ours.
    """

    kind: str
    params: dict[str, Any]
    classes: NDArray
    num_features: int
    numbers: dict[str, Any]
    expects: dict[str, str]
    files: dict[str, str]
    plugin: str = ""


def description_to_json(description: Description) -> str:
    """The text of ``probe.json``; reading it gives the description back.

    Raises
    ------
    ProbeError
        It would not be read back: classes or parameters of a kind that no probe has.
    """
    facts = {
        "format": FORMAT,
        "probe": description.kind,
        "params": {name: _to_json(value) for name, value in description.params.items()},
        "classes": description.classes.tolist(),
        "num_features": description.num_features,
        "numbers": description.numbers,
        "expects": description.expects,
        "files": description.files,
        **({"plugin": description.plugin} if description.plugin else {}),
    }
    text = json.dumps({**facts, "sha256": _digest(facts)}, indent=1, ensure_ascii=False, allow_nan=False)
    description_from_json(text, "the description of this probe")
    return text


def description_from_json(text: str, source: str) -> Description:
    """Read the text of `source`.

    Raises
    ------
    ProbeError
        Not a description, of a newer version, changed since it was written, or with a value that is not as expected: it is named.
    """
    given = parse_object(text, source, error=ProbeError, advice=ADVICE)
    written = given.text("format")
    if written != FORMAT:
        raise ProbeError(f"{source}: format {written!r}, but this version reads {FORMAT!r}")
    facts = {key: value for key, value in given.values.items() if key != "sha256"}
    if given.text("sha256") != _digest(facts):
        raise ProbeError(f"{source}: {CHANGED}")
    return _described(given)


def _described(given: Given) -> Description:
    kind, plugin = given.text("probe"), given.text("plugin", "")
    if plugin and kind not in plugin_probes().usable:
        raise ProbeError(f"{given.source}: probe {kind!r} is of the plug-in {plugin}, which is not installed here")
    if not plugin and kind not in PROBES:
        given.refuse("probe", f"one of {', '.join(PROBES)}")
    params = given.object("params")
    return Description(
        kind=kind,
        params={name: _param(params, name) for name in params},
        classes=_classes(given),
        num_features=given.whole("num_features", least=1, most=MOST_FEATURES),
        numbers=given.object("numbers").values,
        expects=given.mapping("expects"),
        files=_files(given),
        plugin=plugin,
    )


def _param(params: Given, name: str) -> Any:
    """A parameter: pairs become a mapping with keys of any kind, a list becomes a tuple."""
    value = params.raw(name)
    if isinstance(value, list) and all(map(_is_plain, value)):
        return tuple(value)
    if isinstance(value, dict) and value.keys() == {"pairs"} and _are_pairs(value["pairs"]):
        return dict(value["pairs"])
    if not _is_plain(value):
        params.refuse(name, "a text, a number, true, false or null, a list of those, or pairs of those")
    return value


def _are_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_plain, pair)) for pair in value
    )


def _is_plain(value: Any) -> bool:
    if type(value) is int:
        return abs(value) <= LARGEST_NUMBER
    return value is None or isinstance(value, str | bool | float)


def _classes(given: Given) -> NDArray:
    values = given.list("classes")
    kinds = {type(value) for value in values}
    if not 2 <= len(values) <= MOST_CLASSES or len(kinds) > 1 or not all(map(_is_class, values)):
        given.refuse("classes", f"2 to {MOST_CLASSES:,} texts of up to {LONGEST_CLASS:,} characters, or whole numbers")
    classes = np.asarray(values)
    if classes.tolist() != values or len(set(values)) < len(
        values
    ):  # an array of texts drops a 0 character at their ends
        given.refuse("classes", "each once, and nothing that cannot be shown")
    return classes


def _is_class(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_CLASS
    return _is_plain(value) and value is not None and value == int(value)


def _files(given: Given) -> dict[str, str]:
    files = given.mapping("files")
    if ARRAYS not in files or not files.keys() <= {ARRAYS, MODEL} or not all(map(_SHA256.fullmatch, files.values())):
        given.refuse("files", f"the SHA-256 of {ARRAYS}, and of {MODEL} where there is one")
    return files


def _digest(facts: Mapping[str, Any]) -> str:
    """SHA-256 of the values, however they are laid out: of a file that was indented anew nothing was changed."""
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _to_json(value: Any) -> Any:
    """A parameter as JSON: a mapping with keys of any kind becomes pairs, a tuple a list."""
    if isinstance(value, Mapping):
        return {"pairs": [[_to_json(key), _to_json(each)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return [_to_json(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value
