"""``vjepa-fer evaluate``: the same figures for anyone's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import (
    ExcludeOption,
    FormatOption,
    JsonOption,
    UnifyOption,
    check_exclude,
    check_format,
    pairs,
    taken_for_one_name,
    words,
)
from .runs import PartOption, print_figures, print_groups, print_part
from .terminal import print_json, print_table, say, warn

if TYPE_CHECKING:
    from vjepa_fer.manifest import Manifest


def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS.csv",
            help="Columns clip_id, true_label, optional predicted_label, fold, subject; then a probability a class "
            "(none: predicted_label decides). Or a run folder.",
            show_default=False,
        ),
    ],
    scores: Annotated[
        bool | None,
        typer.Option(
            "--scores/--no-scores",
            help="The class columns are scores of any size: only their order counts; or they must be probabilities. "
            "Without either, sums of probabilities over windows are recognised.",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="Such as clip_id=video; may be repeated.", show_default="same names"),
    ] = None,
    classes: Annotated[
        str,
        typer.Option(
            metavar="A,B,…",
            help="Which columns are classes, where neither their names nor what sums to one tells.",
            show_default=False,
        ),
    ] = "",
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            "-m",
            help="Look the clips up: unknown ones are refused, those without a prediction counted, subjects filled in.",
            show_default=False,
        ),
    ] = None,
    exclude: ExcludeOption = None,
    by: Annotated[
        str,
        typer.Option(
            help="With --manifest: columns to give figures by, with commas: sex,age_band.", show_default=False
        ),
    ] = "",
    policy: Annotated[
        str,
        typer.Option(
            help="The classifier knows other classes than the clips have: what becomes of these. strict, drop-true, merge (calm is "
            "neutral), repredict, repredict-merge, paper-drop, paper-merge; several with commas.",
            show_default=False,
        ),
    ] = "",
    label_map: Annotated[
        Path | None,
        typer.Option(
            help="With --policy, a table (label, name) for labels that the built-in names do not unite.",
            show_default=False,
        ),
    ] = None,
    confusion: Annotated[
        bool,
        typer.Option(
            "--confusion",
            help="The table is a confusion matrix: a column true_label, then a column a predicted class, counts or each row's "
            "percentages in it. Margins and figures beside them are left out.",
        ),
    ] = False,
    unify_names: UnifyOption = False,
    sizes: Annotated[
        str,
        typer.Option(
            metavar="CLASS=CLIPS,…",
            help="With --confusion, for a table in percent: how many clips each true class has.",
            show_default=False,
        ),
    ] = "",
    part: PartOption = None,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Score anyone's predictions with the figures of `probe`: per fold, mean ± sd, pooled, with intervals."""
    from vjepa_fer.manifest import read_label_map
    from vjepa_fer.tables import judge_confusion, judge_table

    check_exclude(exclude)
    check_format(form, as_json)
    if by and manifest is None:
        raise typer.BadParameter("needs --manifest: its columns are what figures can be given by", param_hint="--by")
    if label_map and not policy:
        raise typer.BadParameter(
            "needs --policy: labels are compared across corpora only there", param_hint="--label-map"
        )
    names = read_label_map(label_map) if label_map else None
    if sizes and not confusion:
        raise typer.BadParameter("needs --confusion: predictions are counted", param_hint="--sizes")
    if confusion:
        if manifest or exclude or column or classes or scores is not None:
            raise typer.BadParameter("a confusion matrix names no clips and no scores", param_hint="--confusion")
        results = judge_confusion(predictions, sizes=_sizes(sizes), policies=words(policy), names=names)
    else:
        results = judge_table(
            predictions,
            scores=scores,
            classes=words(classes),
            columns=dict(pairs(column or [], "--column", "OURS=THEIRS, such as clip_id=video")),
            manifest=_manifest(manifest, unify_names) if manifest else None,
            exclude=exclude,
            by=words(by),
            policies=words(policy),
            names=names,
            unify_names=unify_names,
        )
    if as_json:
        print_json({"schema": "vjepa-fer/evaluate/1", "results": results})
        return
    if part or form != "table":
        print_part([{"name": str(predictions), **one} for one in results], part, form)
        for line in _title(results[0]):
            say(line)
    elif len(results) == 1:
        print_figures(results[0], title=_title(results[0]))
        if results[0].get("by"):
            print_groups(results[0]["by"])
    else:
        _print_policies(results)
    say(*_roles(results[0]["columns"]))
    if not confusion:
        _warn_of(results[0])


