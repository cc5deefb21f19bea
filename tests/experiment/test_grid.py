"""Promises of vjepa_fer.experiment.grid: what a user types becomes the cells of a sweep."""

import pytest

from vjepa_fer.errors import ProbeError
from vjepa_fer.experiment import Cell, make_cells, parse_params


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("k=10", [10]),
        ("C=0.1,1", [0.1, 1]),
        ("C=1e-3", [0.001]),
        ("kernel=linear,rbf", ["linear", "rbf"]),
        ("class_weight=none,balanced", [None, "balanced"]),
        ("probability=true", [True]),
        ("hidden=(80,40),(20,)", [(80, 40), (20,)]),
        ("C=logspace:-2:1:4", [0.01, 0.1, 1.0, 10.0]),
    ],
)
def test_values_get_the_type_that_they_look_like(text, values):
    parsed = parse_params([text])[text.partition("=")[0]]
    assert parsed == values
    assert list(map(type, parsed)) == list(map(type, values))


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["k"], "'k' is not NAME=VALUE"),
        (["=3"], "is not NAME=VALUE"),
        (["k="], "is not NAME=VALUE"),
        (["k=1", "k=2"], "'k' is given twice; list its values with commas"),
        (["k=1,,2"], "a value is missing or listed twice"),
        (["k=1,1"], "a value is missing or listed twice"),
        (["C=logspace:-5:1"], "is not logspace:FIRST:LAST:COUNT"),
        (["C=logspace:-5:1:1"], "is not logspace:FIRST:LAST:COUNT"),
        (["C=logspace:a:1:3"], "is not logspace:FIRST:LAST:COUNT"),
    ],
)
def test_what_cannot_be_read_is_refused_with_an_example(assignments, message):
    with pytest.raises(ProbeError, match=message):
        parse_params(assignments)


def test_lists_multiply():
    cells = make_cells(["knn"], ["mean", "frames"], {"k": [1, 3, 5]}, scales=["none", "standard"])
    assert len(cells) == len(set(map(repr, cells))) == 12


def test_a_parameter_goes_to_the_probes_that_have_it():
    cells = make_cells(["knn", "logreg"], ["mean"], {"k": [1, 3], "C": [0.1]}, scales=["none"])
    assert cells == [
        Cell(probe="knn", params={"k": 1}, scale="none"),
        Cell(probe="knn", params={"k": 3}, scale="none"),
        Cell(probe="logreg", params={"C": 0.1}, scale="none"),
    ]


def test_a_parameter_may_be_meant_for_one_probe_only():
    cells = make_cells(["svm", "logreg"], ["mean"], {"svm.C": [7]}, scales=["none"])
    assert [cell.params for cell in cells] == [{"C": 7}, {}]


def test_a_parameter_that_no_probe_has_is_refused_with_those_there_are():
    with pytest.raises(ProbeError, match="no probe asked for has a parameter 'c': logreg has C"):
        make_cells(["logreg"], ["mean"], {"c": [1]}, scales=["none"])


def test_an_unknown_probe_is_refused():
    with pytest.raises(ProbeError, match="no probe 'logref'"):
        make_cells(["logref"], ["mean"], {}, scales=["none"])
