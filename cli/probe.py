"""``vjepa-fer probe``: cross-validate light classifiers on a cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from vjepa_fer.experiment import Cell, Protocol, write_experiment

from . import completion
from .config_file import said_in
from .engine import AddressOption, CpusOption, EngineAsked, EngineOption, GpusOption
from .options import (
    SOME_FAILED,
    ExcludeOption,
    FormatOption,
    JsonOption,
    SeedOption,
    Shape,
    check_exclude,
    check_format,
    words,
)
from .probe_asked import Across, Asked, File, Grid, Sources
from .probe_fusions import say_what_was_joined, show_fusions
from .probe_list import show_probes
from .probe_options import (
    AlignOption,
    AllowLeakOption,
    ByOption,
    DecisionOption,
    ExperimentOption,
    FeaturesOption,
    FoldsOption,
    FusionOption,
    InnerFoldsOption,
    JobsOption,
    LabelMapOption,
    LabelsOption,
    ListedOption,
    ListOption,
    NestedOption,
    OutOption,
    ParamsOption,
    PolicyOption,
    PoolOption,
    ProbesOption,
    ReferenceOption,
    RefitOption,
    RepeatsOption,
    SaveOption,
    ScaleOption,
    SourceArgument,
    StreamsOption,
    TestOnOption,
    TiesOption,
)
from .probe_tables import print_pasted, print_repeats, print_sweep, print_transfer
from .probe_way import way_of
from .terminal import print_json, say

if TYPE_CHECKING:
    from vjepa_fer.sweep import Outcome

DEFAULT_CELL, DEFAULT_PROTOCOL = Cell(), Protocol()


def probe(
    context: typer.Context,
    cache: SourceArgument = None,
    streams: StreamsOption = None,
    fusion: FusionOption = "early",
    reference: ReferenceOption = "",
    align: AlignOption = "",
    probes: ProbesOption = DEFAULT_CELL.probe,
    features: FeaturesOption = DEFAULT_CELL.level,
    pool: PoolOption = "",
    folds: FoldsOption = DEFAULT_PROTOCOL.folds,
    params: ParamsOption = None,
    scale: ScaleOption = DEFAULT_CELL.scale,
    decision: DecisionOption = DEFAULT_CELL.decision,
    seed: SeedOption = DEFAULT_PROTOCOL.seed,
    out: OutOption = None,
    nested: NestedOption = DEFAULT_PROTOCOL.nested,
    inner_folds: InnerFoldsOption = DEFAULT_PROTOCOL.inner_folds,
    allow_leak: AllowLeakOption = DEFAULT_PROTOCOL.allow_leak,
    repeats: RepeatsOption = DEFAULT_PROTOCOL.repeats,
    exclude: ExcludeOption = DEFAULT_PROTOCOL.exclude,
    test_on: TestOnOption = None,
    policy: PolicyOption = "strict",
    label_map: LabelMapOption = None,
    by: ByOption = "",
    labels: LabelsOption = "intended",
    ties: TiesOption = "skip",
    refit: RefitOption = False,
    jobs: JobsOption = None,
    engine: EngineOption = "here",
    address: AddressOption = None,
    cpus_per_worker: CpusOption = None,
    gpus_per_worker: GpusOption = None,
    config: ExperimentOption = None,
    save: SaveOption = None,
    lists: ListOption = False,
    listed: ListedOption = "{}",
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Cross-validate light classifiers on cached features, no subject ever on both sides of a fold."""
    if lists:
        show_probes(_named(context, probes), as_json=as_json)
        return
    check_exclude(exclude)
    check_format(form, as_json)
    way = way_of(out, jobs, EngineAsked(engine, address, cpus_per_worker, gpus_per_worker), refits=refit)
    sources = Sources(cache, streams, fusion, reference, align)
    sources.check(saves=save is not None, repeats=repeats)
    protocol = Protocol(
        folds=folds,
        seed=seed,
        nested=nested,
        inner_folds=inner_folds,
        allow_leak=allow_leak,
        by=tuple(words(by)),
        exclude=exclude,
        repeats=repeats,
    )
    asked = Asked(
        sources=sources,
        grid=Grid(probes, features, pool, params, scale, decision),
        protocol=protocol,
        across=Across(test_on, policy, label_map),
        labels=labels,
        ties=ties,
        refit=refit,
        file=File(config, listed),
    )
    experiment = asked.experiment(context)
    with said_in(config):
        if sources.compares:
            show_fusions(way.run_fusions(experiment, reference), form, as_json)
            return
        outcome = way.run(experiment)
    if save is not None:
        write_experiment(save, outcome.experiment)
        say(f"experiment: {save}")
    _show(outcome, form, as_json)


def _named(context: typer.Context, probes: str) -> Sequence[str]:
    """The probes that were typed; else all."""
    source = context.get_parameter_source("probes")
    typed = source is not None and source.name != "DEFAULT"
    return words(probes) if typed else completion.PROBES


def _show(outcome: Outcome, form: Shape, as_json: bool) -> None:
    from vjepa_fer.runs import SCHEMA

    say(*outcome.roles)
    if outcome.joined is not None:
        say_what_was_joined(outcome.joined)
    if outcome.fitted is not None:
        best, folder = outcome.fitted
        say(f"fitted on all clips: {best.evaluation.cell.probe} in {folder}")
    if as_json:
        print_json({"schema": SCHEMA, **outcome.to_dict()})
    elif form != "table":
        print_pasted(outcome, form)
    elif outcome.transfer is not None:
        print_transfer(outcome.transfer)
    else:
        print_sweep(outcome.swept)
        print_repeats(outcome.repeated)
    if outcome.swept.lost:
        raise typer.Exit(SOME_FAILED)
