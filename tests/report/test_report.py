"""Promises of vjepa_fer.report: its numbers are the run's, its checks say what a colleague would, and its page escapes everything."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from test_cli_probe import call, call_json, make_cache
from test_evaluate import faces, judge
from test_runs import SOURCE
from vjepa_fer import extras
from vjepa_fer.cache import open_cache
from vjepa_fer.cli import report as report_cli
from vjepa_fer.errors import MissingExtraError, RecipeMismatchError, RunError
from vjepa_fer.judging import Predictions, metrics
from vjepa_fer.report import ReportSettings, gather_numbers, projection, render_page, write_page
from vjepa_fer.report.checks import run_checks
from vjepa_fer.report.grid import count_wrong
from vjepa_fer.report.numbers import calibration_bins, mistakes, subject_scores
from vjepa_fer.report.projection import project
from vjepa_fer.runs import read_run, write_run

pytest.importorskip("jinja2")
app = typer.Typer()
app.command()(report_cli.report)
EVIL = "<script>document.title = 'owned'</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def quick_plane(request, monkeypatch):
    """t-SNE takes a second even for a few clips: only the test about it waits for it."""
    if "tsne" not in request.node.name:
        monkeypatch.setattr(projection, "_tsne", lambda x, seed: x[:, :2])


def report(*arguments):
    outcome = CliRunner().invoke(app, [str(a) for a in arguments])
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("faces"), faces())


@pytest.fixture(scope="module")
def runs(cache, tmp_path_factory):
    """A sweep of nine cells over two parameters' worth of k-NN, its nested run, and a single logistic regression."""
    folder = tmp_path_factory.mktemp("runs")
    call("probe", cache, "-p", "knn", "--param", "k=1,3,9", "--scale", "none,standard", "--out", folder / "sweep")
    call("probe", cache, "--out", folder / "single")
    return folder


@pytest.fixture(scope="module")
def nested(runs):
    return next((runs / "sweep").glob("best/*"))


def said(predicted, truth="aabb", subjects=None, sure=0.8):
    """Predictions of classes a and b from letters; the probability of what is said is `sure`."""
    classes = ("a", "b")
    number = np.array([classes.index(letter) for letter in predicted])
    probabilities = np.full((len(number), 2), 1 - sure)
    probabilities[np.arange(len(number)), number] = sure
    return Predictions(
        classes=classes,
        clip_ids=np.array([f"c{n}" for n in range(len(number))]),
        subjects=np.array(subjects or [f"s{n // 2}" for n in range(len(number))]),
        fold=np.arange(len(number)) % 2,
        truth=np.array([classes.index(letter) for letter in truth]),
        predicted=number,
        probabilities=probabilities,
    )


def checks_with(tmp_path, predictions, **changes):
    """The sentences about a run with these predictions, each after its verdict."""
    evaluation = dataclasses.replace(judge(faces()), predictions=predictions, **changes)
    run = write_run(tmp_path / "run", evaluation, source=SOURCE)
    (numbers,) = gather_numbers([run.path])
    return "\n".join(f"{check.verdict}: {check.text}" for check in run_checks(numbers))


def test_the_numbers_are_those_of_the_run(nested):
    (numbers,) = gather_numbers([nested])
    predictions = read_run(nested).evaluation.predictions
    assert numbers.result["war"]["pooled"] == pytest.approx(100 * metrics.war(predictions.confusion), abs=1e-4)
    np.testing.assert_allclose(np.diag(numbers.row_percent), 100 * metrics.recall(predictions.confusion))
    assert sum(one.num_clips for one in numbers.subjects) == sum(one.num_clips for one in numbers.bins) == 48
    assert numbers.majority == ("sad", 0.5)


def test_subjects_are_scored_over_their_own_clips():
    scores = subject_scores(said("aaba"))
    assert [(one.name, one.war, one.num_clips) for one in scores] == [("s0", 1.0, 2), ("s1", 0.5, 2)]


def test_a_bin_holds_how_sure_and_how_right():
    (one,) = calibration_bins(said("aaba", sure=0.8))
    assert (one.low, one.high, one.num_clips, one.accuracy) == (0.7, 0.8, 4, 0.75)
    assert one.confidence == pytest.approx(0.8)


def test_the_clips_that_most_cells_get_wrong_come_first():
    own, others = said("bbbb"), count_wrong([said("bbbb"), said("abbb")])
    assert [(one.clip_id, one.times_wrong) for one in mistakes(own, others)] == [("c1", 2), ("c0", 1)]


