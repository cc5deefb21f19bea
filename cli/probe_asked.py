"""What was asked of ``probe`` comes in, typed or in the file of ``--config``; one experiment goes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from vjepa_fer.experiment import Experiment, experiment_from_dict

from .config_file import refuse_typed, said_in
from .options import pairs, words, wrong_usage
from .probe_options import ALL

if TYPE_CHECKING:
    from vjepa_fer.experiment import Cell, Protocol

GRID_OPTIONS = ("probes", "features", "pool", "params", "scale", "decision")
"""Parameters of the command that spell a grid."""


class Sources(NamedTuple):
    """Whose features the probes see, as typed."""

    cache: str | None
    streams: list[str] | None
    fusion: str
    reference: str
    align: str

    @property
    def compares(self) -> bool:
        """Whether each stream alone and every fusion is asked for, so several experiments."""
        return self.fusion == ALL

    def check(self, *, saves: bool, repeats: int) -> None:
        """Wrong usage unless there is one cache, or streams; and where ``--fusion all`` is what an option needs, or what it cannot go with."""
        if (self.cache is None) != bool(self.streams):
            raise typer.BadParameter("give one CACHE, or two or more --stream NAME=CACHE, not both")
        if self.reference and not self.compares:
            raise typer.BadParameter(
                "needs --fusion all; `runs compare --reference` compares runs that are there", param_hint="--reference"
            )
        if self.compares and (saves or repeats > 1):
            other = "--save" if saves else "--repeats"
            raise typer.BadParameter(f"is several experiments; {other} goes with one fusion", param_hint="--fusion all")

    def named(self) -> dict[str, str]:
        """The streams by name; wrong usage where one has none."""
        return dict(pairs(self.streams or [], "--stream", "NAME=CACHE, such as au=cache/au"))


class Grid(NamedTuple):
    """What every cell is one combination of, as typed."""

    probes: str
    features: str
    pool: str
    params: list[str] | None
    scale: str
    decision: str

    def cells(self) -> tuple[Cell, ...]:
        """All combinations."""
        from vjepa_fer.experiment import make_cells, parse_params

        probes, levels, params = words(self.probes), words(self.features), parse_params(self.params or [])
        beside = {"scales": words(self.scale), "decisions": words(self.decision), "pool": words(self.pool)}
        return tuple(make_cells(probes, levels, params, **beside))


class Across(NamedTuple):
    """The corpus that is tested on, where it is another, as typed."""

    test_on: str | None
    policy: str
    label_map: Path | None

    def names(self, of_file: Mapping[str, str]) -> Mapping[str, str]:
        """What unites the labels of both: the table, or without one what a file says."""
        from vjepa_fer.manifest import read_label_map

        return of_file if self.label_map is None else read_label_map(self.label_map)


class File(NamedTuple):
    """The file of ``--config``, and what it says that no option can, as JSON."""

    path: Path | None
    listed: str


class Asked(NamedTuple):
    """All that was asked for, by what it is about."""

    sources: Sources
    grid: Grid
    protocol: Protocol
    across: Across
    labels: str
    ties: str
    refit: bool
    file: File

    def experiment(self, context: typer.Context) -> Experiment:
        """The whole as one value.

        Raises
        ------
        typer.BadParameter
            A grid beside a file that lists its cells, or values that contradict each other.
        VjepaFerError
            A value that cannot be; where there is a file it is named.
        """
        of_file = json.loads(self.file.listed)
        refuse_typed(context, "cells" in of_file, GRID_OPTIONS)
        with said_in(self.file.path):
            base = experiment_from_dict(of_file, str(self.file.path))
            cells = base.cells if "cells" in of_file else self.grid.cells()
            names = self.across.names(base.label_names)
        with wrong_usage():
            return self._on(base, cells=cells, label_names=names)

    def _on(self, base: Experiment, *, cells: tuple[Cell, ...], label_names: Mapping[str, str]) -> Experiment:
        """Every field as asked, but for the statistics, which only a file can say."""
        return Experiment(
            cache=self.sources.cache or "",
            streams=self.sources.named(),
            fusion="early" if self.sources.compares else self.sources.fusion,
            align=self.sources.align,
            labels=self.labels,
            ties=self.ties,
            cells=cells,
            protocol=self.protocol,
            statistics=base.statistics,
            test_on=self.across.test_on or "",
            policies=tuple(words(self.across.policy)),
            label_names=label_names,
            refit=self.refit,
        )
