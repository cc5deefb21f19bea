"""A file over HTTP from servers of every kind: whole and right, or refused in one sentence."""

from __future__ import annotations

import email.message
import os
import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from servers import Site, serve
from vjepa_fer.encoder.fetching import download as download_module
from vjepa_fer.encoder.fetching.download import Patience, _remote_of, _SafeRedirects, download
from vjepa_fer.errors import DownloadError

CONTENT = os.urandom(3_000_000)
QUICK = Patience(timeout_seconds=5, attempts=3, pause_seconds=0)


@pytest.fixture
def part(tmp_path):
    return tmp_path / "w.pt.part"


def fetch(site, part, path="/file", **settings):
    download(site.url + path, part, patience=settings.pop("patience", QUICK), **settings)


def test_a_file_comes_whole_and_progress_is_told(part):
    seen = []
    with serve(Site(CONTENT)) as site:
        fetch(site, part, progress=lambda done, total: seen.append((done, total)))
    assert part.read_bytes() == CONTENT
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_cut_connection_is_resumed_where_it_broke(part):
    with serve(Site(CONTENT, cut_after=1_000_001, cut_times=2)) as site:
        fetch(site, part)
    assert part.read_bytes() == CONTENT
    assert [r[1:] for r in site.requests] == [
        (None, None),
        ("bytes=1000001-", '"v1"'),
        ("bytes=2000002-", '"v1"'),
    ]


def test_what_an_earlier_call_left_is_resumed(part):
    with serve(Site(CONTENT, cut_after=1_000_000, cut_times=1)) as site:
        with pytest.raises(
            DownloadError, match=r"ended after 1,000,000 of 3,000,000 bytes; 1,000,000 bytes are here\. Run"
        ):
            fetch(site, part, patience=Patience(attempts=1))
        fetch(site, part)
    assert part.read_bytes() == CONTENT
    assert site.requests[-1][1] == "bytes=1000000-"


def test_a_whole_part_is_not_asked_for_again(part):
    with serve(Site(CONTENT)) as site:
        fetch(site, part)
        fetch(site, part)
    assert len(site.requests) == 1


def test_a_file_that_changed_meanwhile_comes_anew_and_is_never_sewn(part):
    with serve(Site(CONTENT, cut_after=1_000_000)) as site:
        with pytest.raises(DownloadError):
            fetch(site, part, patience=Patience(attempts=1))
        site.content, site.etag = os.urandom(2_000_000), '"v2"'
        fetch(site, part)
    assert part.read_bytes() == site.content


@pytest.mark.parametrize(
    "manners", [{"ranges": False}, {"etag": None}, {"etag": 'W/"weak"'}], ids=["no ranges", "no etag", "weak etag"]
)
def test_a_server_that_cannot_resume_starts_over(part, manners):
    with serve(Site(CONTENT, cut_after=1_000_000, **manners)) as site:
        fetch(site, part)
    assert part.read_bytes() == CONTENT
    assert len(site.requests) == 2


def test_an_answer_from_another_place_is_thrown_away(part):
    with serve(Site(CONTENT, cut_after=1_000_000, wrong_range=True)) as site:
        fetch(site, part)
    assert part.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(part):
    with serve(Site(CONTENT, cut_after=1_000_000)) as site:
        with pytest.raises(DownloadError):
            fetch(site, part, patience=Patience(attempts=1))
        part.write_bytes(bytes(4_000_000))
        fetch(site, part)
    assert part.read_bytes() == CONTENT


def test_the_part_of_another_address_is_not_continued(part):
    with serve(Site(CONTENT, cut_after=1_000_000)) as site:
        with pytest.raises(DownloadError):
            fetch(site, part, patience=Patience(attempts=1))
        fetch(site, part, "/mirror")
    assert site.requests[-1] == ("/mirror", None, None)
    assert part.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"v2"', None])
def test_a_server_that_overlooks_if_range_is_not_believed(part, etag):
    with serve(Site(bytes(len(CONTENT)), cut_after=1_000_000)) as old, pytest.raises(DownloadError):
        fetch(old, part, patience=Patience(attempts=1))
    with serve(Site(CONTENT, etag='"v2"', heeds_if_range=False)) as site:
        note = part.with_name(part.name + ".json")
        note.write_text(note.read_text().replace(old.url, site.url))
        fetch(site, part)
    assert part.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [503, 429])
def test_a_server_in_trouble_is_asked_again(part, status):
    with serve(Site(CONTENT, status=status, fail_first=2)) as site:
        fetch(site, part)
    assert part.read_bytes() == CONTENT
    assert len(site.requests) == 3


@pytest.mark.parametrize("status", [403, 404, 401])
def test_a_refusal_is_said_at_once(part, status):
    with (
        serve(Site(CONTENT, status=status)) as site,
        pytest.raises(DownloadError, match=rf"/file: the server answered {status} .*: the file may have moved"),
    ):
        fetch(site, part)
    assert len(site.requests) == 1
    assert not part.exists()


def test_a_redirect_is_followed(part):
    with serve(Site(CONTENT)) as site:
        fetch(site, part, "/moved")
    assert part.read_bytes() == CONTENT


def test_a_redirect_to_another_host_is_followed_and_resumed_there(part):
    with serve(Site(CONTENT, cut_after=1_000_000)) as store, serve(Site(b"", moved_to=f"{store.url}/file")) as site:
        download(f"{site.url}/moved", part, patience=QUICK)
    assert part.read_bytes() == CONTENT
    assert [wanted for _, wanted, _ in store.requests] == [None, "bytes=1000000-"]


def test_a_redirect_that_goes_round_is_given_up(part):
    with serve(Site(CONTENT)) as site, pytest.raises(DownloadError, match="the server answered 302"):
        download(f"{site.url}/round", part, patience=QUICK)


