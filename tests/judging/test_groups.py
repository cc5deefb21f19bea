"""Promises of vjepa_fer.judging.groups: figures by any manifest column, each with its n, and age in decades."""

import numpy as np
import pytest

from vjepa_fer.errors import ManifestError
from vjepa_fer.judging import Predictions, group_clips, group_figures
from vjepa_fer.judging.intervals import subject_intervals
from vjepa_fer.manifest import Clip, Manifest, crema_d_official


def study(**columns):
    rows = zip(*columns.values(), strict=True)
    clips = (
        Clip(f"c{n}", "", "ab"[n % 2], f"s{n // 2}", dict(zip(columns, row, strict=True))) for n, row in enumerate(rows)
    )
    return Manifest(clips=tuple(clips))


def predictions(predicted, **changes):
    n = len(predicted)
    values = {
        "classes": ("a", "b"),
        "clip_ids": np.array([f"c{k}" for k in range(n)]),
        "subjects": np.array([f"s{k // 2}" for k in range(n)]),
        "fold": np.zeros(n, np.int64),
        "truth": np.arange(n) % 2,
        "predicted": np.array(predicted),
        "probabilities": None,
    }
    return Predictions(**values | changes)


def test_each_group_has_its_own_figures_and_n():
    groups = group_clips(study(sex=["male"] * 4 + ["female"] * 2), ["sex"])
    female, male = group_figures(predictions([0, 1, 1, 1, 1, 0]), groups)["sex"]
    assert (male["value"], male["n_clips"], male["n_subjects"], male["war"], male["uar"]) == ("male", 4, 2, 75, 75)
    assert (female["value"], female["n_clips"], female["n_subjects"], female["war"]) == ("female", 2, 1, 0)
    assert female["war_interval"] is None
    assert male["war_interval"] is None
    assert male["n_subjects"] == 2


def test_a_group_of_three_has_an_interval_as_if_it_were_alone():
    groups = group_clips(study(sex=["male"] * 6 + ["female"] * 2), ["sex"])
    everyone = predictions([0, 1, 1, 1, 0, 1, 1, 0])
    _, male = group_figures(everyone, groups)["sex"]
    alone = subject_intervals(everyone.take(np.arange(6)))["war"]
    assert male["war_interval"] == [round(100 * end, 4) for end in alone]


def test_uar_is_over_the_classes_that_a_group_has():
    groups = group_clips(study(take=["1", "2"] * 2), ["take"])
    first, second = group_figures(predictions([0, 0, 1, 1]), groups)["take"]
    assert (first["uar"], second["uar"]) == (50, 50)


@pytest.mark.parametrize(
    ("age", "band"), [("20", "20–29"), ("29.5", "20–29"), ("30", "30–39"), ("7", "0–9"), ("", "unknown")]
)
def test_ages_fall_into_decades(age, band):
    assert group_clips(study(age=[age]), ["age_band"]) == {"age_band": {"c0": band}}


@pytest.mark.parametrize("age", ["old", "-3", "nan", "inf", "1951"])
def test_an_age_that_is_none_is_refused(age):
    with pytest.raises(ManifestError, match=f"clip 'c0': age '{age}' is not a number of years"):
        group_clips(study(age=[age]), ["age_band"])


def test_an_unknown_column_is_refused_with_those_there_are():
    with pytest.raises(ManifestError, match=r"no column 'gender' to group by; .*subject, sex"):
        group_clips(study(sex=["male"]), ["gender"])
    with pytest.raises(ManifestError, match="no column 'age_band'"):
        group_clips(study(sex=["male"]), ["age_band"])


def test_clips_without_a_value_are_a_group_at_the_end():
    groups = group_clips(study(sex=["", "male", "male"]), ["sex"])
    assert [g["value"] for g in group_figures(predictions([0, 1, 0, 1]), groups)["sex"]] == ["male", "unknown"]


def test_crema_ds_actors_have_the_published_demographics():
    official = crema_d_official()
    groups = group_clips(official, ["sex", "age_band", "ethnicity", "intensity"])
    actor = {clip.clip_id: clip.subject for clip in official}
    n = {
        name: {v: len({actor[c] for c in values if values[c] == v}) for v in set(values.values())}
        for name, values in groups.items()
    }
    assert n["sex"] == {"male": 48, "female": 43}
    assert n["ethnicity"] == {"hispanic": 10, "not hispanic": 81}
    assert sum(n["age_band"].values()) == 91
    assert set(n["age_band"]) == {"20–29", "30–39", "40–49", "50–59", "60–69", "70–79"}
    clips = list(groups["intensity"].values())
    assert {v: clips.count(v) for v in set(clips)} == {"unspecified": 6077, "low": 455, "medium": 455, "high": 455}
