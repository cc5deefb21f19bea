"""``vjepa-fer predict``: a run's probe on new videos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from .options import (
    SOME_FAILED,
    AcceptResizeOption,
    AcceptTruncatedOption,
    DeviceOption,
    JsonOption,
    memory_option,
    wrong_usage,
)
from .terminal import print_json, print_table, say, warn

if TYPE_CHECKING:
    from vjepa_fer.errors import VideoError
    from vjepa_fer.predict import Attention, Prediction, Predictor

NUM_SHOWN = 3
MANY_WINDOWS = 1000


def predict(
    videos: Annotated[
        list[Path],
        typer.Argument(
            metavar="VIDEO…", help="Video files, or folders of them (or of pictures) at any depth.", show_default=False
        ),
    ],
    run: Annotated[
        Path, typer.Option("--run", "-r", help="A run folder with a probe of `probe --refit`.", show_default=False)
    ],
    weights: Annotated[
        str | None,
        typer.Option(
            help="The encoder's weights file; of one that transformers computes its folder, or hf:OWNER/NAME@COMMIT.",
            show_default="the one that models fetch brought",
        ),
    ] = None,
    device: DeviceOption = "auto",
    timeline: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Also write each video's probabilities over time: a CSV and a plot.", show_default=False
        ),
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="With --timeline: frames from one window to the next.")] = 8,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="GB that a video may take beside the encoder's weights.",
            show_default="half of the machine's",
        ),
    ] = None,
    attention: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Also show where an attentive probe looked, laid over the frames.", show_default=False
        ),
    ] = None,
    film: Annotated[
        bool, typer.Option("--film", help="With --attention: a film (MP4) in place of a strip of pictures.")
    ] = False,
    head: Annotated[
        int | None,
        typer.Option(min=0, help="With --attention: one of the probe's heads.", show_default="the mean over all"),
    ] = None,
    face_crop: Annotated[
        bool | None,
        typer.Option(
            "--face-crop/--no-face-crop",
            help="Follow the largest face, or use the whole frame.",
            show_default="as the run's clips were treated",
        ),
    ] = None,
    accept_truncated: AcceptTruncatedOption = False,
    accept_resize: AcceptResizeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what the run's probe sees in new videos: same recipe, same weights, fitted once on all training clips."""
    from vjepa_fer.extras import require_extra

    require_extra("extract", ("torch", "av"), "vjepa-fer predict")
    if timeline or attention:
        require_extra("report", ("matplotlib",), "--timeline" if timeline else "--attention")
    from vjepa_fer.predict import load_predictor
    from vjepa_fer.recipe import Sampling

    with wrong_usage("--stride"):
        Sampling(stride=stride)
    memory_bytes = memory_option(memory)
    paths, empty = _expanded(videos)
    for folder in (timeline, attention):
        _check_folder(folder)
    predictor = load_predictor(
        run,
        weights=weights,
        device=device,
        face_crop=face_crop,
        memory_bytes=memory_bytes,
        accept_truncated=accept_truncated,
        accept_resize=accept_resize,
    )
    if attention:
        _check_head(predictor, head)
    _introduce(predictor, run)
    extras = _Extras(timeline, stride, attention, "mp4" if film else "png", head, _names(paths))
    done, failed = _predict_all(predictor, paths, extras)
    failed = empty + failed
    if as_json:
        answers = {
            "results": [{**one.to_dict(), "files": [str(file) for file in files]} for one, files in done],
            "failed": [_failure(error) for error in failed],
        }
        print_json({"schema": "vjepa-fer/predict/1", **_facts(predictor, run), **answers})
    elif done:
        folder = _common_folder(paths)
        title = f"in {folder}" if folder else ()
        print_table(("video", "label", "%", "then"), [_row(one, folder) for one, _ in done], title=title)
    if failed:
        raise typer.Exit(SOME_FAILED)


class _Extras(NamedTuple):
    """What is written beside the answers, and where."""

    timeline: Path | None
    stride: int
    attention: Path | None
    kind: Literal["png", "mp4"]
    head: int | None
    names: dict[Path, str]


def _check_folder(folder: Path | None) -> None:
    """Make the folder now: that it cannot be written should not show after an hour of encoding."""
    from vjepa_fer.disk import make_folders
    from vjepa_fer.errors import RunError

    try:
        if folder is not None:
            make_folders(folder)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error


