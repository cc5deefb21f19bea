"""Anyone's tables of predictions go in; results in the words of ``probe --json`` come out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.evaluation import CREMA_D, Reference, VoteBook
from vjepa_fer.judging import (
    Predictions,
    PredictionTable,
    agree_if_shifted,
    apply_policy,
    find_policy,
    group_clips,
    group_figures,
    order_agreement,
    read_prediction_table,
    shared_classes,
)
from vjepa_fer.manifest import Clip, Manifest, damage_of, damaged_among
from vjepa_fer.runs import facts_of_table, figures_of
from vjepa_fer.tables.folders import Given, find_tables
from vjepa_fer.tables.predicted_clips import join_manifest, labelled_otherwise, straddling
from vjepa_fer.tables.several import are_twins, folds_of_files, mean_of_files
from vjepa_fer.tables.stacked import CAUTION, Read, stacked_table

Fusion = Literal["mean", "stacked"]


def judge_table(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    fusion: Fusion | None = None,
    scores: bool | None = None,
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
    class_order: Sequence[str] = (),
    logits: bool = False,
    manifest: Manifest | None = None,
    exclude: str | None = None,
    by: Sequence[str] = (),
    policies: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    unify_names: bool = False,
) -> list[dict[str, Any]]:
    """Score tables of predictions, once or by each policy.

    Parameters
    ----------
    path : path, or sequence of paths
        A run folder stands for its own predictions, which must be as the run wrote them; an edited table is judged outside of it.
        Several are the folds of one evaluation, or with `fusion` several classifiers of the same clips. A folder of tables is one
        classifier's folds; see :func:`vjepa_fer.tables.folders.find_tables`.
    fusion : {None, "mean", "stacked"}
        Average the tables' probabilities, and decide by that; or weigh them by a classifier fitted on each folder's tables of training clips
        (:mod:`vjepa_fer.tables.stacked`).
    scores, columns, classes, class_order, logits
        See :func:`vjepa_fer.judging.prediction_csv.read_prediction_table`.
    manifest : Manifest, optional
        Where clips are looked up; see :func:`vjepa_fer.tables.predicted_clips.join_manifest`. A table without true labels has the
        manifest's, and those of others are compared with them.
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
        A result a policy, or one. Beside what :func:`vjepa_fer.runs.results.figures_of` gives: ``values`` (what the class columns hold),
        ``columns`` (what was taken as what), ``reworded`` (labels that are a class in other words), ``n_contradicted`` and ``contradicted``
        (clips whose decision has not the largest value), ``leaky`` and ``leaks``, ``damaged``, ``by``; with `fusion` ``fusion``, ``fused``
        (the files or folders) and ``matched_by`` (``clip_id`` or ``recording``), and ``stackers`` (how much each counts, by fold); with `class_order` ``class_order``
        (:class:`vjepa_fer.judging.OrderAgreement`, a classifier each); with a manifest ``n_missing`` and ``missing``, and ``n_relabelled`` and ``relabelled`` (clip, label here, label
        there); ``shifted`` (where true labels seem to count from another number than the classes: the class without a clip, and the WAR if they did
        not), ``united`` (pairs of names and what they were taken for: clips for paths of their files, with `unify_names` other spellings); with policies also ``policy``,
        ``definition``, ``coverage``, ``no_shared_mass``, ``n_models`` and ``n_distinct_clips``, without them what raters said of the clips
        (:meth:`vjepa_fer.evaluation.reference.VoteBook.beside`).

    Raises
    ------
    ManifestError, RunError
        The tables, their clips, the columns or a policy cannot be used; the message names file, row and value.
    """
    for name in policies:
        find_policy(name)
    asked = _Asked(_given(path), fusion, manifest, exclude, unify_names, names)
    beside = [facts_of_table(one) for one in asked.paths]
    truths = {clip.clip_id: clip.label for clip in manifest} if manifest else None
    how: dict[str, Any] = {"scores": scores, "columns": columns, "classes": classes, "names": names, "truths": truths}
    how |= {"foreign": bool(policies), "spelling": "unify" if unify_names else "refuse"}
    how |= {"class_order": tuple(class_order), "logits": logits}
    read = [[read_prediction_table(path, **how) for path in one.tables] for one in asked.given]
    each = [_folds(tables, one.tables, foreign=bool(policies)) for tables, one in zip(read, asked.given, strict=True)]
    table, more = _one_table(each, asked, lambda path: read_prediction_table(path, **how), foreign=bool(policies))
    predictions, said = _looked_up(table, asked)
    said |= more
    if class_order:
        agreements = [order_agreement(one.predictions).to_dict() for one in (each if fusion else [table])]
        said["class_order"] = {"told": list(class_order), "tables": agreements}
    leaks = () if policies else tuple(leak for one in beside for leak in one.leaks) or straddling(predictions)
    said |= {"leaky": bool(leaks), "leaks": list(leaks)}
    groups = group_clips(manifest, by) if manifest else {}
    if not policies:
        raters = _raters(predictions, manifest.clips if manifest else ())
        return [{**figures_of(predictions), **said, "by": group_figures(predictions, groups), **raters}]
    trained = next((one.trained_classes for one in beside if one.trained_classes), table.known)
    said |= {"n_models": len(np.unique(predictions.fold)), "n_distinct_clips": len(set(predictions.clip_ids.tolist()))}
    return [_by_policy(name, predictions, frozenset(trained), said, groups) for name in policies]


class _Asked(NamedTuple):
    """What was asked of the tables' clips."""

    given: Sequence[Given]
    fusion: Fusion | None
    manifest: Manifest | None
    exclude: str | None
    unify_names: bool
    names: Mapping[str, str] | None

    @property
    def paths(self) -> list[Path]:
        """All tables."""
        return [path for one in self.given for path in one.tables]

    @property
    def called(self) -> list[Path]:
        """What each classifier goes by: its table, or the folder of several."""
        return [one.tables[0] if len(one.tables) == 1 else one.path for one in self.given]

    @property
    def where(self) -> str:
        return ", ".join(map(str, self.called))


