"""Several caches filled in one pass: each is, to the bit, what its recipe alone makes, and each clip is decoded once."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from forked import Started, run_code
from test_extract import all_levels, check_equal, manifest_of
from videos import keep_start, write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.cli.main import app
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import RecipeError, RecipeMismatchError, VideoError, VjepaFerError
from vjepa_fer.extract import ExtractSettings, Target, extract_manifest, extract_together, make_recipe
from vjepa_fer.manifest import Manifest, write_manifest
from vjepa_fer.recipe import Preprocessing, Sampling, Storage, fingerprint
from vjepa_fer.video import together
from vjepa_fer.video.reading import read_windows, unchanged
from vjepa_fer.video.together import Look, Reading, read_together

IN_LINE = ExtractSettings(workers=0)

LOOKS = [
    Look(Sampling(frame_step=2), Preprocessing(crop_size=32)),
    Look(Sampling(frame_step=1, num_segments=1, frames_per_window=8), Preprocessing(crop_size=48, num_views=3)),
    Look(Sampling(mode="sliding", frames_per_second=7.5, stride=4), Preprocessing(crop_size=32)),
    Look(Sampling(frame_step=2), Preprocessing(crop_size=32, interpolation="antialiased")),
    Look(Sampling(frame_step=3), Preprocessing(crop_size=32, square_pixels=True)),
]


def seen(found):
    """Everything of a look's result that a cache keeps."""
    if isinstance(found, VideoError):
        return found.reason, str(found)
    return (
        found.frames.tobytes(),
        found.windows,
        found.rows.tolist(),
        found.timestamps.tolist(),
        found.num_frames,
        found.notes,
    )


def each_alone(path, looks, **how):
    results = []
    for look in looks:
        try:
            pixels, sha256 = unchanged(path, partial(read_windows, path, *look, **how))
            results.append((seen(pixels), sha256))
        except VideoError as error:
            results.append((seen(error), ""))
    return results


