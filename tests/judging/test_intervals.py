"""Promises of vjepa_fer.judging.intervals: subjects count, not clips; what is promised is covered; no order and no seed has a part in it."""

import csv
import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, skew, ttest_1samp

from vjepa_fer.judging import Predictions, intervals, intervals_of, metrics, read_prediction_table
from vjepa_fer.judging.intervals import (
    difference_intervals,
    intervals_of_counts,
    jackknife,
    mean_intervals,
    subject_intervals,
)
from vjepa_fer.runs import figures_of

PAPER = Path(__file__).resolve().parents[3] / "shared/data/paper"


def predictions_of(subjects, right):
    """Two classes, half each, every clip right or wrong."""
    truth = np.arange(len(right)) % 2
    return Predictions(
        classes=("a", "b"),
        clip_ids=np.arange(len(right)).astype(str),
        subjects=np.asarray(subjects),
        fold=np.zeros(len(right), int),
        truth=truth,
        predicted=np.where(right, truth, 1 - truth),
        probabilities=None,
    )


def test_clips_of_one_person_that_stand_or_fall_together_widen_the_interval():
    right = np.repeat(np.arange(20) % 2 == 0, 10)
    together = subject_intervals(predictions_of(np.repeat(np.arange(20), 10).astype(str), right))["war"]
    apart = subject_intervals(predictions_of(np.arange(200).astype(str), right))["war"]
    exact = binomtest(10, 20).proportion_ci(0.95, method="exact")
    assert together.low == pytest.approx(exact.low, abs=0.03)  # twenty coins, whose spread is not known beforehand
    assert together.low < exact.low < exact.high < together.high
    assert apart == pytest.approx(binomtest(100, 200).proportion_ci(0.95, method="exact"), abs=0.002)


@pytest.mark.parametrize("num_subjects", [3, 10, 24])
def test_where_every_clip_is_right_each_person_counts_as_one_clip(num_subjects):
    subjects = np.repeat(np.arange(num_subjects), 10).astype(str)
    low, high = subject_intervals(predictions_of(subjects, np.ones(len(subjects), bool)))["war"]
    exact = binomtest(num_subjects, num_subjects).proportion_ci(0.95, method="exact")
    assert (low, high) == pytest.approx((exact.low, 1))


def drawn(rng, num_subjects=8, num_classes=3):
    return rng.integers(0, 6, (num_subjects, num_classes, num_classes)) + 4 * np.eye(num_classes, dtype=int)


def test_each_subjects_pull_is_what_the_figure_is_without_it():
    counts = drawn(np.random.default_rng(0))
    found = jackknife(lambda sums: metrics.uar(sums)[..., None], counts)
    without = [metrics.uar(np.delete(counts, n, axis=0).sum(axis=0)) for n in range(8)]
    spread = 7 / 8 * np.sum((np.array(without) - metrics.uar(counts.sum(axis=0))) ** 2)
    assert found.variance == pytest.approx(spread)


def test_a_mean_of_equal_parts_has_students_interval():
    gains = np.random.default_rng(1).uniform(-0.1, 0.2, 12)
    found = jackknife(lambda sums: sums[..., :1] / sums[..., 1:], np.column_stack([gains, np.ones(12)]))
    (interval,) = difference_intervals(found)
    exact = ttest_1samp(gains, 0).confidence_interval(0.95)
    assert found.degrees_of_freedom == pytest.approx(11)  # flatter than a normal: nobody decides alone
    assert interval == pytest.approx(exact)


def test_one_person_who_decides_leaves_few_degrees_of_freedom():
    gains = np.r_[np.zeros(11), 1.0]
    found = jackknife(lambda sums: sums[..., :1] / sums[..., 1:], np.column_stack([gains, np.ones(12)]))
    assert 1 <= found.degrees_of_freedom[0] < 3


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 12))
def test_an_interval_holds_its_figure_and_no_order_changes_it(seed, num_subjects):
    rng = np.random.default_rng(seed)
    counts = drawn(rng, num_subjects)
    found = intervals_of_counts(counts)
    total = counts.sum(axis=0)
    for name, (low, high) in found.figures.items():
        assert 0 <= low <= metrics.SCORES[name](total) <= high <= 1
    classes, people = rng.permutation(3), rng.permutation(num_subjects)
    other = intervals_of_counts(counts[people][:, classes][:, :, classes])
    for name, ends in found.figures.items():
        assert other.figures[name] == pytest.approx(ends, abs=1e-9)
    for name, ends in found.by_class.items():
        assert [other.by_class[name][n] for n in np.argsort(classes)] == [pytest.approx(one, abs=1e-9) for one in ends]


