"""A real Ray on this machine: what its workers do together is what one process would have done, whoever of them dies."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from caches import write_counted_cache
from test_extract import manifest_of
from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.claims import CLAIMS
from vjepa_fer.cli.main import app
from vjepa_fer.engines import Needs, RayEngine, needs, ray_engine
from vjepa_fer.errors import EngineError, RunError
from vjepa_fer.experiment import Cell, Experiment, Protocol
from vjepa_fer.extract import ExtractSettings, Order, extract_manifest
from vjepa_fer.manifest import write_manifest
from vjepa_fer.recipe import Sampling
from vjepa_fer.sweep import UNFINISHED, run_experiment, run_experiment_on_cluster

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals")
TWO = RayEngine(workers=2, cpus_per_worker=1)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One for all: an engine goes on with the one that there is. Ray would have its workers wait for whatever else the machine does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def done_by(work, folder, engine=TWO, **options):
    said = []
    return engine.run(work, Needs.of([], [], folder), tell=said.append, **options), said


def test_workers_that_die_are_started_anew(tmp_path):
    folder = str(tmp_path)

    def dies_once(desk):
        mark = os.path.join(folder, "died")
        if not os.path.exists(mark):
            open(mark, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    ended, _ = done_by(dies_once, tmp_path)
    assert [one.value for one in ended] == ["done", "done"]


def test_one_that_always_dies_is_said_and_the_others_come_through(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, "MOST_RESTARTS", 1)
    folder = str(tmp_path)

    def one_dies(desk):
        try:
            os.mkdir(os.path.join(folder, "taken"))
        except FileExistsError:
            return "done"
        raise LookupError("a fault of ours")

    ended, said = done_by(one_dies, tmp_path)
    assert [one.value for one in ended] == ["done"]
    assert "1 of 2 workers did not come through" in said[1]
    assert any("LookupError: a fault of ours" in line for line in said)


def test_a_death_that_comes_back_is_raised_when_nobody_comes_through(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_engine, "MOST_RESTARTS", 1)

    def dies(desk):
        time.sleep(1)  # so that it has been asked how far it is
        os.write(2, b"what it said last\n")
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(EngineError) as raised:
        done_by(dies, tmp_path, RayEngine(workers=1, cpus_per_worker=1))
    assert "what it said last" in str(raised.value)


def test_what_all_refuse_is_raised_in_its_own_words_once(tmp_path):
    def refuse(desk):
        raise RunError("this folder holds another run")

    with pytest.raises(EngineError) as raised:
        done_by(refuse, tmp_path)
    assert raised.value.lines == ("this folder holds another run",)


def test_a_worker_that_never_gets_room_is_given_up(tmp_path):
    ended, said = done_by(lambda desk: "done", tmp_path, RayEngine(workers=4, cpus_per_worker=2))
    assert {one.value for one in ended} == {"done"}
    assert said[0] == "ray: 4 workers on 1 machine, each with 2 cores"


def test_a_worker_whose_room_went_to_others_when_it_died_gets_that_of_one_who_is_through(tmp_path):
    folder = str(tmp_path)
    begun, taken, died, over = (os.path.join(folder, name) for name in ("begun", "taken", "died", "over"))

    def wait_for(path):
        while not os.path.exists(path):
            time.sleep(0.05)

    def one_dies(desk):
        try:
            open(begun, "x").close()
        except FileExistsError:
            pass
        else:
            wait_for(died)
            os.kill(os.getpid(), signal.SIGKILL)
        wait_for(taken)
        return "done"

    def take():
        open(taken, "x").close()
        wait_for(over)

    def greedy():
        wait_for(begun)
        asked = ray.remote(num_cpus=1, max_retries=0)(take).remote()
        time.sleep(1)  # it is in the queue
        open(died, "x").close()
        return asked

    with ThreadPoolExecutor() as pool:
        waits = pool.submit(greedy)
        ended, said = done_by(one_dies, tmp_path)
    open(over, "x").close()
    ray.get(waits.result())
    assert ([one.value for one in ended], said[1:]) == (["done", "done"], [])


def test_more_than_a_machine_has_is_refused(tmp_path):
    with pytest.raises(EngineError, match=r"has room for a worker of 1 cores and 3 GPUs .*--gpus-per-worker"):
        done_by(print, tmp_path, RayEngine(gpus_per_worker=3))


def test_what_machines_lack_is_named_before_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(needs, "__version__", "9.9.9")
    with pytest.raises(EngineError, match=r"has vjepa-fer 0\.1\.0, this machine has 9\.9\.9"):
        done_by(lambda desk: (tmp_path / "begun").touch(), tmp_path)
    monkeypatch.undo()
    with pytest.raises(EngineError, match=r"does not see /nowhere/clips\.csv"):
        TWO.run(lambda desk: (tmp_path / "begun").touch(), Needs(("/nowhere/clips.csv",), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_has_all_stop_and_what_they_hold_written(tmp_path):
    folder = str(tmp_path)

    def works_on(desk):
        try:
            while True:
                desk.reach(1)
                open(os.path.join(folder, f"{os.getpid()}.begun"), "w").close()
                time.sleep(0.05)
        finally:
            open(os.path.join(folder, f"{os.getpid()}.written"), "w").close()

    def show(states):
        if len(list(tmp_path.glob("*.begun"))) == 2 and len(states) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        done_by(works_on, tmp_path, show=show)
    pids = [int(path.stem) for path in tmp_path.glob("*.written")]
    assert len(pids) == 2
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < end, "an actor is left"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Clips, a manifest of them, one of them broken, and the cache of one process."""
    folder = tmp_path_factory.mktemp("study")
    paths = [write_video(folder / f"v{n}.mp4", 16 + n) for n in range(8)]
    paths[3].write_text("no video")
    manifest = manifest_of(paths)
    write_manifest(manifest, folder / "clips.csv")
    order = Order(
        manifest=manifest,
        cache=folder / "whole",
        model="tiny-v21",
        weights="random:1",
        sampling=Sampling(frame_step=1),
        settings=ExtractSettings(workers=0),
    )
    extract_manifest(manifest, order.cache, *order.load(), settings=order.settings)
    return folder


