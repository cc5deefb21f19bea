"""A table of features that another program made goes in; a cache with the level ``mean`` comes out."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from pathlib import Path

import numpy as np

from vjepa_fer.cache.column_roles import UNNAMED, Role, telling_columns
from vjepa_fer.cache.failures import Failure, write_failures
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.reader import Cache, open_cache
from vjepa_fer.cache.rounding import to_float32
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.cache.writer import ShardWriter
from vjepa_fer.doors import Pointed, TableLimits, as_number, from_spreadsheet, nearest, read_rows
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import COLUMNS, UNIFY, Manifest, clip_of_path, is_missing, place_of, respelled, shown
from vjepa_fer.recipe import ImportedRecipe

FEATURE_LIMITS = TableLimits(size=8 << 30, cells=1 << 31)
"""A cell becomes four bytes here, and none is kept as a text."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features by clip, and which file they are.

    Attributes
    ----------
    ids : tuple of str
        Of length N.
    columns : tuple of str
        Of length D: the features.
    values : ndarray of float32, shape (N, D)
    source, source_sha256 : str
        Name and hash of the file.
    rows : tuple of int
        Row numbers of a text table, of length N; () for arrays.
    named : frozenset of str
        The columns that were asked for letter by letter, not by a pattern.
    others : tuple of Role
        Every other column of the file, and what it is instead of a feature.
    """

    ids: tuple[str, ...]
    columns: tuple[str, ...]
    values: np.ndarray
    source: str
    source_sha256: str
    rows: tuple[int, ...] = ()
    named: frozenset[str] = field(default=frozenset(), repr=False)
    others: tuple[Role, ...] = field(default=(), repr=False)

    def place_of(self, clip_id: str) -> str:
        """Where an id stands, for a message."""
        number = self.ids.index(clip_id)
        return f"{self.source}, row {self.rows[number]}" if self.rows else f"{self.source}, id {number + 1:,}"

    @property
    def roles(self) -> tuple[Role, ...]:
        """What every column was taken as, the features first."""
        return (*(Role(name, "features") for name in self.columns), *self.others)


def without_telling_columns(table: FeatureTable, manifest: Manifest) -> tuple[FeatureTable, tuple[Role, ...]]:
    """The table without the columns that a pattern took and that are no features: row numbers, the label, the person.

    Returns
    -------
    table : FeatureTable
        The same one where there are none.
    named : tuple of Role
        Such columns that stay, because they were asked for letter by letter.

    Raises
    ------
    CacheError
        A column without a name that is none of these, or no column is left.
    """
    telling = telling_columns(table.columns, table.values, table.ids, manifest)
    nameless = [n for n in table.columns if UNNAMED.fullmatch(n) and n not in telling and n not in table.named]
    if nameless:
        raise CacheError(
            f"{table.source}: {nameless[0]!r} is a column without a name, so nobody can tell what it is; name it in the "
            "file, or choose the features by --columns"
        )
    out = [name for name in table.columns if name in telling and name not in table.named]
    if len(out) == len(table.columns):
        said = ", ".join(f"{name} ({telling[name]})" for name in out[:3])
        raise CacheError(f"{table.source}: no feature column is left: {said}; name those to take by --columns")
    named = tuple(
        Role(name, "features", telling[name]) for name in table.columns if name in telling and name not in out
    )
    if not out:
        return table, named
    kept = [number for number, name in enumerate(table.columns) if name not in set(out)]
    others = (*table.others, *(Role(name, "left out", telling[name]) for name in out))
    columns = tuple(table.columns[number] for number in kept)
    return replace(table, columns=columns, values=table.values[:, kept], others=others), named


def import_features(
    table: FeatureTable, root: str | os.PathLike[str], manifest: Manifest, *, unify_names: bool = False
) -> tuple[Cache, tuple[str, ...]]:
    """Write a feature table as a cache: one row a clip, level ``mean``, joined to the manifest by clip id.

    A clip of the manifest that the table lacks is listed in ``failed.csv`` with the reason ``missing``. An id that is a path of a clip's file is that clip. With `unify_names` an id that
    differs from the manifest's only in spelling is that clip; otherwise it is refused. Columns that are no
    features stay out; see :func:`without_telling_columns`.

    Returns
    -------
    cache : Cache
    surplus : tuple of str
        Ids of the table that the manifest lacks; they are not imported. What an earlier import brought is none of them: it stays.

    Raises
    ------
    CacheError
        No id in common, one that is spelled otherwise, or the folder holds something else.
    """
    table = spelled_as(manifest, table, unify_names)
    row_of = {clip_id: row for row, clip_id in enumerate(table.ids)}
    wanted = [clip.clip_id for clip in manifest.clips]
    found = [clip_id for clip_id in wanted if clip_id in row_of]
    if not found:
        raise CacheError(
            f"{table.source}: none of its {len(table.ids)} ids is a clip of the manifest: "
            f"{table.ids[0]!r} in the table, {wanted[0]!r} in the manifest; is --id-column the right column?"
        )
    table, _ = without_telling_columns(table, manifest)
    recipe = ImportedRecipe(source=table.source, source_sha256=table.source_sha256, columns=table.columns)
    prepare_cache(root, recipe, manifest)
    done = open_cache(root).done
    writer = ShardWriter(root, recipe)
    for clip_id in found:
        if clip_id not in done:
            writer.add(_one_row(clip_id, table.values[row_of[clip_id]]))
    writer.flush()
    write_failures(Path(root), {i: absent(i, table.source) for i in wanted if i not in row_of})
    known = {*wanted, *done}
    return open_cache(root), tuple(clip_id for clip_id in table.ids if clip_id not in known)


def spelled_as(manifest: Manifest, table: FeatureTable, unify_names: bool) -> FeatureTable:
    """The table with the manifest's names of its clips: a path of a clip's file is that clip; without `unify_names`, another spelling is refused."""
    known = dict.fromkeys(clip.clip_id for clip in manifest.clips)
    named = {clip_id: clip_of_path(clip_id, known) for clip_id in table.ids}
    spelt = respelled(named.values(), known)
    ours = {theirs: spelt.get(name, name) for theirs, name in named.items()}
    strange = [theirs for theirs, name in named.items() if name in spelt] if not unify_names else []
    if strange:
        told, clip_id = shown([named[strange[0]], ours[strange[0]]])
        raise CacheError(
            f"{len(strange):,} ids differ from the manifest's only in spelling, such as {told} ({table.place_of(strange[0])}) from {clip_id} "
            f"({place_of(manifest, ours[strange[0]])}); spell them alike, or {UNIFY} takes them for one clip"
        )
    twice = next((clip_id for clip_id, count in Counter(ours.values()).items() if count > 1), None)
    if twice is not None:
        same = [theirs for theirs, clip_id in ours.items() if clip_id == twice]
        places = " and ".join(f"{text} ({table.place_of(i)})" for text, i in zip(shown(same), same, strict=True))
        raise CacheError(f"{places} are one clip, so it has two rows; expected one row a clip")
    return dataclasses.replace(table, ids=tuple(ours[clip_id] for clip_id in table.ids))


def _one_row(clip_id: str, vector: np.ndarray) -> ClipRows:
    zero, one = np.zeros(1, np.int32), np.ones(1, np.int32)
    empty = np.zeros((1, 0))
    return ClipRows(
        clip_id=clip_id,
        source_sha256="",
        start_frame=zero,
        view=zero,
        multiplicity=one,
        num_real_frames=zero,
        frame_indices=empty,
        timestamps=empty,
        levels={"mean": vector[None]},
    )


def absent(clip_id: str, source: str) -> Failure:
    """The row of ``failed.csv`` about a clip that a table lacks."""
    return Failure(clip_id, source, "missing", f"the feature table has no row for {clip_id}", "")


def read_feature_csv(path: str | os.PathLike[str], *, id_column: str, columns: Sequence[str]) -> FeatureTable:
    """Read a CSV of features, one row a clip; comma, semicolon or tab.

    Parameters
    ----------
    path : path
    id_column : str
        The column that holds the clip id.
    columns : sequence of str
        Feature columns: names or patterns such as ``AU*``, in the file's order.

    Raises
    ------
    CacheError
        Names file, row, column and value of what is wrong: no such column, not a finite number, an id twice.
    """
    source = Path(path)
    try:
        rows = ((n, row) for n, row in read_rows(source, limits=FEATURE_LIMITS, error=CacheError) if row)
        return _read_table(rows, source, id_column, columns)
    except FileNotFoundError as error:
        raise CacheError(f"{source}: cannot be read ({error.strerror})") from error


def _read_table(
    rows: Iterator[tuple[int, list[str]]], source: Path, id_column: str, columns: Sequence[str]
) -> FeatureTable:
    header, rows = _without_trailing(_header(rows, source, id_column), rows, source)
    header = [name or f"Unnamed: {number}" for number, name in enumerate(header)]  # as pandas calls it
    names = match_columns(header, columns, id_column, source)
    values, row_numbers = _vectors(rows, source, header, id_column, names)
    table = to_float32([*values.values()], names, list(values), source)
    others = (Role(id_column, "clip ids"), *roles_of_others(header, names, id_column))
    sha256 = sha256_of_file(source)
    return FeatureTable(
        tuple(values), tuple(names), table, source.name, sha256, tuple(row_numbers), named_by(names, columns), others
    )


def _header(rows: Iterator[tuple[int, list[str]]], source: Path, id_column: str) -> list[str]:
    """The first row, in which the column of ids stands once."""
    _, header = next(rows, (1, []))
    header = [from_spreadsheet(name.strip()) for name in header]  # OpenFace writes a blank after each comma
    if not header:
        raise CacheError(f"{source}: empty; expected a header and one row a clip")
    if id_column not in header:
        one = "; if cells are parted otherwise, or lines stand above the header: expected commas, semicolons or tabs, and the header first"
        raise CacheError(
            f"{source}: no column {id_column!r}; the columns are {_some(header)}{one if len(header) == 1 else nearest(id_column, header)}"
        )
    if header.count(id_column) > 1:
        raise CacheError(f"{source}: the column {id_column!r} stands twice in the header")
    return header


def _vectors(
    rows: Iterator[tuple[int, list[str]]], source: Path, header: list[str], id_column: str, names: list[str]
) -> tuple[dict[str, np.ndarray], list[int]]:
    """Clip id → its numbers in the columns `names`, and in which row of the file each stands."""
    place = {name: number for number, name in enumerate(header)}
    positions, id_position = [place[name] for name in names], header.index(id_column)
    values: dict[str, np.ndarray] = {}
    row_numbers: list[int] = []
    pointed = Pointed(len(names))
    for number, row in rows:
        if len(row) != len(header):
            raise CacheError(
                f"{source}, row {number}: {len(row)} values, the header has {len(header)}; expected a name for every column, row names too, and "
                "quotation marks around a value that holds a separator"
            )
        clip_id = from_spreadsheet(row[id_position].strip())
        if not clip_id:
            raise CacheError(
                f"{source}, row {number}: {id_column} is empty; a row of units, a second line of names or a sum is no clip: take it out"
            )
        if clip_id in values:
            raise CacheError(f"{source}, row {number}: the id {clip_id!r} stands twice; expected one row a clip")
        row_numbers.append(number)
        texts = [row[p] for p in positions]
        values[clip_id] = _numbers(texts, source, number, names)
        pointed.see(number, texts)
    if not values:
        raise CacheError(f"{source}: only a header; expected one row a clip below it")
    for column, number, text in pointed.found():
        raise CacheError(
            f"{source}, row {number}: column {names[column]} holds {text!r} beside whole numbers below a thousand: is the point a decimal one, or does "
            "it part thousands? Write thousands without a point, and of decimals every number with its decimals (12.000)"
        )
    return values, row_numbers


def _without_trailing(
    header: list[str], rows: Iterator[tuple[int, list[str]]], source: Path
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Header and rows without what a separator at the end of every line makes: last columns without a name and a value."""
    first = next(rows, None)
    length = len(header)
    while (
        first
        and len(first[1]) == len(header)
        and length > 1
        and not (header[length - 1] or first[1][length - 1].strip())
    ):
        length -= 1
    again = rows if first is None else itertools.chain([first], rows)
    if length == len(header):
        return header, again
    return header[:length], (_cut(number, row, length, source) for number, row in again)