@settings(deadline=None)
@given(st.integers(0, 2**31))
def test_the_order_of_rows_changes_no_bit(seed):
    rng = np.random.default_rng(seed)
    subjects = rng.integers(6, size=60).astype(str)
    one = probabilities_like(predictions_of(subjects, rng.random(60) < 0.7))
    assert intervals_of(one.take(rng.permutation(60))).by_class == intervals_of(one).by_class
    assert figures_of(one.take(rng.permutation(60)))["log_loss"]["interval"] == figures_of(one)["log_loss"]["interval"]


def probabilities_like(predictions, seed=0):
    """Probabilities whose largest is the decision, the same for a clip in whatever row."""
    order = predictions.clip_ids.astype(int)
    values = np.sort(np.random.default_rng(seed).dirichlet([1, 1], len(predictions)), axis=1)[order]
    rows = np.arange(len(predictions))
    swapped = np.empty_like(values)
    swapped[rows, predictions.predicted], swapped[rows, 1 - predictions.predicted] = values[:, 1], values[:, 0]
    return dataclasses.replace(predictions, probabilities=swapped)


def test_parts_at_a_time_change_nothing(monkeypatch):
    counts = drawn(np.random.default_rng(3))
    whole = intervals_of_counts(counts)
    monkeypatch.setattr(intervals, "_MAX_COUNTS", 20)
    assert intervals_of_counts(counts) == whole


def test_calibration_error_has_no_interval_and_log_loss_has_one():
    rng = np.random.default_rng(0)
    one = probabilities_like(predictions_of(rng.integers(6, size=60).astype(str), rng.random(60) < 0.7))
    figures = figures_of(one)
    assert figures["ece"]["interval"] is None
    low, high = figures["log_loss"]["interval"]
    assert 0 < low < figures["log_loss"]["pooled"] < high
    assert "same fitted classifiers" in figures["intervals"]["covers"]


def by_subject(losses):
    """One clip a subject, so that the mean loss is the mean over subjects."""
    return jackknife(lambda sums: sums[..., :1] / sums[..., 1:], np.column_stack([losses, np.ones(len(losses))]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.05, 5), min_size=3, max_size=40).filter(lambda losses: np.std(losses) > 1e-3))
def test_the_upper_end_of_a_mean_loss_solves_halls_equation_where_that_lies_further_up(losses):
    found, num, mean = by_subject(losses), len(losses), np.mean(losses)
    (low, high), *_ = mean_intervals(found)
    error = np.std(losses, ddof=1) / np.sqrt(num)
    reach = found.t(0.95)[0]
    assert found.skewness[0] == pytest.approx(skew(losses, bias=False), abs=1e-6)
    bent = skew(losses, bias=False) / np.sqrt(num)
    (root,) = (r.real for r in np.roots([bent**2 / 27, bent / 3, 1, bent / 6 + reach]) if abs(r.imag) < 1e-9)
    assert low == pytest.approx(mean * np.exp(-reach * error / mean))
    assert high == pytest.approx(max(mean * np.exp(reach * error / mean), mean - root * error))


def test_a_few_people_with_large_losses_move_the_upper_end_and_even_people_do_not():
    for losses, is_further in (([0.3] * 7 + [0.31] * 7 + [0.6] * 4, True), ([0.1] * 10 + [0.12] * 10, False)):
        found = by_subject(losses)
        (interval,) = mean_intervals(found)
        straight = found.values[0] * np.exp(found.t(0.95)[0] * np.sqrt(found.variance[0]) / found.values[0])
        assert (interval.high > straight * (1 + 1e-9)) == is_further


