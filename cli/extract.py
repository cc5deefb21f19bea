"""``vjepa-fer extract``: videos → token cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vjepa_fer.recipe import Sampling, Storage

from .clips import read_clips
from .config_file import ConfigOption
from .engine import AddressOption, CpusOption, EngineAsked, EngineOption, GpusOption, engine_of
from .extract_asked import all_asked, write_recipe_file
from .extract_job import Job, Reckoning
from .extract_options import (
    BatchSizeOption,
    ClipTimeoutOption,
    CompileOption,
    DecoderOption,
    DevicesOption,
    DryRunOption,
    FaceCropOption,
    ForceOption,
    FpsOption,
    FramesOption,
    FrameStepOption,
    InterpolationOption,
    IntoOption,
    LayersOption,
    LevelOption,
    MachinesOption,
    MemoryOption,
    MinFramesOption,
    ModelOption,
    ModeOption,
    PerturbOption,
    PerturbSeedOption,
    PictureFpsOption,
    PlaceArgument,
    PrecisionOption,
    PriceOption,
    ProfileOption,
    RateOption,
    ResolutionOption,
    RetryFailedOption,
    RuleOption,
    SegmentsOption,
    SquarePixelsOption,
    StateKeyOption,
    StrideOption,
    TokenDtypeOption,
    ViewsOption,
    WeightsOption,
    WindowSecondsOption,
    WorkersOption,
    WriteRecipeOption,
)
from .extract_words import show_summaries
from .extract_work import begin
from .options import (
    SOME_FAILED,
    AcceptResizeOption,
    AcceptTruncatedOption,
    DeviceOption,
    JsonOption,
    ManifestArgument,
    UnifyOption,
    memory_option,
    warn_of_other_writers,
)
from .stopping import stoppable
from .terminal import say

if TYPE_CHECKING:
    from vjepa_fer.manifest import Manifest

    from .extract_asked import Asked

SAMPLING, STORAGE = Sampling(), Storage()
SETTINGS_CLIP_TIMEOUT = 300.0  # ExtractSettings.clip_timeout, which --help must not import torch for


def extract(
    context: typer.Context,
    manifest: ManifestArgument,
    cache: PlaceArgument = None,
    model: ModelOption = None,
    into: IntoOption = None,
    write_recipe: WriteRecipeOption = None,
    weights: WeightsOption = None,
    state_key: StateKeyOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    level: LevelOption = None,
    layers: LayersOption = None,
    token_dtype: TokenDtypeOption = STORAGE.token_dtype,
    mode: ModeOption = SAMPLING.mode,
    rule: RuleOption = SAMPLING.rule,
    frames: FramesOption = SAMPLING.frames_per_window,
    frame_step: FrameStepOption = SAMPLING.frame_step,
    fps: FpsOption = None,
    window_seconds: WindowSecondsOption = None,
    segments: SegmentsOption = SAMPLING.num_segments,
    stride: StrideOption = SAMPLING.stride,
    picture_fps: PictureFpsOption = None,
    unify_names: UnifyOption = False,
    resolution: ResolutionOption = None,
    views: ViewsOption = 1,
    face_crop: FaceCropOption = False,
    square_pixels: SquarePixelsOption = False,
    interpolation: InterpolationOption = None,
    perturb: PerturbOption = None,
    perturb_seed: PerturbSeedOption = 0,
    devices: DevicesOption = None,
    workers: WorkersOption = None,
    batch_size: BatchSizeOption = None,
    compile_blocks: CompileOption = None,
    memory: MemoryOption = None,
    decoder: DecoderOption = "pyav",
    accept_truncated: AcceptTruncatedOption = False,
    accept_resize: AcceptResizeOption = False,
    clip_timeout: ClipTimeoutOption = SETTINGS_CLIP_TIMEOUT,
    min_frames: MinFramesOption = 1,
    profile: ProfileOption = False,
    retry_failed: RetryFailedOption = False,
    dry_run: DryRunOption = False,
    machines: MachinesOption = None,
    rate: RateOption = None,
    price: PriceOption = None,
    engine: EngineOption = "here",
    address: AddressOption = None,
    cpus_per_worker: CpusOption = None,
    gpus_per_worker: GpusOption = None,
    force: ForceOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send every clip of a manifest through a frozen encoder and store what it saw. Run it again to resume."""
    _require_packages(face_crop)
    from vjepa_fer.extract import ExtractSettings, Stage

    cluster = engine_of(EngineAsked(engine, address, cpus_per_worker, gpus_per_worker), machines)
    if cluster is not None:
        _check_cluster(cache, into)
    reckoning = Reckoning(dry_run, machines, rate, price)
    reckoning.check(cluster)
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
    clips = _clips(manifest, picture_fps, unify_names)
    _find_models(asked)
    places = [name.strip() for name in (devices or device).split(",")]
    if cache is not None:
        warn_of_other_writers(cache)
    stage = Stage(asked[0].cache, clips)  # of several, which are on disks, nothing but the first itself
    works = [begin(one, places, stage.folder if cache is not None else one.cache) for one in asked]
    if write_recipe is not None:
        write_recipe_file(context, write_recipe)
        say(f"recipe: {write_recipe}")
    job = Job(works, stage, settings, is_one=not into)
    with stoppable(job.caches):
        if dry_run:
            job.show_plans(reckoning, as_json=as_json)
            return
        summaries = job.done(cluster, force=force)
    show_summaries(summaries, job.caches, as_json=as_json, profile=profile, is_one=job.is_one)
    if any(summary.failures or summary.elsewhere for summary in summaries):
        raise typer.Exit(SOME_FAILED)


def _require_packages(face_crop: bool) -> None:
    from vjepa_fer.extras import require_extra

    require_extra("extract", ("torch", "av"), "vjepa-fer extract")
    if face_crop:
        from vjepa_fer.video.faces import require_faces

        require_faces()


def _check_cluster(cache: str | None, into: list[str] | None) -> None:
    """Workers fill one cache, in a folder that all machines see."""
    from vjepa_fer.remote import place_here

    if into:
        raise typer.BadParameter("--engine ray fills one cache: give CACHE and --model, in place of --into")
    if cache is not None:
        place_here(cache)


def _clips(path: Path, picture_fps: float | None, unify_names: bool) -> Manifest:
    from vjepa_fer.manifest import with_picture_rate

    clips = read_clips(path, unify_names=unify_names)
    return clips if picture_fps is None else with_picture_rate(clips, picture_fps)


def _find_models(asked: list[Asked]) -> None:
    """A model that is none, or a file of none, is no wrong usage."""
    from vjepa_fer.encoder.loading.registry import find_encoder

    for one in asked:
        find_encoder(one.model, state_key=one.state_key)
