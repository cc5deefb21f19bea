"""``vjepa-fer probe``: cross-validate light classifiers on a cache."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vjepa_fer.experiment import Cell, Protocol

from . import completion
from .config_file import read_experiment_file, refuse_typed, said_in
from .engine import AddressOption, CpusOption, EngineOption, GpusOption, engine_of
from .options import (
    SOME_FAILED,
    ExcludeOption,
    FormatOption,
    JsonOption,
    SeedOption,
    Shape,
    check_exclude,
    check_format,
    pairs,
    words,
    wrong_usage,
)
from .probe_fusions import say_what_was_joined, show_fusions
from .probe_list import show_probes
from .probe_tables import print_pasted, print_repeats, print_sweep, print_transfer
from .progress import fit_bar, progress_bar, say_beside_bar
from .terminal import print_json, say

if TYPE_CHECKING:
    from vjepa_fer.sweep import Outcome

ALL = "all"
"""In place of one fusion: each stream alone, and every fusion."""

DEFAULT_CELL, DEFAULT_PROTOCOL = Cell(), Protocol()


def probe(
    context: typer.Context,
    cache: Annotated[
        str | None,
        typer.Argument(
            metavar="CACHE",
            help="A cache folder, or an address such as s3://bucket/cache; or give --stream.",
            show_default=False,
        ),
    ] = None,
    streams: Annotated[
        list[str] | None,
        typer.Option(
            "--stream",
            metavar="NAME=CACHE",
            help="In place of CACHE, two or more of them: clips that all have, features side by side.",
            show_default=False,
        ),
    ] = None,
    fusion: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="With --stream: early, one probe sees all streams' features; late, one probe a stream, and their "
            "probabilities are averaged; stacked, these are weighed by a classifier fitted on inner folds; only:NAME, one stream alone on the "
            "clips that all have; all, each of these, and a table of how far they are apart.",
            autocompletion=completion.one_of((*completion.FUSIONS, ALL)),
        ),
    ] = "early",
    reference: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="With --fusion all: the stream or fusion that the others are compared with.",
            show_default="the first stream",
        ),
    ] = "",
    align: Annotated[
        str,
        typer.Option(
            metavar="frames[:SECONDS]",
            help="With early fusion: bring the streams' moments together by time before the probe sees them: each of the first stream's with the "
            "nearest of the others within SECONDS, or half a step of the slower stream; those without one drop out, and are counted.",
            show_default=False,
        ),
    ] = "",
    probes: Annotated[
        str,
        typer.Option(
            "--probe",
            "-p",
            help="logreg, mlp, lightgbm, knn, svm, centroid, trivial, attentive, efficient (these two on grid or tokens, with torch); several with commas.",
            autocompletion=completion.several_of(completion.probes),
        ),
    ] = DEFAULT_CELL.probe,
    features: Annotated[
        str,
        typer.Option(
            "--features",
            "-f",
            help="Stored level: mean, frames, grid:4 …; several with commas.",
            autocompletion=completion.stored_levels,
        ),
    ] = DEFAULT_CELL.level,
    pool: Annotated[
        str,
        typer.Option(
            help="Of each level statistics over its time axis, side by side, gaps left out: mean,std,min,max,p10,p90,delta (mean "
            "absolute step from frame to frame) or another percentile; for levels frames, grid:4 … and imported frames.",
            autocompletion=completion.several_of(completion.STATISTICS),
            show_default=False,
        ),
    ] = "",
    folds: Annotated[
        str,
        typer.Option(
            help="ravdess-5fold, ravdess-6fold, crema-d-5fold, crema-d-eing, subject-kfold:N, loso (each subject a fold), "
            "column:NAME (a manifest column with train and test, or words like these, or a fold's name) or file:FOLDS.json.",
            autocompletion=completion.one_of(completion.FOLDS),
        ),
    ] = DEFAULT_PROTOCOL.folds,
    params: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            help="Parameter of the probe: k=10; a list sweeps: C=0.1,1 or C=logspace:-5:1:12. May be repeated; "
            "mlp.alpha=1 is for mlp only.",
            show_default=False,
        ),
    ] = None,
    scale: Annotated[
        str,
        typer.Option(
            help="none, standard or minmax, fitted on the training part of each fold; several with commas.",
            autocompletion=completion.several_of(completion.SCALES),
        ),
    ] = DEFAULT_CELL.scale,
    decision: Annotated[
        str,
        typer.Option(
            help="How a clip's windows become one decision: mean-feature; joined-windows (attentive and efficient: one sequence of tokens "
            "a view, probabilities averaged over views, as V-JEPA's own evaluation); or joined after the probe: mean-probability, "
            "sum, vote, mean-logit; several with commas.",
            autocompletion=completion.one_of(completion.decisions),
        ),
    ] = DEFAULT_CELL.decision,
    seed: SeedOption = DEFAULT_PROTOCOL.seed,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for run folders, one a result; finished ones are not fitted again.",
            show_default=False,
        ),
    ] = None,
    nested: Annotated[
        bool,
        typer.Option(
            "--nested/--no-nested",
            help="Where several cells are asked for: choose among them on inner subject-wise folds of each training part, "
            "or report the plain grid only.",
        ),
    ] = DEFAULT_PROTOCOL.nested,
    inner_folds: Annotated[
        int, typer.Option(min=2, help="Inner folds of each training part.")
    ] = DEFAULT_PROTOCOL.inner_folds,
    allow_leak: Annotated[
        bool,
        typer.Option(
            "--allow-leak",
            help="Go on where both sides of a fold share a subject, recording or file, and label every figure LEAKY.",
        ),
    ] = DEFAULT_PROTOCOL.allow_leak,
    repeats: Annotated[
        int,
        typer.Option(
            min=1,
            help="With --folds subject-kfold:N, judge so often, with seeds --seed, --seed + 1 …, and show how far figures move with other "
            "folds and other training, which no interval tells.",
        ),
    ] = DEFAULT_PROTOCOL.repeats,
    exclude: ExcludeOption = DEFAULT_PROTOCOL.exclude,
    test_on: Annotated[
        str | None,
        typer.Option(
            metavar="CACHE",
            help="Train on all of the first cache and test on all of this one; --folds has no part in it.",
            show_default=False,
        ),
    ] = None,
    policy: Annotated[
        str,
        typer.Option(
            help="With --test-on, what becomes of classes that one side lacks: strict, drop-true, merge (calm is neutral), "
            "repredict, repredict-merge, paper-drop, paper-merge; several with commas.",
            autocompletion=completion.several_of(completion.POLICIES),
        ),
    ] = "strict",
    label_map: Annotated[
        Path | None,
        typer.Option(
            help="With --test-on, a table (label, name) for labels that the built-in names do not unite.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="Manifest columns to give figures by, with commas: sex,intensity; age_band makes decades of a column age.",
            show_default=False,
        ),
    ] = "",
    labels: Annotated[
        str,
        typer.Option(
            help="What counts as right: intended (the manifest's label), perceived (most votes on the silent video) or votes (all of "
            "them, as training targets); perceived:av and votes:av for the votes on videos with sound.",
            autocompletion=completion.one_of(completion.LABELS),
        ),
    ] = "intended",
    ties: Annotated[
        str,
        typer.Option(
            help="With perceived labels, what becomes of tied clips: skip, split or soft.",
            autocompletion=completion.one_of(completion.TIES),
        ),
    ] = "skip",
    refit: Annotated[
        bool,
        typer.Option(
            "--refit",
            help="Fit the best cell once on all clips and leave it in its run folder, for new videos; needs --out.",
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Processes that work at once; with --engine ray: workers.",
            show_default="1; with --engine ray as many as there is room for",
        ),
    ] = None,
    engine: EngineOption = "here",
    address: AddressOption = None,
    cpus_per_worker: CpusOption = None,
    gpus_per_worker: GpusOption = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="An experiment: a TOML or JSON file with these options by name and parameters in a table [param], one that --save "
            "wrote, or a name that `experiments list` shows; the environment and what is typed come first.",
            is_eager=True,
            callback=read_experiment_file,
            autocompletion=completion.one_of(completion.experiments),
            show_default=False,
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all of this as a TOML file for --config.", show_default=False),
    ] = None,
    lists: Annotated[
        bool,
        typer.Option(
            "--list", help="Only list the probes, or those of --probe, with all parameters and their defaults."
        ),
    ] = False,
    listed: Annotated[str, typer.Option(hidden=True, help="What a file says that no option can, as JSON.")] = "{}",
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Cross-validate light classifiers on cached features, no subject ever on both sides of a fold."""
    from vjepa_fer.experiment import Experiment, experiment_from_dict, make_cells, parse_params, write_experiment
    from vjepa_fer.manifest import read_label_map
    from vjepa_fer.sweep import run_experiment, run_experiment_on_cluster, run_fusions

    if lists:
        source = context.get_parameter_source("probes")
        typed = source is not None and source.name != "DEFAULT"
        show_probes(words(probes) if typed else completion.PROBES, as_json=as_json)
        return
    check_exclude(exclude)
    check_format(form, as_json)
    if refit and out is None:
        raise typer.BadParameter("--refit needs --out: the fitted probe is kept in its run folder")
    cluster = engine_of(engine, address, jobs, cpus_per_worker or (1 if engine == "ray" else None), gpus_per_worker)
    if cluster is not None and out is None:
        raise typer.BadParameter("--engine ray needs --out: workers share their work in a folder that all see")
    if (cache is None) != bool(streams):
        raise typer.BadParameter("give one CACHE, or two or more --stream NAME=CACHE, not both")
    _check_all(fusion, reference, save, repeats)
    of_file = json.loads(listed)
    refuse_typed(context, "cells" in of_file, ("probes", "features", "pool", "params", "scale", "decision"))
    with said_in(config):
        base = experiment_from_dict(of_file, str(config))
        cells = (
            base.cells
            if "cells" in of_file
            else tuple(
                make_cells(
                    words(probes),
                    words(features),
                    parse_params(params or []),
                    scales=words(scale),
                    decisions=words(decision),
                    pool=words(pool),
                )
            )
        )
        names = base.label_names if label_map is None else read_label_map(label_map)
    with wrong_usage():
        experiment = Experiment(
            cache=str(cache or ""),
            streams=dict(pairs(streams or [], "--stream", "NAME=CACHE, such as au=cache/au")),
            fusion="early" if fusion == ALL else fusion,
            align=align,
            labels=labels,
            ties=ties,
            cells=cells,
            protocol=Protocol(
                folds=folds,
                seed=seed,
                nested=nested,
                inner_folds=inner_folds,
                allow_leak=allow_leak,
                by=tuple(words(by)),
                exclude=exclude,
                repeats=repeats,
            ),
            statistics=base.statistics,
            test_on=str(test_on or ""),
            policies=tuple(words(policy)),
            label_names=names,
            refit=refit,
        )

    def run(asked: Experiment, folder: Path | None) -> Outcome:
        if cluster is None or folder is None:
            bar = partial(progress_bar, what="probe")
            return run_experiment(asked, out=folder, jobs=jobs or 1, progress=bar, tell=say_beside_bar)
        with fit_bar() as reach:
            return run_experiment_on_cluster(asked, cluster, out=folder, reach=reach, tell=say_beside_bar)

    with said_in(config):
        if fusion == ALL:
            show_fusions(run_fusions(experiment, run, reference=reference, out=out), form, as_json)
            return
        outcome = run(experiment, out)
    if save is not None:
        write_experiment(save, outcome.experiment)
        say(f"experiment: {save}")
    _show(outcome, form, as_json)


def _check_all(fusion: str, reference: str, save: Path | None, repeats: int) -> None:
    """Options that go with --fusion all alone, or not with it."""
    if reference and fusion != ALL:
        raise typer.BadParameter(
            "needs --fusion all; `runs compare --reference` compares runs that are there", param_hint="--reference"
        )
    if fusion == ALL and (save or repeats > 1):
        other = "--save" if save else "--repeats"
        raise typer.BadParameter(f"is several experiments; {other} goes with one fusion", param_hint="--fusion all")


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
