"""Addresses go in, bytes come out, and the other way round; what fails for a moment is tried again. The one file that knows fsspec.

What a store says is one of three things: there is no such file (:class:`FileNotFoundError`), it would not let us, or it does not answer
as it should. The latter two are :class:`~vjepa_fer.errors.RemoteError`, on one line.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from vjepa_fer.disk import create_exclusively, write_durably
from vjepa_fer.errors import RemoteError, VjepaFerError
from vjepa_fer.extras import require_extra
from vjepa_fer.remote.addresses import CREDENTIALS, is_web, without_secrets

TRIES = 6
FIRST_PAUSE_SECONDS = 0.2
STALL_SECONDS = 20.0
"""Silence after which a web server is asked again; s3fs has 15 s of its own."""

PART = 4 << 20
"""Bytes of one request; of a longer stretch several are under way at once."""

_AT_ONCE = 8
_EXTRAS = {
    "s3": ("remote", ("fsspec", "s3fs")),
    "gs": ("remote", ("fsspec", "gcsfs")),
    "hf": ("hub", ("fsspec", "huggingface_hub")),
    "https": ("remote", ("fsspec", "aiohttp")),
    "http": ("remote", ("fsspec", "aiohttp")),
}
_EXCLUSIVE = frozenset({"s3", "gs", "file", "memory"})
_NOT_ALLOWED = frozenset({401, 403, 407})

Value = TypeVar("Value")


def can_create_exclusively(address: str) -> bool:
    """Whether of several writers of one new file one alone should succeed there: S3's If-None-Match, Google's generation 0."""
    return _protocol(address) in _EXCLUSIVE


def creates_exclusively(address: str) -> bool:
    """Whether one alone does: a file is made in that folder twice. Some stores that speak S3 take no notice of If-None-Match.

    Raises
    ------
    RemoteError
        Nothing can be written there.
    """
    if not can_create_exclusively(address):
        return False
    place = f"{address}/{uuid.uuid4().hex}.trial"
    create_bytes(place, b"1")
    try:
        return not create_bytes(place, b"2")
    finally:
        remove_file(place)


def read_ranges(address: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """The bytes from each start to its stop, which must be there.

    Raises
    ------
    FileNotFoundError, RemoteError
    """
    parts = [(a, min(a + PART, stop)) for start, stop in ranges for a in range(start, stop, PART)]
    read = functools.partial(_read_part, address)
    if len(parts) <= 1:
        found = [*map(read, parts)]
    else:
        with ThreadPoolExecutor(min(_AT_ONCE, len(parts))) as threads:
            found = [*threads.map(read, parts)]
    joined, position = [], 0
    for start, stop in ranges:
        count = len(range(start, stop, PART))
        joined.append(b"".join(found[position : position + count]))
        position += count
    return joined


def read_whole(address: str, at_most: int) -> bytes:
    """A file of unknown size.

    Raises
    ------
    FileNotFoundError
    RemoteError
        Also where it is larger.
    """
    data = _asked(address, lambda: _stretch(address, 0, at_most + 1))
    if len(data) > at_most:
        raise RemoteError(f"{address}: has over {at_most:,} bytes, which is absurd for such a file")
    return bytes(data)


def size_of(address: str) -> int:
    """Bytes of a file."""

    def ask() -> int:
        size = _files(address).info(_inside(address))["size"]
        if size is None:
            raise RemoteError(f"{address}: the server does not say how many bytes it has")
        return int(size)

    return _asked(address, ask)


def list_files(address: str, *, depth: int | None = 2) -> dict[str, int]:
    """The files of a folder and of those in it, by their path, with their bytes; none where there is no such folder.

    Parameters
    ----------
    address : str
    depth : int, optional
        1 is the folder itself, 2 those in it too, and None all below.

    Raises
    ------
    RemoteError
        Also for a web server: it lists nothing.
    """
    if is_web(address):
        raise RemoteError(f"{address}: a web server lists no files; give the address of a cache with its contents.json")

    def ask() -> dict[str, int]:
        files = _files(address)
        files.invalidate_cache()
        folder = files._strip_protocol(address).rstrip("/")
        found = files.find(folder, maxdepth=depth, detail=True)
        return {name[len(folder) :].lstrip("/"): int(about["size"]) for name, about in found.items() if name != folder}

    try:
        found = _asked(address, ask)
    except FileNotFoundError:
        found = {}
    if not found:
        _require_bucket(address)
    return found


def send_bytes(address: str, data: bytes) -> None:
    """Make a small file; whole, or not at all."""
    files, inside = _to_write(address)
    if _protocol(address) == "file":  # which would show half of it meanwhile
        _asked(address, lambda: write_durably(Path(inside), data), writing=True)
    else:
        _asked(address, lambda: files.pipe_file(inside, data), writing=True)


def create_bytes(address: str, data: bytes) -> bool:
    """Make a small file unless there is one; whether it was made.

    Of several that try at once one succeeds where :func:`can_create_exclusively` says so.
    """
    files, inside = _to_write(address)
    if _protocol(address) == "file":  # which would show half of it meanwhile
        return _asked(address, lambda: create_exclusively(Path(inside), data), writing=True)
    try:
        _asked(address, lambda: files.pipe_file(inside, data, mode="create"), writing=True)
    except FileExistsError:
        return False
    return True


def send_file(address: str, path: Path) -> None:
    """Send a file whole: it is not there before it is there whole, and its size is what was sent."""
    files, inside = _to_write(address)
    _asked(address, lambda: files.put_file(os.fspath(path), inside), writing=True)
    files.invalidate_cache()
    sent, size = size_of(address), path.stat().st_size
    if sent != size:
        raise RemoteError(f"{address}: has {sent:,} bytes, {size:,} were sent; run the same command again")


def remove_file(address: str) -> None:
    """Take a file away, if it is there."""
    files, inside = _to_write(address)

    def ask() -> None:
        with contextlib.suppress(FileNotFoundError):
            files.rm_file(inside)

    _asked(address, ask, writing=True)


def _read_part(address: str, part: tuple[int, int]) -> bytes:
    start, stop = part

    def ask() -> bytes:
        data = _stretch(address, start, stop)
        if len(data) > stop - start:
            raise RemoteError(
                f"{address}: the server sends more than the bytes that were asked for; it cannot be read by ranges, "
                "copy the files here by other means"
            )
        if len(data) < stop - start:
            raise _CutError(f"sent {len(data):,} of {stop - start:,} bytes")
        return data

    return _asked(address, ask)


def _stretch(address: str, start: int, stop: int) -> bytes:
    """What a store sends of these bytes; of a web server, which may send anything, one more at most."""
    files, inside = _files(address), _inside(address)
    if not is_web(address):
        return bytes(files.cat_file(inside, start=start, end=stop))
    from fsspec.asyn import sync

    return bytes(sync(files.loop, _from_web, files, inside, start, stop))


async def _from_web(files: Any, url: str, start: int, stop: int) -> bytearray:
    session, data, most = await files.set_session(), bytearray(), stop - start + 1
    headers = {"Range": f"bytes={start}-{stop - 1}"}
    async with session.get(files.encode_url(url), headers=headers, **files.kwargs) as response:
        files._raise_not_found_for_status(response, url)
        while len(data) < most and (part := await response.content.read(most - len(data))):
            data += part
    return data


class _CutError(Exception):
    """Fewer bytes than the store says that there are."""


def _asked(address: str, ask: Callable[[], Value], *, writing: bool = False) -> Value:
    """What `ask` gives, tried again while it fails as networks do."""
    for number in range(TRIES):
        try:
            return ask()
        except (VjepaFerError, FileExistsError):
            raise
        except Exception as caught:
            error = _true_cause(caught, address)
            if not _may_pass(error):
                raise _final(address, error, writing) from caught
        if number < TRIES - 1:
            time.sleep(FIRST_PAUSE_SECONDS * 2**number)
    raise RemoteError(
        f"{address}: does not answer as it should, {TRIES} times ({_words(error)}); look at the network and the address, and run the "
        "same command again"
    )


def _true_cause(error: Exception, address: str) -> Exception:
    """fsspec says of a web server's file that it is not there, whatever went wrong when it asked for its size."""
    cause = error.__cause__
    if not (is_web(address) and isinstance(error, FileNotFoundError) and isinstance(cause, Exception)):
        return error
    return error if isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) in (404, 410) else cause


