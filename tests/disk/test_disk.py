"""Files and folders appear whole, durably and once; what is removed is ours and nobody's any more; links lead nowhere."""

from __future__ import annotations

import multiprocessing
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vjepa_fer.disk import (
    bytes_for_people,
    create_exclusively,
    durable,
    exclusive_lock,
    inside,
    is_gone,
    make_folders,
    make_own_folder,
    new_folder,
    new_owner,
    on_disk,
    open_regular,
    partial_path,
    remove_files,
    scratch_folder,
    sweep_partial_folders,
    sweep_partials,
    sweep_scratch,
    unique_names,
    whose,
    write_durably,
)
from vjepa_fer.errors import VjepaFerError

POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX")


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def owner_of(pid):
    return re.sub(r"\.\d+\.", f".{pid}.", new_owner())


def dead_process():
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    return process.pid


# --- durable


@pytest.mark.parametrize("content", [b"zwei", "zwei", lambda file: file.write(b"zwei")])
def test_a_file_is_replaced_whole_and_leaves_nothing_beside(tmp_path, content):
    for text in ("one", content):
        write_durably(tmp_path / "a.json", text)
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "zwei"
    assert names(tmp_path) == ["a.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    write_durably(tmp_path / "a.json", "old")
    with pytest.raises(UnicodeEncodeError):
        write_durably(tmp_path / "a.json", "\ud800")
    assert (tmp_path / "a.json").read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", no_space)
    for write in (write_durably, create_exclusively):
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path / "x.h5", b"bytes")
    with pytest.raises(OSError, match="No space left"), new_folder(tmp_path / "run") as folder:
        (folder / "a").touch()
    assert names(tmp_path) == []


@POSIX
def test_it_is_as_readable_as_any_new_file(tmp_path):
    write_durably(tmp_path / "a.json", "text")
    with new_folder(tmp_path / "run") as folder:
        (folder / "f").touch()
    (tmp_path / "b").touch()
    (tmp_path / "c").mkdir()
    for ours, plain in (("a.json", "b"), ("run/f", "b"), ("run", "c")):
        assert stat.S_IMODE((tmp_path / ours).stat().st_mode) == stat.S_IMODE((tmp_path / plain).stat().st_mode)


@POSIX
def test_file_and_folder_reach_the_disk_before_the_name_is_there(tmp_path, monkeypatch):
    events = []
    real_sync, real_replace, real_rename = os.fsync, os.replace, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append(os.readlink(f"/proc/self/fd/{fd}")), real_sync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("rename"), real_replace(a, b)))
    monkeypatch.setattr(os, "rename", lambda a, b: (events.append("rename"), real_rename(a, b)))
    write_durably(tmp_path / "a", b"x")
    assert [e == "rename" for e in events] == [False, True, False]
    assert events[0].endswith(".partial")
    assert events[2] == str(tmp_path)
    events.clear()
    with new_folder(tmp_path / "run") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "f").touch()
        (folder / "g").touch()
    before, after = events[: events.index("rename")], events[events.index("rename") + 1 :]
    assert {e.partition(".partial")[2] for e in before} == {"", "/g", "/inner", "/inner/f"}
    assert after == [str(tmp_path)]


def test_of_many_that_create_a_file_one_succeeds(tmp_path):
    made, barrier = [], threading.Barrier(16)

    def create(number):
        barrier.wait()
        if create_exclusively(tmp_path / "cache.json", f"{number}"):
            made.append(number)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(tmp_path / "cache.json").read_text()] == [str(n) for n in made]
    assert names(tmp_path) == ["cache.json"]


def test_without_hard_links_a_file_is_still_created_once(tmp_path, monkeypatch):
    def refuse(a, b):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(durable.os, "link", refuse)
    assert create_exclusively(tmp_path / "a", "first")
    assert not create_exclusively(tmp_path / "a", "second")
    monkeypatch.setattr(durable.os.path, "lexists", lambda path: False)
    assert not create_exclusively(tmp_path / "a", "third")
    assert (tmp_path / "a").read_text() == "first"
    assert names(tmp_path) == ["a"]


