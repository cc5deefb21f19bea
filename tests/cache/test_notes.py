"""What is odd about a clip's video is said, and kept beside the cache; one that breaks off is taken only when that is asked for."""

from __future__ import annotations

import csv
import os

import pytest

from caches import write_small_cache
from test_extract import all_levels, check_equal, manifest_of
from videos import encode, keep_start, write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.anonymous import Anonymiser
from vjepa_fer.cache.copying import merge_caches, subset_cache
from vjepa_fer.cache.notes import NoteList, read_notes
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe, plan_extraction
from vjepa_fer.recipe import Sampling
from vjepa_fer.video.pool import DecodePool


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny-v21", weights="random:1")


@pytest.fixture
def cut(tmp_path):
    return keep_start(encode("lavfi:testsrc2=d=2:r=30:s=96x64", tmp_path / "cut.webm", "-c:v", "libvpx"), 0.7)


def extract(videos, cache, encoder, **settings):
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1, num_segments=1))
    said = ExtractSettings(**settings)
    return extract_manifest(manifest_of(videos), cache, encoder, recipe, settings=said), recipe


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_breaks_off_is_taken_when_asked_and_recorded(tmp_path, encoder, cut, capsys, workers):
    videos = [write_video(tmp_path / "whole.mp4", 20), cut]
    cache = tmp_path / "cache"
    first, recipe = extract(videos, cache, encoder, workers=workers)
    assert [failure.reason for failure in first.failures] == ["truncated"]
    assert "--accept-truncated" in first.failures[0].message
    assert plan_extraction(manifest_of(videos), cache, recipe)[0].clips == 0
    plan, _ = plan_extraction(manifest_of(videos), cache, recipe, accept_truncated=True)
    assert (plan.clips, plan.windows) == (1, 1)

    then, _ = extract(videos, cache, encoder, workers=workers, accept_truncated=True)
    assert (then.written, then.skipped, then.failures) == (1, 1, ())
    ((clip_id, notes),) = read_notes(cache).items()
    assert then.notes == {clip_id: notes}
    assert notes[0].startswith("truncated: ")
    assert f"note: {clip_id}: {cut}: truncated: " in capsys.readouterr().err
    with (cache / "notes.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"clip_id": clip_id, "path": str(cut), "note": notes[0]}]
    (clip,) = [clip for clip in open_cache(cache) if clip.clip.clip_id == clip_id]
    assert clip.timestamps.max() < 1.4


def test_a_cache_of_faultless_videos_has_no_notes(tmp_path, encoder):
    summary, _ = extract([write_video(tmp_path / "v.mp4", 20)], tmp_path / "cache", encoder, workers=0)
    assert not summary.notes
    assert not (tmp_path / "cache" / "notes.csv").exists()
    assert read_notes(tmp_path / "cache") == {}


def test_notes_of_several_processes_are_united_and_cut_off_rows_left_out(tmp_path):
    for clip_id, notes in (("a", ["=x, y", "two\nlines"]), ("b", ["z"]), ("a", ["=x, y"])):
        mine = NoteList(tmp_path)
        mine.add(clip_id, f"/{clip_id}.mp4", notes)
        mine.close()
    one = sorted((tmp_path / "notes").iterdir())[0]
    with one.open("a") as file:
        file.write("c,/c.mp4,cut o")
    assert read_notes(tmp_path) == {"a": ("=x, y", "two\nlines"), "b": ("z",)}
    assert "'=x, y" in (tmp_path / "notes.csv").read_text()


def test_notes_that_are_a_link_are_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "notes").symlink_to(tmp_path / "elsewhere")
    mine = NoteList(tmp_path / "cache")
    with pytest.raises(VjepaFerError, match="is a link"):
        mine.add("a", "a.mp4", ["odd"])
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="there it is this process")
def test_without_workers_a_process_besides_decodes_one_clip_at_a_time(tmp_path, encoder, monkeypatch):
    """For a decoder may take its process down, and this one holds what is done."""
    from vjepa_fer.video import decode_process

    program = (
        "import os, signal\n"
        "from vjepa_fer.video import worker\n"
        "real = worker.read_together\n"
        "def dies(path, *rest, **options):\n"
        "    if 'bad' in path:\n"
        "        os.abort()\n"
        "    return real(path, *rest, **options)\n"
        "worker.read_together = dies\n"
        "worker.main()\n"
    )
    monkeypatch.setattr(decode_process, "WORKER_PROGRAM", program)
    most = []
    real = DecodePool._start
    monkeypatch.setattr(DecodePool, "_start", lambda self: most.append(len(self._workers)) or real(self))
    videos = [write_video(tmp_path / name, 20) for name in ("a.mp4", "bad.mp4", "c.mp4")]
    summary, _ = extract(videos, tmp_path / "cache", encoder, workers=0)
    assert (summary.written, [failure.reason for failure in summary.failures]) == (2, ["worker_died"])
    assert most == [0, 0, 0]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_library_that_dies_of_a_film_costs_nothing(tmp_path, encoder, monkeypatch, workers):
    pytest.importorskip("decord")
    epoch = tmp_path / "epoch.mkv"
    encode("lavfi:testsrc2=d=1:r=30:s=96x64", epoch, "-c:v", "libx264", "-output_ts_offset", "1700000000")
    videos = [write_video(tmp_path / "a.mp4", 20), epoch, write_video(tmp_path / "c.mp4", 20)]
    summary, _ = extract(videos, tmp_path / "decord", encoder, workers=workers, decoder="decord")
    assert (summary.written, summary.failures) == (3, ())
    (notes,) = summary.notes.values()
    assert "the process of decord died of it (signal 6): PyAV's frames are taken" in notes
    extract(videos, tmp_path / "pyav", encoder, workers=workers)
    check_equal(all_levels(tmp_path / "pyav"), all_levels(tmp_path / "decord"))


@pytest.fixture
def noted(tmp_path):
    """Two equal caches of three clips; notes on one clip in each, and on a third in both."""
    roots = [tmp_path / "one", tmp_path / "two"]
    for root, clips in zip(roots, (("c0", "c1"), ("c1", "c2")), strict=True):
        write_small_cache(root, num_clips=3)
        for clip_id in clips:
            mine = NoteList(root)
            mine.add(clip_id, f"/secret/{clip_id}.mp4", [f"odd, {clip_id}", "=more"])
            mine.close()
    return roots


def test_a_copy_carries_the_notes_on_its_clips(tmp_path, noted):
    merged = merge_caches(noted, tmp_path / "merged").root
    assert read_notes(merged) == {i: (f"odd, {i}", "=more") for i in ("c0", "c1", "c2")}
    part = subset_cache(merged, tmp_path / "part", lambda clip: clip.clip_id != "c1").root
    assert set(read_notes(part)) == {"c0", "c2"}
    with (part / "notes.csv").open(newline="") as file:
        assert {row["path"] for row in csv.DictReader(file)} == {"/secret/c0.mp4", "/secret/c2.mp4"}


def test_an_anonymous_copy_carries_none_for_they_may_tell(tmp_path, noted):
    merged = merge_caches(noted, tmp_path / "merged", anonymiser=Anonymiser()).root
    assert read_notes(merged) == {}
    assert not (merged / "notes").exists()


def test_notes_that_cannot_be_read_stop_a_copy_before_it_begins(tmp_path, noted):
    piece = sorted((noted[1] / "notes").iterdir())[0]
    piece.write_bytes(b'"' * 300_000 + b"\n")
    with pytest.raises(VjepaFerError, match="nothing depends on it: remove it"):
        merge_caches(noted, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
