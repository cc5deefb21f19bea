"""``vjepa-fer runs list`` and ``show``: look at what was evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .compare import compare
from .figures import LEAKY, PartOption, print_figures, print_groups, print_part
from .label_issues import issues
from .options import SOME_FAILED, FormatOption, JsonOption, RunArgument, check_format
from .terminal import fits, print_json, print_table, say, warn

if TYPE_CHECKING:
    from vjepa_fer.runs import Run

MOST_CONTROLS = 4
"""Runs that are named as one control's."""

NUM_LEAKS = 3
app = typer.Typer(no_args_is_help=True, help="Look at evaluated runs: list them, show one, compare several.")


@app.command("list")
def list_(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with runs, at any depth.", show_default=False)],
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """List the runs in a folder, the figure to report first, then by WAR; those that cannot be read are named, and the exit status is 4 then."""
    from vjepa_fer.runs import list_runs, result_of, to_report

    check_format(form, as_json)
    found, unread = list_runs(root)
    runs = [run for run in found if not run.repeats_a_cell]
    results = [
        {**result_of(run.evaluation, str(run.path)), "to_report": fine}
        for run, fine in zip(runs, to_report(runs), strict=True)
    ]
    results.sort(key=lambda result: (not result["to_report"], -result["war"]["mean"]))
    if as_json:
        broken = [{"run": str(path), "message": why} for path, why in unread]
        print_json({"schema": "vjepa-fer/runs/1", "results": results, "unread": broken})
    elif results and form != "table":
        print_part(results, "figures", form)
    elif results:
        from vjepa_fer.manifest import abridged

        _print_list(root, results)
        for control in dict.fromkeys(result["control"] for result in results if "control" in result):
            names = [_below(result["run"], root) for result in results if result.get("control") == control]
            say(f"a control, what an encoder must beat: {control}, of {abridged(names, MOST_CONTROLS)}")
    elif not unread:
        say(f"{root}: no runs in it; `vjepa-fer probe CACHE --out {root}` makes them")
    for _, why in unread:
        warn(f"not listed: {why}")
    if unread:
        raise typer.Exit(SOME_FAILED)


def _print_list(root: Path, results: Sequence[dict]) -> None:
    """What to report, then everything that a figure was or could be picked from; what all rows share is in the heading."""
    shared = [name for name in ("folds", "n_clips") if len({result[name] for result in results}) == 1]
    title = [f"runs in {root}", *([_shared_words(results[0], shared)] if shared else [])]
    honest = [result for result in results if result["to_report"]]
    if honest:
        several = [f"% {PICKING}: several stand here"] * (len(honest) > 1)
        print_table(*_list_table(root, honest, shared), title=[*title, *several])
        title = []
    picked = [result for result in results if not result["to_report"]]
    if picked:
        print_table(
            *_list_table(root, picked, shared), title=[*title, f"% one of several; {PICKING}: not the figure to report"]
        )


PICKING = "picked from these rows, a figure would be chosen on the test parts"


def _shared_words(result: dict, shared: Sequence[str]) -> str:
    from vjepa_fer.judging import subjects_in_words

    num_clips, num_subjects = result["n_clips"], result["n_subjects"]
    words = {"folds": result["folds"], "n_clips": f"{num_clips:,} clips"}
    unknown = [subjects_in_words(num_subjects, num_clips)] * (num_subjects == num_clips and "n_clips" in shared)
    return ", ".join([words[name] for name in shared] + unknown)


def _list_table(
    root: Path, results: Sequence[dict], shared: Sequence[str]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    head = (
        "run",
        "WAR",
        "UAR",
        *(name for name, key in (("folds", "folds"), ("clips", "n_clips")) if key not in shared),
        "folder",
    )
    from vjepa_fer.runs import shown

    rows = []
    for result in results:
        own = [
            f"{result[key]:,}" if key == "n_clips" else result[key] for key in ("folds", "n_clips") if key not in shared
        ]
        figures = (shown(result["war"]), shown(result["uar"]))
        rows.append((LEAKY * result["leaky"] + result["name"], *figures, *own, _below(result["run"], root)))
    if fits(head, rows):
        return head, rows
    below = [("  " + row[-1], *("" for _ in row[1:-1])) for row in rows]
    return head[:-1], [line for row, folder in zip(rows, below, strict=True) for line in (row[:-1], folder)]


def _below(run: str, root: Path) -> str:
    """The run's path below the folder that was listed: a row must fit into a terminal."""
    inside = Path(run).relative_to(root)
    return run if inside == Path() else str(inside)


@app.command()
def show(run: RunArgument, part: PartOption = None, form: FormatOption = "table", as_json: JsonOption = False) -> None:
    """Show one run: settings, figures per fold, recall by class, the pooled confusion matrix."""
    from vjepa_fer.runs import read_run, result_of

    check_format(form, as_json)
    found = read_run(run)
    result = result_of(found.evaluation, str(run))
    if as_json:
        print_json({"schema": "vjepa-fer/run/1", "settings": dict(found.settings), "result": result})
        return
    for line in result.get("unaudited", ()):
        say(f"the search for leaks did not see {line}")
    leaks = [f"LEAKY: {leak}" for leak in result["leaks"][:NUM_LEAKS]]
    more = len(result["leaks"]) - len(leaks)
    title = [str(run), *leaks, *([f"LEAKY: and {more} more"] if more else [])]
    if part or form != "table":
        for line in [*leaks, *_before(found)]:
            warn(line)
        print_part([result], part, form)
        return
    print_table(("setting", "value"), [(name, _short(value)) for name, value in found.settings.items()], title=title)
    print_figures(result, title=list(_before(found)))
    if result["by"]:
        print_groups(result["by"])


def _before(run: Run) -> Iterator[str]:
    """What must be read before a run's figures."""
    from vjepa_fer.manifest import Damage
    from vjepa_fer.runs import fusion_words, settled_words, stacker_words

    if run.evaluation.leaks:
        yield "LEAKY, not comparable"
    if control := run.evaluation.beside.get("control"):
        yield f"a control, what an encoder must beat: {control}"
    encoder = run.evaluation.beside.get("encoder")
    if encoder and encoder["computed_by"] != "vjepa-fer":
        yield f"features of {encoder['name']}, computed by {encoder['computed_by']}"
    if run.evaluation.folds.name.startswith("test-on:"):
        yield "strict: 100.0 % of the clips scored; a foreign true class and a foreign prediction are errors"
        yield f"other policies: vjepa-fer evaluate {run.path}/predictions.csv --policy merge,repredict"
    if run.evaluation.damage != Damage():
        yield str(run.evaluation.damage)
    if run.evaluation.absent:
        yield str(run.evaluation.absent)
    if run.evaluation.settled:
        yield f"auto: {settled_words(run.evaluation.settled)}"
    if fusion := run.evaluation.beside.get("fusion"):
        yield fusion_words(fusion)
        if run.evaluation.stackers:
            yield from stacker_words(fusion["streams"], run.evaluation.stackers)


def _short(value: object) -> object:
    """Hashes as their first 16 digits; `--json` gives them whole."""
    parts = value.split("+") if isinstance(value, str) else []
    return " + ".join(part[:16] for part in parts) if parts and all(len(part) == 64 for part in parts) else value


app.command()(compare)
app.command()(issues)
