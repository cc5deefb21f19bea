"""Tables with a row a frame go in, as OpenFace, Py-Feat and LibreFace write them; features over time come out, a clip at a time.

One table of many clips, or a folder with one table a clip, whose names are then the clip ids. Columns are known by their names:
frame number, time, whether there is a face; all others are features, as `columns` asks. A row that says it has no face, or in which
a feature is empty or NaN, is no moment of the clip: nothing stands in for it.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vjepa_fer.cache.chosen_columns import match_columns, named_by
from vjepa_fer.cache.column_roles import INDEX_NAMES, UNNAMED, Role
from vjepa_fer.cache.feature_csv import FEATURE_LIMITS
from vjepa_fer.cache.frame_times import clock_seconds, refuse_other_unit
from vjepa_fer.cache.imports import sha256_of_file
from vjepa_fer.cache.moments import FrameStream, Moments, places_of
from vjepa_fer.doors import as_number, from_spreadsheet, nearest, read_rows
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import COLUMNS, MOST_SHOWN, abridged

FRAME, SECONDS, MILLISECONDS, FACE = "frame numbers", "seconds", "milliseconds", "whether there is a face"
LEFT_OUT = "left out"

_KNOWN = {
    FRAME: ("frame", "frame_idx", "frame_index", "frame_number", "frame_num", "frame_no", "frame_id", "frameid"),
    SECONDS: (
        *("timestamp", "time", "seconds", "frametime", "frame_time", "time_s", "timestamp_s"),
        *("video time", "video_time"),
    ),
    MILLISECONDS: ("frame_time_in_ms", "timestamp_ms", "time_ms", "time_in_ms"),
    FACE: ("success", "face_found", "face_detected"),
}
_SAYS_WHO = frozenset(
    {
        *("confidence", "facescore", "face_score", "detection_score", "face_id", "face", "identity", "input"),
        *("approx_time", "frameheight", "framewidth", "samplenumber", "sample_number"),
    }
)
_FAILED = ("find_failed", "fit_failed")
"""What FaceReader writes where it finds no face, or cannot fit its model to it."""

_WHO = re.compile(r"identity_\d+")
"""Columns that are about the finding of a face, the film, or whose face it is, as Py-Feat's 512 numbers of a recogniser: no features of it."""

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


@dataclass(frozen=True)
class _Header:
    """What the columns of a table are: positions in its rows."""

    names: tuple[str, ...]
    clip: int | None
    frame: int | None
    time: int | None
    face: int | None
    features: tuple[int, ...]
    seconds_a_unit: float

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.names[number] for number in self.features)


def holds_frames(path: Path, id_column: str) -> bool:
    """Whether a table has a row a frame: it has a column of frames or times, and its first two rows are of one clip."""
    rows = (row for _, row in read_rows(path, limits=FEATURE_LIMITS, error=CacheError) if row)
    header, first, second = itertools.islice(itertools.chain(rows, itertools.repeat(None)), 3)
    names = _names(header or [])
    if not first or not second or id_column not in names or not {*_by_role(names)} & {FRAME, SECONDS, MILLISECONDS}:
        return False
    number = names.index(id_column)
    return number < min(len(first), len(second)) and first[number].strip() == second[number].strip()


def read_frame_tables(
    path: Path, *, id_column: str = "clip_id", columns: Sequence[str] = ("*",), fps: float | None = None
) -> FrameStream:
    """Features over time of a table, or of a folder of tables.

    Parameters
    ----------
    path : Path
    id_column : str
        That holds the clip ids; of a folder, the files' names are.
    columns : sequence of str
        Which features, names or patterns.
    fps : float, optional
        Frames a second, for tables that have frame numbers alone.

    Raises
    ------
    CacheError
        Names file, row, column and value of what is wrong; here what the header says, and when clips are read what is in the rows.
    """
    files = _files(path)
    header = _header_of(files[0], None if path.is_dir() else id_column, columns)
    if fps is not None and header.time is not None:
        raise CacheError(
            f"{files[0]}: its column {header.names[header.time]} says when each frame is; leave --fps out, which is for frame numbers alone"
        )
    return FrameStream(
        columns=header.columns,
        source=path.name,
        source_sha256=_sha256(path, files),
        clock="seconds" if fps is not None or header.time is not None else "frames",
        read=partial(_read, files, header, path.is_dir(), fps),
        named=named_by(header.columns, columns),
        others=_roles(header, files[0], columns),
    )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.name.lower().endswith(TABLES) and not file.is_symlink())
    if not found:
        raise CacheError(f"{path}: no table ({', '.join(TABLES)}) in this folder; expected one a clip, named by its id")
    return found


