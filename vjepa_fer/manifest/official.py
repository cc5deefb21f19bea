"""Data sets whose file names say everything: videos and a naming rule in, clips and what is missing out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.rows import Clip, abridged


def match_names(videos: Sequence[Path], belongs: Callable[[str], object]) -> tuple[dict[str, Path], list[Path]]:
    """Videos by clip id (the name without suffix) where `belongs` holds of it, and the others.

    Raises
    ------
    ManifestError
        Two files have one name: which of them is meant cannot be known.
    """
    found: dict[str, Path] = {}
    others = []
    for video in videos:
        if not belongs(video.stem):
            others.append(video)
        elif found.setdefault(video.stem, video) != video:
            raise ManifestError(
                f"{video.stem} is there twice: {found[video.stem]} and {video}; name the folder that holds one of them"
            )
    return found, others


def require_some(found: Collection[object], root: Path, looked_for: str, others: Sequence[Path]) -> None:
    """Raise :class:`ManifestError`, saying what was looked for, unless something was found."""
    if not found:
        seen = f"; the videos there are named {abridged([v.name for v in others])}" if others else ""
        raise ManifestError(f"{root}: no {looked_for}{seen}")


def completeness_notes(found: Mapping[str, Clip], expected: Mapping[str, str], group: str) -> tuple[str, ...]:
    """``("1,380 of 1,440 videos found: Actor_18 is missing",)``, or () when nothing is missing.

    Parameters
    ----------
    found
        Clips by id.
    expected
        Subject by clip id, of the whole data set.
    group
        How a subject's folder or clips are called: ``"Actor_"`` or ``"actor "``.
    """
    missing = [clip_id for clip_id in expected if clip_id not in found]
    if not missing:
        return ()
    there = {clip.subject for clip in found.values()}
    absent = sorted({expected[clip_id] for clip_id in missing} - there)
    single = [clip_id for clip_id in missing if expected[clip_id] in there]
    parts = [f"{abridged([group + name for name in absent], 6)} missing"] if absent else []
    parts += [f"{len(single):,} single videos missing ({abridged(single)})"] if single else []
    return (f"{len(expected) - len(missing):,} of {len(expected):,} videos found: {'; '.join(parts)}",)


def naming_notes(others: Sequence[Path], rule: str) -> tuple[str, ...]:
    """What to say of the videos that do not follow the naming rule."""
    if not others:
        return ()
    return (f"{len(others):,} videos are not named {rule} and were left out: {abridged([v.name for v in others])}",)
