"""Markdown files go in, their fenced examples come out; and what stands in for a download, a GPU and real faces while they run."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
DOWNLOADS = ("vjepa-fer models fetch",)


@dataclass(frozen=True)
class Example:
    """A fenced block: where it stands, its language, its text, and why it is not run (or "")."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The words of its lines that call vjepa-fer, wherever in the line it is called."""
        lines = self.text.replace("\\\n", " ").splitlines()
        found = (re.search(r"(?:^|[\s/])vjepa-fer (?=\S)(.*)", line) for line in lines if not line.startswith("#"))
        return [shlex.split(match[1].split(" && ")[0], comments=True) for match in found if match]


def examples(page: Path) -> Iterator[Example]:
    """Its fenced blocks in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    opened, said = None, ""
    for number, line in enumerate(lines, 1):
        if opened is None and (fence := re.fullmatch(r"```(\{?[\w-]*\}?)", line)):
            mark = NOT_RUN.fullmatch(lines[number - 2])
            opened, language, said = number, fence[1], mark[1] if mark else ""
        elif opened is not None and line == "```":
            yield Example(page, opened, language, "\n".join(lines[opened : number - 1]), said)
            opened = None


def stand_in(words: list[str]) -> list[str]:
    """The command with the untrained toy in float32 in place of an official encoder, and the folder here in place of /data."""
    words = [word.removeprefix("/data/") for word in words]
    if words[0] != "extract":
        return words
    if "--precision" in words:
        del words[words.index("--precision") : words.index("--precision") + 2]
    model = words.index("--model") + 1
    toy = [*words[:model], "tiny-v21", *words[model + 1 :], "--workers", "0"]
    return toy if "--weights" in toy else [*toy, "--weights", "random:0"]


def write_videos(folder: Path) -> None:
    """What the pages call RAVDESS, videos, table.csv, new.mp4 and features.csv: drawn faces, and numbers."""
    from vjepa_fer.demo import DemoSettings, write_demo_set

    settings = DemoSettings(num_subjects=24, num_repetitions=1, num_frames=16, side=48)
    drawn = {Path(c.path).stem: Path(c.path) for c in write_demo_set(folder / "drawn", settings)}
    names = []
    for actor in range(1, 25):
        for code, label in (("03", "happy"), ("04", "sad")):
            names.append(f"01-01-{code}-01-01-01-{actor:02d}")
            copy(drawn[f"{actor:02d}-{label}-1"], folder / f"RAVDESS/Actor_{actor:02d}/{names[-1]}.mp4")
    rows = []
    for number, person in enumerate(("anna", "ben", "cleo")):
        for label in ("happy", "sad"):
            path = Path(person, label, "take1.mp4")
            copy(drawn[f"{number + 1:02d}-{label}-1"], folder / "videos" / path)
            rows.append([f"{person}-{label}", path.as_posix(), label, person])
    write_csv(folder / "table.csv", ["name", "file", "emotion", "person"], rows)
    shutil.copy(drawn["04-happy-1"], folder / "new.mp4")
    numbers = np.random.default_rng(0).normal(size=(len(names), 3)).round(3)
    write_csv(
        folder / "features.csv",
        ["name", "AU01", "AU02", "AU12"],
        [[n, *x] for n, x in zip(names, numbers, strict=True)],
    )


def copy(source: Path, target: Path) -> None:
    """A copy in a folder that need not be there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def write_csv(path: Path, header: list[str], rows: list[list]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
