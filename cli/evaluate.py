"""``vjepa-fer evaluate``: the same figures for anyone's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from . import completion
from .figures import PartOption, print_figures, print_groups, print_part
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
from .probe_tables import no_mass_words
from .terminal import print_json, print_table, say, warn

if TYPE_CHECKING:
    from vjepa_fer.manifest import Manifest


def evaluate(
    predictions: Annotated[
        list[Path],
        typer.Argument(
            metavar="PREDICTIONS.csv",
            help="Columns clip_id, true_label (or --manifest tells it), optional predicted_label, fold, subject; then a probability a "
            "class (none: predicted_label decides). Or a run folder, or a folder of tables, a fold each (test_fold0.csv …). Several are the folds of "
            "one evaluation.",
            show_default=False,
        ),
    ],
    fusion: Annotated[
        str | None,
        typer.Option(
            metavar="mean|stacked",
            help="Several tables, or folders of folds, are classifiers of the same clips: average their probabilities; or weigh them by a "
            "classifier fitted on the folders' tables of training clips (train_fold0.csv … beside test_fold0.csv …).",
            show_default=False,
        ),
    ] = None,
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
            help="Which columns are classes, where neither their names nor what sums to one tells. With --confusion: the classes of a bare "
            "square of numbers.",
            show_default=False,
        ),
    ] = "",
    class_order: Annotated[
        str,
        typer.Option(
            metavar="A,B,…",
            help="Which class each of the numbered columns is (embs0, embs1 …), in the order of their numbers; how well that agrees with the "
            "true labels is said.",
            show_default=False,
        ),
    ] = "",
    logits: Annotated[
        bool,
        typer.Option(
            "--logits",
            help="The class columns are logits: softmax makes probabilities of them. Tables that hold probabilities already stay as they are.",
        ),
    ] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            "-m",
            help="Look the clips up: unknown ones are refused, those without a prediction or of another true label counted, subjects "
            "filled in; and true labels, where the table has none.",
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
            autocompletion=completion.several_of(completion.POLICIES),
            show_default=False,
        ),
    ] = "",
    label_map: Annotated[
        Path | None,
        typer.Option(
            help="A table (label, name) for labels that the built-in names (ang, angry: anger) do not unite.",
            show_default=False,
        ),
    ] = None,
    confusion: Annotated[
        bool,
        typer.Option(
            "--confusion",
            help="The table is a confusion matrix: a column that names the rows, then a column a predicted class, counts or each row's "
            "percentages in it. Margins and figures beside them are left out. A column fold, or several files, hold a matrix a fold.",
        ),
    ] = False,
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="predicted",
            help="With --confusion: each row is a predicted class, not a true one (--rows true).",
            show_default="predicted if the first column is called so, or true",
        ),
    ] = None,
    class_sizes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=CLIPS,…",
            help="With --confusion, for a table in percent: how many clips each true class has. Once a file.",
            show_default=False,
        ),
    ] = None,
    unify_names: UnifyOption = False,
    part: PartOption = None,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Score anyone's predictions with the figures of `probe`: per fold, mean ± sd, pooled, with intervals."""
    from vjepa_fer.manifest import read_label_map
    from vjepa_fer.tables import judge_confusion, judge_table

    check_exclude(exclude)
    for option, value, known in (("--fusion", fusion, ("mean", "stacked")), ("--rows", rows, ("true", "predicted"))):
        if value not in (None, *known):
            raise typer.BadParameter(f"{value!r} is not {' or '.join(map(repr, known))}", param_hint=option)
    if fusion and len(predictions) < 2:
        raise typer.BadParameter("needs two tables or more", param_hint="--fusion")
    check_format(form, as_json)
    if by and manifest is None:
        raise typer.BadParameter("needs --manifest: its columns are what figures can be given by", param_hint="--by")
    for option, given in (("--class-sizes", class_sizes), ("--rows", rows)):
        if given and not confusion:
            raise typer.BadParameter("needs --confusion: predictions are counted", param_hint=option)
    if logits and scores is not None:
        raise typer.BadParameter("class columns are logits, or scores, or neither", param_hint="--logits")
    if class_order and classes:
        raise typer.BadParameter("names all class columns; leave --classes out", param_hint="--class-order")
    if confusion and (class_order or logits):
        raise typer.BadParameter("a confusion matrix names its classes and holds counts", param_hint="--confusion")
    if confusion and (manifest or exclude or fusion or unify_names or scores is not None):
        raise typer.BadParameter("a confusion matrix names no clips and no scores", param_hint="--confusion")
    asked: dict[str, Any] = {
        "columns": dict(pairs(column or [], "--column", "OURS=THEIRS, such as clip_id=video")),
        "classes": words(classes),
        "policies": words(policy),
        "names": read_label_map(label_map) if label_map else None,
    }
    if confusion:
        what = cast('Literal["true", "predicted"] | None', rows)
        results = judge_confusion(predictions, rows=what, sizes=list(map(_sizes, class_sizes or [])), **asked)
    else:
        results = judge_table(
            predictions,
            fusion=cast('Literal["mean", "stacked"] | None', fusion),
            scores=scores,
            class_order=words(class_order),
            logits=logits,
            manifest=_manifest(manifest, unify_names) if manifest else None,
            exclude=exclude,
            by=words(by),
            unify_names=unify_names,
            **asked,
        )
    if as_json:
        print_json({"schema": "vjepa-fer/evaluate/1", "results": results})
    elif part or form != "table":
        name = ", ".join(map(str, predictions))
        print_part([{"name": name, **one} for one in results], part, form)
        for line in _title(results[0]):
            say(line)
    else:
        _print(results)


