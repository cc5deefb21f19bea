"""The command line goes in, its reference page comes out: ``python docs/commands.py > docs/reference/commands.md``.

It reads the functions behind the commands, with their annotations, and so does not depend on how a Typer version words its help.
tests/docs/test_docs_commands.py compares the page with what this program prints: no option can be added without its line there.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.models import ArgumentInfo

from vjepa_fer.cli.examples import EXAMPLES
from vjepa_fer.cli.main import app

HEAD = """\
# Commands

<!-- Made by docs/commands.py from the command line itself; do not edit. -->

Results go to stdout, progress and remarks to stderr. `-h` or `--help` after any command says what is written here.
What the exit status means stands under [](errors.md).
"""


@dataclass(frozen=True)
class Parameter:
    """One argument or option: its Typer description, its Python type, its default (``...`` if it must be given)."""

    name: str
    info: Any
    type: Any
    default: Any

    @property
    def is_argument(self) -> bool:
        """Whether it is given by its place."""
        return isinstance(self.info, ArgumentInfo)

    @property
    def spelled(self) -> str:
        """As it is typed: ``MANIFEST`` or ``--out``, ``-o``."""
        if self.is_argument:
            return f"`{self.info.metavar or self.name.rstrip('_').upper()}`"
        return ", ".join(f"`{name}`" for name in self.names) + (f" `{self.kind}`" if self.kind else "")

    @property
    def names(self) -> list[str]:
        """Of an option, longest first."""
        dashed = "--" + self.name.rstrip("_").replace("_", "-")
        words = [self.info.default, *(self.info.param_decls or ())]  # in Annotated, Typer takes the first for a default
        given = [name for word in words if isinstance(word, str) for name in word.split("/")]
        long = [name for name in given if name.startswith("--")]
        if not long:
            long = [dashed, f"--no-{dashed[2:]}"] if self.type is bool else [dashed]
        return [*long, *(name for name in given if not name.startswith("--"))]

    @property
    def kind(self) -> str:
        """What follows an option on the command line; "" for a switch."""
        if self.type is bool:
            return ""
        if self.info.metavar:
            return self.info.metavar
        if typing.get_origin(self.type) is typing.Literal:
            return " / ".join(typing.get_args(self.type))
        word = {int: "N", float: "X", Path: "PATH"}.get(self.type, "TEXT")
        return word if self.info.min is None else f"{word} ≥ {self.info.min:g}"

    @property
    def says(self) -> str:
        """Its help, with the default at the end."""
        words = " ".join((self.info.help or "").split()).replace("|", "\\|")
        if self.default is ...:
            return words if self.is_argument else f"**Required.** {words}"
        shown = self.info.show_default
        if isinstance(shown, str):
            return f"{words} Default: {shown}."
        if self.default is None or self.default is False or self.default == "" or shown is False:
            return words
        return f"{words} Default: `{'on' if self.default is True else self.default}`."


def page() -> str:
    """The whole page, Markdown."""
    return "\n".join([HEAD, *_sections(app, "vjepa-fer", "##")]).rstrip() + "\n"


def _sections(group: typer.Typer, name: str, level: str) -> Iterator[str]:
    for one in group.registered_commands:
        yield from _command(one.callback, f"{name} {one.name or _dashed(one.callback)}", level)  # type: ignore[arg-type]
    for sub in group.registered_groups:
        yield f"{level} {name} {sub.name}\n\n{_one_line(sub.typer_instance.info.help)}\n"  # type: ignore[union-attr]
        yield from _sections(sub.typer_instance, f"{name} {sub.name}", level + "#")  # type: ignore[arg-type]


def _command(function: Callable[..., Any], full: str, level: str) -> Iterator[str]:
    yield f"{level} {full}\n\n{_one_line(function.__doc__)}\n"
    found = [p for p in parameters(function) if not getattr(p.info, "hidden", False)]
    arguments = [p for p in found if p.is_argument]
    options = [p for p in found if not p.is_argument]
    words = [p.spelled.strip("`") if p.default is ... else f"[{p.spelled.strip('`')}]" for p in arguments]
    words += [f"{p.names[0]} {p.kind}" for p in options if p.default is ...]
    yield f"```text\n{' '.join([full, *words])}{' [OPTIONS]' if options else ''}\n```\n"
    if found:
        yield (
            "\n".join(["| | |", "| --- | --- |", *(f"| {p.spelled} | {p.says} |" for p in [*arguments, *options])])
            + "\n"
        )
    if examples := EXAMPLES.get(full.removeprefix("vjepa-fer ")):
        lines = (line for one in examples for line in (f"# {one.wish}", one.command))
        yield "\n".join(["```text", *lines, "```\n"])


def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Arguments and options of the function behind a command, in its order."""
    hints = typing.get_type_hints(function, include_extras=True)
    own = {name: p for name, p in inspect.signature(function).parameters.items() if hints[name] is not typer.Context}
    return [_parameter(name, hints[name], p.default) for name, p in own.items()]


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    kind, info = typing.get_args(hint)[:2]
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
    if typing.get_origin(kind) is list:
        kind = typing.get_args(kind)[0]
    return Parameter(name, info, kind, ... if default is inspect.Parameter.empty else default)


def _dashed(function: Callable[..., Any] | None) -> str:
    return getattr(function, "__name__", "").rstrip("_").replace("_", "-")


def _one_line(text: Any) -> str:
    return " ".join(str(text or "").split())


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(page())
