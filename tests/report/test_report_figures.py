"""Promises of vjepa_fer.report.figures: what the page shows, drawn for print from the same numbers."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from test_evaluate import judge
from test_report import EVIL, cache, nested, quick_plane, report, runs  # noqa: F401 (fixtures)
from test_report import faces as make_faces
from test_runs import SOURCE
from vjepa_fer.errors import RunError
from vjepa_fer.report import gather_numbers
from vjepa_fer.report.figures import (
    draw_calibration,
    draw_confusion,
    draw_curve,
    draw_folds,
    draw_groups,
    draw_heat_map,
    draw_points,
    write_figures,
)
from vjepa_fer.report.grid import Axis
from vjepa_fer.runs import write_run

pytest.importorskip("matplotlib")


def test_all_charts_are_written_in_every_format_asked_for(nested, tmp_path):  # noqa: F811
    said = report(nested, "-o", tmp_path / "page.html", "--figures", tmp_path / "out", "--format", "pdf,svg,png")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    charts = ("calibration", "confusion", "features", "folds", "recall", "subjects", "sweep")
    assert names == sorted(f"{nested.name}-{chart}.{kind}" for chart in charts for kind in ("pdf", "svg", "png"))
    assert "21 figures" in said


def test_equal_numbers_make_equal_files(nested, tmp_path):  # noqa: F811
    numbers = gather_numbers([nested])[0]
    first, second = (write_figures(numbers, tmp_path / part, formats=("pdf", "svg")) for part in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


FIGURE = """
import os, sys
import numpy as np
os.chdir(sys.argv[1])
from vjepa_fer.report.figures import draw_confusion
draw_confusion(np.eye(2), ["a", "b"]).savefig(sys.argv[2], format="svg", metadata={"Date": None})
"""


def test_a_stranger_s_settings_in_the_current_folder_change_no_figure(tmp_path, monkeypatch):
    """matplotlib looks there first; what is the user's own elsewhere is obeyed."""
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "mine"))
    (tmp_path / "mine").write_text("svg.hashsalt: same\n")
    (tmp_path / "sent").mkdir()
    (tmp_path / "plain").mkdir()
    (tmp_path / "sent" / "matplotlibrc").write_text("figure.facecolor: red\ntext.usetex: True\nsvg.hashsalt: other\n")
    for name in ("sent", "plain"):
        subprocess.run(
            [sys.executable, "-c", FIGURE, tmp_path / name, tmp_path / f"{name}.svg"], check=True, timeout=120
        )
    assert (tmp_path / "sent.svg").read_bytes() == (tmp_path / "plain.svg").read_bytes()
    (tmp_path / "mine").write_text("figure.facecolor: red\nsvg.hashsalt: same\n")
    subprocess.run([sys.executable, "-c", FIGURE, tmp_path / "sent", tmp_path / "red.svg"], check=True, timeout=120)
    assert (tmp_path / "red.svg").read_bytes() != (tmp_path / "plain.svg").read_bytes()


def test_the_matrix_shows_the_numbers_that_it_was_given():
    figure = draw_confusion(np.array([[75.0, 25.0], [10.0, 90.0]]), ["a", "b"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["75", "25", "10", "90"]


def test_folds_and_calibration_are_drawn_where_they_are():
    (dots, mean) = draw_folds({"WAR": [50.0, 70.0]}).axes[0].lines
    assert (dots.get_xdata().tolist(), mean.get_xdata().tolist()) == ([50.0, 70.0], [60.0])
    curve = draw_calibration(np.array([0.3, 0.9]), np.array([0.4, 0.8]), np.array([5, 10])).axes[0].lines[1]
    assert curve.get_xydata().tolist() == [[0.3, 0.4], [0.9, 0.8]]


def test_the_chosen_cells_are_ringed_in_curve_and_heat_map():
    rings = draw_curve([1, 2, 3], np.array([50.0, 60.0, 55.0]), np.ones(3), "k", [1]).axes[0].lines[1]
    assert rings.get_xydata().tolist() == [[0.5, 60.0]]  # in the middle of the axis
    table = np.array([[50.0, np.nan], [55.0, 60.0]])
    axes = draw_heat_map(table, Axis("k", (1, 3)), Axis("scale", ("none", "standard")), [(1, 1)]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["50.0", "55.0", "60.0"]
    (ring,) = axes.patches
    assert ring.get_xy() == (0.53, 0.53)


def test_groups_are_drawn_with_their_intervals():
    values = [
        {"value": "female", "war": 60.0, "war_interval": [55.0, 65.0]},
        {"value": "x", "war": 50.0, "war_interval": None},
    ]
    axes = draw_groups({"sex": values}).axes[0]
    assert [list(line.get_xdata()) for line in axes.lines] == [[55.0, 65.0], [60.0], [50.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sex: female", "sex: x"]


def test_a_legend_of_long_names_stays_inside_the_figure():
    figure = draw_points(
        np.random.default_rng(0).random((16, 2)), np.arange(16) % 8, [f"a very long name {n}" for n in range(8)]
    )
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_names_with_dollar_signs_and_html_are_only_names(tmp_path):
    table = make_faces()
    odd = table._replace(y=np.array([f"_$\\frac{label}{EVIL}" for label in table.y]))
    run = write_run(tmp_path / "odd", judge(odd), source=SOURCE)
    paths = write_figures(gather_numbers([run.path])[0], tmp_path, formats=("svg",))
    assert len(paths) == 5
    assert all("<script" not in path.read_text() for path in paths)


def test_runs_whose_names_a_disk_may_take_for_one_have_figures_of_their_own(nested, tmp_path):  # noqa: F811
    for place, name in (("x", "run"), ("y", "run"), ("z", "Run")):
        shutil.copytree(nested, tmp_path / place / name)
    paths = [tmp_path / place for place in ("x/run", "y/run", "z/Run")]
    report(
        *paths,
        "-o",
        tmp_path / "page.html",
        "--figures",
        tmp_path / "figures",
        "--format",
        "svg",
        "--projection",
        "pca",
    )
    drawn = sorted(path.name for path in (tmp_path / "figures").glob("*-confusion.svg"))
    assert drawn == ["Run-3-confusion.svg", "run-2-confusion.svg", "run-confusion.svg"]


def test_an_unknown_format_and_an_unwritable_folder_are_refused(nested, tmp_path):  # noqa: F811
    (tmp_path / "file").write_text("")
    with pytest.raises(AssertionError, match="'gif' is not one of pdf, svg, png"):
        report(nested, "-o", tmp_path / "page.html", "--figures", tmp_path / "out", "--format", "gif")
    with pytest.raises(RunError, match="the figure cannot be written"):
        report(nested, "-o", tmp_path / "page.html", "--figures", tmp_path / "file" / "out")
