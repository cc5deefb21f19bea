"""Promises of vjepa_fer.tables.judge: anyone's table and published matrices, scored as they are, by every policy."""

import numpy as np
import pytest
from sklearn import metrics as sk

from test_cli_probe import call, call_json
from test_transfer import CREMA_D, RAVDESS, crema_d_to_ravdess, ravdess_to_crema_d
from vjepa_fer.errors import ManifestError, RunError
from vjepa_fer.evaluation import human_ceiling, make_reference
from vjepa_fer.judging import POLICIES
from vjepa_fer.manifest import crema_d_clips
from vjepa_fer.tables import judge_confusion, judge_table

PAPERS = ("strict", "drop-true", "merge", "paper-drop", "paper-merge")


def write(path, header, rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in (header, *rows)) + "\n")
    return path


def as_matrix(path, counts, said):
    truths = sorted({true for true, _ in counts})
    rows = [[true, *(counts.get((true, name), 0) for name in sorted(said))] for true in truths]
    return write(path, ["true_label", *sorted(said)], rows)


def as_clips(path, counts, said):
    names = sorted(said)
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    rows = [[f"c{n}", true, *(int(name == answer) for name in names)] for n, (true, answer) in enumerate(pairs)]
    return write(path, ["clip_id", "true_label", *names], rows)


