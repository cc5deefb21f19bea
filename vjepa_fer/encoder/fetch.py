"""An encoder's name comes in, its official weights lie in the home folder afterwards, with a record of where they came from.

The SHA-256 is recorded when a file first comes and compared ever after: Meta publishes none, so a change is all that can be
noticed. There is no registry of ours; torch is not needed.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from vjepa_fer.disk import exclusive_lock, make_folders, sync_folder, write_durably
from vjepa_fer.doors import read_object
from vjepa_fer.encoder.download import ROOM_HINT, Patience, Progress, discard, download
from vjepa_fer.encoder.hashes import file_sha256, known_sha256
from vjepa_fer.encoder.home import HUB_STATE_KEY, weights_file, weights_here
from vjepa_fer.encoder.zoo import OFFICIAL_ENCODERS, OfficialEncoder, official_encoder
from vjepa_fer.errors import CheckpointError, DownloadError, VjepaFerError


@dataclass(frozen=True, kw_only=True)
class WeightsRecord:
    """What is remembered of a fetched file, in ``FILE.json`` beside it.

    Attributes
    ----------
    url : str
        Where it came from.
    size : int
        Bytes.
    sha256 : str
        When it first came.
    state_key : str
        The state dict that is read from it.
    licence : str
        Of the weights.
    fetched : str
        When, in UTC.
    """

    url: str
    size: int
    sha256: str
    state_key: str
    licence: str
    fetched: str


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
            f"{known.sha256[:16]}… then. If the change is meant, delete {_record_file(path)} and run the same command again"
        )
    record = known or _write_record(path, part, official, sha256=digest, url=url, state_key=state_key)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(path.parent)
    discard(part)
    return FetchedWeights(path, record, is_new=True, is_first=known is None)


def read_record(path: Path) -> WeightsRecord | None:
    """The record beside a fetched file, or beside the place of one that was removed; None when there is none.

    Raises
    ------
    CheckpointError
        It is damaged.
    """
    file = _record_file(path)
    if not file.exists():
        return None
    try:
        return WeightsRecord(**read_object(file, at_most=1 << 16).values)
    except (OSError, VjepaFerError, TypeError) as error:
        raise CheckpointError(f"{file}: not the record that `models fetch` writes ({error}); delete it") from error


def fetched_weights(name: str, state_key: str | None) -> Path:
    """Weights of the home folder that hold `state_key`, by default the official evaluation's, unchanged since they came.

    Raises
    ------
    CheckpointError
        There are none, or none with that state dict, or they changed; the message says how to get them.
    """
    if name not in OFFICIAL_ENCODERS:
        raise CheckpointError(f"{name} has no official weights: give random:0 as its weights")
    here = weights_here(name)
    path = here.get("meta") or (here.get("huggingface") if state_key == HUB_STATE_KEY else None)
    if path is None:
        raise CheckpointError(_how_to_get_weights(OFFICIAL_ENCODERS[name], has_hub="huggingface" in here))
    check_unchanged(path)
    return path


def _how_to_get_weights(official: OfficialEncoder, *, has_hub: bool) -> str:
    name = official.name
    if has_hub:
        return (
            f"{name}: only Hugging Face's weights are here, which are another state dict ({HUB_STATE_KEY}): "
            f"take them with the state key {HUB_STATE_KEY!r}, or run `vjepa-fer models fetch {name}`"
        )
    return (
        f"{name} needs its weights: run `vjepa-fer models fetch {name}`, or download {official.url} and give the file, "
        "or random:0 for a smoke test"
    )


def check_unchanged(path: Path) -> None:
    """Raise unless a fetched file still has the hash of its record; a file without a record passes.

    Raises
    ------
    CheckpointError
        It changed since it was fetched.
    """
    record = read_record(path)
    if record and known_sha256(path) != record.sha256:
        raise CheckpointError(
            f"{path}: changed since it was fetched on {record.fetched[:10]} (another SHA-256 than in "
            f"{_record_file(path).name}); delete it and fetch it again"
        )


def weights_that_are_here(path: Path, official: OfficialEncoder, *, url: str, state_key: str) -> FetchedWeights:
    """Compare a file that is here with its record; one that was put here by hand gets its record now."""
    check_unchanged(path)
    if record := read_record(path):
        return FetchedWeights(path, record, is_new=False, is_first=False)
    record = _write_record(path, path, official, sha256=known_sha256(path), url=url, state_key=state_key)
    return FetchedWeights(path, record, is_new=False, is_first=True)


def _write_record(
    path: Path, file: Path, official: OfficialEncoder, *, sha256: str, url: str, state_key: str
) -> WeightsRecord:
    """Record `file`, which is or will be at `path`."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    size, licence = file.stat().st_size, official.licence
    record = WeightsRecord(url=url, size=size, sha256=sha256, state_key=state_key, licence=licence, fetched=now)
    write_durably(_record_file(path), json.dumps(asdict(record), indent=2) + "\n")
    return record


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


def _record_file(path: Path) -> Path:
    return path.with_name(path.name + ".json")
