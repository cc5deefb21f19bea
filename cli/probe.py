"""``vjepa-fer probe``: cross-validate light classifiers on a cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vjepa_fer.experiment import Cell, Protocol

from .config_file import read_config_file
from .options import SOME_FAILED, ExcludeOption, JsonOption, SeedOption, check_exclude, words
from .probe_tables import print_sweep, print_transfer
from .progress import progress_bar
from .terminal import print_json, say, warn

if TYPE_CHECKING:
    from vjepa_fer.cache import Cache
    from vjepa_fer.evaluation import Reference
    from vjepa_fer.features import Joined
    from vjepa_fer.sweep import Source, Swept

Fusion = Literal["early", "late"]  # vjepa_fer.features.matrix.Fusion, which --help must not load
DEFAULT_CELL, DEFAULT_PROTOCOL = Cell(), Protocol()


def probe(
    cache: Annotated[
        Path | None, typer.Argument(metavar="CACHE", help="A cache folder; or give --stream.", show_default=False)
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
        Fusion,
        typer.Option(
            help="With --stream: early, one probe sees all streams' features; late, one probe a stream, and their "
            "probabilities are averaged."
        ),
    ] = "early",
    probes: Annotated[
        str,
        typer.Option(
            "--probe",
            "-p",
            help="logreg, mlp, lightgbm, knn, svm, centroid, attentive (on grid or tokens, with torch); several with commas.",
        ),
    ] = DEFAULT_CELL.probe,
    features: Annotated[
        str, typer.Option("--features", "-f", help="Stored level: mean, frames, grid:4 …; several with commas.")
    ] = DEFAULT_CELL.level,
    folds: Annotated[
        str,
        typer.Option(
            help="ravdess-5fold, ravdess-6fold, crema-d-5fold, crema-d-eing, subject-kfold:N, loso (each subject a fold), "
            "column:NAME (a manifest column with train and test, or a fold's name) or file:FOLDS.json."
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
        typer.Option(help="none, standard or minmax, fitted on the training part of each fold; several with commas."),
    ] = DEFAULT_CELL.scale,
    decision: Annotated[
        str,
        typer.Option(
            help="How a clip's windows become one decision: mean-feature, or joined after the probe: mean-probability, sum, "
            "vote, mean-logit; several with commas.",
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
    exclude: ExcludeOption = DEFAULT_PROTOCOL.exclude,
    test_on: Annotated[
        Path | None,
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
        ),
    ] = "intended",
    ties: Annotated[
        str, typer.Option(help="With perceived labels, what becomes of tied clips: skip, split or soft.")
    ] = "skip",
    refit: Annotated[
        bool,
        typer.Option(
            "--refit",
            help="Fit the best cell once on all clips and leave it in its run folder, for new videos; needs --out.",
        ),
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes that work at once.")] = 1,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with these options by name and parameters in a table [param]; the environment and what is typed come first.",
            is_eager=True,
            callback=read_config_file,
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Cross-validate light classifiers on cached features, no subject ever on both sides of a fold."""
    from vjepa_fer.evaluation import make_cells, parse_params
    from vjepa_fer.manifest import leave_out

    check_exclude(exclude)
    if refit and (out is None or test_on is not None or streams):
        raise typer.BadParameter("--refit needs --out, and goes without --test-on and --stream")
    if streams and (test_on is not None or labels != "intended"):
        raise typer.BadParameter("--stream goes without --test-on and --labels")
    if test_on is not None and labels != "intended":
        raise typer.BadParameter("--test-on compares intended labels; leave --labels out")
    opened = leave_out(_open(cache, streams or [], fusion), exclude)
    cells = make_cells(
        words(probes),
        words(features),
        parse_params(params or []),
        scales=words(scale),
        decisions=words(decision),
    )
    protocol = Protocol(
        folds=folds,
        seed=seed,
        nested=nested,
        inner_folds=inner_folds,
        allow_leak=allow_leak,
        by=tuple(words(by)),
        exclude=exclude,
    )
    work = {"out": out, "jobs": jobs, "progress": lambda total: progress_bar(total, "probe")}
    if test_on is None:
        _probe_folds(opened, cells, protocol, labels=labels, ties=ties, refit=refit, as_json=as_json, **work)
    else:
        _probe_other(opened, test_on, cells, protocol, policies=words(policy), names=label_map, as_json=as_json, **work)


def _probe_folds(
    opened: Any,
    cells: Sequence[Cell],
    protocol: Protocol,
    *,
    labels: str,
    ties: str,
    refit: bool,
    as_json: bool,
    **work: Any,
) -> None:
    """One corpus, in folds."""
    from vjepa_fer.evaluation import LabelledCache, human_ceiling, make_reference
    from vjepa_fer.sweep import sweep

    reference = make_reference(labels, opened.clips, ties=ties)
    as_they_are = labels == "intended"
    source = opened if as_they_are else LabelledCache(opened, reference)
    swept = sweep(source, cells, protocol, reference=None if as_they_are else reference, **work)
    answer = {**swept.to_dict(), "labels": reference.name, "human": human_ceiling(opened.clips, reference)}
    if refit:
        answer["fitted"] = str(_refit(source, swept, opened, reference, protocol.seed))
    _show(answer, swept, as_json, lambda: print_sweep(swept))


def _probe_other(
    opened: Any,
    test_on: Path,
    cells: Sequence[Cell],
    protocol: Protocol,
    *,
    policies: Sequence[str],
    names: Path | None,
    as_json: bool,
    **work: Any,
) -> None:
    """Trained on one corpus, tested on another."""
    from vjepa_fer.cache import open_cache
    from vjepa_fer.manifest import read_label_map
    from vjepa_fer.sweep import run_transfer

    known = read_label_map(names) if names else None
    done = run_transfer(opened, open_cache(test_on), cells, protocol, policies=policies, names=known, **work)
    _show(done.to_dict(), done.swept, as_json, lambda: print_transfer(done))


def _open(cache: Path | None, streams: Sequence[str], fusion: Fusion) -> Cache | Joined:
    """The cache, or the joined streams after saying what drops out of the join."""
    from vjepa_fer.cache import open_cache
    from vjepa_fer.features import open_streams

    if (cache is None) != bool(streams):
        raise typer.BadParameter("give one CACHE, or two or more --stream NAME=CACHE, not both")
    if cache is not None:
        if fusion == "late":
            raise typer.BadParameter("--fusion late is for two or more --stream NAME=CACHE")
        return open_cache(cache)
    joined = open_streams(streams, fusion=fusion)
    say(f"{' + '.join(joined.streams)}: {len(joined):,} clips that every stream has; {joined.fusion} fusion")
    for name, lost in joined.dropped.items():
        if lost:
            warn(f"{len(lost):,} clips of {name} are in no other stream and drop out, such as {', '.join(lost[:3])}")
    return joined


def _refit(source: Source, swept: Swept, opened: Cache, reference: Reference, seed: int) -> Path:
    from vjepa_fer.sweep import refit_best

    best, folder = refit_best(source, swept, recipe=opened.recipe, seed=seed, targets=reference.targets)
    say(f"fitted on all clips: {best.evaluation.cell.probe} in {folder}")
    return folder


def _show(answer: dict, swept: Swept, as_json: bool, print_tables: Callable[[], None]) -> None:
    from vjepa_fer.runs import SCHEMA

    if as_json:
        print_json({"schema": SCHEMA, **answer})
    else:
        print_tables()
    if swept.lost:
        raise typer.Exit(SOME_FAILED)
