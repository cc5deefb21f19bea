"""Promises of ``vjepa-fer probe``, ``runs`` and ``evaluate``: features in a cache become a table, JSON and run folders."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from test_evaluate import ACTION_UNITS, faces
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.imports import import_features
from vjepa_fer.cli import evaluate, probe, runs
from vjepa_fer.errors import CacheError, RunError, SplitError
from vjepa_fer.manifest import Clip, Manifest, ravdess_clips

app = typer.Typer()
app.command()(probe.probe)
app.command()(evaluate.evaluate)
app.add_typer(runs.app, name="runs")


def call(*arguments):
    """Run a command in this process; its mistakes are raised here, as the main program prints them."""
    outcome = CliRunner().invoke(app, [str(a) for a in arguments])
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def call_json(*arguments):
    return json.loads(call(*arguments, "--json"))


def make_cache(folder, table):
    """A cache of imported features."""
    path = folder / "features.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip_id", *(f"f{n}" for n in range(table.X.shape[1]))])
        writer.writerows([c, *x] for c, x in zip(table.clip_ids, table.X.tolist(), strict=True))
    clips = [Clip(str(c), "", str(y), str(s)) for c, y, s in zip(table.clip_ids, table.y, table.subjects, strict=True)]
    imported = read_feature_csv(path, id_column="clip_id", columns=[f"f{n}" for n in range(table.X.shape[1])])
    import_features(imported, folder / "cache", Manifest(clips=tuple(clips)))
    return folder / "cache"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("faces"), faces())


def test_json_says_what_was_done_and_gives_figures_in_percent(cache):
    answer = call_json("probe", cache, "--probe", "knn", "--param", "k=3", "--scale", "none", "--folds", "loso")
    assert answer["schema"] == "vjepa-fer/probe/1"
    (result,) = answer["results"]
    assert {
        k: result[k] for k in ("probe", "params", "features", "scale", "folds", "n_clips", "n_subjects", "run")
    } == {
        "probe": "knn",
        "params": {"n_neighbors": 3, "metric": "euclidean", "weights": "uniform"},
        "features": "mean",
        "scale": "none",
        "folds": "loso",
        "n_clips": 48,
        "n_subjects": 6,
        "run": None,
    }
    for figure in ("war", "uar", "macro_f1"):
        assert len(result[figure]["folds"]) == 6
        assert result[figure]["mean"] == pytest.approx(np.mean(result[figure]["folds"]), abs=1e-3)
        assert result[figure]["sd"] == pytest.approx(np.std(result[figure]["folds"], ddof=1), abs=1e-3)
    assert result["war"]["mean"] > 90


def test_a_list_of_values_sweeps_in_the_order_typed(cache):
    results = call_json("probe", cache, "--probe", "knn,logreg", "--param", "k=1,3")["results"]
    assert [r["name"] for r in results] == [
        "knn k=1 · mean · standard",
        "knn k=3 · mean · standard",
        "logreg · mean · standard",
    ]


def test_json_puts_the_honest_choice_beside_the_grid(cache):
    answer = call_json("probe", cache, "--probe", "knn", "--param", "k=1,3", "--folds", "subject-kfold:3")
    assert [r["selection"] for r in answer["results"]] == ["grid", "grid"]
    (nested,) = answer["nested"]
    assert (nested["selection"], nested["params"]["n_neighbors"], nested["inner_folds"]) == ("nested", [1, 3], 4)
    assert len(nested["chosen"]) == 3
    said = {"probe", "params", "features", "scale", "inner_war", "inner_clips"}
    assert all(said <= set(choice) for choice in nested["chosen"])
    assert set(answer["results"][0]) <= set(nested)
    assert answer["winner"] == nested


def test_the_table_shows_the_honest_choice_first_and_labels_the_grid(cache):
    text = call("probe", cache, "--probe", "knn,centroid", "--param", "k=1,3")
    assert text.index("chosen on inner folds") < text.index("best of 3 cells")
    assert text.index("best of") < text.index("best of 2 knn cells") < text.index("every cell; picked from these rows")
    assert "not nested" in call("probe", cache, "--probe", "knn", "--param", "k=1,3", "--no-nested")


def test_people_are_told_what_the_folds_chose(cache):
    outcome = CliRunner().invoke(app, ["probe", str(cache), "--probe", "knn", "--param", "k=1,20", "--folds", "loso"])
    (line,) = (
        line for line in outcome.stderr.splitlines() if line.startswith("chosen, best of 2 knn cells · mean: knn k=1 ")
    )
    assert line.endswith(" in 6 of 6 folds")


def test_a_file_holds_a_whole_sweep_and_what_is_typed_comes_first(cache, tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(
        'probe = ["knn", "mlp"]\nscale = "none"\nfolds = "subject-kfold:3"\nnested = false\n'
        "[param]\nk = [1, 3]\n[param.mlp]\nhidden = [[4, 2], [3]]\n"
    )
    results = call_json("probe", cache, "--config", path, "--folds", "loso")["results"]
    assert [r["name"].partition(" · ")[0] for r in results] == [
        "knn k=1",
        "knn k=3",
        "mlp hidden=(4, 2)",
        "mlp hidden=(3,)",
    ]
    assert {(r["folds"], r["scale"], r["selection"]) for r in results} == {("loso", "none", "grid")}


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_is_ranked_and_wraps_nothing(cache, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = call("probe", cache, "--probe", "mlp,centroid,logreg", "--param", "hidden=(80,)").splitlines()
    assert max(map(len, lines)) <= width
    grid = lines[next(n for n, line in enumerate(lines) if "every cell" in line) :]
    rows = [line for line in grid if "±" in line and not line.startswith("%")]
    figures = [float(row.split("±")[0].split()[-1]) for row in rows]
    assert sorted(row.split("  ")[0].strip() for row in rows) == ["centroid", "logreg", "mlp hidden=(80,)"]
    assert figures == sorted(figures, reverse=True)


def test_a_run_of_eight_classes_shows_in_80_columns(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    names = ["angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "surprised"]
    path = tmp_path / "p.csv"
    rows = [",".join([f"c{n}", name, str(n % 5), *("0.125" for _ in names)]) for n, name in enumerate(names * 5)]
    path.write_text("\n".join([",".join(["clip_id", "true_label", "fold", *names]), *rows]))
    heads = next(line for line in call("evaluate", path).splitlines() if "said" in line)
    assert heads.split() == ["truth", "\\", "said", "ang", "cal", "dis", "fea", "hap", "neu", "sad", "sur", "recall"]


def test_every_result_has_its_run_folder_and_a_second_call_reads_them(cache, tmp_path):
    arguments = ("probe", cache, "--probe", "knn", "--param", "k=1,3", "--out", tmp_path / "runs")
    first = call_json(*arguments)
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.*")}
    assert len({r["run"] for r in first["results"]}) == 2
    assert call_json(*arguments) == first
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("*.*")} == written


def test_a_run_with_other_folds_in_its_place_is_refused_before_anything_is_fitted(cache, tmp_path):
    call("probe", cache, "--out", tmp_path)
    with pytest.raises(RunError, match=r"holds another run:\n  folds: 'subject-kfold:5' there, 'loso' asked for"):
        call("probe", cache, "--folds", "loso", "--out", tmp_path, "--probe", "centroid,logreg")
    assert [p.name for p in tmp_path.iterdir()] == ["logreg-mean-standard"]


def test_runs_list_and_show_what_probe_wrote(cache, tmp_path):
    call("probe", cache, "--probe", "knn,logreg", "--out", tmp_path)
    listed = call_json("runs", "list", tmp_path)["results"]
    assert [r["name"] for r in listed[:1]] == ["best of 2 cells · mean"]
    assert sorted(r["probe"] for r in listed[1:]) == ["knn", "logreg"]
    shown = call_json("runs", "show", tmp_path / "knn-mean-standard")
    assert shown["settings"]["fingerprint"] == open_cache(cache).fingerprint
    assert "pooled" in call("runs", "show", tmp_path / "knn-mean-standard")
    assert "knn-mean-standard" in call("runs", "list", tmp_path)


def test_a_broken_run_is_named_and_the_others_are_listed(cache, tmp_path):
    call("probe", cache, "--probe", "knn,logreg", "--out", tmp_path)
    broken = tmp_path / "knn-mean-standard" / "run.json"
    broken.write_text(broken.read_text().replace('"seed": 0', '"seed": 1', 1))
    outcome = CliRunner().invoke(app, ["runs", "list", str(tmp_path)])
    assert outcome.exit_code == 4
    assert "logreg-mean-standard" in outcome.stdout
    assert f"note: not listed: {broken}: was changed after it was written" in outcome.stderr
    answer = json.loads(CliRunner().invoke(app, ["runs", "list", str(tmp_path), "--json"]).stdout)
    assert [result["probe"] for result in answer["results"]] == ["knn,logreg", "logreg"]
    ((path, message),) = ((one["run"], one["message"]) for one in answer["unread"])
    assert (path, message.partition(":")[0]) == (str(broken.parent), str(broken))


def test_evaluate_gives_a_runs_own_figures_from_its_predictions(cache, tmp_path):
    (result,) = call_json("probe", cache, "--out", tmp_path)["results"]
    (figures,) = call_json("evaluate", tmp_path / "logreg-mean-standard" / "predictions.csv")["results"]
    assert figures.pop("columns")["classes"] == ["angry", "happy", "sad"]
    assert (figures.pop("n_contradicted"), figures.pop("contradicted"), figures.pop("reworded")) == (0, [], [])
    assert figures.items() <= result.items()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--folds", "subject-kfold:9"), SplitError, "only 6 subjects in these clips"),
        (("--folds", "ravdess-5fold"), SplitError, "subject s0 not among the 24"),
        (("--features", "frames"), CacheError, "level frames is not stored; stored are mean"),
    ],
)
def test_what_the_cache_cannot_give_is_refused(cache, arguments, error, message):
    with pytest.raises(error, match=message):
        call("probe", cache, *arguments)


def test_a_grid_of_logistic_regression_imports_no_learning_library(cache):
    code = (
        "import sys; from vjepa_fer.cli import probe; import typer; app = typer.Typer(); app.command()(probe.probe)\n"
        "try: app()\nexcept SystemExit: pass\n"
        "heavy = {'sklearn', 'lightgbm', 'torch', 'av', 'pandas'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, str(cache), "--param", "C=0.1,1"], check=True, capture_output=True)


def test_help_imports_not_even_numpy():
    code = "import sys; import vjepa_fer.cli.probe, vjepa_fer.cli.runs, vjepa_fer.cli.evaluate; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("named", [True, False], ids=["words", "numbers"])
def test_action_units_through_a_cache_give_the_published_table(tmp_path, named):
    if not ACTION_UNITS.exists():
        pytest.skip("the RAVDESS Action Units are not beside this checkout")
    table = read_feature_csv(ACTION_UNITS, id_column="name", columns=["AU*"])
    numbered = [Clip(name, "", name.split("-")[2], f"Actor_{name.split('-')[6]}") for name in table.ids]
    manifest = Manifest(clips=tuple(ravdess_clips() if named else numbered))
    import_features(table, tmp_path / "au", manifest)
    arguments = ("--probe", "knn,svm", "--param", "k=10,20,40", "--folds", "ravdess-5fold", "--scale", "none")
    results = call_json("probe", tmp_path / "au", *arguments)["results"]
    assert [round(r["war"]["mean"], 2) for r in results] == [46.80, 49.07, 50.20, 54.88]
