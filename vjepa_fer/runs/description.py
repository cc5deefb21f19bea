"""What a run says of itself goes into ``run.json``, with the SHA-256 of every file of the run; it comes back checked, file by file.

::

    {"format": "vjepa-fer/run/2", …, "files": {"folds.json": SHA-256, …}, "sha256": of all the rest as canonical JSON}

Format 1 had no hashes: such a run is read as it is, and compared with the figures that it says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vjepa_fer.disk import refuse_link
from vjepa_fer.doors import TABLE, Given, TooLargeError, canonical_json, read_bytes, read_object
from vjepa_fer.errors import RunError, VjepaFerError
from vjepa_fer.experiment import LARGEST_EXPERIMENT
from vjepa_fer.folds import MAX_FOLDS_BYTES
from vjepa_fer.runs.columns import ADVICE as ADVICE_COLUMNS
from vjepa_fer.runs.columns import PREDICTIONS_NPZ
from vjepa_fer.runs.settings import digest

FORMAT, FORMAT_1 = "vjepa-fer/run/2", "vjepa-fer/run/1"
KEYS = {"format", "created", "cache", "settings", "result", "seconds", "versions"}
"""Of format 1; with any other a file of format 2 is passed off for one."""

RUN_JSON, FOLDS_JSON, PREDICTIONS_CSV, GROUPS_CSV = "run.json", "folds.json", "predictions.csv", "groups.csv"
EXPERIMENT = "experiment.toml"
LARGEST = {
    EXPERIMENT: LARGEST_EXPERIMENT,
    FOLDS_JSON: MAX_FOLDS_BYTES,
    PREDICTIONS_CSV: TABLE.size,
    GROUPS_CSV: TABLE.size,
}
"""Bytes; the files that a run may have beside ``run.json``."""

LARGEST_COLUMNS = TABLE.size

ADVICE = "put the file back from a copy, or remove the folder and run again"
EDITED = (
    f"{ADVICE}. To judge an edited table on purpose, move it out of the run's folder: vjepa-fer evaluate edited.csv"
)


@dataclass(frozen=True, eq=False)
class Description:
    """A ``run.json``, checked against its own hash.

    Attributes
    ----------
    folder : Path
    said : Given
        All of it.
    files : mapping of str to str, or None
        SHA-256 by name; None for a run of format 1.
    """

    folder: Path
    said: Given
    files: Mapping[str, str] | None

    @property
    def names(self) -> tuple[str, ...]:
        """The files that the run was written with, beside ``run.json``; one that a person put there later is none of it."""
        if self.files is not None:
            return tuple(self.files)
        grouped = self.said.object("result").object("by", optional=True).values
        return (FOLDS_JSON, PREDICTIONS_CSV, *((GROUPS_CSV,) if grouped else ()))

    def read(self, name: str) -> bytes:
        """All bytes of one of the run's files.

        Raises
        ------
        RunError
            Missing, a link, too large, or not as it was written.
        """
        path, advice = self.folder / name, EDITED if name == PREDICTIONS_CSV else ADVICE
        try:
            data = _bytes_of(path, LARGEST[name], ADVICE)
        except FileNotFoundError as error:
            raise RunError(f"{path}: is missing, and the run is not whole without it; {ADVICE}") from error
        if self.files is not None:
            _require_unchanged(path, data, self.files.get(name), advice)
        return data

    def read_columns(self) -> bytes | None:
        """All bytes of the columns beside the table of predictions; None where the run has none, or they were removed.

        Raises
        ------
        RunError
            A link, too large, or not as they were written.
        """
        path = self.folder / PREDICTIONS_NPZ
        if self.files is None or "columns" not in self.said:
            return None
        try:
            data = _bytes_of(path, LARGEST_COLUMNS, ADVICE_COLUMNS)
        except FileNotFoundError:
            return None
        _require_unchanged(path, data, self.said.text("columns"), ADVICE_COLUMNS)
        return data


def _bytes_of(path: Path, at_most: int, advice: str) -> bytes:
    require_no_link(path)
    try:
        return read_bytes(path, at_most=at_most, follow=False)
    except FileNotFoundError:
        raise
    except (OSError, TooLargeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); {advice}") from error


def _require_unchanged(path: Path, data: bytes, sha256: str | None, advice: str) -> None:
    if digest(data) != sha256:
        raise RunError(f"{path}: was changed after the run was written (its SHA-256 differs); {advice}")


def write_description(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write ``run.json`` into a folder that holds all other files of the run already.

    Raises
    ------
    ValueError
        A figure that is NaN or infinite, which JSON has not.
    """
    files = {path.name: digest(path.read_bytes()) for path in sorted(folder.iterdir())}
    columns = files.pop(PREDICTIONS_NPZ, None)  # a copy, without which the run is whole: not one of its files
    copied = {} if columns is None else {"columns": columns}
    whole = json.loads(json.dumps({"format": FORMAT, **facts, "files": files, **copied}, allow_nan=False))
    text = json.dumps({**whole, "sha256": digest(canonical_json(whole))}, indent=2, ensure_ascii=False)
    (folder / RUN_JSON).write_text(text + "\n", encoding="utf-8", newline="\n")


def read_description(folder: Path) -> Description:
    """Read ``run.json`` back.

    Raises
    ------
    RunError
        No run, a link, changed since it was written, or written by a newer version.
    """
    path = folder / RUN_JSON
    require_no_link(path)
    try:
        said = read_object(path, error=RunError, advice=ADVICE, follow=False)
    except FileNotFoundError as error:
        raise RunError(
            f"{folder}: not a run folder (no {RUN_JSON} in it); `vjepa-fer probe CACHE --out DIR` makes them"
        ) from error
    if said.values.get("format") not in (FORMAT, FORMAT_1):
        raise RunError(f"{path}: not the description of a run (no format {FORMAT!r}), or a newer version's")
    return Description(folder, said, _checked_files(said, path))


def _checked_files(said: Given, path: Path) -> Mapping[str, str] | None:
    changed = RunError(f"{path}: was changed after it was written (its SHA-256 differs); {ADVICE}")
    if said.text("format") == FORMAT_1:
        if set(said) <= KEYS:
            return None
        raise changed
    rest = {key: value for key, value in said.values.items() if key != "sha256"}
    if said.text("sha256") != digest(canonical_json(rest)):
        raise changed
    files = said.mapping("files")
    if not {FOLDS_JSON, PREDICTIONS_CSV} <= set(files) <= set(LARGEST):
        said.refuse("files", f"hashes of {', '.join(LARGEST)} and no other file")
    return files


def require_no_link(path: Path) -> None:
    """:func:`vjepa_fer.disk.refuse_link`, as an error of runs."""
    try:
        refuse_link(path)
    except VjepaFerError as error:
        raise RunError(str(error)) from error