def _print(results: list[dict[str, Any]]) -> None:
    first = results[0]
    if len(results) == 1:
        print_figures(first, title=_title(first))
        _say_undecided(first)
        if first.get("by"):
            print_groups(first["by"])
    else:
        _print_policies(results)
    say(*_roles(first["columns"]))
    if first["reworded"]:
        say(f"labels in other words: {_reworded(first['reworded'])}")
    if "values" in first:
        _warn_of(first)


def _reworded(pairs: list[list[str]]) -> str:
    from vjepa_fer.manifest import MOST_SHOWN, abridged

    return abridged((f"{label} is {known}" for label, known in pairs), MOST_SHOWN)


def _manifest(path: Path, unify_names: bool) -> Manifest:
    from vjepa_fer.manifest import read_manifest

    manifest = read_manifest(path, unify_names=unify_names)
    for note in manifest.notes:
        warn(note)
    return manifest


def _sizes(text: str) -> dict[str, float]:
    said = dict(pairs(words(text), "--class-sizes", "CLASS=CLIPS, such as happy=489,sad=379"))
    try:
        sizes = {name: float(number) for name, number in said.items()}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--class-sizes") from error
    if not all(0 < size < float("inf") for size in sizes.values()):
        raise typer.BadParameter("a class has one clip at least", param_hint="--class-sizes")
    return sizes


def _roles(columns: dict[str, list[str]]) -> list[str]:
    """What each column of the table was taken as."""
    from vjepa_fer.manifest import MOST_SHOWN, abridged

    heads = {
        "read": "columns",
        "classes": "classes",
        "left_out": "left out, being no class",
        "sizes": "class sizes",
        "rows": "rows",
    }
    return [f"{heads[what]} ({len(names)}): {abridged(names, MOST_SHOWN)}" for what, names in columns.items() if names]


def _print_policies(results: list[dict[str, Any]]) -> None:
    """The means over models, as the literature has them, then all decisions pooled with each policy's coverage; then what each means."""
    from vjepa_fer.runs import shown

    figures, clips = ("war", "uar", "macro_f1"), _decisions_words(results[0])
    if results[0].get("n_models", 1) > 1:
        means = [(r["policy"], *(shown(r[figure]) for figure in figures)) for r in results]
        title = f"%, mean ± sd over {results[0]['n_models']} models, each a fold of the table"
        print_table(("mean over models", "WAR", "UAR", "macro-F1"), means, title=title)
    rows = [
        (r["policy"], *(f"{r[figure]['pooled']:.2f}" for figure in figures), *_coverage_cells(r["coverage"]))
        for r in results
    ]
    head = ("pooled", "WAR", "UAR", "macro-F1", "scored", "by truth", "by pred.")
    print_table(head, rows, title=f"%, pooled; {clips}, and how many each policy scores and leaves out by what")
    for result in results:
        say(f"{result['policy']}: {result['definition']}")
    for result in results:
        _say_undecided(result)
        if result.get("ties"):
            say(f"{result['policy']}: {result['notes'][0]}")


def _say_undecided(result: dict[str, Any]) -> None:
    if result.get("no_shared_mass"):
        warn(no_mass_words(result))


