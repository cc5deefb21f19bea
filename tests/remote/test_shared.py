"""Several that write to one address agree without a clock and without a list: by entries that are each made exclusively."""

from __future__ import annotations

import contextlib

import fsspec
import pytest

from vjepa_fer.disk import new_owner
from vjepa_fer.errors import RemoteError
from vjepa_fer.remote import (
    CONTENTS,
    WRITERS,
    Contents,
    Entry,
    Shared,
    creates_exclusively,
    list_files,
    read_contents,
    send_bytes,
    sole_writer,
    stores,
)
from vjepa_fer.remote import contents as contents_module
from vjepa_fer.remote import hearts as hearts_module
from vjepa_fer.remote import log as log_module

ADDRESS = "memory://one"
IDS = [f"c{n}" for n in range(40)]
FILE = Entry(3, "")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(hearts_module, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(hearts_module, "DEAD_AFTER_SECONDS", 0.3)
    monkeypatch.setattr(hearts_module, "is_gone", lambda owner: False)
    yield
    fsspec.filesystem("memory").store.clear()


class Dead(Shared):
    """One whose heart does not beat, and that never leaves: as a machine without current."""

    def __enter__(self):
        with contextlib.suppress(AttributeError):
            self._hearts._ended.set()
        return super().__enter__()

    def __exit__(self, *_):
        pass


def held(shared):
    return {clip_id for clip_id, owner in shared.said.holders.items() if owner == shared.owner}


def take_all(shared, ids=IDS):
    return [clip_id for clip_id in ids if shared.take(clip_id)]


def test_blocks_are_large_first_and_nobody_takes_what_another_has():
    with Shared(ADDRESS, IDS) as one, Shared(ADDRESS, IDS) as other:
        assert one.take("c0")
        assert held(one) == {*IDS[:5]}  # a quarter of its half of 40
        assert not other.take("c0")
        assert other.take("c5")
        assert held(other) == {*IDS[5:9]}  # of 35
        mine, theirs = take_all(one), take_all(other)
        assert sorted(mine + theirs) == sorted(IDS)


def test_what_one_gave_back_is_free_at_once():
    with Shared(ADDRESS, IDS) as other:
        with Shared(ADDRESS, IDS) as one:
            assert one.take("c0")
        other.refresh()
        assert other.take("c0")


def test_the_dead_are_taken_over_and_their_hearts_go():
    with Dead(ADDRESS, IDS) as dead, Shared(ADDRESS, IDS) as other:
        assert take_all(dead) == IDS
        assert not other.take("c0")  # its heart is seen for the first time
        while not other.take("c0"):
            pass
        assert other.said.writers == {other.owner}
        assert list_files(f"{ADDRESS}/{WRITERS}").keys() == {f"{other.owner}.json"}


def test_one_whose_heart_beats_is_left_alone():
    with Shared(ADDRESS, IDS) as slow, Shared(ADDRESS, IDS) as other:
        take_all(slow)
        end = hearts_module.time.monotonic() + 3 * hearts_module.DEAD_AFTER_SECONDS
        while hearts_module.time.monotonic() < end:
            assert not other.take("c0")


def test_of_two_that_did_a_clip_the_first_counts_and_the_other_is_told():
    with Shared(ADDRESS, IDS) as one, Shared(ADDRESS, IDS) as other:
        one.take("c0")
        assert other.publish({"shards/other.h5": FILE}, ["c0"]) == frozenset()
        assert one.publish({"shards/one.h5": FILE}, ["c0", "c1"]) == {"c0"}
        assert one.publish({"shards/one.h5": FILE}, ["c1"]) == frozenset()
        assert one.is_done("c0")
        assert not one.take("c0")
    assert read_contents(ADDRESS).keys() == {"shards/one.h5", "shards/other.h5"}


def test_a_reader_sees_all_though_contents_are_behind_and_they_catch_up():
    with Shared(ADDRESS, IDS) as one, Shared(ADDRESS, IDS) as other:
        late = one.said.contents().text().encode()
        one.publish({"shards/one.h5": FILE}, ["c0"])
        other.publish({"shards/other.h5": FILE}, ["c1"])
        other.show()
        send_bytes(f"{ADDRESS}/{CONTENTS}", late)  # one's answer took its time
        assert read_contents(ADDRESS).keys() == {"shards/one.h5", "shards/other.h5"}
    known = contents_module.stored_contents(ADDRESS)
    assert known.files.keys() == {"shards/one.h5", "shards/other.h5"}  # what a reader sees that knows no log
    assert known.writers == {}


def test_whoever_reads_when_all_have_left_asks_for_one_file(monkeypatch):
    with Shared(ADDRESS, IDS) as one:
        one.publish({"shards/one.h5": FILE}, ["c0"])
    asked, read = [], stores.read_whole
    for module in (contents_module, log_module):
        monkeypatch.setattr(module, "read_whole", lambda place, most: asked.append(place) or read(place, most))
    assert read_contents(ADDRESS) == {"shards/one.h5": FILE}
    assert asked == [f"{ADDRESS}/{CONTENTS}"]


def test_an_answer_that_got_lost_is_no_second_entry(monkeypatch):
    create = stores.create_bytes

    def forgets(place, data):
        create(place, data)
        return False

    with Shared(ADDRESS, IDS) as one:
        monkeypatch.setattr(log_module, "create_bytes", forgets)
        before = one.said.through
        assert one.publish({"shards/one.h5": FILE}, ["c0"]) == frozenset()
        assert one.said.through == before + 1


def test_a_store_that_is_silent_gives_no_clips_and_ends_no_job(monkeypatch):
    def silent(place, data):
        raise RemoteError("silent")

    with Shared(ADDRESS, IDS) as one:
        with monkeypatch.context() as patch:
            patch.setattr(log_module, "create_bytes", silent)
            assert not one.take("c0")
        assert not one.take("c0")  # it is not asked again at once
        one._silent_until = 0.0
        assert one.take("c0")


def test_one_that_must_be_alone_and_several_refuse_each_other():
    alone, many = sole_writer(ADDRESS), Shared(ADDRESS, IDS)
    with Shared(ADDRESS, IDS), pytest.raises(RemoteError, match=r"others extract into it \(1\): wait for them"):
        alone.__enter__()
    with sole_writer(ADDRESS), pytest.raises(RemoteError, match="another process writes there since"):
        many.__enter__()
    assert not list_files(f"{ADDRESS}/{WRITERS}")


def test_a_store_that_takes_no_notice_of_the_condition_is_known(monkeypatch):
    assert creates_exclusively(ADDRESS)
    monkeypatch.setattr(stores, "create_bytes", lambda place, data: stores.send_bytes(place, data) or True)
    assert not creates_exclusively(ADDRESS)
    assert not creates_exclusively("hf://datasets/one/two")
    assert not list_files(ADDRESS)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (b"{}", r"log/00000001\.json: damaged \(KeyError"),
        (b'{"format": "vjepa-fer/log", "format_version": 2}', r"format 'vjepa-fer/log' 2 is not vjepa-fer/log 1"),
        (
            b'{"format": "vjepa-fer/log", "format_version": 1, "owner": "a", "key": "b", "takes": [], "done": [], "gone": [],'
            b' "files": {"../x": {"size": 1}}}',
            r"'\.\./x' leads out of the folder",
        ),
    ],
)
def test_a_damaged_entry_is_named(said, match):
    send_bytes(f"{ADDRESS}/{CONTENTS}", Contents({}, 0, {"a": ()}).text().encode())
    send_bytes(f"{ADDRESS}/log/00000001.json", said)
    with pytest.raises(RemoteError, match=match):
        read_contents(ADDRESS)


def test_an_owner_is_not_known_before_its_heart_was_seen():
    assert not hearts_module.Hearts(ADDRESS, new_owner()).lives(new_owner())
