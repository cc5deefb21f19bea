"""Cells leave the inner folds when they cannot come first any more; who comes first is whom all folds would have chosen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vjepa_fer.cache import Features
from vjepa_fer.evaluation import Study, Task, fit_predict, race, tasks
from vjepa_fer.evaluation.nested import are_right, inner_splits
from vjepa_fer.evaluation.race import Race
from vjepa_fer.experiment import Cell, Protocol
from vjepa_fer.folds import make_folds

FOLDS, CLIPS, PEOPLE = 5, 120, 24


def drawn(shares, seed, *, by_person=0.0):
    """What cells of these true shares get right on five folds, cells alike in which clips they find hard, and whose each clip is."""
    rng = np.random.default_rng(seed)
    people = np.arange(FOLDS * CLIPS) // (FOLDS * CLIPS // PEOPLE)
    taste = by_person * rng.normal(size=(len(shares), PEOPLE))[:, people]
    luck = 0.7 * rng.normal(size=FOLDS * CLIPS) + 0.7 * rng.normal(size=(len(shares), FOLDS * CLIPS))
    levels = np.quantile(luck, shares)
    return luck < levels[:, None] + taste, people.astype(str)


def run(right, people):
    """The race, and how many took part in each fold."""
    one, sizes = Race(len(right), right.shape[1]), []
    for fold in range(FOLDS):
        rows = slice(fold * CLIPS, (fold + 1) * CLIPS)
        sizes.append(len(one.running))
        one.judge(right[one.running, rows], people[rows])
    return one, sizes


@pytest.mark.parametrize("by_person", [0.0, 0.3])
@pytest.mark.parametrize(
    "shares", [[0.4, 0.5, 0.56, 0.57, 0.55], [0.6] * 6, np.linspace(0.2, 0.8, 12)], ids=["near", "equal", "far"]
)
def test_the_first_is_whom_all_folds_would_choose(shares, by_person):
    same = []
    for seed in range(100):
        right, people = drawn(np.array(shares), seed, by_person=by_person)
        same.append(run(right, people)[0].hits.argmax() == right.sum(axis=1).argmax())
    assert np.mean(same) >= 0.97


def test_those_far_behind_leave_soon_and_equals_stay():
    right, people = drawn(np.array([0.2, 0.3, 0.6, 0.6]), 0)
    right[3] = right[2]
    one, sizes = run(right, people)
    assert sizes[0] == 4
    assert sizes[1:] == [2] * 4
    assert one.hits[2] == one.hits[3] == right[2].sum(), "whoever stays is judged on every clip"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), num_cells=st.integers(1, 8), num_people=st.integers(1, 24))
def test_whoever_left_has_fewer_hits_than_the_first(seed, num_cells, num_people):
    rng = np.random.default_rng(seed)
    right, people = drawn(rng.uniform(0.1, 0.9, num_cells), seed)
    people = np.char.add("p", (people.astype(int) % num_people).astype(str))
    one, sizes = run(right, people)
    first = one.hits.argmax()
    assert first in one.running
    assert one.hits[first] == right[first].sum()
    assert (np.diff(sizes) <= 0).all()
    gone = np.setdiff1d(np.arange(num_cells), one.running)
    assert (one.hits[gone] < one.hits[first]).all()
    assert (one.hits <= right.sum(axis=1)).all()


def test_one_subject_alone_decides_nothing_before_the_end():
    right = np.repeat([[True], [False]], 50, axis=1)
    one = Race(2, 100)
    one.judge(right, np.full(50, "a"))
    assert one.running.tolist() == [0, 1]


def study():
    rng = np.random.default_rng(0)
    people, y = np.repeat(np.arange(12), 20), np.tile(np.arange(4), 60)
    X = rng.normal(size=(240, 8)) + 0.8 * rng.normal(size=(4, 8))[y] + 0.5 * rng.normal(size=(12, 8))[people]
    features = Features(X.astype(np.float32), y.astype(str), people.astype(str), np.arange(240).astype(str))
    folds = make_folds("subject-kfold:4", features.subjects, features.y)
    return Study(features, tuple(folds.rows(features)), folds, Protocol())


CELLS = tuple(Cell(params={"C": C}) for C in (1e-8, 1e-4, 1e-2, 1, 100))


def test_a_task_counts_what_exact_fits_of_all_cells_would():
    one = study()
    for outer, split in enumerate(one.splits):
        inner = inner_splits(one.features, split.train, 4, seed=one.protocol.seed, where="")
        exact = [dataclasses.replace(cell, params={**cell.params, "tol": 1e-9}) for cell in CELLS]
        all_hits = sum(are_right(one.features, s, fit_predict(one.features, s, exact, 0)).sum(axis=1) for s in inner)
        hits = one.run(Task(CELLS, outer, 4, every_fold=True)).hits
        best = hits.argmax()
        assert best == all_hits.argmax()
        assert abs(hits[best] - all_hits[best]) <= 1, "what is reported is exact"


def test_inner_folds_end_once_one_cell_is_left_and_the_choice_is_the_same():
    one, short = study(), 0
    for outer, split in enumerate(one.splits):
        whole, soon = (one.run(Task(CELLS[:3], outer, 4, every_fold=every)) for every in (True, False))
        assert soon.hits.argmax() == whole.hits.argmax()
        assert (soon.hits <= whole.hits).all()
        assert whole.num_judged == len(split.train)
        inner = inner_splits(one.features, split.train, 4, seed=one.protocol.seed, where="")
        assert soon.num_judged in np.cumsum([len(fold.test) for fold in inner])
        short += soon.num_judged < len(split.train)
    assert short, "it was clear before the end somewhere"


def test_no_fit_of_an_inner_fold_begins_from_anything_but_its_own_clips(monkeypatch):
    """One fold's weights have seen the clips on which the next is judged: each is fitted as if it were the only one."""
    one, seen = study(), []
    whole = tasks.fit_predict

    def alone(features, split, cells, *rest):
        together = whole(features, split, cells, *rest)
        own = Features(*(np.asarray(part)[split.train] for part in features))
        seen.append((own, features.X[split.test], [cell.params["C"] for cell in cells], together))
        return together

    monkeypatch.setattr(tasks, "fit_predict", alone)
    one.run(Task(CELLS, 0, 4))
    for own, test, grid, together in seen:
        both = Features(*(np.concatenate([part, part[: len(test)]]) for part in own))
        both = both._replace(X=np.concatenate([own.X, test]))
        split = one.splits[0]._replace(train=np.arange(len(own.X)), test=np.arange(len(own.X), len(both.X)))
        again = fit_predict(both, split, [Cell(params={"C": C}) for C in grid], 0)
        for first, second in zip(together, again, strict=True):
            np.testing.assert_array_equal(first.probabilities, second.probabilities)


def test_nobody_leaves_where_nothing_would_be_certain(monkeypatch):
    monkeypatch.setattr(race, "CERTAIN", 1e6)
    right, people = drawn(np.array([0.2, 0.3, 0.6, 0.6]), 0)
    one, sizes = run(right, people)
    assert sizes == [4] * 5
    np.testing.assert_array_equal(one.hits, right.sum(axis=1))
