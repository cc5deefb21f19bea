"""What is wrong with how a command was called comes in as Typer says it; it goes out in the style of every other error, with status 2.

Typer's own messages repeat what was typed, or came from a file: they leave as text only. Where a name is none of a closed list, an option
or a command, the nearest is proposed by the one function that does so everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from vjepa_fer.doors import nearest

from .terminal import say_error

_NO_CHOICE = re.compile(r"(?:Value error, )?('(.*)' is not one of ('.*'))\.?", re.DOTALL)
_NO_COMMAND = re.compile(r"No such command '(.*?)'\..*", re.DOTALL)


@contextmanager
def usage_errors_said() -> Iterator[None]:
    """Say a wrong usage on stderr, and end with its status."""
    try:
        yield
    except Exception as error:
        if (
            not hasattr(error, "format_message") or type(error).__name__ == "NoArgsIsHelpError"
        ):  # which is help, in lines
            raise
        say_error(*_lines(error))
        raise typer.Exit(error.exit_code) from None  # type: ignore[attr-defined]


def _lines(error: Any) -> Iterator[str]:
    context = getattr(error, "ctx", None)
    error.message = _with_nearest(error, context)
    error.possibilities = None  # Typer's own guess
    yield error.format_message()
    if context is not None:
        yield f"`{context.command_path} --help` says what it takes"


def _with_nearest(error: Any, context: Any) -> str:
    message = str(error.message)
    if choice := _NO_CHOICE.fullmatch(message):
        return choice[1] + nearest(choice[2], re.findall(r"'([^']*)'", choice[3]))
    if command := _NO_COMMAND.fullmatch(message):
        names = getattr(context.command, "commands", {}) if context else {}
        return f"No such command {command[1]!r}{nearest(command[1], names)}"
    if (option := getattr(error, "option_name", None)) and type(error).__name__ == "NoSuchOption" and context:
        names = [name for parameter in context.command.params for name in parameter.opts if name.startswith("--")]
        return message + nearest(option, names)
    return message
