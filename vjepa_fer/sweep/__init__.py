"""An experiment goes in; run folders, the choice among its cells, the figures on another corpus and the refitted probe come out.

In reading order: `source` (what is evaluated) · `audit` (what leaks, and what nobody could look at) · `asked` (what is asked, by content,
and where it is kept) · `sharing` (who does it, where several processes fill one folder) · `answers` (what a fit decided, as a file) ·
`family` (the cells of one probe on one level) · `loop` (all of them) · `transfer` (another corpus) · `refit` (one probe for new videos) ·
`repeats` (other seeds) · `running` (an experiment, from its caches to its outcome) · `on_cluster` (by an engine's workers) ·
`fusions` (each stream alone, and all fusions).
"""

from __future__ import annotations

from vjepa_fer.sweep.asked import Judged
from vjepa_fer.sweep.fusions import Fused, fusions_of, run_fusions
from vjepa_fer.sweep.loop import Swept, sweep
from vjepa_fer.sweep.on_cluster import run_experiment_on_cluster
from vjepa_fer.sweep.refit import refit_best
from vjepa_fer.sweep.repeats import Repeated
from vjepa_fer.sweep.running import Outcome, run_experiment
from vjepa_fer.sweep.sharing import UNFINISHED, Shared
from vjepa_fer.sweep.source import Source
from vjepa_fer.sweep.transfer import Transfer, run_transfer

__all__ = [
    "UNFINISHED",
    "Fused",
    "Judged",
    "Outcome",
    "Repeated",
    "Shared",
    "Source",
    "Swept",
    "Transfer",
    "fusions_of",
    "refit_best",
    "run_experiment",
    "run_experiment_on_cluster",
    "run_fusions",
    "run_transfer",
    "sweep",
]