def all_together(path, looks, **how):
    found = {number: (seen(one), sha256) for number, one, sha256 in read_together(path, looks, Reading(**how))}
    return [found[number] for number in range(len(looks))]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Of thirty frames, with an uneven clock, broken off, of no video at all, and one that is not there."""
    folder = tmp_path_factory.mktemp("films")
    uneven = np.cumsum(np.tile([0.02, 0.05, 0.03], 10)).tolist()
    (folder / "text.mp4").write_text("no film")
    return {
        "plain": write_video(folder / "plain.mp4", 30),
        "short": write_video(folder / "short.mp4", 3),
        "uneven": write_video(folder / "uneven.mkv", 30, seconds=uneven),
        "cut": keep_start(write_video(folder / "cut.mp4", 40), 0.6),
        "text": folder / "text.mp4",
        "absent": folder / "absent.mp4",
    }


@pytest.mark.parametrize("film", ["plain", "short", "uneven", "cut", "text", "absent"])
def test_every_look_sees_what_it_sees_alone(films, film):
    assert all_together(films[film], LOOKS) == each_alone(films[film], LOOKS)


def test_a_break_that_is_accepted_is_so_for_every_look(films):
    how = {"accept_truncated": True}
    assert all_together(films["cut"], LOOKS, **how) == each_alone(films["cut"], LOOKS, **how)


def test_a_look_that_asks_for_too_much_fails_by_itself(films):
    looks = [LOOKS[0], Look(Sampling(frame_step=1), Preprocessing(crop_size=320))]
    how = {"max_bytes": 2_000_000}
    alone = each_alone(films["plain"], looks, **how)
    assert alone[1][0][0] == "too_long"
    assert all_together(films["plain"], looks, **how) == alone


def test_no_more_is_held_at_once_than_one_look_may_hold(films, monkeypatch):
    looks = [Look(Sampling(frame_step=step), Preprocessing(crop_size=32)) for step in (1, 2)]
    sizes = [len(one[0][0]) for one in each_alone(films["plain"], looks)]
    reads, real = [], together.decode_video
    monkeypatch.setattr(together, "decode_video", lambda *a, **k: reads.append(1) or real(*a, **k))
    how = {"max_bytes": max(sizes) + min(sizes) - 1}
    assert all_together(films["plain"], looks, **how) == each_alone(films["plain"], looks)
    held = together._Together(films["plain"], dict(enumerate(looks)), Reading(**how))
    held.read()
    assert (len(held.found), len(held.left)) == (1, 1)


def test_a_clip_is_decoded_once_for_all_that_look_at_it(films, monkeypatch):
    reads, real = [], together.decode_video
    monkeypatch.setattr(together, "decode_video", lambda *a, **k: reads.append(a[0]) or real(*a, **k))
    monkeypatch.setattr(together, "read_windows", None)
    list(read_together(films["plain"], LOOKS[:4], Reading()))
    assert reads == [films["plain"]]


# whole caches


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return [write_video(folder / f"v{i}.mp4", 20 + 7 * i) for i in range(4)]


@pytest.fixture(scope="module")
def encoders():
    return [load_encoder("tiny-v21", weights=f"random:{seed}") for seed in (1, 2)]


def targets(root, encoders):
    """Two encoders that see the same pixels, and one of them once more with other frames."""
    small = Storage(levels=("mean", "grid:3"))
    recipes = [
        make_recipe(encoders[0], sampling=Sampling(frame_step=2), storage=Storage(levels=("mean", "tokens"))),
        make_recipe(encoders[1], sampling=Sampling(frame_step=2), storage=small),
        make_recipe(encoders[0], sampling=Sampling(frame_step=1, num_segments=3), storage=small, num_views=3),
    ]
    own = [encoders[0], encoders[1], encoders[0]]
    return [Target(root / name, [one], recipe) for name, one, recipe in zip("abc", own, recipes, strict=True)]


def alone(root, encoders, manifest, settings=IN_LINE):
    done = targets(root, encoders)
    for target in done:
        extract_manifest(manifest, target.cache, target.encoders, target.recipe, settings=settings)
    return done


def check_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        check_equal(all_levels(one.cache), all_levels(other.cache))
        a, b = open_cache(one.cache), open_cache(other.cache)
        assert fingerprint(a.recipe) == fingerprint(b.recipe)
        for clip_id in sorted(a.done | b.done):
            mine, his = a[clip_id], b[clip_id]
            assert mine.source_sha256 == his.source_sha256
            np.testing.assert_array_equal(mine.frame_indices, his.frame_indices)
            np.testing.assert_array_equal(mine.timestamps, his.timestamps)
        assert {k: (v.reason, v.message) for k, v in a.failures.items()} == {
            k: (v.reason, v.message) for k, v in b.failures.items()
        }


@pytest.fixture(scope="module")
def reference(tmp_path_factory, videos, encoders):
    return alone(tmp_path_factory.mktemp("alone"), encoders, manifest_of(videos))


@pytest.mark.parametrize("workers", [0, 2])
def test_each_cache_is_to_the_bit_what_its_recipe_alone_makes(tmp_path, videos, encoders, reference, workers):
    ours = targets(tmp_path, encoders)
    summaries = extract_together(manifest_of(videos), ours, settings=ExtractSettings(workers=workers))
    assert [(s.written, s.skipped, len(s.failures)) for s in summaries] == [(4, 0, 0)] * 3
    check_same(ours, reference)
    again = extract_together(manifest_of(videos), ours, settings=IN_LINE)
    assert [(s.written, s.skipped, s.rows) for s in again] == [(0, 4, 0)] * 3


def test_clips_are_decoded_once_and_equal_looks_share_their_pixels(tmp_path, videos, encoders, monkeypatch):
    from vjepa_fer.extract import decoding

    asked = []

    class Counted(decoding.DecodePool):
        def _read(self, seat, clip):
            asked.append((clip.clip_id, tuple(self._looks_of(clip))))
            return super()._read(seat, clip)

    monkeypatch.setattr(decoding, "DecodePool", Counted)
    extract_together(manifest_of(videos), targets(tmp_path, encoders), settings=IN_LINE)
    assert asked == [(f"v{n}", (0, 1)) for n in range(4)]  # two looks of three recipes


def test_a_cache_that_is_further_than_the_others_asks_for_what_it_lacks_only(tmp_path, videos, encoders, reference):
    ours = targets(tmp_path, encoders)
    first, second = ours[0], ours[2]
    extract_manifest(manifest_of(videos[:3]), first.cache, first.encoders, first.recipe, settings=IN_LINE)
    extract_manifest(manifest_of(videos[1:2]), second.cache, second.encoders, second.recipe, settings=IN_LINE)
    summaries = extract_together(manifest_of(videos), ours, settings=IN_LINE)
    assert [(s.written, s.skipped) for s in summaries] == [(1, 3), (4, 0), (3, 1)]
    check_same(ours, reference)


def test_failures_are_each_caches_own(tmp_path, videos, encoders):
    broken = keep_start(write_video(tmp_path / "broken.mp4", 30), 0.5)
    manifest = manifest_of([videos[0], broken, videos[1], tmp_path / "absent.mp4"])
    theirs, ours = alone(tmp_path / "alone", encoders, manifest), targets(tmp_path / "ours", encoders)
    last = ours[2]
    extract_manifest(
        manifest, last.cache, last.encoders, last.recipe, settings=IN_LINE
    )  # has its failures listed already
    summaries = extract_together(manifest, ours, settings=IN_LINE)
    assert [[f.clip_id for f in s.failures] for s in summaries] == [["broken", "absent"]] * 3
    assert [s.written for s in summaries] == [2, 2, 0]
    check_same(ours, theirs)


def test_where_one_recipe_is_refused_no_cache_is_touched(tmp_path, videos, encoders):
    ours = targets(tmp_path, encoders)
    extract_manifest(manifest_of(videos[:1]), ours[1].cache, [encoders[0]], ours[0].recipe, settings=IN_LINE)
    with pytest.raises(RecipeMismatchError, match=r"encoder\.weights"):
        extract_together(manifest_of(videos), ours, settings=IN_LINE)
    assert not (tmp_path / "a").exists()


def test_two_recipes_for_one_folder_are_refused(tmp_path, videos, encoders):
    ours = targets(tmp_path, encoders)
    os.symlink(tmp_path / "a", tmp_path / "link")
    with pytest.raises(RecipeError, match="is named twice: every recipe needs a cache folder of its own"):
        extract_together(manifest_of(videos), [ours[0], Target(tmp_path / "link", ours[1].encoders, ours[1].recipe)])
    with pytest.raises(RecipeError, match="there is no cache to extract into"):
        extract_together(manifest_of(videos), [])


CHILD = """
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from test_together import targets
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import ExtractSettings, extract_together
from vjepa_fer.extract.lanes import Lanes
from vjepa_fer.manifest import read_manifest