@given(
    rows=st.lists(st.tuples(st.booleans(), st.sampled_from([0.6, 0.8]), st.integers(0, 2)), min_size=1, max_size=12),
    num=st.integers(0, 5),
    sure=st.booleans(),
)
def test_mistakes_are_the_first_of_all_wrong_clips_as_they_are_ordered(rows, num, sure):
    predictions = said("".join("ab"[wrong] for wrong, *_ in rows), "a" * len(rows))
    wrong = predictions.predicted == 1
    values = np.array([[1 - p, p] if wrong else [p, 1 - p] for wrong, p, _ in rows]) if sure else None
    times = {f"c{n}": count for n, (*_, count) in enumerate(rows)}
    found = mistakes(dataclasses.replace(predictions, probabilities=values), times, num)
    expected = sorted((-times[f"c{n}"], -rows[n][1] * sure, f"c{n}") for n in np.flatnonzero(wrong))[:num]
    assert [(-one.times_wrong, -(one.confidence or 0), one.clip_id) for one in found] == expected


def test_the_sweep_is_found_beside_the_run_with_what_was_chosen(nested):
    (numbers,) = gather_numbers([nested])
    grid = numbers.grid
    assert [(axis.name, axis.values) for axis in grid.axes] == [("k", (1, 3, 9)), ("scale", ("none", "standard"))]
    assert len(grid.points) == 6
    assert sorted(fold for point in grid.points for fold in point.chosen_in) == [0, 1, 2, 3, 4]
    assert numbers.num_judged == 6


def test_runs_of_other_clips_or_folds_are_no_part_of_the_sweep(runs, nested, tmp_path, cache):
    shutil.copytree(runs / "sweep", tmp_path / "sweep")
    call("probe", cache, "-p", "knn", "--param", "k=3", "--folds", "loso", "--out", tmp_path / "other")
    shutil.copytree(next((tmp_path / "other").iterdir()), tmp_path / "sweep" / "stranger")
    (numbers,) = gather_numbers([tmp_path / "sweep" / "best" / nested.name])
    assert len(numbers.grid.points) == 6


def test_a_damaged_neighbour_is_named_and_left_out(runs, nested, tmp_path):
    shutil.copytree(runs / "sweep", tmp_path / "sweep")
    neighbour = next((tmp_path / "sweep").glob("knn-*"))
    (neighbour / "predictions.csv").write_text("clip_id\n")
    (numbers,) = gather_numbers([tmp_path / "sweep" / "best" / nested.name])
    assert len(numbers.grid.points) == 5
    assert any("a neighbouring run is left out of the sweep" in note for note in numbers.notes)


def test_cells_that_differ_in_nothing_that_has_two_values_are_no_sweep(cache, tmp_path):
    call("probe", cache, "-p", "knn", "--out", tmp_path)
    shutil.copytree(tmp_path / "knn-mean-standard", tmp_path / "a copy")
    numbers = gather_numbers([tmp_path / "knn-mean-standard"])
    assert (numbers[0].grid, numbers[0].num_judged) == (None, 2)
    assert "<h3>Sweep</h3>" not in render_page(numbers)


def test_a_broken_run_of_a_folder_is_named_on_the_page_and_the_rest_is_there(runs, nested, tmp_path):
    shutil.copytree(runs / "sweep", tmp_path / "sweep")
    shutil.copytree(next((runs / "single").iterdir()), tmp_path / "sweep" / "b-nested-broken")
    broken = tmp_path / "sweep" / "b-nested-broken" / "predictions.csv"
    broken.write_text("clip_id\n")
    cell = next((tmp_path / "sweep").glob("knn-*"))
    (cell / "folds.json").unlink()
    outcome = CliRunner().invoke(
        app, [str(tmp_path / "sweep"), "-o", str(tmp_path / "page.html"), "--projection", "pca"]
    )
    assert outcome.exit_code == 4
    page = (tmp_path / "page.html").read_text()
    assert '<section id="run0">\n<h2>best of 6 knn cells · mean</h2>' in page
    for path, what in ((broken, "was changed after the run was written"), (cell / "folds.json", "is missing")):
        assert f"Not on this page, since it cannot be read: {path}: {what}" in page
        assert f"note: not on the page: {path}: {what}" in outcome.stderr
    with pytest.raises(RunError, match=r"predictions\.csv: was changed"):
        gather_numbers([nested, broken.parent])
    shutil.rmtree(tmp_path / "sweep" / "best" / nested.name)
    assert len(gather_numbers([tmp_path / "sweep"])) == 5  # no honest choice is left to speak for its cells
    for description in (tmp_path / "sweep").rglob("run.json"):
        description.write_text("{}")
    with pytest.raises(RunError, match=r"(?s)sweep: none of its runs can be read:\n.*not the description of a run"):
        gather_numbers([tmp_path / "sweep"])


