"""Made ``probes_v1/``, a saved probe of each kind as version 0.1.0 wrote it. Run once; a released version's is never remade."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vjepa_fer.features import fit_scaler
from vjepa_fer.probes import PROBES, make_probe
from vjepa_fer.probes.saving import save_probe

PARAMS = {
    "lightgbm": {"n_estimators": 5, "n_components": 4, "min_child_samples": 3, "num_leaves": 4},
    "mlp": {"hidden_layer_sizes": (8, 4), "max_iter": 5, "n_components": 4},
    "attentive": {"epochs": 1, "depth": 2, "num_heads": 2, "embed_dim": 4},
    "svm": {"class_weight": {"sad": 2.0}},
}


def write_probes(root: Path) -> None:
    """Sixty clips of three classes; ``answers.npz`` holds features of twenty and each probe's probabilities of them."""
    rng = np.random.default_rng(0)
    codes = np.arange(60) % 3
    X = (rng.normal(size=(60, 8)) + 2 * rng.choice([-1, 1], size=(3, 8))[codes]).astype(np.float32)
    y, scaler, answers = np.array(["sad", "angry", "happy"])[codes], fit_scaler("standard", X), {}
    for kind in PROBES:
        probe = make_probe(kind, PARAMS.get(kind), random_state=3).fit(scaler.apply(X), y)
        save_probe(probe, root / kind, scaler=scaler, expects={"level": "mean"})
        answers[kind] = probe.predict_proba(scaler.apply(X[:20]))
    np.savez(root / "answers.npz", X=X[:20], **answers)


if __name__ == "__main__":
    write_probes(Path(__file__).parent / "probes_v1")
