"""Promises about numbers as labels: measurements are refused, codes of classes are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.multiclass import type_of_target

from vjepa_fer.errors import ManifestError, RunError
from vjepa_fer.judging import read_predictions
from vjepa_fer.manifest import Clip, Manifest, read_manifest
from vjepa_fer.manifest.spelling import MOST_NUMERIC_CLASSES


def study(labels):
    return Manifest(tuple(Clip(f"c{n}", "", str(label), f"s{n}") for n, label in enumerate(labels)))


@pytest.mark.parametrize(
    "labels",
    [
        np.round(np.linspace(-1, 1, 22), 2),
        range(100),
        ["0,5", "1,5"],
        ["1e-3", "2e-3", "3e-3"],
        ["-0.5", "0", "1"],
        [f"{n}.0" for n in range(40)],
    ],
    ids=["valence", "intensity", "decimal commas", "exponents", "signs", "a spreadsheet's .0"],
)
def test_labels_that_measure_something_are_refused(labels):
    with pytest.raises(
        ManifestError, match=r"labels that are numbers, .*: these look like measurements; expected class names"
    ):
        study(labels)


@pytest.mark.parametrize(
    "labels",
    [range(8), range(1, 9), ["0.0", "1.0"], [-1, 0, 1], ["01", "02"], [f"e{n}" for n in range(40)], ["0.5", "sad"]],
    ids=["codes", "RAVDESS", "floats of codes", "sentiment", "padded", "names", "a name among them"],
)
def test_codes_of_classes_are_labels(labels):
    assert len(study(labels).labels) == len(set(map(str, labels)))


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.floats(-5, 5).map(lambda value: round(value, 2)), min_size=2, max_size=30, unique=True))
def test_what_scikit_learn_calls_continuous_is_never_taken_for_classes(values):
    refused = type_of_target(np.array(values)) == "continuous" or len({int(v) for v in values}) > MOST_NUMERIC_CLASSES
    if refused:
        with pytest.raises(ManifestError, match="look like measurements"):
            study(values)
    else:
        assert len(study(int(v) for v in values).labels) == len(values)


def test_a_file_is_named_and_predictions_of_a_measurement_are_refused_too(tmp_path):
    rows = "\n".join(f"c{n},{n / 10 + 0.05:.2f},s{n}" for n in range(5))
    (tmp_path / "m.csv").write_text(f"clip_id,label,subject\n{rows}\n")
    with pytest.raises(ManifestError, match=r"m\.csv: 5 labels that are numbers, from 0\.05 to 0\.45"):
        read_manifest(tmp_path / "m.csv")
    (tmp_path / "p.csv").write_text("clip_id,true_label,predicted_label\nc0,0.25,0.5\nc1,0.75,0.5\n")
    with pytest.raises(RunError, match=r"p\.csv: true_label: 2 labels that are numbers"):
        read_predictions(tmp_path / "p.csv")
