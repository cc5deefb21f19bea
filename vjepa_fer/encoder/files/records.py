"""A file in the home folder comes in; where it came from, and whether it is still what it was, goes out. Needs no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vjepa_fer.disk import write_durably
from vjepa_fer.doors import read_object
from vjepa_fer.encoder.files.hashes import known_sha256
from vjepa_fer.encoder.files.home import HUB_STATE_KEY, weights_here
from vjepa_fer.encoder.model.zoo import OFFICIAL_ENCODERS, OfficialEncoder
from vjepa_fer.errors import CheckpointError, VjepaFerError


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
    fault : str or None
        Why `extract` would refuse it, where that was found out.
    """

    url: str
    size: int
    sha256: str
    state_key: str
    licence: str
    fetched: str
    fault: str | None = None


def read_record(path: Path) -> WeightsRecord | None:
    """The record beside a fetched file, or beside the place of one that was removed; None when there is none.

    Raises
    ------
    CheckpointError
        It is damaged.
    """
    file = record_file(path)
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
            f"{record_file(path).name}); delete it and fetch it again"
        )


def write_record(
    path: Path, file: Path, official: OfficialEncoder, *, sha256: str, url: str, state_key: str
) -> WeightsRecord:
    """Record `file`, which is or will be at `path`."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    size, licence = file.stat().st_size, official.licence
    record = WeightsRecord(url=url, size=size, sha256=sha256, state_key=state_key, licence=licence, fetched=now)
    write_durably(record_file(path), json.dumps(asdict(record), indent=2) + "\n")
    return record


def record_fault(path: Path, fault: str | None) -> None:
    """Remember in the record of a file why it would be refused, or that it would not."""
    record = read_record(path)
    if record is not None and record.fault != fault:
        write_durably(record_file(path), json.dumps(asdict(replace(record, fault=fault)), indent=2) + "\n")


def known_fault(path: Path) -> str | None:
    """Why a fetched file is known to be refused: what was found when it came, or its size is another now; its bytes are not read."""
    try:
        record = read_record(path)
    except CheckpointError as error:
        return str(error)
    if record is None:
        return None
    changed = f"{path}: changed since it was fetched on {record.fetched[:10]}; delete it and fetch it again"
    return record.fault or (changed if path.stat().st_size != record.size else None)


def record_file(path: Path) -> Path:
    """Where the record of a file is."""
    return path.with_name(path.name + ".json")
