"""Promises of ``evaluate`` for labels in other words, labels of a manifest, and several tables: united, counted or refused, never scored 0."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from tables import call
from test_cli_probe import call_json
from vjepa_fer.errors import RunError
from vjepa_fer.judging.vocabulary import in_words_of
from vjepa_fer.manifest import SPELLINGS, read_manifest
from vjepa_fer.tables import judge_table

NAMES = ("anger", "happy", "sad")
RNG = np.random.default_rng(5)
TRUTH = RNG.integers(3, size=60)
POSTERIORS = [
    RNG.dirichlet(np.ones(3), 60) * 0.5 + 0.5 * np.eye(3)[np.where(RNG.random(60) < 0.6, TRUTH, k)] for k in (0, 1, 2)
]
SUBJECTS = [f"s{n % 6}" for n in range(60)]


def write(path, columns):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def table(path, values, *, rows=slice(None), labels=NAMES, heads=NAMES, order=(0, 1, 2), **further):
    columns = {"clip_id": [f"c{n}" for n in range(60)][rows]}
    if labels:
        columns["true_label"] = np.array(labels)[TRUTH][rows]
    columns |= {name: np.array(column)[rows] for name, column in further.items()}
    return write(path, columns | {heads[n]: values[rows, n] for n in order})


def manifest(path, labels=NAMES, numbers=TRUTH):
    columns = {"clip_id": [f"c{n}" for n in range(60)], "label": np.array(labels)[numbers], "subject": SUBJECTS}
    return read_manifest(write(path, columns))


def accuracy(values, rows=slice(None)):
    return 100 * sk.accuracy_score(TRUTH[rows], values[rows].argmax(axis=1))


# --- labels in other words


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_decisions_in_another_vocabulary_give_scikit_learns_figures(tmp_path_factory, data):
    names = data.draw(st.lists(st.sampled_from(sorted(SPELLINGS)), min_size=2, max_size=6, unique=True))
    words = {name: data.draw(st.sampled_from([name, *SPELLINGS[name]])) for name in names}
    truth, said = (data.draw(st.lists(st.integers(0, len(names) - 1), min_size=12, max_size=12)) for _ in range(2))
    path = tmp_path_factory.mktemp("v") / "p.csv"
    columns = {"clip_id": [f"c{n}" for n in range(12)], "true_label": [names[n] for n in truth]}
    (result,) = judge_table(write(path, columns | {"predicted_label": [words[names[n]] for n in said]}))
    assert result["war"]["pooled"] == pytest.approx(100 * sk.accuracy_score(truth, said), abs=1e-3)
    assert result["macro_f1"]["pooled"] == pytest.approx(100 * sk.f1_score(truth, said, average="macro"), abs=1e-3)


def test_columns_in_another_vocabulary_are_the_labels(tmp_path):
    path = table(tmp_path / "p.csv", POSTERIORS[0], heads=("p_ANG", "p_HAP", "p_sadness"))
    (result,) = judge_table(path)
    assert result["war"]["pooled"] == pytest.approx(accuracy(POSTERIORS[0]), abs=1e-3)
    assert result["reworded"] == [["anger", "ANG"], ["happy", "HAP"], ["sad", "sadness"]]
    assert "labels in other words: anger is ANG, happy is HAP, sad is sadness" in call("evaluate", path).stderr


def test_labels_that_nobody_can_unite_are_refused_until_a_map_does(tmp_path):
    columns = {
        "clip_id": ["a", "b", "c"],
        "true_label": ["bored", "happy", "bored"],
        "predicted_label": ["boredom", "happy", "happy"],
    }
    path = write(tmp_path / "p.csv", columns)
    with pytest.raises(
        RunError, match=r"never predicted \(bored\) and predicted ones that are never true \(boredom\).*--label-map"
    ):
        judge_table(path)
    names = write(tmp_path / "map.csv", {"label": ["boredom"], "name": ["bored"]})
    assert call_json("evaluate", path, "--label-map", names)["results"][0]["war"]["pooled"] == pytest.approx(66.6667)
    assert judge_table(path, names={"boredom": "boredom", "bored": "bored"})[0]["war"]["pooled"] == pytest.approx(
        33.3333
    )


def test_two_labels_with_one_common_name_stay_two():
    assert in_words_of(["HAP", "joy"], ["happy", "joy"]) == {}


# --- what is said in two places


def test_decisions_against_their_own_columns_are_counted(tmp_path):
    said = POSTERIORS[0].argmax(axis=1)
    other = np.where(np.arange(60) % 10 == 0, (said + 1) % 3, said)
    path = table(tmp_path / "p.csv", POSTERIORS[0], predicted_label=np.array(NAMES)[other])
    (result,) = judge_table(path)
    assert (result["n_contradicted"], result["contradicted"][:2]) == (6, ["c0", "c10"])
    assert result["war"]["pooled"] == pytest.approx(100 * sk.accuracy_score(TRUTH, other), abs=1e-3)
    assert (
        "6 of 60 clips have a predicted_label that is not the class with the largest value"
        in call("evaluate", path).stderr
    )


def test_one_of_equal_values_is_no_contradiction(tmp_path):
    columns = {"clip_id": ["a"], "true_label": ["x"], "predicted_label": ["y"], "x": [0.5], "y": [0.5]}
    assert judge_table(write(tmp_path / "p.csv", columns))[0]["n_contradicted"] == 0


def test_a_table_without_true_labels_takes_the_manifests(tmp_path):
    bare, full = table(tmp_path / "p.csv", POSTERIORS[0], labels=None), table(tmp_path / "q.csv", POSTERIORS[0])
    clips = manifest(tmp_path / "m.csv", ("ANG", "HAP", "sadness"))
    taken, own = judge_table(bare, manifest=clips)[0], judge_table(full, manifest=clips)[0]
    assert (taken["war"], taken["log_loss"], taken["n_relabelled"]) == (own["war"], own["log_loss"], 0)
    assert taken["columns"]["read"] == ["clip_id"]
    with pytest.raises(RunError, match=r"no column 'true_label'.*--manifest gives true labels"):
        judge_table(bare)
    few = write(tmp_path / "few.csv", {"clip_id": ["c0"], "label": ["anger"], "subject": ["s"]})
    with pytest.raises(RunError, match="59 of 60 clips are not in the manifest either: c1"):
        judge_table(bare, manifest=read_manifest(few))


def test_true_labels_that_the_manifest_has_otherwise_are_counted(tmp_path):
    path, other = table(tmp_path / "p.csv", POSTERIORS[0]), np.where(np.arange(60) < 7, (TRUTH + 1) % 3, TRUTH)
    clips = manifest(tmp_path / "m.csv", ("angry", "HAP", "sadness"), other)
    (result,) = judge_table(path, manifest=clips)
    assert (result["n_relabelled"], result["relabelled"][0]) == (7, ["c0", NAMES[TRUTH[0]], clips.clips[0].label])
    assert result["war"]["pooled"] == pytest.approx(accuracy(POSTERIORS[0]), abs=1e-3)
    assert (
        "7 of 60 clips have another true label in the manifest, such as c0"
        in call("evaluate", path, "-m", tmp_path / "m.csv").stderr
    )


def test_labels_of_which_the_manifest_knows_none_are_refused(tmp_path):
    path = table(tmp_path / "p.csv", POSTERIORS[0], labels=("0", "1", "2"), heads=("0", "1", "2"))
    with pytest.raises(
        RunError, match=r"no true label of the predictions \(0, 1, 2\) is one of the manifest's \(anger, happy, sad\)"
    ):
        judge_table(path, manifest=manifest(tmp_path / "m.csv"))


# --- several tables


def test_the_mean_of_posteriors_is_numpys(tmp_path):
    paths = [
        table(tmp_path / "a.csv", POSTERIORS[0], subject=SUBJECTS),
        table(
            tmp_path / "b.csv",
            POSTERIORS[1],
            order=(2, 0, 1),
            labels=("ANG", "HAP", "SAD"),
            heads=("ANG", "HAP", "SAD"),
        ),
        table(
            tmp_path / "c.csv", 9 * POSTERIORS[2], rows=slice(None, None, -1)
        ),  # sums over nine windows, in another order
    ]
    mean = np.mean(POSTERIORS, axis=0)
    (result,) = call_json("evaluate", *paths, "--fusion", "mean")["results"]
    assert result["war"]["pooled"] == pytest.approx(accuracy(mean), abs=1e-3)
    assert result["log_loss"]["pooled"] == pytest.approx(sk.log_loss(TRUTH, mean), abs=1e-5)
    assert (result["n_subjects"], result["fusion"], len(result["fused"])) == (6, "mean", 3)
    assert "mean of the probabilities of 3 tables" in call("evaluate", *paths, "--fusion", "mean").stdout


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"rows": slice(5, None)}, "5 clips are only here or only in .*a.csv: c0"),
        ({"labels": ("happy", "anger", "sad")}, "another true label than in .*a.csv"),
        ({"subject": [f"t{n}" for n in range(60)]}, "60 clips have another subject than in"),
        ({"fold": np.arange(60) % 3}, "clips have another fold than in"),
        (
            {"heads": ("anger", "happy", "fear"), "labels": ("anger", "happy", "fear")},
            "its classes are anger, happy, fear",
        ),
    ],
)
def test_tables_of_which_there_is_no_mean_are_refused(tmp_path, how, message):
    a = table(tmp_path / "a.csv", POSTERIORS[0], subject=SUBJECTS, fold=np.arange(60) % 2)
    with pytest.raises(RunError, match=message):
        judge_table([a, table(tmp_path / "b.csv", POSTERIORS[1], **how)], fusion="mean")


def test_scores_have_no_mean(tmp_path):
    paths = [table(tmp_path / f"{k}.csv", 9 * POSTERIORS[k] - 3) for k in (0, 1)]
    with pytest.raises(RunError, match=r"0.csv: it holds scores, of which there is no mean"):
        judge_table(paths, fusion="mean", scores=True)


@pytest.mark.parametrize("decisions", [False, True])
def test_a_table_a_fold_gives_figures_by_fold(tmp_path, decisions):
    parts, paths = [slice(0, 25), slice(25, 40), slice(40, None)], []
    for number, rows in enumerate(parts):
        if decisions:
            said = np.array(NAMES)[POSTERIORS[0].argmax(axis=1)]
            columns = {
                "clip_id": [f"c{n}" for n in range(60)],
                "true_label": np.array(NAMES)[TRUTH],
                "predicted_label": said,
            }
            paths.append(
                write(tmp_path / f"fold{number}.csv", {name: column[rows] for name, column in columns.items()})
            )
        else:
            paths.append(table(tmp_path / f"fold{number}.csv", POSTERIORS[0], rows=rows))
    (result,) = call_json("evaluate", *paths)["results"]
    assert result["war"]["folds"] == pytest.approx([accuracy(POSTERIORS[0], rows) for rows in parts], abs=1e-3)
    assert result["war"]["pooled"] == pytest.approx(accuracy(POSTERIORS[0]), abs=1e-3)
    assert result["fold_names"] == ["fold0", "fold1", "fold2"]
    (tmp_path / "again.csv").write_bytes(paths[1].read_bytes())
    with pytest.raises(RunError, match=r"again.csv: 15 of 15 clips are in .*fold1.csv too: .*--fusion mean"):
        judge_table([*paths, tmp_path / "again.csv"])
