"""The options of ``evaluate``, in the order of its help: how each is spelled, what it says, and how the shell completes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import completion

PredictionsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="PREDICTIONS.csv",
        help="Columns clip_id, true_label (or --manifest tells it), optional predicted_label, fold, subject; then a probability a "
        "class (none: predicted_label decides). Or a run folder, or a folder of tables, a fold each (test_fold0.csv …). Several are the folds of "
        "one evaluation.",
        show_default=False,
    ),
]
FusionOption = Annotated[
    str | None,
    typer.Option(
        metavar="mean|stacked",
        help="Several tables, or folders of folds, are classifiers of the same clips: average their probabilities; or weigh them by a "
        "classifier fitted on the folders' tables of training clips (train_fold0.csv … beside test_fold0.csv …).",
        show_default=False,
    ),
]
ScoresOption = Annotated[
    bool | None,
    typer.Option(
        "--scores/--no-scores",
        help="The class columns are scores of any size: only their order counts; or they must be probabilities. "
        "Without either, sums of probabilities over windows are recognised.",
        show_default=False,
    ),
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(metavar="OURS=THEIRS", help="Such as clip_id=video; may be repeated.", show_default="same names"),
]
ClassesOption = Annotated[
    str,
    typer.Option(
        metavar="A,B,…",
        help="Which columns are classes, where neither their names nor what sums to one tells. With --confusion: the classes of a bare "
        "square of numbers.",
        show_default=False,
    ),
]
ClassOrderOption = Annotated[
    str,
    typer.Option(
        metavar="A,B,…",
        help="Which class each of the numbered columns is (embs0, embs1 …), in the order of their numbers; how well that agrees with the "
        "true labels is said.",
        show_default=False,
    ),
]
LogitsOption = Annotated[
    bool,
    typer.Option(
        "--logits",
        help="The class columns are logits: softmax makes probabilities of them. Tables that hold probabilities already stay as they are.",
    ),
]
ManifestOption = Annotated[
    Path | None,
    typer.Option(
        "--manifest",
        "-m",
        help="Look the clips up: unknown ones are refused, those without a prediction or of another true label counted, subjects "
        "filled in; and true labels, where the table has none.",
        show_default=False,
    ),
]
ByOption = Annotated[
    str,
    typer.Option(help="With --manifest: columns to give figures by, with commas: sex,age_band.", show_default=False),
]
PolicyOption = Annotated[
    str,
    typer.Option(
        help="The classifier knows other classes than the clips have: what becomes of these. strict, drop-true, merge (calm is "
        "neutral), repredict, repredict-merge, paper-drop, paper-merge; several with commas.",
        autocompletion=completion.several_of(completion.POLICIES),
        show_default=False,
    ),
]
LabelMapOption = Annotated[
    Path | None,
    typer.Option(
        help="A table (label, name) for labels that the built-in names (ang, angry: anger) do not unite.",
        show_default=False,
    ),
]
ConfusionOption = Annotated[
    bool,
    typer.Option(
        "--confusion",
        help="The table is a confusion matrix: a column that names the rows, then a column a predicted class, counts or each row's "
        "percentages in it. Margins and figures beside them are left out. A column fold, or several files, hold a matrix a fold.",
    ),
]
RowsOption = Annotated[
    str | None,
    typer.Option(
        metavar="predicted",
        help="With --confusion: each row is a predicted class, not a true one (--rows true).",
        show_default="predicted if the first column is called so, or true",
    ),
]
ClassSizesOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLASS=CLIPS,…",
        help="With --confusion, for a table in percent: how many clips each true class has. Once a file.",
        show_default=False,
    ),
]