def _cut(number: int, row: list[str], length: int, source: Path) -> tuple[int, list[str]]:
    beyond = next((cell for cell in row[length:] if cell.strip()), None)
    if beyond is not None:
        raise CacheError(f"{source}, row {number}: {beyond!r} stands in a column without a name; name it in the header")
    return number, row[:length]


def named_by(names: Sequence[str], columns: Sequence[str]) -> frozenset[str]:
    """Which of the names were asked for letter by letter."""
    return frozenset(names) & frozenset(columns)


def roles_of_others(header: Sequence[str], names: Sequence[str], id_column: str | None) -> tuple[Role, ...]:
    """What columns are that are neither features nor ids."""
    taken = {*names, id_column}
    rest = [name for name in header if name not in taken]
    return tuple(
        Role(name, "left out", "is a column of manifests") if name in COLUMNS else Role(name, "not asked for")
        for name in rest
    )


def sha256_of_file(path: Path) -> str:
    """Of its bytes, as hex; read in portions."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def match_columns(header: list[str], patterns: Sequence[str], id_column: str | None, path: Path) -> list[str]:
    """The feature columns that the patterns name, in the file's order.

    A pattern with wild cards never takes a manifest's columns (path, label, subject), which our own exports carry. What is the
    name of a column is that column and no pattern; where names hold brackets (``mfcc_sma[1]``), a bracket is a bracket.
    """
    matches = [_matcher(pattern, header) for pattern in patterns]
    for pattern, match in zip(patterns, matches, strict=True):
        if not any(map(match, header)):
            raise CacheError(
                f"{path}: no column matches {pattern!r}; the columns are {_some(header)}{nearest(pattern, header)}"
            )
    wanted = [n for n in header if n in patterns or n not in COLUMNS]
    names = [n for n in wanted if n != id_column and any(match(n) for match in matches)]
    if not names:
        raise CacheError(f"{path}: no feature column; the columns are {_some(header)}")
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise CacheError(
            f"{path}: the feature column {twice!r} stands twice in the header; expected each name once: rename one, or choose others by --columns"
        )
    return names


def _matcher(pattern: str, header: list[str]) -> Callable[[str], object]:
    if pattern in header:
        return pattern.__eq__
    if any("[" in name for name in header):
        pattern = pattern.replace("[", "[[]")
    return re.compile(translate(pattern)).match


def _numbers(texts: list[str], path: Path, row: int, names: list[str]) -> np.ndarray:
    """One row of features, float64 (D,), each of which is finite in float32 too."""
    try:
        values = np.array([float(text) for text in texts])
    except ValueError:
        values = np.array([as_number(text) for text in texts])
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(rounded))
    if len(bad):
        text = texts[bad[0]]
        raise CacheError(
            f"{path}, row {row}: column {names[bad[0]]} holds {text!r}, expected a finite number; {_what_to_do(text)}"
        )
    return values


def _what_to_do(text: str) -> str:
    """About a cell that is no number."""
    if "," in text and np.isfinite(as_number(text.replace(",", ".", 1))):
        return "write decimals with a point"
    if "," in text and np.isfinite(as_number(text.replace(",", ""))):
        return "write thousands without a comma"
    if text.strip().lower() in ("true", "false"):
        return "write 1 and 0, or leave the column out by --columns"
    if re.search(r"[0-9]:[0-5][0-9]|[0-9] days", text):
        return "if it is a time, leave the column out by --columns, and where each row is a frame, call it timestamp"
    if is_missing(text):
        return "take the clip out, fill the cell in, or leave the column out by --columns"
    return "if the column is no feature, leave it out by --columns"


def check_ids(ids: list[str], path: Path) -> None:
    """Refuse a table that has two rows of one clip."""
    seen: set[str] = set()
    for clip_id in ids:
        if clip_id in seen:
            raise CacheError(f"{path}: the id {clip_id!r} stands twice; expected one row a clip")
        seen.add(clip_id)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
