"""``--config study.toml``: a file's values become a command's defaults; the environment and what is typed come first.

A key is an option's long name (``frame-step`` or ``frame_step``). What belongs to a probe stands in a table ``[param]``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from vjepa_fer.doors import nearest, parse_object, printable, read_bytes
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.experiment import GRID, LARGEST_EXPERIMENT, shipped_experiments, shipped_file

from .environment import long_name

NOT_IN_FILES = ("help", "config", "save", "list")
LISTED = ("cells", "statistics", "label-names")
"""Fields of an experiment that no option of ``probe`` can say."""


def read_config_file(context: typer.Context, path: Path | None) -> Path | None:
    """Callback of the eager option: the file's values become the command's defaults."""
    if path is not None:
        context.default_map = {**(context.default_map or {}), **_defaults(context.command, _read_table(path), path)}
    return path


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="TOML file with these options by name; the environment and what is typed come first.",
        is_eager=True,
        callback=read_config_file,
        show_default=False,
    ),
]


def read_experiment_file(context: typer.Context, path: Path | None) -> Path | None:
    """Callback of ``probe --config``: a file, or the name of an experiment that comes along."""
    if path is not None:
        found = path if path.exists() else shipped_file(str(path))
        if found is None:
            near = nearest(str(path), shipped_experiments())
            raise typer.BadParameter(f"{path}: no such file, and no experiment of `vjepa-fer experiments list`{near}")
        table = _as_options(_read_table(found), str(path))
        context.default_map = {**(context.default_map or {}), **_defaults(context.command, table, path)}
    return path


def _as_options(values: dict[str, Any], source: str) -> dict[str, Any]:
    """An experiment's fields that no option has, as the hidden option that takes them; the others by their options' names."""
    table = {key.replace("_", "-"): value for key, value in values.items() if value not in (None, "", {})}
    listed = {name.replace("-", "_"): table.pop(name) for name in LISTED if name in table}
    if "cells" in listed and (short := [name for name in GRID if name in table]):
        raise typer.BadParameter(
            f"{source}: {short[0]} = {table[short[0]]!r}: the file lists its cells one by one; take it out"
        )
    streams = table.pop("streams", None)
    if isinstance(streams, dict):
        table["stream"] = [f"{name}={path}" for name, path in streams.items()]
    if "policies" in table:
        table["policy"] = table.pop("policies")
    return {**table, **({"listed": json.dumps(listed)} if listed else {})}


def refuse_typed(context: typer.Context, is_listed: bool, names: tuple[str, ...]) -> None:
    """Options that spell a grid go with no file that lists its cells one by one."""
    sources = {name: context.get_parameter_source(name) for name in names if is_listed}
    clashing = [name for name, source in sources.items() if source and source.name in ("COMMANDLINE", "ENVIRONMENT")]
    for option in (option for option in context.command.params if option.name in clashing):
        raise typer.BadParameter(
            f"--{long_name(option)} goes with no --config that lists its cells; edit the file, or leave it out"
        )


@contextmanager
def said_in(config: Path | None) -> Iterator[None]:
    """An error about what a file asks for names the file."""
    try:
        yield
    except VjepaFerError as error:
        if config is not None:
            error.add_note(f"This was asked for by {config}.")
        raise


def _read_table(path: Path) -> dict[str, Any]:
    try:
        text = read_bytes(path, at_most=LARGEST_EXPERIMENT).decode("utf-8")
        return parse_object(text, str(path)).values if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{path}: cannot be read as TOML ({error})") from error


def _defaults(command: Any, table: dict[str, Any], path: Path) -> dict[str, Any]:
    """Values by parameter name of the command."""
    named = {long_name(option) or option.name: option for option in command.params}
    options = {name: option for name, option in named.items() if name not in NOT_IN_FILES}
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        option = options.get(key.replace("_", "-"))
        if option is None or not _fits(option, value):
            keys = [name for name in options if name != "listed"]
            near = nearest(key.replace("_", "-"), keys) if option is None else ""
            raise typer.BadParameter(
                f"{path}: {key} = {value!r} is not understood; the keys are {', '.join(keys)}, as the options of "
                f"`{command.name} --help`{near}"
            )
        defaults[option.name] = _shown_alike(_as_typed(option, value), f"{path}: {key}")
    return defaults


def _shown_alike(typed: Any, where: str) -> Any:
    """The value as it was, if `--help` may print it as a default: it is seen as what it is, and no terminal obeys it."""
    for text in typed if isinstance(typed, list) else [typed]:
        if printable(str(text)) != str(text):
            raise typer.BadParameter(f"{where} holds what nobody sees or a terminal obeys: {text!r}; type it instead")
    return typed


def _fits(option: Any, value: Any) -> bool:
    """A switch wants true or false, a number a number; a list goes where commas or repeated options go."""
    if isinstance(value, dict) or long_name(option) == "param":
        return isinstance(value, dict) and long_name(option) == "param"
    is_flag = getattr(option, "is_flag", False)  # an argument has none
    if isinstance(value, bool) or is_flag:
        return isinstance(value, bool) and is_flag
    if isinstance(option.default, (int, float)):
        return isinstance(value, (int, float))
    return isinstance(value, (str, int, float, list))


def _as_typed(option: Any, value: Any) -> Any:
    """What a person would have typed for it."""
    if isinstance(value, dict):
        return [f"{name}={_words(values)}" for name, values in _flat(value)]
    if option.multiple:
        return [_words(one) for one in (value if isinstance(value, list) else [value])]
    return value if isinstance(value, bool) else _words(value)


def _flat(params: dict[str, Any]) -> list[tuple[str, Any]]:
    """``[param.mlp]`` holds parameters meant for one probe: ``mlp.alpha``."""
    flat: list[tuple[str, Any]] = []
    for name, value in params.items():
        flat += [(f"{name}.{n}", v) for n, v in value.items()] if isinstance(value, dict) else [(name, value)]
    return flat


def _words(value: Any) -> str:
    """A TOML value as it would be typed: a list with commas, a list inside a list as ``(80,40)``."""
    if isinstance(value, list):
        return ",".join(f"({_words(one)},)" if isinstance(one, list) else _words(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