def slow(self, rows, real=Lanes.run):
    time.sleep(0.05)
    real(self, rows)

Lanes.run = slow
encoders = [load_encoder("tiny-v21", weights=f"random:{seed}") for seed in (1, 2)]
report = lambda ids: print(*ids, flush=True)
settings = ExtractSettings(shard_bytes=1, workers=1)
extract_together(read_manifest(sys.argv[1]), targets(Path(sys.argv[2]), encoders), settings=settings, report=report)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_killed_and_taken_up_again_each_cache_is_what_it_would_have_been(tmp_path, videos, encoders, reference):
    write_manifest(manifest_of(videos), tmp_path / "m.csv")
    child = Started(CHILD, tmp_path / "m.csv", tmp_path, *(entry for entry in sys.path if "tests" in entry))
    for _ in range(4):  # clips of whichever cache are safely on disk
        assert child.out.readline()
    child.kill()
    child.end()
    ours = targets(tmp_path, encoders)
    before = [len(open_cache(target.cache).done) for target in ours]
    assert 4 <= sum(before) < 12
    time.sleep(0.1)
    summaries = extract_together(manifest_of(videos), ours, settings=IN_LINE)
    assert [s.written for s in summaries] == [4 - count for count in before]
    check_same(ours, reference)


DEADLY = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
import torch
from test_together import targets
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import ExtractSettings, extract_together, job
from vjepa_fer.manifest import read_manifest

def encode(reads, routes, real=job.encode_together):
    def alive():
        for read, ways in reads:
            if read.clip.clip_id == "v2" and routes[1] in ways:
                os.kill(os.getpid(), signal.SIGKILL)
            yield read, ways
    real(alive(), routes)

job.encode_together = encode
torch.set_num_threads(1)
encoders = [load_encoder("tiny-v21", weights=f"random:{seed}") for seed in (1, 2)]
for _ in range(4):
    if not (pid := os.fork()):
        done = extract_together(read_manifest(sys.argv[1]), targets(Path(sys.argv[2]), encoders), settings=ExtractSettings(workers=1))
        os._exit(sum(len(one.failures) for one in done))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_a_clip_that_is_deadly_for_one_encoder_is_listed_in_its_cache_alone(tmp_path, videos, encoders, reference):
    write_manifest(manifest_of(videos), tmp_path / "m.csv")
    done = run_code(DEADLY, tmp_path / "m.csv", tmp_path, *(entry for entry in sys.path if "tests" in entry))
    assert done.stdout.split() == ["-9", "-9", "-9", "1"], done.stderr
    first, deadly, third = (open_cache(target.cache) for target in targets(tmp_path, encoders))
    assert [len(first), len(deadly), len(third)] == [4, 3, 4]
    assert {key: one.reason for key, one in deadly.failures.items()} == {"v2": "worker_died"}
    ours, theirs = ([each[0], each[2]] for each in (targets(tmp_path, encoders), reference))
    check_same(ours, theirs)


