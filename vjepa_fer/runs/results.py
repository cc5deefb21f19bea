"""An evaluation goes in; the plain object that ``--json`` prints and the row that a table shows come out, in percent."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from vjepa_fer.evaluation import Evaluation
from vjepa_fer.experiment import Statistics, plan_title
from vjepa_fer.judging import (
    Interval,
    Intervals,
    Predictions,
    Score,
    calibration,
    group_figures,
    intervals_of,
    method_of,
    metrics,
    notes_on,
    score,
    ties_among,
)
from vjepa_fer.runs.fusions import fusion_title

SCHEMA = "vjepa-fer/probe/1"
USUAL = Statistics()


def figures_of(predictions: Predictions, statistics: Statistics = USUAL) -> dict[str, Any]:
    """Headline figures in percent, the pooled confusion matrix, and how many clips and subjects they rest on.

    ``by_class`` has each class' recall, precision and F1 over all clips, with its interval and fold by fold, None where there is
    nothing to divide by. ``ties`` says how many clips have several classes of one largest value, and what these are worth; None where none has
    (:class:`vjepa_fer.judging.tied.Ties`). ``fold_names`` is there where folds do not go by their number. ``ece`` is in percent, ``log_loss`` in nats; both are None where there are no probabilities.
    """
    intervals, trust = intervals_of(predictions, **dataclasses.asdict(statistics)), calibration(predictions)
    figures, ties = intervals.figures, ties_among(predictions)
    return {
        **{name: percent(value, figures.get(name)) for name, value in score(predictions).items()},
        "ece": percent(trust["ece"]) if trust else None,
        "log_loss": _nats(trust["log_loss"], figures.get("log_loss")) if trust else None,
        "intervals": method_of(statistics) if figures else None,
        "by_class": _by_class(predictions, intervals),
        "classes": list(predictions.classes),
        "confusion": predictions.confusion.tolist(),
        "confusion_by_fold": predictions.confusion_by_fold.tolist(),
        **({"fold_names": predictions.names_of_folds} if predictions.fold_names else {}),
        "n_clips": len(predictions),
        "n_subjects": predictions.num_subjects,
        "ties": ties.to_dict() if ties else None,
        "notes": [*([str(ties)] if ties else []), *notes_on(predictions)],
    }


def _by_class(predictions: Predictions, intervals: Intervals) -> dict[str, dict[str, Any]]:
    pooled, by_fold = predictions.confusion, predictions.confusion_by_fold
    answer: dict[str, dict[str, Any]] = {}
    for number, label in enumerate(predictions.classes):
        answer[label] = {"n_clips": int(pooled[number].sum())}
        for name, figure in metrics.BY_CLASS.items():
            interval = intervals.by_class[name][number] if name in intervals.by_class else None
            answer[label] |= {
                name: _defined(figure(pooled)[number]),
                f"{name}_interval": None if interval is None else [_percent(end) for end in interval],
                f"{name}_folds": [_defined(value) for value in figure(by_fold)[:, number]],
            }
    return answer


def _defined(fraction: float) -> float | None:
    return None if math.isnan(fraction) else _percent(float(fraction))


def _nats(value: Score, interval: Interval | None) -> dict[str, Any]:
    sd = None if value.sd is None else round(value.sd, 6)
    folds = [round(v, 6) for v in value.folds]
    ends = None if interval is None else [round(end, 6) for end in interval]
    return {"mean": round(value.mean, 6), "sd": sd, "folds": folds, "pooled": round(value.pooled, 6), "interval": ends}


def percent(value: Score, interval: Interval | None = None) -> dict[str, Any]:
    """A score as ``{"mean", "sd", "folds", "pooled", "interval"}`` in percent.

    ``sd`` (n−1) is None for a single fold. ``interval`` holds the pooled figure of other subjects with 95 % confidence,
    and is None where subjects are unknown or fewer than three, and for calibration error.
    """
    sd = None if value.sd is None else _percent(value.sd)
    folds = [_percent(v) for v in value.folds]
    ends = None if interval is None else [_percent(end) for end in interval]
    return {"mean": _percent(value.mean), "sd": sd, "folds": folds, "pooled": _percent(value.pooled), "interval": ends}


def _percent(fraction: float) -> float:
    return round(100 * fraction, 4)


def run_title(evaluation: Evaluation) -> str:
    """What a run is called by people: its plan, and what became of streams: ``logreg · mean · standard · late``."""
    fusion = evaluation.beside.get("fusion")
    return " · ".join([plan_title(evaluation.cell), *([fusion_title(fusion)] if fusion else [])])


def result_of(evaluation: Evaluation, run: str | None = None) -> dict[str, Any]:
    """One entry of ``results`` or ``nested``; `run` is the folder where it was written."""
    plan = evaluation.cell
    chosen = {"chosen": [choice.to_dict() for choice in evaluation.choices]} if evaluation.choices else {}
    return {
        **plan.to_dict(),
        "name": run_title(evaluation),
        "selection": evaluation.selection,
        "among": evaluation.among,
        **chosen,
        **({"settled": [dict(one) for one in evaluation.settled]} if evaluation.settled else {}),
        **({"stackers": [dict(one) for one in evaluation.stackers]} if evaluation.stackers else {}),
        "folds": evaluation.folds.name,
        "leaky": bool(evaluation.leaks),
        "leaks": list(evaluation.leaks),
        "damaged": evaluation.damage.to_dict(),
        "absent": evaluation.absent.to_dict(),
        "values": "probabilities",
        "seed": evaluation.seed,
        **figures_of(evaluation.predictions, evaluation.statistics),
        "by": group_figures(evaluation.predictions, evaluation.groups),
        **evaluation.beside,
        "run": run,
    }


def settled_words(settled: Sequence[Mapping[str, int | None]]) -> str:
    """``n_components 128 in 4 folds, none in 1; min_child_samples 20``: what became of parameters that are "auto"."""
    words = []
    for name in dict.fromkeys(name for one in settled for name in one):
        counts = Counter("none" if one[name] is None else str(one[name]) for one in settled if name in one)
        several = len(counts) > 1
        shares = (f"{value} in {count}" if several else value for value, count in counts.most_common())
        words.append(f"{name} {', '.join(shares)}{' folds' if several else ''}")
    return "; ".join(words)


def shown(value: Mapping[str, Any]) -> str:
    """A score for people: ``78.86 ± 2.81``."""
    return f"{value['mean']:.2f}" + ("" if value["sd"] is None else f" ± {value['sd']:.2f}")