def _final(address: str, error: Exception, writing: bool) -> OSError:
    if not isinstance(error, FileNotFoundError):
        return RemoteError(f"{address}: {_refusal(address, error, writing)}")
    if writing:
        return RemoteError(f"{address}: cannot be written ({_words(error)}); is there such a bucket?")
    return FileNotFoundError(errno.ENOENT, _words(error), address)


def _refusal(address: str, error: Exception, writing: bool) -> str:
    protocol, what = _protocol(address), "written" if writing else "read"
    if _is_forbidden(error):
        where = CREDENTIALS.get(protocol, "nothing: it needs none")
        return f"may not be {what} ({_words(error)}); who we are is looked up in: {where}"
    return f"cannot be {what} ({_words(error)}); look at the address and at its store's settings"


def _is_forbidden(error: Exception) -> bool:
    known = isinstance(error, PermissionError) or type(error).__name__ in ("NoCredentialsError", "TokenRetrievalError")
    return known or getattr(error, "status", None) in _NOT_ALLOWED


def _may_pass(error: Exception) -> bool:
    """Whether it may go well next time: a connection, a time-out, a server out of breath. botocore's have been tried again by s3fs."""
    if _is_forbidden(error) or type(error).__module__.partition(".")[0] in ("botocore", "aiobotocore"):
        return False
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status >= 500 or status in (408, 425, 429)
    if isinstance(error, FileNotFoundError):
        return False
    if isinstance(error, OSError) and error.errno in (
        errno.EINVAL,
        errno.ENOSPC,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
    ):
        return False
    return isinstance(error, OSError | TimeoutError | _CutError) or type(error).__module__.startswith("aiohttp")


