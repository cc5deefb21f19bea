"""Promises of ``probe --fusion``: stacked and alone beside early and late, all in one table, on the same clips and folds."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tables import call
from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.imports import import_features
from vjepa_fer.errors import CacheError, ExperimentError
from vjepa_fer.experiment import Cell, Experiment, Protocol, experiment_from_toml, experiment_to_toml
from vjepa_fer.judging import compare_predictions
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.runs import fusion_sheet, read_run, result_of
from vjepa_fer.sweep import fusions_of, run_experiment, run_fusions

LABELS = ("happy", "sad", "angry")


def write_stream(root, *, dim, seed, num_clips=48, strength=0.8, first=0):
    """A cache of imported features of eight subjects' clips, which tell the labels more or less."""
    rng = np.random.default_rng(seed)
    ids = [f"c{n}" for n in range(first, num_clips)]
    clips = tuple(Clip(f"c{n}", "", LABELS[n % 3], f"s{n % 8}") for n in range(num_clips))
    x = rng.standard_normal((num_clips, dim)) + strength * rng.standard_normal((3, dim))[np.arange(num_clips) % 3]
    table = root.with_suffix(".csv")
    pd.DataFrame(x[first:], columns=[f"f{n}" for n in range(dim)]).assign(clip_id=ids).to_csv(table, index=False)
    import_features(read_feature_csv(table, id_column="clip_id", columns=["f*"]), root, Manifest(clips=clips))
    return root


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    root = tmp_path_factory.mktemp("streams")
    return {
        "au": str(write_stream(root / "au", dim=4, seed=1)),
        "vj": str(write_stream(root / "vj", dim=6, seed=2, first=6)),
    }


@pytest.fixture(scope="module")
def kept(streams, tmp_path_factory):
    """All fusions, kept in a folder."""
    out = tmp_path_factory.mktemp("all") / "runs"
    return run_fusions(asked(streams), lambda one, folder: run_experiment(one, out=folder), out=out), out


def asked(streams, **more):
    return Experiment(streams=streams, protocol=Protocol(folds="subject-kfold:4", inner_folds=3), **more)


def test_all_fusions_are_judged_on_the_clips_that_every_stream_has(kept):
    fused, _ = kept
    assert list(fused.outcomes) == ["only:au", "only:vj", "early", "late", "stacked"]
    said = [one.evaluation.predictions for one in fused.best.values()]
    assert {tuple(one.clip_ids) for one in said} == {tuple(f"c{n}" for n in range(6, 48))}
    assert all(np.array_equal(one.fold, said[0].fold) for one in said)


def test_a_stream_alone_is_that_streams_own_probe(kept, streams):
    fused, _ = kept
    alone = fused.best["only:vj"].evaluation
    whole = run_experiment(Experiment(cache=streams["vj"], protocol=Protocol(folds="subject-kfold:4")))
    np.testing.assert_allclose(alone.predictions.probabilities, whole.best.evaluation.predictions.probabilities)
    assert alone.beside["fusion"] == {"how": "only:vj", "streams": ["au", "vj"]}


def test_the_table_has_each_figure_and_its_paired_difference_from_the_reference(kept):
    fused, _ = kept
    predictions = {how: one.evaluation.predictions for how, one in fused.best.items()}
    expected = compare_predictions(predictions, reference="only:au").to_dict()["differences"]
    rows = {row["run"]: row for row in fused.to_dict()["table"]}
    assert [row["fusion"] for row in rows.values()] == ["au alone", "vj alone", "early", "late", "stacked"]
    for one in expected:
        key = "difference" if one["figure"] == "war" else "uar_difference"
        assert rows[one["second"]][key] == one["value"]
    assert rows["only:au"]["difference"] is None
    assert rows["late"]["war"] == fused.best["late"].to_dict()["war"]["pooled"]


def test_a_stacked_run_keeps_its_weights_and_reads_back_equal(kept):
    fused, out = kept
    run = read_run(fused.best["stacked"].run)
    written = fused.best["stacked"].evaluation
    assert run.evaluation.stackers == written.stackers
    assert len(written.stackers) == 4
    assert run.settings["stacked_on"] == "3 inner folds"
    assert np.shape(written.stackers[0]["weights"]) == (2, 3, 3)
    shown = call("runs", "show", run.path).stdout
    assert "streams au + vj: stacked" in shown
    assert "au makes up" in shown
    assert sorted(path.name for path in out.iterdir()) == ["1-au", "2-vj", "early", "late", "stacked"]


@pytest.mark.parametrize("damage", [[1], "x", [[0.5], 0.5], [[0.5, 0.5, 0.0]]])
def test_weights_that_are_none_are_refused(kept, tmp_path, damage):
    from vjepa_fer.doors import Given
    from vjepa_fer.errors import RunError
    from vjepa_fer.evaluation import read_stacker

    fused, _ = kept
    values = dict(fused.best["stacked"].evaluation.stackers[0]) | {"shares": damage}
    with pytest.raises(RunError, match=r"'shares' is .*, expected"):
        read_stacker(Given(values, "run.json", RunError), 2)


