"""Figures go in, a file comes out; and a file that anyone may have written comes back as figures that are whole, or as an error that says where not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from vjepa_fer.disk import write_durably
from vjepa_fer.doors import parse_object, read_text
from vjepa_fer.errors import RunError

SCHEMA = "vjepa-fer/robustness/1"
LARGEST = 64 << 20
"""Bytes of a file that is read."""


class Each(NamedTuple):
    """An object whose values, whatever their names, are all of one form."""

    form: Any


class Maybe(NamedTuple):
    """This, or null."""

    form: Any


NUMBER = (int, float)
ENDS = Maybe([NUMBER, NUMBER])
CHANGE = {"value": NUMBER, "interval": ENDS, "real": Maybe(bool)}
FIGURE = {"value": NUMBER, "interval": ENDS, "change": Maybe(CHANGE)}
CONDITION = {"name": str, "war": FIGURE, "uar": FIGURE, "classes": Each({"recall": Maybe(NUMBER)})}
DROP = {"value": Maybe(NUMBER), "interval": ENDS}
CORRELATION = Maybe({"value": NUMBER, "interval": ENDS})
ENCODER = {
    "name": str,
    "cells": (list,),
    "folds": str,
    "n_clips": int,
    "n_subjects": int,
    "leaks": (list,),
    "classes": (list,),
    "curves": Each((list,)),
    "relative_drop": Each({"war": DROP, "uar": DROP}),
    "correlation": Each({"clips": CORRELATION, "conditions": CORRELATION}),
    "augmented": Maybe({}),
    "flip_view": Maybe({"war": FIGURE, "uar": FIGURE}),
}
"""What a page draws of an encoder, besides its conditions."""


def write_figures(facts: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Keep figures as JSON, whole or not at all.

    Raises
    ------
    RunError
        The file cannot be written.
    """
    try:
        write_durably(Path(path), json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise RunError(f"{path}: the figures cannot be written ({error})") from error


def read_figures(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What :func:`write_figures` wrote.

    Raises
    ------
    RunError
        No such file, none of these, or one that is not whole; the place in it is named.
    """
    try:
        facts = parse_object(read_text(path, error=RunError, at_most=LARGEST), str(path), error=RunError).values
    except FileNotFoundError as error:
        raise RunError(
            f"{path}: no robustness figures there; `vjepa-fer robustness … --out {path}` writes them"
        ) from error
    if facts.get("schema") != SCHEMA:
        raise RunError(
            f"{path}: no robustness figures in it ({SCHEMA} expected); `vjepa-fer robustness --out` writes them"
        )
    for number, encoder in enumerate(_list(facts.get("encoders"), f"{path}: encoders")):
        where = f"{path}: encoders[{number}]"
        _require(encoder, ENCODER, where)
        _require_conditions(
            encoder,
            encoder.get("conditions"),
            f"{where}.conditions",
            {"severity": int, "drift": Each({"value": NUMBER})},
        )
        if encoder.get("augmented") is not None:
            _require(encoder["augmented"], {"with": (list,)}, f"{where}.augmented")
            more = {"gain": {"war": CHANGE, "uar": CHANGE}}
            said = encoder["augmented"].get("conditions")
            _require_conditions(encoder, said, f"{where}.augmented.conditions", more)
    return facts


def _require_conditions(encoder: dict[str, Any], conditions: Any, where: str, more: dict[str, Any]) -> None:
    """Every condition with all classes, drifts of all levels but of the clean one, which is the first."""
    for number, one in enumerate(_list(conditions, where)):
        at = f"{where}[{number}]"
        _require(one, CONDITION | more, at)
        _require(one["classes"], {label: {} for label in encoder["classes"]}, f"{at}.classes")
        if one.get("drift"):
            _require(one["drift"], {level: {} for level in encoder["correlation"]}, f"{at}.drift")


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise _broken(where, value)
    return value


def _require(value: Any, form: Any, where: str) -> None:
    """The value has the form: a type, an object with these, or each of a list."""
    if isinstance(form, Maybe):
        if value is not None:
            _require(value, form.form, where)
        return
    kind: Any = dict if isinstance(form, dict | Each) else list if isinstance(form, list) else form
    if not isinstance(value, kind) or (isinstance(value, bool) and form is not bool):
        raise _broken(where, value)
    if isinstance(form, Each):
        for name, one in value.items():
            _require(one, form.form, f"{where}.{name}")
    elif isinstance(form, dict):
        for name, one in form.items():
            _require(value.get(name), one, f"{where}.{name}")
    elif isinstance(form, list):
        if len(value) != len(form):
            raise _broken(where, value)
        for number, one in enumerate(form):
            _require(value[number], one, f"{where}[{number}]")


def _broken(where: str, value: Any) -> RunError:
    return RunError(f"{where} is {str(value)[:40]!r}: not as `vjepa-fer robustness --out` writes it; write it again")
