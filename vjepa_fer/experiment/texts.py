"""An experiment goes in, TOML or JSON comes out; and back unchanged, or an error that names file, key, value and what was expected.

::

    cache = "caches/ravdess"
    folds = "ravdess-5fold"

    [[cells]]
    probe = "logreg"
    features = "mean"
    scale = "standard"
    params = {C = 0.1}

A grid has a short form, with the words of ``vjepa-fer probe``: ``probe = "logreg"``, ``features = ["mean", "frames"]``,
``param = {C = [0.1, 1]}``. TOML has no word for nothing: a parameter that is none is the text ``"none"``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from vjepa_fer.disk import write_durably
from vjepa_fer.doors import Given, nearest, parse_object, read_text
from vjepa_fer.errors import ExperimentError, ProbeError
from vjepa_fer.experiment.experiment import Experiment
from vjepa_fer.experiment.grid import make_cells, parse_params, parse_value
from vjepa_fer.experiment.names import spelled
from vjepa_fer.experiment.protocol import Cell, Protocol, Statistics

LARGEST_EXPERIMENT = 16 << 20
OTHER_NAMES = {"stream": "streams", "policy": "policies"}
"""Options of ``probe`` that a field has another name for."""
GRID = ("probe", "features", "pool", "param", "scale", "decision")
"""The short form of `cells`."""
CELL = ("probe", "params", "features", "scale", "decision")
HOW = ("out", "jobs", "json", "save", "config")
"""Options of ``probe`` that are no part of an experiment: they change no figure."""


def experiment_to_json(asked: Experiment) -> str:
    """JSON text of every field, in a fixed order."""
    return json.dumps(asked.to_dict(), indent=2, ensure_ascii=False) + "\n"


def experiment_to_toml(asked: Experiment) -> str:
    """TOML text of every field but those that are nothing, as they are by default."""
    import tomli_w

    plain = Experiment().to_dict()
    values = {
        name: value for name, value in asked.to_dict().items() if value not in (None, "", {}) or value != plain[name]
    }
    values["cells"] = [{**cell, "params": _with_words(cell["params"])} for cell in values["cells"]]
    return tomli_w.dumps(values)


def _with_words(value: Any) -> Any:
    """Nothing, as the word for it."""
    if isinstance(value, dict):
        return {name: _with_words(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_words(one) for one in value]
    return "none" if value is None else value


def experiment_from_json(text: str, source: str = "experiment") -> Experiment:
    """The experiment that :func:`experiment_to_json` wrote; `source` is what messages call it.

    Raises
    ------
    ExperimentError
        Not one JSON object, an unknown key, or a value that cannot be.
    """
    return experiment_from_dict(parse_object(text, source, error=ExperimentError).values, source)


def experiment_from_toml(text: str | bytes, source: str = "experiment") -> Experiment:
    """The experiment of a TOML text; see the module's first lines. Raises as :func:`experiment_from_json`."""
    return experiment_from_dict(parse_toml(text, source), source)


def parse_toml(text: str | bytes, source: str) -> dict[str, Any]:
    """The values of a TOML text; dates, which no key of ours takes, as texts."""
    try:
        return json.loads(
            json.dumps(tomllib.loads(text if isinstance(text, str) else text.decode()), default=str, allow_nan=False)
        )
    except (ValueError, RecursionError) as error:
        raise ExperimentError(f"{source}: cannot be read as TOML ({error})") from error


def read_experiment(path: str | os.PathLike[str]) -> Experiment:
    """Read a ``.toml`` or ``.json`` file.

    Raises
    ------
    ExperimentError
        No such file, or see :func:`experiment_from_json`.
    """
    try:
        text = read_text(path, error=ExperimentError, at_most=LARGEST_EXPERIMENT)
    except FileNotFoundError as error:
        raise ExperimentError(
            f"{path}: there is no such file; `vjepa-fer experiments list` names those that come along"
        ) from error
    read = experiment_from_json if str(path).endswith(".json") else experiment_from_toml
    return read(text, str(path))


def write_experiment(path: str | os.PathLike[str], asked: Experiment) -> None:
    """Write a ``.toml`` or ``.json`` file durably, in place of an older one.

    Raises
    ------
    ExperimentError
        It cannot be written.
    """
    text = experiment_to_json(asked) if str(path).endswith(".json") else experiment_to_toml(asked)
    try:
        write_durably(Path(path), text)
    except OSError as error:
        raise ExperimentError(f"{path}: cannot be written ({error.strerror}); save it elsewhere") from error