def test_a_partial_folder_or_a_link_is_no_run_of_a_folder(runs, tmp_path):
    single = next((runs / "single").iterdir())
    shutil.copytree(single, tmp_path / "runs" / single.name)
    shutil.copytree(single, tmp_path / "runs" / f".{single.name}.0123456789abcdef.1.{'0' * 32}.partial")
    (tmp_path / "runs" / "link").symlink_to(next((runs / "sweep").iterdir()))
    (numbers,) = gather_numbers([tmp_path / "runs"])
    assert (numbers.name, numbers.num_judged, numbers.unread) == (single.name, 1, ())


def test_the_command_at_the_end_makes_the_same_predictions(nested, tmp_path):
    (numbers,) = gather_numbers([nested])
    (line,) = numbers.commands
    import shlex

    call(*shlex.split(line)[1:], "--out", tmp_path)
    again = read_run(tmp_path / "best" / nested.name)
    np.testing.assert_array_equal(again.evaluation.predictions.probabilities, numbers.predictions.probabilities)


def test_points_of_the_projection_are_drawn_with_a_seed(cache, nested):
    predictions = read_run(nested).evaluation.predictions
    first, second = (project(open_cache(cache), predictions, "mean", method="pca") for _ in range(2))
    np.testing.assert_array_equal(first.xy, second.xy)
    assert first.xy.shape == (48, 2)
    assert 0 <= first.xy.min() <= first.xy.max() <= 1
    assert 0 < sum(first.explained) <= 1


def test_tsne_with_a_seed_is_the_projection_unless_pca_is_asked_for(nested):
    first, second = (gather_numbers([nested])[0] for _ in range(2))
    assert first.projection.method == "tsne"
    np.testing.assert_array_equal(first.projection.xy, second.projection.xy)
    assert "t-SNE (distances between far groups mean nothing)" in render_page([first])
    (numbers,) = gather_numbers([nested], ReportSettings(method="pca"))
    assert "First two principal components" in render_page([numbers])


def test_tsne_of_digits_keeps_neighbourhoods_as_scikit_learns_own_settings_do():
    from sklearn.datasets import load_digits
    from sklearn.manifold import TSNE, trustworthiness

    x = load_digits().data[:200]
    ours, _ = projection.place_in_plane(x, "tsne")
    reduced, _ = projection._pca(x, 50, np.ones(len(x), bool))
    theirs = TSNE(init="pca", random_state=0).fit_transform(reduced)
    kept, kept_by_theirs = (trustworthiness(reduced, xy, n_neighbors=10) for xy in (ours, theirs))
    assert kept > kept_by_theirs - 0.01


def test_the_headline_table_has_every_figure_with_its_interval(nested):
    (numbers,) = gather_numbers([nested])
    html = render_page([numbers])
    table = html[html.index("<h3>Headline</h3>") :].split("</table>")[0]
    for key in ("war", "uar", "macro_f1", "weighted_f1"):
        score = numbers.result[key]
        low, high = score["interval"]
        assert f"{score['mean']:.2f} ± {score['sd']:.2f}" in table
        assert f"<td>{score['pooled']:.2f}</td><td>{low:.1f} – {high:.1f}</td>" in table


def test_imported_features_say_which_columns_of_which_file(nested):
    (numbers,) = gather_numbers([nested])
    (line,) = numbers.features_from
    assert line.startswith("vjepa-fer cache import features.csv ")
    assert "--manifest manifest.csv --columns" in line


def test_a_run_without_its_cache_is_shown_without_what_needs_it(tmp_path):
    run = write_run(tmp_path / "run", judge(faces()), source=SOURCE, cache=str(tmp_path / "gone"))
    (numbers,) = gather_numbers([run.path])
    assert numbers.projection is None
    assert "its features are not at hand" in numbers.notes[0]
    with pytest.raises(RunError, match=r"figures by sex need the cache's manifest; .*--cache CACHE says where"):
        gather_numbers([run.path], ReportSettings(by=("sex",)))


