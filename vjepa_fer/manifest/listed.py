"""Corpora whose own lists say label and split: the lists and a folder of videos in, a manifest out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vjepa_fer.doors import TooLargeError, read_bytes
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.folder import NO_SUBJECTS
from vjepa_fer.manifest.rows import Clip, Manifest, abridged, check_label
from vjepa_fer.manifest.tables import Table, read_table, require_column
from vjepa_fer.manifest.walk import Found, file_notes, find_files, look_through


@dataclass(frozen=True)
class ListRule:
    """How a corpus lists its clips.

    Attributes
    ----------
    title : str
        What people call the corpus.
    read : callable
        Root folder → for each labelled clip the end of its path (without suffix) and the clip, its ``path`` still "".
    prefer : tuple of str
        Folders whose copy of a clip counts, best first, where a download holds several. A video is better than pictures.
    knows_subjects : bool
        Whether the lists tell who is in a clip.
    digits : int
        Names shorter than this get zeros in front, where the same clip is 1 in one folder and 00001 in another.
    """

    title: str
    read: Callable[[Path], Iterator[tuple[str, Clip]]]
    prefer: tuple[str, ...] = ()
    knows_subjects: bool = False
    digits: int = 0


def listed_manifest(rule: ListRule, root: str | os.PathLike[str]) -> Manifest:
    """The clips on the corpus' lists whose video or folder of frames lies below `root`, sorted by clip id.

    Raises
    ------
    ManifestError
        No folder, no lists in it, a damaged list, or none of the listed clips is there.
    """
    there = look_through(root).for_manifest()
    folder = there.folder
    listed = _read(rule, folder)
    media = _index(there, [tail for tail, _ in listed.values()], rule)
    found = [(clip, media[tail]) for _, (tail, clip) in sorted(listed.items()) if tail in media]
    missing = [tail for tail, _ in listed.values() if tail not in media]
    if not found:
        raise ManifestError(
            f"{folder}: none of {len(listed):,} listed {rule.title} clips is in it, such as {missing[0]}.*"
        )
    clips = tuple(Clip(clip.clip_id, str(path), clip.label, clip.subject, clip.extra) for clip, path in found)
    return Manifest(clips=clips, notes=(*_notes(rule, clips, len(listed), missing), *there.unread))


def _read(rule: ListRule, folder: Path) -> dict[str, tuple[str, Clip]]:
    listed: dict[str, tuple[str, Clip]] = {}
    for tail, clip in rule.read(folder):
        if clip.clip_id in listed:
            raise ManifestError(
                f"{folder}: {rule.title} clip {clip.clip_id} is listed twice; the lists are not the official ones"
            )
        listed[clip.clip_id] = (tail, clip)
    if not listed:
        raise ManifestError(
            f"{folder}: no labels of {rule.title} in it; ROOT must hold the corpus' official lists and its clips"
        )
    return listed


def _notes(rule: ListRule, clips: Sequence[Clip], total: int, missing: Sequence[str]) -> Iterator[str]:
    if missing:
        yield f"{len(clips):,} of {total:,} listed clips found; missing: {abridged(missing)}"
    if not rule.knows_subjects:
        yield NO_SUBJECTS
    yield from file_notes([Path(clip.path) for clip in clips])


def _index(there: Found, tails: Sequence[str], rule: ListRule) -> dict[str, Path]:
    """Where each wanted tail (``Action/Happy/0267``) lies: a video, or else a folder of pictures."""
    wanted, depth = set(tails), tails[0].count("/") + 1
    found: dict[str, list[tuple[int, int, Path]]] = {}
    for is_frames, paths in enumerate((there.videos, there.pictures)):
        for path in paths:
            name = (path.name if is_frames else path.stem).zfill(rule.digits)
            tail = "/".join([*path.parent.parts, name][-depth:])
            if tail in wanted:
                found.setdefault(tail, []).append((is_frames, _rank(path, rule.prefer), path))
    return {tail: _best(sorted(places)) for tail, places in found.items()}


def _rank(path: Path, prefer: Sequence[str]) -> int:
    return next((place for place, name in enumerate(prefer) if name in path.parts), len(prefer))


def _best(places: Sequence[tuple[int, int, Path]]) -> Path:
    if len(places) > 1 and places[0][:2] == places[1][:2]:
        raise ManifestError(
            f"one clip in two places: {places[0][2]} and {places[1][2]}; name the folder that holds one of them"
        )
    return places[0][2]


# The readers, one a corpus. ---------------------------------------------------------------------------------------------

DFEW_LABELS = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
"""In the order of DFEW's numbers, which start at 1."""

MAFW_LABELS = (
    *("anger", "disgust", "fear", "happiness", "neutral", "sadness"),
    *("surprise", "contempt", "anxiety", "helplessness", "disappointment"),
)


def read_dfew(root: Path) -> Iterator[tuple[str, Clip]]:
    """DFEW's single-labelled clips; the five official test lists part them, and name the fold."""
    for fold, train, test in _five_folds(root, r"{side}\(single-labeled\)/set_{fold}\.csv"):
        trained = {row["video_name"] for _, row in _table(train, "video_name", "label")}
        for number, row in _table(test, "video_name", "label"):
            where = f"{test}, row {number}"
            if row["video_name"] in trained:
                raise ManifestError(f"{where}: clip {row['video_name']} is in the train list of set {fold} as well")
            name = f"{_whole(row['video_name'], where):05}"  # the list says 1, the folder is 00001
            label = _whole(row["label"], where)
            if not 1 <= label <= len(DFEW_LABELS):
                raise ManifestError(f"{where}: label {label} is not one of 1–{len(DFEW_LABELS)}")
            yield name, Clip(name, "", DFEW_LABELS[label - 1], name, {"fold": str(fold)})


