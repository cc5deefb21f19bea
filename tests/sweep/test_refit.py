"""A fitted probe that is in a run folder already is taken only if it is the one that would be put there."""

import json
import shutil

import pytest

from caches import write_counted_cache
from test_cli_probe import call, call_json
from vjepa_fer.errors import ProbeError, RunError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return write_counted_cache(tmp_path_factory.mktemp("counted") / "cache")


def refit(cache, out, probe):
    return call_json("probe", cache, "-p", probe, "--folds", "subject-kfold:4", "--out", out, "--refit")["fitted"]


def test_a_damaged_probe_is_not_passed_off_as_fitted(cache, tmp_path):
    fitted = tmp_path / "knn-mean-standard" / "fitted"
    assert refit(cache, tmp_path, "knn") == str(fitted)
    arrays = fitted / "probe" / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-1])
    with pytest.raises(ProbeError, match=r"arrays\.safetensors: was changed") as caught:
        refit(cache, tmp_path, "knn")
    assert caught.value.__notes__ == [f"Remove {fitted} and run again: the probe is fitted anew."]
    shutil.rmtree(fitted)
    assert refit(cache, tmp_path, "knn") == str(fitted)


def test_a_probe_of_another_run_is_not_taken_for_its_own(cache, tmp_path):
    for probe in ("knn", "centroid"):
        refit(cache, tmp_path, probe)
    shutil.rmtree(tmp_path / "centroid-mean-standard" / "fitted")
    shutil.copytree(tmp_path / "knn-mean-standard" / "fitted", tmp_path / "centroid-mean-standard" / "fitted")
    message = "fitted: holds KnnProbe, mean, mean-feature; expected CentroidProbe, mean, mean-feature"
    with pytest.raises(RunError, match=message):
        refit(cache, tmp_path, "centroid")


def test_a_run_with_a_fitted_probe_is_read_as_before(cache, tmp_path):
    refit(cache, tmp_path, "knn")
    assert len(json.loads(call("runs", "list", tmp_path, "--json"))["results"]) == 1