def test_the_cache_of_another_run_is_refused(cache, tmp_path):
    run = write_run(tmp_path / "run", judge(faces()), source=SOURCE)
    with pytest.raises(RecipeMismatchError, match="holds other features than"):
        gather_numbers([run.path], ReportSettings(cache=cache))


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        ("aaaa", "aabb", "bad: Never predicted: b."),
        ("bbaa", "aabb", "bad: WAR 0.0 % is no better than always saying “a” (50.0 %)."),
        ("aabb", "aabb", "good: WAR 100.0 % is above always saying “a” (50.0 %)."),
        (
            "aababb",
            "aabbab",
            "look: WAR 66.7 % is above always saying “a” (50.0 %), but its interval [",
        ),
        ("aabb", "aabb", "look: Only 2 subjects"),
        ("aaaaab", "aaabbb", "look: Recall below chance (50 %): b (33 %)."),
        ("aabb", "aabb", "look: Its probabilities are off by 20 points on average: it is less sure than it could be."),
    ],
)
def test_a_check_says_it_in_plain_words(tmp_path, predicted, truth, expected):
    assert expected in checks_with(tmp_path, said(predicted, truth))


def test_an_allowed_leak_is_the_first_thing_said(tmp_path):
    text = checks_with(tmp_path, said("aabb"), leaks=("fold 0: the same subject on both sides",))
    assert text.startswith(
        "bad: LEAKY: training and test parts share something. fold 0: the same subject on both sides."
    )


def test_clips_without_a_subject_are_counted(tmp_path):
    text = checks_with(tmp_path, said("aabb", subjects=["", "", "", ""]))
    assert "look: 4 clips have no subject" in text


def test_one_fold_far_from_the_others_is_named(tmp_path):
    right = np.array(list("ab" * 50))
    wrong = np.where(
        np.arange(100) < 20, np.where(right == "a", "b", "a"), right
    )  # fold 0 wholly, the others not at all
    predictions = dataclasses.replace(said("".join(wrong), "".join(right)), fold=np.arange(100) // 20)
    assert "look: Far from the other folds: fold 0 (0.0 %, the others 100.0)." in checks_with(tmp_path, predictions)


def test_a_choice_at_the_grids_edge_and_a_pick_by_test_parts_are_told(runs, nested):
    (numbers,) = gather_numbers([nested])
    moved = tuple(
        dataclasses.replace(p, chosen_in=(0, 1, 2, 3, 4) if p.at == (2, 0) else ()) for p in numbers.grid.points
    )
    at_edge = dataclasses.replace(numbers, grid=dataclasses.replace(numbers.grid, points=moved))
    assert "k = 9 is the edge of the grid and was chosen in 5 of 5 folds" in "".join(
        c.text for c in run_checks(at_edge)
    )
    best = max((runs / "sweep").glob("knn-*"), key=lambda p: read_run(p).evaluation.scores["war"].mean)
    assert "One of 6 cells: picked by its figure, it would be chosen on the test parts" in "".join(
        c.text for c in run_checks(gather_numbers([best])[0])
    )


def test_damaged_and_missing_files_are_told(runs, nested):
    (numbers,) = gather_numbers([nested])
    source = dataclasses.replace(numbers.source, num_failed=2, num_asked=50)
    result = numbers.result | {"damaged": {"judged": ["c1"], "left_out": ["c8"]}}
    text = "".join(check.text for check in run_checks(dataclasses.replace(numbers, source=source, result=result)))
    assert "1 files known to be damaged are included: c1" in text
    assert "1 files known to be damaged were left out: c8" in text
    assert "2 of 50 clips could not be extracted" in text


def test_twins_of_one_performance_are_told(tmp_path):
    names = np.array([f"0{m}-01-05-01-01-01-{a:02d}" for a in (1, 2) for m in (1, 2)])
    text = checks_with(tmp_path, dataclasses.replace(said("aabb"), clip_ids=names))
    assert "4 clips show 2 performances" in text


def evil_run(folder):
    """A run in which every name is a piece of HTML."""
    table = faces()
    ids = np.array([f"{EVIL}{n}" for n in range(len(table.y))])
    labels = np.array([f"{label}{EVIL}" for label in table.y])
    subjects = np.array([f"{subject}{EVIL}" for subject in table.subjects])
    evil = table._replace(clip_ids=ids, y=labels, subjects=subjects)
    groups = {EVIL: dict.fromkeys(ids.tolist(), EVIL)}
    evaluation = dataclasses.replace(judge(evil, probe="knn"), groups=groups, leaks=(EVIL,))
    return write_run(folder / "evil", evaluation, source=SOURCE, cache=EVIL).path


def test_names_that_are_html_do_nothing(tmp_path):
    html = render_page(gather_numbers([evil_run(tmp_path)]), title=EVIL)
    assert "<img" not in html
    assert html.count("<script>") == html.count("<script") == 1  # ours
    assert "&lt;script&gt;document.title" in html


def test_the_page_names_no_address(runs, nested):
    html = render_page(gather_numbers([nested, *(runs / "single").iterdir()]))
    assert "http://" not in html
    assert "https://" not in html
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html


def test_several_runs_are_compared_and_a_run_given_twice_counts_once(runs, nested):
    single = next((runs / "single").iterdir())
    html = render_page(gather_numbers([nested, single, single]))
    assert html.count('<section id="run') == 2
    assert "48 common clips of 6 subjects" in html


def test_runs_of_other_clips_say_why_they_cannot_be_compared(nested, tmp_path):
    table = faces()
    other = table._replace(clip_ids=np.array([f"other{n}" for n in range(len(table.y))]))
    other = other._replace(y=np.array([f"very {label}" for label in other.y]))
    run = write_run(tmp_path / "other", judge(other), source=SOURCE)
    html = render_page(gather_numbers([nested, run.path]))
    assert "have no clip in common; are they of one data set?</p>" in html
    recalls = html[html.index("<h3>Recall by class</h3>") :].split("</table>")[0]
    assert all(f'<th scope="col">{label}</th>' in recalls for label in ("happy", "very happy"))


def test_the_command_writes_a_page_and_replaces_only_a_page(nested, tmp_path):
    page = tmp_path / "page.html"
    for _ in range(2):
        assert "1 run, 0." in report(nested, "-o", page)
    assert page.read_text().startswith("<!doctype html>")
    page.write_text("my thesis")
    with pytest.raises(RunError, match="is there already and no report"):
        report(nested, "-o", page)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("nowhere/page.html", r"there is no folder .*nowhere"),
        (".", "not a regular file but a folder|Permission denied"),
    ],
)
def test_an_unwritable_page_is_said_before_the_work(nested, tmp_path, monkeypatch, place, reason):
    monkeypatch.setattr("vjepa_fer.report.gather_numbers", None)
    with pytest.raises(RunError, match=rf"the report cannot be written \(({reason})\)"):
        report(nested, "-o", tmp_path / place)


