"""Clips, a recipe and a cache folder go in; what extracting them will take comes out: windows, tokens, bytes a level, room, hours."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vjepa_fer.cache import layout, open_cache
from vjepa_fer.cache.asked import was_asked
from vjepa_fer.cache.description import read_cache_recipe
from vjepa_fer.cache.failures import Failure
from vjepa_fer.cache.folder import refuse_other_cache
from vjepa_fer.disk import write_speed
from vjepa_fer.encoder import LoadedEncoder
from vjepa_fer.encoder.loading.registry import find_encoder, preprocessing_for
from vjepa_fer.encoder.model.zoo import placeholder_spec
from vjepa_fer.errors import RemoteError, VideoError
from vjepa_fer.extract.batches import RowEncoder
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.encode import encode_clips, row_encoder
from vjepa_fer.extract.forecast import Fleet, Forecast, Plan, Rates, RateSource
from vjepa_fer.manifest import Clip, Manifest, picture_rate
from vjepa_fer.recipe import FaceCrop, Interpolation, Perturbation, Precision, Recipe, Sampling, Storage
from vjepa_fer.remote import brought, must_be_brought
from vjepa_fer.video.in_line import read_in_line
from vjepa_fer.video.pool_settings import default_workers
from vjepa_fer.video.read_clip import ReadClip
from vjepa_fer.video.reading import choose_windows
from vjepa_fer.video.times import count_frames, frame_seconds, packet_seconds
from vjepa_fer.workers import num_cores

SAMPLE = 200
"""Clips whose frames are counted; of the others as many windows are expected."""


SAMPLE_ELSEWHERE = 20
"""The same where each has to be brought for it."""


def plan_extraction(
    manifest: Manifest,
    cache: str | os.PathLike[str],
    recipe: Recipe,
    *,
    retry_failed: bool = False,
    accept_truncated: bool = False,
    min_frames: int = 1,
    sample: int = SAMPLE,
) -> tuple[Plan, list[Clip]]:
    """Plan what the cache still lacks of `manifest`; no picture is decoded.

    Frames are counted by their packets, milliseconds a clip, of `sample` clips spread evenly over the manifest.

    Raises
    ------
    RecipeMismatchError, CacheError
        As the extraction would be refused: the folder holds a cache of another recipe, or something else.

    Returns
    -------
    Plan
    list of Clip
        The clips to be done, their paths absolute.
    """
    root = Path(cache)
    refuse_other_cache(root, recipe)
    clips = _clips_left(manifest, root, retry_failed, accept_truncated)
    sample = min(sample, SAMPLE_ELSEWHERE) if any(must_be_brought(clip.path) for clip in clips) else sample
    look = partial(_look_here, sampling=recipe.sampling, min_frames=min_frames, accept_truncated=accept_truncated)
    chosen = [clips[i] for i in np.unique(np.linspace(0, len(clips) - 1, min(sample, len(clips))).round().astype(int))]
    with ThreadPoolExecutor(default_workers() or 1) as threads:
        looked_at = [found for found in threads.map(look, chosen) if found]
    share = len(clips) / max(len(chosen), 1)  # clips that each counted one stands for
    windows = math.ceil(sum(look.windows for look in looked_at) * share)
    rows = windows * recipe.preprocessing.num_views
    index = sum(d.row_bytes or layout.MAX_CLIP_ID_BYTES // 16 for d in layout.index_datasets(recipe))
    plan = Plan(
        clips=len(clips),
        counted=len(chosen),
        unreadable=len(chosen) - len(looked_at),
        shorter=sum(look.is_short for look in looked_at),
        window_seconds=_range([span for look in looked_at for span in look.spans]),
        windows=windows,
        rows=rows,
        tokens=rows * math.prod(recipe.token_grid),
        level_bytes={level: rows * layout.level_dataset(recipe, level).row_bytes for level in recipe.storage.levels},
        other_bytes=rows * (index + 4 * len(layout.shard_datasets(recipe))),
        free_bytes=shutil.disk_usage(_existing(root)).free,
    )
    return plan, clips


def _clips_left(manifest: Manifest, root: Path, retry_failed: bool, accept_truncated: bool) -> list[Clip]:
    clips = [manifest.absolute(clip) for clip in manifest.clips]
    if not was_asked(root):
        return clips
    cache = open_cache(root)
    settled = cache.done if retry_failed else cache.done | given_up(cache.failures, accept_truncated=accept_truncated)
    return [clip for clip in clips if clip.clip_id not in settled]


def given_up(failures: Mapping[str, Failure], *, accept_truncated: bool) -> set[str]:
    """The clips of these that are not tried again unasked: one that breaks off is, once what is there may be taken of it."""
    return {
        clip_id for clip_id, failure in failures.items() if not (accept_truncated and failure.reason == "truncated")
    }


class _Look(NamedTuple):
    """What is seen of a clip without decoding it."""

    windows: int
    is_short: bool
    spans: tuple[float, ...]  # seconds of its shortest and its longest whole window; none where nothing says


def _look_here(clip: Clip, **how: Any) -> _Look | None:
    with ExitStack() as copies:
        here = _copied(clip, copies)
        return _look(here, **how) if here else None


def _look(clip: Clip, *, sampling: Sampling, min_frames: int, accept_truncated: bool) -> _Look | None:
    """None of a clip that cannot be read, or is too short."""
    try:
        rate = picture_rate(clip)
        count = count_frames(clip.path, accept_truncated=accept_truncated)
        if count < max(min_frames, 1):
            return None
        seconds = _seconds_of_packets(clip, rate)
        if sampling.frames_per_second is not None and (seconds is None or len(seconds) != count):
            seconds = frame_seconds(clip.path, rate, accept_truncated=accept_truncated)
            count = len(seconds)
        windows = choose_windows(clip.path, count, sampling, seconds)
    except VideoError:
        return None
    is_short = windows[0].num_real_frames < sampling.frames_of_whole
    known = seconds is not None and len(seconds) == count and not is_short
    spans = (
        [float(seconds[w.last_frame] - seconds[w.start_frame]) for w in windows]
        if known and seconds is not None
        else []
    )
    return _Look(len(windows), is_short, _range(spans) or ())


def _seconds_of_packets(clip: Clip, rate: float | None) -> np.ndarray | None:
    """When its frames are shown, where its packets say it; a file that breaks off may not."""
    try:
        return packet_seconds(clip.path, rate)
    except VideoError:
        return None


def _range(values: Sequence[float]) -> tuple[float, float] | None:
    return (min(values), max(values)) if values else None


def _existing(path: Path) -> Path:
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)


def measure_rates(
    plan: Plan,
    clips: Sequence[Clip],
    encoder: LoadedEncoder | None,
    recipe: Recipe,
    *,
    workers: int,
    rate: float | None = None,
    folder: Path | None = None,
    batch_size: int | None = None,
    compile_blocks: bool | None = None,
) -> Rates | None:
    """What a machine like this one does in a second, by a few clips that are decoded and encoded here and thrown away.

    Parameters
    ----------
    encoder : LoadedEncoder or None
        Needed where no `rate` is given.
    rate : float, optional
        Windows (with views: window-views) a second of one device, in place of the measured one.
    folder : Path, optional
        The cache folder, whose disk's writing speed is measured too.
    compile_blocks : bool, optional
        As the extraction will be told; where it is left to decide for itself, the encoder is measured as it is.

    Returns
    -------
    Rates or None
        None where no clip can be decoded.
    """
    chosen = [clips[i] for i in sorted({0, len(clips) // 2, len(clips) - 1})] if clips else []
    with ExitStack() as copies:
        here = [clip for clip in (_copied(clip, copies) for clip in chosen) if clip]
        found = read_in_line(here, recipe.sampling, recipe.preprocessing, rate_of=picture_rate)
        reads = [read for read in found if read.pixels is not None]
    if not reads:
        return None
    busy = sum(read.busy_seconds for read in reads) / len(reads)
    on_cpu = False
    if rate is None:
        assert encoder is not None, "a rate, or an encoder to measure it with"
        device = row_encoder(encoder, recipe, StageClock(), batch_size=batch_size)
        if compile_blocks:
            device.compile()
        rate, on_cpu = 1 / _seconds_a_row(reads, device, recipe), encoder.device.type == "cpu"
        source: RateSource = "measured here"
    else:
        source = "as given"
    return Rates(
        clips=max(workers, 1) / busy,
        rows=rate,
        source=source,
        disk_bytes=_write_speed(folder),
        cores_a_clip=busy / num_cores() if on_cpu else 0.0,
        in_turns=not workers,
    )


def _copied(clip: Clip, copies: ExitStack) -> Clip | None:
    """The clip with a file here, until `copies` go; None where it cannot be brought."""
    try:
        return dataclasses.replace(clip, path=copies.enter_context(brought(clip.path)))
    except (RemoteError, FileNotFoundError):
        return None


def _write_speed(folder: Path | None) -> float | None:
    """Bytes a second that reach the disk of a folder that may not be there yet; None where nothing may be written."""
    if folder is None:
        return None
    with contextlib.suppress(OSError):
        return 1e6 * write_speed(_existing(folder), 32)
    return None


def measure_seconds(
    plan: Plan,
    clips: Sequence[Clip],
    encoder: LoadedEncoder,
    recipe: Recipe,
    *,
    workers: int,
    devices: int = 1,
    batch_size: int | None = None,
    compile_blocks: bool | None = None,
) -> float:
    """Seconds that `plan` will take here, at :func:`measure_rates`, the disk aside."""
    rates = measure_rates(
        plan, clips, encoder, recipe, workers=workers, batch_size=batch_size, compile_blocks=compile_blocks
    )
    return 0.0 if rates is None else Forecast.of(plan, rates, Fleet(devices=devices)).seconds


def _seconds_a_row(reads: list[ReadClip[Clip]], device: RowEncoder, recipe: Recipe) -> float:
    """Of as many rows side by side as the device takes: fewer would leave cores or a batch idle, and cost as much."""
    views, rows = recipe.preprocessing.num_views, list[int]()

    def run(some: list[ReadClip[Clip]]) -> float:
        started = time.perf_counter()
        copies = [ReadClip(read.clip, read.pixels, read.source_sha256) for read in some]
        encode_clips(copies, device, views, lambda _, done: rows.append(len(done)))
        return time.perf_counter() - started

    run(reads[:1])  # the first also pays for loading kernels
    rows.clear()
    seconds = run(reads)
    return seconds / (-(-sum(rows) // device.at_once) * device.at_once)


def recipe_without_weights(
    model: str,
    *,
    resolution: tuple[int, int] | None,
    sampling: Sampling,
    storage: Storage,
    num_views: int,
    precision: Precision,
    face_crop: FaceCrop | None = None,
    square_pixels: bool = False,
    interpolation: Interpolation | None = None,
    state_key: str | None = None,
    perturb: Perturbation | None = None,
) -> Recipe:
    """A recipe to plan with before the weights are there: right in everything but their identity."""
    known = find_encoder(model, state_key=state_key)
    spec = placeholder_spec(known.name, known.config, known.origin)
    preprocessing = preprocessing_for(known, resolution).asked(
        num_views=num_views,
        interpolation=interpolation,
        face_crop=face_crop,
        square_pixels=square_pixels,
        perturb=perturb,
    )
    return Recipe(encoder=spec, sampling=sampling, preprocessing=preprocessing, storage=storage, precision=precision)


def with_weights_of(cache: str | os.PathLike[str], recipe: Recipe) -> Recipe:
    """`recipe` as if it had the weights that a cache there was written with: which others would come is not known without them."""
    root = Path(cache)
    if not (root / layout.CACHE_JSON).exists():
        return recipe
    there = read_cache_recipe(root)
    if not isinstance(there, Recipe):
        return recipe
    known = dataclasses.replace(recipe.encoder, weights=there.encoder.weights, state_key=there.encoder.state_key)
    return dataclasses.replace(recipe, encoder=known)
