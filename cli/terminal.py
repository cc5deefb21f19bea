"""What a command has to say goes in; it goes out as text that the terminal only shows: results to stdout, the rest to stderr.

Names from files may hold anything, so no other file here prints (``tests/cli/test_terminal.py``). One argument is one line: a line break
inside it came with a name, and is written out as ``\\n``. The same goes for a cell of a table.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import typer

from vjepa_fer.doors import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from vjepa_fer.doors import Sheet

    from .options import Shape


def print_json(value: Any) -> None:
    """One object to stdout, for machines."""
    typer.echo(printable_json(value))


UNFOLDED = 10_000
GAP = 3
"""Blanks between two columns of a table."""
WIDEST = 110
"""Columns of running text: eyes lose the line beyond."""


def print_line(line: str = "") -> None:
    """A line to stdout."""
    typer.echo(printable(line))


def print_words(line: str) -> None:
    """A sentence to stdout, within the terminal."""
    typer.echo(_wrapped(line, looks=sys.stdout))


def print_raw(text: str) -> None:
    """A text of several lines to stdout, for a file: as it is, but that no letter of it is a terminal's command."""
    for line in text.splitlines():
        print_line(line)


def say(*lines: str) -> None:
    """Lines for people, on stderr: stdout is for results."""
    typer.echo("\n".join(map(_wrapped, lines)), err=True)


def warn(line: str, *more: str) -> None:
    """Lines on stderr that should be read."""
    _say_marked("note:", "yellow", line, *more)


def say_error(line: str, *more: str) -> None:
    """Why the command failed, on stderr."""
    _say_marked("error:", "red", line, *more)


def _say_marked(mark: str, colour: str, line: str, *more: str) -> None:
    """Lines behind a word that is bold and coloured, as far as the terminal can and the person likes."""
    text = "\n".join([_wrapped(line, beside=len(mark) + 1), *map(_wrapped, more)])
    if os.environ.get("TERM") != "dumb":
        mark = typer.style(mark, fg=None if os.environ.get("NO_COLOR") else colour, bold=True)
    typer.echo(f"{mark} {text}", err=True)


def _wrapped(line: str, *, beside: int = 0, looks: TextIO | None = None) -> str:
    """The line in as many as fit the terminal, beside so many characters, words whole; as it is where nobody looks (at stderr, if nothing is said).

    A line that begins with blanks keeps them, and goes on two further in. Where a program reads, one line stays one: it can be
    searched, and quoted whole.
    """
    text = printable(line)
    if not (looks or sys.stderr).isatty():
        return text
    room, indent = " " * beside, text[: len(text) - len(text.lstrip())]
    return textwrap.fill(
        text,
        min(shutil.get_terminal_size().columns, WIDEST),
        initial_indent=room,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    ).removeprefix(room)


def print_labelled(label: str, lines: Sequence[str], *, label_width: int = 10) -> None:
    """``label      line`` to stdout, within the terminal's width and never over :data:`WIDEST`; words such as paths stay whole."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    options = {"subsequent_indent": " " * (label_width + 2), "break_long_words": False, "break_on_hyphens": False}
    for number, line in enumerate(lines):
        head = f"{printable(label) if number == 0 else '':<{label_width}}"
        typer.echo(textwrap.fill(printable(line), width, initial_indent=head, **options))  # type: ignore[arg-type]


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | Sequence[str] = ()) -> None:
    """A table to stdout, a title of a line or several above it: the first column to the left, figures to the right; plain text when piped."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(header))
    for position, name in enumerate(header):
        table.add_column(name, justify="left" if position == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    screen = screen_of_text()
    for line in [title] if isinstance(title, str) else title:
        screen.print(line, style="bold")
    screen.print(table)


def fits(head: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the terminal is wide enough for a table."""
    room = screen_width() or shutil.get_terminal_size().columns
    return sum(max(map(len, column)) + GAP for column in zip(head, *rows, strict=True)) <= room


def print_sheet(sheet: Sheet, form: Shape) -> None:
    """A table of one rectangle to stdout, as it was asked for."""
    if form == "table":
        print_table(sheet.heads, sheet.shown_rows())
    else:
        print_raw(sheet.to_text(form))


def screen_of_text() -> Console:
    """Rich's console on stdout for which every text in whatever it prints is text only: no mark-up, no emoji, no commands."""
    from rich.console import Console

    class Screen(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

    return Screen(highlight=False, markup=False, emoji=False, width=screen_width())


def screen_width() -> int | None:
    """Columns of what results are printed to: None is the terminal's; where nobody looks, nothing is folded or cut."""
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else UNFOLDED


def prepare_streams() -> None:
    """No character ends a command, and what libraries warn of is text only."""
    for stream in (sys.stdout, sys.stderr):
        _accept_every_character(stream)
    warnings.showwarning = _show_warning


def _accept_every_character(stream: Any) -> None:
    """Windows gives pipes and files a code page without arrows, and file names may be any bytes."""
    if not hasattr(stream, "reconfigure"):
        return
    if not stream.isatty() and "PYTHONIOENCODING" not in os.environ:
        stream.reconfigure(encoding="utf-8")  # as JSON must be
    stream.reconfigure(errors="backslashreplace")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """What Python says, without the line of code, as every other note."""
    warn(f"{category.__name__}: {message} ({filename}:{lineno})")
