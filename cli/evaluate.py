"""``vjepa-fer evaluate``: the same figures for anyone's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import JsonOption, print_json, warn
from .runs import print_figures, print_groups

if TYPE_CHECKING:
    from vjepa_fer.groups import Groups
    from vjepa_fer.predictions import Predictions


def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS.csv",
            help="Columns clip_id, true_label, optional predicted_label, fold, subject; then a probability a class.",
            show_default=False,
        ),
    ],
    scores: Annotated[
        bool,
        typer.Option(
            "--scores", help="The class columns are scores or sums, not probabilities: only their order counts."
        ),
    ] = False,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            "-m",
            help="Look the clips up: unknown ones are refused, those without a prediction counted, subjects filled in.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="With --manifest: columns to give figures by, with commas: sex,age_band.", show_default=False
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Score anyone's predictions with the figures of `probe`: per fold, mean ± sd, pooled, with intervals."""
    from vjepa_fer.prediction_csv import read_predictions

    if by and manifest is None:
        raise typer.BadParameter("needs --manifest: its columns are what figures can be given by", param_hint="--by")
    known = read_predictions(predictions, scores=scores)
    missing: tuple[str, ...] = ()
    groups: Groups = {}
    if manifest is not None:
        known, missing, groups = _look_up(known, manifest, by)
    figures = _figures(predictions, known, groups)
    if manifest is not None:
        figures["n_missing"] = len(missing)
    if as_json:
        print_json({"schema": "vjepa-fer/evaluate/1", "results": [figures]})
        return
    print_figures(figures)
    if groups:
        print_groups(figures["by"])
    _warn_of(figures, missing)


def _look_up(known: Predictions, path: Path, by: str) -> tuple[Predictions, tuple[str, ...], Groups]:
    from vjepa_fer.groups import group_clips
    from vjepa_fer.manifest import read_manifest
    from vjepa_fer.predicted_clips import join_manifest

    manifest = read_manifest(path)
    columns = [word.strip() for word in by.split(",") if word.strip()]
    return *join_manifest(known, manifest), group_clips(manifest, columns)


def _figures(path: Path, known: Predictions, groups: Groups) -> dict[str, Any]:
    from vjepa_fer.groups import group_figures
    from vjepa_fer.predicted_clips import straddling
    from vjepa_fer.results import figures_of
    from vjepa_fer.runs import leaks_of_run

    leaks = leaks_of_run(path) or straddling(known)
    said = {"leaky": bool(leaks), "leaks": list(leaks), "by": group_figures(known, groups)}
    return {**figures_of(known), **said}


def _warn_of(figures: dict[str, Any], missing: tuple[str, ...]) -> None:
    from vjepa_fer.splits import shortlist

    for leak in figures["leaks"][:3]:
        warn(f"LEAKY, if each fold was trained on the others: {leak}")
    if missing:
        total = len(missing) + figures["n_clips"]
        warn(f"{len(missing):,} of the manifest's {total:,} clips have no prediction: {shortlist(list(missing), 3)}")
