"""Promises of vjepa_fer.features.token_stream: tokens of a cache are read as they are needed, and a sweep gives them to probes that take tokens."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from caches import small_manifest, write_small_cache
from vjepa_fer.cache import open_cache
from vjepa_fer.errors import CacheError
from vjepa_fer.experiment import Protocol, make_cells
from vjepa_fer.features import TokenStream, join
from vjepa_fer.probes import make_probe
from vjepa_fer.runs import FITTED
from vjepa_fer.sweep import refit_best, sweep

PROTOCOL = Protocol(folds="subject-kfold:3", allow_leak=True)  # these clips were made of one file
QUICK = {"epochs": [2], "lr": [1e-3, 1e-2]}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("tokens") / "cache"
    write_small_cache(root, num_clips=18)
    return open_cache(root)


def test_a_stream_holds_what_the_feature_matrix_holds(cache):
    for level, num_tokens in (("tokens", 8), ("grid", 8), ("frames", 2), ("mean", 1)):
        stream = TokenStream(list(cache), level)
        assert stream.shape == (18, num_tokens, 8)
        np.testing.assert_allclose(stream[:].reshape(18, -1), cache.features(level).X, atol=1e-6)


def test_a_part_of_a_stream_reads_nothing_and_travels_to_other_processes(cache, monkeypatch):
    stream = TokenStream(list(cache), "tokens")
    whole = stream[:]
    part = pickle.loads(pickle.dumps(stream.take(np.array([3, 1, 7])))).take(np.array([2, 0]))  # noqa: S301
    np.testing.assert_array_equal(part[:], whole[[7, 3]])
    monkeypatch.setattr(TokenStream, "_read", None)
    assert len(stream.take(np.arange(5))) == 5


def test_windows_are_rows_where_they_are_asked_for(cache):
    stream = TokenStream(list(cache), "tokens", row="window")
    assert stream.clip_index.tolist() == np.repeat(np.arange(18), 2).tolist()
    np.testing.assert_array_equal(stream[:].reshape(36, -1), cache.window_features("tokens").X)


def test_a_clip_that_is_not_finite_is_named(cache, monkeypatch):
    stream = TokenStream(list(cache), "tokens")
    monkeypatch.setattr("vjepa_fer.cache.reader.CachedClip.level", lambda self, level: np.full((1, 2, 8), np.inf))
    with pytest.raises(CacheError, match="clip c4 holds NaN or infinity in tokens"):
        stream[4:5]


@pytest.mark.parametrize("decision", ["mean-feature", "vote"])
def test_a_sweep_trains_the_attentive_probe_on_tokens(cache, decision, monkeypatch):
    shapes = []
    real = make_probe("attentive").__class__._check_clips
    monkeypatch.setattr(
        "vjepa_fer.probes.attentive.token_probe.TokenProbe._check_clips",
        lambda self, X: shapes.append(X.shape[1:]) or real(self, X),
    )
    cells = make_cells(["attentive"], ["grid:2"], QUICK, scales=["standard"], decisions=[decision])
    assert {cell.scale for cell in cells} == {"none"}
    swept = sweep(cache, cells, PROTOCOL)
    assert set(shapes) == {(8, 8)}
    assert swept.nested[0].evaluation.predictions.probabilities.shape == (18, 3)


def test_processes_and_one_process_agree(cache):
    cells = make_cells(["attentive"], ["tokens"], {"epochs": [2]}, scales=["none"])
    one, two = (sweep(cache, cells, PROTOCOL, jobs=jobs).cells[0].evaluation.predictions for jobs in (1, 2))
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-5)


def test_a_refitted_attentive_probe_answers_for_flat_features(cache, tmp_path):
    cells = make_cells(["attentive"], ["tokens"], {"epochs": [2]}, scales=["none"])
    swept = sweep(cache, cells, PROTOCOL, out=tmp_path)
    _, folder = refit_best(cache, swept, recipe=cache.recipe, seed=0)
    assert folder.name == FITTED
    from vjepa_fer.evaluation import read_fitted

    features = cache.features("tokens")
    fitted = read_fitted(folder)
    expected = make_probe("attentive", {"epochs": 2}, random_state=0).fit(
        TokenStream(list(cache), "tokens"), features.y
    )
    found = fitted.predict_proba(features.X, level="tokens", recipe=cache.recipe)
    np.testing.assert_allclose(found, expected.predict_proba(features.X.reshape(18, 8, 8)), atol=1e-5)


def test_joined_streams_have_no_tokens(cache, tmp_path):
    write_small_cache(tmp_path / "other", num_clips=len(small_manifest(18)))
    joined = join({"a": cache, "b": open_cache(tmp_path / "other")})
    cells = make_cells(["attentive"], ["tokens"], {}, scales=["none"])
    with pytest.raises(CacheError, match="takes tokens reads one sequence"):
        sweep(joined, cells, PROTOCOL)
