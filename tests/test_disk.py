"""What a file system can do, and small files that appear whole."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from vjepa_fer.disk import bytes_for_people, exclusive_lock, replace_text


def test_a_small_file_is_replaced_whole_and_leaves_nothing_beside(tmp_path):
    for text in ("one", "zwei ×"):
        replace_text(tmp_path / "a.json", text)
        assert (tmp_path / "a.json").read_text(encoding="utf-8") == text
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    replace_text(tmp_path / "a.json", "old")
    with pytest.raises(UnicodeEncodeError):
        replace_text(tmp_path / "a.json", "\ud800")
    assert (tmp_path / "a.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX's")
def test_it_is_as_readable_as_any_new_file(tmp_path):
    replace_text(tmp_path / "a.json", "text")
    (tmp_path / "b").touch()
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path):
    with exclusive_lock(tmp_path / "lock"):
        errors = []

        def second():
            try:
                with exclusive_lock(tmp_path / "lock"):
                    errors.append(None)
            except BlockingIOError as error:
                errors.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert isinstance(errors[0], BlockingIOError)
    with exclusive_lock(tmp_path / "lock"):
        pass


@pytest.mark.parametrize(
    ("num_bytes", "words"),
    [(0, "0 B"), (999, "999 B"), (999_900, "1 MB"), (1_234_567_890, "1.23 GB"), (2e15, "2e+03 TB")],
)
def test_bytes_are_said_in_three_figures(num_bytes, words):
    assert bytes_for_people(num_bytes) == words
