"""Make crema_d.csv.gz: the official lists of CREMA-D in, one row a clip out.

    python data_manifests/make_crema_d.py OFFICIAL

OFFICIAL holds SentenceFilenames.csv, VideoDemographics.csv and tabulatedVotes.csv(.gz) of the official repository, and
video_checksums.csv (path, bytes, sha256 as the repository's large-file pointers state them).
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from pathlib import Path

EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}
VOTES = {"2": "face", "3": "av"}  # first digit of the row id; 1 is voice alone
DAMAGED = {
    "1076_MTI_NEU_XX": "very short, no sound",
    "1076_MTI_SAD_XX": "error picture, silent",
    "1064_TIE_SAD_XX": "no duration in the file",
    "1064_IEO_DIS_MD": "one minute that holds all emotions",
    "1040_ITH_SAD_XX": "left out by HiCMAE",
}


def rows_by(path: Path, column: str) -> dict[str, dict[str, str]]:
    """The rows of a table by the value of one column."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return {row[column]: row for row in csv.DictReader(file)}


def votes_by_clip(path: Path) -> dict[str, dict[str, str]]:
    """Counts of the crowd's choices: ``{"1001_IEO_NEU_XX": {"face_anger": "0", …}}``."""
    votes: dict[str, dict[str, str]] = {}
    for row_id, row in rows_by(path, "").items():
        if row_id[0] in VOTES:
            counts = {f"{VOTES[row_id[0]]}_{name}": row[code[0]] for code, name in EMOTIONS.items()}
            votes.setdefault(row["fileName"], {}).update(counts)
    return votes


def clip_rows(official: Path) -> list[dict[str, str]]:
    """One row a clip, sorted by clip id."""
    actors = rows_by(official / "VideoDemographics.csv", "ActorID")
    votes = votes_by_clip(next(official.glob("tabulatedVotes.csv*")))
    files = {Path(path).stem: row for path, row in rows_by(official / "video_checksums.csv", "path").items()}
    clip_ids = sorted(rows_by(official / "SentenceFilenames.csv", "Filename"))
    return [_row(clip_id, actors, votes[clip_id], files[clip_id]) for clip_id in clip_ids]


def _row(
    clip_id: str, actors: dict[str, dict[str, str]], votes: dict[str, str], file: dict[str, str]
) -> dict[str, str]:
    actor, sentence, emotion, level = clip_id.split("_")
    person = {name.lower(): actors[actor][name].lower() for name in ("Age", "Sex", "Race", "Ethnicity")}
    return {
        "clip_id": clip_id,
        "path": file["path"],
        "label": EMOTIONS[emotion],
        "subject": actor,
        "intensity": LEVELS[level],
        "sentence": sentence,
        **person,
        **{name: votes[name] for name in sorted(votes, key=lambda n: (n.startswith("av"), n))},
        "damaged": DAMAGED.get(clip_id, ""),
        "bytes": file["bytes"],
        "sha256": file["sha256"],
    }


def main(official: Path, target: Path) -> None:
    """Write the table; the same input gives the same bytes."""
    rows = clip_rows(official)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    target.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("crema_d.csv.gz"))
