"""The one place where an option that several commands share is spelled and explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from vjepa_fer.disk import bytes_for_people
from vjepa_fer.doors import nearest

from . import completion
from .terminal import warn

SOME_FAILED = 4
"""Exit status where all was gone through, but not all of it could be done."""

CacheArgument = Annotated[
    str,  # a Path would take the two slashes of an address for one
    typer.Argument(
        metavar="CACHE", help="A cache folder, or an address such as s3://bucket/cache.", show_default=False
    ),
]
FolderArgument = Annotated[str, typer.Argument(metavar="CACHE", help="A cache folder.", show_default=False)]
ManifestArgument = Annotated[Path, typer.Argument(metavar="MANIFEST", help="The clips, a CSV.", show_default=False)]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout instead of a table.")]
Shape = Literal["table", "csv", "markdown", "latex"]
FormatOption = Annotated[
    Shape,
    typer.Option(
        "--format",
        help="A table for this terminal, or one to paste: csv (every number in full) for spreadsheets and pandas, markdown for a README, "
        "latex (with booktabs) for a paper.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
ExcludeOption = Annotated[
    str | None,
    typer.Option(
        "--exclude",
        metavar="damaged",
        help="Leave the clips out whose official file is damaged.",
        autocompletion=completion.one_of(("damaged",)),
        show_default=False,
    ),
]

AcceptTruncatedOption = Annotated[
    bool,
    typer.Option(
        "--accept-truncated", help="Of a file that breaks off take what is there, with a note; else it is listed."
    ),
]
AcceptResizeOption = Annotated[
    bool,
    typer.Option(
        "--accept-resize",
        help="Where the size of a film changes midway, scale it to the first size, with a note; else it is listed.",
    ),
]
UnifyOption = Annotated[
    bool,
    typer.Option(
        "--unify-names",
        help="Names that differ only in spelling (letter case, blanks, Unicode form, leading zeros, .0) are one name, which is shown; "
        "without it they are refused.",
    ),
]


def check_format(form: Shape, as_json: bool) -> None:
    """Wrong usage where two forms are asked for at once."""
    if as_json and form != "table":
        raise typer.BadParameter(f"{form}, and --json: choose one", param_hint="--format")


@contextmanager
def wrong_usage(hint: str | None = None) -> Iterator[None]:
    """Values that no recipe and no experiment may have are wrong usage (status 2) where a person typed them; `hint` names the option."""
    from vjepa_fer.errors import ExperimentError, RecipeError

    try:
        yield
    except (ExperimentError, RecipeError) as error:
        raise typer.BadParameter(str(error), param_hint=hint) from error


def memory_option(gigabytes: float | None) -> int | None:
    """``--memory`` in whole bytes; wrong usage where it is more than the machine has, or ``nan``, which older typers let through."""
    from vjepa_fer.workers import total_memory

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


def taken_for_one_name(spelt: Mapping[str, str]) -> str:
    """What ``--unify-names`` united, on a line: the first few names and the spellings that they were taken for."""
    from vjepa_fer.manifest import abridged, shown

    return f"{len(spelt):,} names taken for others: {abridged(' is '.join(shown(pair)) for pair in spelt.items())}"


def warn_of_other_writers(cache: str) -> None:
    """Say where nothing but the person sees to it that one process writes."""
    from vjepa_fer.disk import is_url
    from vjepa_fer.remote import can_create_exclusively, shown_address

    if is_url(cache) and not can_create_exclusively(cache):
        warn(
            f"{shown_address(cache)}: this store has no exclusive create; see to it that no other process writes there"
        )


def check_exclude(exclude: str | None) -> None:
    """Wrong usage unless it is ``damaged`` or not given."""
    if exclude not in (None, "damaged"):
        raise typer.BadParameter(f"{exclude!r} is not 'damaged'{nearest(exclude, ['damaged'])}", param_hint="--exclude")
