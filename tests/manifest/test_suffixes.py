"""Which names are videos: as libav says, and as it opens them."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from vjepa_fer.manifest.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES, suffix_of
from vjepa_fer.video.container import _CONTAINERS, count_packets

SOUND = {
    ".m4a",
    ".m4b",
    ".isma",
    ".mka",
    ".wma",
    ".ra",
    ".wav",
    ".w64",
    ".mp3",
    ".mp2",
    ".m2a",
    ".mpa",
    ".aac",
    ".flac",
    ".ac3",
    ".amr",
    ".aif",
    ".aiff",
    ".aifc",
    ".afc",
    ".au",
}
NO_MOVING_PICTURES = {".mks", ".avif", ".heic", ".heif", ".mpo"}  # subtitles; single pictures


def suffixes_of_libav() -> set[str]:
    found: set[str] = set()
    for name in _CONTAINERS.split(","):
        for mode in ("r", "w"):
            try:
                found |= {f".{suffix}" for suffix in av.ContainerFormat(name, mode).extensions}
            except ValueError:  # it only reads this one, or only writes it
                continue
    return found


def test_every_suffix_that_libav_names_for_what_we_open_is_a_video_sound_or_a_picture():
    assert suffixes_of_libav() - SOUND - NO_MOVING_PICTURES <= VIDEO_SUFFIXES
    assert not VIDEO_SUFFIXES & (SOUND | NO_MOVING_PICTURES | PICTURE_SUFFIXES)


@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES))
def test_a_video_of_any_of_these_names_is_opened(suffix, tmp_path):
    from vjepa_fer.demo import __file__ as package

    path = tmp_path / f"clip{suffix}"
    path.write_bytes((Path(package).parent / "one_second.mp4").read_bytes())
    assert count_packets(path) > 10  # what is in a file decides, whatever its name


@pytest.mark.parametrize(("name", "suffix"), [("a.MTS", ".mts"), (".hidden", ""), ("dot.", ""), ("a.b.gif", ".gif")])
def test_the_last_suffix_counts_in_any_letter_case(name, suffix):
    assert suffix_of(name) == suffix
