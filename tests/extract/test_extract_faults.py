"""What a machine does to a long job: kills, signals, full disks, two jobs at once, memory that runs out."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from forked import Started, run_code
from test_extract import all_levels, check_equal, manifest_of
from videos import write_video
from vjepa_fer.cache import layout, open_cache
from vjepa_fer.claims import CLAIMS
from vjepa_fer.disk import PARTIAL_SUFFIX
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import CacheError, VjepaFerError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe, side
from vjepa_fer.extract.batches import Batcher
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.encode import encode_clips
from vjepa_fer.extract.writing import BackgroundWriter
from vjepa_fer.manifest import Clip, write_manifest
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.video.in_line import read_in_line

NUM_CLIPS = 12


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny-v21", weights="random:1")


@pytest.fixture(scope="module")
def recipe(encoder):
    storage = Storage(levels=("mean", "tokens"))
    return make_recipe(encoder, sampling=Sampling(frame_step=1), storage=storage)


@pytest.fixture(scope="module")
def study(tmp_path_factory, encoder, recipe):
    """A folder with clips, a manifest of them, and the cache of an undisturbed run."""
    folder = tmp_path_factory.mktemp("study")
    manifest = manifest_of([write_video(folder / f"v{i}.mp4", 16 + 3 * i) for i in range(NUM_CLIPS)])
    write_manifest(manifest, folder / "clips.csv")
    extract_manifest(manifest, folder / "whole", encoder, recipe, settings=ExtractSettings(workers=0))
    return folder


DEADLY = """
import os, signal, sys
import torch
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import ExtractSettings, extract_manifest, job, make_recipe
from vjepa_fer.manifest import read_manifest
from vjepa_fer.recipe import Sampling, Storage

def alive(read, routes):
    return (read, routes) if read.clip.clip_id != "v4" else os.kill(os.getpid(), signal.SIGKILL)

def encode(reads, routes, real=job.encode_together):
    real((alive(*one) for one in reads), routes)

job.encode_together = encode
torch.set_num_threads(1)
encoder = load_encoder("tiny-v21", weights="random:1")
recipe = make_recipe(encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=("mean", "tokens")))
for _ in range(4):
    if not (pid := os.fork()):
        done = extract_manifest(read_manifest(sys.argv[1]), sys.argv[2], encoder, recipe, settings=ExtractSettings(workers=1))
        os._exit(len(done.failures))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_a_clip_that_kills_its_process_is_tried_three_times_and_listed_and_the_rest_is_done(study, tmp_path):
    done = run_code(DEADLY, study / "clips.csv", tmp_path / "cache")
    assert done.stdout.split() == ["-9", "-9", "-9", "1"], done.stderr
    cache = open_cache(tmp_path / "cache")
    assert len(cache) == NUM_CLIPS - 1
    assert cache.failures["v4"].reason == "worker_died"
    assert "3 processes died" in cache.failures["v4"].message
    assert list((tmp_path / "cache" / CLAIMS).iterdir()) == []


CHILD = """
import os, sys, time
import torch
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.extract.lanes import Lanes
from vjepa_fer.manifest import read_manifest
from vjepa_fer.recipe import Sampling, Storage

def slow(self, rows, real=Lanes.run):
    time.sleep(0.05)
    real(self, rows)

Lanes.run = slow
encoder = load_encoder("tiny-v21", weights="random:1")
recipe = make_recipe(encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=("mean", "tokens")))
settings = ExtractSettings(shard_bytes=20_000, workers=1, batch_size=1)
torch.set_num_threads(3)  # unlike the process of the tests
print("ready", flush=True)
while not os.path.exists(sys.argv[3]):
    time.sleep(0.01)
report = lambda ids: print(*ids, sep="\\n", flush=True)
summary = extract_manifest(read_manifest(sys.argv[1]), sys.argv[2], encoder, recipe, settings=settings, report=report)
print("end", summary.written, flush=True)
"""


def start_children(study, cache, count=1):
    """Jobs on one cache, all let go at the same moment."""
    gate = cache.with_name("gate")
    gate.unlink(missing_ok=True)
    children = [Started(CHILD, study / "clips.csv", cache, gate) for _ in range(count)]
    for child in children:
        assert child.out.readline() == "ready\n"
    gate.touch()
    return children


