"""A training part goes in; the cell that its own subjects would choose comes out, and nobody has looked at the test part.

::

    subjects     a b c d e f g h
    outer fold   . . . . . . T T     T is seen by ``predict``, once the choice is made
    inner folds  T T . . . .         the choice: WAR over all inner T, cell by cell, until it is clear
                 . . T T . .
                 . . . . T T
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from vjepa_fer.cache import Features
from vjepa_fer.errors import SplitError
from vjepa_fer.evaluation.evaluate import Decided, Evaluation
from vjepa_fer.experiment import Choice, Nest
from vjepa_fer.features import Windowed
from vjepa_fer.folds import Split, stratified_subjects


def inner_splits(
    features: Features | Windowed, train: np.ndarray, num_folds: int, *, seed: int, where: str
) -> list[Split]:
    """Subject-wise folds of a training part, as row numbers of `features`; each training subject is tested once.

    Parameters
    ----------
    features : Features
    train : ndarray of int64, shape (num_train,)
        The outer fold's training rows.
    num_folds : int
        At most; a part with fewer subjects leaves each out once.
    seed : int
    where : str
        The outer fold, for messages.

    Raises
    ------
    SplitError
        The training part has one subject only.
    """
    subjects = features.subjects[train]
    num_subjects = len(set(subjects.tolist()))
    if num_subjects < 2:
        raise SplitError(
            f"{where}: its training part has one subject, so nothing can be chosen on other subjects inside it; "
            f"use fewer values, other folds, or --no-nested"
        )
    folds = stratified_subjects(subjects, features.y[train], min(num_folds, num_subjects), seed)
    masks = [np.isin(subjects, fold) for fold in folds]
    return [Split(train[~mask], train[mask]) for mask in masks]


def are_right(features: Features | Windowed, split: Split, decided: Sequence[Decided]) -> np.ndarray:
    """Which test rows each cell got right, bool (num_cells, num_test)."""
    truth = features.y[split.test]
    return np.array([answer.labels == truth for answer in decided])


def choose(nest: Nest, hits: np.ndarray, num_judged: int) -> Choice:
    """The cell with most inner hits, int (num_cells,), of equals the first; it was judged on so many clips."""
    best = int(hits.argmax())
    return Choice(nest.cells[best], float(hits[best]) / num_judged, num_judged)


def nested_evaluation(nest: Nest, choices: Sequence[Choice], judged: Mapping[int, Evaluation]) -> Evaluation:
    """The chosen cells' answers, fold by fold, as one evaluation.

    Parameters
    ----------
    nest : Nest
    choices : sequence of Choice, one a fold
    judged : mapping of int to Evaluation
        Each cell's evaluation by its position in ``nest.cells``.
    """
    chosen = [judged[nest.cells.index(choice.cell)] for choice in choices]
    return _stitch(nest, choices, chosen, seconds=sum(evaluation.seconds for evaluation in judged.values()))


def pick_winner(families: Sequence[Evaluation]) -> Evaluation:
    """The honest answer to "which probe is best?": for each fold the family that its inner folds put first.

    Returns
    -------
    Evaluation
        Its nest holds every family's cells.
    """
    nests = [family.cell for family in families if isinstance(family.cell, Nest)]
    nest = Nest(cells=tuple(cell for nest in nests for cell in nest.cells), inner_folds=nests[0].inner_folds)
    folds = range(len(families[0].folds))
    winners = [max(families, key=lambda family: family.choices[fold].war) for fold in folds]
    choices = [family.choices[fold] for fold, family in enumerate(winners)]
    return _stitch(nest, choices, winners, seconds=sum(family.seconds for family in families))


def _stitch(nest: Nest, choices: Sequence[Choice], sources: Sequence[Evaluation], *, seconds: float) -> Evaluation:
    """Fold f of the f-th source, for every f; all sources predict the same clips in the same folds."""
    first = sources[0]
    predicted, probabilities = first.predictions.predicted.copy(), np.array(first.predictions.probabilities)
    for fold, source in enumerate(sources):
        rows = source.predictions.fold == fold
        predicted[rows] = source.predictions.predicted[rows]
        probabilities[rows] = np.asarray(source.predictions.probabilities)[rows]
    predictions = dataclasses.replace(first.predictions, predicted=predicted, probabilities=probabilities)
    chosen = dataclasses.replace(first, cell=nest, predictions=predictions, seconds=seconds, choices=tuple(choices))
    settled = tuple(source.settled[fold] if source.settled else {} for fold, source in enumerate(sources))
    stackers = tuple(source.stackers[fold] for fold, source in enumerate(sources) if source.stackers)
    return dataclasses.replace(
        chosen,
        selection="nested",
        among=len(nest.cells),
        settled=settled if any(settled) else (),
        stackers=stackers,
    )
