"""Extraction end to end on real video files: numbers, resume, and broken input."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from videos import ffmpeg_frames, keep_start, write_audio, write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import CacheError, RecipeMismatchError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe, plan_extraction
from vjepa_fer.extract.levels import pool_on_device
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.video import resize_frame


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny-v21", weights="random:1")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Five small clips of different lengths."""
    folder = tmp_path_factory.mktemp("videos")
    return [write_video(folder / f"v{i}.mp4", 20 + 7 * i) for i in range(5)]


def manifest_of(paths):
    return Manifest(
        clips=tuple(
            Clip(p.name.split(".")[0], str(p), "happy" if i % 2 else "sad", f"s{i}") for i, p in enumerate(paths)
        )
    )


def all_levels(root):
    """Clip id → level → array."""
    cache = open_cache(root)
    return {c.clip.clip_id: {k: c.level(k) for k in cache.recipe.storage.levels} for c in cache}


def check_equal(a, b):
    assert a.keys() == b.keys()
    for clip_id, levels in a.items():
        for level, array in levels.items():
            np.testing.assert_array_equal(array, b[clip_id][level], err_msg=f"{clip_id} {level}")


@pytest.fixture
def recipe(encoder):
    storage = Storage(levels=("mean", "frames", "grid:3", "tokens"))
    return make_recipe(encoder, sampling=Sampling(frame_step=2), storage=storage)


