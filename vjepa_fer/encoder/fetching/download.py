"""An address comes in, a whole file goes out: resumed where it broke off, never sewn from two versions, its length checked.

Until it is whole the file is called ``NAME.part``; ``NAME.part.json`` beside it remembers what the server said of it.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from vjepa_fer import __version__
from vjepa_fer.disk import write_durably
from vjepa_fer.doors import read_object
from vjepa_fer.errors import DownloadError, VjepaFerError

SPARE_BYTES = 64 << 20
"""Left free on the disk after a download."""

ROOM_HINT = "free some space, or let VJEPA_FER_HOME point to another folder"

LARGEST_WEIGHTS = 64 << 30
"""Bytes; Meta's largest training checkpoints have some 15 GB."""

_BLOCK = 1 << 20
_LOOK_EVERY = 64 << 20
"""Bytes between two looks at the room that is left."""

_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here, and how many there will be where the server said so."""


@dataclass(frozen=True)
class Patience:
    """How long a server may be silent, and how often in a row it may fail without sending anything new."""

    timeout_seconds: float = 30
    attempts: int = 5
    pause_seconds: float = 2


@dataclass(frozen=True)
class Remote:
    """What a server said of a file: the part that is here may be continued only if it still says the same.

    Attributes
    ----------
    url : str
    total : int or None
        Bytes of the whole file.
    validator : str or None
        A strong ETag, else Last-Modified, for ``If-Range``.
    """

    url: str
    total: int | None = None
    validator: str | None = None


class _Interrupted(Exception):
    """The server stopped or stumbled; another try may go on from here."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects as usual, but never from https to plain http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise DownloadError(f"{req.full_url}: redirects to {newurl}, which is not https; refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str,
    part: Path,
    *,
    progress: Progress | None = None,
    patience: Patience | None = None,
    at_most: int = LARGEST_WEIGHTS,
) -> None:
    """Fetch `url` into `part`, going on from what is there when the server still has the same file.

    A cut or silent connection is resumed by HTTP Range with ``If-Range``, so that a file which changed meanwhile comes anew
    and whole. A server without ranges, or without a strong ETag or a date, starts over.

    Parameters
    ----------
    url : str
        http or https.
    part : Path
        In an existing folder. Complete when this returns; when it raises it is kept for another try if that could go on from there.
    progress : callable, optional
    patience : Patience, optional
    at_most : int
        Bytes of the whole file, whether or not the server says how many there will be.

    Raises
    ------
    DownloadError
        The server refuses, answers with a web page, keeps failing, sends more than it said or than `at_most`, or the disk is too small.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"{url}: not an http or https address")
    patience = patience or Patience()
    failures, most = 0, _size(part)
    while True:
        try:
            return _receive(url, part, progress or (lambda done, total: None), patience, at_most)
        except DownloadError:
            raise
        except OSError as error:  # of our own disk: the connection's are _Interrupted
            raise DownloadError(f"{part}: cannot be written: {error.strerror or error}; {ROOM_HINT}") from error
        except _Interrupted as error:
            failures = 1 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            if failures >= patience.attempts:
                message = f"{url}: {error}; {_size(part):,} bytes are here. Run the same command again to go on"
                raise DownloadError(message) from error
        time.sleep(patience.pause_seconds * failures)


def _receive(url: str, part: Path, progress: Progress, patience: Patience, at_most: int) -> None:
    """One connection: what comes is appended; raises :class:`_Interrupted` unless the file is whole afterwards."""
    known = _read_remote(part, url)
    start = _size(part) if known.validator else 0
    if known.total is not None and 0 < start == known.total:
        return
    with _open(url, _headers(start, known), part, patience.timeout_seconds) as response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        if resumed and not _continues(response, known, start):
            discard(part)
            raise _Interrupted("the server sent another part of the file than was asked for")
        if not resumed:  # all of it, from the first byte
            start = 0
        remote = known if resumed else _remote_of(response, url)
        if remote.total is not None and remote.total > at_most:
            raise DownloadError(f"{url}: is said to have {remote.total:,} bytes, {_no_weights(at_most)}")
        check_space(part.parent, (remote.total or 0) - start)
        write_durably(_note(part), json.dumps(asdict(remote)) + "\n")
        try:
            with part.open("r+b" if start else "wb") as file:
                file.seek(start)
                _copy(response, file, start, remote, progress, at_most)
        except DownloadError:
            if remote.validator is None or _size(part) > (at_most if remote.total is None else remote.total):
                discard(part)  # nothing can go on from there
            raise
    size = _size(part)
    if remote.total is not None and size != remote.total:
        raise _Interrupted(f"the connection ended after {size:,} of {remote.total:,} bytes")


def _headers(start: int, known: Remote) -> dict[str, str]:
    headers = {"User-Agent": f"vjepa-fer/{__version__}", "Accept-Encoding": "identity"}
    if start and known.validator:
        headers |= {"Range": f"bytes={start}-", "If-Range": known.validator}
    return headers


def _open(url: str, headers: dict[str, str], part: Path, timeout: float) -> Any:
    opener = urllib.request.build_opener(_SafeRedirects)
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
                raise _Interrupted("the part that was here does not belong to the server's file") from error
            if error.code in _WORTH_ANOTHER_TRY:
                raise _Interrupted(f"the server answered {error.code} {error.reason}") from error
            raise DownloadError(_refusal(url, error.code, str(error.reason))) from error
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if "CERTIFICATE_VERIFY_FAILED" in str(reason):
            raise DownloadError(f"{url}: its certificate cannot be checked here ({reason})") from error
        raise _Interrupted(f"no connection ({reason})") from error


def _refusal(url: str, code: int, reason: str) -> str:
    hint = "the file may have moved, or a proxy may be in the way; a copy from elsewhere works as well, give it as --weights"
    return f"{url}: the server answered {code} {reason}: {hint}"


def _continues(response: Any, known: Remote, start: int) -> bool:
    """Whether a partial answer begins where our part ends, in the file that we know: some servers overlook ``If-Range``."""
    headers = response.headers
    said, _, total = str(headers.get("Content-Range", "")).removeprefix("bytes ").partition("/")
    marks = headers.get("ETag" if str(known.validator).startswith('"') else "Last-Modified")
    return (
        said.partition("-")[0] == str(start) and total in (str(known.total), "*") and marks in (None, known.validator)
    )


def _remote_of(response: Any, url: str) -> Remote:
    headers = response.headers
    if headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise DownloadError(
            f"{url}: answered with a web page, not a file; check the address, or log in where it asks to"
        )
    etag, length = headers.get("ETag", ""), headers.get("Content-Length", "")
    validator = etag if etag.startswith('"') else headers.get("Last-Modified")
    return Remote(url, int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None, validator)


def _copy(response: Any, file: IO[bytes], done: int, remote: Remote, progress: Progress, at_most: int) -> None:
    progress(done, remote.total)
    looked = done
    while True:
        try:
            block = response.read1(_BLOCK)  # what has come so far: a silent server costs none of it
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(
                f"the connection broke after {done:,} bytes ({error or type(error).__name__})"
            ) from error
        if not block:
            file.truncate()
            return
        file.write(block)
        done += len(block)
        if done > (at_most if remote.total is None else remote.total):
            known = _no_weights(at_most) if remote.total is None else f"more than the {remote.total:,} that it said"
            raise DownloadError(f"{remote.url}: sent {done:,} bytes, {known}; what came was removed")
        if done - looked >= _LOOK_EVERY:
            looked = done
            check_space(Path(file.name).parent, 0)
        progress(done, remote.total)


def _no_weights(at_most: int) -> str:
    return f"over the {at_most:,} that weights can have: another file; check the address"


def check_space(folder: Path, num_bytes: int) -> None:
    """Raise :class:`DownloadError` unless the disk has room for `num_bytes` and :data:`SPARE_BYTES`."""
    free, need = shutil.disk_usage(folder).free, num_bytes + SPARE_BYTES
    if free < need:
        raise DownloadError(f"{folder}: {need / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free; {ROOM_HINT}")


def _read_remote(part: Path, url: str) -> Remote:
    """What the server said when the part was begun; nothing when that was another address."""
    try:
        known = Remote(**read_object(_note(part), at_most=1 << 16).values)
    except (OSError, VjepaFerError, TypeError):
        return Remote(url)
    return known if known.url == url else Remote(url)


def discard(part: Path) -> None:
    """Remove a part and its note."""
    for path in (part, _note(part)):
        path.unlink(missing_ok=True)


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
