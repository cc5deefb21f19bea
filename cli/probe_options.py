"""The options of ``probe``, in the order of its help: how each is spelled, what it says, and how the shell completes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import completion
from .config_file import read_experiment_file

ALL = "all"
"""In place of one fusion: each stream alone, and every fusion."""

SourceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="CACHE",
        help="A cache folder, or an address such as s3://bucket/cache; or give --stream.",
        show_default=False,
    ),
]
StreamsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--stream",
        metavar="NAME=CACHE",
        help="In place of CACHE, two or more of them: clips that all have, features side by side.",
        show_default=False,
    ),
]
FusionOption = Annotated[
    str,
    typer.Option(
        metavar="HOW",
        help="With --stream: early, one probe sees all streams' features; late, one probe a stream, and their "
        "probabilities are averaged; stacked, these are weighed by a classifier fitted on inner folds; only:NAME, one stream alone on the "
        "clips that all have; all, each of these, and a table of how far they are apart.",
        autocompletion=completion.one_of((*completion.FUSIONS, ALL)),
    ),
]
ReferenceOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="With --fusion all: the stream or fusion that the others are compared with.",
        show_default="the first stream",
    ),
]
AlignOption = Annotated[
    str,
    typer.Option(
        metavar="frames[:SECONDS]",
        help="With early fusion: bring the streams' moments together by time before the probe sees them: each of the first stream's with the "
        "nearest of the others within SECONDS, or half a step of the slower stream; those without one drop out, and are counted.",
        show_default=False,
    ),
]
ProbesOption = Annotated[
    str,
    typer.Option(
        "--probe",
        "-p",
        help="logreg, mlp, lightgbm, knn, svm, centroid, trivial, attentive, efficient (these two on grid or tokens, with torch); several with commas.",
        autocompletion=completion.several_of(completion.probes),
    ),
]
FeaturesOption = Annotated[
    str,
    typer.Option(
        "--features",
        "-f",
        help="Stored level: mean, frames, grid:4 …; several with commas.",
        autocompletion=completion.stored_levels,
    ),
]
PoolOption = Annotated[
    str,
    typer.Option(
        help="Of each level statistics over its time axis, side by side, gaps left out: mean,std,min,max,p10,p90,delta (mean "
        "absolute step from frame to frame) or another percentile; for levels frames, grid:4 … and imported frames.",
        autocompletion=completion.several_of(completion.STATISTICS),
        show_default=False,
    ),
]
FoldsOption = Annotated[
    str,
    typer.Option(
        help="ravdess-5fold, ravdess-6fold, crema-d-5fold, crema-d-eing, subject-kfold:N, loso (each subject a fold), "
        "column:NAME (a manifest column with train and test, or words like these, or a fold's name) or file:FOLDS.json.",
        autocompletion=completion.one_of(completion.FOLDS),
    ),
]
ParamsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        help="Parameter of the probe: k=10; a list sweeps: C=0.1,1 or C=logspace:-5:1:12. May be repeated; "
        "mlp.alpha=1 is for mlp only.",
        show_default=False,
    ),
]
ScaleOption = Annotated[
    str,
    typer.Option(
        help="none, standard or minmax, fitted on the training part of each fold; several with commas.",
        autocompletion=completion.several_of(completion.SCALES),
    ),
]
DecisionOption = Annotated[
    str,
    typer.Option(
        help="How a clip's windows become one decision: mean-feature; joined-windows (attentive and efficient: one sequence of tokens "
        "a view, probabilities averaged over views, as V-JEPA's own evaluation); or joined after the probe: mean-probability, "
        "sum, vote, mean-logit; several with commas.",
        autocompletion=completion.one_of(completion.decisions),
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Folder for run folders, one a result; finished ones are not fitted again.",
        show_default=False,
    ),
]
NestedOption = Annotated[
    bool,
    typer.Option(
        "--nested/--no-nested",
        help="Where several cells are asked for: choose among them on inner subject-wise folds of each training part, "
        "or report the plain grid only.",
    ),
]
InnerFoldsOption = Annotated[int, typer.Option(min=2, help="Inner folds of each training part.")]
AllowLeakOption = Annotated[
    bool,
    typer.Option(
        "--allow-leak",
        help="Go on where both sides of a fold share a subject, recording or file, and label every figure LEAKY.",
    ),
]
RepeatsOption = Annotated[
    int,
    typer.Option(
        min=1,
        help="With --folds subject-kfold:N, judge so often, with seeds --seed, --seed + 1 …, and show how far figures move with other "
        "folds and other training, which no interval tells.",
    ),
]
TestOnOption = Annotated[
    str | None,
    typer.Option(
        metavar="CACHE",
        help="Train on all of the first cache and test on all of this one; --folds has no part in it.",
        show_default=False,
    ),
]
PolicyOption = Annotated[
    str,
    typer.Option(
        help="With --test-on, what becomes of classes that one side lacks: strict, drop-true, merge (calm is neutral), "
        "repredict, repredict-merge, paper-drop, paper-merge; several with commas.",
        autocompletion=completion.several_of(completion.POLICIES),
    ),
]
LabelMapOption = Annotated[
    Path | None,
    typer.Option(
        help="With --test-on, a table (label, name) for labels that the built-in names do not unite.",
        show_default=False,
    ),
]
ByOption = Annotated[
    str,
    typer.Option(
        help="Manifest columns to give figures by, with commas: sex,intensity; age_band makes decades of a column age.",
        show_default=False,
    ),
]
LabelsOption = Annotated[
    str,
    typer.Option(
        help="What counts as right: intended (the manifest's label), perceived (most votes on the silent video) or votes (all of "
        "them, as training targets); perceived:av and votes:av for the votes on videos with sound.",
        autocompletion=completion.one_of(completion.LABELS),
    ),
]
TiesOption = Annotated[
    str,
    typer.Option(
        help="With perceived labels, what becomes of tied clips: skip, split or soft.",
        autocompletion=completion.one_of(completion.TIES),
    ),
]
RefitOption = Annotated[
    bool,
    typer.Option(
        "--refit",
        help="Fit the best cell once on all clips and leave it in its run folder, for new videos; needs --out.",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Processes that work at once; with --engine ray: workers.",
        show_default="1; with --engine ray as many as there is room for",
    ),
]
ExperimentOption = Annotated[
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
]
SaveOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write all of this as a TOML file for --config.", show_default=False),
]
ListOption = Annotated[
    bool,
    typer.Option("--list", help="Only list the probes, or those of --probe, with all parameters and their defaults."),
]
ListedOption = Annotated[str, typer.Option(hidden=True, help="What a file says that no option can, as JSON.")]
