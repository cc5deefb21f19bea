"""Statistics over the time axis of a level: those of pandas over the same steps, each clip read once, what is no moment left out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from caches import small_manifest, small_recipe, small_rows, write_small_cache
from vjepa_fer.cache import ShardWriter, open_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.errors import CacheError, ProbeError, RecipeError
from vjepa_fer.experiment import Cell, Experiment, Protocol, experiment_from_toml, experiment_to_toml, make_cells
from vjepa_fer.recipe import STATISTICS, split_statistics, with_statistics
from vjepa_fer.sweep import run_experiment

pandas = pytest.importorskip("pandas")


def by_pandas(steps: np.ndarray) -> list[np.ndarray]:
    """All of STATISTICS of (S, dim) steps that follow each other."""
    frame = pandas.DataFrame(steps.astype(np.float64))
    plain = [frame.mean(), frame.std(), frame.min(), frame.max(), frame.quantile(0.1), frame.quantile(0.9)]
    return [*plain, frame.diff().abs().mean()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("statistics") / "cache"
    write_small_cache(root, shard_bytes=2048)
    return root


@pytest.mark.parametrize("level", ["frames", "grid:2", "tokens"])
def test_statistics_of_any_level_with_a_time_axis_are_those_of_pandas(folder, level):
    cache = open_cache(folder)
    x = cache.features(level, pool=STATISTICS).X
    for clip, row in zip(cache, x, strict=True):
        windows = clip.level(level)
        steps = windows.reshape(len(windows) * windows.shape[1], -1)
        expected = by_pandas(steps)
        apart = [pandas.DataFrame(window.reshape(len(window), -1)).diff().abs() for window in windows]
        expected[-1] = pandas.concat(apart).mean()  # from window to window there is no step
        np.testing.assert_allclose(row, np.concatenate(expected), rtol=2e-6, atol=2e-6)


def test_a_name_with_statistics_is_the_level_with_pool(folder):
    cache = open_cache(folder)
    named, asked = cache.features("frames:std+p25"), cache.features("frames", pool=["std", "p25"])
    np.testing.assert_array_equal(named.X, asked.X)
    assert named.X.shape == (6, 16)
    np.testing.assert_allclose(cache.features("frames:mean").X, cache.features("mean").X, atol=1e-6)


def test_steps_that_are_all_padding_do_not_count(tmp_path):
    recipe, manifest = small_recipe(), small_manifest(1)
    prepare_cache(tmp_path / "c", recipe, manifest)
    rows = small_rows("c0", recipe)
    writer = ShardWriter(tmp_path / "c", recipe)
    writer.add(dataclasses.replace(rows, num_real_frames=np.array([4, 1])))  # two frames a step
    writer.flush()
    cache = open_cache(tmp_path / "c")
    frames = cache[0].level("frames")
    steps = np.stack([frames[0, 0], frames[0, 1], frames[1, 0]])
    np.testing.assert_allclose(cache.features("frames:mean+max").X[0], [*steps.mean(0), *steps.max(0)], atol=1e-6)


def test_each_clip_is_read_once_whatever_is_asked(folder, monkeypatch):
    from vjepa_fer.cache import over_time

    read, real = [], over_time.read_decoded
    monkeypatch.setattr(over_time, "read_decoded", lambda *args, **kw: read.append(args[3]) or real(*args, **kw))
    open_cache(folder).features("tokens", pool=STATISTICS)
    assert len(read) == 6


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (
            "frames:men",
            "statistic 'men' is not one of mean, std, min, max, p10, p90, delta, or another .*did you mean 'mean'",
        ),
        ("frames:p0", "statistic 'p0' is not one of"),
        ("frames:mean+mean", "statistic mean stands twice"),
        ("mean:std", "level mean has no time axis to take std over"),
    ],
)
def test_what_is_no_statistic_is_refused(folder, level, message):
    with pytest.raises(RecipeError, match=message):
        split_statistics(level)
    with pytest.raises(CacheError, match=message):
        open_cache(folder).features(level)


def test_a_name_that_is_no_level_is_refused_whole(folder):
    assert split_statistics("framse:mean") == ("framse:mean", ())
    with pytest.raises(CacheError, match="level 'framse:mean' is not one of mean, frames, grid:G"):
        open_cache(folder).features("framse:mean")


def test_pool_is_a_list_of_statistics_or_what_it_was(folder):
    cache = open_cache(folder)
    for pool in ("std", []):
        with pytest.raises(CacheError, match="is not 'mean'"):
            cache.features("frames", pool=pool)
    with pytest.raises(CacheError, match="says its statistics already"):
        cache.features("frames:std", pool=["mean"])
    with pytest.raises(CacheError, match="level frames@5 is not stored"):
        cache.features("frames@5:std")


def test_names_are_put_together_and_taken_apart():
    assert split_statistics(with_statistics("grid:4@5", ["mean", "delta"])) == ("grid:4@5", ("mean", "delta"))
    assert with_statistics("frames", []) == "frames"


def test_cells_take_statistics_of_every_level_and_files_keep_them():
    cells = make_cells(["logreg"], ["frames", "grid:2"], {}, scales=["standard"], pool=["mean", "std"])
    assert [cell.level for cell in cells] == ["frames:mean+std", "grid:2:mean+std"]
    asked = Experiment(cache="c", cells=tuple(cells))
    assert experiment_from_toml(experiment_to_toml(asked)) == asked
    short = experiment_from_toml('cache = "c"\nfeatures = ["frames", "grid:2"]\npool = ["mean", "std"]\n')
    assert short.fingerprint == asked.fingerprint


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (Cell(probe="attentive", level="frames:std", scale="none"), "attentive reads the tokens themselves"),
        (Cell(level="frames:std", decision="vote"), "decision 'vote' is by windows"),
    ],
)
def test_who_reads_no_vectors_of_clips_is_refused(cell, message):
    with pytest.raises(ProbeError, match=message):
        _ = Experiment(cache="c", cells=(cell,)).resolved


def test_a_run_records_what_was_pooled(tmp_path):
    folder = tmp_path / "cache"
    write_small_cache(folder, num_clips=18)
    cell = Cell(probe="centroid", level="frames:mean+delta")
    asked = Experiment(cache=str(folder), cells=(cell,), protocol=Protocol(folds="subject-kfold:3", allow_leak=True))
    outcome = run_experiment(asked, out=tmp_path / "runs")
    (result,) = outcome.results
    assert result["features"] == "frames:mean+delta"
    again = run_experiment(asked, out=tmp_path / "runs")
    assert again.swept.cells[0].resumed
