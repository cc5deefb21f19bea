"""``--config study.toml``: a file's values become a command's defaults; the environment and what is typed come first.

A key is an option's long name (``frame-step`` or ``frame_step``). What belongs to a probe stands in a table ``[param]``.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from vjepa_fer.doors import printable, read_bytes

from .environment import long_name

LARGEST = 1 << 20


def read_config_file(context: typer.Context, path: Path | None) -> Path | None:
    """Callback of the eager option: the file's values become the command's defaults."""
    if path is not None:
        context.default_map = {**(context.default_map or {}), **_defaults(context.command, path)}
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


def _defaults(command: Any, path: Path) -> dict[str, Any]:
    """Values by parameter name of the command."""
    try:
        table = tomllib.loads(read_bytes(path, at_most=LARGEST).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{path}: cannot be read as TOML ({error})") from error
    options = {name: option for option in command.params if (name := long_name(option)) not in ("", "help", "config")}
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        option = options.get(key.replace("_", "-"))
        if option is None or not _fits(option, value):
            raise typer.BadParameter(
                f"{path}: {key} = {value!r} is not understood; the keys are {', '.join(options)}, as the options of "
                f"`{command.name} --help`"
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
    if isinstance(value, bool) or option.is_flag:
        return isinstance(value, bool) and option.is_flag
    if isinstance(option.default, (int, float)):
        return isinstance(value, (int, float))
    return isinstance(value, (str, int, float, list))


def _as_typed(option: Any, value: Any) -> Any:
    """What a person would have typed for it."""
    if isinstance(value, dict):
        return [f"{name}={_words(values)}" for name, values in _flat(value)]
    if option.multiple:
        return [_words(one) for one in (value if isinstance(value, list) else [value])]
    return value if option.is_flag else _words(value)


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
