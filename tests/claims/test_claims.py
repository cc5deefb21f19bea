"""Processes that share a folder agree on who does what, whatever their clocks say and however long one stood still."""

from __future__ import annotations

import os
import re
import time
import tracemalloc

import pytest

from caches import small_manifest, small_rows, write_small_cache
from vjepa_fer.cache import ShardWriter, open_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.claims import CLAIMS, Claims
from vjepa_fer.claims import taking as claims
from vjepa_fer.disk import new_owner, whose
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.extract.sharing import ClipShare, DoneClips, Patience

LONG = 2 * claims.DEAD_AFTER_SECONDS


@pytest.fixture
def machines(monkeypatch):
    """Every `Claims` of the test as if on a machine of its own: nobody can ask for another's process."""
    monkeypatch.setattr(claims, "is_gone", lambda owner: False)


@pytest.fixture
def watch(monkeypatch):
    """This process's own watch, to be set forward."""
    now = [1000.0]
    monkeypatch.setattr(claims.time, "monotonic", lambda: now[0])
    return now


def stop(owner, *, ahead=0.0):
    """Its heart beat for the last time long ago, by a clock that may be ahead."""
    when = time.time() + (ahead or -LONG)
    os.utime(owner._alive(owner._owner), (when, when))


def names(folder):
    return sorted(p.name for p in (folder / CLAIMS).iterdir())


def test_a_clip_is_claimed_once_and_again_after_its_owner_is_gone(tmp_path):
    with Claims(tmp_path) as mine:
        with Claims(tmp_path) as other:
            assert other.take("a")
            assert not mine.take("a")
            assert mine.take("b")
            assert not other.take("b")
            assert other.holds("a")
            assert not other.holds("b")
        assert mine.take("a")
    assert names(tmp_path) == []


def test_the_claim_of_a_silent_owner_is_taken_over_by_one_only(tmp_path, machines):
    with Claims(tmp_path) as silent, Claims(tmp_path) as mine, Claims(tmp_path) as third:
        assert silent.take("a")
        stop(silent)
        assert mine.take("a")
        assert not third.take("a")


def test_one_that_stood_still_notices_that_others_took_over(tmp_path, machines):
    with Claims(tmp_path) as sleeper:
        sleeper.take("a")
        sleeper.take("b")
        stop(sleeper)
        with Claims(tmp_path) as other:  # finds nobody alive, and sweeps
            assert other.take("a")
            sleeper._alive(sleeper._owner).touch()  # it goes on
            assert not sleeper.holds("a")
            assert not sleeper.holds("b")
            assert sleeper.take("b")
            assert sleeper.holds("b")
            assert not other.take("b")
            assert other.holds("a")


def test_a_takeover_by_one_that_died_does_not_hold_up_the_one_that_had_stood_still(tmp_path, machines):
    with Claims(tmp_path) as sleeper, Claims(tmp_path) as other, Claims(tmp_path) as third:
        assert sleeper.take("a")
        stop(sleeper)
        assert other.take("a")
        os.utime(sleeper._alive(sleeper._owner))
        assert not sleeper.take("a")
        stop(other)
        assert third.take("a")
        assert third.holds("a")
        assert not sleeper.take("a")


def test_what_another_took_over_is_not_given_up_for_it(tmp_path, machines):
    sleeper = Claims(tmp_path).__enter__()
    sleeper.take("a")
    stop(sleeper)
    with Claims(tmp_path) as other:
        assert other.take("a")
        sleeper.__exit__()
        assert other.holds("a")
        assert len(names(tmp_path)) == 2


@pytest.mark.parametrize("ahead", [3600.0, 86400.0])
def test_a_clock_that_is_ahead_holds_nothing_up(tmp_path, machines, watch, ahead):
    with Claims(tmp_path) as dead, Claims(tmp_path) as mine:
        dead.take("a")
        stop(dead, ahead=ahead)
        assert not mine.take("a")  # it may be alive: its heart was just seen for the first time
        watch[0] += claims.DEAD_AFTER_SECONDS - 1
        assert not mine.take("a")
        watch[0] += 1
        assert mine.take("a")


def test_a_heart_that_beats_by_a_clock_ahead_is_alive(tmp_path, machines, watch):
    with Claims(tmp_path) as ahead, Claims(tmp_path) as mine:
        ahead.take("a")
        for beat in range(30):
            stop(ahead, ahead=86400 + beat)
            assert not mine.take("a")
            watch[0] += claims.DEAD_AFTER_SECONDS / 2