# on the command line


def call(*words, status=0):
    done = CliRunner().invoke(app, list(map(str, words)))
    if isinstance(done.exception, VjepaFerError):
        raise done.exception
    assert done.exit_code == status, done.output
    return done


@pytest.fixture
def study(tmp_path, videos):
    write_manifest(manifest_of(videos), tmp_path / "m.csv")
    (tmp_path / "a.toml").write_text(
        'model = "tiny-v21"\nweights = "random:1"\nframe-step = 2\nlevel = ["mean", "tokens"]\n'
    )
    (tmp_path / "b.toml").write_text('model = "pixels:8"\nsegments = 3\nframe-step = 1\nlevel = "grid:4"\nviews = 3\n')
    return tmp_path


def test_into_fills_what_each_file_alone_would(study):
    into = ["--into", f"{study}/one={study}/a.toml", "--into", f"{study}/two={study}/b.toml"]
    plan = json.loads(call("extract", study / "m.csv", *into, "--dry-run", "--json").stdout)
    assert [one["clips"] for one in plan["into"]] == [4, 4]
    assert not (study / "one").exists()
    told = json.loads(call("extract", study / "m.csv", *into, "--workers", "0", "--json").stdout)
    assert [(one["cache"], one["written"]) for one in told["into"]] == [(f"{study}/one", 4), (f"{study}/two", 4)]
    for name, file in (("one", "a.toml"), ("two", "b.toml")):
        call("extract", study / "m.csv", study / f"{name}-alone", "--config", study / file, "--workers", "0")
        check_equal(all_levels(study / name), all_levels(study / f"{name}-alone"))
        assert open_cache(study / name).recipe == open_cache(study / f"{name}-alone").recipe
    said = call("extract", study / "m.csv", *into).output
    assert f"{study}/one: 0 clips written (0 rows), 4 were there already" in said


def test_a_recipe_file_is_what_extract_writes(study):
    call(
        *("extract", study / "m.csv", study / "alone", "--model", "tiny-v21", "--weights", "random:3"),
        *("--frame-step", "2", "--level", "mean", "--write-recipe", study / "r.toml", "--workers", "0"),
    )
    call("extract", study / "m.csv", "--into", f"{study}/into={study}/r.toml", "--workers", "0")
    assert open_cache(study / "alone").recipe == open_cache(study / "into").recipe
    check_equal(all_levels(study / "alone"), all_levels(study / "into"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--into", "one"], "'one' is not CACHE=RECIPE.toml"),
        (["cache", "--into", "one=a.toml"], "leave CACHE out: --into names the caches"),
        (["--into", "one=a.toml", "--frames", "8"], "--frames: with --into it stands in each recipe file"),
        (["--into", "one=a.toml", "--model", "tiny-v1"], "--model: with --into it stands in each recipe file"),
        (["--into", "one=run.toml"], "run.toml: workers is about the whole command: type it beside --into"),
        (["--into", "one=bare.toml"], "bare.toml: names no model"),
        (["--into", "one=a.toml", "--into", "./one=a.toml"], "is named twice"),
        (["--into", "s3://me:secret@bucket/one=a.toml"], "s3://bucket/one: --into fills folders on a disk only"),
        ([], "give a CACHE folder and --model, or --into CACHE=RECIPE.toml"),
        (["cache"], "give a CACHE folder and --model, or --into CACHE=RECIPE.toml"),
    ],
)
def test_what_goes_with_no_into_is_refused_by_name(study, monkeypatch, words, said):
    monkeypatch.chdir(study)
    (study / "run.toml").write_text('model = "tiny-v21"\nworkers = 3\n')
    (study / "bare.toml").write_text("frames = 8\n")
    try:
        told = call("extract", "m.csv", *words, status=2).output
    except VjepaFerError as error:
        told = str(error)
    assert said in " ".join(told.split())
    assert not (study / "one").exists()


def test_clips_that_fail_end_with_status_4_and_are_named_by_cache(study, videos):
    broken = keep_start(write_video(study / "broken.mp4", 30), 0.5)
    write_manifest(Manifest(manifest_of([*videos[:1], broken]).clips), study / "m2.csv")
    into = ["--into", f"{study}/one={study}/a.toml", "--into", f"{study}/two={study}/b.toml"]
    said = call("extract", study / "m2.csv", *into, "--workers", "0", status=4).output
    for name in ("one", "two"):
        assert f"1 clips failed; all are in {study}/{name}/failed.csv" in " ".join(said.split())
        with (study / name / "failed.csv").open() as file:
            assert [row["reason"] for row in csv.DictReader(file)] == ["truncated"]
