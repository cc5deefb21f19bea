"""A sweep that was done goes in; the same with other seeds comes out: how figures move with other drawn folds and other training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vjepa_fer.evaluation import Reference
from vjepa_fer.experiment import Experiment
from vjepa_fer.sweep.loop import Progress, Swept, sweep
from vjepa_fer.sweep.sharing import Shared
from vjepa_fer.sweep.source import Source

FIGURES = ("war", "uar", "macro_f1")


@dataclass(frozen=True)
class Repeated:
    """One row of a sweep under several seeds.

    Attributes
    ----------
    title : str
        What people call it.
    seeds : tuple of int
        Of folds and probes; the first is the sweep's own.
    figures : mapping of str to tuple of float
        ``war``, ``uar`` and ``macro_f1`` of all clips, a seed each, as fractions.
    """

    title: str
    seeds: tuple[int, ...]
    figures: Mapping[str, tuple[float, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, in percent; ``sd`` with n − 1."""
        spread = {
            name: {
                "mean": round(100 * float(np.mean(values)), 4),
                "sd": round(100 * float(np.std(values, ddof=1)), 4) if len(values) > 1 else None,
                "values": [round(100 * value, 4) for value in values],
            }
            for name, values in self.figures.items()
        }
        return {"name": self.title, "seeds": list(self.seeds), **spread}


def repeat(
    source: Source,
    swept: Swept,
    asked: Experiment,
    reference: Reference | None,
    *,
    jobs: int,
    progress: Progress,
    shared: Shared | None = None,
) -> tuple[Repeated, ...]:
    """Do a sweep again with the next seeds, keeping nothing but figures; empty where once is all that was asked for.

    A row that was lost under some seed is told for the others.
    """
    protocol = asked.protocol
    if protocol.repeats == 1:
        return ()
    done = {protocol.seed: swept}
    for seed in range(protocol.seed + 1, protocol.seed + protocol.repeats):
        again = dataclasses.replace(protocol, seed=seed, repeats=1)
        done[seed] = sweep(
            source, asked.cells, again, reference=reference, asked=asked, jobs=jobs, progress=progress, shared=shared
        )
    return tuple(_row(title, done) for title in _scores(swept))


def _row(title: str, done: Mapping[int, Swept]) -> Repeated:
    scores = {seed: _scores(one)[title] for seed, one in done.items() if title in _scores(one)}
    return Repeated(title, tuple(scores), {name: tuple(one[name] for one in scores.values()) for name in FIGURES})


def _scores(swept: Swept) -> dict[str, dict[str, float]]:
    """Figures of all clips, of what was chosen and of every cell, by what people call it."""
    rows = (*swept.chosen, *swept.cells)
    return {one.title: {name: one.evaluation.scores[name].pooled for name in FIGURES} for one in rows}
