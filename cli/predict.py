"""``vjepa-fer predict``: a run's probe on new videos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

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
from .predict_options import (
    AttentionOption,
    FaceCropOption,
    FilmOption,
    HeadOption,
    MemoryOption,
    RunOption,
    StrideOption,
    TimelineOption,
    VideosArgument,
    WeightsOption,
)
from .predict_words import introduce, print_answers, show_answers
from .terminal import say, warn

if TYPE_CHECKING:
    from vjepa_fer.errors import VideoError
    from vjepa_fer.predict import Attention, Prediction, Predictor

MANY_WINDOWS = 1000


def predict(
    videos: VideosArgument,
    run: RunOption,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    timeline: TimelineOption = None,
    stride: StrideOption = 8,
    memory: MemoryOption = None,
    attention: AttentionOption = None,
    film: FilmOption = False,
    head: HeadOption = None,
    face_crop: FaceCropOption = None,
    accept_truncated: AcceptTruncatedOption = False,
    accept_resize: AcceptResizeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what the run's probe sees in new videos: same recipe, same weights, fitted once on all training clips."""
    _require(timeline, attention)
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
    introduce(predictor, run)
    extras = _Extras(timeline, stride, attention, "mp4" if film else "png", head, _names(paths))
    done, failed = _predict_all(predictor, paths, extras)
    failed = empty + failed
    if as_json:
        print_answers(predictor, run, done, failed)
    elif done:
        show_answers([one for one, _ in done], paths)
    if failed:
        raise typer.Exit(SOME_FAILED)


def _require(timeline: Path | None, attention: Path | None) -> None:
    """The packages that these videos and these pictures need, before anything is read."""
    from vjepa_fer.extras import require_extra

    require_extra("extract", ("torch", "av"), "vjepa-fer predict")
    if timeline or attention:
        require_extra("report", ("matplotlib",), "--timeline" if timeline else "--attention")


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
