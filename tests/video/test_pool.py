"""Decode workers: the same pixels as in line, capped memory, and no file that can stop them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from videos import write_video
from vjepa_fer.errors import VideoError, VjepaFerError
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video import decode_process, reading
from vjepa_fer.video.arena import Arena, ArenaClosedError
from vjepa_fer.video.in_line import read_in_line
from vjepa_fer.video.pool import DecodePool
from vjepa_fer.video.pool_settings import PoolSettings, default_workers

SAMPLING, PREPROCESSING = Sampling(frame_step=2), Preprocessing(crop_size=32, num_views=3)


@dataclass(frozen=True)
class Item:
    path: str
    clip_id: str = "one"


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return [Item(str(write_video(folder / f"v{i}.mp4", 15 + 7 * i))) for i in range(6)]


def read_all(items, **settings):
    """Path → (frames, timestamps, rows, hash) or the reason, and the pool."""
    found = {}
    with DecodePool(items, SAMPLING, PREPROCESSING, PoolSettings(**settings)) as decoding:
        for result in decoding:
            found[result.clip.path] = result.error or contents(result)
            result.release()
    return found


def contents(result):
    pixels = result.pixels
    return pixels.frames.copy(), pixels.timestamps, pixels.rows, pixels.windows, result.source_sha256


def worker_that(monkeypatch, body):
    """Replace what workers do with a clip: `body` sees `path` and may fall through to the real thing."""
    program = (
        "import os, signal, time\n"
        "from vjepa_fer.video import worker\n"
        "real = worker.read_together\n"
        "def fake(path, *rest, **options):\n"
        f"    {body}\n"
        "    return real(path, *rest, **options)\n"
        "worker.read_together = fake\n"
        "worker.main()\n"
    )
    monkeypatch.setattr(decode_process, "WORKER_PROGRAM", program)


def test_workers_read_what_is_read_in_line(items):
    missing = Item("/nowhere/v.mp4")
    ahead = read_all([*items, missing], workers=2, memory_bytes=1 << 20)
    in_line = {r.clip.path: r.error or contents(r) for r in read_in_line([*items, missing], SAMPLING, PREPROCESSING)}
    assert ahead.keys() == in_line.keys()
    assert ahead[missing.path].reason == in_line[missing.path].reason == "missing"
    for item in items:
        for a, b in zip(ahead[item.path], in_line[item.path], strict=True):
            np.testing.assert_array_equal(a, b)


def test_memory_is_capped_and_a_clip_waits_for_room(items):
    size = 50 * 32 * 42 * 3  # at least the largest clip
    with DecodePool(items, SAMPLING, PREPROCESSING, PoolSettings(workers=2, memory_bytes=size * 2)) as decoding:
        held = [next(iter(decoding))]
        time.sleep(1.5)
        assert decoding.arena.bytes_used <= size * 2
        held[0].release()
        assert len([r.release() for r in decoding]) == 5
        assert decoding.arena.bytes_used == 0


def test_a_clip_that_hangs_is_killed_with_its_worker_and_the_rest_goes_on(items, monkeypatch):
    worker_that(monkeypatch, "'v2.' in path and time.sleep(60)")
    started = time.monotonic()
    found = read_all(items, workers=1, timeout_seconds=1.5)
    assert time.monotonic() - started < 30
    errors = {p: e for p, e in found.items() if isinstance(e, VideoError)}
    assert [e.reason for e in errors.values()] == ["timeout"]
    assert "not decoded within 1.5 s" in str(errors[items[2].path])
    assert len(found) == 6


def test_a_worker_that_dies_costs_its_clip_only_when_it_dies_again(items, monkeypatch, tmp_path):
    once = tmp_path / "died"
    body = f"('v4.' in path or 'v1.' in path and not os.path.exists({str(once)!r})) and "
    body += f"(open({str(once)!r}, 'a').close(), os.kill(os.getpid(), signal.SIGSEGV))"
    worker_that(monkeypatch, body)
    found = read_all(items, workers=1)
    errors = {p: e for p, e in found.items() if isinstance(e, VideoError)}
    assert list(errors) == [items[4].path]
    assert errors[items[4].path].reason == "worker_died"
    assert "signal 11" in str(errors[items[4].path])


def test_workers_that_cannot_start_are_said_at_once(items, monkeypatch):
    monkeypatch.setattr(decode_process, "WORKER_PROGRAM", "raise SystemExit(7)")
    with pytest.raises(VjepaFerError, match=r"cannot start \(exit status 7\); --workers 0"):
        read_all(items, workers=2)


def test_closing_in_the_middle_leaves_no_process(items, monkeypatch):
    worker_that(monkeypatch, "time.sleep(60)")
    decoding = DecodePool(items, SAMPLING, PREPROCESSING, PoolSettings(workers=2))
    while len(decoding._workers) < 2:
        time.sleep(0.01)
    processes = [worker.process for worker in decoding._workers]
    decoding.close()
    assert all(process.poll() is not None for process in processes)


def test_a_clip_beyond_the_memory_is_refused_by_name(items):
    found = read_all(items[:1], workers=1, memory_bytes=4096)
    assert found[items[0].path].reason == "too_long"


def test_a_video_that_is_replaced_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", 20)
    real = reading.source_sha256

    def replace(name):
        os.utime(name, ns=(1, 1))
        return real(name)

    monkeypatch.setattr(reading, "source_sha256", replace)
    with pytest.raises(VideoError, match="replaced or written to while it was read"):
        reading.unchanged(path, lambda: reading.read_windows(path, SAMPLING, PREPROCESSING))


def test_a_clip_knows_the_hash_of_its_file(items):
    path = items[0].path
    _, sha256 = reading.unchanged(path, lambda: reading.read_windows(path, SAMPLING, PREPROCESSING))
    with open(items[0].path, "rb") as file:
        assert sha256 == hashlib.sha256(file.read()).hexdigest()


@pytest.mark.parametrize("said", ["", '{"sampling": '])
def test_a_worker_whose_parent_is_gone_ends_without_a_word(said):
    command = [sys.executable, "-c", decode_process.WORKER_PROGRAM]
    done = subprocess.run(command, input=said, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("", "")


def test_workers_import_no_torch():
    program = "import sys, vjepa_fer.video.worker; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (4, 2), (16, 14), (64, 32)])
def test_the_number_of_workers_follows_the_cores(cores, workers, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert default_workers() == workers


def test_an_arena_gives_out_no_byte_twice_and_reuses_what_comes_back():
    arena = Arena(1000 * 64)
    offsets = [arena.allocate(640) for _ in range(100)]
    assert sorted(offsets) == [640 * i for i in range(100)]
    arena.release(offsets[3])
    assert arena.allocate(100) == offsets[3]
    with pytest.raises(ValueError, match="64,064 bytes asked for; the arena has 64,000"):
        arena.allocate(64001)
    arena.close()


def test_who_waits_for_room_is_woken_by_a_release_and_by_the_end():
    arena = Arena(128)
    first = arena.allocate(128)
    got = []

    def ask():
        try:
            got.append(arena.allocate(64))
            arena.allocate(128)
        except ArenaClosedError:
            got.append("closed")

    thread = threading.Thread(target=ask)
    thread.start()
    arena.release(first)
    while not got:
        time.sleep(0.01)
    arena.close()
    thread.join(5)
    assert got == [0, "closed"]
