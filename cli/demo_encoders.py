"""``vjepa-fer demo --compare``: the drawn faces through several encoders and controls, to one table."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from .compare import compare
from .terminal import say, warn

PROBE = "logreg"
LEVEL = "mean"
OWN = "tiny-v21"


def compare_encoders(folder: Path, manifest: Path, seed: int) -> None:
    """Extract, probe and compare; every encoder is held against the one of V-JEPA's making."""
    models = {OWN: (OWN, f"random:{seed}"), "pixels": ("pixels:8", None), **_baselines(folder, seed)}
    for number, (name, (model, weights)) in enumerate(models.items(), 4):
        cache = folder / "caches" / name
        _extract(manifest, cache, model, weights)
        own = f" --weights {weights}" if weights else ""
        say(f"{number}. vjepa-fer extract {manifest} {cache} --model {model}{own} --frame-step 1")
        _probe(cache, folder / "runs" / name, seed)
        say(
            f"   vjepa-fer probe {cache} --probe {PROBE} --features {LEVEL} --folds loso --out {folder / 'runs' / name}",
            "",
        )
    runs = [folder / "runs" / name for name in models]
    say(f"{len(models) + 4}. vjepa-fer runs compare {' '.join(map(str, runs))} --reference {_run(runs[0])}", "")
    compare([_run(run) for run in runs], reference=str(_run(runs[0])))
    say(f"   vjepa-fer report {' '.join(map(str, runs))} --reference {_run(runs[0])} -o {folder / 'encoders.html'}", "")


def _baselines(folder: Path, seed: int) -> dict[str, tuple[str, str | None]]:
    """Tiny models of transformers, made here; none without it."""
    if find_spec("transformers") is None:
        warn("without VideoMAE and DINOv2: transformers is not installed; pip install 'vjepa-fer[baselines]'")
        return {}
    from vjepa_fer.encoder.baselines.tiny import TINY, write_tiny

    return {name: (f"hf:{write_tiny(folder / 'models', name, seed)}", None) for name in TINY}


def _extract(manifest: Path, cache: Path, model: str, weights: str | None) -> None:
    from vjepa_fer.encoder import load_encoder
    from vjepa_fer.extract import extract_manifest, make_recipe
    from vjepa_fer.manifest import read_manifest
    from vjepa_fer.recipe import Sampling

    encoder = load_encoder(model, weights=weights)
    extract_manifest(read_manifest(manifest), cache, encoder, make_recipe(encoder, sampling=Sampling(frame_step=1)))


def _probe(cache: Path, out: Path, seed: int) -> None:
    from vjepa_fer.experiment import Cell, Experiment, Protocol
    from vjepa_fer.sweep import run_experiment

    cells = (Cell(probe=PROBE, level=LEVEL),)
    run_experiment(Experiment(cache=str(cache), cells=cells, protocol=Protocol(folds="loso", seed=seed)), out=out)


def _run(out: Path) -> Path:
    """The one run in a folder that `probe --out` filled."""
    return next(path.parent for path in sorted(out.glob("*/run.json")))
