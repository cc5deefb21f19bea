"""Promises of alignment: moments of several streams meet by time, within a tolerance that is stated; what has no partner is counted, never filled."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from caches import small_manifest, small_recipe, small_rows, write_small_cache
from vjepa_fer.cache import ShardWriter, open_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.import_frames import import_frames, read_frames
from vjepa_fer.errors import CacheError
from vjepa_fer.experiment import Cell, Protocol
from vjepa_fer.features import TokenStream, join
from vjepa_fer.features.alignment import Moments, match_moments
from vjepa_fer.recipe import Storage
from vjepa_fer.sweep import sweep


def units(root, *, times=range(12), per_second=25.0, name="au", clips=6, shift=0.0, clock="timestamp"):
    """Two Action Units of each clip, whose first is the moment's number."""
    rows = [
        (f"c{clip}", t if clock == "frame" else f"{t / per_second + shift:.4f}", t, t % 3)
        for clip in range(clips)
        for t in times
    ]
    table = root.with_suffix(".csv")
    pd.DataFrame(rows, columns=["clip_id", clock, "AU01_r", f"{name}02_r"]).to_csv(table, index=False)
    return import_frames(read_frames(table, ids="clip_id", columns=["*_r"]), root, small_manifest(clips)).cache


def windows(root, **changes):
    """V-JEPA's frames of two windows a clip that do not overlap: steps of two frames at 0.5, 2.5, 4.5 and 6.5 frames."""
    recipe = small_recipe(storage=Storage(levels=("frames",)))
    prepare_cache(root, recipe, small_manifest())
    writer = ShardWriter(root, recipe)
    for clip in small_manifest():
        rows = small_rows(clip.clip_id, recipe)
        indices = np.array([[4, 5, 6, 7], [0, 1, 2, 3]])
        apart = {"start_frame": indices[:, 0], "frame_indices": indices, "timestamps": indices / 25}
        apart["source_sha256"] = f"{clip.clip_id.encode().hex():0>64}"
        writer.add(dataclasses.replace(rows, **(apart | changes)))
    writer.flush()
    return open_cache(root)


def moments(*times, follows=None):
    place = np.arange(len(times))
    return Moments(np.array(times), place, place > 0 if follows is None else np.array(follows))


def test_each_moment_takes_the_nearest_and_one_without_any_drops_out_and_is_counted():
    a, b = moments(0.0, 0.1, 0.2, 0.3), moments(0.04, 0.12, 0.31)
    found = match_moments({"a": a, "b": b}, tolerance=0.05, where="clip x")
    assert found.rows.tolist() == [[0, 1, 3], [0, 1, 2]]
    assert (found.num_lost, found.follows.tolist()) == (1, [False, True, False])  # none follows over what was lost


def test_of_two_as_near_the_earlier_is_taken():
    found = match_moments({"a": moments(0.5, 1.5), "b": moments(0.0, 1.0, 2.0)}, tolerance=None, where="clip x")
    assert found.rows[1].tolist() == [0, 1]


def test_by_default_half_a_step_of_the_slower_stream_is_near_enough():
    fast, slow = moments(*np.arange(10) / 100), moments(0.0, 0.04, 0.08)
    assert match_moments({"a": fast, "b": slow}, tolerance=None, where="x").tolerance == pytest.approx(0.02)
    assert match_moments({"a": slow, "b": fast}, tolerance=None, where="x").tolerance == pytest.approx(0.02)
    assert match_moments({"a": moments(0.0), "b": moments(0.0)}, tolerance=None, where="x").rows.shape == (2, 1)


def test_brute_force_finds_the_same():
    rng = np.random.default_rng(0)
    a, b = (np.sort(rng.uniform(0, 5, n)) for n in (60, 40))
    found = match_moments({"a": moments(*a), "b": moments(*b)}, tolerance=0.03, where="x")
    away = np.abs(a[:, None] - b)
    near = np.flatnonzero(away.min(axis=1) <= 0.03)
    assert found.rows[0].tolist() == near.tolist()
    assert found.rows[1].tolist() == away.argmin(axis=1)[near].tolist()


