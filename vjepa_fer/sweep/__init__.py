"""Many cells in; run folders, the figures on another corpus and the refitted probe out."""

from __future__ import annotations

from vjepa_fer.sweep.asked import Judged, Source
from vjepa_fer.sweep.loop import Swept, sweep
from vjepa_fer.sweep.refit import refit_best
from vjepa_fer.sweep.running import Outcome, run_experiment
from vjepa_fer.sweep.transfer import Transfer, run_transfer

__all__ = ["Judged", "Outcome", "Source", "Swept", "Transfer", "refit_best", "run_experiment", "run_transfer", "sweep"]