@pytest.mark.parametrize(("counts", "said"), [(ravdess_to_crema_d(), RAVDESS), (crema_d_to_ravdess(), CREMA_D)])
def test_a_matrix_and_its_clips_give_the_same_figures_by_every_policy(tmp_path, counts, said):
    fewer = {pair: count // 50 for pair, count in counts.items()}
    by_matrix = judge_confusion(as_matrix(tmp_path / "m.csv", fewer, said), policies=PAPERS)
    by_clips = judge_table(as_clips(tmp_path / "p.csv", fewer, said), policies=PAPERS)
    for matrix, clips in zip(by_matrix, by_clips, strict=True):
        assert matrix["coverage"] == clips["coverage"]
        assert matrix["definition"] == clips["definition"] == POLICIES[matrix["policy"]].definition
        for figure in ("war", "uar", "macro_f1", "weighted_f1", "macro_precision"):
            assert matrix[figure]["pooled"] == pytest.approx(clips[figure]["pooled"], abs=1e-4)


@pytest.mark.parametrize(
    ("counts", "said", "figures"),
    [
        (ravdess_to_crema_d(), RAVDESS, {"strict": 43.33, "paper-drop": 59.79, "merge": 47.59, "paper-merge": 54.80}),
        (crema_d_to_ravdess(), CREMA_D, {"strict": 55.44, "drop-true": 75.60, "merge": 70.92}),
    ],
)
def test_the_command_gives_the_papers_cross_corpus_figures_from_a_matrix(tmp_path, counts, said, figures):
    path = as_matrix(tmp_path / "m.csv", counts, said)
    results = call_json("evaluate", path, "--confusion", "--policy", ",".join(figures))["results"]
    assert {r["policy"]: round(r["war"]["pooled"], 2) for r in results} == pytest.approx(figures, abs=0.01)
    text = call("evaluate", path, "--confusion", "--policy", ",".join(figures))
    assert all(f"{r['coverage']['percent']:.1f} %" in text for r in results)


def test_mean_matrices_of_several_folds_are_scored_as_they_are(tmp_path):
    path = write(tmp_path / "m.csv", ["true_label", "a", "b"], [["a", 30.5, 9.5], ["b", 5, 15]])
    (result,) = judge_confusion(path)
    assert result["war"]["pooled"] == pytest.approx(100 * 45.5 / 60, abs=1e-4)
    assert result["uar"]["pooled"] == pytest.approx(50 * (30.5 / 40 + 0.75), abs=1e-4)


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (["label", "a"], [["a", 1]], "a confusion matrix has a column true_label"),
        (["true_label", "a", "b"], [["a", 1, 2], ["a", 1, 2]], "row 3: true_label 'a' is empty or has a row already"),
        (["true_label", "a", "b"], [["a", -1, 2]], "row 2, column 'a': '-1' is not a count of clips"),
        (["true_label", "a", "b"], [["a", "nan", 2]], "'nan' is not a count"),
        (["true_label", "a", "b"], [["c", 1, 2]], "true_label 'c' is not one of the columns a, b"),
        (["true_label", "a", "b"], [["a", 0, 0]], "not one clip"),
        (["true_label", *map(str, range(20_000))], [["7", *range(20_000)]], "20,000 classes, over 1,000"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(tmp_path, header, rows, message):
    with pytest.raises(RunError, match=message):
        judge_confusion(write(tmp_path / "m.csv", header, rows))


def test_policies_that_predict_anew_need_probabilities(tmp_path):
    with pytest.raises(RunError, match="repredict needs the probabilities of each clip"):
        judge_confusion(as_matrix(tmp_path / "m.csv", {("sad", "sad"): 1}, {"sad", "calm"}), policies=["repredict"])


def test_two_corpora_may_spell_their_labels_differently(tmp_path):
    rows = [["c1", "SAD", 0.2, 0.5, 0.3], ["c2", "ANG", 0.6, 0.3, 0.1], ["c3", "HAP", 0.6, 0.3, 0.1]]
    path = write(tmp_path / "p.csv", ["clip_id", "true_label", "prob_angry", "prob_calm", "prob_sad"], rows)
    strict, anew = judge_table(path, policies=["strict", "repredict"])
    assert (strict["war"]["pooled"], strict["coverage"]["percent"]) == (pytest.approx(100 / 3, abs=1e-3), 100)
    assert (anew["war"]["pooled"], anew["coverage"]["dropped_by_truth"]) == (100, 1)
    assert (strict["shared"], strict["only_trained"], strict["only_tested"]) == (["anger", "sad"], ["calm"], ["happy"])


def test_columns_with_one_common_name_are_refused_and_a_label_map_parts_them(tmp_path):
    path = write(tmp_path / "p.csv", ["clip_id", "true_label", "joy", "happy"], [["c", "happy", 0.1, 0.9]])
    with pytest.raises(ManifestError, match="classes joy, happy have one common name, happy"):
        judge_table(path, policies=["strict"])
    assert judge_table(path, policies=["strict"], names={"joy": "glee"})[0]["war"]["pooled"] == 100


def test_each_fold_of_a_cross_corpus_table_is_a_model_that_may_test_every_clip(tmp_path):
    rows = [["c1", 0, "sad", 1, 0], ["c1", 1, "sad", 0, 1], ["c2", 0, "happy", 0, 1], ["c2", 1, "happy", 0, 1]]
    path = write(tmp_path / "p.csv", ["clip_id", "fold", "true_label", "sad", "happy"], rows)
    (result,) = judge_table(path, policies=["strict"])
    assert (result["war"]["folds"], result["leaky"]) == ([100, 50], False)
    with pytest.raises(RunError, match="2 clips have more than one row: c1 in rows 2, 3; c2 in rows 4, 5"):
        judge_table(path)


SUMS = [["c1", "sad", 12.5, 1.5], ["c2", "happy", 0.4, 7.6], ["c3", "sad", 0.3, 0.7]]


@pytest.mark.parametrize(
    ("first", "second"), [((0.22, 1.6), (2.3, 0.1)), ((1, 3, 2), (2, 1, 3)), ((1e308, 0, 1), (1, 0, 0))]
)
def test_distances_ranks_and_overflow_are_no_sums(tmp_path, first, second):
    header = ["clip_id", "true_label", "sad", "happy", "calm"][: 2 + len(first)]
    path = write(tmp_path / "p.csv", header, [["c1", "sad", *first], ["c2", "happy", *second]])
    with pytest.raises(
        RunError, match=r"row 2: the probabilities do not sum to one .* the largest the decision, say --scores"
    ):
        judge_table(path)


@pytest.mark.parametrize(
    ("truths", "message"),
    [
        (
            ["very sad", "very_sad"],
            r"labels 'very sad' \(row 2\) and 'very_sad' \(row 3\) differ only in what stands between",
        ),
        (
            ["sad", "sadness"],
            r"'sad' \(row 2\) and 'sadness' \(row 3\) are two words for one class, sad; expected one word",
        ),
    ],
)
def test_one_class_in_two_words_of_a_column_is_refused_by_row(tmp_path, truths, message):
    rows = [[f"c{n}", truth, truths[0]] for n, truth in enumerate(truths)]
    path = write(tmp_path / "p.csv", ["clip_id", "true_label", "predicted_label"], rows)
    with pytest.raises(RunError, match=f"p.csv: true_label: {message}"):
        judge_table(path)


def test_sums_over_windows_are_recognised_and_said(tmp_path):
    path = write(tmp_path / "p.csv", ["clip_id", "true_label", "conf_sad", "conf_happy"], SUMS)
    (result,) = call_json("evaluate", path)["results"]
    assert (result["values"], result["classes"]) == ("sums", ["sad", "happy"])
    truth, share = [0, 1, 0], np.array([[12.5, 1.5], [0.4, 7.6], [0.3, 0.7]])
    share /= share.sum(axis=1, keepdims=True)
    assert result["log_loss"]["pooled"] == pytest.approx(sk.log_loss(truth, share), abs=1e-6)
    with pytest.raises(RunError, match="row 2: the probabilities do not sum to one"):
        call("evaluate", path, "--no-scores")
    (scored,) = call_json("evaluate", path, "--scores")["results"]
    assert (scored["values"], scored["ece"], scored["war"]) == ("scores", None, result["war"])


@pytest.mark.parametrize("values", [(0.3, 0.3), (-0.5, 1.5), (0.5, 0.1)])
def test_one_row_that_is_neither_is_refused(tmp_path, values):
    path = write(tmp_path / "p.csv", ["clip_id", "true_label", "sad", "happy"], [*SUMS, ["c9", "sad", *values]])
    with pytest.raises(RunError, match=r"negative|do not sum to one"):
        judge_table(path)


def test_columns_of_other_names_are_named_by_the_user(tmp_path):
    path = write(tmp_path / "p.csv", ["video", "emotion", "a", "b"], [["c1", "a", 1, 0], ["c2", "b", 1, 0]])
    options = ("--column", "clip_id=video", "--column", "true_label=emotion")
    assert call_json("evaluate", path, *options)["results"][0]["war"]["pooled"] == 50
    with pytest.raises(ManifestError, match="no column 'film'"):
        call("evaluate", path, "--column", "clip_id=film")


def test_a_fold_that_does_not_test_every_class_is_told(tmp_path):
    rows = [["c1", "a", 0, 1, 0], ["c2", "b", 0, 0, 1], ["c3", "a", 1, 1, 0]]
    (result,) = judge_table(write(tmp_path / "p.csv", ["clip_id", "true_label", "fold", "a", "b"], rows))
    assert result["notes"][0].startswith("1 of 2 folds do not test every class (fold 1: no b)")


def test_results_by_class_and_fold_equal_scikit_learn(tmp_path):
    rng = np.random.default_rng(2)
    truth, said, fold = rng.integers(3, size=90), rng.integers(3, size=90), np.arange(90) % 3
    rows = [
        [f"c{n}", "abc"[t], f, f"s{n % 9}", *np.eye(3)[p]]
        for n, (t, p, f) in enumerate(zip(truth, said, fold, strict=True))
    ]
    (result,) = judge_table(write(tmp_path / "p.csv", ["clip_id", "true_label", "fold", "subject", *"abc"], rows))
    for name, score in (("recall", sk.recall_score), ("precision", sk.precision_score), ("f1", sk.f1_score)):
        for number, label in enumerate("abc"):
            found = result["by_class"][label]
            assert found[name] == pytest.approx(100 * score(truth, said, average=None)[number], abs=1e-4)
            by_fold = [100 * score(truth[fold == f], said[fold == f], average=None)[number] for f in range(3)]
            assert found[f"{name}_folds"] == pytest.approx(by_fold, abs=1e-4)
            assert found[f"{name}_interval"][0] <= found[name] <= found[f"{name}_interval"][1]
    assert result["confusion_by_fold"][1] == sk.confusion_matrix(truth[fold == 1], said[fold == 1]).tolist()


def test_raters_of_crema_d_stand_beside_anyones_predictions(tmp_path):
    clips = [clip for clip in crema_d_clips() if clip.subject == "1001"]
    names = sorted({clip.label for clip in clips})
    rows = [[clip.clip_id, clip.label, *(int(name == clip.label) for name in names)] for clip in clips]
    path = write(tmp_path / "p.csv", ["clip_id", "true_label", *names], rows)
    expected = human_ceiling(clips, make_reference("intended", clips))
    assert call_json("evaluate", path)["results"][0]["human"] == expected
    assert f"{expected['rater']:.2f} %" in call("evaluate", path)


def test_ids_that_are_paths_are_nobodys_business(tmp_path):
    path = write(tmp_path / "p.csv", ["clip_id", "true_label", "a", "b"], [["Action/a/0001", "a", 1, 0]])
    assert judge_table(path)[0]["human"] is None
