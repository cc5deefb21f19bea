"""The experiments that come along, by name; each is a TOML file that says in its first lines whose figures it makes."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

FOLDER = "experiments"


def shipped_experiments() -> dict[str, Path]:
    """Their files by name, sorted."""
    folder = Path(str(resources.files("vjepa_fer.data_manifests"))) / FOLDER
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def shipped_file(name: str) -> Path | None:
    """The file of the experiment called `name`, or None."""
    return shipped_experiments().get(name)


def summary_of(path: Path) -> str:
    """The first line of a file's opening comment: what the experiment is for."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
