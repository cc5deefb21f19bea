"""The home folder is looked through; every weights file that can be asked for by name goes out, with its hash. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vjepa_fer.encoder.files.hashes import known_sha256, sha256_of_parts
from vjepa_fer.encoder.files.home import weights_here
from vjepa_fer.encoder.files.records import read_record
from vjepa_fer.encoder.loading.registry import read_registration, registration_files
from vjepa_fer.encoder.model.zoo import OFFICIAL_ENCODERS
from vjepa_fer.errors import CheckpointError, VjepaFerError
from vjepa_fer.weights.dress import weights_files


def examine_weights() -> list[dict[str, Any]]:
    """The weights that are here, official and registered, with their hashes: compared with what they were when they came.

    A file that has not changed since it was last hashed is not read again.
    """
    found = [_official_weights(name, path) for name in OFFICIAL_ENCODERS for path in weights_here(name).values()]
    return found + [_registered_weights(path) for path in registration_files()]


def _official_weights(name: str, path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"model": name, "file": str(path)}
    try:
        entry |= {"size": path.stat().st_size, "sha256": known_sha256(path)}
        record = read_record(path)
    except CheckpointError as error:
        return entry | {"fault": str(error)}
    if record is None:
        return entry | {"note": f"`vjepa-fer models fetch {name}` records it, to notice changes"}
    if record.sha256 != entry["sha256"]:
        return entry | {"fault": f"changed since it was fetched on {record.fetched[:10]}; delete it and fetch it again"}
    return entry | {"note": f"as fetched on {record.fetched[:10]}"}


def _registered_weights(registration: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"model": registration.stem, "file": str(registration)}
    try:
        entry["file"] = str(read_registration(registration).weights)
        files = weights_files(entry["file"]).files
        return entry | {"sha256": sha256_of_parts(files), "size": sum(file.stat().st_size for file in files)}
    except VjepaFerError as error:
        return entry | {"fault": str(error)}
