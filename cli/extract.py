"""``vjepa-fer extract``: videos → token cache."""

from __future__ import annotations

import dataclasses
import gc
import math
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import typer

from vjepa_fer.errors import CacheError
from vjepa_fer.recipe import (
    FaceCrop,
    Interpolation,
    Mode,
    Preprocessing,
    Rule,
    Sampling,
    Storage,
    TokenDtype,
    parse_resolution,
)

from . import completion
from .config_file import ConfigOption
from .extract_layers import layered
from .extract_words import Outlook, about_decoding, about_room, plan_lines, show_plan, show_summary
from .options import (
    AcceptResizeOption,
    AcceptTruncatedOption,
    JsonOption,
    UnifyOption,
    memory_option,
    warn_of_other_writers,
    wrong_usage,
)
from .terminal import say, warn

if TYPE_CHECKING:
    from vjepa_fer.extract import ExtractSummary
    from vjepa_fer.extract.writing import Report
    from vjepa_fer.manifest import Manifest

SAMPLING, STORAGE = Sampling(), Storage()
SETTINGS_CLIP_TIMEOUT = 300.0  # ExtractSettings.clip_timeout, which --help must not import torch for


class _Which(TypedDict):
    """Which clips of a manifest are tried."""

    retry_failed: bool
    accept_truncated: bool
    min_frames: int


