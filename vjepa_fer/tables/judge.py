"""Anyone's table of predictions, or a published confusion matrix, goes in; results in the words of ``probe --json`` come out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.evaluation import CREMA_D, Reference, VoteBook
from vjepa_fer.judging import (
    Predictions,
    apply_policy,
    apply_policy_to_counts,
    find_policy,
    group_clips,
    group_figures,
    read_confusion,
    read_prediction_table,
    shared_classes,
)
from vjepa_fer.manifest import Clip, Manifest, damage_of, damaged_among
from vjepa_fer.runs import PREDICTIONS_CSV, facts_of_table, figures_of, figures_of_counts, figures_of_shares
from vjepa_fer.tables.predicted_clips import join_manifest, straddling


def judge_table(
    path: str | os.PathLike[str],
    *,
    scores: bool | None = None,
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
    manifest: Manifest | None = None,
    exclude: str | None = None,
    by: Sequence[str] = (),
    policies: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    unify_names: bool = False,
) -> list[dict[str, Any]]:
    """Score a table of predictions, once or by each policy.

    Parameters
    ----------
    path, scores, columns, classes
        A run folder stands for its own predictions, which must be as the run wrote them; an edited table is judged outside of it.
        See :func:`vjepa_fer.judging.prediction_csv.read_prediction_table`.
    manifest : Manifest, optional
        Where clips are looked up; see :func:`vjepa_fer.tables.predicted_clips.join_manifest`.
    exclude : {None, "damaged"}
        Leave predictions for damaged files out: those that the manifest marks, and CREMA-D's by their ids.
    by : sequence of str
        Columns of the manifest to give figures by.
    policies : sequence of str
        Names of :data:`vjepa_fer.judging.policies.POLICIES`: the class columns are the classes of the training corpus, and true labels may be
        others. Classes are called by their common names then, and each fold may hold every clip: a fold is a model.
    names : mapping, optional
        Label to common name, before the built-in ones.
    unify_names : bool
        Names that differ only in spelling, in the table or from the manifest's, are one; otherwise they are refused.

    Returns
    -------
    list of dict
        A result a policy, or one. Beside what :func:`vjepa_fer.runs.results.figures_of` gives: ``values`` (what the class columns hold), ``columns`` (what was taken as what),
        ``leaky`` and ``leaks``, ``damaged``, ``by``, and with a manifest ``n_missing`` and ``missing``; with `unify_names` ``united`` (pairs of names
        and the spelling that they were taken for); with policies also ``policy``,
        ``definition``, ``coverage``, ``no_shared_mass``, ``n_models`` and ``n_distinct_clips``, without them what raters said of the clips (:meth:`vjepa_fer.evaluation.reference.VoteBook.beside`).

    Raises
    ------
    ManifestError, RunError
        The table, its clips, the columns or a policy cannot be used; the message names file, row and value.
    """
    for name in policies:
        find_policy(name)
    path = Path(path) / PREDICTIONS_CSV if Path(path).is_dir() else Path(path)
    beside = facts_of_table(path)
    table = read_prediction_table(
        path,
        scores=scores,
        columns=columns,
        classes=classes,
        foreign=bool(policies),
        names=names,
        spelling="unify" if unify_names else "refuse",
    )
    predictions, clips = table.predictions, manifest.clips if manifest else ()
    missing: tuple[str, ...] = ()
    united = {*table.united}
    if manifest is not None:
        as_read = predictions
        predictions, missing = join_manifest(predictions, manifest, unify_names=unify_names)
        united |= {
            (was, now)
            for was, now in zip(as_read.clip_ids.tolist(), predictions.clip_ids.tolist(), strict=True)
            if was != now
        }
    if exclude:
        predictions = _without(predictions, damaged_among(predictions.clip_ids.tolist(), clips), str(path))
        left_out = damaged_among(missing, clips)
        missing = tuple(clip for clip in missing if clip not in left_out)
    leaks = () if policies else beside.leaks or straddling(predictions)
    said: dict[str, Any] = {
        "values": table.kind,
        "columns": {what: list(found) for what, found in table.columns.items()},
        "leaky": bool(leaks),
        "leaks": list(leaks),
        "damaged": damage_of(predictions.clip_ids.tolist(), clips).to_dict(),
    }
    if unify_names:
        said["united"] = [list(pair) for pair in sorted(united)]
    if manifest is not None:
        said |= {"n_missing": len(missing), "missing": list(missing)}
    groups = group_clips(manifest, by) if manifest else {}
    if not policies:
        raters = _raters(predictions, clips)
        return [{**figures_of(predictions), **said, "by": group_figures(predictions, groups), **raters}]
    known = frozenset(beside.trained_classes or table.known)
    said |= {"n_models": len(np.unique(predictions.fold)), "n_distinct_clips": len(set(predictions.clip_ids.tolist()))}
    scored = [apply_policy(name, predictions, known) for name in policies]
    return [
        {
            **figures_of(one.predictions),
            **said,
            "by": group_figures(one.predictions, groups),
            **one.to_dict(),
            **shared_classes(predictions, known),
        }
        for one in scored
    ]


def _raters(predictions: Predictions, clips: Sequence[Clip]) -> dict[str, Any]:
    """What raters said of the predicted clips, by the manifest or CREMA-D's official list; the table's own labels are right."""
    ids, names = predictions.clip_ids.tolist(), np.array(predictions.classes)
    known = {clip.clip_id: clip for clip in clips}
    if not clips and not all(map(CREMA_D.match, ids)):
        return {"human": None}
    truths = names[predictions.truth].tolist()
    judged = [known.get(name) or Clip(name, "", truth, name) for name, truth in zip(ids, truths, strict=True)]
    shares = np.eye(len(names))[predictions.truth]
    reference = Reference("", np.ones(len(judged), bool), predictions.classes, shares)
    return {key: value for key, value in VoteBook(judged, reference).beside(predictions).items() if key != "labels"}


def _without(predictions: Predictions, damaged: set[str], where: str) -> Predictions:
    kept = np.array([clip not in damaged for clip in predictions.clip_ids.tolist()])
    if not kept.any():
        raise RunError(f"{where}: every predicted clip has a damaged file, so none is left to score")
    return predictions.take(kept)


def judge_confusion(
    path: str | os.PathLike[str],
    *,
    sizes: Mapping[str, float] | None = None,
    policies: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Score a published confusion matrix, as it is or by each policy; `policies` and `names` as in :func:`judge_table`, `sizes` as in
    :func:`vjepa_fer.judging.confusion_csv.read_confusion`.

    Raises
    ------
    ManifestError, RunError
        Not a confusion matrix, or a policy that cannot be applied to one.
    """
    table = read_confusion(path, sizes=sizes, foreign=bool(policies), names=names)
    taken = {"columns": {what: list(found) for what, found in table.columns.items()}}
    if table.unit == "shares" and policies:
        raise RunError(
            f"{path}: a policy leaves clips out, and of percentages nobody knows how many; --sizes gives them"
        )
    if table.unit == "shares":
        return [figures_of_shares(table.classes, table.counts) | taken]
    if not policies:
        return [figures_of_counts(table.classes, table.counts) | taken]
    scored = [apply_policy_to_counts(name, table.classes, table.counts, frozenset(table.known)) for name in policies]
    return [{**figures_of_counts(one.classes, one.confusion), **one.to_dict(), **taken} for one in scored]
