"""Arrays go in, matplotlib figures for a paper come out; a run's numbers go in, files of all its figures come out.

The numbers are those of the page, so that page and paper cannot disagree. No function touches matplotlib's global state.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vjepa_fer.disk import make_folders, write_durably
from vjepa_fer.doors import printable
from vjepa_fer.errors import RunError
from vjepa_fer.extras import import_matplotlib
from vjepa_fer.report.grid import Grid
from vjepa_fer.report.numbers import RunNumbers
from vjepa_fer.report.palette import colour, shape
from vjepa_fer.report.ticks import places, short, ticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vjepa_fer.report.grid import Axis

BLUE, GREY, RED = "#1f6fb2", "#8a949c", "#c0392b"
MOST_NAMED = 12
"""Bars whose names fit beneath; more lie on their side, one line each."""

COLUMN, SQUARE = (3.4, 2.4), (3.4, 3.4)
"""Inches: a column of a two-column page."""
LONGEST_NAME = 18
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "pdf.fonttype": 42,
    "svg.hashsalt": "vjepa-fer",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def write_figures(
    numbers: RunNumbers, folder: str | os.PathLike[str], *, formats: Sequence[str] = ("pdf",), name: str = ""
) -> list[Path]:
    """Draw what the page draws into ``folder/NAME-CHART.FORMAT``; files of the same name are replaced.

    Parameters
    ----------
    numbers : RunNumbers
    folder : path
    formats : sequence of str
    name : str
        The run's own without it; runs of one name need others (see :func:`vjepa_fer.disk.unique_names`).

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    RunError
        The folder cannot be written.
    """
    import_matplotlib("figures for papers")
    import matplotlib

    written = []
    with matplotlib.rc_context(STYLE):
        for chart, figure in _figures(numbers):
            for kind in formats:
                path = Path(folder) / f"{name or numbers.name}-{chart}.{kind}"
                try:
                    make_folders(path.parent)
                    write_durably(path, partial(figure.savefig, format=kind, dpi=300, metadata=_NO_DATE[kind]))
                except OSError as error:
                    raise RunError(f"{path}: the figure cannot be written ({error.strerror})") from error
                written.append(path)
    return written


_NO_DATE: Mapping[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": None}
"""Equal numbers make equal files."""


def _figures(numbers: RunNumbers) -> Iterator[tuple[str, Figure]]:
    result = numbers.result
    yield "confusion", draw_confusion(numbers.row_percent, result["classes"])
    yield "folds", draw_folds({name: result[key]["folds"] for key, name in _HEADLINES.items()})
    yield (
        "recall",
        draw_bars(result["classes"], [one["recall"] or 0 for one in result["by_class"].values()], "recall, %"),
    )
    if numbers.subjects:
        yield (
            "subjects",
            draw_bars([s.name for s in numbers.subjects], [100 * s.war for s in numbers.subjects], "WAR, %"),
        )
    if numbers.bins:
        columns = ([getattr(one, name) for one in numbers.bins] for name in ("confidence", "accuracy", "num_clips"))
        yield "calibration", draw_calibration(*map(np.array, columns))
    if numbers.grid and len(numbers.grid.axes) == 1:
        yield "sweep", _line_of_one_axis(numbers.grid)
    if numbers.grid and len(numbers.grid.axes) == 2:
        yield "sweep", _map_of_two_axes(numbers.grid)
    if result.get("by"):
        yield "groups", draw_groups(result["by"])
    if numbers.projection:
        shown = numbers.projection
        yield "features", draw_points(shown.xy, numbers.predictions.truth[shown.rows], result["classes"])


_HEADLINES = {"war": "WAR", "uar": "UAR", "macro_f1": "macro-F1"}


def _line_of_one_axis(grid: Grid) -> Figure:
    axis, points = grid.axes[0], [point for point in grid.points if point.at[0] >= 0]
    ringed = [number for number, point in enumerate(points) if point in grid.chosen]
    return draw_curve([axis.values[p.at[0]] for p in points], *_war_and_sd(points), axis.name, ringed)


def _map_of_two_axes(grid: Grid) -> Figure:
    across, down = grid.axes
    table = np.full((len(down.values), len(across.values)), np.nan)
    for point in grid.points:
        if min(point.at) >= 0:
            table[point.at[1], point.at[0]] = point.war
    chosen = [(point.at[1], point.at[0]) for point in grid.chosen if min(point.at) >= 0]
    return draw_heat_map(table, across, down, chosen)


def _war_and_sd(points: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([point.war for point in points]), np.array([point.sd for point in points])


def _axes(size: tuple[float, float], *, columns: int = 1) -> tuple[Figure, Any]:
    import_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, columns)


def draw_confusion(row_percent: np.ndarray, classes: Sequence[str]) -> Figure:
    """Row percentages (C, C), rows = truth, as shaded squares with their numbers."""
    figure, axes = _axes(SQUARE)
    axes.imshow(row_percent, cmap="Blues", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(row_percent):
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", color="white" if value > 55 else "black")
    axes.set_xticks(range(len(classes)), _plain(classes), rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), _plain(classes))
    axes.set(xlabel="predicted", ylabel="true")
    return figure


def draw_folds(figures: Mapping[str, Sequence[float]]) -> Figure:
    """A row a figure, a dot a fold, percent; the bar is the mean."""
    figure, axes = _axes((COLUMN[0], 0.5 + 0.4 * len(figures)))
    for row, values in enumerate(figures.values()):
        axes.plot(values, [row] * len(values), "o", color=BLUE, alpha=0.7, markersize=4)
        axes.plot([np.mean(values)], [row], "|", color="black", markersize=12)
    axes.set_yticks(range(len(figures)), list(figures))
    axes.set(xlabel="%", ylim=(len(figures) - 0.5, -0.5))
    return figure


def draw_bars(names: Sequence[str], values: Sequence[float], label: str) -> Figure:
    """A bar a name, percent; many names lie beside theirs, in two columns from 40 on, so that 91 people can be read."""
    if len(names) <= MOST_NAMED:
        figure, axes = _axes(COLUMN)
        axes.bar(range(len(names)), values, color=BLUE)
        axes.set_xticks(range(len(names)), _plain(names), rotation=45)
        axes.set(ylabel=label, ylim=(0, 100))
        return figure
    parts = 1 if len(names) < 40 else 2
    rows = -(-len(names) // parts)
    figure, every = _axes((COLUMN[0] * (2 if parts == 2 else 1), 0.11 * rows + 0.6), columns=parts)
    for part, axes in enumerate(np.atleast_1d(every)):
        own = slice(part * rows, (part + 1) * rows)
        axes.barh(range(len(names[own])), values[own], color=BLUE)
        axes.set_yticks(range(len(names[own])), _plain(names[own]), fontsize=6)
        axes.set(xlabel=label, xlim=(0, 100), ylim=(rows - 0.4, -0.6))
    return figure


def draw_calibration(confidence: np.ndarray, accuracy: np.ndarray, num_clips: np.ndarray) -> Figure:
    """How often right against how sure, fractions (num_bins,); a dot's area says how many clips."""
    figure, axes = _axes(SQUARE)
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    axes.plot(confidence, accuracy, color=BLUE)
    axes.scatter(confidence, accuracy, s=10 + 90 * num_clips / num_clips.max(), color=BLUE, zorder=3)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    return figure


