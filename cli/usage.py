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

from vjepa_fer.doors import nearest, printable

from .terminal import say_error

_NO_CHOICE = re.compile(r"(?:Value error, )?('(.*)' is not one of ('.*'))\.?", re.DOTALL)
_NO_COMMAND = re.compile(r"No such command '(.*?)'\..*", re.DOTALL)


@contextmanager
def usage_errors_said(*, said: bool = True) -> Iterator[None]:
    """Say a wrong usage on stderr, and end with its status; or let it pass, as text that is only shown, to a caller in Python."""
    try:
        yield
    except Exception as error:
        is_help = type(error).__name__ == "NoArgsIsHelpError"  # help, in lines
        if is_help or not hasattr(error, "format_message"):
            raise
        _put_right(error)
        if not said:
            raise
        say_error(*_lines(error))
        raise typer.Exit(error.exit_code) from None  # type: ignore[attr-defined]


def _put_right(error: Any) -> None:
    error.message = printable(_with_nearest(error, getattr(error, "ctx", None)))
    error.possibilities = None  # Typer's own guess


def _lines(error: Any) -> Iterator[str]:
    context = getattr(error, "ctx", None)
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