def check_finished(study, cache, encoder, recipe):
    """After a last, undisturbed run: every row as in the cache of a job that nothing happened to."""
    manifest = manifest_of([study / f"v{i}.mp4" for i in range(NUM_CLIPS)])
    extract_manifest(manifest, cache, encoder, recipe, settings=ExtractSettings(workers=0))
    check_equal(all_levels(study / "whole"), all_levels(cache))
    assert sum(len(shard) for shard in open_cache(cache).shards) == sum(map(len, open_cache(study / "whole").shards))
    assert not list((cache / layout.SHARDS).glob(f"*{PARTIAL_SUFFIX}"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_what_was_reported_done_survives_kills_at_random_moments(tmp_path, study, encoder, recipe):
    reported: set[str] = set()
    moments = random.Random(0)
    for least_reports in (3, 1, 2):
        (child,) = start_children(study, tmp_path / "cache")
        first = [child.out.readline() for _ in range(least_reports)]
        time.sleep(moments.uniform(0, 0.3))
        child.kill()
        lines = "".join([*first, child.end()]).split("\n")
        reported |= {line for line in lines if line.startswith("v")}
        if (tmp_path / "cache" / layout.MANIFEST_CSV).exists():
            assert reported <= open_cache(tmp_path / "cache").done
    check_finished(study, tmp_path / "cache", encoder, recipe)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_two_processes_share_a_manifest_without_doubling_it_and_one_may_die(tmp_path, study, encoder, recipe):
    children = start_children(study, tmp_path / "cache", 3)
    wait_for(lambda: len(list((tmp_path / "cache" / CLAIMS).glob("*.0"))) >= 6)
    children[0].kill()
    written = [child.end().count("v") for child in children]
    assert min(written[1:]) > 0
    assert sum(written) <= NUM_CLIPS
    check_finished(study, tmp_path / "cache", encoder, recipe)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_polite_stop_writes_the_open_shard_and_says_how_to_go_on(tmp_path, study, encoder, recipe, number, status):
    program = CHILD.split("encoder = load")[0] + "from vjepa_fer.cli.main import main\nmain()"
    words = ["extract", "clips.csv", str(tmp_path / "cache"), "--model", "tiny-v21", "--weights", "random:1"]
    words += ["--frame-step", "1", "--level", "mean", "--level", "tokens", "--workers", "1", "--batch-size", "1"]
    command = [sys.executable, "-c", program, *words]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=study)
    wait_for(lambda: (tmp_path / "cache" / CLAIMS).is_dir() and len(list((tmp_path / "cache" / CLAIMS).iterdir())) > 9)
    child.send_signal(number)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == status, said
    done = len(open_cache(tmp_path / "cache").done)
    assert f"stopped: {done} clips are in" in said
    assert 0 < done < NUM_CLIPS
    assert "the same command goes on from there" in said
    assert not list((tmp_path / "cache" / CLAIMS).iterdir())
    check_finished(study, tmp_path / "cache", encoder, recipe)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 512 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_in_one_message_and_the_job_resumes_after_space_is_made(small_disk, study, encoder, recipe):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(300_000))
    manifest = manifest_of([study / f"v{i}.mp4" for i in range(NUM_CLIPS)])
    settings = ExtractSettings(shard_bytes=20_000, workers=0)
    with pytest.raises(CacheError, match=r"the disk is full .* all before it is safe. Make room and run the same"):
        extract_manifest(manifest, small_disk / "cache", encoder, recipe, settings=settings)
    assert 0 < len(open_cache(small_disk / "cache").done) < NUM_CLIPS
    assert not list((small_disk / "cache" / layout.SHARDS).glob(f"*{PARTIAL_SUFFIX}"))
    ballast.unlink()
    check_finished(study, small_disk / "cache", encoder, recipe)


def test_a_disk_that_cannot_be_written_is_said(small_disk, study, encoder, recipe):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    manifest = manifest_of([study / "v0.mp4"])
    with pytest.raises(CacheError, match=r"cannot be written \(.*Read-only file system"):
        extract_manifest(manifest, small_disk / "cache", encoder, recipe, settings=ExtractSettings(workers=0))


def out_of_memory_above(encoder, most, error=None):
    """The encoder on a device that holds `most` windows at once."""
    inside = threading.Semaphore(most)

    class Module(torch.nn.Module):
        def forward(self, pixels):
            taken = [inside.acquire(blocking=False) for _ in pixels]
            try:
                if not all(taken):
                    raise error or torch.OutOfMemoryError("CUDA out of memory")
                time.sleep(0.01)  # so that lanes meet
                return encoder.module(pixels)
            finally:
                for _ in range(sum(taken)):
                    inside.release()

    return dataclasses.replace(encoder, module=Module())


def test_running_out_of_device_memory_halves_the_batch_and_goes_on(tmp_path, study, encoder, recipe, monkeypatch):
    made = []

    def batches(encoder, recipe, clock, *, batch_size, share):
        made.append(Batcher(encoder, recipe, clock, size=batch_size))
        return made[-1]

    monkeypatch.setattr(side, "row_encoder", batches)
    manifest = manifest_of([study / f"v{i}.mp4" for i in range(NUM_CLIPS)])
    small = out_of_memory_above(encoder, 3)
    summary = extract_manifest(manifest, tmp_path, small, recipe, settings=ExtractSettings(batch_size=8, workers=0))
    assert (summary.written, made[0].size) == (NUM_CLIPS, 2)
    for clip_id, levels in all_levels(study / "whole").items():
        np.testing.assert_allclose(open_cache(tmp_path)[int(clip_id[1:])].level("mean"), levels["mean"], atol=1e-5)


