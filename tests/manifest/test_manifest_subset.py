"""Official lists as they come: a manifest of just the clips that they name."""

from __future__ import annotations

import pytest

from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest import Clip, Manifest, subset_of


def manifest(*paths: str) -> Manifest:
    return Manifest(tuple(Clip(f"c{number}", path, "x", f"s{number}") for number, path in enumerate(paths)))


DFEW = manifest(*(f"/data/Clip/clip_224x224/{number:05}" for number in (1, 2, 3, 16372)))
MAFW = manifest("/d/clips/00001.mp4", "/d/clips/00002.mp4")
FERV = manifest("/d/Action/Happy/0267", "/d/Action/Sad/0267", "/d/Crisis/Happy/0267")


@pytest.mark.parametrize(
    ("clips", "text", "kept"),
    [
        (DFEW, "video_name,label\n1,7\n16372,2\n", ["c0", "c3"]),
        (DFEW, "\ufeffvideo_name;label\r\n00002;7\r\n", ["c1"]),
        (DFEW, "c2\nc0\n", ["c0", "c2"]),
        (MAFW, "00002.mp4 anger\n", ["c1"]),
        (MAFW, '"clips/00001.mp4"\n', ["c0"]),
        (MAFW, ".\\clips\\00001.mp4,3,some words\n", ["c0"]),
        (FERV, "Action/Happy/0267 Happy\nCrisis/Happy/0267 Happy\n", ["c0", "c2"]),
        (manifest("/d/subject 1/s1_an_1.avi"), "subject 1/s1_an_1.avi anger\n", ["c0"]),
    ],
)
def test_each_usual_form_of_a_line_names_its_clip(tmp_path, clips, text, kept):
    (tmp_path / "set_1.csv").write_text(text, encoding="utf-8")
    chosen = subset_of(clips, tmp_path / "set_1.csv")
    assert [clip.clip_id for clip in chosen] == kept
    assert chosen.notes == ()


def test_names_that_are_not_there_are_counted_and_shown_escaped(tmp_path):
    (tmp_path / "list.txt").write_text("4\n1\n17\x1b[31m,3\n")
    chosen = subset_of(DFEW, tmp_path / "list.txt")
    assert chosen.notes == ("list.txt: 2 of 3 lines name clips that are not there: 4, 17\\x1b[31m,3",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "0267 Happy\n",
            r"list, row 1: '0267 Happy' stands for 3 clips, such as c0, c1 and 1 more: the list must say more",
        ),
        ("nothing\n", r"names no clip of the manifest; its lines are such as 'nothing', the clips' ids such as 'c0'"),
        ("\n \n", "is empty"),
        (b"\xff\xfe1\x00", "byte 0xff is not UTF-8"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path, text, message):
    (tmp_path / "list").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ManifestError, match=message):
        subset_of(FERV, tmp_path / "list")


def test_a_list_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ManifestError, match="cannot be read"):
        subset_of(FERV, tmp_path / "gone")