def _sha256(path: Path, files: Sequence[Path]) -> str:
    """Of the file; of a folder, of the text that ``sha256sum`` prints of its tables in the order of names."""
    if not path.is_dir():
        return sha256_of_file(path)
    lines = "".join(f"{sha256_of_file(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def _names(header: Sequence[str]) -> list[str]:
    found = [from_spreadsheet(name.strip()) for name in header]  # OpenFace writes a blank after each comma
    return [name or f"Unnamed: {number}" for number, name in enumerate(found)]


def _by_role(names: Sequence[str]) -> dict[str, str]:
    """Role → the first column that has it by its name."""
    lower = {name.lower(): name for name in reversed(names)}
    return {role: lower[known[0]] for role, all_ in _KNOWN.items() if (known := [one for one in all_ if one in lower])}


def _header_of(file: Path, id_column: str | None, columns: Sequence[str]) -> _Header:
    rows = (row for _, row in read_rows(file, limits=FEATURE_LIMITS, error=CacheError) if row)
    names = _names(next(rows, []))
    _check_names(names, id_column, file)
    roles = _by_role([name for name in names if name != id_column])
    if not {*roles} & {FRAME, SECONDS, MILLISECONDS}:
        known = ", ".join((*_KNOWN[FRAME][:3], *_KNOWN[SECONDS][:2], _KNOWN[MILLISECONDS][0]))
        raise CacheError(
            f"{file}: no column of frame numbers or times; expected one of {known} …; the columns are {abridged(names, MOST_SHOWN)}; call the "
            "one that says when each frame is timestamp, and take lines above the header out"
        )
    time = roles.get(SECONDS) or roles.get(MILLISECONDS)
    used = {id_column, roles.get(FRAME), time, roles.get(FACE)}
    place = {name: number for number, name in enumerate(names)}
    return _Header(
        names=tuple(names),
        clip=None if id_column is None else place[id_column],
        frame=place.get(roles.get(FRAME, "")),
        time=None if time is None else place[time],
        face=place.get(roles.get(FACE, "")),
        features=tuple(place[name] for name in _chosen(names, used, next(rows, []), columns, file)),
        seconds_a_unit=1.0 if SECONDS in roles else 0.001,
    )


def _check_names(names: Sequence[str], id_column: str | None, file: Path) -> None:
    if not names:
        raise CacheError(f"{file}: empty; expected a header and one row a frame")
    if id_column is not None and id_column not in names:
        raise CacheError(
            f"{file}: no column {id_column!r}; the columns are {abridged(names, MOST_SHOWN)}{nearest(id_column, names)}"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise CacheError(f"{file}: the column {twice!r} stands twice in the header")


def _chosen(
    names: list[str], used: Set[str | None], first: Sequence[str], columns: Sequence[str], file: Path
) -> list[str]:
    """The features: what `columns` asks for letter by letter, and of what a pattern takes the columns that could be some.

    Those that hold words in the first row, such as LibreFace's ``facial_expression``, are none.
    """
    asked = [name for name in match_columns(names, columns, None, file) if name not in used]
    cells = dict(zip(names, first, strict=False))
    found = [name for name in asked if name in columns or not (_is_no_feature(name) or _is_word(cells.get(name, "")))]
    if not found:
        raise CacheError(f"{file}: no feature column; the columns are {abridged(names, MOST_SHOWN)}")
    return found


def _is_no_feature(name: str) -> bool:
    lower = name.lower()
    timed = any(lower in names for names in _KNOWN.values())
    about_it = lower in _SAYS_WHO or bool(_WHO.fullmatch(lower))
    return timed or about_it or lower in INDEX_NAMES or bool(UNNAMED.fullmatch(name))


def _is_word(text: str) -> bool:
    return not _is_empty(text) and math.isnan(as_number(text))


def _is_empty(text: str) -> bool:
    return text.strip().lower() in ("", "nan", "na", "n/a", "none", "null", *_FAILED)


def _roles(header: _Header, file: Path, columns: Sequence[str]) -> tuple[Role, ...]:
    """What every column is that is no feature."""
    unit = SECONDS if header.seconds_a_unit == 1 else MILLISECONDS
    known = {header.clip: "clip ids", header.frame: FRAME, header.time: unit, header.face: FACE}
    roles = [Role(header.names[number], what) for number, what in known.items() if number is not None]
    taken = {role.name for role in roles} | {*header.columns}
    asked = set(match_columns(list(header.names), columns, None, file))
    for name in (name for name in header.names if name not in taken):
        if name in COLUMNS:
            roles.append(Role(name, LEFT_OUT, "is a column of manifests"))
        elif name not in asked:
            roles.append(Role(name, "not asked for"))
        else:
            roles.append(
                Role(
                    name,
                    LEFT_OUT,
                    "is about the face or the row, no feature" if _is_no_feature(name) else "holds words",
                )
            )
    return tuple(roles)


@dataclass
class _Block:
    """The rows of one clip, as they are read."""

    file: Path
    clip_id: str
    rows: list[int]
    frames: list[float]
    times: list[float]
    values: list[np.ndarray | None]
    unfilled: Counter[str]

    def where(self, row: int) -> str:
        return f"{self.file}, row {self.rows[row]}"


def _read(files: Sequence[Path], header: _Header, by_name: bool, fps: float | None) -> Iterator[Moments]:
    """The clips of all files; a clip is in memory at a time."""
    first_row: dict[str, str] = {}
    for file in files:
        for block in _blocks(file, header, _id_of(file) if by_name else None):
            if block.clip_id in first_row:
                raise CacheError(
                    f"{block.where(0)}: clip {block.clip_id!r} again, which began at {first_row[block.clip_id]}; expected all rows of a "
                    "clip one after the other, and each clip once"
                )
            first_row[block.clip_id] = block.where(0)
            yield _moments(block, header, fps)
    if not first_row:
        raise CacheError(f"{files[0]}: only a header; expected one row a frame below it")


def _id_of(file: Path) -> str:
    end = next(end for end in sorted(TABLES, key=len, reverse=True) if file.name.lower().endswith(end))
    return file.name[: -len(end)]


def _blocks(file: Path, header: _Header, clip_id: str | None) -> Iterator[_Block]:
    rows = ((number, row) for number, row in read_rows(file, limits=FEATURE_LIMITS, error=CacheError) if row)
    number, names = next(rows, (1, []))
    if tuple(_names(names)) != header.names:
        raise CacheError(
            f"{file}, row {number}: other columns than the first table of the folder: {abridged(_names(names), MOST_SHOWN)}; expected "
            f"{abridged(header.names, MOST_SHOWN)}"
        )
    block: _Block | None = None
    for number, row in rows:
        if len(row) != len(header.names):
            raise CacheError(f"{file}, row {number}: {len(row)} values, the header has {len(header.names)}")
        clip = clip_id or from_spreadsheet(row[header.clip].strip())  # type: ignore[index]  # one of the two is there
        if block is None or clip != block.clip_id:
            if block is not None:
                yield block
            block = _Block(file, clip, [], [], [], [], Counter())
        _add(block, number, row, header)
    if block is not None:
        yield block


def _add(block: _Block, number: int, row: Sequence[str], header: _Header) -> None:
    block.rows.append(number)
    place = f"{block.file}, row {number}"
    if header.frame is not None:
        frame = _number(row[header.frame], header.names[header.frame], place)
        if not 0 <= frame < 1 << 31 or frame != int(frame):
            raise CacheError(
                f"{place}: column {header.names[header.frame]} holds {row[header.frame]!r}, expected a frame number"
            )
        block.frames.append(frame)
    if header.time is not None:
        block.times.append(_seconds(row[header.time], header, place))
    found = header.face is None or _number(row[header.face], header.names[header.face], place) != 0
    values = _features(row, header, place) if found else None
    whole = values is not None and bool(np.isfinite(values).all())
    if values is not None and not whole:
        block.unfilled.update(itertools.compress(header.columns, np.isnan(values)))
    block.values.append(values if whole else None)


def _seconds(text: str, header: _Header, place: str) -> float:
    """What a cell of times says: a number, or a clock's reading."""
    clock = clock_seconds(text) if header.seconds_a_unit == 1 else None
    if clock is not None:
        return clock
    return _number(text, header.names[header.time or 0], place) * header.seconds_a_unit


def _number(text: str, name: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = {"true": 1.0, "false": 0.0}.get(text.strip().lower(), as_number(text))
    if not math.isfinite(value):
        raise CacheError(f"{place}: column {name} holds {text!r}, expected a number")
    return value


def _features(row: Sequence[str], header: _Header, place: str) -> np.ndarray | None:
    """The row's features, float64 (D,), NaN where one is missing; None where all are."""
    texts = [row[number] for number in header.features]
    try:
        values = np.array([float(text) for text in texts])
    except ValueError:
        values = np.array([math.nan if _is_empty(text) else as_number(text) for text in texts])
    if np.isfinite(values).all() and (np.abs(values) <= np.finfo(np.float32).max).all():
        return values
    for text, value, name in zip(texts, values.tolist(), header.columns, strict=True):
        if not (_is_empty(text) or abs(value) <= np.finfo(np.float32).max):
            raise CacheError(
                f"{place}: column {name} holds {text!r}, expected a finite number, or nothing where there is no face"
            )
    return None if np.isnan(values).all() else values


def _moments(block: _Block, header: _Header, fps: float | None) -> Moments:
    frames = np.array(block.frames) if header.frame is not None else None
    seconds = np.array(block.times) if header.time is not None else None
    if header.time is not None:
        where = f"{block.file}, {_rows(block).partition(', ')[2]}"
        refuse_other_unit(block.times, header.names[header.time], header.seconds_a_unit, where)
    place = places_of(frames, seconds, block.where)
    frame = place if frames is None else frames.astype(np.int64)
    time = seconds if seconds is not None else frame / (fps or 1)
    kept = [number for number, values in enumerate(block.values) if values is not None]
    values = [values for values in block.values if values is not None]
    return Moments(
        clip_id=block.clip_id,
        where=_rows(block),
        place=place[kept],
        frame=frame[kept],
        time=time[kept],
        values=np.stack(values) if values else np.empty((0, len(header.features))),
        num_rows=len(place),
        span=int(place[-1]) + 1,
        unfilled=block.unfilled,
    )


def _rows(block: _Block) -> str:
    return f"{block.file.name}, rows {block.rows[0]} to {block.rows[-1]}"
