"""Is a download the official data set? A folder in; which files are missing, cut, stubs or changed out."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vjepa_fer.disk import is_url
from vjepa_fer.doors import nearest
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.choose import is_damaged
from vjepa_fer.manifest.ravdess import ravdess_clips
from vjepa_fer.manifest.rows import Clip, abridged
from vjepa_fer.manifest.shipped import crema_d_official
from vjepa_fer.manifest.suffixes import VIDEO_SUFFIXES
from vjepa_fer.manifest.walk import find_videos, find_videos_elsewhere, is_lfs_pointer, opened
from vjepa_fer.workers import num_cores

Corpus = Literal["ravdess", "crema-d"]
CORPORA: tuple[str, ...] = get_args(Corpus)

Fault = Literal["missing", "misnamed", "empty", "lfs_pointer", "wrong_size", "changed", "unreadable"]
FAULTS: dict[Fault, str] = {
    "missing": "not there",
    "misnamed": "there in other letter case only; rename it, the manifest and other tools will not find it",
    "empty": "0 bytes",
    "lfs_pointer": "a Git-LFS pointer stub, not a video; run `git lfs pull` in the clone",
    "wrong_size": "of another size than the official file: cut short or converted; fetch it again",
    "changed": "of the right size but with other content; fetch it again",
    "unreadable": "not readable; look at its permissions and at the disk",
}


@dataclass(frozen=True)
class FileFault:
    """One file that is not as the official list says: its official path, what is wrong, and with which figures."""

    path: str
    fault: Fault
    detail: str = ""


@dataclass(frozen=True)
class Verification:
    """What comparing a download with the official list came to.

    Attributes
    ----------
    corpus : {"ravdess", "crema-d"}
    num_expected : int
        Files on the official list (of those parts of the data set that are there at all).
    faults : tuple of FileFault
        Sorted by path; empty when the download is whole.
    compared : {"sha256", "bytes", "presence"}
        How far each file was compared.
    notes : tuple of str
        What could not be compared, and what is there besides.
    """

    corpus: Corpus
    num_expected: int
    faults: tuple[FileFault, ...]
    compared: Literal["sha256", "bytes", "presence"]
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[Fault, int]:
        """Number of files by fault, in the order of :data:`FAULTS`."""
        found = Counter(fault.fault for fault in self.faults)
        return {fault: found[fault] for fault in FAULTS if found[fault]}


def _ignore(path: str) -> None:
    return None


def verify_download(
    root: str | os.PathLike[str],
    *,
    corpus: Corpus | None = None,
    fast: bool = False,
    on_file: Callable[[str], object] = _ignore,
) -> Verification:
    """Compare the videos below a folder with the official list.

    Parameters
    ----------
    root : path or address
        The download, in any layout; one in a store is listed, and read only where bytes are hashed.
    corpus
        Which data set; recognised by its file names when not given.
    fast
        Compare sizes only. Otherwise every byte is read and hashed, on several threads.
    on_file
        Called with each official path when its file is done, from this thread.

    Raises
    ------
    ManifestError
        No folder, no videos, or none of a data set whose list ships with vjepa-fer.
    RemoteError
        A store that cannot be listed.
    """
    if corpus is not None and corpus not in CORPORA:
        raise ManifestError(f"no official list of {corpus!r}; there are {', '.join(CORPORA)}{nearest(corpus, CORPORA)}")
    videos = find_videos_elsewhere(root) if isinstance(root, str) and is_url(root) else find_videos(root)
    files = _by_official_name(videos)
    corpus = corpus or _recognise(files, root)
    expected = list(_EXPECTED[corpus](files))
    hashed = not fast and corpus == "crema-d"
    with ThreadPoolExecutor(max_workers=min(8, num_cores())) as pool:
        faults = []
        for clip, fault in zip(expected, pool.map(lambda c: _checked(c, files, hashed=hashed), expected), strict=True):
            faults += [fault] if fault else []
            on_file(clip.path)
    compared: Literal["sha256", "bytes", "presence"] = (
        "presence" if corpus == "ravdess" else "sha256" if hashed else "bytes"
    )
    return Verification(corpus, len(expected), tuple(faults), compared, tuple(_notes(corpus, expected, files, videos)))


def _by_official_name(videos: Sequence[Path]) -> dict[str, Path]:
    """Files by name, and by name in lower case after a slash; a converted copy stands in for an original that is not there."""
    files: dict[str, Path] = {}
    for name in (lambda video: video.name, lambda video: video.stem):
        for video in videos:
            files.setdefault(name(video), video)
            files.setdefault(f"/{name(video).lower()}", video)
    return files


def _recognise(files: Mapping[str, Path], root: str | os.PathLike[str]) -> Corpus:
    hits = {
        "crema-d": sum(clip.clip_id in files for clip in crema_d_official()),
        "ravdess": sum(clip.clip_id in files for clip in _all_ravdess()),
    }
    best = max(hits, key=lambda name: hits[name])
    if not hits[best]:
        raise ManifestError(
            f"{root}: none of its videos is named as in {' or '.join(CORPORA)}, the data sets with an official list"
        )
    return best  # type: ignore[return-value]


def _all_ravdess() -> Iterable[Clip]:
    return ravdess_clips(channels=("speech", "song"), modalities=(1, 2))


def _present_ravdess(files: Mapping[str, Path]) -> Iterable[Clip]:
    """The clips of those parts (speech or song, with sound or without) of which any file is there."""
    clips = list(_all_ravdess())
    parts = {clip.clip_id[:5] for clip in clips if clip.clip_id in files}
    return [clip for clip in clips if clip.clip_id[:5] in (parts or {"01-01"})]


_EXPECTED: dict[Corpus, Callable[[Mapping[str, Path]], Iterable[Clip]]] = {
    "ravdess": _present_ravdess,
    "crema-d": lambda files: crema_d_official(),
}


def _file_of(clip: Clip, files: Mapping[str, Path]) -> Path | None:
    return files.get(Path(clip.path).name) or files.get(clip.clip_id)


def _checked(clip: Clip, files: Mapping[str, Path], *, hashed: bool) -> FileFault | None:
    try:
        return _fault(clip, files, hashed=hashed)
    except OSError as error:
        return FileFault(clip.path, "unreadable", error.strerror or str(error))


def _fault(clip: Clip, files: Mapping[str, Path], *, hashed: bool) -> FileFault | None:
    file = _file_of(clip, files)
    if file is None and (near := files.get(f"/{clip.clip_id.lower()}")):
        return FileFault(clip.path, "misnamed", near.name)
    if file is None or not file.is_file():
        return FileFault(clip.path, "missing")
    if is_lfs_pointer(file):
        return FileFault(clip.path, "lfs_pointer")
    size, official = file.stat().st_size, clip.value("bytes")
    if size == 0:
        return FileFault(clip.path, "empty")
    if not official or _is_converted(clip, file):
        return None
    if size != int(official):
        return FileFault(clip.path, "wrong_size", f"{size:,} bytes, official {int(official):,}")
    if hashed and (digest := _sha256(file)) != clip.value("sha256"):
        return FileFault(clip.path, "changed", f"sha256 {digest[:16]}…, official {clip.value('sha256')[:16]}…")
    return None


def _is_converted(clip: Clip, file: Path) -> bool:
    return file.suffix.lower() != Path(clip.path).suffix


def _sha256(file: Path) -> str:
    with opened(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _notes(
    corpus: Corpus, expected: Sequence[Clip], files: Mapping[str, Path], videos: Sequence[Path]
) -> Iterator[str]:
    if corpus == "ravdess":
        yield "no official sizes or checksums of RAVDESS are known: only presence, stubs and empty files were looked at"
    converted = [file for clip in expected if (file := _file_of(clip, files)) and _is_converted(clip, file)]
    if converted:
        suffixes = ", ".join(sorted({file.suffix for file in converted} & VIDEO_SUFFIXES))
        yield f"{len(converted):,} files are converted copies ({suffixes}): their content cannot be compared with the originals"
    listed = {clip.clip_id.lower() for clip in expected}
    others = [video.name for video in videos if video.stem.lower() not in listed]
    if others:
        yield f"{len(others):,} videos are not on the official list: {abridged(others)}"
    twice = [name for name, count in Counter(video.name for video in videos).items() if count > 1]
    if twice:
        yield f"{len(twice):,} names are there more than once: {abridged(twice)}; the first by path was compared"
    damaged = [clip.clip_id for clip in expected if is_damaged(clip) and _file_of(clip, files)]
    if damaged:
        yield f"{len(damaged):,} official files are damaged as published ({abridged(damaged)}); --exclude damaged leaves them out"
