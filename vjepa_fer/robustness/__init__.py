"""Caches of the same clips, clean and perturbed, go in; how a probe of clean clips fares on perturbed ones, and how far features drift, come out.

In reading order: `conditions` (which cache is of what) · `judge` (fitted on clean training clips, tested on the same test clips of every
cache) · `figures` (what is lost, with intervals over subjects) · `drift` (how far features move, and whether errors go with it) · `kept` (figures in a file) ·
`curves` (all of it).
"""

from __future__ import annotations

from vjepa_fer.robustness.curves import Robustness, read_robustness, robustness_of, write_robustness

__all__ = ["Robustness", "read_robustness", "robustness_of", "write_robustness"]