def test_an_extraction_has_the_rows_of_one_process(study, tmp_path):
    words = ["--model", "tiny-v21", "--weights", "random:1", "--frame-step", 1, "--workers", 0]
    cluster = ["--engine", "ray", "--machines", 2, "--cpus-per-worker", 1]
    done = run("extract", study / "clips.csv", tmp_path / "cache", *words, *cluster)
    assert done.exit_code == 4, done.stderr
    assert "7 clips written" in " ".join(done.stderr.split())
    assert "failed: v3 (not_video)" in done.stderr
    whole, cache = open_cache(study / "whole"), open_cache(tmp_path / "cache")
    assert {c.clip.clip_id: c.level("mean").tobytes() for c in cache} == {
        c.clip.clip_id: c.level("mean").tobytes() for c in whole
    }
    assert sum(len(shard.clip_runs) for shard in cache.shards) == 7
    assert list((tmp_path / "cache" / CLAIMS).iterdir()) == []
    other = run("extract", study / "clips.csv", tmp_path / "cache", *words, "--level", "tokens", *cluster)
    assert other.exit_code == 1
    assert "storage.levels" in str(other.exception)


def test_a_sweep_has_the_runs_of_one_process(tmp_path):
    cache = write_counted_cache(tmp_path / "cache")
    cells = (Cell(probe="knn", params={"k": 1}), Cell(probe="centroid"))
    asked = Experiment(cache=str(cache), cells=cells, protocol=Protocol(folds="subject-kfold:4"))
    alone, steps = run_experiment(asked, out=tmp_path / "alone"), []
    outcome = run_experiment_on_cluster(
        asked, TWO, out=tmp_path / "runs", reach=lambda done, total: steps.append((done, total))
    )
    assert [one["war"] for one in outcome.results] == [one["war"] for one in alone.results]
    assert sorted(os.listdir(tmp_path / "runs")) == sorted(os.listdir(tmp_path / "alone"))
    assert not (tmp_path / "runs" / UNFINISHED).exists()


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")  # Ray warns of its own defaults
def test_a_dataset_of_rays_has_the_rows_of_the_cache(tmp_path):
    cache = open_cache(write_counted_cache(tmp_path / "cache"))
    rows = cache.to_ray_dataset("mean", clips_per_block=-(-len(cache) // 2)).take_all()
    there = {(row["clip_id"], row["label"], row["subject"], row["multiplicity"], row["x"].tobytes()) for row in rows}
    assert len(rows) == sum(map(len, cache))
    assert there == {
        (clip.clip.clip_id, clip.clip.label, clip.clip.subject, count, x.tobytes())
        for clip in cache
        for count, x in zip(clip.multiplicity, clip.level("mean"), strict=True)
    }