def test_a_folder_of_runs_is_reported_by_what_was_chosen_in_it(runs, nested, tmp_path, monkeypatch):
    (one,) = gather_numbers([runs / "sweep"])
    assert one.run.path == nested
    plain = tmp_path / "plain"
    shutil.copytree(runs / "sweep", plain, ignore=shutil.ignore_patterns("best"))
    assert len(gather_numbers([plain])) == 6
    monkeypatch.setattr("vjepa_fer.report.build.MOST_RUNS", 5)
    with pytest.raises(RunError, match="there are 6 runs in it, too many for one page; name up to 5 of them, such as"):
        gather_numbers([plain])
    with pytest.raises(RunError, match="not a run folder"):
        gather_numbers([tmp_path])


def test_a_newer_versions_run_is_refused(nested, tmp_path):
    shutil.copytree(nested, tmp_path / "run")
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**described, "format": "vjepa-fer/run/9"}))
    with pytest.raises(RunError, match="or a newer version's"):
        report(tmp_path / "run", "-o", tmp_path / "page.html")


def test_figures_by_a_manifest_column_are_shown(cache, nested, tmp_path):
    report(nested, "-o", tmp_path / "page.html", "--by", "subject", "--cache", cache)
    assert 'aria-label="WAR by subject; arrow keys' in (tmp_path / "page.html").read_text()


def test_without_jinja_the_pip_line_is_printed(nested, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"needs jinja2, not installed here: pip install 'vjepa-fer\[report\]'"):
        report(nested, "-o", tmp_path / "page.html")
    with pytest.raises(MissingExtraError, match="jinja2"):
        render_page(())


def test_a_sweep_of_one_parameter_is_a_curve_and_of_three_a_ranking(cache, tmp_path):
    call("probe", cache, "--param", "C=0.1,1,10", "--no-nested", "--out", tmp_path / "one")
    answer = call_json(
        "probe",
        cache,
        "-p",
        "mlp",
        "--param",
        "hidden=4,8",
        "--param",
        "alpha=0.1,1",
        "--scale",
        "none,standard",
        "--no-nested",
        "--out",
        tmp_path / "three",
    )
    assert len(answer["results"]) == 8
    for folder, axes in (("one", 1), ("three", 3)):
        (numbers,) = gather_numbers([next((tmp_path / folder).iterdir())])
        assert len(numbers.grid.axes) == axes
        assert 'aria-label="Sweep; arrow keys' in render_page([numbers])
    write_page(tmp_path / "page.html", "x")
