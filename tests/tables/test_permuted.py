"""Promises of vjepa_fer.features.ties where people meet it: no figure of a table depends on the order of its columns, rows or class names."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_cli_probe import call, call_json
from vjepa_fer.judging import compare_predictions, read_predictions
from vjepa_fer.tables import judge_table

KNOWN = ("a", "c", "e", "g")
"""What the classifier may say, sorted; clips are of the first three, or of another class."""
TRUE = ("a", "c", "e", "d")
FIGURES = ("war", "uar", "macro_f1", "weighted_f1", "macro_precision", "ece", "log_loss")
POLICIES = ("strict", "drop-true", "repredict", "paper-drop")


@st.composite
def tables(draw, true=KNOWN):
    """Clips of some people in two folds; values on a coarse grid, so that ties and classes without any mass are frequent."""
    rows = []
    for number in range(draw(st.integers(6, 14))):
        values = draw(st.lists(st.integers(0, 2), min_size=4, max_size=4).filter(any))
        shares = {name: value / sum(values) for name, value in zip(KNOWN, values, strict=True)}
        said = {"clip_id": f"k{number}", "true_label": draw(st.sampled_from(true)), "fold": number % 2}
        rows.append({**said, "subject": f"s{number % 4}", **shares})
    for number, label in enumerate(KNOWN[:3]):  # so that no policy is left without a clip
        rows.append({**rows[0], "clip_id": f"sure{number}", "true_label": label, **{n: int(n == label) for n in KNOWN}})
    return rows


def write(path, rows, order=None, names=None):
    """The table with its columns in an order, and classes called otherwise."""
    names = names or {}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        header = order or list(rows[0])
        writer.writerow([names.get(name, name) for name in header])
        writer.writerows(
            [names.get(row[name], row[name]) if name == "true_label" else row[name] for name in header] for row in rows
        )
    return path


def figures(result, names=None):
    """Every figure by what it is of, classes under their first names."""
    first = {new: old for old, new in (names or {}).items()}
    own = [first.get(name, name) for name in result["classes"]]
    cells = {
        f"confusion {a} {b}": n
        for a, row in zip(own, result["confusion"], strict=True)
        for b, n in zip(own, row, strict=True)
        if n
    }
    by_class = {first.get(name, name): one for name, one in result["by_class"].items() if one["n_clips"]}
    told = {key: result.get(key) for key in (*FIGURES, "ties", "coverage", "no_shared_mass", "n_clips")}
    return flat({**told, "by_class": by_class}) | cells


def flat(value, where=""):
    if isinstance(value, dict):
        return {k: v for key in value for k, v in flat(value[key], f"{where} {key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for n, one in enumerate(value) for k, v in flat(one, f"{where} {n}").items()}
    return {where: value}


def same(found, expected):
    assert {k: v for k, v in found.items() if not isinstance(v, float)} == {
        k: v for k, v in expected.items() if not isinstance(v, float)
    }
    assert {k: v for k, v in found.items() if isinstance(v, float)} == pytest.approx(
        {k: v for k, v in expected.items() if isinstance(v, float)},
        abs=2e-4,  # one unit of what is printed
    )


def judged(path, policies=()):
    return judge_table(path, policies=policies, scores=False)


orders = st.permutations(["clip_id", "true_label", "fold", "subject", *KNOWN])
in_order = st.sets(st.text("mnopq", min_size=1, max_size=3), min_size=5, max_size=5).map(sorted)
"""Other names that stand in the same order."""


@settings(max_examples=15, deadline=None)
@given(data=st.data(), policies=st.sampled_from([(), POLICIES]))
def test_the_order_of_columns_rows_and_what_classes_are_called_change_no_figure(data, policies, tmp_path_factory):
    folder = tmp_path_factory.mktemp("permuted")
    rows = data.draw(tables(TRUE if policies else KNOWN))
    names = dict(zip(sorted({*KNOWN, *TRUE}), data.draw(in_order), strict=True))
    expected = judged(write(folder / "p.csv", rows), policies)
    other = judged(write(folder / "q.csv", data.draw(st.permutations(rows)), data.draw(orders), names), policies)
    for one, again in zip(expected, other, strict=True):
        same(figures(again, names), figures(one))


@settings(max_examples=15, deadline=None)
@given(data=st.data(), policies=st.sampled_from([(), POLICIES]))
def test_classes_that_swap_names_swap_ties_alone_and_what_equals_share_stays(data, policies, tmp_path_factory):
    """Of equals the first by name counts; where none is tied, and in what is said of ties, no name counts at all."""
    folder = tmp_path_factory.mktemp("renamed")
    rows = data.draw(tables(TRUE if policies else KNOWN))
    classes = sorted({*KNOWN, *TRUE})
    names = dict(zip(classes, data.draw(st.permutations(classes)), strict=True))
    for one, again in zip(
        judged(write(folder / "p.csv", rows), policies),
        judged(write(folder / "q.csv", rows, None, names), policies),
        strict=True,
    ):
        if one.get("policy") == "paper-drop":
            continue  # which clips are left out hangs on what was decided
        if one["ties"]:
            same(flat(again["ties"]), flat(one["ties"]))
            low, high = one["ties"]["war_range"]
            assert low - 1e-3 <= again["war"]["pooled"] <= high + 1e-3
        else:
            same(figures(again, names), figures(one))


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_no_verdict_of_a_comparison_depends_on_an_order(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    first, second = data.draw(tables()), data.draw(tables())
    ids = {row["clip_id"] for row in first} & {row["clip_id"] for row in second}
    truth = {row["clip_id"]: row["true_label"] for row in first}
    first, second = (
        [{**r, "true_label": truth[r["clip_id"]]} for r in t if r["clip_id"] in ids] for t in (first, second)
    )
    names = dict(zip(KNOWN, data.draw(in_order)[:4], strict=True))
    shuffled = [(data.draw(st.permutations(rows)), data.draw(orders), names) for rows in (first, second)]

    def compared(written):
        paths = [write(folder / f"{number}.csv", *one) for number, one in enumerate(written)]
        found = compare_predictions({str(n): read_predictions(path) for n, path in enumerate(paths)})
        return json.loads(json.dumps(found.to_dict()))

    same(flat(compared(shuffled)), flat(compared([(first,), (second,)])))


def zero_mass(order):
    """Three clips whose whole mass is on calm, which the tested corpus lacks."""
    rows = [
        {"clip_id": f"a{n}", "true_label": "ANG", "angry": 0, "happy": 0, "calm": 1, "neutral": 0} for n in range(3)
    ]
    rows += [
        {"clip_id": f"h{n}", "true_label": "HAP", "angry": 0, "happy": 0.9, "calm": 0.1, "neutral": 0} for n in range(2)
    ]
    return [{name: row[name] for name in ("clip_id", "true_label", *order)} for row in rows]


@pytest.mark.parametrize("order", [("angry", "happy", "calm", "neutral"), ("neutral", "calm", "happy", "angry")])
def test_a_clip_without_mass_on_any_shared_class_is_an_error_and_counted(tmp_path, order):
    path = write(tmp_path / "p.csv", zero_mass(order))
    (result,) = call_json("evaluate", path, "--policy", "repredict")["results"]
    assert (result["war"]["pooled"], result["no_shared_mass"], result["ties"]) == (40, 3, None)
    assert result["confusion"][result["classes"].index("anger")][result["classes"].index("calm")] == 3
    (merged,) = call_json("evaluate", path, "--policy", "repredict-merge")["results"]
    assert merged["no_shared_mass"] == 3  # neutral has all of it, and no clip is neutral


def test_tied_clips_are_counted_and_said(tmp_path):
    header = ("clip_id", "true_label", "sad", "angry")
    rows = [("1", "sad", 0.5, 0.5), ("2", "angry", 0.5, 0.5), ("3", "sad", 0.9, 0.1), ("4", "sad", 0.5, 0.5)]
    rows = [dict(zip(header, row, strict=True)) for row in rows]
    result = call_json("evaluate", write(tmp_path / "p.csv", rows))["results"][0]
    assert result["war"]["pooled"] == 50  # angry stands first by name, in whichever column
    assert result["ties"] == {
        "clips": 3,
        "rule": "name",
        "war_shared": 62.5,
        "uar_shared": pytest.approx(100 * (2 / 3 + 1 / 2) / 2, abs=1e-3),
        "war_range": [25, 100],
    }
    assert result["notes"][0].startswith("3 of 4 decisions are tied")
    said = [{**row, "predicted_label": "sad"} for row in rows]
    result = call_json("evaluate", write(tmp_path / "q.csv", said))["results"][0]
    assert (result["war"]["pooled"], result["ties"]["rule"], result["ties"]["war_shared"]) == (75, "said", 62.5)


def models(tmp_path):
    """Two models that judge the same three clips each: the second is surer of calm, which no clip shows."""
    said = {0: ("happy", "calm", "sad"), 1: ("calm", "calm", "sad")}
    rows = [
        {
            "clip_id": f"c{n}",
            "true_label": label,
            "fold": fold,
            "subject": "s",
            **{c: int(c == name) for c in ("calm", "happy", "sad")},
        }
        for fold, names in said.items()
        for n, (label, name) in enumerate(zip(("happy", "happy", "sad"), names, strict=True))
    ]
    return write(tmp_path / "p.csv", rows)


def test_across_corpora_the_mean_over_models_and_the_pooled_figure_stand_by_name(tmp_path):
    path = models(tmp_path)
    results = call_json("evaluate", path, "--policy", "strict,paper-drop")["results"]
    strict, dropped = results
    assert (strict["n_models"], strict["n_distinct_clips"], strict["n_clips"]) == (2, 3, 6)
    assert (strict["war"]["mean"], strict["war"]["pooled"]) == (50, 50)
    assert (dropped["uar"]["mean"], dropped["uar"]["pooled"], dropped["war"]["folds"]) == (100, 100, [100, 100])
    text = call("evaluate", path, "--policy", "strict,paper-drop")
    assert "mean ± sd over 2 models" in text
    assert "3 clips × 2 models = 6 decisions" in text
    assert "50.00 ± 23.57" in text
    assert "50.0 % of 3 clips × 2 models = 6 decisions scored" in call("evaluate", path, "--policy", "paper-drop")