def _check_head(predictor: Predictor, head: int | None) -> None:
    from vjepa_fer.errors import ProbeError
    from vjepa_fer.predict.attention import token_shape

    token_shape(predictor.fitted, predictor.recipe)
    num_heads = predictor.fitted.probe.probe.num_heads_  # type: ignore[attr-defined]
    if head is not None and head >= num_heads:
        raise ProbeError(f"--head {head}: the probe has heads 0 … {num_heads - 1}")


def _introduce(predictor: Predictor, run: Path) -> None:
    fitted, recipe = predictor.fitted, predictor.recipe
    kind, decision = type(fitted.probe.probe).__name__, f", {fitted.decision}" if fitted.windowed else ""
    say(f"{run}: {kind} on {fitted.level} of {recipe.encoder.name}{decision}, fitted once on all training clips")
    if recipe.encoder.weights.startswith("random:"):
        warn("random weights: good for a smoke test; the answers mean nothing about faces")
    if predictor.departs:
        own = "the whole frame" if recipe.preprocessing.face_crop else "the square round the face"
        warn(f"the probe was fitted on {own}; it is shown otherwise here, as asked: its figures say little about this")


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


def _expanded(videos: list[Path]) -> tuple[list[Path], list[VideoError]]:
    """Folders as the videos and the folders of pictures in them, each once; and those of several folders that hold none.

    Raises
    ------
    ManifestError
        There is nothing to predict at all.
    """
    from vjepa_fer.errors import ManifestError, VideoError

    found: dict[Path, None] = {}
    failed: list[VideoError] = []
    for video in videos:
        try:
            found |= dict.fromkeys(_clips_in(video) if os.path.isdir(video) else [video])
        except ManifestError as error:
            if len(videos) == 1:
                raise
            message = str(error).removeprefix(f"{os.path.abspath(video)}: ")
            failed.append(VideoError("unreadable", video, message))
            warn(*failed[-1].lines)
    return list(found), failed


def _clips_in(folder: Path) -> list[Path]:
    from vjepa_fer.manifest import look_through

    found = look_through(folder).require_clips()
    for line in (*found.unread, *found.left_out):
        warn(f"{folder}: {line}")
    return sorted(found.videos + found.pictures)


def _predict_all(
    predictor: Predictor, paths: list[Path], extras: _Extras
) -> tuple[list[tuple[Prediction, list[Path]]], list[VideoError]]:
    """Every video in turn, with the files written for it; one that cannot be read is said and counted, and the rest goes on."""
    from vjepa_fer.errors import VideoError

    from .progress import progress_bar

    done: list[tuple[Prediction, list[Path]]] = []
    failed: list[VideoError] = []
    with progress_bar(len(paths), "predict") as advance:
        for path in paths:
            try:
                _say_many(predictor, path, extras)
                one, seen = predictor.look(path) if extras.attention else (predictor(path), None)
                done.append((one, _write(predictor, path, seen, extras)))
            except VideoError as error:
                failed.append(error)
                warn(*error.lines)
            else:
                if one.shorter_than_window:
                    warn(f"{path}: {one.num_frames} frames are shorter than a window; the last one is repeated")
                for note in one.notes:
                    warn(f"{path}: {note}")
            advance(path.name)
    return done, failed


def _say_many(predictor: Predictor, path: Path, extras: _Extras) -> None:
    """How many windows, where they are so many that a person should know what the time goes to."""
    plans = {"": predictor.plan(path)}
    if extras.timeline:
        plans[" for the timeline"] = predictor.plan(path, stride=extras.stride)
    for purpose, plan in plans.items():
        if plan.num_windows > MANY_WINDOWS:
            say(f"{path}: {plan.num_windows:,} windows to encode{purpose}")


def _write(predictor: Predictor, path: Path, seen: Attention | None, extras: _Extras) -> list[Path]:
    from vjepa_fer.predict import write_attention, write_timeline

    name, files = extras.names[path], []
    if extras.timeline:
        files += write_timeline(predictor.timeline(path, stride=extras.stride), extras.timeline, name)
    if extras.attention and seen is not None:
        files.append(write_attention(seen, extras.attention, name, kind=extras.kind, head=extras.head))
    for file in files:
        say(str(file))
    return files


def _names(paths: list[Path]) -> dict[Path, str]:
    """File names for timelines: the video's own, numbered where two videos would share one."""
    from vjepa_fer.disk import unique_names

    return dict(zip(paths, unique_names(path.stem for path in paths), strict=True))


def _failure(error: VideoError) -> dict[str, str]:
    return {"path": str(error.path), "reason": error.reason, "message": error.message}


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
