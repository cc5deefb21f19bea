"""``vjepa-fer predict``: a run's probe on new videos."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import JsonOption, print_json, print_table, say, warn

if TYPE_CHECKING:
    from vjepa_fer.errors import VideoError
    from vjepa_fer.predict import Prediction, Predictor

SOME_FAILED = 4
NUM_SHOWN = 3


def predict(
    videos: Annotated[
        list[Path],
        typer.Argument(metavar="VIDEO…", help="Video files, or folders of them at any depth.", show_default=False),
    ],
    run: Annotated[
        Path, typer.Option("--run", "-r", help="A run folder with a probe of `probe --refit`.", show_default=False)
    ],
    weights: Annotated[
        str | None,
        typer.Option(help="The encoder's weights file.", show_default="the one that models fetch brought"),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    timeline: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Also write each video's probabilities over time: a CSV and a plot.", show_default=False
        ),
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="With --timeline: frames from one window to the next.")] = 8,
    as_json: JsonOption = False,
) -> None:
    """Say what the run's probe sees in new videos: same recipe, same weights, fitted once on all training clips."""
    from vjepa_fer.extras import require_extra

    require_extra("extract", ("torch", "av"), "vjepa-fer predict")
    if timeline:
        require_extra("report", ("matplotlib",), "--timeline")
    from vjepa_fer.predict import load_predictor

    paths = _expanded(videos)
    predictor = load_predictor(run, weights=weights, device=device)
    kind = type(predictor.fitted.probe.probe).__name__
    say(
        f"{run}: {kind} on {predictor.fitted.level} of {predictor.recipe.encoder.name}, fitted once on all training clips"
    )
    if predictor.recipe.encoder.weights.startswith("random:"):
        warn("random weights: good for a smoke test; the answers mean nothing about faces")
    done, failed = _predict_all(predictor, paths, timeline, stride)
    if as_json:
        answers = {"results": [one.to_dict() for one in done], "failed": [_failure(error) for error in failed]}
        print_json({"schema": "vjepa-fer/predict/1", "run": str(run), "fitted_on": "all training clips", **answers})
    elif done:
        print_table(("video", "label", "%", "then"), [_row(one) for one in done])
    if failed:
        raise typer.Exit(SOME_FAILED)


def _expanded(videos: list[Path]) -> list[Path]:
    """Folders as the videos in them; each file once."""
    from vjepa_fer.manifest.walk import find_videos

    found = [path for video in videos for path in (find_videos(video) if video.is_dir() else [video])]
    return list(dict.fromkeys(found))


def _predict_all(
    predictor: Predictor, paths: list[Path], timeline: Path | None, stride: int
) -> tuple[list[Prediction], list[VideoError]]:
    """Every video in turn; one that cannot be read is said and counted, and the rest goes on."""
    from vjepa_fer.errors import VideoError

    from .progress import progress_bar

    done: list[Prediction] = []
    failed: list[VideoError] = []
    names = _names(paths)
    with progress_bar(len(paths), "predict") as advance:
        for path in paths:
            try:
                done.append(predictor(path))
                if timeline:
                    _write(predictor, path, timeline, names[path], stride)
            except VideoError as error:
                failed.append(error)
                warn(str(error))
            else:
                if done[-1].shorter_than_window:
                    warn(f"{path}: {done[-1].num_frames} frames are shorter than a window; the last one is repeated")
            advance(path.name)
    return done, failed


def _write(predictor: Predictor, path: Path, folder: Path, name: str, stride: int) -> None:
    from vjepa_fer.predict import write_timeline

    for file in write_timeline(predictor.timeline(path, stride=stride), folder, name):
        say(str(file))


def _names(paths: list[Path]) -> dict[Path, str]:
    """File names for timelines: the video's own, numbered where two videos share one."""
    names: dict[Path, str] = {}
    for path in paths:
        free = (path.stem if number == 1 else f"{path.stem}-{number}" for number in count(1))
        names[path] = next(name for name in free if name not in names.values())
    return names


def _failure(error: VideoError) -> dict[str, str]:
    return {"path": str(error.path), "reason": error.reason, "message": error.message}


def _row(one: Prediction) -> tuple[str, str, str, str]:
    order = (-one.probabilities).argsort(kind="stable")[1:NUM_SHOWN]
    others = ", ".join(f"{one.classes[k]} {100 * one.probabilities[k]:.0f}" for k in order)
    return str(one.path), one.label, f"{100 * one.confidence:.1f}", others