def _given(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Given]:
    return [find_tables(Path(one)) for one in ([path] if isinstance(path, str | os.PathLike) else path)]


def _folds(read: Sequence[PredictionTable], paths: Sequence[Path], *, foreign: bool) -> PredictionTable:
    return read[0] if len(read) == 1 else folds_of_files(read, paths, foreign=foreign)


def _one_table(
    each: Sequence[PredictionTable], asked: _Asked, read: Read, *, foreign: bool
) -> tuple[PredictionTable, dict[str, Any]]:
    """What is judged, and what is to be said of how it came about."""
    if not asked.fusion:
        return _folds(each, asked.called, foreign=foreign), {}
    if len(each) < 2:
        raise RunError(f"{asked.where}: fusion {asked.fusion} needs two tables or more")
    twins = any(are_twins(each[0].predictions, one.predictions) for one in each[1:])
    said: dict[str, Any] = {"matched_by": "recording" if twins else "clip_id"}
    if asked.fusion == "mean":
        return mean_of_files(each, asked.called, foreign=foreign), said
    if foreign:
        raise RunError(f"{asked.where}: fusion stacked goes without policies; leave one of them out")
    table, stackers = stacked_table(asked.given, read)
    return table, said | {"stackers": stackers, "caution": CAUTION}


def _looked_up(table: PredictionTable, asked: _Asked) -> tuple[Predictions, dict[str, Any]]:
    """The predictions that are to be judged, and what is said of them beside figures."""
    predictions, manifest = table.predictions, asked.manifest
    said: dict[str, Any] = {
        "values": table.kind,
        "columns": {what: list(names) for what, names in table.columns.items()},
    }
    said["reworded"] = [list(pair) for pair in table.reworded]
    if asked.fusion:
        said |= {"fusion": asked.fusion, "fused": [str(path) for path in asked.called]}
    spelt, missing = dict[str, str](), tuple[str, ...]()
    if manifest is not None:
        predictions, missing = join_manifest(predictions, manifest, unify_names=asked.unify_names)
        renamed = zip(table.predictions.clip_ids.tolist(), predictions.clip_ids.tolist(), strict=True)
        spelt = {was: now for was, now in renamed if was != now}
    clips = manifest.clips if manifest else ()
    if asked.exclude:
        predictions = _without(predictions, damaged_among(predictions.clip_ids.tolist(), clips), asked.where)
        left_out = damaged_among(missing, clips)
        missing = tuple(clip for clip in missing if clip not in left_out)
    said["damaged"] = damage_of(predictions.clip_ids.tolist(), clips).to_dict()
    if asked.unify_names or spelt:
        said["united"] = [list(pair) for pair in sorted({*table.united, *spelt.items()})]
    if shifted := agree_if_shifted(predictions):
        said["shifted"] = {"unseen": shifted[0], "agree": shifted[1]}
    contradicted = [spelt.get(clip, clip) for clip in table.contradicted]
    return predictions, said | _of_clips(predictions, contradicted, missing, asked)


def _of_clips(
    predictions: Predictions, contradicted: Sequence[str], missing: Sequence[str], asked: _Asked
) -> dict[str, Any]:
    """Clips of which something else is said in another place."""
    judged = set(predictions.clip_ids.tolist())
    contradicted = [clip for clip in contradicted if clip in judged]
    found: dict[str, Any] = {"n_contradicted": len(contradicted), "contradicted": contradicted}
    if asked.manifest is None:
        return found
    other = labelled_otherwise(predictions, asked.manifest, asked.names)
    found |= {"n_missing": len(missing), "missing": list(missing)}
    return found | {"n_relabelled": len(other), "relabelled": [list(one) for one in other]}


def _by_policy(
    name: str, predictions: Predictions, known: frozenset[str], said: Mapping[str, Any], groups: Mapping[str, Any]
) -> dict[str, Any]:
    one = apply_policy(name, predictions, known)
    return {
        **figures_of(one.predictions),
        **said,
        "by": group_figures(one.predictions, groups),
        **one.to_dict(),
        **shared_classes(predictions, known),
    }


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
