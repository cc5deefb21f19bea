# ruff: noqa: F811 (fixtures of another file)
"""A run folder that somebody made up, under right hashes, is refused by file and key, or can be shown everywhere."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from test_runs_damage import CELLS, PROTOCOL, V1, cache, call, nested, out, swept  # noqa: F401 (fixtures)
from vjepa_fer.doors import canonical_json
from vjepa_fer.errors import ExperimentError, RunError, SplitError
from vjepa_fer.experiment import make_cells
from vjepa_fer.report import ReportSettings, gather_numbers, render_page
from vjepa_fer.report.checks import run_checks
from vjepa_fer.runs import facts_of_table, read_run, result_of
from vjepa_fer.runs.settings import digest
from vjepa_fer.sweep import sweep


def sign(folder):
    """Give ``run.json`` the right hashes again, as somebody would who means harm."""
    said = json.loads((folder / "run.json").read_text())
    said["files"] = {name: digest((folder / name).read_bytes()) for name in said["files"]}
    said.pop("sha256", None)
    (folder / "run.json").write_text(json.dumps({**said, "sha256": digest(canonical_json(said))}))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def places(value, path=()):
    """The ways into a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def changed_at(value, path, new, remove):
    """A copy with another value at one place, or without it."""
    copy = json.loads(json.dumps(value))
    if not path:
        return new
    inside = copy
    for key in path[:-1]:
        inside = inside[key]
    if remove:
        del inside[path[-1]]
    else:
        inside[path[-1]] = new
    return copy


def show_everywhere(folder):
    """Every way in which a run is looked at; our own errors are answers too."""
    run = read_run(folder)
    json.dumps(result_of(run.evaluation), allow_nan=False)
    for command in (
        ("runs", "list", folder),
        ("runs", "show", folder),
        ("runs", "show", folder, "--json"),
        ("evaluate", folder),
        ("runs", "compare", folder, next(V1.iterdir())),
    ):
        assert call(*command)[0] == 0
    (numbers,) = gather_numbers([folder], ReportSettings(method="pca"))
    assert run_checks(numbers)
    return numbers


@pytest.mark.parametrize("name", ["run.json", "folds.json"])
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
@given(data=st.data())
def test_a_made_up_file_is_refused_or_shown(out, name, data):
    nested = data.draw(st.sampled_from(sorted(path.parent for path in out.rglob("run.json"))))
    good = {name: (nested / name).read_bytes() for name in ("run.json", "folds.json")}
    value = json.loads(good[name])
    # what is said of the figures themselves is computed, not read
    kept = [p for p in places(value) if len(p) < 2 or p[0] != "result" or p[1] in SAID]
    path = data.draw(st.sampled_from(kept))
    changed = changed_at(value, path, data.draw(VALUES), remove=data.draw(st.booleans()))
    try:
        (nested / name).write_text(json.dumps(changed))
        with contextlib.suppress(TypeError, AttributeError, ValueError, KeyError, OSError):
            sign(nested)
        try:
            numbers = show_everywhere(nested)
            if data.draw(st.integers(0, 9)) == 0:
                render_page([numbers])
        except (RunError, SplitError) as error:
            said = str(error)
            assert str(nested) in said or "folds" in said
    finally:
        for name, text in good.items():
            (nested / name).write_bytes(text)


SAID = {"chosen", "leaks", "damaged", "absent", "labels", "human", "confusion", "war"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("settings", [], r"'settings' is \[\], expected an object"),
        ("settings.seed", 0.5, "settings: 'seed' is 0.5, expected a whole number"),
        ("settings.cells", [], "expected at least one cell"),
        ("settings.cells", [3], r"expected a list of objects \(entry 0 is none\)"),
        ("settings.params", {"k": [9]}, "expected what its cells say"),
        ("settings.fingerprint", {"a": 1}, "'fingerprint' is .*expected a text"),
        ("settings.folds_sha256", "0", "folds.json holds other folds"),
        ("result.chosen", [], r"'chosen' is \[\], expected one of the cells for each fold"),
        ("result.leaks", "none", "'leaks' is \"none\", expected a list"),
        ("result.damaged", {"judged": [1]}, "result, damaged: 'judged' is .*expected a list of texts"),
        ("result.absent", {"asked": 2, "failed": 3}, "'failed' is 3, expected a whole number from 0 to 2"),
        ("result.human", {"rater": "x"}, "result, human: 'rater' is \"x\", expected a number"),
        (
            "result.human",
            {"rater": 4, "majority": None, "clips": 1, "votes": "face", "against": "<b>"},
            "expected one of labels, others, votes",
        ),
        ("result.human", 5, "'human' is 5, expected an object"),
        ("result.vote_entropy", 1.0, "'vote_cross_entropy' is missing"),
        ("result.confusion", [[1]], "where run.json says 91.67"),
        ("seconds", 10**400, "expected a number that is not too large"),
        ("versions", {"numpy": 2}, "expected an object of texts"),
        ("cache", None, "'cache' is null, expected a text"),
        (
            "files",
            {"../../etc/passwd": ""},
            "expected hashes of experiment.toml, folds.json, predictions.csv, groups.csv and no other",
        ),
        ("created", "\ud800", "cannot be read as JSON"),
    ],
)
def test_a_value_of_another_shape_is_refused_by_name(nested, key, value, message):
    said = json.loads((nested / "run.json").read_text())
    place = said
    for part in key.split(".")[:-1]:
        place = place[part]
    place[key.split(".")[-1]] = value
    said.pop("sha256")
    signed = {**said, "sha256": "" if value == "\ud800" else digest(canonical_json(said))}
    (nested / "run.json").write_text(json.dumps(signed))
    with pytest.raises(RunError, match=rf"{nested}.*{message}"):
        read_run(nested)


def test_what_raters_said_is_read_back(nested):
    said = json.loads((nested / "run.json").read_text())
    beside = {
        "labels": "votes:face",
        "human": {"rater": 40, "majority": 63.5, "clips": 24},
        "agreement": 50,
        "vote_cross_entropy": 1.5,
        "vote_entropy": 1.25,
        "trained_classes": ["sad"],
    }
    said["result"] |= beside
    (nested / "run.json").write_text(json.dumps(said))
    sign(nested)
    assert read_run(nested).evaluation.beside == {**beside, "unaudited": said["result"]["unaudited"]}
    assert facts_of_table(nested / "predictions.csv").trained_classes == ("sad",)
    assert "63.50 %" in call("runs", "show", nested)[1]


def test_a_run_of_other_clips_than_it_says_is_not_resumed(cache, out):
    single = next(path for path in out.iterdir() if path.name != "best")
    table = single / "predictions.csv"
    table.write_text(table.read_text().replace("c23,", "c99,"))
    sign(single)
    assert read_run(single)
    with pytest.raises(RunError, match=rf"{single}: predicts other clips than its settings say"):
        sweep(cache, CELLS, PROTOCOL, out=out)


def test_a_number_that_json_has_not_is_refused_before_anything_is_fitted(cache, tmp_path):
    (cell,) = make_cells(["svm"], ["mean"], {"gamma": [np.inf]}, scales=["none"])
    with pytest.raises(ExperimentError, match=r"cells\[0\]\.params\.gamma = inf: expected a finite number"):
        sweep(cache, [cell], PROTOCOL, out=tmp_path)
    assert list(tmp_path.iterdir()) == []
