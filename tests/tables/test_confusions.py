"""Promises of vjepa_fer.tables.confusions: the same clips in every form in which a matrix is published, and scikit-learn's figures for them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tables import call
from test_cli_probe import call_json
from vjepa_fer.errors import ManifestError, RunError
from vjepa_fer.manifest import SPELLINGS
from vjepa_fer.tables import judge_confusion, judge_table

NAMES = ("anger", "disgust", "fear", "happy", "neutral", "sad", "surprise", "contempt")
OTHERS = {name: (SPELLINGS[name] or (name,))[-1].upper() for name in NAMES}
FIGURES = ("war", "uar", "macro_f1", "weighted_f1", "macro_precision")
SHARED = Path(__file__).parents[3] / "shared"


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def clips_of(counts):
    return (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))


def figures_of_scikit_learn(counts):
    truth, said = clips_of(counts)
    with np.errstate(all="ignore"):
        both = {"zero_division": 0}
        seen = np.unique(truth)
        return {
            "war": 100 * sk.accuracy_score(truth, said),
            "uar": 100 * sk.recall_score(truth, said, labels=seen, average="macro", **both),
            "macro_f1": 100 * sk.f1_score(truth, said, average="macro", **both),
            "weighted_f1": 100 * sk.f1_score(truth, said, average="weighted", **both),
            "macro_precision": 100 * sk.precision_score(truth, said, average="macro", **both),
        }


def published(counts, names, *, corner="true_label", columns=None, cell=str, total="", transposed=False):
    """A matrix as somebody writes it down, a list a row."""
    columns = columns or names
    body = [[name, *map(cell, row)] for name, row in zip(names, counts, strict=True)]
    if total:
        body = [[*row, cell(line.sum())] for row, line in zip(body, counts, strict=True)]
        body.append([total, *map(cell, counts.sum(axis=0)), cell(counts.sum())])
    table = [[corner, *columns, *([total] if total else [])], *body]
    return [list(row) for row in zip(*table, strict=True)] if transposed else table


counts_of = st.integers(2, 8).flatmap(
    lambda size: st.lists(st.integers(0, 60), min_size=size * size, max_size=size * size).map(
        lambda cells: np.array(cells).reshape(size, size)
    )
)


@settings(max_examples=60, deadline=None)
@given(
    counts=counts_of,
    corner=st.sampled_from(["true_label", "", "truth", "Actual", "row_0", "true \\ said"]),
    vocabulary=st.booleans(),
    before=st.sampled_from([("", ""), ("", "pred_"), ("true_", "pred_"), ("true ", "said ")]),
    total=st.sampled_from(["", "Total", "All", "Σ"]),
    transposed=st.booleans(),
)
def test_every_form_of_the_counts_gives_scikit_learns_figures(
    tmp_path_factory, counts, corner, vocabulary, before, total, transposed
):
    assume((counts.sum(axis=1) > 0).all())
    assume(
        not np.isin(counts.sum(axis=1), range(90, 111)).all() and not np.isin(counts.sum(axis=0), range(90, 111)).all()
    )
    names = NAMES[: len(counts)]
    rows = published(
        counts,
        [before[0] + name for name in names],
        columns=[before[1] + (OTHERS[name] if vocabulary else name) for name in names],
        corner=corner,
        total=total,
        transposed=transposed,
    )
    path = write(tmp_path_factory.mktemp("m") / "m.csv", rows)
    (result,) = judge_confusion(path, rows="predicted" if transposed else "true")
    assert {name: result[name]["pooled"] for name in FIGURES} == pytest.approx(
        figures_of_scikit_learn(counts), abs=1e-3
    )
    assert result["n_clips"] == counts.sum()
    assert len(result["classes"]) == len(names)


@settings(max_examples=60, deadline=None)
@given(
    counts=counts_of,
    form=st.sampled_from([(100, 2, ""), (100, 1, "%"), (100, 0, ""), (100, 0, "%"), (1, 3, ""), (1, 2, "")]),
    transposed=st.booleans(),
)
def test_row_percentages_tell_recalls_and_with_sizes_all_else(tmp_path_factory, counts, form, transposed):
    unit, digits, mark = form
    sizes = counts.sum(axis=1)
    assume((sizes > 0).all())
    names = NAMES[: len(counts)]
    share = np.round(unit * counts / sizes[:, None], digits)
    assume(unit == 100 or (share != np.rint(share)).any())  # ones and zeros are counts of a clip each
    rows = published(share, names, cell=lambda v: f"{v:.{digits}f}{mark}", transposed=transposed)
    path, how = write(tmp_path_factory.mktemp("m") / "m.csv", rows), "predicted" if transposed else "true"
    (bare,) = judge_confusion(path, rows=how)
    off = 50 / unit * 10.0**-digits + 1e-3
    truth, said = clips_of(counts)
    recalls = 100 * sk.recall_score(truth, said, average=None, labels=range(len(names)), zero_division=0)
    assert [bare["by_class"][name]["recall"] for name in names] == pytest.approx(recalls.tolist(), abs=off)
    assert bare["uar"]["pooled"] == pytest.approx(recalls.mean(), abs=off)
    assert [bare[name] for name in ("war", "macro_f1", "weighted_f1", "macro_precision", "n_clips")] == [None] * 5
    (whole,) = judge_confusion(path, rows=how, sizes=dict(zip(names, sizes.tolist(), strict=True)))
    expected = figures_of_scikit_learn(counts)
    close = 1e-3 if digits == 2 and unit == 100 else 100 * len(names) / unit * 10.0**-digits
    assert {name: whole[name]["pooled"] for name in ("war", "uar")} == pytest.approx(
        {name: expected[name] for name in ("war", "uar")}, abs=close
    )
    assert whole["n_clips"] == pytest.approx(counts.sum())
    if close < 0.01:  # precision of a class that is hardly ever said moves far where a clip was rounded away
        assert whole["macro_f1"]["pooled"] == pytest.approx(expected["macro_f1"], abs=close)


COUNTS = np.array([[50, 6, 4], [9, 30, 1], [2, 3, 15]])


def test_percentages_of_all_clips_tell_every_figure_but_their_number(tmp_path):
    path = write(tmp_path / "m.csv", published(100 * COUNTS / COUNTS.sum(), NAMES[:3], cell=lambda v: f"{v:.3f}"))
    (result,) = judge_confusion(path)
    assert {name: result[name]["pooled"] for name in FIGURES} == pytest.approx(
        figures_of_scikit_learn(COUNTS), abs=0.02
    )
    assert (result["n_clips"], result["by_class"]["anger"]["n_clips"]) == (None, None)
    assert "percent of all clips" in call("evaluate", path, "--confusion").stderr


def test_a_first_column_that_is_called_a_prediction_says_what_rows_are(tmp_path):
    path = write(tmp_path / "m.csv", published(COUNTS.T, NAMES[:3], corner="predicted"))
    assert judge_confusion(path)[0]["confusion"] == COUNTS.tolist()
    assert judge_confusion(path, rows="true")[0]["confusion"] == COUNTS.T.tolist()
    assert "rows (1): predicted classes" in call("evaluate", path, "--confusion").stderr


def test_a_transposed_table_in_percent_is_refused_unless_it_is_said(tmp_path):
    share = np.round(100 * COUNTS / COUNTS.sum(axis=1, keepdims=True), 1)
    path = write(tmp_path / "m.csv", published(share.T, NAMES[:3], corner=""))
    with pytest.raises(RunError, match=r"its columns sum to 100: .* say --rows predicted"):
        judge_confusion(path)
    recalls = call_json("evaluate", path, "--confusion", "--rows", "predicted")["results"][0]["uar"]["pooled"]
    assert recalls == pytest.approx(figures_of_scikit_learn(COUNTS)["uar"], abs=0.05)


def test_counts_of_a_hundred_clips_are_counts_where_their_sizes_are_given(tmp_path):
    counts = np.array([[90, 10], [30, 70]])
    path = write(tmp_path / "m.csv", published(counts, NAMES[:2]))
    assert judge_confusion(path)[0]["war"] is None
    (result,) = judge_confusion(path, sizes={"anger": 100, "DIS": 100})
    assert (result["war"]["pooled"], result["n_clips"]) == (80, 200)


def test_a_class_without_clips_leaves_percentages_percentages(tmp_path):
    share = np.array([[92.5, 7.5, 0], [20, 79, 1], [0, 0, 0]])
    (result,) = judge_confusion(write(tmp_path / "m.csv", published(share, NAMES[:3])))
    assert (result["war"], result["uar"]["pooled"]) == (None, pytest.approx(85.75))
    assert result["by_class"]["fear"]["recall"] is None


def test_figures_and_sizes_may_stand_below_the_columns_too(tmp_path):
    rows = published(COUNTS, NAMES[:3], total="All")
    precision = np.round(100 * np.diag(COUNTS) / COUNTS.sum(axis=0), 1)
    (result,) = judge_confusion(write(tmp_path / "m.csv", [*rows, ["Precision", *precision, 0]]))
    assert result["confusion"] == COUNTS.tolist()
    assert result["columns"]["left_out"] == ["All", "the row Precision", "the row All"]


def test_a_bare_square_of_numbers_takes_its_names_from_classes(tmp_path):
    path = write(tmp_path / "m.csv", COUNTS.tolist())
    (result,) = call_json("evaluate", path, "--confusion", "--classes", "anger,disgust,fear")["results"]
    assert (result["classes"], result["confusion"]) == (list(NAMES[:3]), COUNTS.tolist())
    with pytest.raises(ManifestError, match="row 1: 3 values, but the header has 2 columns"):
        call("evaluate", path, "--confusion", "--classes", "anger,disgust")


def folds(seed=0, num_folds=4):
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 30, (3, 3)) + np.diag(rng.integers(5, 60, 3)) for _ in range(num_folds)]


@pytest.mark.parametrize("form", ["files", "column"])
def test_a_matrix_a_fold_gives_mean_sd_and_pooled_figures(tmp_path, form):
    parts, names = folds(), NAMES[:3]
    if form == "files":
        how = [write(tmp_path / f"fold{n}.csv", published(part, names)) for n, part in enumerate(parts)]
    else:
        head, *rows = (
            [["fold", "true_label", *names]],
            *([str(n), *row] for n, p in enumerate(parts) for row in published(p, names)[1:]),
        )
        how = write(tmp_path / "folds.csv", [*head, *rows])
    (result,) = judge_confusion(how)
    for name in FIGURES:
        by_fold = [figures_of_scikit_learn(part)[name] for part in parts]
        assert result[name]["folds"] == pytest.approx(by_fold, abs=1e-3)
        assert (result[name]["mean"], result[name]["sd"]) == pytest.approx(
            (np.mean(by_fold), np.std(by_fold, ddof=1)), abs=1e-3
        )
        assert result[name]["pooled"] == pytest.approx(figures_of_scikit_learn(sum(parts))[name], abs=1e-3)
    assert result["fold_names"] == [f"fold{n}" if form == "files" else str(n) for n in range(4)]
    assert result["confusion_by_fold"] == [part.tolist() for part in parts]


def test_folds_in_percent_give_a_mean_and_pool_nothing_without_their_sizes(tmp_path):
    parts, names = folds(1), NAMES[:3]
    paths = [
        write(tmp_path / f"f{n}.csv", published(np.round(100 * p / p.sum(axis=1, keepdims=True), 2), names))
        for n, p in enumerate(parts)
    ]
    (result,) = judge_confusion(paths)
    by_fold = [figures_of_scikit_learn(part)["uar"] for part in parts]
    assert result["uar"]["folds"] == pytest.approx(by_fold, abs=0.01)
    assert (result["uar"]["pooled"], result["war"]) == (None, None)
    assert "–" in call("evaluate", *paths, "--confusion").stdout
    sizes = [dict(zip(names, part.sum(axis=1).tolist(), strict=True)) for part in parts]
    (whole,) = judge_confusion(paths, sizes=sizes)
    assert whole["war"]["pooled"] == pytest.approx(figures_of_scikit_learn(sum(parts))["war"], abs=1e-3)
    with pytest.raises(RunError, match="1 lists of class sizes for 4 files"):
        judge_confusion(paths, sizes=sizes[0])


def test_matrices_that_are_no_folds_of_one_evaluation_are_refused(tmp_path):
    a = write(tmp_path / "a.csv", published(COUNTS, NAMES[:3]))
    b = write(tmp_path / "b.csv", published(COUNTS, ["angry", "disgust", "sad"]))
    c = write(tmp_path / "c.csv", published(100 * COUNTS / COUNTS.sum(axis=1, keepdims=True), NAMES[:3]))
    with pytest.raises(RunError, match=r"b.csv: its predicted classes are anger, disgust, sad"):
        judge_confusion([a, b])
    with pytest.raises(RunError, match=r"c.csv: it is in percent of each true class, the first matrix in counts"):
        judge_confusion([a, c])
    other = write(tmp_path / "d.csv", published(COUNTS[::-1, ::-1], ["FEA", "DIS", "ANG"]))
    (result,) = judge_confusion([a, other])
    assert result["confusion"] == (2 * COUNTS).tolist()
    assert ["ANG", "anger"] in result["reworded"]


def test_policies_score_each_fold_of_a_matrix(tmp_path):
    said = ("anger", "calm", "happy")
    parts = folds(2, 3)
    paths = [
        write(tmp_path / f"f{n}.csv", published(p[[0, 2]], ["ANG", "HAP"], columns=said)) for n, p in enumerate(parts)
    ]
    (result,) = judge_confusion(paths, policies=["paper-drop"])
    kept = [p[np.ix_([0, 2], [0, 2])] for p in parts]
    assert result["war"]["folds"] == pytest.approx([100 * np.trace(k) / k.sum() for k in kept], abs=1e-3)
    assert result["coverage"]["dropped_by_prediction"] == sum(int(p[[0, 2], 1].sum()) for p in parts)


needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the authors' logs are not to be carried along")


@needs_shared
@pytest.mark.parametrize(
    ("corpus", "folds_war", "war", "sd", "uar"),
    [
        ("crema_d", [76.66, 82.52, 75.47, 79.58, 80.08], 78.86, 2.81, 78.87),
        ("ravdess", [73.83, 74.33, 69.33, 72.83, 77.29], 73.53, 2.87, 73.27),
    ],
)
def test_the_authors_folds_give_the_published_figures_in_each_published_form(tmp_path, corpus, folds_war, war, sd, uar):
    import gzip

    with gzip.open(SHARED / f"data/paper/window_confidence_sums_{corpus}.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["true_label"] for row in rows})
    heads = [f"conf_{name}" for name in names]
    number = {name: n for n, name in enumerate(names)}
    counts = np.zeros((5, len(names), len(names)), int)
    for row in rows:
        said = int(np.argmax([float(row[head]) for head in heads]))
        counts[int(row["fold"]), number[row["true_label"]], said] += 1
    percent = [np.round(100 * c / c.sum(axis=1, keepdims=True), 2) for c in counts]
    sizes = [dict(zip(names, map(int, c.sum(axis=1)), strict=True)) for c in counts]
    files = [[tmp_path / f"{kind}{n}.csv" for n in range(5)] for kind in "cpt"]
    for n in range(5):
        write(files[0][n], published(counts[n], names, total="Total"))
        write(files[1][n], published(percent[n], names, cell=lambda v: f"{v:.2f}"))
        write(files[2][n], published(counts[n], names, transposed=True, corner="predicted"))
    for found in (
        judge_confusion(files[0])[0],
        judge_confusion(files[1], sizes=sizes)[0],
        judge_confusion(files[2], rows="predicted")[0],
        _of_clips(tmp_path, rows, corpus),
    ):
        assert [round(value, 2) for value in found["war"]["folds"]] == pytest.approx(folds_war, abs=0.006)
        assert (found["war"]["mean"], found["war"]["sd"], found["uar"]["mean"]) == pytest.approx(
            (war, sd, uar), abs=0.006
        )
    assert judge_confusion(files[1])[0]["uar"]["mean"] == pytest.approx(uar, abs=0.006)


def _of_clips(tmp_path, rows, corpus):
    """A file a fold, as posteriors are published."""
    paths = []
    for fold in range(5):
        mine = [row for row in rows if row["fold"] == str(fold)]
        heads = [name for name in mine[0] if name != "fold"]
        paths.append(
            write(tmp_path / f"{corpus}_{fold}.csv", [heads, *([row[name] for name in heads] for row in mine)])
        )
    classes = [head for head in rows[0] if head.startswith("conf_")]  # two of CREMA-D's are dead
    return judge_table(paths, columns={"clip_id": "clip"}, classes=classes)[0]


@needs_shared
def test_a_published_matrix_in_row_percent_gives_its_accuracy_with_the_sizes_of_its_classes():
    path = SHARED / "cases/judging/dfew_rowpercent.csv"
    sizes = {"happy": 489, "sad": 379, "neutral": 534, "angry": 435, "surprise": 294, "disgust": 29, "fear": 181}
    (bare,), (whole,) = judge_confusion(path), judge_confusion(path, sizes=sizes)
    assert (bare["war"], bare["uar"]["pooled"]) == (None, pytest.approx(62.59, abs=0.006))
    assert (whole["war"]["pooled"], whole["macro_f1"]["pooled"]) == pytest.approx((74.88, 63.57), abs=0.006)


COUNTS = np.array([[60, 22, 25], [9, 220, 14], [27, 27, 190]])


@pytest.mark.parametrize("name", ["Mean", "Average", "Mittelwert"])
def test_a_mean_beside_the_counts_is_no_predicted_class(tmp_path, name):
    rows = published(COUNTS, NAMES[:3])
    beside = [[*rows[0], name], *([*row, f"{np.mean(COUNTS[n]):.2f}"] for n, row in enumerate(rows[1:]))]
    below = [*rows, [name, *(f"{x:.2f}" for x in COUNTS.mean(axis=0))]]
    (plain,) = judge_confusion(write(tmp_path / "a.csv", rows))
    for table in (beside, below):
        (result,) = judge_confusion(write(tmp_path / "b.csv", table))
        assert (result["war"], result["uar"], result["classes"]) == (plain["war"], plain["uar"], plain["classes"])


def test_a_column_of_fractions_that_nobody_knows_is_asked_for(tmp_path):
    rows = published(COUNTS, NAMES[:3])
    table = [[*rows[0], "Durchschnitt"], *([*row, "1.25"] for row in rows[1:])]
    with pytest.raises(RunError, match=r"is 'Durchschnitt' a class\? .* take the column out"):
        judge_confusion(write(tmp_path / "c.csv", table))


def test_a_point_among_whole_numbers_may_part_thousands(tmp_path):
    """Half of the world writes 2.200 for what the other half writes 2,200: a class of two clips or of two thousand."""
    german = published(COUNTS * 10, NAMES[:3], cell=lambda x: f"{x:,}".replace(",", "."))
    with pytest.raises(RunError, match=r"'2.200' beside whole numbers: .* Write thousands without a point"):
        judge_confusion(write(tmp_path / "c.csv", german))
    means = published(COUNTS / 8, NAMES[:3], cell=lambda x: f"{x:.3f}")
    (result,) = judge_confusion(write(tmp_path / "c.csv", means))
    assert result["war"]["pooled"] == pytest.approx(100 * COUNTS.trace() / COUNTS.sum(), abs=1e-3)
    percent = published(np.array([[93.333, 6.667], [0, 100]]), NAMES[:2], cell="{:g}".format)
    assert judge_confusion(write(tmp_path / "c.csv", percent))[0]["uar"]["pooled"] == pytest.approx(96.667, abs=1e-3)


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("", "write 0 where there is none"),
        ("–", "write 0 where there is none"),
        ("1,234", "write thousands without a mark"),
        ("1 234", "write thousands without a mark"),
        ("60 (55%)", "write the counts alone"),
        ("happy", "expected a row a true class, a column a predicted one"),
    ],
)
def test_a_cell_that_is_no_count_says_what_to_write(tmp_path, cell, advice):
    rows = published(COUNTS, NAMES[:3])
    rows[1][1] = cell
    with pytest.raises(RunError, match=f"row 2, column 'anger': .* is not a count of clips; {advice}"):
        judge_confusion(write(tmp_path / "c.csv", rows))