def test_of_many_that_make_a_folder_one_succeeds_and_the_others_leave_nothing(tmp_path):
    made, refused, barrier = [], [], threading.Barrier(8)

    def make(number):
        barrier.wait()
        try:
            with new_folder(tmp_path / "run") as folder:
                (folder / "n").write_text(str(number))
            made.append(number)
        except FileExistsError as error:
            refused.append(error.filename)

    threads = [threading.Thread(target=make, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(tmp_path / "run" / "n").read_text()] == [str(n) for n in made]
    assert refused == [str(tmp_path / "run")] * 7
    assert names(tmp_path) == ["run"]


def test_a_folder_that_was_not_filled_does_not_appear(tmp_path):
    with pytest.raises(KeyError), new_folder(tmp_path / "run"):
        raise KeyError
    assert names(tmp_path) == []


@POSIX
def test_every_new_folder_above_reaches_the_disk_too(tmp_path, monkeypatch):
    synced, real_sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real_sync(fd)))
    with new_folder(tmp_path / "a" / "b" / "run"):
        assert synced == [str(tmp_path), str(tmp_path / "a")]
    assert synced[-1] == str(tmp_path / "a" / "b")
    synced.clear()
    make_folders(tmp_path / "a" / "b")
    assert synced == []
    make_own_folder(tmp_path / "c")
    assert synced == [str(tmp_path)]


def test_a_file_in_place_of_a_folder_above_is_not_one_that_exists(tmp_path):
    (tmp_path / "a").touch()
    for path in (tmp_path / "a" / "run", tmp_path / "a" / "b" / "run"):
        with pytest.raises(NotADirectoryError, match=r"a'$"), new_folder(path):
            pass
    assert names(tmp_path) == ["a"]


def test_of_many_that_make_the_same_folders_all_succeed(tmp_path):
    barrier, faults = threading.Barrier(8), []

    def make():
        barrier.wait()
        try:
            make_folders(tmp_path / "a" / "b" / "c")
        except OSError as error:
            faults.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


# --- names


def test_names_of_one_file_on_some_disks_are_numbered():
    assert unique_names(["clip", "Clip", "a", "CLIP", "clip-2"]) == ["clip", "Clip-2", "a", "CLIP-3", "clip-2-2"]
    assert unique_names(["\u00e9", "e\u0301"]) == ["\u00e9", "e\u0301-2"]


@given(st.lists(st.text("aAbB-2ßẞé\u0301Iıİ", max_size=3)))
def test_no_two_unique_names_are_one_file_anywhere(names):
    chosen = unique_names(names)
    assert len({on_disk(name) for name in chosen}) == len({name.upper() for name in chosen}) == len(names)
    assert len({unicodedata.normalize("NFC", name.lower()) for name in chosen}) == len(names)
    assert all(new.startswith(old) for old, new in zip(names, chosen, strict=True))


# --- whose


def test_no_two_names_are_one_and_a_dead_process_is_known(tmp_path):
    assert len({new_owner() for _ in range(1000)}) == 1000
    assert not is_gone(new_owner())
    assert is_gone(owner_of(dead_process()))
    assert is_gone(owner_of(2**33))
    assert not is_gone(owner_of(1))  # alive, and not ours
    assert not is_gone(new_owner().replace(whose._machine(), "0" * 16))  # another machine's: who knows
    assert not is_gone("nonsense")
    long = partial_path(tmp_path / ("n" * 255))
    long.touch()


def test_a_machine_is_another_after_a_restart_and_in_another_container(monkeypatch):
    whose._machine.cache_clear()
    here = whose._machine()
    for name, other in (("_read", "another boot"), ("_link", "pid:[7]")):
        with monkeypatch.context() as patch:
            patch.setattr(whose, name, lambda path, other=other: other)
            whose._machine.cache_clear()
            assert whose._machine() != here
    whose._machine.cache_clear()
    assert whose._machine() == here


# --- inside


@POSIX
def test_only_partials_of_nobody_are_swept(tmp_path):
    mine = tmp_path / f".a.h5.{new_owner()}.partial"
    dead = tmp_path / f".a.h5.{owner_of(dead_process())}.partial"
    foreign = new_owner().replace(whose._machine(), "0" * 16)
    elsewhere, old = tmp_path / f".a.h5.{foreign}.partial", tmp_path / f".b.h5.{foreign}.partial"
    standing_still = tmp_path / f".c.h5.{owner_of(os.getppid())}.partial"
    of_version_0_1, others = tmp_path / "b.h5.somehost.12.partial", tmp_path / "download.partial"
    for path in (mine, dead, elsewhere, old, standing_still, of_version_0_1, others):
        path.touch()
    for path in (mine, old, standing_still, of_version_0_1, others):
        os.utime(path, (0, 0))
    assert set(sweep_partials(tmp_path)) == {dead, old, of_version_0_1}
    assert set(tmp_path.iterdir()) == {mine, elsewhere, standing_still, others}


@POSIX
def test_a_clock_that_is_wrong_sweeps_nothing(tmp_path, monkeypatch):
    foreign = tmp_path / f".a.{new_owner().replace(whose._machine(), '0' * 16)}.partial"
    foreign.touch()
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert sweep_partials(tmp_path) == []
    os.utime(foreign, (4e9, 4e9))  # its writer's clock is a life ahead
    assert sweep_partials(tmp_path) == []


