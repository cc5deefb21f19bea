"""An encoder's name comes in, its official weights lie in the home folder afterwards, with a record of where they came from.

The SHA-256 is recorded when a file first comes and compared ever after: Meta publishes none, so a change is all that can be
noticed. There is no registry of ours; torch is not needed.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vjepa_fer.disk import exclusive_lock, make_folders, sync_folder
from vjepa_fer.encoder.fetching.download import ROOM_HINT, Patience, Progress, discard, download
from vjepa_fer.encoder.files.hashes import file_sha256, known_sha256
from vjepa_fer.encoder.files.home import weights_file
from vjepa_fer.encoder.files.records import (
    WeightsRecord,
    check_unchanged,
    read_record,
    record_fault,
    record_file,
    write_record,
)
from vjepa_fer.encoder.model.zoo import OfficialEncoder, official_encoder
from vjepa_fer.errors import CheckpointError, DownloadError


@dataclass(frozen=True)
class FetchedWeights:
    """Weights that are here: `is_new` when this call brought them, `is_first` when no earlier hash could be compared."""

    path: Path
    record: WeightsRecord
    is_new: bool
    is_first: bool


def fetch_weights(
    name: str, *, url: str | None = None, progress: Progress | None = None, patience: Patience | None = None
) -> FetchedWeights:
    """Fetch Meta's file of an official encoder, or check the one that is here.

    In order: the folder is locked; a file that is here is compared with its record; else it is downloaded beside its place,
    resuming what an earlier call left, looked at, hashed, compared, recorded, and moved into place in one step.

    Parameters
    ----------
    name : str
        Of the eleven official ones.
    url : str, optional
        Another address of the same file, such as an institute's mirror.
    progress : callable, optional
        Called with bytes here and bytes in all.
    patience : Patience, optional

    Raises
    ------
    RecipeError
        No official encoder has this name.
    DownloadError
        The server, the connection or the disk; or the bytes are others than when the file first came.
    """
    official = official_encoder(name)
    path, address = weights_file(name), url or official.url
    with alone(path):
        if path.is_file():
            return weights_that_are_here(path, official, url=address, state_key=official.state_key)
        part = path.with_name(path.name + ".part")
        download(address, part, progress=progress, patience=patience)
        _check_is_weights(part, address)
        return place_weights(part, path, official, url=address, state_key=official.state_key)


def place_weights(part: Path, path: Path, official: OfficialEncoder, *, url: str, state_key: str) -> FetchedWeights:
    """Hash a complete `part`, compare it with what came before under this name, record it and move it into place."""
    known, digest = read_record(path), file_sha256(part)
    if known and known.sha256 != digest:
        discard(part)
        raise DownloadError(
            f"{url}: not the bytes that came from {known.url} on {known.fetched[:10]}: SHA-256 {digest[:16]}… now, "
            f"{known.sha256[:16]}… then. If the change is meant, delete {record_file(path)} and run the same command again"
        )
    record = known or write_record(path, part, official, sha256=digest, url=url, state_key=state_key)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(path.parent)
    discard(part)
    return FetchedWeights(path, record, is_new=True, is_first=known is None)


def weights_that_are_here(path: Path, official: OfficialEncoder, *, url: str, state_key: str) -> FetchedWeights:
    """Compare a file that is here with its record; one that was put here by hand gets its record now."""
    try:
        check_unchanged(path)
    except CheckpointError as error:
        record_fault(path, str(error))
        raise
    if record := read_record(path):
        return FetchedWeights(path, record, is_new=False, is_first=False)
    record = write_record(path, path, official, sha256=known_sha256(path), url=url, state_key=state_key)
    return FetchedWeights(path, record, is_new=False, is_first=True)


def _check_is_weights(part: Path, url: str) -> None:
    """A whole file of ``torch.save`` ends in a directory of its entries; anything else is removed at once."""
    if zipfile.is_zipfile(part):
        return
    with part.open("rb") as file:
        head = file.read(64).lstrip().lower()
    discard(part)
    what = "a web page" if head.startswith(b"<") else "no PyTorch file, or not all of it"
    raise DownloadError(f"{url}: what came is {what}; it was removed. Check the address and try again")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Fetch `path` in this process only, into a folder that is made; what the disk refuses is a :class:`DownloadError`."""
    with ExitStack() as stack:
        try:
            make_folders(path.parent)
            _hold(path, stack)
            yield
        except DownloadError:
            raise
        except OSError as error:
            where = error.filename or path
            raise DownloadError(f"{where}: cannot be written: {error.strerror or error}; {ROOM_HINT}") from error


def _hold(path: Path, stack: ExitStack) -> None:
    try:
        stack.enter_context(exclusive_lock(path.with_name(path.name + ".lock")))
    except BlockingIOError as error:
        raise DownloadError(f"{path}: another process is fetching it just now; wait for that one") from error
    except OSError:
        pass  # a file system without locks: as well as one can
