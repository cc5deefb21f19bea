"""Made ``runs_v1/``, a small sweep in run folders of format 1, which every test run reads. Run once, with the version that wrote them."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from caches import write_counted_cache
from vjepa_fer.cache import open_cache
from vjepa_fer.experiment import Protocol, make_cells
from vjepa_fer.sweep import sweep

PROTOCOL = Protocol(folds="subject-kfold:4", by=("sex",))


if __name__ == "__main__":
    out = Path(__file__).parent / "runs_v1"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        cells = make_cells(["knn"], ["mean"], {"k": [1, 3]}, scales=["standard"])
        sweep(open_cache(write_counted_cache(Path("cache"))), cells, PROTOCOL, out=out)