def test_this_machine_s_own_clock_plays_no_part(tmp_path, machines, monkeypatch):
    with Claims(tmp_path) as other, Claims(tmp_path) as mine:
        other.take("a")
        for wrong in (0.0, 4e9):
            monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
            monkeypatch.setattr(time, "time_ns", lambda wrong=wrong: int(wrong * 1e9))
            assert not mine.take("a")


def test_a_claim_that_is_just_being_written_counts_as_held_for_a_while(tmp_path, machines, watch):
    with Claims(tmp_path) as mine, Claims(tmp_path) as other:
        mine.take("a")
        next((tmp_path / CLAIMS).glob("*.0")).write_text("")
        assert not other.take("a")
        watch[0] += claims.DEAD_AFTER_SECONDS
        assert other.take("a")  # whoever made it died before it wrote its name


def test_a_takeover_whose_ground_was_swept_is_given_back(tmp_path, machines, monkeypatch):
    with Claims(tmp_path) as dead, Claims(tmp_path) as mine, Claims(tmp_path) as third:
        dead.take("a")
        stop(dead)
        real = Claims._make

        def make(self, path):
            made = real(self, path)
            if self is mine and path.name.endswith(
                ".1"
            ):  # in this moment the dead one's claim goes, and a third takes the clip
                next((tmp_path / CLAIMS).glob("*.0")).unlink()
                assert real(third, path.with_suffix(".0"))
                third._held["a"] = 0
            return made

        monkeypatch.setattr(Claims, "_make", make)
        assert not mine.take("a")
        assert third.holds("a")
        assert not mine.holds("a")


def test_what_the_dead_left_is_swept_only_when_nobody_is_there(tmp_path):
    folder = tmp_path / CLAIMS
    folder.mkdir()
    dead = re.sub(r"\.\d+\.", ".4294967296.", new_owner())
    (folder / f"{dead}.alive").touch()
    (folder / f"{'0' * 32}.0").write_text(dead)
    (folder / "notes.txt").write_text("somebody's")
    (folder / "results.csv").write_text("somebody's")
    foreign = new_owner().replace(whose._machine(), "0" * 16)
    (folder / f"{foreign}.alive").touch()
    with Claims(tmp_path):
        assert f"{'0' * 32}.0" in names(tmp_path)
    os.utime(folder / f"{foreign}.alive", (0, 0))
    with Claims(tmp_path) as mine:
        assert names(tmp_path) == sorted([f"{mine._owner}.alive", "notes.txt", "results.csv"])


def test_claims_that_are_a_link_make_nothing_and_remove_nothing(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "results.csv").write_text("years of work")
    (outside / f"{'0' * 32}.0").write_text("")
    (tmp_path / CLAIMS).symlink_to(outside)
    with pytest.raises(VjepaFerError, match="claims: is a link, which could lead anywhere"), Claims(tmp_path):
        pass
    assert sorted(p.name for p in outside.iterdir()) == [f"{'0' * 32}.0", "results.csv"]


