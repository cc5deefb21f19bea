"""A predictor and what it answered go in; the words and the table of ``predict`` come out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import print_json, print_table, say, warn

if TYPE_CHECKING:
    from vjepa_fer.errors import VideoError
    from vjepa_fer.predict import Prediction, Predictor

NUM_SHOWN = 3


def introduce(predictor: Predictor, run: Path) -> None:
    """Whose answers these will be, and what speaks against them."""
    fitted, recipe = predictor.fitted, predictor.recipe
    kind, decision = type(fitted.probe.probe).__name__, f", {fitted.decision}" if fitted.windowed else ""
    say(f"{run}: {kind} on {fitted.level} of {recipe.encoder.name}{decision}, fitted once on all training clips")
    if recipe.encoder.weights.startswith("random:"):
        warn("random weights: good for a smoke test; the answers mean nothing about faces")
    if predictor.departs:
        own = "the whole frame" if recipe.preprocessing.face_crop else "the square round the face"
        warn(f"the probe was fitted on {own}; it is shown otherwise here, as asked: its figures say little about this")


def print_answers(
    predictor: Predictor, run: Path, done: Sequence[tuple[Prediction, list[Path]]], failed: Sequence[VideoError]
) -> None:
    """All of it as JSON: what the answers rest on, each with the files written for it, and what has none."""
    answers = {
        "results": [{**one.to_dict(), "files": [str(file) for file in files]} for one, files in done],
        "failed": [_failure(error) for error in failed],
    }
    print_json({"schema": "vjepa-fer/predict/1", **_facts(predictor, run), **answers})


def _facts(predictor: Predictor, run: Path) -> dict[str, Any]:
    """What the answers rest on."""
    from vjepa_fer.recipe import fingerprint

    fitted, recipe = predictor.fitted, predictor.recipe
    return {
        "run": str(run),
        "fitted_on": "all training clips",
        "probe": type(fitted.probe.probe).__name__,
        "level": fitted.level,
        "decision": fitted.decision,
        "encoder": recipe.encoder.name,
        "weights": recipe.encoder.weights,
        "face_crop": recipe.preprocessing.face_crop is not None,
        "recipe": fingerprint(recipe),
        "recipe_of_the_probe": fingerprint(fitted.recipe),
    }


def _failure(error: VideoError) -> dict[str, str]:
    return {"path": str(error.path), "reason": error.reason, "message": error.message}


def show_answers(answers: Sequence[Prediction], paths: list[Path]) -> None:
    """A row a video; the folder that all of `paths` lie under is said once, above."""
    folder = _common_folder(paths)
    title = f"in {folder}" if folder else ()
    print_table(("video", "label", "%", "then"), [_row(one, folder) for one in answers], title=title)


def _common_folder(paths: list[Path]) -> Path | None:
    """The folder that all videos lie under, said once above the table; None for a single one."""
    try:
        common = os.path.commonpath([path.parent for path in paths]) if len(paths) > 1 else ""
    except ValueError:  # two drives, or relative and absolute paths
        return None
    return Path(common) if common else None


def _row(one: Prediction, folder: Path | None) -> tuple[str, str, str, str]:
    order = [k for k in (-one.probabilities).argsort(kind="stable") if k != one.decided][: NUM_SHOWN - 1]
    others = ", ".join(f"{one.classes[k]} {100 * one.probabilities[k]:.0f}" for k in order)
    name = one.path.relative_to(folder) if folder else one.path
    return str(name), one.label, f"{100 * one.confidence:.1f}", others
