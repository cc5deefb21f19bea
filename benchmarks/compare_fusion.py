"""What do intensities and presences of RAVDESS' Action Units say alone, and together?

    python benchmarks/compare_fusion.py

The two kinds of columns of ``shared/data/ravdess/openface_au_mean.csv`` are two streams; each alone and each fusion is judged in the published five
folds, with one cell and with C chosen on inner folds. Nothing is timed. Results go to ``compare_fusion.json``.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import machine

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.imports import import_features
from vjepa_fer.experiment import Cell, Experiment, Protocol
from vjepa_fer.manifest import RAVDESS_LABELS, Clip, Manifest
from vjepa_fer.sweep import run_experiment, run_fusions

TABLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "ravdess" / "openface_au_mean.csv"
STREAMS = {"intensities": "AU*_r", "presences": "AU*_c"}
QUESTIONS = {"C = 1": (1.0,), "C chosen": (0.001, 0.01, 0.1, 1.0)}


def main() -> None:
    with TABLE.open(newline="", encoding="utf-8") as file:
        ids = [row["name"] for row in csv.DictReader(file, delimiter=";")]
    clips = tuple(Clip(i, "", RAVDESS_LABELS[int(i.split("-")[2]) - 1], i.split("-")[-1]) for i in ids)
    results: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as folder:
        for name, columns in STREAMS.items():
            table = read_feature_csv(TABLE, id_column="name", columns=[columns])
            import_features(table, Path(folder, name), Manifest(clips=clips))
        streams = {name: str(Path(folder, name)) for name in STREAMS}
        for question, grid in QUESTIONS.items():
            results[question] = asked(streams, grid)
    Path(__file__).with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


def asked(streams: dict[str, str], grid: tuple[float, ...]) -> dict[str, Any]:
    """The table, and how much each stream counts in each fold's stacker."""
    cells = tuple(Cell(params={"C": C}, scale="standard") for C in grid)
    experiment = Experiment(streams=streams, cells=cells, protocol=Protocol(folds="ravdess-5fold"))
    fused = run_fusions(experiment, lambda one, _: run_experiment(one))
    table = fused.sheet
    assert table is not None
    print(table.to_text("markdown"))
    stackers = fused.best["stacked"].evaluation.stackers
    return {"table": fused.to_dict()["table"], "shares": [one["shares"] for one in stackers]}


if __name__ == "__main__":
    main()
