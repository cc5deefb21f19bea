"""The one place where an option that several commands share is spelled and explained; and how a command shows its answer."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from vjepa_fer.disk import bytes_for_people

SOME_FAILED = 4
"""Exit status where all was gone through, but not all of it could be done."""

CacheArgument = Annotated[Path, typer.Argument(metavar="CACHE", help="A cache folder.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout instead of a table.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
ExcludeOption = Annotated[
    str | None,
    typer.Option(
        "--exclude", metavar="damaged", help="Leave the clips out whose official file is damaged.", show_default=False
    ),
]


@contextmanager
def wrong_usage(hint: str | None = None) -> Iterator[None]:
    """Values that no recipe may have are wrong usage (status 2) where a person typed them; `hint` names the option."""
    from vjepa_fer.errors import RecipeError

    try:
        yield
    except RecipeError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from error


def memory_option(gigabytes: float | None) -> int | None:
    """``--memory`` in whole bytes; wrong usage where it is more than the machine has, or ``nan``, which older typers let through."""
    from vjepa_fer.video.pool import total_memory

    if gigabytes is None:
        return None
    if not gigabytes * 1e9 <= total_memory():
        has = bytes_for_people(total_memory())
        raise typer.BadParameter(f"{gigabytes:g} GB; this machine has {has}", param_hint="--memory")
    return int(gigabytes * 1e9)


def words(text: str) -> list[str]:
    """``a, b`` as its words, each once."""
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def pairs(options: list[str], name: str, form: str) -> list[tuple[str, str]]:
    """``LEFT=RIGHT`` options as pairs; `name` and `form` are for the message where one is not."""
    parted = [option.partition("=") for option in options]
    for option, (left, sign, _) in zip(options, parted, strict=True):
        if not left or not sign:
            raise typer.BadParameter(f"{option!r} is not {form}", param_hint=name)
    return [(left, right) for left, _, right in parted]


def check_exclude(exclude: str | None) -> None:
    """Wrong usage unless it is ``damaged`` or not given."""
    if exclude not in (None, "damaged"):
        raise typer.BadParameter(f"{exclude!r} is not 'damaged'", param_hint="--exclude")


def print_json(value: Any) -> None:
    """One object to stdout, for machines."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def say(message: str) -> None:
    """A line for people, on stderr: stdout is for results."""
    typer.echo(_wrapped(message), err=True)


def warn(message: str) -> None:
    """A line on stderr that should be read."""
    label, _, rest = _wrapped(f"note: {message}").partition(" ")
    print_marked(label, f" {rest}", "yellow")


def print_marked(label: str, rest: str, colour: str) -> None:
    """A line on stderr that begins with a bold, coloured word; without the colour where the person set NO_COLOR."""
    typer.secho(label, fg=None if os.environ.get("NO_COLOR") else colour, bold=True, nl=False, err=True)
    typer.echo(rest, err=True)


def _wrapped(message: str) -> str:
    """The message in lines that fit the terminal, words whole; as it is where nobody looks."""
    if not sys.stderr.isatty():
        return message
    width = shutil.get_terminal_size().columns
    options = {"width": width, "subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}
    return "\n".join("\n".join(textwrap.wrap(line, **options)) for line in message.splitlines())  # type: ignore[arg-type]


def print_labelled(label: str, lines: Sequence[str], *, label_width: int = 10) -> None:
    """``label      line`` to stdout, within the terminal's width and never over 110; words such as paths stay whole."""
    width = min(shutil.get_terminal_size().columns, 110)
    options = {"subsequent_indent": " " * (label_width + 2), "break_long_words": False, "break_on_hyphens": False}
    for number, line in enumerate(lines):
        head = f"{label if number == 0 else '':<{label_width}}"
        typer.echo(textwrap.fill(line, width, initial_indent=head, **options))  # type: ignore[arg-type]


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table to stdout: the first column to the left, figures to the right; plain text when piped."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(header))
    for position, name in enumerate(header):
        table.add_column(name, justify="left" if position == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console(highlight=False, markup=False)
    if title:
        console.print(title, style="bold")
    console.print(table)