def test_a_step_of_an_encoder_is_when_its_two_frames_are_on_average(tmp_path):
    joined = join({"vj": windows(tmp_path / "vj"), "au": units(tmp_path / "au")}, aligned=True)
    clip = joined.moments()[0]
    found = clip.level("frames")[:, 0]
    assert found[:, 8].tolist() == [0, 2, 4, 6]  # frame 0.5 is as near to 0 as to 1
    cached = joined.streams["vj"]["c0"].level("frames")
    np.testing.assert_array_equal(found[:, :8], cached[[1, 1, 0, 0], [0, 1, 0, 1]])  # by time, not as stored
    assert clip.matched.follows.tolist() == [False, True, False, True]  # within a window


def test_what_drops_out_is_said_with_the_tolerance(tmp_path):
    late = units(tmp_path / "au", times=range(3, 8))
    joined = join({"vj": windows(tmp_path / "vj"), "au": late}, aligned=True)
    assert (joined.alignment.num_lost, joined.alignment.num_moments) == (6, 24)
    assert "within 0.04 s: 6 of 24 moments (25.0 %) have no partner" in str(joined.alignment)
    narrow = join({"vj": windows(tmp_path / "vj2"), "au": late}, aligned=True, tolerance=0.01)
    with pytest.raises(CacheError, match=r"6 clips have no moment that vj and au share .*: c0, c1, c2 …; widen it"):
        narrow.moments()


def test_padding_is_no_moment(tmp_path):
    padded = windows(tmp_path / "vj", num_real_frames=np.array([1, 4]))
    clip = join({"vj": padded, "au": units(tmp_path / "au")}, aligned=True).moments()[0]
    assert clip.level("frames")[:, 0, 8].tolist() == [0, 2, 4]  # the window's one real frame is frame 4


def test_statistics_are_those_of_pandas_over_the_moments_that_all_have(tmp_path):
    joined = join(
        {"a": units(tmp_path / "a"), "b": units(tmp_path / "b", per_second=10.0, times=range(5), name="b")},
        aligned=True,
    )
    clip = pd.DataFrame(joined.moments()[2].level("frames")[:, 0])
    found = joined.features("frames:mean+std").X[2]
    np.testing.assert_allclose(found, np.concatenate([clip.mean(), clip.std()]), rtol=1e-6)
    np.testing.assert_array_equal(joined.features("frames").X, joined.features("mean").X)
    with pytest.raises(CacheError, match="level grid:2: aligned streams are read at frames"):
        joined.features("grid:2")


def test_probes_on_tokens_read_the_aligned_moments_as_one_sequence(tmp_path):
    joined = join({"vj": windows(tmp_path / "vj"), "au": units(tmp_path / "au", times=range(6))}, aligned=True)
    stream = TokenStream(joined.cached_clips("frames"), "frames")
    assert stream.shape == (6, 3, 10)
    assert stream.lengths.tolist() == [3] * 6
    np.testing.assert_array_equal(stream[[1]][0], joined.moments()[1].level("frames")[:, 0])


def test_a_sweep_fuses_moments_and_its_runs_say_how_many_were_lost(tmp_path):
    streams = {"vj": windows(tmp_path / "vj"), "au": units(tmp_path / "au", times=range(6))}
    cells, protocol = [Cell(level="frames:mean+max")], Protocol(folds="subject-kfold:3")
    swept = sweep(join(streams, aligned=True), cells, protocol)
    assert swept.cells[0].evaluation.beside["fusion"] == {
        "how": "early",
        "streams": ["vj", "au"],
        "moments": 24,
        "lost": 6,
    }


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        (
            lambda t: {"a": units(t / "a"), "b": units(t / "b", clock="frame", name="b")},
            "a counts seconds, b counts frames",
        ),
        (
            lambda t: {"a": units(t / "a"), "vj": (write_small_cache(t / "vj"), open_cache(t / "vj"))[1]},
            r"clip c0 of vj: a moment at 0\.06 comes after one at 0\.1, .*name this stream first",
        ),
        (
            lambda t: {"vj": windows(t / "vj", timestamps=np.full((2, 4), np.nan)), "a": units(t / "a")},
            "clip c0 of vj: nothing said when its frames are shown",
        ),
    ],
)
def test_times_that_cannot_be_had_or_compared_are_refused_with_the_reason(tmp_path, streams, message):
    with pytest.raises(CacheError, match=message):
        join(streams(tmp_path), aligned=True).moments()


def test_only_early_fusion_is_aligned(tmp_path):
    with pytest.raises(CacheError, match="fusion late joins what probes say of clips"):
        join([units(tmp_path / "a"), units(tmp_path / "b")], aligned=True, fusion="late")
