"""A download is compared with the official list; and clips are chosen by their columns."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vjepa_fer.cli.manifest import app
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest import (
    Clip,
    Manifest,
    crema_d_clips,
    only_where,
    ravdess_clips,
    read_manifest,
    shipped,
    verify,
    verify_download,
    without_damaged,
)

LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:10dc3f\nsize 265922\n"
NAMES = ("1001_DFA_ANG_XX", "1001_DFA_DIS_XX", "1001_DFA_FEA_XX")


@pytest.fixture
def official(monkeypatch):
    """An official list of three files whose content a test can write: their own names."""
    files = {name: {"bytes": str(len(name)), "sha256": hashlib.sha256(name.encode()).hexdigest()} for name in NAMES}
    clips = tuple(Clip(name, f"VideoFlash/{name}.flv", "anger", "1001", extra) for name, extra in files.items())
    monkeypatch.setattr(verify, "crema_d_official", lambda: Manifest(clips))


@pytest.fixture
def download(tmp_path, official):
    for name in NAMES:
        (tmp_path / f"{name}.flv").write_text(name)
    return tmp_path


def test_a_whole_download_has_no_faults(download):
    result = verify_download(download)
    assert result == verify.Verification("crema-d", 3, (), "sha256")


@pytest.mark.parametrize(
    ("content", "fault", "detail"),
    [
        (None, "missing", ""),
        ("", "empty", ""),
        (LFS_POINTER, "lfs_pointer", ""),
        ("short", "wrong_size", "5 bytes, official 15"),
        ("1001_DFA_DIS_X?", "changed", "sha256 "),
    ],
)
def test_each_fault_is_told_apart(download, content, fault, detail):
    file = download / "1001_DFA_DIS_XX.flv"
    file.unlink() if content is None else file.write_text(content)
    result = verify_download(download)
    assert [(f.path, f.fault) for f in result.faults] == [("VideoFlash/1001_DFA_DIS_XX.flv", fault)]
    assert result.faults[0].detail.startswith(detail)
    assert result.counts == {fault: 1}


def test_fast_compares_sizes_only(download):
    (download / "1001_DFA_DIS_XX.flv").write_text("1001_DFA_DIS_X?")
    (download / "1001_DFA_FEA_XX.flv").write_text("short")
    result = verify_download(download, fast=True)
    assert (result.compared, result.counts) == ("bytes", {"wrong_size": 1})


def test_converted_copies_are_not_called_changed(download):
    (download / "1001_DFA_DIS_XX.flv").rename(download / "1001_DFA_DIS_XX.mp4")
    result = verify_download(download)
    assert result.faults == ()
    assert result.notes == ("1 files are converted copies (.mp4): their content cannot be compared with the originals",)


def test_the_original_is_compared_when_a_converted_copy_lies_beside_it(download):
    (download / "a").mkdir()
    (download / "a" / "1001_DFA_DIS_XX.mp4").write_text("converted")
    (download / "1001_DFA_DIS_XX.flv").write_text("short")
    assert verify_download(download).counts == {"wrong_size": 1}


def test_letter_case_is_told_and_a_suffix_in_capitals_is_the_original(download):
    (download / "1001_DFA_DIS_XX.flv").rename(download / "1001_dfa_dis_xx.flv")
    (download / "1001_DFA_FEA_XX.flv").rename(download / "1001_DFA_FEA_XX.FLV")
    result = verify_download(download)
    assert [(f.path, f.fault, f.detail) for f in result.faults] == [
        ("VideoFlash/1001_DFA_DIS_XX.flv", "misnamed", "1001_dfa_dis_xx.flv")
    ]
    assert result.notes == ()


def test_what_is_there_besides_is_told(download):
    (download / "1015_new.mp4").write_text("x")
    (download / "copy").mkdir()
    (download / "copy" / "1001_DFA_DIS_XX.flv").write_text("1001_DFA_DIS_XX")
    assert verify_download(download).notes == (
        "1 videos are not on the official list: 1015_new.mp4",
        "1 names are there more than once: 1001_DFA_DIS_XX.flv; the first by path was compared",
    )


def test_files_that_are_damaged_as_published_are_told(tmp_path):
    for name in ("1076_MTI_NEU_XX", "1001_DFA_ANG_XX"):
        (tmp_path / f"{name}.flv").write_text("video")
    result = verify_download(tmp_path, fast=True)
    assert result.counts == {"missing": 7440, "wrong_size": 2}
    assert result.notes == (
        "1 official files are damaged as published (1076_MTI_NEU_XX); --exclude damaged leaves them out",
    )


def test_a_file_that_cannot_be_read_does_not_stop_the_others(download, monkeypatch):
    def broken_disk(file):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(verify, "_sha256", broken_disk)
    result = verify_download(download)
    assert result.counts == {"unreadable": 3}
    assert result.faults[0].detail == "Input/output error"


def test_every_file_is_reported_as_it_is_done(download):
    seen: list[str] = []
    verify_download(download, on_file=seen.append)
    assert seen == [f"VideoFlash/{name}.flv" for name in NAMES]


def test_ravdess_is_recognised_and_only_its_present_parts_are_expected(tmp_path):
    for clip in ravdess_clips(modalities=[2]):
        if clip.subject != "18":
            (tmp_path / f"{clip.clip_id}.mp4").write_text("video")
    (tmp_path / "02-01-03-01-01-01-01.mp4").write_text("")
    result = verify_download(tmp_path)
    assert (result.corpus, result.num_expected, result.compared) == ("ravdess", 1440, "presence")
    assert result.counts == {"missing": 60, "empty": 1}
    assert result.notes[0].startswith("no official sizes or checksums of RAVDESS are known")


def test_a_folder_of_neither_corpus_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_text("video")
    with pytest.raises(ManifestError, match="none of its videos is named as in ravdess or crema-d"):
        verify_download(tmp_path)
    with pytest.raises(
        ManifestError, match=r"no official list of 'cremad'; there are ravdess, crema-d; did you mean 'crema-d'\?"
    ):
        verify_download(tmp_path, corpus="cremad")


def test_the_shipped_list_knows_bytes_and_sha256_of_every_file():
    official = shipped.crema_d_official()
    assert sum(int(clip.extra["bytes"]) for clip in official) // 10**7 == 244
    assert all(len(clip.extra["sha256"]) == 64 for clip in official)


def test_a_changed_download_is_told_on_the_command_line_with_status_1(download):
    (download / "1001_DFA_DIS_XX.flv").write_text(LFS_POINTER)
    result = CliRunner().invoke(app, ["verify", str(download)])
    assert result.exit_code == 1
    assert [line.split() for line in result.stdout.splitlines() if "lfs" in line] == [["lfs_pointer", "1"]]
    assert "1 a Git-LFS pointer stub, not a video; run `git lfs pull` in the clone:" in result.stderr
    assert "VideoFlash/1001_DFA_DIS_XX.flv" in result.stderr


def test_a_whole_download_ends_with_status_0_and_json(download):
    result = CliRunner().invoke(app, ["verify", str(download), "--fast", "--json"])
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    assert (facts["schema"], facts["n_expected"], facts["n_good"]) == ("vjepa-fer/verification/1", 3, 3)


# choosing clips


def test_the_five_damaged_clips_can_be_left_out_and_that_is_said():
    manifest = without_damaged(crema_d_clips())
    assert len(manifest) == 7437
    assert manifest.notes == (
        "5 damaged clips left out: 1040_ITH_SAD_XX, 1064_IEO_DIS_MD, 1064_TIE_SAD_XX, 1076_MTI_NEU_XX, 1076_MTI_SAD_XX",
    )


def test_a_manifest_that_knows_of_no_damage_is_refused():
    with pytest.raises(ManifestError, match="no column 'damaged'; its columns are clip_id, path, label, subject"):
        without_damaged(Manifest(tuple(ravdess_clips())))


def test_clips_are_chosen_by_the_values_of_a_column():
    manifest = only_where(crema_d_clips(), "intensity", ["low", "high"])
    assert len(manifest) == 2 * 455


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("intensty", "low", "no column 'intensty'.*did you mean 'intensity'"),
        (
            "intensity",
            "lo",
            r"no clip has intensity=lo; there are high, low, medium, unspecified; did you mean 'low'\?",
        ),
    ],
)
def test_a_choice_that_leaves_nothing_is_refused(column, value, message):
    with pytest.raises(ManifestError, match=message):
        only_where(crema_d_clips(), column, [value])


def test_the_command_line_leaves_out_and_chooses(tmp_path):
    arguments = ["--exclude", "damaged", "--where", "sentence=IEO", "--where", "sentence=TIE", "--where", "sex=male"]
    result = CliRunner().invoke(app, ["crema-d", *arguments, "-o", str(tmp_path / "m.csv")])
    assert "note: 5 damaged clips left out" in result.stderr
    clips = read_manifest(tmp_path / "m.csv").clips
    assert {(clip.extra["sentence"], clip.extra["sex"]) for clip in clips} == {("IEO", "male"), ("TIE", "male")}
    assert not any(clip.extra["damaged"] for clip in clips)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--exclude", "ugly"], "'ugly' is not 'damaged'"), (["--where", "sex"], "'sex' is not COLUMN=VALUE")],
)
def test_a_malformed_choice_is_wrong_usage(tmp_path, arguments, message):
    result = CliRunner().invoke(app, ["crema-d", *arguments, "-o", str(tmp_path / "m.csv")])
    assert (result.exit_code, message in result.stderr) == (2, True)


def test_another_corpus_goes_to_a_manifest(tmp_path):
    for view in ("front", "top"):
        (tmp_path / "M003" / "video" / view / "angry" / "level_1").mkdir(parents=True)
        (tmp_path / "M003" / "video" / view / "angry" / "level_1" / "001.mp4").write_text("video")
    result = CliRunner().invoke(
        app, ["corpus", "mead", str(tmp_path), "--where", "view=front", "-o", str(tmp_path / "m.csv")]
    )
    assert result.exit_code == 0, result.output
    assert [clip.clip_id for clip in read_manifest(tmp_path / "m.csv")] == ["M003_front_angry_1_001"]


def test_the_shipped_ravdess_list_is_what_the_naming_rule_gives():
    import vjepa_fer.data_manifests

    shipped_list = read_manifest(Path(vjepa_fer.data_manifests.__file__).with_name("ravdess_speech.csv"))
    assert dataclasses.replace(shipped_list, source=None) == Manifest(tuple(ravdess_clips()))


def test_a_download_in_a_store_is_listed_and_hashed_there(download):
    fsspec = pytest.importorskip("fsspec")
    (download / "1001_DFA_DIS_XX.flv").write_text("1001_DFA_DIS_X?")
    (download / "1001_DFA_FEA_XX.flv").write_text("short")
    there = fsspec.filesystem("memory")
    try:
        for file in filter(Path.is_file, download.rglob("*")):
            there.pipe_file(f"/corpus/deep/{file.relative_to(download)}", file.read_bytes())
        here, elsewhere = verify_download(download), verify_download("memory://corpus")
        assert elsewhere == here
        assert elsewhere.counts == {"wrong_size": 1, "changed": 1}
        assert CliRunner().invoke(app, ["verify", "memory://corpus"]).exit_code == 1
        with pytest.raises(ManifestError, match=r"memory://nothing: no videos there; look at the address"):
            verify_download("memory://nothing")
    finally:
        there.store.clear()