def extract(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The clips, a CSV.", show_default=False)],
    cache: Annotated[
        str,
        typer.Argument(metavar="CACHE", help="The cache folder, or an address; made if absent.", show_default=False),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="The encoder; `vjepa-fer models list` shows them. pixels:8: mean colours on a grid, a control.",
            autocompletion=completion.one_of(completion.models),
            show_default=False,
        ),
    ],
    weights: Annotated[
        str | None,
        typer.Option(
            help="The weights: a file, a folder or index of parts, or random:SEED, a control.", show_default=False
        ),
    ] = None,
    state_key: Annotated[
        str | None, typer.Option(help="Which state dict of the file.", show_default="the one of its family")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(
            help="Of the encoder's matrix products; auto: bfloat16 on CUDA cards that have it (A100 and later), else float32."
        ),
    ] = "auto",
    level: Annotated[
        list[str] | None,
        typer.Option(
            help="What to store: mean, frames, grid:G, tokens; may be repeated.",
            autocompletion=completion.one_of(completion.LEVELS),
            show_default=" ".join(STORAGE.levels),
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Levels after these encoder layers: 2,5,8,11, counted from 0, -1 the last; parts of the depth: 0.5,1.0; "
            "or hierarchical, V-JEPA 2.1's four.",
            show_default="the last",
        ),
    ] = None,
    token_dtype: Annotated[TokenDtype, typer.Option(help="Of the levels grid and tokens.")] = STORAGE.token_dtype,
    mode: Annotated[Mode, typer.Option(help="Segments spread over the clip, or sliding windows.")] = SAMPLING.mode,
    rule: Annotated[
        Rule, typer.Option(help="Our frame arithmetic, or that of V-JEPA's evaluation code, slips included.")
    ] = SAMPLING.rule,
    frames: Annotated[int, typer.Option(min=1, help="Frames a window.")] = SAMPLING.frames_per_window,
    frame_step: Annotated[int, typer.Option(min=1, help="Frames from one to the next.")] = SAMPLING.frame_step,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps",
            help="Instead of --frame-step: frames a second, by when each is shown; right for clips of mixed or varying rates.",
            show_default=False,
        ),
    ] = None,
    window_seconds: Annotated[
        float | None,
        typer.Option(help="The same as a window's length: --fps is --frames over it.", show_default=False),
    ] = None,
    segments: Annotated[int, typer.Option(min=1, help="Windows a clip (mode segments).")] = SAMPLING.num_segments,
    stride: Annotated[
        int, typer.Option(min=1, help="Frames between windows (mode sliding); with --fps those taken.")
    ] = SAMPLING.stride,
    picture_fps: Annotated[
        float | None,
        typer.Option(
            help="Pictures a second of clips that are folders of pictures, where the manifest has no column fps.",
            show_default=False,
        ),
    ] = None,
    unify_names: UnifyOption = False,
    resolution: Annotated[
        str | None,
        typer.Option(
            metavar="SIDE|HEIGHTxWIDTH",
            help="Of the input in pixels; whole patches of 16.",
            show_default="as the encoder was trained",
        ),
    ] = None,
    views: Annotated[int, typer.Option(min=1, help="Spatial crops a window: 1 is the centre.")] = 1,
    face_crop: Annotated[
        bool,
        typer.Option(
            "--face-crop",
            help="Cut frames to a square that follows the largest face, for wide shots; else the whole frame is used.",
        ),
    ] = False,
    square_pixels: Annotated[
        bool,
        typer.Option(
            "--square-pixels",
            help="Films whose pixels are wider or narrower than high are scaled to square ones; else taken as stored.",
        ),
    ] = False,
    interpolation: Annotated[
        Interpolation,
        typer.Option(
            help="How frames are resized: V-JEPA's two taps, or antialiased as Hugging Face's processor of V-JEPA 2 does."
        ),
    ] = Preprocessing.interpolation,
    devices: Annotated[
        str | None, typer.Option(help="Several at once: cuda:0,cuda:1. Instead of --device.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1024,
            help="Processes that decode ahead; 0 decodes one clip at a time.",
            show_default="all cores but two, up to 32",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, help="Windows through a GPU at once; a CPU takes one a core.", show_default="what fits"
        ),
    ] = None,
    compile_blocks: Annotated[
        bool,
        typer.Option(
            "--compile", help="CUDA: a minute of torch.compile first, for long jobs; numbers move by rounding."
        ),
    ] = False,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="GB of decoded frames that wait at most.", show_default="an eighth of all, up to 8"
        ),
    ] = None,
    decoder: Annotated[
        Literal["pyav", "decord", "torchcodec"],
        typer.Option(
            help="Have another library than PyAV agree on every frame used; PyAV's are taken where it does not."
        ),
    ] = "pyav",
    accept_truncated: AcceptTruncatedOption = False,
    accept_resize: AcceptResizeOption = False,
    clip_timeout: Annotated[
        float, typer.Option(min=0.1, max=1e6, help="Seconds after which a clip that will not decode is given up.")
    ] = SETTINGS_CLIP_TIMEOUT,
    min_frames: Annotated[
        int,
        typer.Option(min=1, help="List shorter clips as failed; else the last frame is repeated to fill a window."),
    ] = 1,
    profile: Annotated[
        bool, typer.Option("--profile", help="Say at the end which stage the others waited for.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option(help="Try the clips of failed.csv again; with --accept-resize those that it was for.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take: room and time.")] = False,
    machines: Annotated[
        int,
        typer.Option(
            min=1,
            max=1_000_000,
            help="With --dry-run: for so many machines or array tasks like this, which share the cache.",
        ),
    ] = 1,
    rate: Annotated[
        float | None,
        typer.Option(
            min=1e-9,
            help="With --dry-run: windows a second of a device, if you know it; else it is measured on a few clips here.",
            show_default=False,
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(min=0, help="With --dry-run: of a device for an hour, in your money.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Begin although the disk looks too small.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send every clip of a manifest through a frozen encoder and store what it saw. Run it again to resume."""
    from vjepa_fer.extras import require_extra

    require_extra("extract", ("torch", "av"), "vjepa-fer extract")
    if face_crop:
        from vjepa_fer.video.faces import require_faces

        require_faces()
    from vjepa_fer.encoder import load_encoder, pick_device
    from vjepa_fer.encoder.loading.registry import find_encoder
    from vjepa_fer.extract import (
        ExtractSettings,
        Fleet,
        Forecast,
        Stage,
        extract_manifest,
        make_recipe,
        measure_rates,
        plan_extraction,
        recipe_without_weights,
        settle_precision,
        with_weights_of,
    )
    from vjepa_fer.manifest import read_manifest, with_picture_rate
    from vjepa_fer.video.pool import default_memory, default_workers

    if not dry_run and (machines > 1 or rate is not None or price is not None):
        raise typer.BadParameter(
            "--machines, --rate and --price say what --dry-run reckons with: add it, or leave them out"
        )
    with wrong_usage():
        sampling = Sampling(
            mode=mode,
            rule=rule,
            frames_per_window=frames,
            frame_step=frame_step,
            num_segments=segments,
            stride=stride,
            frames_per_second=frames_a_second(fps, window_seconds, frames),
        )
        storage = Storage(
            levels=layered(tuple(level or STORAGE.levels), layers, model, state_key), token_dtype=token_dtype
        )
        size = parse_resolution(resolution) if resolution is not None else None
        face = FaceCrop() if face_crop else None
        height, width = size or (Preprocessing.crop_size, None)
        Preprocessing(crop_size=height, crop_width=width, num_views=views, face_crop=face)
    settings = ExtractSettings(
        batch_size=batch_size,
        retry_failed=retry_failed,
        workers=workers,
        clip_timeout=clip_timeout,
        decoder=decoder,
        accept_truncated=accept_truncated,
        accept_resize=accept_resize,
        min_frames=min_frames,
        memory_bytes=memory_option(memory),
        compile_blocks=compile_blocks,
    )
    which: _Which = {"retry_failed": retry_failed, "accept_truncated": accept_truncated, "min_frames": min_frames}
    clips = read_manifest(manifest, unify_names=unify_names)
    for note in clips.notes:
        warn(note)
    clips = clips if picture_fps is None else with_picture_rate(clips, picture_fps)
    find_encoder(model, state_key=state_key)  # a model that is none, or a file of none, is no wrong usage
    places = [name.strip() for name in (devices or device).split(",")]
    warn_of_other_writers(cache)
    stage = Stage(cache, clips)
    folder, clips = stage.folder, stage.manifest
    settled = settle_precision(precision, places, folder)
    with wrong_usage():
        planned = recipe_without_weights(
            model,
            resolution=size,
            sampling=sampling,
            storage=storage,
            num_views=views,
            precision=settled.precision,
            face_crop=face,
            square_pixels=square_pixels,
            interpolation=interpolation,
            state_key=state_key,
        )
    with stoppable(stage.place):
        count = default_workers() if workers is None else workers
        fleet = Fleet(machines=machines, devices=len(places), price=price)
        if dry_run and weights is None:
            planned = with_weights_of(folder, planned)
            plan, left = plan_extraction(clips, folder, planned, **which)
            given = rate and measure_rates(plan, left, None, planned, workers=count, rate=rate, folder=folder)
            show_plan(plan, stage.place, as_json=as_json, forecast=Forecast.of(plan, given, fleet) if given else None)
            return
        encoders = [
            load_encoder(
                model,
                weights=weights,
                state_key=state_key,
                device=pick_device(place),
                precision=settled.precision,
                resolution=size,
            )
            for place in places
        ]
        encoder = encoders[0]
        recipe = make_recipe(
            encoder,
            sampling=sampling,
            storage=storage,
            num_views=views,
            face_crop=face,
            square_pixels=square_pixels,
            interpolation=interpolation,
        )
        if encoder.spec.weights.startswith("random:"):
            warn("random weights: a control, or a smoke test; the features mean nothing about V-JEPA")
        elif encoder.spec.control:
            say(f"a control, what an encoder must beat: {encoder.spec.control}")
        devices_named = ", ".join(str(each.device) for each in encoders)
        say(f"{model} on {devices_named} in {encoder.precision}: {len(clips):,} clips → {cache}")
        if encoder.device.type == "cuda" and encoder.spec.family != "pixels":
            say(f"attention by torch's kernel {encoder.attention_kernel(math.prod(recipe.token_grid))}")
        if settled.why:
            say(f"precision: {settled.why}")
        plan, left = plan_extraction(clips, folder, recipe, **which)
        if dry_run:
            measured = measure_rates(
                plan,
                left,
                encoder,
                recipe,
                workers=count,
                rate=rate,
                folder=folder,
                batch_size=batch_size,
                compile_blocks=compile_blocks,
            )
            forecast = Forecast.of(plan, measured, fleet) if measured else None
            timed = dataclasses.replace(plan, seconds=forecast.seconds if forecast else 0.0)
            show_plan(timed, stage.place, as_json=as_json, forecast=forecast)
            return
        for line in plan_lines(plan):
            say(line)
        say(about_decoding(settings, default_workers(), default_memory()))
        if not plan.fits and not force:
            raise CacheError(
                f"{about_room(plan, folder)}. Store fewer or smaller levels, or --force if you know better"
            )
        gc.freeze()  # torch's objects outlive the job: collecting need not look through them for every few clips
        outlook = Outlook(plan.clips, shows_bar=sys.stderr.isatty())

        def run(some: Manifest, into: Path, report: Report | None) -> ExtractSummary:
            return extract_manifest(some, into, encoders, recipe, settings=settings, report=report, outlook=outlook)

        summary = stage.extract(recipe, run)
    show_summary(summary, stage.place, as_json=as_json, profile=profile)
    if summary.failures or summary.elsewhere:
        raise typer.Exit(4)


def frames_a_second(fps: float | None, window_seconds: float | None, frames: int) -> float | None:
    """The rate that either option says; None without both."""
    from vjepa_fer.recipe import check

    if window_seconds is None:
        return fps
    check(fps is None, "--fps and --window-seconds both say how far frames are apart: give one")
    check(
        0.001 <= window_seconds <= 1e6, f"--window-seconds {window_seconds:g} must be a number from 0.001 to 1,000,000"
    )
    return frames / window_seconds


class _StopSignal(KeyboardInterrupt):
    """Ctrl-C or a polite kill; a second one is not held up."""


@contextmanager
def stoppable(cache: Path) -> Iterator[None]:
    """Answer Ctrl-C and SIGTERM: the open shard is written, how to go on is said, and the status is 130 or 143."""

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise _StopSignal(number)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _StopSignal as stopped:
        from vjepa_fer.cache import open_cache
        from vjepa_fer.remote import place_of

        place = place_of(str(cache))  # as it is now
        done = (
            f"{len(open_cache(place).done):,} clips are in {place}"
            if (place / "cache.json").exists()
            else "nothing done yet"
        )
        say(f"stopped: {done}; the same command goes on from there")
        raise typer.Exit(128 + stopped.args[0]) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
