"""``vjepa-fer extract-audio``: what is heard in clips → cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import completion
from .clips import read_clips
from .extract_audio_words import about_sound, show_plan, show_summary
from .extract_layers import layer_numbers
from .options import SOME_FAILED, JsonOption, ManifestArgument, UnifyOption, warn_of_other_writers, wrong_usage
from .stopping import stoppable
from .terminal import say

if TYPE_CHECKING:
    from vjepa_fer.extract import ExtractSettings, ExtractSummary, Stage
    from vjepa_fer.extract.sharing import Others
    from vjepa_fer.extract.writing import Report
    from vjepa_fer.manifest import Manifest
    from vjepa_fer.sound import Extractor


def extract_audio(
    manifest: ManifestArgument,
    cache: Annotated[
        str,
        typer.Argument(metavar="CACHE", help="The cache folder, or an address; made if absent.", show_default=False),
    ],
    features: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="egemaps: opensmile's 88 functionals, one vector a clip; egemaps-lld: its 25 low-level descriptors every 10 ms; "
            "hf:FOLDER or hf:OWNER/NAME@REVISION: a speech encoder (wav2vec 2.0, HuBERT, WavLM).",
            autocompletion=completion.one_of(completion.SOUNDS),
            show_default=False,
        ),
    ],
    level: Annotated[
        Literal["mean", "frames"] | None,
        typer.Option(
            help="Of a speech encoder: a row every 20 ms, or the clip's mean alone, which is read from the rows too.",
            show_default="frames",
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Of a speech encoder: 2,5,8,11, counted from 0, -1 the last; or parts of the depth: 0.5,1.0.",
            show_default="the last",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Of a speech encoder: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    unify_names: UnifyOption = False,
    retry_failed: Annotated[bool, typer.Option(help="Try the clips of failed.csv again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much sound there is, and the room.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take numbers of every clip's sound; a clip without a sound track is listed. Run it again to resume."""
    from vjepa_fer.extras import require_extra

    require_extra("extract", ("torch", "av"), "vjepa-fer extract-audio")
    from vjepa_fer.extract import ExtractSettings, Stage
    from vjepa_fer.sound import plan_sound

    clips = read_clips(manifest, unify_names=unify_names)
    extractor = _extractor(features, level, layers, device)
    warn_of_other_writers(cache)
    stage = Stage(cache, clips)
    if dry_run:
        plan = plan_sound(stage.manifest, stage.folder, extractor.recipe, retry_failed=retry_failed)
        show_plan(plan, cache, as_json=as_json)
        return
    about_sound(extractor.recipe)
    with stoppable([stage.folder]):
        summary = _fill(stage, extractor, ExtractSettings(retry_failed=retry_failed))
    show_summary(summary, cache, as_json=as_json)
    if summary.failures or summary.elsewhere:
        raise typer.Exit(SOME_FAILED)


def _extractor(features: str, level: str | None, layers: str | None, device: str) -> Extractor:
    from vjepa_fer.encoder import pick_device
    from vjepa_fer.sound import load_extractor
    from vjepa_fer.sound.speech import read_speech

    if not features.startswith("hf:"):
        with wrong_usage("--features"):
            return load_extractor(features, level=level, layers=None if layers is None else [0])
    depth = read_speech(features).facts["depth"]  # a model that is none is no wrong usage
    with wrong_usage("--layers"):
        numbers = None if layers is None else layer_numbers(layers, range(depth))
        return load_extractor(features, level=level, layers=numbers, device=pick_device(device))


def _fill(stage: Stage, extractor: Extractor, settings: ExtractSettings) -> ExtractSummary:
    from vjepa_fer.sound import extract_sound

    def run(some: Manifest, folder: Path, report: Report | None, others: Others) -> ExtractSummary:
        return extract_sound(some, folder, extractor, settings=settings, report=report, others=others)

    return stage.extract(extractor.recipe, run, say)
