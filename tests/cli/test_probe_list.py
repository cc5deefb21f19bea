"""Promises of `probe --list`: every probe, every parameter, and defaults that can be typed back."""

from __future__ import annotations

import json
import sys

import pytest

from vjepa_fer.cli.main import main
from vjepa_fer.cli.probe_list import _plain, _typed
from vjepa_fer.experiment import parse_params
from vjepa_fer.probes import PROBES, full_parameters, make_probe, probe_parameters


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*words, status=0):
        monkeypatch.setattr(sys, "argv", ["vjepa-fer", "probe", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert (end.value.code or 0) == status
        return capsys.readouterr()

    return run


def test_all_probes_are_listed_with_all_that_param_takes(call):
    listed = json.loads(call("--list", "--json").out)
    assert listed["schema"] == "vjepa-fer/probes/1"
    assert [one["probe"] for one in listed["probes"]] == list(PROBES)
    for one in listed["probes"]:
        known = {
            name: _plain(value) for name, value in probe_parameters(one["probe"]).items() if name != "random_state"
        }
        assert one["parameters"] == known
        for preset in one["presets"]:
            make_probe(one["probe"], {"preset": preset})


def test_the_table_names_each_parameter_and_its_default(call):
    said = call("--list").out
    lines = [line.split() for line in said.splitlines()]
    for name in PROBES:
        assert any(line.startswith(f"{name}: ") for line in said.splitlines())
        for parameter, value in probe_parameters(name).items():
            assert parameter == "random_state" or [parameter, _typed(_plain(value))] in [words[:2] for words in lines]


def test_those_that_are_named_are_listed_alone_and_others_refused(call):
    assert [one["probe"] for one in json.loads(call("--list", "-p", "knn,svm", "--json").out)["probes"]] == [
        "knn",
        "svm",
    ]
    assert "did you mean 'svm'?" in call("--list", "-p", "svmm", status=1).err


@pytest.mark.parametrize("name", PROBES)
def test_a_default_that_is_typed_is_the_default(name):
    for parameter, value in probe_parameters(name).items():
        if parameter != "random_state":
            (typed,) = parse_params([f"{parameter}={_typed(_plain(value))}"])[parameter]
            assert full_parameters(name, {parameter: typed})[parameter] == value
