"""Promises of vjepa_fer.sweep: choices are made on training parts alone, work is shared, and nothing done is done again."""

from contextlib import nullcontext

import numpy as np
import pytest

import vjepa_fer.probes
from test_cli_probe import make_cache
from test_evaluate import Recorder, faces
from vjepa_fer.cache import open_cache
from vjepa_fer.errors import SplitError
from vjepa_fer.evaluation import cross_validate
from vjepa_fer.evaluation.nested import inner_splits
from vjepa_fer.experiment import Cell, Protocol, make_cells, resolve
from vjepa_fer.folds import make_folds
from vjepa_fer.runs import read_run
from vjepa_fer.sweep import sweep

GRID = [Cell(probe="knn", params={"k": k}) for k in (1, 3, 20)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return open_cache(make_cache(tmp_path_factory.mktemp("faces"), faces()))


@pytest.fixture
def noise(tmp_path):
    """Features without any meaning: whoever beats chance on them has cheated."""
    x = np.random.default_rng(5).normal(size=(240, 12)).astype(np.float32)
    return open_cache(make_cache(tmp_path, faces(num_subjects=30)._replace(X=x)))


def record_rows(monkeypatch, features):
    """Replace every probe by one that notes the rows it was shown."""
    features.X[:, 0] = np.arange(len(features.y))
    monkeypatch.setattr(Recorder, "seen", [], raising=False)
    monkeypatch.setattr(vjepa_fer.probes, "make_probe", lambda *args, **kwargs: Recorder())
    return Recorder.seen


def test_a_test_part_is_never_seen_by_a_fit_or_a_choice(monkeypatch, tmp_path):
    features = faces()
    seen = record_rows(monkeypatch, features)
    cache = open_cache(make_cache(tmp_path, features))
    swept = sweep(cache, [Cell(params={"C": c}, scale="none") for c in (1, 2)], Protocol(folds="subject-kfold:3"))
    monkeypatch.undo()
    everyone = frozenset(range(len(features.y)))
    tests = [frozenset(test.tolist()) for _, test in swept.cells[0].evaluation.folds.split(features.subjects)]
    for number, test in enumerate(tests):
        shown = [(what, frozenset(rows)) for what, rows in part(seen, number, len(tests))]
        assert all(test & rows in (frozenset(), test) for _, rows in shown)
        fits = [rows for what, rows in shown if what == "fit"]
        predicted = [rows for what, rows in shown if what == "predict" and rows & test]
        assert not any(rows & test for rows in fits)
        assert predicted == [test, test]  # once a cell, after it was fitted on everyone else
        assert fits.count(everyone - test) == 2
        choosing = [rows for what, rows in shown if what == "predict" and not rows & test]
        assert frozenset().union(*choosing) == everyone - test


def part(seen, number, num_parts):
    """What was shown while one outer fold was worked on."""
    size = len(seen) // num_parts
    return seen[number * size : (number + 1) * size]


def test_inner_folds_keep_subjects_on_one_side_and_test_each_once():
    features = faces(num_subjects=9)
    train = np.arange(16, 72)
    splits = inner_splits(features, train, 4, seed=0, where="fold 0")
    assert sorted(np.concatenate([split.test for split in splits]).tolist()) == train.tolist()
    for split in splits:
        assert not set(features.subjects[split.train]) & set(features.subjects[split.test])
        assert sorted([*split.train, *split.test]) == train.tolist()


def test_a_training_part_of_one_subject_leaves_nothing_to_choose_on():
    with pytest.raises(SplitError, match=r"fold 0: its training part has one subject.*--no-nested"):
        inner_splits(faces(), np.arange(8), 4, seed=0, where="fold 0")


def test_the_nested_answer_of_a_fold_is_its_chosen_cells_answer(cache):
    swept = sweep(cache, GRID, Protocol(folds="subject-kfold:3"))
    (nested,) = (one.evaluation for one in swept.nested)
    judged = {one.evaluation.cell.params["n_neighbors"]: one.evaluation.predictions for one in swept.cells}
    for fold, choice in enumerate(nested.choices):
        rows = nested.predictions.fold == fold
        source = judged[choice.cell.params["n_neighbors"]]
        np.testing.assert_array_equal(nested.predictions.predicted[rows], source.predicted[rows])
        np.testing.assert_array_equal(nested.predictions.probabilities[rows], source.probabilities[rows])


def test_inner_folds_choose_what_is_good(cache):
    choices = sweep(cache, GRID, Protocol(folds="subject-kfold:3")).nested[0].evaluation.choices
    assert all(choice.cell.params["n_neighbors"] < 20 for choice in choices)
    assert all(choice.war > 0.9 for choice in choices)


def test_on_noise_the_best_cell_flatters_and_the_nested_figure_does_not(noise):
    cells = make_cells(["knn"], ["mean"], {"k": list(range(1, 30, 4))}, scales=["none", "standard", "minmax"])
    swept = sweep(noise, cells, Protocol())
    best = max(one.evaluation.scores["uar"].pooled for one in swept.cells)
    honest = swept.nested[0].evaluation.scores["uar"].pooled
    assert honest < best
    assert honest == pytest.approx(1 / 3, abs=0.05)


def test_the_winner_takes_each_fold_from_the_family_that_its_inner_folds_put_first(cache):
    swept = sweep(cache, [*GRID, Cell(probe="centroid")], Protocol(folds="subject-kfold:3"))
    families = [one.evaluation for one in swept.nested]
    assert [family.cell.probe for family in families] == ["knn", "centroid"]
    for fold, choice in enumerate(swept.winner.evaluation.choices):
        assert choice.war == max(family.choices[fold].war for family in families)


def test_a_clear_choice_ends_the_inner_folds_but_not_where_families_are_compared(cache):
    grid, protocol = [Cell(probe="knn", params={"n_neighbors": k}) for k in (1, 20)], Protocol(folds="subject-kfold:3")
    alone = sweep(cache, grid, protocol).nested[0].evaluation
    beside = sweep(cache, [*grid, Cell(probe="centroid")], protocol).nested[0].evaluation
    train = [len(alone.predictions.clip_ids) - int((alone.predictions.fold == fold).sum()) for fold in range(3)]
    assert [choice.num_clips for choice in beside.choices] == train
    assert sum(choice.num_clips for choice in alone.choices) < sum(train)
    assert [choice.cell for choice in alone.choices] == [choice.cell for choice in beside.choices]


def test_a_grid_gives_what_its_cells_give_one_by_one(cache):
    cells = [Cell(params={"C": c}, scale=scale) for c in (0.01, 1.0) for scale in ("none", "standard")]
    swept = sweep(cache, cells, Protocol(folds="subject-kfold:3"))
    features = cache.features("mean")
    folds = make_folds("subject-kfold:3", features.subjects, features.y)
    for one, cell in zip(swept.cells, cells, strict=True):
        assert one.evaluation.cell == resolve(cell)
        alone = cross_validate(features, folds, cell).predictions
        np.testing.assert_allclose(one.evaluation.predictions.probabilities, alone.probabilities, atol=5e-3)


def test_without_nesting_there_is_the_grid_alone(cache):
    swept = sweep(cache, GRID, Protocol(nested=False))
    assert (swept.nested, swept.winner) == ((), None)
    assert [one.to_dict()["selection"] for one in swept.cells] == ["grid"] * 3


def test_a_single_cell_is_fixed_and_nothing_is_chosen(cache):
    swept = sweep(cache, GRID[:1], Protocol())
    assert swept.nested == ()
    assert swept.cells[0].to_dict()["selection"] == "fixed"


def test_processes_give_the_same_numbers(cache):
    cells = [*GRID, Cell(params={"C": 0.1})]
    one, two = (sweep(cache, cells, Protocol(folds="subject-kfold:3"), jobs=jobs).to_dict() for jobs in (1, 2))
    assert one == two


def test_a_finished_sweep_is_read_and_not_fitted(cache, tmp_path, monkeypatch):
    cells = [*GRID, Cell(probe="centroid")]
    first = sweep(cache, cells, Protocol(), out=tmp_path)
    monkeypatch.setattr("vjepa_fer.evaluation.evaluate.fit_predict", None)
    monkeypatch.setattr("vjepa_fer.evaluation.tasks.fit_predict", None)
    again = sweep(cache, cells, Protocol(), out=tmp_path)
    assert again.to_dict() == first.to_dict()
    assert all(one.resumed for one in (*again.cells, *again.nested, again.winner))


def test_only_what_is_missing_is_fitted(cache, tmp_path):
    sweep(cache, GRID[:1], Protocol(), out=tmp_path)
    fits = []

    def progress(total):
        return nullcontext(lambda word: fits.append((word, total)))

    swept = sweep(cache, GRID, Protocol(nested=False), out=tmp_path, progress=progress)
    assert fits == [("knn", 5)] * 5
    assert [one.resumed for one in swept.cells] == [True, False, False]


def test_a_nested_run_reads_back_equal(cache, tmp_path):
    (nested,) = sweep(cache, GRID, Protocol(), out=tmp_path).nested
    read = read_run(nested.run).evaluation
    assert read.cell == nested.evaluation.cell
    assert [choice.cell for choice in read.choices] == [choice.cell for choice in nested.evaluation.choices]
    np.testing.assert_array_equal(read.predictions.predicted, nested.evaluation.predictions.predicted)


def test_a_family_whose_processes_die_is_lost_and_the_others_are_kept(cache, monkeypatch):
    from vjepa_fer.workers import Done, Lost

    def run_tasks_on(study, tasks, *, jobs):
        for number, task in enumerate(tasks):
            dead = task.cells[0].probe == "centroid" and task.outer == 1
            yield Done(number, Lost(-9) if dead else study.run(task))

    monkeypatch.setattr("vjepa_fer.sweep.loop.run_tasks_on", run_tasks_on)
    swept = sweep(cache, [GRID[0], Cell(probe="centroid")], Protocol(nested=False), jobs=2)
    assert [one.evaluation.cell.probe for one in swept.cells] == ["knn"]
    assert len(swept.lost) == 1
    assert "centroid on mean, fold 1: its process died" in swept.lost[0]
    assert "fewer --jobs" in swept.lost[0]
