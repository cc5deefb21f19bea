"""Promises of vjepa_fer.judging.intervals: subjects are drawn, not clips, and the paper's own runs get their intervals."""

import csv
import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest

from vjepa_fer.judging import Predictions, intervals, intervals_of, read_prediction_table
from vjepa_fer.judging.intervals import resample, subject_intervals
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
    assert together == pytest.approx((6 / 20, 14 / 20))  # the 2.5 % and 97.5 % points of 20 fair coins
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 200), abs=0.015)


def probabilities_like(predictions, seed=0):
    """Drawn probabilities whose largest is the decision."""
    values = np.sort(np.random.default_rng(seed).dirichlet([1, 1], len(predictions)), axis=1)
    rows = np.arange(len(predictions))
    swapped = np.empty_like(values)
    swapped[rows, predictions.predicted], swapped[rows, 1 - predictions.predicted] = values[:, 1], values[:, 0]
    return dataclasses.replace(predictions, probabilities=swapped)


@pytest.mark.parametrize("figure", ["uar", "macro_f1", "ece", "log_loss", "recall", "precision"])
def test_intervals_equal_a_bootstrap_done_draw_by_draw(figure):
    rng = np.random.default_rng(0)
    subjects = rng.integers(6, size=60)
    predictions = probabilities_like(predictions_of(subjects.astype(str), rng.random(60) < 0.7))
    worlds = []
    for counts in resample(np.eye(6), num_draws=200, seed=4).astype(int):
        rows = np.concatenate([np.repeat(np.flatnonzero(subjects == s), counts[s]) for s in range(6)])
        answer = figures_of(dataclasses.replace(predictions.take(rows), subjects=np.full(len(rows), "")))
        worlds.append(
            answer["by_class"]["b"][figure] if figure in ("recall", "precision") else answer[figure]["pooled"]
        )
    expected = np.quantile(worlds, (0.025, 0.975)) / (1 if figure == "log_loss" else 100)
    found = intervals_of(predictions, num_draws=200, seed=4)
    ends = found.by_class[figure][1] if figure in found.by_class else found.figures[figure]
    np.testing.assert_allclose(ends, expected, atol=2e-6)


def test_each_draw_has_as_many_subjects_as_there_are_and_chunks_change_nothing(monkeypatch):
    whole = resample(np.eye(7), num_draws=50, seed=1)
    assert set(whole.sum(axis=1)) == {7}
    monkeypatch.setattr(intervals, "_MAX_COUNTS", 20)
    np.testing.assert_array_equal(resample(np.eye(7), num_draws=50, seed=1), whole)


@pytest.mark.parametrize("subjects", [["s1"] * 4, ["s1", "s2", "", "s2"]])
def test_without_two_known_subjects_there_is_no_interval(subjects):
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
            (69.10, 77.53),
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
