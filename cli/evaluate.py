"""``vjepa-fer evaluate``: the same figures for anyone's predictions."""

from __future__ import annotations

from .evaluate_asked import Asked, Clips, Matrix, Table
from .evaluate_options import (
    ByOption,
    ClassesOption,
    ClassOrderOption,
    ClassSizesOption,
    ColumnOption,
    ConfusionOption,
    FusionOption,
    LabelMapOption,
    LogitsOption,
    ManifestOption,
    PolicyOption,
    PredictionsArgument,
    RowsOption,
    ScoresOption,
)
from .evaluate_words import print_results, title_lines
from .figures import PartOption, print_part
from .options import ExcludeOption, FormatOption, JsonOption, UnifyOption, check_exclude, check_format
from .terminal import print_json, say


def evaluate(
    predictions: PredictionsArgument,
    fusion: FusionOption = None,
    scores: ScoresOption = None,
    column: ColumnOption = None,
    classes: ClassesOption = "",
    class_order: ClassOrderOption = "",
    logits: LogitsOption = False,
    manifest: ManifestOption = None,
    exclude: ExcludeOption = None,
    by: ByOption = "",
    policy: PolicyOption = "",
    label_map: LabelMapOption = None,
    confusion: ConfusionOption = False,
    rows: RowsOption = None,
    class_sizes: ClassSizesOption = None,
    unify_names: UnifyOption = False,
    part: PartOption = None,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Score anyone's predictions with the figures of `probe`: per fold, mean ± sd, pooled, with intervals."""
    asked = Asked(
        predictions,
        fusion,
        policy,
        label_map,
        Table(column, classes, class_order, logits, scores),
        Clips(manifest, exclude, by, unify_names),
        Matrix(confusion, rows, class_sizes),
    )
    check_exclude(exclude)
    asked.check_choices()
    check_format(form, as_json)
    asked.check_together()
    results = asked.results()
    if as_json:
        print_json({"schema": "vjepa-fer/evaluate/1", "results": results})
    elif part or form != "table":
        name = ", ".join(map(str, predictions))
        print_part([{"name": name, **one} for one in results], part, form)
        for line in title_lines(results[0]):
            say(line)
    else:
        print_results(results)