def _words(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return without_secrets(said).rstrip(".") or type(error).__name__


def _require_bucket(address: str) -> None:
    """Tell a bucket that is not there from one that holds nothing."""
    bucket = _inside(address).split("/")[0]
    if _protocol(address) in ("s3", "gs") and not _asked(address, lambda: _files(address).exists(bucket)):
        raise RemoteError(
            f"{address}: there is no bucket {bucket!r}; look at its name, and at AWS_ENDPOINT_URL if it is not Amazon's"
        )


def _to_write(address: str) -> tuple[Any, str]:
    if is_web(address):
        raise RemoteError(f"{address}: a web server only gives; write to a bucket or a folder that it serves")
    files, inside = _files(address), _inside(address)
    if _protocol(address) == "file":
        _asked(address, lambda: os.makedirs(os.path.dirname(inside), exist_ok=True), writing=True)
    return files, inside


def _protocol(address: str) -> str:
    return address.partition("://")[0]


def _inside(address: str) -> str:
    return str(_files(address)._strip_protocol(address))


def _files(address: str) -> Any:
    protocol = _protocol(address)
    extra, modules = _EXTRAS.get(protocol, ("remote", ("fsspec",)))
    require_extra(extra, modules, f"{protocol}://")
    return _file_system(protocol, os.getpid())


@functools.lru_cache(maxsize=8)
def _file_system(protocol: str, _process: int) -> Any:
    """fsspec's; each process has its own, for a fork carries no thread along that would answer."""
    import fsspec

    if protocol not in ("http", "https"):
        return fsspec.filesystem(protocol, use_listings_cache=False)
    from aiohttp import ClientTimeout

    patience = ClientTimeout(total=None, sock_connect=STALL_SECONDS, sock_read=STALL_SECONDS)
    return fsspec.filesystem(protocol, client_kwargs={"timeout": patience, "trust_env": True}, skip_instance_cache=True)