@POSIX
def test_folders_of_the_dead_are_swept_whole(tmp_path):
    dead, mine = (tmp_path / f".run.{owner}.partial" for owner in (owner_of(dead_process()), new_owner()))
    for folder in (dead, mine):
        folder.mkdir()
        (folder / "f").touch()
    (tmp_path / f".link.{owner_of(dead_process())}.partial").symlink_to(mine)
    assert sweep_partial_folders(tmp_path) == [dead]
    assert (mine / "f").exists()


@POSIX
def test_nothing_is_removed_through_a_link_or_that_is_no_plain_file(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.partial").touch()
    inner = tmp_path / "cache"
    inner.mkdir()
    (inner / "a.partial").symlink_to(outside / "a.partial")
    os.mkfifo(inner / "b.partial")
    (inner / "c.partial").mkdir()
    assert remove_files(inner, re.compile(r".*\.partial")) == []
    (inner / "shards").symlink_to(outside)
    with pytest.raises(VjepaFerError, match="shards: is a link, which could lead anywhere"):
        remove_files(inner / "shards", re.compile(".*"))
    with pytest.raises(VjepaFerError, match="is a link"):
        make_own_folder(inner / "shards")
    assert (outside / "a.partial").exists()


@POSIX
def test_a_folder_that_becomes_a_link_in_the_last_moment_leads_nowhere(tmp_path, monkeypatch):
    outside, inner = tmp_path / "outside", tmp_path / "inner"
    outside.mkdir()
    (outside / "a").touch()
    inner.symlink_to(outside)
    monkeypatch.setattr(inside, "refuse_link", lambda path: None)  # it was a folder when that looked
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        remove_files(inner, re.compile(".*"))
    assert (outside / "a").exists()


@POSIX
def test_a_pipe_a_device_and_a_link_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero", tmp_path):
        with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
            open_regular(path)
    (tmp_path / "f").write_text("x")
    (tmp_path / "l").symlink_to(tmp_path / "f")
    os.close(open_regular(tmp_path / "l"))
    with pytest.raises(OSError, match="Too many levels"):
        open_regular(tmp_path / "l", follow=False)


# --- facts


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


# --- scratch


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def scratch_of(owner, folder):
    """A scratch folder with something in it."""
    path = folder / f"vjepa-fer-ab1_.{owner}.partial"
    path.mkdir()
    (path / "features.npy").touch()
    return path


def test_a_scratch_folder_goes_with_its_block_and_is_this_users_alone(temporary):
    with scratch_folder() as folder:
        (Path(folder) / "features.npy").touch()
        assert Path(folder).parent == temporary
        assert os.name == "nt" or stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert sweep_scratch() == []
    assert names(temporary) == []


def test_what_a_killed_process_left_goes_at_the_next_start(temporary):
    code = "import os, tempfile; from vjepa_fer.disk import scratch_folder\n"
    code += f"tempfile.tempdir = {str(temporary)!r}\nfolder = scratch_folder()\nos._exit(9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = temporary.iterdir()
    (left / "features.npy").touch()
    with scratch_folder():
        assert not left.exists()


def test_only_scratch_of_the_dead_is_swept(temporary):
    dead, alive, foreign = owner_of(dead_process()), new_owner(), new_owner().replace(whose._machine(), "0" * 16)
    kept = [scratch_of(owner, temporary) for owner in (alive, foreign)]
    (temporary / "elsewhere").mkdir()
    (temporary / f"vjepa-fer-link.{dead}.partial").symlink_to("elsewhere")
    (temporary / f"vjepa-fer-file.{dead}.partial").touch()
    (temporary / f"vjepa-fer.cache.{dead}.partial").mkdir()
    before = names(temporary)
    left = scratch_of(dead, temporary)
    assert sweep_scratch() == [left]
    assert names(temporary) == before
    old = time.time() - 8 * 24 * 3600
    for path in kept:
        os.utime(path, (old, old))
    assert sweep_scratch() == [kept[1]]  # after a week


@POSIX
def test_another_users_scratch_is_left_alone(temporary, monkeypatch):
    left = scratch_of(owner_of(dead_process()), temporary)
    monkeypatch.setattr(os, "getuid", lambda: os.lstat(left).st_uid + 1)
    assert sweep_scratch() == []
    assert left.exists()


def test_many_equal_names_are_numbered_one_after_another():
    assert unique_names(["clip"] * 20_000)[-1] == "clip-20000"
