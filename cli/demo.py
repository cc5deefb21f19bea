"""``vjepa-fer demo``: the whole path on drawn faces, from video files to a cross-validated table."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from .options import SeedOption
from .terminal import print_table, say, warn

PROBES = ("logreg", "knn", "svm")
LEVEL = "grid:4"
METRICS = ("war", "uar", "macro_f1")


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Where videos and cache are kept.", show_default="one that is removed at the end"
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Then the same with other encoders (mean colours, tiny untrained VideoMAE and DINOv2), in one table.",
        ),
    ] = False,
    seed: SeedOption = 0,
) -> None:
    """Try the main job in a minute: draws faces, extracts tokens, cross-validates probes. No download, no GPU."""
    from vjepa_fer.extras import require_extra

    require_extra("extract", ("torch", "av"), "vjepa-fer demo")
    if folder is not None:
        _go(folder, seed, compare)
        return
    with TemporaryDirectory(prefix="vjepa-fer-demo-", ignore_cleanup_errors=True) as own:
        _go(Path(own), seed, compare)
    say("nothing is kept; `vjepa-fer demo FOLDER` keeps videos and cache there, to go on with the commands above")


def _go(folder: Path, seed: int, compare: bool = False) -> None:
    manifest = folder / "manifest.csv"
    _draw(folder, manifest, seed)
    _extract(folder, manifest, seed)
    _probe(folder, seed)
    if compare:
        from .demo_encoders import compare_encoders

        compare_encoders(folder, manifest, seed)
    warn(
        "the encoder is tiny and untrained and the faces are drawings: these figures show that the path works, "
        "and mean nothing about V-JEPA or about faces"
    )


def _draw(folder: Path, manifest: Path, seed: int) -> None:
    from vjepa_fer.demo import DemoSettings, write_demo_set
    from vjepa_fer.manifest import write_manifest

    clips = write_demo_set(folder, DemoSettings(seed=seed))
    write_manifest(clips, manifest, force=True)
    say(f"1. drew {len(clips)} clips of {len(clips.subjects)} subjects, {len(clips.labels)} expressions → {manifest}")


def _extract(folder: Path, manifest: Path, seed: int) -> None:
    from vjepa_fer.encoder import load_encoder
    from vjepa_fer.extract import extract_manifest, make_recipe
    from vjepa_fer.manifest import read_manifest
    from vjepa_fer.recipe import Sampling

    encoder = load_encoder("tiny-v21", weights=f"random:{seed}")
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1))
    cache = folder / "cache"
    extract_manifest(read_manifest(manifest), cache, encoder, recipe)
    say(f"2. vjepa-fer extract {manifest} {cache} --model tiny-v21 --weights random:{seed} --frame-step 1")


def _probe(folder: Path, seed: int) -> None:
    from vjepa_fer.cache import open_cache
    from vjepa_fer.evaluation import cross_validate
    from vjepa_fer.experiment import Cell
    from vjepa_fer.folds import make_folds

    features = open_cache(folder / "cache").features(LEVEL)
    folds = make_folds("loso", features.subjects, features.y, seed)
    say(f"3. vjepa-fer probe {folder / 'cache'} --probe {','.join(PROBES)} --features {LEVEL} --folds loso", "")
    rows = []
    for probe in PROBES:
        scores = cross_validate(features, folds, Cell(probe=probe, level=LEVEL), seed=seed).scores
        rows.append([probe, *(f"{100 * scores[m].mean:.1f} ± {100 * (scores[m].sd or 0):.1f}" for m in METRICS)])
    title = f"{len(features.y)} clips, {len(set(features.subjects))} subjects left out in turn; chance is 16.7"
    print_table(["probe", "WAR %", "UAR %", "macro-F1 %"], rows, title=title)
