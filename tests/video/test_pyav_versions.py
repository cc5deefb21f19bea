"""PyAV changes with every major version; what differs between those that we take is tried here on the one that is installed."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import av
import pytest

from videos import encode
from vjepa_fer.video import container, decode_video
from vjepa_fer.video.looks import pixel_aspect


@pytest.fixture
def asked(monkeypatch):
    """What PyAV is asked for when a file is opened, whichever version it says that it is."""
    asked: dict = {}
    monkeypatch.setattr(av, "open", lambda path, **options: asked.update(options))
    container._any_text.cache_clear()
    yield asked
    container._any_text.cache_clear()


@pytest.mark.parametrize(("version", "words"), [("17.1.0", "replace"), ("18.1.0", "replace"), ("19.0.2", None)])
def test_a_version_is_asked_for_nothing_that_it_does_not_have(asked, monkeypatch, tmp_path, version, words):
    monkeypatch.setattr(av, "__version__", version)
    container.open_container(tmp_path / "clip.mp4")
    assert asked.get("metadata_errors") == words


@pytest.mark.parametrize("unsaid", [None, Fraction(0)])  # before PyAV 19, and since
def test_pixels_of_which_nothing_is_said_are_square(unsaid):
    assert pixel_aspect(SimpleNamespace(sample_aspect_ratio=unsaid)) == 1


def test_a_title_in_an_old_encoding_spoils_no_film(tmp_path):
    path = encode("lavfi:testsrc2=d=1:r=10", tmp_path / "film.avi", "-metadata", b"title=Gl\xfcck".decode("latin-1"))
    head = path.read_bytes().replace("Glück".encode(), b"Gl\xfcck\0")
    path.write_bytes(head)
    assert b"Gl\xfcck\0" in head
    assert decode_video(path).num_frames == 10