def test_pooled_levels_are_means_of_the_tokens_before_rounding():
    tokens = torch.randn(2, 2 * 4 * 4, 5, generator=torch.Generator().manual_seed(0))
    levels = pool_on_device(tokens, (2, 4, 4), Storage(levels=("mean", "frames", "grid:3", "tokens")))
    volume = tokens.numpy().reshape(2, 2, 4, 4, 5)
    np.testing.assert_allclose(levels["mean"], volume.mean((1, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(levels["frames"], volume.mean((2, 3)), atol=1e-6)
    edges = [(0, 2), (1, 3), (2, 4)]  # floor(g n / G) up to ceil((g + 1) n / G), as FORMAT.md says
    for row, (top, bottom) in enumerate(edges):
        for column, (left, right) in enumerate(edges):
            cell = volume[:, :, top:bottom, left:right].mean((2, 3)).astype(np.float16)
            np.testing.assert_allclose(levels["grid"][:, :, row, column], cell, atol=1e-3)
    np.testing.assert_array_equal(levels["tokens"], volume.astype(np.float16))


def test_extracting_twice_and_in_two_halves_gives_the_same_bits(tmp_path, encoder, recipe, videos):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert extract_manifest(manifest_of(videos), whole, encoder, recipe).written == 5
    for part in (videos[:2], videos[2:]):
        extract_manifest(manifest_of(part), halves, encoder, recipe)
    check_equal(all_levels(whole), all_levels(halves))
    again = extract_manifest(manifest_of(videos), whole, encoder, recipe)
    assert (again.written, again.skipped, again.rows) == (0, 5, 0)
    extract_manifest(manifest_of(videos), tmp_path / "again", encoder, recipe)
    check_equal(all_levels(whole), all_levels(tmp_path / "again"))


def test_an_extraction_leaves_an_index_so_that_no_reader_reads_the_shards_one_by_one(
    tmp_path, encoder, recipe, videos, monkeypatch
):
    monkeypatch.setattr("vjepa_fer.cache.index.WORTH_WRITING", 2)
    extract_manifest(
        manifest_of(videos[:3]), tmp_path, encoder, recipe, settings=ExtractSettings(shard_bytes=1, workers=0)
    )
    read = []
    monkeypatch.setattr("vjepa_fer.cache.index.read_shard_index", read.append)
    assert len(open_cache(tmp_path)) == 3
    assert read == []


def test_neither_batch_size_nor_threads_nor_processes_move_a_bit_on_a_cpu(tmp_path, encoder, recipe, videos):
    before = torch.get_num_threads()
    try:
        for threads, size, workers in ((1, 1, 0), (2, 3, 1), (4, None, 2)):
            torch.set_num_threads(threads)
            settings = ExtractSettings(batch_size=size, workers=workers)
            extract_manifest(manifest_of(videos), tmp_path / str(threads), encoder, recipe, settings=settings)
            assert torch.get_num_threads() == threads
            check_equal(all_levels(tmp_path / "1"), all_levels(tmp_path / str(threads)))
    finally:
        torch.set_num_threads(before)


def test_views_and_windows_are_rows(tmp_path, encoder, videos):
    recipe = dataclasses.replace(make_recipe(encoder, num_views=3), sampling=Sampling(frame_step=1))
    extract_manifest(manifest_of(videos), tmp_path, encoder, recipe)
    clip = open_cache(tmp_path)[4]
    assert list(clip.view) == [0, 1, 2, 0, 1, 2]
    assert list(clip.start_frame) == [0, 0, 0, 32, 32, 32]
    assert clip.source_sha256 == hashlib.sha256(videos[4].read_bytes()).hexdigest()
    np.testing.assert_allclose(clip.timestamps[3], np.arange(32, 48) / 30, atol=1e-3)


def broken_files(folder):
    """Clip id → (file, expected reason)."""
    write_audio(folder / "audio.mp4")
    keep_start(write_video(folder / "cut.mp4", 60), 0.5)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is not a video\n" * 50)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 265922\n"
    (folder / "pointer.flv").write_text(pointer)
    return {
        "audio": (folder / "audio.mp4", "no_video_stream"),
        "cut": (folder / "cut.mp4", None),
        "empty": (folder / "empty.mp4", "empty"),
        "text": (folder / "text.mp4", "not_video"),
        "pointer": (folder / "pointer.flv", "lfs_pointer"),
        "gone": (folder / "gone.mp4", "missing"),
    }


def test_broken_videos_are_listed_and_the_rest_is_done(tmp_path, encoder, recipe, videos):
    broken = broken_files(tmp_path)
    paths = [*videos[:2], *(path for path, _ in broken.values()), videos[2]]
    summary = extract_manifest(manifest_of(paths), tmp_path / "cache", encoder, recipe)
    assert summary.written == 3
    reasons = {f.clip_id: f.reason for f in summary.failures}
    assert reasons.keys() == broken.keys()
    assert {k: r for k, r in reasons.items() if k != "cut"} == {k: r for k, (_, r) in broken.items() if k != "cut"}
    assert reasons["cut"] in ("truncated", "not_video")
    cache = open_cache(tmp_path / "cache")
    assert len(cache) == 3
    assert cache.failures.keys() == broken.keys()
    assert "git lfs pull" in cache.failures["pointer"].message


@pytest.mark.parametrize("workers", [0, 1])
def test_clips_that_are_too_short_are_listed_where_a_least_length_is_asked_for(
    tmp_path, encoder, recipe, videos, workers
):
    settings = ExtractSettings(min_frames=30, workers=workers)  # they have 20, 27, 34 …
    summary = extract_manifest(manifest_of(videos[:3]), tmp_path, encoder, recipe, settings=settings)
    assert summary.written == 1
    assert {(f.clip_id, f.reason) for f in summary.failures} == {("v0", "too_short"), ("v1", "too_short")}
    assert "has 20 frames, fewer than the 30" in summary.failures[0].message
    plan, left = plan_extraction(manifest_of(videos[:3]), tmp_path / "other", recipe, retry_failed=True, min_frames=30)
    assert (plan.unreadable, plan.windows, len(left)) == (2, summary.rows, 3)
    assert plan_extraction(manifest_of(videos[:3]), tmp_path, recipe)[0].clips == 0
    assert plan_extraction(manifest_of(videos[:3]), tmp_path, recipe, retry_failed=True)[0].clips == 2


def test_failed_clips_are_tried_again_only_when_asked(tmp_path, encoder, recipe, videos):
    late = tmp_path / "late.mp4"
    manifest = manifest_of([videos[0], late])
    extract_manifest(manifest, tmp_path / "cache", encoder, recipe)
    shutil.copy(videos[1], late)
    again = extract_manifest(manifest, tmp_path / "cache", encoder, recipe)
    assert (again.written, len(again.failures)) == (0, 1)
    retried = extract_manifest(
        manifest, tmp_path / "cache", encoder, recipe, settings=ExtractSettings(retry_failed=True)
    )
    assert (retried.written, retried.skipped, retried.failures) == (1, 1, ())
    assert not (tmp_path / "cache" / "failed.csv").exists()


def test_another_recipe_into_the_same_cache_is_refused(tmp_path, encoder, recipe, videos):
    extract_manifest(manifest_of(videos[:1]), tmp_path, encoder, recipe)
    other = dataclasses.replace(recipe, sampling=Sampling(frame_step=3))
    with pytest.raises(RecipeMismatchError, match=r"sampling\.frame_step: 2 there, 3 asked for"):
        extract_manifest(manifest_of(videos), tmp_path, encoder, other)
    assert len(open_cache(tmp_path)) == 1


def test_a_cache_of_other_semantics_is_read_but_not_added_to(tmp_path, encoder, recipe, videos):
    earlier = dataclasses.replace(recipe, semantics=1)
    extract_manifest(manifest_of(videos[:1]), tmp_path, encoder, earlier)
    with pytest.raises(
        RecipeMismatchError, match=r"semantics: 1 there, 2 asked for\n.*extract anew into another cache"
    ):
        extract_manifest(manifest_of(videos), tmp_path, encoder, recipe)
    assert open_cache(tmp_path).recipe == earlier


def test_a_stop_in_the_middle_keeps_what_was_done(tmp_path, encoder, recipe, videos, monkeypatch):
    from vjepa_fer.extract.writing import BackgroundWriter

    def stop_at_third(self, rows):
        if rows.clip_id == "v2":
            raise KeyboardInterrupt
        return real(self, rows)

    real = BackgroundWriter.put
    monkeypatch.setattr(BackgroundWriter, "put", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        extract_manifest(manifest_of(videos), tmp_path, encoder, recipe, settings=ExtractSettings(workers=0))
    assert [c.clip_id for c in open_cache(tmp_path).clips] == ["v0", "v1"]


@pytest.fixture
def forbidden_folder():
    """A folder in which this process may not write; where it runs as root, it is somebody else meanwhile."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions are another matter on Windows")
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name), os.geteuid()
        folder.chmod(0o555)
        if user == 0:
            os.seteuid(65534)
        yield folder
        os.seteuid(user)
        folder.chmod(0o700)


def test_a_folder_without_write_permission_is_said(forbidden_folder, encoder, recipe, videos):
    with pytest.raises(CacheError, match="no permission to write"):
        extract_manifest(manifest_of(videos), forbidden_folder / "cache", encoder, recipe)


@pytest.fixture(scope="module")
def base_encoder():
    """A V-JEPA 2.1 base with random weights."""
    return load_encoder("vjepa2.1-base-384", weights="random:0")


@pytest.mark.parametrize(("film", "size"), [("ravdess_clip", (720, 1280)), ("crema_d_clip", (360, 480))])
def test_tokens_equal_the_encoder_run_by_hand_on_frames_of_the_ffmpeg_program(
    tmp_path, request, base_encoder, film, size
):
    """A clip of each corpus's size and codec; windows of two frames, one token deep, as attention takes minutes for more."""
    clip = request.getfixturevalue(film)
    recipe = make_recipe(
        base_encoder,
        sampling=Sampling(num_segments=1, frames_per_window=2),
        storage=Storage(levels=("mean", "tokens"), token_dtype="float32"),
    )
    extract_manifest(manifest_of([clip]), tmp_path / "cache", base_encoder, recipe)
    cached = open_cache(tmp_path / "cache")[0]
    frames = ffmpeg_frames(clip, *size)[cached.frame_indices[0]]
    resized = np.stack([resize_frame(frame, int(384 * 256 / 224)) for frame in frames])  # golden in test_transforms.py
    top, left = (round((length - 384) / 2) for length in resized.shape[1:3])
    crop = (
        torch.from_numpy(resized[:, top : top + 384, left : left + 384]).permute(3, 0, 1, 2) / 255
    )  # (3, T, 384, 384)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    by_hand = base_encoder.module(((crop - mean.view(3, 1, 1, 1)) / std.view(3, 1, 1, 1))[None])[0]
    ours = torch.from_numpy(cached.level("tokens")).reshape(by_hand.shape)
    assert by_hand.std() > 0.1
    torch.testing.assert_close(ours, by_hand, atol=1e-4, rtol=0)
    np.testing.assert_allclose(cached.level("mean")[0], by_hand.mean(0).numpy(), atol=1e-5)
