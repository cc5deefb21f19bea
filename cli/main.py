"""The command ``vjepa-fer``: words from the terminal go in, an exit status comes out.

0 all that was asked is done, 1 failed, 2 wrong usage, 3 a missing extra, 4 finished but some clips failed or runs
could not be read, 130 Ctrl-C, 143 a polite kill.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vjepa_fer import __version__
from vjepa_fer.errors import MissingExtraError, VjepaFerError
from vjepa_fer.workers import SAFE, limit_threads

from .environment import name_variables
from .examples import add_examples
from .panels import add_panels
from .plugins import add_plugins
from .terminal import prepare_streams, print_line, say_error
from .usage import usage_errors_said


class Program(TyperGroup):
    """All commands; what is wrong with how one was called is said as every other error is, and raised where Python called."""

    _is_program = True

    def main(self, *args: Any, **options: Any) -> Any:
        self._is_program = options.get("standalone_mode", True)
        return super().main(*args, **options)

    def make_context(self, *args: Any, **options: Any) -> Any:
        with usage_errors_said(said=self._is_program):
            return super().make_context(*args, **options)

    def invoke(self, *args: Any, **options: Any) -> Any:
        with usage_errors_said(said=self._is_program):
            return super().invoke(*args, **options)


STAGE_1 = "Stage 1: videos → token cache (GPU box)"
STAGE_2 = "Stage 2: cache → cross-validated probes (laptop)"
COMMANDS = {
    "First steps": ("demo", "doctor"),
    STAGE_1: ("manifest", "models", "extract", "extract-audio", "cache"),
    STAGE_2: ("probe", "experiments", "runs", "evaluate", "robustness", "report", "predict"),
}
"""By the panel of the help in which they stand; each is made in the module that is called like it."""
ALL = frozenset(name for names in COMMANDS.values() for name in names)

if TYPE_CHECKING:
    app: typer.Typer
    """All commands."""


def __getattr__(name: str) -> Any:
    if name == "app":
        return _app(ALL)
    raise AttributeError(name)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"vjepa-fer {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What does a frozen V-JEPA video encoder see in a face? Extract tokens once, probe them in seconds.

    Every option can be set by the environment, too: VJEPA_FER_PROBE_FOLDS is `probe --folds`. What is typed comes first.
    """


def make_program(first: Sequence[str] = ()) -> TyperGroup:
    """The commands, with what their options share: variables of the environment, groups and examples in the help.

    All of them; or the one that is called like the `first` word, since making all takes as long as reading a cache.
    """
    program = typer.main.get_command(_app(ALL.intersection(first) or ALL))
    name_variables(program)
    add_panels(program)
    add_examples(program)
    add_plugins(program)
    return program  # type: ignore[return-value]


def main() -> None:
    """Run the command line; a user's mistake ends in one message on stderr, never in a traceback."""
    prepare_streams()
    os.environ.update(SAFE)
    limit_threads()
    signal.signal(signal.SIGTERM, _stop)
    program = make_program(sys.argv[1:2])
    try:
        program(prog_name="vjepa-fer")  # however it was started: by its script or by `python -m`
    except VjepaFerError as error:
        say_error(*error.lines)
        sys.exit(3 if isinstance(error, MissingExtraError) else 1)
    except BrokenPipeError:  # `vjepa-fer … | head` is no fault
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise  # not about a file that the user named, or could do anything about
        say_error(
            f"{error.filename or 'the disk'}: {error.strerror}; choose another folder, or look at its rights and room"
        )
        sys.exit(1)


@cache
def _app(wanted: frozenset[str]) -> typer.Typer:
    """Some of the commands; what the others need is not imported."""
    made = typer.Typer(
        name="vjepa-fer",
        cls=Program,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=root,
    )
    for panel, names in COMMANDS.items():
        for name in (name for name in names if name in wanted):
            _add(made, name, panel)
    return made


def _add(made: typer.Typer, name: str, panel: str) -> None:
    """A command, or a group of some, which its module calls ``app``."""
    module = import_module(f".{name.replace('-', '_')}", __package__)
    if hasattr(module, "app"):
        made.add_typer(module.app, name=name, rich_help_panel=panel)
    else:
        made.command(name, rich_help_panel=panel)(getattr(module, name.replace("-", "_")))


def _stop(number: int, _frame: object) -> None:
    """Answer a polite kill as Ctrl-C is answered, by an exception: processes are ended and temporary files removed on its way."""
    signal.signal(number, signal.SIG_DFL)  # a second one is not held up
    sys.exit(128 + number)
