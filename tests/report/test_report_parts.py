"""Promises of the report's parts: what is read once, what is written on an axis, which colours stay apart, who is compared with whom."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vjepa_fer.report.shelf as shelf_of
from test_report import cache, nested, quick_plane, runs  # noqa: F401 (fixtures)
from vjepa_fer.errors import RunError
from vjepa_fer.report import build as build_module
from vjepa_fer.report import gather_numbers, render_page
from vjepa_fer.report.comparison import compare_runs, find_reference
from vjepa_fer.report.palette import DARK, LIGHT, SHAPES
from vjepa_fer.report.planes import planes_of
from vjepa_fer.report.ticks import places, power_of_ten, scale, short, signed, ticks


@pytest.fixture
def cells(runs):  # noqa: F811
    return sorted((runs / "sweep").glob("knn-*"))


def test_each_run_is_read_once_each_cache_opened_and_projected_once(runs, cells, monkeypatch):  # noqa: F811
    counts = {"read_run": [], "open_cache": [], "project": []}

    def counted(module, name):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, **k: counts[name].append(a[0]) or real(*a, **k))

    counted(shelf_of, "read_run")
    counted(shelf_of, "open_cache")
    counted(build_module, "project")
    words = []
    numbers = gather_numbers([*runs.glob("sweep/best/*"), *cells, *(runs / "single").iterdir()], progress=words.append)
    assert len(numbers) == 8
    assert len(counts["read_run"]) == len(set(counts["read_run"])) == 8
    assert [len(counts["open_cache"]), len(counts["project"])] == [1, 1]
    assert len({id(one.projection) for one in numbers}) == 1
    assert len(planes_of(numbers)) == 1
    assert any("tsne of" in word for word in words)
    assert sum(word.startswith("figures of") for word in words) == 8


def test_many_runs_are_compared_with_the_one_to_report_or_the_one_asked_for(runs, cells):  # noqa: F811
    numbers = gather_numbers([*cells, *(runs / "single").iterdir(), *runs.glob("sweep/best/*")])
    few = compare_runs(numbers)
    assert few.reference is None
    many = compare_runs([*numbers, *numbers[:1]])
    assert numbers[many.reference].to_report
    assert many.parameters == ("k", "scale", "probe", "C", "class_weight")[:2] + many.parameters[2:]
    asked = compare_runs(numbers, str(cells[2]))
    assert asked.reference == 2
    assert len([one for one in asked.apart if one]) == len(numbers) - 1
    for number, (own, far) in enumerate(zip(numbers, asked.apart, strict=True)):
        if number != 2:
            assert far.value == pytest.approx(
                own.result["war"]["pooled"] - numbers[2].result["war"]["pooled"], abs=1e-3
            )
    assert find_reference(numbers, numbers[3].name) == find_reference(numbers, numbers[3].title) == 3
    with pytest.raises(RunError, match=r"--reference knn-k9-mean-nonne: none of the 8 runs .*did you mean"):
        find_reference(numbers, "knn-k9-mean-nonne")
    assert "(reference)" in render_page(numbers, reference=numbers[1].name)


def test_powers_of_ten_are_thinned():
    labels = [label for _, label in ticks(np.logspace(-6, 5, 45).tolist())]
    assert labels == ["10⁻⁶", "10⁻⁴", "10⁻²", "10⁰", "10²", "10⁴"]
    assert ticks([1, 3, 9]) == [(0.0, "1"), (0.5, "3"), (1.0, "9")]
    assert [label for _, label in ticks(["none", "standard"])] == ["none", "standard"]
    assert (short(1e-5), short(0.000183298), short(0.1), short(300), short(True)) == (
        "10⁻⁵",
        "1.8·10⁻⁴",
        "0.1",
        "300",
        "True",
    )


@given(st.lists(st.floats(1e-9, 1e9), min_size=2, max_size=60, unique=True), st.integers(2, 12))
def test_ticks_lie_on_the_axis_in_order_and_are_few(values, most):
    values = sorted(values)
    marks, stand = ticks(values, most), places(values)
    assert 0 < len(marks) <= most
    assert all(-1e-6 <= place <= 1 + 1e-6 for place, _ in marks)
    assert [place for place, _ in marks] == sorted(place for place, _ in marks)
    assert stand == sorted(stand)


@given(st.integers(-30, 30))
def test_a_power_is_written_raised(power):
    assert power_of_ten(power).translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) == f"10{power}"


@given(st.floats(1e-6, 1e4))
def test_a_scale_covers_what_it_shows_and_wastes_no_more_than_half(reach):
    at = scale(reach)
    assert at == [-at[-1], -at[-2], 0, at[3], at[4]]
    assert reach * (1 - 1e-6) <= at[-1] <= 2.6 * reach


@given(st.floats(-100, 100))
def test_a_difference_has_a_true_minus_and_nothing_has_no_sign(value):
    text = signed(value)
    assert "-" not in text
    assert float(text.replace("−", "-")) == pytest.approx(value, abs=0.006)
    assert text != "−0.00"


def linear(hexed):
    rgb = np.array([int(hexed[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


# Machado, Oliveira and Fernandes (2009), full severity
SEEN_BY = {
    "everyone": np.eye(3),
    "deuteranopes": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
    "protanopes": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "tritanopes": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]
    ),
}


def oklab(rgb):
    to_lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.793617785, -0.0040720468],
        [1.9779984951, -2.428592205, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.808675766],
    ]
    return np.array(to_lab) @ np.cbrt(np.array(to_lms) @ np.clip(rgb, 0, 1))


def least_apart(colours, eyes):
    seen = [oklab(SEEN_BY[eyes] @ linear(one)) for one in colours]
    return min(math.dist(a, b) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("eyes", SEEN_BY)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_stay_apart_in_all_eyes(colours, eyes):
    old = ("#1f77b4", "#e07b1a", "#2f9e44", "#c92a2a", "#8358b3", "#8c5a4a")
    assert least_apart(colours[:6], eyes) > 0.08
    assert least_apart(colours, eyes) > 0.06
    if eyes == "deuteranopes":
        assert least_apart(old, eyes) < 0.06  # what this test is there to find


def test_of_seventy_groups_no_two_share_colour_and_shape():
    assert len({(n % len(LIGHT), n % len(SHAPES)) for n in range(70)}) == 70
    assert len(set(SHAPES)) == len(SHAPES)