def _decisions_words(result: dict[str, Any]) -> str:
    """``7,442 clips × 5 models = 37,210 decisions``; where a clip is judged once, clips."""
    decisions = result["coverage"]["clips"]
    clips, models = result.get("n_distinct_clips", decisions), result.get("n_models", 1)
    if decisions == clips:
        return f"{clips:,} clips"
    if decisions == clips * models:
        return f"{clips:,} clips × {models} models = {decisions:,} decisions"
    return f"{decisions:,} decisions on {clips:,} clips by {models} models"


def _coverage_cells(coverage: dict[str, Any]) -> tuple[str, str, str]:
    by_truth, by_prediction = (f"{coverage[f'dropped_by_{what}']:,}" for what in ("truth", "prediction"))
    return f"{coverage['percent']:.1f} %", by_truth, by_prediction


def _title(result: dict[str, Any]) -> list[str]:
    """What must be read before the figures: that they leak, or which clips they leave out."""
    lines = ["LEAKY, if each fold was trained on the others"] if result.get("leaky") else []
    if "fusion" in result:
        what = "mean of the probabilities" if result["fusion"] == "mean" else "stacker on the probabilities"
        lines.append(f"{what} of {len(result['fused'])} tables")
    if "policy" in result:
        kept = result["coverage"]
        left_out = (
            f"{kept['dropped_by_truth']:,} left out by true class, {kept['dropped_by_prediction']:,} by prediction"
        )
        lines.append(f"{result['policy']}: {kept['percent']:.1f} % of {_decisions_words(result)} scored; {left_out}")
        lines.append(result["definition"])
    return lines


def _shares(result: dict[str, Any]) -> list[float]:
    """How much each classifier counts, in percent, the mean over folds."""
    folds = [one["shares"] for one in result["stackers"]]
    return [100 * sum(own) / len(folds) for own in zip(*folds, strict=True)]


def _say_class_order(result: dict[str, Any]) -> None:
    """How well the order that was told agrees with the true labels; and which does better."""
    from vjepa_fer.judging import OrderAgreement

    told = result.get("class_order")
    if not told:
        return
    names = result.get("fused") or ["--class-order"]
    for name, one in zip(names, told["tables"], strict=True):
        found = OrderAgreement(one["agree"], one["best"], tuple(one["best_order"]))
        line = f"{name}: the largest of {','.join(told['told'])} is the true label in {found.agree:.2f} %"
        if found.is_doubtful:
            warn(
                f"{line}; in the order {','.join(found.best_order)} it would be in {found.best:.2f} %: is --class-order right?"
            )
        else:
            gain = found.best - found.agree
            say(
                f"{line}; "
                + (f"another order gains {gain:.2f} points at most" if gain > 0 else "no other order does better")
            )


def _warn_of(result: dict[str, Any]) -> None:
    from vjepa_fer.folds import shortlist
    from vjepa_fer.manifest import Damage

    if result.get("united"):
        warn(taken_for_one_name(dict(result["united"])))
    for leak in result["leaks"][:3]:
        warn(f"LEAKY, if each fold was trained on the others: {leak}")
    if result["values"] == "logits":
        say("the class columns are logits: softmax made probabilities of them")
    if result.get("matched_by") == "recording":
        warn("clips go by other names in each table; they were matched as one RAVDESS recording with and without sound")
    if "stackers" in result:
        for name, share in zip(result["fused"], _shares(result), strict=True):
            say(f"{name} makes up {share:.0f} % of what moves the stacked decision")
        warn(result["caution"])
    _say_class_order(result)
    if result["values"] == "sums":
        warn("rows add up to more than one: read as probabilities summed over windows (--no-scores refuses them)")
    total = f"of {result['n_clips']:,} clips"
    if result["n_contradicted"]:
        warn(
            f"{result['n_contradicted']:,} {total} have a predicted_label that is not the class with the largest value; the label counts: "
            f"{shortlist(result['contradicted'], 3)}"
        )
    if result.get("n_relabelled"):
        clip, here, there = result["relabelled"][0]
        warn(
            f"{result['n_relabelled']:,} {total} have another true label in the manifest, such as {clip}: {here!r} here, {there!r} "
            "there; the table's counts"
        )
    damage = Damage.from_dict(result["damaged"])
    if damage != Damage():
        say(str(damage))
    if result.get("n_missing"):
        total = result["n_missing"] + result["n_clips"]
        warn(
            f"{result['n_missing']:,} of the manifest's {total:,} clips have no prediction: {shortlist(result['missing'], 3)}"
        )
