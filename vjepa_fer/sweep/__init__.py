"""Many cells in; run folders, the figures on another corpus and the refitted probe out."""

from __future__ import annotations

from vjepa_fer.sweep.asked import Source
from vjepa_fer.sweep.loop import Swept, sweep
from vjepa_fer.sweep.refit import refit_best
from vjepa_fer.sweep.transfer import Transfer, run_transfer

__all__ = ["Source", "Swept", "Transfer", "refit_best", "run_transfer", "sweep"]