def test_waiting_ends_when_nobody_gets_on(monkeypatch):
    now, told = [0.0], []
    monkeypatch.setattr("vjepa_fer.extract.sharing.time.monotonic", lambda: now[0])
    monkeypatch.setattr("vjepa_fer.extract.sharing.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    patience = Patience(10)
    left = [5] * 8 + [4] * 8 + [1] * 30
    waited = [patience.wait(number, told.append) for number in left]
    assert waited.index(False) == 16 + 10
    assert told == [5]


def test_a_clip_that_a_living_process_has_finished_is_done_and_not_waited_for(tmp_path):
    recipe = write_small_cache(tmp_path, num_clips=2)
    prepare_cache(tmp_path, recipe, small_manifest(4))
    with Claims(tmp_path) as mine, Claims(tmp_path) as other:
        known = DoneClips(open_cache(tmp_path), "nobody's")
        for clip_id in ("c2", "c3"):
            other.take(clip_id)
        writer = ShardWriter(tmp_path, recipe)
        writer.add(small_rows("c2", recipe))
        writer.flush()
        share = ClipShare(tmp_path, mine, known, {})
        assert [share.take(clip) for clip in small_manifest(4).clips[2:]] == [False, False]
        assert share.found_done == {"c2"}
        assert [clip.clip_id for clip in share.held_elsewhere] == ["c3"]


def test_what_another_did_while_one_stood_still_is_not_written_twice_though_it_left_no_claim(tmp_path, machines):
    recipe = write_small_cache(tmp_path, num_clips=1)
    prepare_cache(tmp_path, recipe, small_manifest(3))
    with Claims(tmp_path) as sleeper:
        mine = ShardWriter(tmp_path, recipe)
        known = DoneClips(open_cache(tmp_path), mine.writer_id)
        mine.is_ours = lambda clip_id: sleeper.holds(clip_id) and clip_id not in known
        for clip_id in ("c1", "c2"):
            assert sleeper.take(clip_id)
            mine.add(small_rows(clip_id, recipe))
        stop(sleeper)
        with Claims(tmp_path) as other:
            assert other.take("c1")
            theirs = ShardWriter(tmp_path, recipe)
            theirs.add(small_rows("c1", recipe))
            theirs.flush()
        sleeper._alive(sleeper._owner).touch()
        (tmp_path / CLAIMS / sleeper._claim("c1", 0).name).write_text(sleeper._owner)  # nobody had swept it
        (tmp_path / CLAIMS / sleeper._claim("c2", 0).name).write_text(sleeper._owner)
        assert mine.flush() == ("c2",)
        assert mine.lost == {"c1"}


def test_a_clip_that_was_lost_to_one_who_died_can_be_taken_again(tmp_path, machines):
    with Claims(tmp_path) as sleeper:
        sleeper.take("a")
        stop(sleeper)
        with Claims(tmp_path) as third, Claims(tmp_path) as other:
            third.take("b")  # or the sweep would find nobody alive
            assert other.take("a")
            sleeper._alive(sleeper._owner).touch()
            assert not sleeper.take("a")
            stop(other)
            assert sleeper.take("a")
            assert sleeper.holds("a")


def test_a_claim_of_a_gigabyte_is_nobodys_and_not_read(tmp_path):
    with (tmp_path / "claim").open("wb") as file:
        file.truncate(1 << 30)
    tracemalloc.start()
    assert claims._read_owner(tmp_path / "claim") is None
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()


def test_what_the_living_say_of_themselves_is_heard_and_the_dead_are_not(tmp_path, machines):
    with Claims(tmp_path, "one") as mine, Claims(tmp_path, "another") as other, Claims(tmp_path, "silent") as dead:
        stop(dead)
        assert mine.heard() == {other._owner: "another"}
        other.say("")
        assert mine.heard() == {other._owner: ""}


def test_a_process_whose_heart_was_swept_says_again_what_it_said(tmp_path, machines, monkeypatch):
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    with Claims(tmp_path, "sleeper") as sleeper, Claims(tmp_path) as other:
        sleeper._alive(sleeper._owner).unlink()
        end = time.monotonic() + 10
        while other.heard() != {sleeper._owner: "sleeper"}:
            assert time.monotonic() < end


def test_a_folder_that_the_last_one_takes_away_at_this_moment_is_made_again(tmp_path, monkeypatch):
    real, taken = claims.make_own_folder, []

    def made_and_gone(folder):
        real(folder)
        if not taken:
            taken.append(folder.rmdir())

    monkeypatch.setattr(claims, "make_own_folder", made_and_gone)
    with Claims(tmp_path) as mine:
        assert mine.take("a")


def test_deaths_in_the_middle_of_something_are_counted_and_others_are_not(tmp_path, machines):
    with Claims(tmp_path) as first, Claims(tmp_path) as second, Claims(tmp_path) as mine:
        for dead in (first, second):
            assert dead.take("deadly")
            dead.begin("deadly")
            dead.begin("harmless")
            dead.end("harmless")
            assert dead.take("harmless")
            stop(dead)
        assert mine.take("deadly")
        assert mine.take("harmless")
        assert (mine.deaths("deadly"), mine.deaths("harmless")) == (2, 0)


def test_deaths_are_remembered_until_a_process_ends_in_order(tmp_path):
    folder = tmp_path / CLAIMS
    folder.mkdir()
    for generation in range(2):
        dead = re.sub(r"\.\d+\.", ".4294967296.", new_owner())
        (folder / f"{dead}.alive").write_text(f"\n{claims._key('deadly')}")
        (folder / f"{claims._key('deadly')}.{generation}").write_text(dead)
        (folder / f"{claims._key('harmless')}.{generation}").write_text(dead)
    with Claims(tmp_path) as mine:
        assert sum(name.startswith(claims._key("harmless")) for name in names(tmp_path)) == 0
        assert mine.take("deadly")
        assert mine.deaths("deadly") == 2
    assert names(tmp_path) == []


def test_what_a_process_is_in_the_middle_of_is_not_what_it_says_of_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "MOST_AT_ONCE", 3)
    with Claims(tmp_path, "one") as mine, Claims(tmp_path) as other:
        for name in "abcd":
            mine.begin(name)
        assert other.heard() == {mine._owner: "one"}
        assert claims._at(mine._alive(mine._owner)) == {claims._key(name) for name in "bcd"}
        for name in "abcd":
            mine.end(name)
        assert mine._alive(mine._owner).read_text() == "one"