def experiment_from_dict(values: Mapping[str, Any], source: str = "experiment") -> Experiment:
    """The experiment of plain values, with ``-`` or ``_`` in keys; fields that are not there have their defaults."""
    said = Given({_field(name): value for name, value in values.items()}, source, ExperimentError)
    own = Experiment()
    known = [one.name for one in dataclasses.fields(Experiment) if one.name != "protocol"]
    refuse_unknown(said, [*known, *(one.name for one in dataclasses.fields(Protocol)), *GRID])
    try:
        return Experiment(
            cache=said.text("cache", own.cache),
            streams=said.mapping("streams", optional=True),
            fusion=said.text("fusion", own.fusion),
            align=said.text("align", own.align),
            labels=said.text("labels", own.labels),
            ties=said.text("ties", own.ties),
            cells=_cells(said),
            protocol=_protocol(said),
            statistics=_statistics(said),
            test_on=said.text("test_on", own.test_on),
            policies=_words(said, "policies", own.policies),
            label_names=said.mapping("label_names", optional=True),
            refit=said.flag("refit", own.refit),
        )
    except (ExperimentError, ProbeError) as error:
        text = str(error)
        raise ExperimentError(text if text.startswith(source) else f"{source}: {text}") from error


def _field(key: str) -> str:
    name = key.replace("-", "_")
    return OTHER_NAMES.get(name, name)


def refuse_unknown(said: Given, known: Collection[str]) -> None:
    """Refuse a key that is none of these, with the nearest that is."""
    for key in said:
        if key in HOW:
            raise ExperimentError(
                f"{said.source}: {key} = {said.values[key]!r} is no part of an experiment: it changes no figure; "
                f"type --{key} instead"
            )
        if key not in known:
            raise ExperimentError(
                f"{said.source}: {key} = {said.values[key]!r}: there is no such key{nearest(key, known)}; "
                f"the keys are {', '.join(known)}"
            )


def _words(said: Given, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """A list of texts, or one text with commas."""
    if isinstance(said.values.get(key), str):
        return tuple(dict.fromkeys(word.strip() for word in said.text(key).split(",") if word.strip()))
    return said.texts(key) if key in said else default


def _protocol(said: Given) -> Protocol:
    own = Protocol()
    return Protocol(
        folds=said.text("folds", own.folds),
        seed=said.whole("seed", own.seed),
        nested=said.flag("nested", own.nested),
        inner_folds=said.whole("inner_folds", own.inner_folds),
        allow_leak=said.flag("allow_leak", own.allow_leak),
        by=_words(said, "by", ()),
        exclude=None if said.values.get("exclude") is None else said.text("exclude"),
        repeats=said.whole("repeats", own.repeats),
    )


def _statistics(said: Given) -> Statistics:
    own, given = Statistics(), said.object("statistics", optional=True)
    drawn = ("num_draws", "seed")  # of the bootstrap that files of before speak of; no figure depends on them any more
    refuse_unknown(given, [*(one.name for one in dataclasses.fields(Statistics)), *drawn])
    return Statistics(confidence=given.number("confidence", own.confidence))


def _cells(said: Given) -> tuple[Cell, ...]:
    """The cells one by one, or a grid of them."""
    short = [name for name in GRID if name in said]
    if "cells" not in said:
        return tuple(_grid(said))
    if short:
        said.refuse(short[0], "nothing: the file lists its cells one by one")
    return tuple(map(_cell, said.objects("cells")))


def _cell(said: Given) -> Cell:
    refuse_unknown(said, CELL)
    plain = Cell()
    return Cell(
        probe=said.text("probe", plain.probe),
        params={name: _value(value) for name, value in said.object("params", optional=True).values.items()},
        level=said.text("features", plain.level),
        scale=said.text("scale", plain.scale),
        decision=said.text("decision", plain.decision),
    )


def _value(value: Any) -> Any:
    """A parameter's value as it is typed or as TOML has it."""
    if isinstance(value, list):
        return tuple(map(_value, value))
    return parse_value(value) if isinstance(value, str) else value


def _grid(said: Given) -> list[Cell]:
    plain = Cell()
    params = said.object("param", optional=True).values
    typed = [f"{name}={_spelled(value)}" for name, value in _flat(params)]
    return make_cells(
        _words(said, "probe", (plain.probe,)),
        _words(said, "features", (plain.level,)),
        parse_params(typed),
        scales=_words(said, "scale", (plain.scale,)),
        decisions=_words(said, "decision", (plain.decision,)),
        pool=_words(said, "pool", ()),
    )


def _flat(params: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """``[param.mlp]`` holds parameters meant for one probe: ``mlp.alpha``."""
    flat: list[tuple[str, Any]] = []
    for name, value in params.items():
        flat += [(f"{name}.{n}", v) for n, v in value.items()] if isinstance(value, dict) else [(name, value)]
    return flat


def _spelled(value: Any) -> str:
    """A list of values to try, with commas; a list inside it is one value, ``(80, 40)``."""
    return ",".join(map(spelled, value)) if isinstance(value, list) else spelled(value)
