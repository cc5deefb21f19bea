"""Folders as people have them: foreign files, odd names, places that cannot be read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest import folder_manifest, look_through, ravdess_manifest, read_manifest, write_manifest

posix = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="such names cannot be made there")


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"film")


def test_every_video_suffix_is_found_in_any_letter_case(tmp_path):
    names = ["a.MTS", "b.m2ts", "c.gif", "d.ogv", "e.vob", "f.asf", "g.divx", "h.f4v", "i.qt", "j.dv", "k.m2v", "l.mp4"]
    touch(tmp_path / "happy", *names)
    assert [Path(clip.path).name for clip in folder_manifest(tmp_path)] == names


def test_what_is_left_out_is_counted_with_the_reason(tmp_path):
    touch(tmp_path / "happy", "1.mp4", "a.wav", "b.wav", "README", ".DS_Store", "__MACOSX/x.mp4")
    assert folder_manifest(tmp_path).notes[-1] == (
        "left out: 3 files that are no videos by their suffix (2 .wav, 1 without one), 2 hidden (.DS_Store, __MACOSX)"
    )


def test_two_files_of_one_clip_id_are_both_named_and_the_rest_goes_on(tmp_path):
    touch(tmp_path / "happy", "same.mp4", "same.avi", "other.mp4")
    manifest = folder_manifest(tmp_path)
    assert [clip.clip_id for clip in manifest] == ["happy__other"]
    folder = tmp_path / "happy"
    assert f"{folder}/same.avi and {folder}/same.mp4" in " ".join(manifest.notes)


def test_where_all_clip_ids_are_shared_nothing_is_written(tmp_path):
    touch(tmp_path / "happy", "same.mp4", "same.avi")
    with pytest.raises(ManifestError, match=r"1 clip ids stand for several files each.*same\.avi and .*same\.mp4"):
        folder_manifest(tmp_path)


@posix
@pytest.mark.parametrize("name", ["a\x1b[31mb.mp4", "line\nbreak.mp4", "caf\udce9.mp4", "odd\x07/1.mp4"])
def test_an_odd_name_is_shown_escaped_and_stops_nothing(name, tmp_path):
    touch(tmp_path / "happy", name, "good.mp4")
    manifest = folder_manifest(tmp_path)
    assert [clip.clip_id for clip in manifest] == ["happy__good"]
    (note,) = (note for note in manifest.notes if "left out for a control character" in note)
    assert f"happy/{name.encode('unicode_escape').decode()}" in note
    assert note.isprintable()
    write_manifest(manifest, tmp_path / "m.csv")
    assert len(read_manifest(tmp_path / "m.csv")) == 1


def test_a_folder_that_cannot_be_read_is_named_and_stops_nothing(tmp_path, monkeypatch):
    touch(tmp_path / "happy", "1.mp4", "closed/2.mp4")
    close(monkeypatch, "closed")
    for read in (folder_manifest, ravdess_like):
        notes = " ".join(read(tmp_path).notes)
        assert (
            f"1 folders cannot be read, and what is in them was left out: {Path('happy', 'closed')} (Permission denied)"
            in notes
        )


def ravdess_like(root: Path):
    touch(root, "01-01-03-01-01-01-01.mp4")
    return ravdess_manifest(root)


def close(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As the system does for everybody but root, whom it refuses nothing."""
    scandir = os.scandir

    def refusing(path):
        if os.path.basename(path) == name:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


def test_a_root_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    touch(tmp_path, "closed/1.mp4")
    close(monkeypatch, "closed")
    with pytest.raises(ManifestError, match=r"closed: cannot be read \(Permission denied\)"):
        look_through(tmp_path / "closed")


@posix
def test_a_path_that_is_too_long_is_named_in_short_and_stops_nothing(tmp_path):
    touch(tmp_path / "happy", "1.mp4")
    here = os.getcwd()
    os.chdir(tmp_path / "happy")
    try:
        for _ in range(20):  # each step is short enough, the whole is not
            os.mkdir("n" * 250)
            os.chdir("n" * 250)
    finally:
        os.chdir(here)
    manifest = folder_manifest(tmp_path)
    assert [clip.clip_id for clip in manifest] == ["happy__1"]
    (note,) = (note for note in manifest.notes if "cannot be read" in note)
    assert "File name too long" in note
    assert len(note) < 500


def test_a_file_that_cannot_be_looked_at_is_named_and_stops_nothing(tmp_path, monkeypatch):
    touch(tmp_path / "happy", "1.mp4", "2.mp4")
    stat = os.stat

    def refusing(path, *args, **options):
        if os.path.basename(path) == "2.mp4":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *args, **options)

    monkeypatch.setattr(os, "stat", refusing)
    manifest = folder_manifest(tmp_path)
    assert len(manifest) == 2
    assert "1 files cannot be read (Permission denied): 2.mp4" in manifest.notes


def test_an_empty_folder_among_several_is_said_and_the_rest_is_predicted(tmp_path, monkeypatch):
    from vjepa_fer.cli import predict

    said: list[str] = []
    monkeypatch.setattr(predict, "warn", lambda *lines: said.extend(lines))
    touch(tmp_path / "good", "1.mts", "x.wav")
    touch(tmp_path / "empty", "y.wav")
    paths, failed = predict._expanded([tmp_path / "empty", tmp_path / "good", tmp_path / ("n" * 5000)])
    assert [path.name for path in paths] == ["1.mts", "n" * 5000]  # the latter is refused when its turn comes
    assert [(error.path, error.message) for error in failed] == [
        (tmp_path / "empty", "no video files in it nor folders of numbered pictures, but 1 .wav")
    ]
    assert said == [
        f"{tmp_path / 'empty'}: no video files in it nor folders of numbered pictures, but 1 .wav",
        f"{tmp_path / 'good'}: left out: 1 files that are no videos by their suffix (1 .wav)",
    ]
    with pytest.raises(ManifestError, match=r"empty: no video files .* but 1 \.wav"):
        predict._expanded([tmp_path / "empty"])
