"""What an engine is told and tells, without any engine: how far work is, what a machine lacks, and which options belong together."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from caches import small_manifest, write_counted_cache, write_small_cache
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.ray_data import rows_of
from vjepa_fer.cli.main import app
from vjepa_fer.engines import Desk, Ended, Needs, State, StoppedError, needs, ray_engine
from vjepa_fer.engines.worker import Worker
from vjepa_fer.errors import MissingExtraError, RunError
from vjepa_fer.extract import Order, make_recipe
from vjepa_fer.extract.clock import Profile
from vjepa_fer.extract.on_cluster import Tally
from vjepa_fer.perturb import perturbation
from vjepa_fer.recipe import Sampling


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_work_that_shall_stop_learns_so_when_it_says_how_far_it_is():
    desk = Desk()
    desk.reach(3, 7)
    desk.keep(2)
    state = desk.state()
    assert (state.done, state.total, state.kept) == (3, 7, 2)
    desk.stop()
    with pytest.raises(StoppedError):
        desk.reach(4, 7)


def test_however_a_work_ends_a_worker_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("vjepa_fer.engines.worker.use_at_most", lambda cores: None)
    monkeypatch.chdir(tmp_path)
    worker = Worker(str(tmp_path / "nowhere"), 1)

    def refuse(desk):
        raise RunError("one line", "another")

    def fail(desk):
        raise LookupError("a fault of ours")

    def stop(desk):
        desk.stop()
        desk.reach(1)

    assert worker.run(lambda desk: 5) == Ended(5)
    assert worker.run(refuse) == Ended(refused=("one line", "another"))
    assert "LookupError: a fault of ours" in worker.run(fail).broken
    assert worker.run(stop) == Ended(is_stopped=True)
    assert [Ended(5).is_good, Ended(broken="x").is_good, Ended(is_stopped=True).is_good] == [True, False, False]


def test_clips_of_a_process_that_died_count_as_far_as_they_are_on_disk():
    tally = Tally()
    assert tally.count({0: State(pid=1, done=5, kept=3), 1: State(pid=2, done=1)}) == 6
    assert tally.count({0: State(pid=9, done=0), 1: State(pid=2, done=2)}) == 5
    assert tally.count({0: State(pid=9, done=4), 1: State(pid=2, done=2)}) == 9


def test_shares_of_several_processes_are_their_mean():
    one = Profile(wall_seconds=4, busy={"encode": 1.0}, waits={"decode": 0.0}, bottleneck="encode")
    other = Profile(wall_seconds=2, busy={"encode": 0.5}, waits={"decode": 0.5}, bottleneck="decode")
    both = Profile(wall_seconds=4, busy={"encode": 0.75}, waits={"decode": 0.25}, bottleneck="encode")
    assert Profile.of_all([one, other]) == both


class LostMachine:
    """Ray of a cluster of which the machine of every worker but the first is gone, and no other has room."""

    def __init__(self):
        self.killed, self.references = [], iter(range(100))

    def remote(self, **options):
        return lambda kind: SimpleNamespace(
            remote=lambda *words: SimpleNamespace(run=self.asks("run"), state=self.asks("state"))
        )

    def asks(self, what):
        return SimpleNamespace(remote=lambda *words: (what, next(self.references)))

    def put(self, work):
        return work

    def wait(self, references, num_returns=1, timeout=None):
        return [one for one in references if one == ("run", 0)], []

    def get(self, reference):
        return Ended("done")

    def kill(self, actor):
        self.killed.append(actor)


def test_a_worker_that_is_silent_when_all_is_done_is_given_up(monkeypatch):
    monkeypatch.setattr(ray_engine, "SILENT_SECONDS", 0.05)
    crew = ray_engine._Crew(LostMachine(), SimpleNamespace(cpus=1, gpus=0, workers=2), work=None)
    assert [one.value for one in crew.watch(lambda states: None, print)] == ["done"]
    assert len(crew._ray.killed) == 1


def test_a_machine_with_everything_lacks_nothing_and_no_mark_is_left(tmp_path):
    video = tmp_path / "v.mp4"
    video.touch()
    with Needs.of([video], ["gone.mp4"], tmp_path / "not" / "yet").look() as look:
        assert look() == []
        assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == [video]


def test_paths_another_disk_and_another_version_are_named(tmp_path, monkeypatch):
    asked = Needs(tuple(f"/nowhere/{n}.mp4" for n in range(5)), tmp_path)
    with asked.look() as look:
        for mark in tmp_path.iterdir():
            mark.unlink()
        paths, disk = look()
    assert paths == "does not see /nowhere/0.mp4, /nowhere/1.mp4, /nowhere/2.mp4 …"
    assert disk == f"has another disk than this machine at {tmp_path}: all must write to one folder"
    monkeypatch.setattr(needs, "__version__", "9.9.9")
    with asked.look() as look:
        (said,) = look()
    assert said == "has vjepa-fer 0.1.0, this machine has 9.9.9: install the same one"


def test_of_many_videos_some_are_looked_for_from_the_first_to_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr(needs, "MOST_LOOKED_FOR", 3)
    videos = [tmp_path / f"{n}.mp4" for n in range(7)]
    for video in videos:
        video.touch()
    assert [Path(path).stem for path in Needs.of([], map(str, videos), tmp_path).reads] == ["0", "3", "6"]


def test_the_look_brings_its_code_along(tmp_path):
    """A machine without vjepa-fer could not find it by its name."""
    with Needs.of([], [], tmp_path).look() as look:
        assert "<locals>" in look.__qualname__
        assert not {name for name in look.__code__.co_names if name in vars(needs)} - {"os"}


@pytest.mark.parametrize("command", [["probe", "c"], ["extract", "m.csv", "c", "--model", "tiny-v21"]])
def test_options_of_a_cluster_want_one(command):
    done = run(*command, "--address", "a:1", "--gpus-per-worker", 1)
    assert done.exit_code == 2
    assert "--address and --gpus-per-worker of a cluster: add --engine ray" in done.stderr


def test_a_cluster_fills_one_cache(monkeypatch):
    monkeypatch.setattr("vjepa_fer.extras.find_spec", lambda name: True)
    done = run("extract", "m.csv", "--into", "c=c.toml", "--engine", "ray")
    assert done.exit_code == 2
    assert "--engine ray fills one cache: give CACHE and --model" in " ".join(done.stderr.split())


def test_what_a_worker_is_told_goes_to_another_process_and_makes_the_recipe_that_was_asked_for(tmp_path):
    asked = {"sampling": Sampling(frame_step=1), "num_views": 3, "perturb": perturbation(["dark:5", "flip"], seed=3)}
    order = Order(manifest=small_manifest(), cache=tmp_path, model="tiny-v21", weights="random:1", **asked)
    (encoder,), recipe = pickle.loads(pickle.dumps(order)).load()  # noqa: S301
    assert recipe == make_recipe(encoder, **asked)
    assert recipe.preprocessing.interpolation == encoder.preprocessing.interpolation


def test_a_sweep_on_a_cluster_wants_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("vjepa_fer.extras.find_spec", lambda name: True)
    done = run("probe", write_counted_cache(tmp_path / "cache"), "--engine", "ray")
    assert done.exit_code == 2
    assert "--engine ray needs --out" in done.stderr


def test_without_ray_the_pip_line_is_said_and_nothing_begun(tmp_path, monkeypatch):
    monkeypatch.setattr("vjepa_fer.extras.find_spec", lambda name: None if name == "ray" else True)
    done = run("probe", write_counted_cache(tmp_path / "cache"), "--engine", "ray", "--out", tmp_path / "runs")
    assert isinstance(done.exception, MissingExtraError)
    assert "pip install 'vjepa-fer[ray]'" in str(done.exception)
    assert not (tmp_path / "runs").exists()


def test_the_rows_of_a_dataset_of_rays_are_those_of_the_clips(tmp_path):
    write_small_cache(tmp_path)
    cache = open_cache(tmp_path)
    batch = rows_of(cache, "mean", np.array([1, 0]))
    want = np.concatenate([cache[1].level("mean", dtype="stored"), cache[0].level("mean", dtype="stored")])
    assert batch["x"].tobytes() == want.tobytes()
    ids = [cache[1].clip.clip_id] * len(cache[1]) + [cache[0].clip.clip_id] * len(cache[0])
    assert batch["clip_id"].tolist() == ids
    assert {len(column) for column in batch.values()} == {len(ids)}
    assert batch["multiplicity"].tolist() == [*cache[1].multiplicity, *cache[0].multiplicity]