def _manifest(path: Path, unify_names: bool) -> Manifest:
    from vjepa_fer.manifest import read_manifest

    manifest = read_manifest(path, unify_names=unify_names)
    for note in manifest.notes:
        warn(note)
    return manifest


def _sizes(text: str) -> dict[str, float]:
    said = dict(pairs(words(text), "--sizes", "CLASS=CLIPS, such as happy=489,sad=379"))
    try:
        sizes = {name: float(number) for name, number in said.items()}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--sizes") from error
    if not all(0 < size < float("inf") for size in sizes.values()):
        raise typer.BadParameter("a class has one clip at least", param_hint="--sizes")
    return sizes


def _roles(columns: dict[str, list[str]]) -> list[str]:
    """What each column of the table was taken as."""
    from vjepa_fer.manifest import MOST_SHOWN, abridged

    heads = {"read": "columns", "classes": "classes", "left_out": "left out, being no class", "sizes": "class sizes"}
    return [f"{heads[what]} ({len(names)}): {abridged(names, MOST_SHOWN)}" for what, names in columns.items() if names]


def _print_policies(results: list[dict[str, Any]]) -> None:
    """A row a policy with its coverage, then what each means."""
    rows = [
        (
            r["policy"],
            *(f"{r[figure]['pooled']:.2f}" for figure in ("war", "uar", "macro_f1")),
            *_coverage_cells(r["coverage"]),
        )
        for r in results
    ]
    head = ("policy", "WAR", "UAR", "macro-F1", "scored", "by truth", "by prediction")
    clips = results[0]["coverage"]["clips"]
    print_table(head, rows, title=f"%, pooled; {clips:,} clips, and how many each policy scores and leaves out by what")
    for result in results:
        say(f"{result['policy']}: {result['definition']}")


def _coverage_cells(coverage: dict[str, Any]) -> tuple[str, str, str]:
    by_truth, by_prediction = (f"{coverage[f'dropped_by_{what}']:,}" for what in ("truth", "prediction"))
    return f"{coverage['percent']:.1f} %", by_truth, by_prediction


def _title(result: dict[str, Any]) -> list[str]:
    """What must be read before the figures: that they leak, or which clips they leave out."""
    lines = ["LEAKY, if each fold was trained on the others"] if result.get("leaky") else []
    if "policy" in result:
        kept = result["coverage"]
        left_out = (
            f"{kept['dropped_by_truth']:,} left out by true class, {kept['dropped_by_prediction']:,} by prediction"
        )
        lines.append(f"{result['policy']}: {kept['percent']:.1f} % of {kept['clips']:,} clips scored; {left_out}")
        lines.append(result["definition"])
    return lines


def _warn_of(result: dict[str, Any]) -> None:
    from vjepa_fer.folds import shortlist
    from vjepa_fer.manifest import Damage

    if result.get("united"):
        warn(taken_for_one_name(dict(result["united"])))
    for leak in result["leaks"][:3]:
        warn(f"LEAKY, if each fold was trained on the others: {leak}")
    if result["values"] == "sums":
        warn("rows add up to more than one: read as probabilities summed over windows (--no-scores refuses them)")
    damage = Damage.from_dict(result["damaged"])
    if damage != Damage():
        say(str(damage))
    if result.get("n_missing"):
        total = result["n_missing"] + result["n_clips"]
        warn(
            f"{result['n_missing']:,} of the manifest's {total:,} clips have no prediction: {shortlist(result['missing'], 3)}"
        )