def test_running_out_of_memory_on_a_cpu_halves_the_lanes_and_changes_no_bit(tmp_path, study, encoder, recipe):
    cpu = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    manifest, threads = manifest_of([study / f"v{i}.mp4" for i in range(NUM_CLIPS)]), torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        small = out_of_memory_above(encoder, 1, cpu)
        summary = extract_manifest(manifest, tmp_path, small, recipe, settings=ExtractSettings(workers=0))
    finally:
        torch.set_num_threads(threads)
    assert summary.written == NUM_CLIPS
    check_equal(all_levels(study / "whole"), all_levels(tmp_path))


def test_a_device_too_small_for_one_window_is_said(tmp_path, study, encoder, recipe):
    manifest = manifest_of([study / "v0.mp4"])
    with pytest.raises(VjepaFerError, match="does not fit into the memory of cpu with a single window"):
        extract_manifest(manifest, tmp_path, out_of_memory_above(encoder, 0), recipe)


def test_two_devices_give_the_rows_of_one(tmp_path, study, encoder, recipe):
    manifest = manifest_of([study / f"v{i}.mp4" for i in range(NUM_CLIPS)])
    extract_manifest(manifest, tmp_path, [encoder, encoder], recipe, settings=ExtractSettings(workers=2))
    check_equal(all_levels(study / "whole"), all_levels(tmp_path))


def test_the_neighbours_in_a_batch_change_no_bit(study, encoder, recipe):
    rows = {}
    for name, order in (("up", range(NUM_CLIPS)), ("down", reversed(range(NUM_CLIPS)))):
        clips = [Clip(f"v{i}", str(study / f"v{i}.mp4"), "happy", "s") for i in order]
        reads, levels = read_in_line(clips, recipe.sampling, recipe.preprocessing), rows.setdefault(name, {})
        batches = Batcher(encoder, recipe, StageClock(), size=5)
        encode_clips(reads, batches, 1, lambda clip, done, levels=levels: levels.update({clip.clip_id: done.levels}))
    check_equal(rows["up"], rows["down"])


def test_a_manifest_edited_between_runs_adds_its_new_clips_and_keeps_the_old(tmp_path, study, encoder, recipe):
    first, second = ([study / f"v{i}.mp4" for i in numbers] for numbers in ((0, 1, 2), (2, 3)))
    extract_manifest(manifest_of(first), tmp_path, encoder, recipe)
    summary = extract_manifest(manifest_of(second), tmp_path, encoder, recipe)
    assert (summary.written, summary.skipped) == (1, 1)
    assert [clip.clip_id for clip in open_cache(tmp_path).clips] == ["v0", "v1", "v2", "v3"]


def test_a_finished_clip_may_move_but_not_become_another_video(tmp_path, study, encoder, recipe):
    moved = tmp_path / "v0.mp4"
    shutil.copy(study / "v0.mp4", moved)
    extract_manifest(manifest_of([study / "v0.mp4"]), tmp_path / "cache", encoder, recipe)
    assert extract_manifest(manifest_of([moved]), tmp_path / "cache", encoder, recipe).skipped == 1
    other = shutil.copy(study / "v3.mp4", tmp_path / "v0.avi")
    with pytest.raises(CacheError, match=r"clip v0 is .*v0\.avi, another video than .*v0\.mp4, which"):
        extract_manifest(manifest_of([other]), tmp_path / "cache", encoder, recipe)
    assert open_cache(tmp_path / "cache").clips[0].path == str(moved)


def test_a_shard_is_closed_when_it_is_old_even_if_no_clip_comes(tmp_path, study, recipe):
    from caches import small_manifest, small_recipe, small_rows
    from vjepa_fer.cache.folder import prepare_cache

    small, told = small_recipe(), []
    prepare_cache(tmp_path, small, small_manifest())
    writer = BackgroundWriter(
        tmp_path, small, StageClock(), shard_bytes=1 << 30, shard_seconds=0.1, report=lambda ids: told.extend(ids)
    )
    with writer:
        writer.put(small_rows("c0", small))
        wait_for(lambda: told == ["c0"])
        assert open_cache(tmp_path).done == {"c0"}


def test_the_clock_names_the_stage_that_the_others_wait_for():
    clock = StageClock()
    clock._started -= 10
    clock.add("encode", 1)
    assert clock.profile(workers=1, devices=1).bottleneck == "encode"
    clock.add("wait for decode", 2)
    assert "more --workers" in str(clock.profile(workers=1, devices=1))
    clock.add("wait for write", 3)
    assert clock.profile(workers=1, devices=1).bottleneck == "write"


def test_profile_prints_each_stage_and_names_the_bottleneck(tmp_path, study):
    from test_cli import run

    words = ["extract", "clips.csv", tmp_path / "c", "--model", "tiny-v21", "--weights", "random:1", "--profile"]
    done = run(*words, cwd=study)
    assert all(stage in done.stdout for stage in ("decode", "transfer", "encode", "write", "device waits for it"))
    assert "bottleneck: " in done.stderr
    assert "windows/s" in done.stderr
