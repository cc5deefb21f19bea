"""Which clips a cache was asked for: manifests go in from any number of processes, their union comes out.

    manifest/NNNN-SHA256.csv    what each process added, never changed: this is what is read
    manifest.csv                the union, for people and other programs

Where two manifests know a clip, the later row counts. A cache of format version 1 has only ``manifest.csv``, and that is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vjepa_fer.cache import layout
from vjepa_fer.cache.pieces import LARGEST_PIECE, add_piece, digest_of, piece_paths, read_piece
from vjepa_fer.disk import write_durably
from vjepa_fer.doors import read_bytes
from vjepa_fer.errors import CacheError, ManifestError
from vjepa_fer.manifest import Clip, Listed, Manifest, manifest_csv, parse_listed, read_manifest, refuse_spelled_twice


def add_manifest(root: Path, manifest: Manifest) -> Manifest:
    """Add what the cache does not know yet of a manifest, as it is; the union.

    Any number of processes may do so at once: each adds a piece of its own.

    Raises
    ------
    ManifestError
        The manifest does not go with what is there, such as labels that differ only in letter case; nothing is added then.
    """
    _adopt_version_1(root)
    rows = {clip.clip_id: clip for piece in read_pieces(root) for clip in piece.clips}
    new = tuple(clip for clip in manifest.clips if rows.get(clip.clip_id) != clip)
    if new:
        _add_checked(root, Listed(manifest.columns, new))
    if new or not (root / layout.MANIFEST_CSV).exists():
        refresh_copy(root)
    united = union_of_pieces(root)
    assert united is not None
    return united


def _add_checked(root: Path, part: Listed) -> None:
    united = _unite([*read_pieces(root), part], root)  # before anything is written
    refuse_spelled_twice("clip ids", {clip.clip_id: "" for clip in united.clips}, f"{root}: ")
    piece = add_piece(root / layout.MANIFEST_PIECES, manifest_csv(part.columns, part.clips))
    try:
        union_of_pieces(root)
    except ManifestError:  # another process added something that does not go with it, just now
        piece.unlink(missing_ok=True)
        raise


def refresh_copy(root: Path) -> None:
    """Bring ``manifest.csv`` up to date; of several processes that do so at once, the last leaves all pieces in it."""
    paths: list[Path] = []
    while paths != (paths := piece_paths(root / layout.MANIFEST_PIECES)):
        united = union_of_pieces(root)
        if united is not None:
            write_durably(root / layout.MANIFEST_CSV, manifest_csv(united.columns, united.clips))


def read_cache_manifest(root: Path) -> Manifest:
    """The clips that the cache was asked for.

    Raises
    ------
    CacheError
        There is no list of them, or ``manifest.csv`` was edited: what is read are the pieces.
    """
    united = union_of_pieces(root)
    path = root / layout.MANIFEST_CSV
    if united is not None:
        _require_copy(root, united)
        return united
    if not path.is_file():
        raise CacheError(
            f"{root}: its {layout.MANIFEST_CSV} is missing; run extract with the manifest again to restore it"
        )
    return read_manifest(path)


def was_asked(root: Path) -> bool:
    """Whether a folder holds a list of clips."""
    return (root / layout.MANIFEST_CSV).is_file() or bool(piece_paths(root / layout.MANIFEST_PIECES))


def union_of_pieces(root: Path) -> Manifest | None:
    """The union of all pieces, None where there is none."""
    parts = read_pieces(root)
    return _unite(parts, root) if parts else None


def read_pieces(root: Path) -> list[Listed]:
    """What each process added, in order; only their union need be right, so that a later piece can mend an earlier one."""
    return [parse_listed(read_piece(path), path) for path in piece_paths(root / layout.MANIFEST_PIECES)]


def _unite(manifests: Iterable[Listed], root: Path) -> Manifest:
    """Clips of all, the first's order first; where two have a clip, the later row counts."""
    clips: dict[str, Clip] = {}
    columns: dict[str, None] = {}
    for manifest in manifests:
        clips |= {clip.clip_id: clip for clip in manifest.clips}
        columns |= dict.fromkeys(manifest.columns)
    try:
        return Manifest(clips=tuple(clips.values()), columns=tuple(columns), source=root / layout.MANIFEST_CSV)
    except ManifestError as error:
        error.add_note(f"{root} takes a mended manifest: give it to extract or cache import once more")
        raise


def _require_copy(root: Path, united: Manifest) -> None:
    """Refuse a ``manifest.csv`` that says what no piece says; one that lacks a piece is only behind."""
    path = root / layout.MANIFEST_CSV
    try:
        data = read_bytes(path, at_most=LARGEST_PIECE, follow=False)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise CacheError(f"{path}: cannot be read ({error})") from error
    pieces = piece_paths(root / layout.MANIFEST_PIECES)
    if (
        len(pieces) == 1 and digest_of(data) in pieces[0].name
    ):  # it is that piece: nothing need be written out to compare
        return
    if digest_of(data) == digest_of(manifest_csv(united.columns, united.clips).encode()):
        return
    said, columns = parse_listed(data, path), united.columns
    if not set(said.columns) <= set(columns):
        raise CacheError(f"{path}: has other columns than it was written with; {_ADVICE}")
    known: dict[str, list[tuple[str, ...]]] = {}
    for clip in (clip for part in read_pieces(root) for clip in part.clips):
        known.setdefault(clip.clip_id, []).append(tuple(map(clip.value, columns)))
    for number, clip in enumerate(said.clips, start=2):
        if tuple(map(clip.value, columns)) not in known.get(clip.clip_id, ()):
            raise CacheError(f"{path}, row {number}: {_difference(clip, united)}; {_ADVICE}")


_ADVICE = (
    "the file is a copy for people, and was edited or damaged. To change labels or add clips give extract (or cache import) "
    "the edited table as its manifest; `vjepa-fer cache repair` restores the copy"
)


def _difference(clip: Clip, united: Manifest) -> str:
    known = next((one for one in united.clips if one.clip_id == clip.clip_id), None)
    if known is None:
        return f"the cache was not asked for a clip {clip.clip_id!r}"
    column = next(name for name in united.columns if clip.value(name) != known.value(name))
    return f"clip {clip.clip_id} has the {column} {clip.value(column)!r}, {known.value(column)!r} in the cache"


def _adopt_version_1(root: Path) -> None:
    """Make the manifest of a cache of format version 1 the first piece, before anything is added."""
    path = root / layout.MANIFEST_CSV
    if path.is_file() and not piece_paths(root / layout.MANIFEST_PIECES):
        known = read_manifest(path)
        add_piece(root / layout.MANIFEST_PIECES, manifest_csv(known.columns, known.clips))


def unite_manifests(manifests: Mapping[Path, Manifest]) -> Manifest:
    """The clips of several caches' manifests; refused if two say different things about the label or subject of a clip."""
    if len(manifests) == 1:
        return next(iter(manifests.values()))
    known: dict[str, Clip] = {}
    for root, manifest in manifests.items():
        for clip in manifest.clips:
            first = known.setdefault(clip.clip_id, clip)
            for column in ("label", "subject"):
                have, new = first.value(column), clip.value(column)
                if have != new:
                    raise CacheError(
                        f"{root}: clip {clip.clip_id} has the {column} {new!r}, {have!r} in a cache before it"
                    )
    refuse_spelled_twice("clip ids", dict.fromkeys(known, ""), error=CacheError)
    columns = dict.fromkeys(column for manifest in manifests.values() for column in manifest.columns)
    return Manifest(clips=tuple(known.values()), columns=tuple(columns), source=None)
