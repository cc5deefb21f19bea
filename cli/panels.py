"""The commands go in; the options of each stand in groups then, which have names: thirty in one list are read by nobody."""

from __future__ import annotations

from typing import Any

from .environment import long_name
from .examples import leaves

OUT = "What comes out"
CLIPS = "Which clips, and by what names"
RUNS = "How it runs"
ACROSS = "Across corpora"
TABLE = "How the table is read"

EVERYWHERE: dict[str, tuple[str, ...]] = {
    OUT: ("out", "json", "format", "part", "force", "html", "anonymise", "key-file"),
    CLIPS: ("manifest", "exclude", "where", "subset", "clips", "unify-names", "by"),
    ACROSS: ("policy", "label-map", "test-on"),
    RUNS: (
        *("jobs", "seed", "memory", "device", "devices", "weights", "fast"),
        *("engine", "address", "cpus-per-worker", "gpus-per-worker"),
    ),
}
"""Options of several commands, by their long names; a command's own groups come first."""

OF_COMMAND: dict[str, dict[str, tuple[str, ...]]] = {
    "extract": {
        "The encoder": ("model", "weights", "state-key", "precision", "compile"),
        "Which frames": (
            *("mode", "rule", "frames", "frame-step", "fps", "window-seconds", "segments", "stride", "picture-fps"),
            "min-frames",
        ),
        "Which pixels": (
            *("resolution", "views", "interpolation", "face-crop", "square-pixels", "decoder"),
            *("perturb", "perturb-seed"),
        ),
        "What is stored": ("level", "layers", "token-dtype", "into", "write-recipe"),
        "Clips that are odd": ("accept-truncated", "accept-resize", "clip-timeout", "retry-failed", "unify-names"),
        RUNS: ("device", "devices", "workers", "batch-size", "memory", "config", "force", "profile", "json"),
        "What it would take": ("dry-run", "machines", "rate", "price"),
    },
    "extract-audio": {
        "What is heard": ("features", "level", "layers"),
        CLIPS: ("unify-names", "retry-failed"),
        RUNS: ("device", "dry-run"),
        OUT: ("json",),
    },
    "probe": {
        "What is tried": (
            "stream",
            "fusion",
            "reference",
            "align",
            "probe",
            "features",
            "pool",
            "param",
            "scale",
            "decision",
            "config",
            "list",
        ),
        "How it is judged": ("folds", "nested", "inner-folds", "repeats", "allow-leak", "labels", "ties"),
        OUT: ("out", "refit", "save", "json"),
    },
    "evaluate": {
        TABLE: (
            "scores",
            "logits",
            "column",
            "classes",
            "class-order",
            "confusion",
            "sizes",
            "class-sizes",
            "rows",
            "fusion",
        )
    },
    "predict": {
        "The probe and its encoder": ("run", "weights", "device", "memory"),
        "Which pixels": ("face-crop", "accept-truncated", "accept-resize"),
        OUT: ("timeline", "stride", "attention", "film", "head", "json"),
    },
    "report": {
        "What is on the page": ("cache", "projection", "seed", "by", "reference", "robustness"),
        "Faces": ("thumbnails", "videos"),
        OUT: ("out", "figures", "format"),
    },
    "runs compare": {"What is compared": ("intersect", "scores", "reference")},
    "manifest ravdess": {CLIPS: ("speech", "song", "modality")},
    "cache import": {TABLE: ("level", "id-column", "values", "columns", "fps")},
}


def add_panels(program: Any) -> None:
    """Give every option that a group names its group."""
    for name, command in leaves(program):
        panels = _by_option(name)
        for parameter in command.params:
            own = getattr(parameter, "rich_help_panel", None)
            if own is None and (panel := panels.get(long_name(parameter))):
                parameter.rich_help_panel = panel


def _by_option(command: str) -> dict[str, str]:
    groups = [*EVERYWHERE.items(), *OF_COMMAND.get(command, {}).items()]
    return {option: panel for panel, options in groups for option in options}
