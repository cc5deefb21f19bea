"""The windows of a video and what a probe says about each go in; a table over seconds and a plot with key frames come out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vjepa_fer.disk import make_folders, write_durably
from vjepa_fer.doors import csv_text, printable
from vjepa_fer.errors import RunError
from vjepa_fer.extras import import_matplotlib
from vjepa_fer.features import first_of_equals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_KEY_FRAMES = 8


@dataclass(frozen=True, eq=False)
class Timeline:
    """Class probabilities of a video's windows.

    Attributes
    ----------
    path : Path
    classes : tuple of str
    start, end : ndarray of float64, shape (num_windows,)
        Times of each window's first and last frame, in seconds.
    probabilities : ndarray of float64, shape (num_windows, num_classes)
    key_frames : ndarray of uint8, shape (K, H, W, 3)
        As the encoder saw them, evenly over the video.
    key_seconds : ndarray of float64, shape (K,)
    """

    path: Path
    classes: tuple[str, ...]
    start: np.ndarray
    end: np.ndarray
    probabilities: np.ndarray
    key_frames: np.ndarray
    key_seconds: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """The time that stands for each window, in seconds, (num_windows,)."""
        return (self.start + self.end) / 2


def write_timeline(timeline: Timeline, folder: str | os.PathLike[str], name: str, *, plot: bool = True) -> list[Path]:
    """Write ``folder/NAME.csv`` (start and end in seconds, label, a probability a class) and, with `plot`, ``folder/NAME.png``.

    Raises
    ------
    RunError
        They cannot be written.
    MissingExtraError
        matplotlib is not installed.
    """
    table, picture = Path(folder) / f"{name}.csv", Path(folder) / f"{name}.png"
    if plot:
        import_matplotlib("the plot of a timeline")
    try:
        make_folders(table.parent)
        _write_table(timeline, table)
        if not plot:
            return [table]
        write_durably(picture, lambda file: draw_timeline(timeline).savefig(file, format="png", dpi=150))
    except OSError as error:
        raise RunError(f"{error.filename or table}: the timeline cannot be written ({error.strerror})") from error
    return [table, picture]


def _write_table(timeline: Timeline, path: Path) -> None:
    labels = [timeline.classes[number] for number in first_of_equals(timeline.probabilities)]
    rows = (
        [f"{start:.4f}", f"{end:.4f}", label, *(f"{p:.6f}" for p in row)]
        for start, end, label, row in zip(timeline.start, timeline.end, labels, timeline.probabilities, strict=True)
    )
    write_durably(path, csv_text(["start_seconds", "end_seconds", "label", *timeline.classes], rows))


def draw_timeline(timeline: Timeline) -> Figure:
    """The probability of each class over seconds, key frames underneath at their times."""
    import_matplotlib()
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    curves, strip = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    for number, label in enumerate(timeline.classes):
        colour = colormaps["tab10" if len(timeline.classes) <= 10 else "tab20"](number)
        shown = printable(" " + label if label.startswith("_") else label).replace("$", r"\$")
        curves.plot(timeline.middle, timeline.probabilities[:, number], ".-", color=colour, label=shown)
    curves.set(ylabel="probability", ylim=(0, 1))
    curves.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    low, high = timeline.key_seconds[0], max(timeline.key_seconds[-1], timeline.key_seconds[0] + 0.04)
    half = (high - low) / max(len(timeline.key_seconds) - 1, 1) / 2
    for second, frame in zip(timeline.key_seconds, timeline.key_frames, strict=True):
        strip.imshow(frame, extent=(second - 0.95 * half, second + 0.95 * half, 0, 1), aspect="auto")
    strip.set(xlabel="seconds", yticks=[], ylim=(0, 1), xlim=(low - half, high + half))
    return figure
