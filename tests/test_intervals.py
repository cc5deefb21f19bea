"""Promises of vjepa_fer.intervals: subjects are drawn, not clips, and the paper's own runs get their intervals."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from vjepa_fer import metrics
from vjepa_fer.intervals import draw_subjects, subject_intervals
from vjepa_fer.prediction_csv import read_predictions
from vjepa_fer.predictions import Predictions
from vjepa_fer.results import figures_of

PAPER = Path(__file__).resolve().parents[2] / "shared/data/paper"


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


def test_intervals_equal_a_bootstrap_done_draw_by_draw():
    rng = np.random.default_rng(0)
    subjects = rng.integers(6, size=60)
    predictions = predictions_of(subjects.astype(str), rng.random(60) < 0.7)
    figures = []
    for counts in draw_subjects(6, num_draws=200, seed=4):
        rows = np.concatenate([np.repeat(np.flatnonzero(subjects == s), counts[s]) for s in range(6)])
        figures.append(metrics.uar(predictions.take(rows).confusion))
    expected = np.quantile(figures, (0.025, 0.975))
    np.testing.assert_allclose(subject_intervals(predictions, num_draws=200, seed=4)["uar"], expected, atol=1e-12)


@pytest.mark.parametrize("subjects", [["s1"] * 4, ["s1", "s2", "", "s2"]])
def test_without_two_known_subjects_there_is_no_interval(subjects):
    predictions = predictions_of(subjects, [True, False, True, True])
    assert subject_intervals(predictions) == {}
    assert figures_of(predictions)["war"]["interval"] is None


@pytest.mark.parametrize(
    ("corpus", "subject", "folds", "mean_sd", "macro_f1", "interval"),
    [
        (
            "crema_d",
            slice(0, 4),
            [76.66, 82.52, 75.47, 79.58, 80.08],
            {"war": (78.86, 2.81), "uar": (78.87, 2.80)},
            78.82,
            (76.83, 80.79),
        ),
        (
            "ravdess",
            slice(-2, None),
            [73.83, 74.33, 69.33, 72.83, 77.29],
            {"war": (73.53, 2.87), "uar": (73.27, 2.90)},
            72.92,
            (69.10, 77.53),
        ),
    ],
)
def test_the_papers_own_runs_give_its_figures(tmp_path, corpus, subject, folds, mean_sd, macro_f1, interval):
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
    figures = figures_of(read_predictions(tmp_path / "p.csv", scores=True))
    assert [round(v, 2) for v in figures["war"]["folds"]] == folds
    for name, (mean, sd) in mean_sd.items():
        assert (round(figures[name]["mean"], 2), round(figures[name]["sd"], 2)) == (mean, sd)
    assert round(figures["macro_f1"]["mean"], 2) == macro_f1
    assert figures["war"]["interval"] == pytest.approx(interval, abs=0.25)