def test_a_redirect_to_a_local_file_is_not(part):
    with serve(Site(CONTENT)) as site, pytest.raises(DownloadError, match="the server answered 302"):
        fetch(site, part, "/away")
    assert not part.exists()


def test_a_redirect_from_https_to_http_is_refused():
    from urllib.request import Request

    with pytest.raises(DownloadError, match="redirects to http://b/, which is not https"):
        _SafeRedirects().redirect_request(Request("https://a/"), None, 302, "Found", {}, "http://b/")


def test_a_silent_server_is_left_and_asked_again(part):
    with serve(Site(CONTENT, stall_seconds=2)) as site:
        fetch(site, part, patience=Patience(timeout_seconds=0.3, attempts=3, pause_seconds=0))
    assert part.read_bytes() == CONTENT
    assert site.requests[1][1].startswith("bytes=1500000-")


def test_a_slow_server_is_waited_for_as_long_as_something_comes(part):
    with serve(Site(CONTENT, trickle_seconds=0.15)) as site:  # longer in all than the patience with silence
        fetch(site, part, patience=Patience(timeout_seconds=0.5, attempts=1))
    assert part.read_bytes() == CONTENT


def test_a_server_that_promises_more_than_it_has_is_given_up(part):
    with (
        serve(Site(CONTENT, claims=10)) as site,
        pytest.raises(DownloadError, match=r"Run the same command again to go on"),
    ):
        fetch(site, part)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full here")
def test_a_disk_that_fills_up_meanwhile_ends_in_one_sentence(part):
    part.symlink_to("/dev/full")
    with (
        serve(Site(CONTENT)) as site,
        pytest.raises(DownloadError, match=r"w\.pt\.part: cannot be written: .*VJEPA_FER_HOME"),
    ):
        fetch(site, part)


def test_a_web_page_is_refused(part):
    with (
        serve(Site(b"<html>Please log in", content_type="text/html; charset=utf-8")) as site,
        pytest.raises(DownloadError, match="answered with a web page, not a file"),
    ):
        fetch(site, part)
    assert not part.exists()


def test_a_server_that_says_no_length_is_read_to_its_end(part):
    with serve(Site(CONTENT, says_length=False)) as site:
        fetch(site, part)
    assert part.read_bytes() == CONTENT


def test_a_server_that_always_cuts_is_given_up(part):
    with (
        serve(Site(CONTENT, ranges=False, cut_after=500_000, cut_times=99)) as site,
        pytest.raises(DownloadError, match="ended after 500,000 of 3,000,000 bytes"),
    ):
        fetch(site, part)
    assert len(site.requests) == 3


def test_nobody_there_is_said(part):
    with serve(Site(CONTENT)) as site:
        pass
    with pytest.raises(DownloadError, match=r"no connection \(.*refused"):
        fetch(site, part)


def test_a_full_disk_is_noticed_before_it_is_full(part, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 0, 10**6))
    with (
        serve(Site(CONTENT)) as site,
        pytest.raises(DownloadError, match=r"0\.07 GB needed, 0\.00 GB free; free some space, or let VJEPA_FER_HOME"),
    ):
        fetch(site, part)
    assert not part.exists()


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://a/b", "vitl.pt"])
def test_only_web_addresses_are_fetched(part, url):
    with pytest.raises(DownloadError, match="not an http or https address"):
        download(url, part)


# --- no more than there can be


@pytest.mark.parametrize("etag", ['"v1"', None])
def test_a_server_that_never_ends_is_left_at_the_bound(part, etag):
    site = Site(CONTENT, says_length=False, endless=True, etag=etag)
    with (
        serve(site),
        pytest.raises(DownloadError, match=r"sent 10,\d{3},\d{3} bytes, over the 10,000,000 that weights can have"),
    ):
        fetch(site, part, at_most=10_000_000)
    assert list(part.parent.iterdir()) == []
    assert len(site.requests) == 1


def test_a_file_that_is_said_to_be_too_large_is_not_begun(part):
    site = Site(CONTENT)
    with serve(site), pytest.raises(DownloadError, match=r"is said to have 3,000,000 bytes, over the 2,999,999 that"):
        fetch(site, part, at_most=2_999_999)
    assert list(part.parent.iterdir()) == []


def test_a_server_that_sends_more_than_it_said_is_refused_and_nothing_is_left(part):
    site = Site(CONTENT, cut_after=1_000_000, surplus=bytes(2_000_000))
    with (
        serve(site),
        pytest.raises(DownloadError, match=r"bytes, more than the 3,000,000 that it said; what came was removed"),
    ):
        fetch(site, part)
    assert list(part.parent.iterdir()) == []


@pytest.mark.parametrize(("etag", "left"), [('"v1"', ["w.pt.part", "w.pt.part.json"]), (None, [])])
def test_a_disk_that_others_fill_meanwhile_is_noticed_before_it_is_full(part, monkeypatch, etag, left):
    """What came is kept where the same command can go on from there."""
    room = iter([10**12, 10**6])
    monkeypatch.setattr(download_module, "_LOOK_EVERY", 1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=next(room)))
    site = Site(CONTENT, says_length=False, etag=etag)
    with serve(site), pytest.raises(DownloadError, match=r"0\.07 GB needed, 0\.00 GB free; free some space"):
        fetch(site, part)
    assert sorted(p.name for p in part.parent.iterdir()) == left


@pytest.mark.parametrize("length", ["9" * 5000, "\xb2", "-1", ""])
def test_a_length_that_is_no_number_is_none(length):
    headers = email.message.Message()
    headers["Content-Length"] = length
    assert _remote_of(SimpleNamespace(headers=headers), "http://a/").total is None