def test_runs_compare_shows_the_table_of_runs_that_are_there(kept):
    _, out = kept
    folders = sorted(out.iterdir())
    shown = call("runs", "compare", *folders, "--reference", out / "late").stdout
    assert "streams alone and fused" in shown
    assert "stacked" in shown
    rows = json.loads(call("runs", "compare", *folders, "--reference", out / "late", "--json").stdout)["fusions"]
    assert [row["difference"] is None for row in rows].count(True) == 1


def test_a_report_of_such_runs_has_the_table(kept, tmp_path):
    fused, _ = kept
    call("report", *(one.run for one in fused.best.values()), "-o", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<h3>Streams, alone and fused</h3>" in page
    assert ">vj alone</th>" in page


def test_one_fusion_is_no_table(kept):
    fused, _ = kept
    result = result_of(fused.best["late"].evaluation)
    assert fusion_sheet({"a": result, "b": result}) is None


def test_the_command_prints_the_table_and_what_weighs_how_much(streams):
    words = [f"--stream={name}={path}" for name, path in streams.items()]
    done = call("probe", *words, "--fusion", "all", "--reference", "late", "--folds", "subject-kfold:4")
    assert "au alone" in done.stdout
    assert "late: points, paired" in done.stdout
    assert "6 clips of au are in no other stream" in done.stderr
    assert "of what moves the stacked" in done.stderr
    pasted = call("probe", *words, "--fusion", "all", "--folds", "subject-kfold:4", "--format", "csv").stdout
    assert pasted.splitlines()[0].startswith("run,fusion,war,war_low,war_high,uar")


def test_nested_choice_works_under_stacking_in_several_processes_as_in_one(streams):
    cells = tuple(Cell(params={"C": c}) for c in (0.01, 1.0))
    one, two = (run_experiment(asked(streams, fusion="stacked", cells=cells), jobs=jobs) for jobs in (1, 2))
    first, second = (outcome.best.evaluation for outcome in (one, two))
    assert first.stackers == second.stackers
    assert len(first.stackers) == len(first.choices) == 4
    np.testing.assert_array_equal(first.predictions.probabilities, second.predictions.probabilities)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"fusion": "only:va"},
            "fusion 'only:va' is not one of early, late, stacked, only:au, only:vj; did you mean 'only:vj'",
        ),
        ({"fusion": "stacked", "refit": True}, "refit goes without test_on and streams"),
        ({"fusion": "late", "align": "frames"}, "align = 'frames' brings moments of streams together"),
        ({"align": "tokens"}, "align 'tokens' is not one of frames, or frames:SECONDS"),
        ({"align": "frames:soon"}, "align = 'frames:soon': expected frames, or frames:SECONDS such as frames:0.02"),
    ],
)
def test_what_cannot_be_asked_is_refused(how, message):
    with pytest.raises(ExperimentError, match=message):
        asked({"au": "a", "vj": "b"}, **how)


def test_fusion_without_streams_and_choices_that_nobody_makes_are_refused(streams):
    with pytest.raises(ExperimentError, match="fusion = 'only:au' is for two or more streams"):
        Experiment(cache="x", fusion="only:au")
    with pytest.raises(ExperimentError, match="fusion = 'all' is for two or more streams"):
        fusions_of(Experiment(cache="x"))
    cells = tuple(Cell(params={"C": c}) for c in (0.1, 1.0))
    with pytest.raises(ExperimentError, match="nobody chooses among 2 cells: expected one cell, or nested = true"):
        fusions_of(Experiment(streams=streams, cells=cells, protocol=Protocol(nested=False)))
    with pytest.raises(ExperimentError, match=r"reference 'lite' is not one of .*; did you mean 'late'"):
        run_fusions(asked(streams), lambda one, folder: run_experiment(one), reference="lite")


def test_vectors_of_clips_have_no_times_to_align(streams):
    with pytest.raises(CacheError, match=r"au \(au\.csv\) has one vector a clip and no times to align"):
        run_experiment(asked(streams, align="frames", cells=(Cell(level="frames"),)))


@pytest.mark.parametrize("how", [{"fusion": "stacked"}, {"fusion": "only:au"}, {"align": "frames:0.02"}])
def test_fusions_go_to_a_file_and_back(how):
    one = asked({"au": "a", "vj": "b"}, **how).resolved
    assert experiment_from_toml(experiment_to_toml(one)) == one
    assert one.fingerprint != asked({"au": "a", "vj": "b"}).resolved.fingerprint


def test_an_experiment_of_before_has_the_fingerprint_that_it_had():
    assert "align" not in asked({"au": "a", "vj": "b"}).to_dict()
