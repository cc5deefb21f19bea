"""``vjepa-fer experiments …``: those that come along, and the table of those that are finished."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from . import completion
from .options import JsonOption
from .terminal import print_json, print_labelled, print_raw, say, warn

Form = Literal[
    "markdown", "csv", "latex"
]  # the keys of vjepa_fer.report.results_table.FORMATS, which --help must not load

app = typer.Typer(no_args_is_help=True, help="Experiments that come along, and the results table of finished ones.")


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the experiments that come along; `probe CACHE --config NAME` runs one."""
    from vjepa_fer.experiment import shipped_experiments, summary_of

    found = {name: summary_of(path) for name, path in shipped_experiments().items()}
    if as_json:
        print_json({"schema": "vjepa-fer/experiments/1", "experiments": found})
    else:
        for name, summary in found.items():
            print_labelled(name, [summary], label_width=2 + max(map(len, found)))


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="One that `experiments list` shows.", autocompletion=completion.one_of(completion.experiments)
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Show an experiment: whose figures it makes, and its file; save it under another name to change it."""
    from vjepa_fer.doors import nearest
    from vjepa_fer.experiment import read_experiment, shipped_experiments

    known = shipped_experiments()
    if name not in known:
        raise typer.BadParameter(f"there is no experiment {name!r}{nearest(name, known)}; there are {', '.join(known)}")
    if as_json:
        asked = read_experiment(known[name])
        print_json({"schema": "vjepa-fer/experiment/1", **asked.to_dict(), "fingerprint": asked.fingerprint})
    else:
        print_raw(known[name].read_text(encoding="utf-8"))


@app.command()
def table(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR [DIR …]",
            help="Folders that `probe --out` filled, or run folders: a row each.",
            show_default=False,
        ),
    ],
    form: Annotated[
        Form, typer.Option("--format", help="Of what is printed; with --check the file's suffix tells it.")
    ] = "markdown",
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Print nothing, and exit with 1 if the table in this file (.md, .csv, .tex) no longer says what the runs say.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make the results table of finished experiments: each figure with its interval, its command and its predictions' hash."""
    from vjepa_fer.report.results_table import FORMATS, OF_SUFFIX, differences, result_rows

    rows = result_rows(folders)
    if check is None:
        print_raw(FORMATS[form](rows))
        return
    form = OF_SUFFIX.get(check.suffix, form)
    try:
        text = check.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{check}: cannot be read ({error})", param_hint="--check") from error
    told = differences(text, rows, form)
    for line in told:
        warn(f"{check}: {line}")
    if told:
        raise typer.Exit(1)
    say(f"{check}: says what the {'run says' if len(rows) == 1 else f'{len(rows)} runs say'}")
