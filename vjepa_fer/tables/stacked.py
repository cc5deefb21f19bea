"""Several classifiers' tables of training and of test clips go in, fold by fold; what a stacker makes of them comes out as one table.

What is in a table of training clips, its maker says: a classifier that has learnt these clips is surer of them than of others, and a stacker
fitted on that trusts it too much. ``probe --fusion stacked`` fits on clips that no probe knew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.evaluation import fit_stacker
from vjepa_fer.features import decide
from vjepa_fer.judging import Predictions, PredictionTable
from vjepa_fer.tables.folders import Given
from vjepa_fer.tables.several import align_tables, folds_of_files, fused_table

CAUTION = "the stacker was fitted on what the tables of training clips say; where the classifiers were trained on these very clips, they are surer of them than of others"

Read = Callable[[Path], PredictionTable]


def stacked_table(given: Sequence[Given], read: Read) -> tuple[PredictionTable, list[dict[str, list[float]]]]:
    """Fit a stacker on each fold's tables of training clips, and decide that fold's test clips by it.

    Returns
    -------
    tuple
        The table, and how much each classifier counts in each fold.

    Raises
    ------
    RunError
        A classifier without tables of training clips, another number of folds, or tables that cannot be aligned.
    """
    for one in given:
        if not one.train:
            raise RunError(
                f"{one.path}: a stacker is fitted on tables of training clips, and there are none; expected a folder with train_fold0.csv "
                "beside test_fold0.csv …; --fusion mean needs none"
            )
        if len(one.tables) != len(given[0].tables):
            raise RunError(
                f"{one.path}: {len(one.tables)} folds, {len(given[0].tables)} in {given[0].path}; expected the same folds"
            )
    folds, shares = [], []
    for number in range(len(given[0].tables)):
        table, own = _fold([one.train[number] for one in given], [one.tables[number] for one in given], read)
        folds.append(table)
        shares.append(own)
    if len(folds) == 1:
        return folds[0], shares
    return folds_of_files(folds, given[0].tables, foreign=False), shares


def _fold(train: Sequence[Path], test: Sequence[Path], read: Read) -> tuple[PredictionTable, dict[str, list[float]]]:
    _, known = align_tables([read(path) for path in train], train)
    parts, asked = align_tables([read(path) for path in test], test)
    classes = np.array(asked[0].classes)
    _require_apart(known[0], asked[0], train[0], test[0])
    order = np.argsort(classes)
    ours = [_columns(one, classes[order]) for one in known]
    stacker = fit_stacker(ours, np.array(known[0].classes)[known[0].truth])
    said = stacker.decide([_columns(one, classes[order]) for one in asked])
    if not np.array_equal(said.classes, classes[order]):
        lacking = sorted({*classes.tolist()} - {*said.classes.tolist()})
        raise RunError(
            f"{train[0]}: no training clip of class {lacking[0]!r}, so a stacker cannot know it; expected all classes"
        )
    probabilities = np.zeros_like(said.probabilities)
    probabilities[:, order] = said.probabilities
    table = fused_table(parts, asked, probabilities, decide(probabilities, asked[0].classes))
    return table, {"shares": stacker.shares.tolist()}


def _columns(predictions: Predictions, classes: np.ndarray) -> np.ndarray:
    place = [predictions.classes.index(name) for name in classes.tolist()]
    return np.asarray(predictions.probabilities)[:, place]


def _require_apart(train: Predictions, test: Predictions, where: Path, there: Path) -> None:
    """A stacker that was fitted on a clip must not be asked about it."""
    both = np.intersect1d(train.clip_ids, test.clip_ids)
    if len(both):
        raise RunError(
            f"{where}: {len(both):,} clips are tested in {there} too, such as {both[0]}; a stacker must not know the clips that it is asked about"
        )