def draw_curve(values: Sequence[Any], war: np.ndarray, sd: np.ndarray, name: str, chosen: Sequence[int] = ()) -> Figure:
    """Mean WAR over folds with its sd, percent, against a parameter's values; the chosen ones are ringed."""
    figure, axes = _axes(COLUMN)
    at = np.array(places(values))
    axes.fill_between(at, war - sd, war + sd, color=BLUE, alpha=0.15, linewidth=0)
    axes.plot(at, war, "o-", color=BLUE, markersize=4)
    ringed = list(chosen)
    axes.plot(at[ringed], war[ringed], "o", markersize=9, markerfacecolor="none", markeredgecolor=RED)
    marks = ticks(values)
    axes.set_xticks([place for place, _ in marks], _plain(label for _, label in marks))
    axes.set(xlabel=_plain([name])[0], ylabel="WAR, %")
    return figure


def draw_heat_map(war: np.ndarray, across: Axis, down: Axis, chosen: Sequence[tuple[int, int]]) -> Figure:
    """Mean WAR over folds, percent (rows, columns), NaN where there is no cell; the chosen ones are ringed."""
    import_matplotlib()
    from matplotlib.patches import Rectangle

    figure, axes = _axes((max(COLUMN[0], 0.4 * war.shape[1] + 1), 0.34 * war.shape[0] + 1.1))
    low, high = np.nanmin(war), np.nanmax(war)
    axes.imshow(war, cmap="Blues", vmin=low - 0.1 * (high - low), vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(war):
        if np.isfinite(value):
            strong = value > low + 0.6 * (high - low)
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", color="white" if strong else "black")
    for row, column in chosen:
        axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor=RED, linewidth=1.4))
    axes.set_xticks(range(war.shape[1]), _plain(map(short, across.values)))
    axes.set_yticks(range(war.shape[0]), _plain(map(short, down.values)))
    axes.set(xlabel=_plain([across.name])[0], ylabel=_plain([down.name])[0])
    return figure


def draw_groups(by: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """WAR of every value of some columns with its 95 % interval over subjects, percent."""
    rows = [(column, one) for column, values in by.items() for one in values]
    figure, axes = _axes((COLUMN[0], 0.22 * len(rows) + 0.7))
    for place, (_, one) in enumerate(rows):
        if one["war_interval"]:
            axes.plot(one["war_interval"], [place, place], color=BLUE, alpha=0.5)
        axes.plot([one["war"]], [place], "o", color=BLUE, markersize=4)
    axes.set_yticks(range(len(rows)), _plain(f"{column}: {one['value']}" for column, one in rows))
    axes.set(xlabel="WAR, %", xlim=(0, 100), ylim=(len(rows) - 0.5, -0.5))
    return figure


def draw_points(xy: np.ndarray, truth: np.ndarray, classes: Sequence[str]) -> Figure:
    """Points (num_points, 2), a colour and a shape a class."""
    figure, axes = _axes(SQUARE)
    for number, label in enumerate(_plain(classes)):
        own = truth == number
        axes.scatter(*xy[own].T, s=6, lw=0.4, color=colour(number), marker=shape(number).matplotlib, label=label)
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)
    longest = max(map(len, _plain(classes)))
    columns = max(1, min(4, 44 // (longest + 4)))  # what fits into a column of a page
    legend = {"fontsize": 7, "handletextpad": 0.2, "columnspacing": 1.0, "markerscale": 2, "frameon": False}
    figure.legend(loc="outside lower center", ncols=columns, **legend)
    return figure


def _plain(names: Any) -> list[str]:
    """As text only, short enough to leave room for the chart; dollar signs are no mathematics, and a leading underscore hides nothing."""
    shown = map(printable, names)
    short = (name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in shown)
    return [(f" {name}" if name.startswith("_") else name).replace("$", r"\$") for name in short]
