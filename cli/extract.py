"""``vjepa-fer extract``: videos → token cache."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from vjepa_fer.recipe import Interpolation, Mode, Rule, Sampling, Storage, TokenDtype

from . import completion
from .config_file import ConfigOption
from .engine import AddressOption, CpusOption, EngineAsked, EngineOption, GpusOption, engine_of
from .extract_asked import all_asked, write_recipe_file
from .extract_words import Outlook, about_decoding, plan_lines, show_plans, show_summaries
from .extract_work import Encoders, Trial, Which, begin, fill, require_room
from .options import (
    SOME_FAILED,
    AcceptResizeOption,
    AcceptTruncatedOption,
    JsonOption,
    UnifyOption,
    memory_option,
    warn_of_other_writers,
)
from .terminal import say, warn

SAMPLING, STORAGE = Sampling(), Storage()
SETTINGS_CLIP_TIMEOUT = 300.0  # ExtractSettings.clip_timeout, which --help must not import torch for


def extract(
    context: typer.Context,
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="The clips, a CSV.", show_default=False)],
    cache: Annotated[
        str | None,
        typer.Argument(
            metavar="[CACHE]",
            help="The cache folder, or an address; made if absent. Or give --into.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The encoder; `vjepa-fer models list` shows them. hf:FOLDER or hf:OWNER/NAME: any that transformers computes; "
            "pixels:8: mean colours on a grid, a control.",
            autocompletion=completion.one_of(completion.models),
            show_default=False,
        ),
    ] = None,
    into: Annotated[
        list[str] | None,
        typer.Option(
            "--into",
            metavar="CACHE=RECIPE.toml",
            help="In place of CACHE, several in one pass that decodes each clip once; the file holds --model and the other options of the "
            "recipe by name.",
            show_default=False,
        ),
    ] = None,
    write_recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the recipe's options as such a file, for --into and --config.",
            show_default=False,
        ),
    ] = None,
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
            help="What to store: mean, frames, grid:G, tokens, or cls, class and register tokens; may be repeated.",
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
        Interpolation | None,
        typer.Option(
            help="How frames are resized: V-JEPA's two taps (bilinear), or antialiased as Hugging Face's processor of V-JEPA 2 does.",
            show_default="as the encoder was trained",
        ),
    ] = None,
    perturb: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:SEVERITY",
            help="Make frames worse before they are resized, from 1 (hardly) to 5 (most), as mouth:3, dark:5, flip; repeated: in this "
            "order. Its own cache: `robustness` compares it with the one without.",
            autocompletion=completion.one_of(completion.PERTURBATIONS),
            show_default=False,
        ),
    ] = None,
    perturb_seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of what --perturb draws, with each clip's id.")
    ] = 0,
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
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="CUDA: a minute of torch.compile first; numbers move by rounding.",
            show_default="beyond ten minutes of encoding",
        ),
    ] = None,
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
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="With --dry-run: for so many machines or array tasks like this, which share the cache; with --engine ray: so many workers.",
            show_default="1; with --engine ray as many as there is room for",
        ),
    ] = None,
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
    engine: EngineOption = "here",
    address: AddressOption = None,
    cpus_per_worker: CpusOption = None,
    gpus_per_worker: GpusOption = None,
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
    from vjepa_fer.encoder.loading.registry import find_encoder
    from vjepa_fer.extract import ExtractSettings, Fleet, Stage, extract_on_cluster
    from vjepa_fer.manifest import read_manifest, with_picture_rate
    from vjepa_fer.remote import place_here
    from vjepa_fer.video.pool import default_memory, default_workers

    cluster = engine_of(EngineAsked(engine, address, cpus_per_worker, gpus_per_worker), machines)
    if cluster is not None and into:
        raise typer.BadParameter("--engine ray fills one cache: give CACHE and --model, in place of --into")
    if cluster is not None and cache is not None:
        place_here(cache)  # a folder that all machines see, and no address
    if not dry_run and ((machines is not None and cluster is None) or rate is not None or price is not None):
        raise typer.BadParameter(
            "--machines, --rate and --price say what --dry-run reckons with: add it, or leave them out"
        )
    asked = all_asked(context, into or [], cache)
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
    which: Which = {"retry_failed": retry_failed, "accept_truncated": accept_truncated, "min_frames": min_frames}
    clips = read_manifest(manifest, unify_names=unify_names)
    for note in clips.notes:
        warn(note)
    clips = clips if picture_fps is None else with_picture_rate(clips, picture_fps)
    for one in asked:
        find_encoder(one.model, state_key=one.state_key)  # a model that is none, or a file of none, is no wrong usage
    places = [name.strip() for name in (devices or device).split(",")]
    if cache is not None:
        warn_of_other_writers(cache)
    stage = Stage(asked[0].cache, clips)  # of several, which are on disks, nothing but the first itself
    clips = stage.manifest
    works = [begin(one, places, stage.folder if cache is not None else one.cache) for one in asked]
    if write_recipe is not None:
        write_recipe_file(context, write_recipe)
        say(f"recipe: {write_recipe}")
    with stoppable([one.cache for one in asked]):
        count = default_workers() if workers is None else workers
        if dry_run:
            fleet = Fleet(machines=machines or 1, devices=len(places), price=price)
            tried = Trial(clips, which, fleet, workers=count, rate=rate, settings=settings)
            show_plans([tried.of(work) for work in works], as_json=as_json, is_one=not into)
            return
        encoders = Encoders()
        works = [work.loaded(encoders, len(clips)) if cluster is None else work.as_others_load_it() for work in works]
        plans = [work.plan(clips, which)[0] for work in works]
        for one, plan in zip(asked, plans, strict=True):
            for line in [*([f"{one.cache}:"] if into else []), *plan_lines(plan)]:
                say(line)
        works = [work.expecting(plan) for work, plan in zip(works, plans, strict=True)]
        if not force:
            require_room(list(zip(plans, [work.folder for work in works], strict=True)))
        outlook = Outlook(sum(plan.clips for plan in plans), shows_bar=sys.stderr.isatty())
        if cluster is None:
            say(about_decoding(settings, default_workers(), default_memory()))
            gc.freeze()  # torch's objects outlive the job: collecting need not look through them for every few clips
            summaries = fill(works, stage, settings=settings, outlook=outlook)
        else:
            summaries = (extract_on_cluster(works[0].order(clips, settings), cluster, outlook=outlook),)
    show_summaries(summaries, [one.cache for one in asked], as_json=as_json, profile=profile, is_one=not into)
    if any(summary.failures or summary.elsewhere for summary in summaries):
        raise typer.Exit(SOME_FAILED)


class _StopSignal(KeyboardInterrupt):
    """Ctrl-C or a polite kill; a second one is not held up."""


@contextmanager
def stoppable(caches: Sequence[Path]) -> Iterator[None]:
    """Answer Ctrl-C and SIGTERM: the open shards are written, how to go on is said, and the status is 130 or 143."""

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise _StopSignal(number)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _StopSignal as stopped:
        from vjepa_fer.cache import open_cache
        from vjepa_fer.remote import place_of

        places = [place_of(str(cache)) for cache in caches]  # as they are now
        begun = [place for place in places if (place / "cache.json").exists()]
        done = ", ".join(f"{len(open_cache(place).done):,} clips are in {place}" for place in begun)
        say(f"stopped: {done or 'nothing done yet'}; the same command goes on from there")
        raise typer.Exit(128 + stopped.args[0]) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