def read_mafw(root: Path) -> Iterator[tuple[str, Clip]]:
    """MAFW's single-labelled clips; the five official test lists part them, and name the fold."""
    for fold, train, test in _five_folds(root, r"single/no_caption/set_{fold}/{side}\.txt"):
        trained = {name for _, (name, _) in _pairs(train)}
        for number, (name, label) in _pairs(test):
            if name in trained:
                raise ManifestError(f"{test}, row {number}: clip {name} is in the train list of set {fold} as well")
            _known(label, MAFW_LABELS, test, number)
            clip_id = Path(name).stem
            yield clip_id, Clip(clip_id, "", label, clip_id, {"fold": str(fold)})


def read_ferv39k(root: Path) -> Iterator[tuple[str, Clip]]:
    """FERV39k's official split over all scenes; lines such as ``Action/Happy/0267 Happy``."""
    for split in ("train", "test"):
        file = _one_file(root, rf"All_scenes/{split}_All\.csv")
        for number, (tail, label) in _pairs(file):
            scene, folder, _ = tail.split("/") if tail.count("/") == 2 else ("", "", "")
            if folder != label:
                raise ManifestError(f"{file}, row {number}: {tail!r} labelled {label!r}; expected Scene/{label}/NNNN")
            clip_id = tail.replace("/", "_")
            yield tail, Clip(clip_id, "", label.lower(), clip_id, {"split": split, "scene": scene.lower()})


MELD_FOLDERS = {
    "train": ("train", "train_splits"),
    "validation": ("dev", "dev_splits_complete"),
    "test": ("test", "output_repeated_splits_test"),
}


def read_meld(root: Path) -> Iterator[tuple[str, Clip]]:
    """MELD's three lists; the names ``dia0_utt0`` start again in each, so the split is part of the clip id."""
    for split, (short, folder) in MELD_FOLDERS.items():
        file = _one_file(root, rf"{short}_sent_emo\.csv")
        for _, row in _table(file, "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID"):
            name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
            extra = {"split": split, "sentiment": row["Sentiment"], "dialogue": f"{split}_{row['Dialogue_ID']}"}
            yield f"{folder}/{name}", Clip(f"{split}_{name}", "", row["Emotion"], row["Speaker"], extra)


CK_LABELS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
"""In the order of CK+'s numbers, which start at 1."""


def read_ck_plus(root: Path) -> Iterator[tuple[str, Clip]]:
    """CK+'s labelled sequences: a file with one number such as ``3.0000000e+00`` each; 266 of 593 have none."""
    for file in find_files(root, r"Emotion/S\d{3}/\d{3}/[^/]+_emotion\.txt"):
        text = _short_text(file)
        match = re.fullmatch(r"([1-7])(?:\.0+(?:e\+00)?)?", text)
        if match is None:
            raise ManifestError(f"{file}: {text[:40]!r} is not a number from 1 to {len(CK_LABELS)}")
        subject, sequence = file.parts[-3:-1]
        yield f"{subject}/{sequence}", Clip(f"{subject}_{sequence}", "", CK_LABELS[int(match[1]) - 1], subject)


LISTED: dict[str, ListRule] = {
    "ck+": ListRule("CK+", read_ck_plus, ("cohn-kanade-images",), knows_subjects=True),
    "dfew": ListRule("DFEW", read_dfew, ("original", "jpg_256", "clip_224x224"), digits=5),
    "ferv39k": ListRule("FERV39k", read_ferv39k, ("2_ClipsforFaceCrop",)),
    "mafw": ListRule("MAFW", read_mafw, ("clips", "frames")),
    "meld": ListRule("MELD", read_meld, knows_subjects=True),
}


def _short_text(file: Path) -> str:
    try:
        return read_bytes(file, at_most=1000).decode(errors="replace").strip()
    except (OSError, TooLargeError) as error:
        raise ManifestError(
            f"{file}: cannot be read ({error}); a number from 1 to {len(CK_LABELS)} is expected"
        ) from error


def _five_folds(root: Path, pattern: str) -> Iterator[tuple[int, Path, Path]]:
    for fold in range(1, 6):
        train, test = (_one_file(root, pattern.format(side=side, fold=fold)) for side in ("train", "test"))
        yield fold, train, test


def _one_file(root: Path, pattern: str) -> Path:
    files = find_files(root, pattern)
    name = pattern.replace("\\", "")
    if not files:
        raise ManifestError(f"{root}: no list …/{name} in it; ROOT must hold the corpus' official lists and its clips")
    if len(files) > 1:
        raise ManifestError(f"{root}: two lists …/{name}: {files[0]} and {files[1]}; keep one")
    return files[0]


def _table(file: Path, *columns: str) -> tuple[tuple[int, dict[str, str]], ...]:
    def check(table: Table) -> None:
        for column in columns:
            require_column(table, column)

    return read_table(file, check=check).rows


def _pairs(file: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """Lines of two words, ``name label``."""
    for number, row in read_table(file, header=["line"]).rows:
        words = row["line"].split()
        if len(words) != 2:
            raise ManifestError(f"{file}, row {number}: {row['line']!r} is not a name and a label")
        yield number, (words[0], words[1])


def _whole(text: str, where: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ManifestError(f"{where}: {text!r} is not a whole number")
    return int(text)


def _known(label: str, known: Sequence[str], file: Path, number: int) -> None:
    try:
        check_label(label, known)
    except ManifestError as error:
        raise ManifestError(f"{file}, row {number}: {error}") from None
