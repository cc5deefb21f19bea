"""A manifest's sounds become a cache as its films do: resumed, shared, listed where there is nothing, and refused where it is another's."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("av")

from sounds import Loudness, tone, write_film, write_study, write_wav
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.verify import verify_cache
from vjepa_fer.claims import CLAIMS
from vjepa_fer.errors import CacheError, RecipeMismatchError, VideoError
from vjepa_fer.extract import ExtractSettings
from vjepa_fer.manifest import read_manifest
from vjepa_fer.recipe import fingerprint
from vjepa_fer.sound import extract_sound, plan_sound


@pytest.fixture
def study(tmp_path):
    return read_manifest(write_study(tmp_path))


def rows_of(cache):
    return {clip.clip.clip_id: (clip.level("frames"), clip.timestamps) for clip in open_cache(cache)}


def test_every_moment_is_a_row_with_its_time(study, tmp_path):
    summary = extract_sound(study, tmp_path / "cache", Loudness())
    assert (summary.written, summary.failures) == (6, ())
    for n, (values, times) in enumerate(rows_of(tmp_path / "cache").values()):
        samples = np.round(tone(0.2 + 0.02 * n, 150 + 100 * (n % 2)) * 32767) / 32768
        assert values.shape == (20 + 2 * n, 1, 2)
        np.testing.assert_allclose(values[3, 0, 1], samples[480:640].max(), atol=1e-6)
        np.testing.assert_allclose(times[:, 0], np.arange(20 + 2 * n) / 100)
    assert not verify_cache(tmp_path / "cache").problems


def test_a_cache_of_sound_gives_means_statistics_and_names_of_columns(study, tmp_path):
    extract_sound(study, tmp_path / "cache", Loudness())
    cache = open_cache(tmp_path / "cache")
    frames = [clip.level("frames")[:, 0] for clip in cache]
    np.testing.assert_allclose(cache.features("mean").X, [x.mean(axis=0) for x in frames], rtol=1e-5)
    pooled = cache.features("frames", pool=["min", "max"]).X
    np.testing.assert_allclose(pooled, [[*x.min(axis=0), *x.max(axis=0)] for x in frames], rtol=1e-6)


def test_what_is_done_is_not_done_again_and_new_clips_are(study, tmp_path):
    cache, few = tmp_path / "cache", study.where(study.clips[:4])
    assert extract_sound(few, cache, Loudness()).written == 4
    again = extract_sound(study, cache, Loudness(at_once=3))
    assert (again.written, again.skipped) == (2, 4)
    extract_sound(study, tmp_path / "whole", Loudness())
    for ours, whole in zip(rows_of(cache).values(), rows_of(tmp_path / "whole").values(), strict=True):
        np.testing.assert_array_equal(ours[0], whole[0])


def test_clips_without_sound_are_listed_and_nothing_stands_in_for_them(study, tmp_path):
    write_film(tmp_path / "c1.mp4", None)
    shutil.move(tmp_path / "c1.mp4", tmp_path / "c1.wav")
    (tmp_path / "c2.wav").write_bytes(b"")
    (tmp_path / "c3.wav").unlink()
    write_wav(tmp_path / "c4.wav", tone(0.005))
    summary = extract_sound(study, tmp_path / "cache", Loudness(at_once=4))
    reasons = {failure.clip_id: failure.reason for failure in summary.failures}
    assert reasons == {"c1": "no_audio", "c2": "empty", "c3": "missing", "c4": "too_short"}
    assert open_cache(tmp_path / "cache").done == {"c0", "c5"}
    write_wav(tmp_path / "c4.wav", tone(0.2))
    assert extract_sound(study, tmp_path / "cache", Loudness()).written == 0
    retried = extract_sound(study, tmp_path / "cache", Loudness(), settings=ExtractSettings(retry_failed=True))
    assert (retried.written, len(retried.failures)) == (1, 3)


def test_one_sound_that_cannot_be_heard_does_not_take_its_neighbours_along(study, tmp_path):
    class Deaf(Loudness):
        def hear(self, sounds):
            if any(sound.path.endswith("c2.wav") for sound in sounds):
                raise VideoError("unreadable", sounds[0].path, "gave NaN")
            return super().hear(sounds)

    summary = extract_sound(study, tmp_path / "cache", Deaf(at_once=6))
    assert [(failure.clip_id, failure.message) for failure in summary.failures] == [("c2", "gave NaN")]
    assert summary.written == 5


def test_what_is_odd_is_noted(study, tmp_path):
    write_film(tmp_path / "c0.mkv", tone(), tracks=2)
    shutil.move(tmp_path / "c0.mkv", tmp_path / "c0.wav")
    summary = extract_sound(study, tmp_path / "cache", Loudness())
    assert summary.notes == {"c0": ("holds 2 sound tracks: the first is taken, as the recipe says",)}
    assert "2 sound tracks" in (tmp_path / "cache/notes.csv").read_text()


def test_another_recipe_and_another_file_are_refused(study, tmp_path):
    cache, other = tmp_path / "cache", Loudness()
    extract_sound(study, cache, Loudness())
    other.recipe = dataclasses.replace(other.recipe, sampling_rate=8000)
    assert fingerprint(other.recipe) != fingerprint(Loudness().recipe)
    with pytest.raises(RecipeMismatchError, match="sampling_rate: 16000 there, 8000 asked for"):
        extract_sound(study, cache, other)
    moved = dataclasses.replace(study.clips[0], path="c5.wav")
    with pytest.raises(CacheError, match=r"clip c0 is .*c5\.wav, another video than"):
        extract_sound(study.where([moved]), cache, Loudness())


def test_a_plan_counts_what_is_left_and_writes_nothing(study, tmp_path):
    (tmp_path / "c5.wav").unlink()
    plan = plan_sound(study, tmp_path / "cache", Loudness().recipe)
    assert (plan.clips, plan.rows, plan.unreadable, plan.fits) == (6, 120, {"missing": 1}, True)
    assert plan.seconds == pytest.approx(1.2)
    assert not (tmp_path / "cache").exists()
    extract_sound(study, tmp_path / "cache", Loudness())
    assert plan_sound(study, tmp_path / "cache", Loudness().recipe).clips == 0
    assert plan_sound(study, tmp_path / "cache", Loudness().recipe, retry_failed=True).clips == 1


DEADLY = """
import os, signal, sys
from sounds import Loudness
from vjepa_fer.extract import ExtractSettings
from vjepa_fer.manifest import read_manifest
from vjepa_fer.sound import extract_sound

class Deadly(Loudness):
    def hear(self, sounds):
        if sounds[0].path.endswith("c3.wav"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().hear(sounds)

for _ in range(4):
    if not (pid := os.fork()):
        settings = ExtractSettings(shard_bytes=1)
        done = extract_sound(read_manifest(sys.argv[1]), sys.argv[2], Deadly(), settings=settings)
        os._exit(len(done.failures))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_a_killed_job_goes_on_where_it_was_and_a_clip_that_kills_three_is_listed(study, tmp_path):
    words = [sys.executable, "-c", DEADLY, tmp_path / "clips.csv", tmp_path / "cache"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["-9", "-9", "-9", "1"]
    cache = open_cache(tmp_path / "cache")
    assert cache.failures["c3"].reason == "worker_died"
    assert list((tmp_path / "cache" / CLAIMS).iterdir()) == []
    extract_sound(study, tmp_path / "whole", Loudness())
    whole = rows_of(tmp_path / "whole")
    ours = rows_of(tmp_path / "cache")
    assert set(ours) == set(whole) - {"c3"}
    for clip_id, (values, _) in ours.items():
        np.testing.assert_array_equal(values, whole[clip_id][0])