def test_a_class_of_two_people_has_no_interval_beside_others_that_have_one():
    counts = np.zeros((6, 2, 2), int)
    counts[:, 0] = [8, 2]
    counts[:2, 1] = [1, 4]
    recall = intervals_of_counts(counts).by_class["recall"]
    assert recall[1] is None
    assert recall[0] is not None


COVERAGE = Path(__file__).resolve().parents[2] / "benchmarks/sim_coverage.json"


@pytest.mark.parametrize("figure", ["war", "uar", "macro_f1"])
def test_the_committed_simulation_covers_as_promised(figure):
    cells = json.loads(COVERAGE.read_text())["20 to 140 clips a subject"]
    for name, cell in cells.items():
        one = cell["shipped"][figure]
        if int(name.split()[0]) >= 10:
            assert 94 - 2 * one["se"] <= one["coverage"] <= 97 + 2 * one["se"], name


@pytest.mark.parametrize("num_subjects", [3, 10, 24])
def test_intervals_cover_in_a_small_simulation_of_its_own(num_subjects):
    rng, hits = np.random.default_rng(num_subjects), []
    for _ in range(300):
        ability, sizes = rng.beta(13.3, 5.7, num_subjects), rng.integers(20, 140, num_subjects)
        right = rng.binomial(sizes, ability)
        counts = np.zeros((num_subjects, 2, 2), int)
        counts[:, 0, 0], counts[:, 0, 1] = right, sizes - right
        low, high = intervals_of_counts(counts).figures["war"]
        hits.append(low <= 0.7 <= high)
    assert 0.92 <= np.mean(hits) <= 0.99


@pytest.mark.parametrize("subjects", [["s1"] * 4, ["s1", "s2", "", "s2"], ["s1", "s2", "s1", "s2"]])
def test_without_three_known_subjects_there_is_no_interval(subjects):
    predictions = predictions_of(subjects, [True, False, True, True])
    assert subject_intervals(predictions) == {}
    assert figures_of(predictions)["war"]["interval"] is None


@pytest.mark.parametrize(
    ("corpus", "subject", "folds", "mean_sd", "macro_f1", "their_uar", "interval"),
    [
        (
            "crema_d",
            slice(0, 4),
            [76.66, 82.52, 75.47, 79.58, 80.08],
            {"war": (78.86, 2.81), "uar": (78.87, 2.80)},
            78.82,
            79.40,
            (76.83, 80.79),
        ),
        (
            "ravdess",
            slice(-2, None),
            [73.83, 74.33, 69.33, 72.83, 77.29],
            {"war": (73.53, 2.87), "uar": (73.27, 2.90)},
            72.92,
            76.12,
            (68.54, 77.82),
        ),
    ],
)
def test_the_papers_own_runs_give_its_figures(tmp_path, corpus, subject, folds, mean_sd, macro_f1, their_uar, interval):
    path = PAPER / f"window_confidence_sums_{corpus}.csv.gz"
    if not path.exists():
        pytest.skip("the paper's predictions are not beside this checkout")
    with gzip.open(path, "rt", newline="") as file:
        header, *rows = csv.reader(file)
    with (tmp_path / "p.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["subject", "fold", "clip_id", *header[2:]])
        writer.writerows([row[1][subject], row[0], row[1], row[2], *row[3:]] for row in rows)
    text = (tmp_path / "p.csv").read_text().replace("conf_", "")
    (tmp_path / "p.csv").write_text(text)
    classes = text.partition("\n")[0].split(",")[4:]  # the logs have columns of classes that no clip has
    figures = figures_of(read_prediction_table(tmp_path / "p.csv", scores=True, classes=classes).predictions)
    assert [round(v, 2) for v in figures["war"]["folds"]] == folds
    for name, (mean, sd) in mean_sd.items():
        assert (round(figures[name]["mean"], 2), round(figures[name]["sd"], 2)) == (mean, sd)
    assert round(figures["macro_f1"]["mean"], 2) == macro_f1
    assert round(figures["macro_precision"]["mean"], 2) == their_uar  # the authors' code swaps recall and precision
    assert figures["war"]["interval"] == pytest.approx(interval, abs=0.25)
