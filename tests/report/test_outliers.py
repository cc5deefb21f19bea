"""Promises of vjepa_fer.report.outliers: what is planted is found, in units of the cache itself, and nothing else is."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vjepa_fer.report.outliers import find_outliers

ACTION_UNITS = Path(__file__).resolve().parents[3] / "shared/data/ravdess/openface_au_mean.csv"


def cloud(num_clips=60, dim=16, seed=0):
    return np.random.default_rng(seed).normal(size=(num_clips, dim)).astype(np.float32)


def rows_of(outliers):
    return [(pair.first, pair.second) for pair in outliers.pairs], [one.row for one in outliers.far]


def test_a_plain_cloud_has_no_outliers():
    assert rows_of(find_outliers(cloud())) == ([], [])


def test_a_planted_near_duplicate_and_a_planted_far_clip_are_found():
    x = cloud()
    x[50] = x[7] + 0.01
    x[20] += 12
    assert rows_of(find_outliers(x)) == ([(7, 50)], [20])


def test_two_equal_clips_far_from_the_rest_are_both_far():
    x = cloud()
    x[[20, 21]] = x[20] + 12
    assert rows_of(find_outliers(x)) == ([(20, 21)], [20, 21])


def test_every_clip_may_have_a_twin():
    x = np.repeat(cloud(), 2, axis=0)
    pairs, far = rows_of(find_outliers(x))
    assert pairs == [(2 * n, 2 * n + 1) for n in range(60)]
    assert far == []


def test_a_clip_without_a_twin_is_not_far_because_the_others_have_one():
    assert rows_of(find_outliers(np.repeat(cloud(), 2, axis=0)[:-1]))[1] == []


def test_thirty_equal_clips_are_paired_and_not_far():
    x = cloud(100)
    x[:30] = x[0]
    pairs, far = rows_of(find_outliers(x))
    assert {row for pair in pairs for row in pair} == set(range(30))
    assert far == []


def test_clips_that_are_all_equal_are_paired_with_a_distance_of_zero():
    found = find_outliers(np.ones((15, 4), np.float32))
    assert (found.usual_distance, found.far) == (0, ())
    assert {row for pair in found.pairs for row in (pair.first, pair.second)} == set(range(15))
    assert {pair.share for pair in found.pairs} == {0.0}


@pytest.mark.parametrize("num_clips", [0, 1, 2, 3, 9])
def test_few_clips_are_no_trouble_and_none_of_them_is_far(num_clips):
    assert find_outliers(cloud(num_clips)).far == ()


def test_the_distance_is_that_of_the_definition():
    x = cloud(12, 3)
    x[1] = x[0] + 0.05
    z = (x - x.mean(0)) / x.std(0)
    all_distances = np.sort(np.linalg.norm(z[:, None] - z, axis=2), axis=1)
    (pair,) = find_outliers(x).pairs
    expected = np.linalg.norm(z[0] - z[1]) / np.median(all_distances[:, 10])
    assert pair.share == pytest.approx(expected, rel=1e-5)


@pytest.mark.skipif(not ACTION_UNITS.exists(), reason="real features may not be carried in the repository")
def test_among_ravdess_action_units_the_two_equal_clips_are_found_and_no_others():
    """1,440 clips × 35 means; those of two takes of actor 7 are the same number for number."""
    with ACTION_UNITS.open(newline="") as file:
        rows = [{k.strip(): v.strip() for k, v in row.items()} for row in csv.DictReader(file, delimiter=";")]
    x = np.array([[float(v) for k, v in row.items() if k.startswith("AU")] for row in rows])
    pairs = [(rows[p.first]["name"], rows[p.second]["name"], p.share) for p in find_outliers(x).pairs]
    assert [sorted(pair[:2]) for pair in pairs] == [["01-01-03-01-02-01-07", "01-01-03-01-02-02-07"]]
    assert pairs[0][2] == 0


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.integers(0, 9), st.integers(0, 59), st.integers(0, 59))
def test_neither_the_unit_of_a_column_nor_the_order_of_clips_matters(power, column, first, second):
    x = cloud(dim=10)
    x[second] = x[first] + (0.01 if first != second else 0)
    scaled = x.copy()
    scaled[:, column] *= np.float32(10**power)
    assert rows_of(find_outliers(x)) == rows_of(find_outliers(scaled))
    turned = {(59 - b, 59 - a) for a, b in rows_of(find_outliers(x[::-1]))[0]}
    assert turned == set(rows_of(find_outliers(x))[0])
