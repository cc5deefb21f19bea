"""Promises of predictions.npz: it says what predictions.csv says, never speaks against it, and nobody needs it."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_runs import SOURCE, evaluation, run  # noqa: F401 (fixtures)
from test_runs_made_up import sign
from vjepa_fer.doors import canonical_json
from vjepa_fer.errors import RunError
from vjepa_fer.judging import Predictions, read_predictions, write_predictions
from vjepa_fer.runs import read_run
from vjepa_fer.runs.columns import read_columns, write_columns
from vjepa_fer.runs.settings import digest

COLUMNS = ("classes", "clip_ids", "subjects", "fold", "fold_names", "truth", "predicted", "probabilities")
NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)


@st.composite
def predictions(draw):
    """Some clips under any names, in any folds, of 2 to 4 classes."""
    clips = draw(st.lists(NAMES, min_size=1, max_size=8, unique=True))
    classes = draw(st.lists(NAMES, min_size=2, max_size=4, unique=True))
    num, rng = len(clips), np.random.default_rng(draw(st.integers(0, 99)))
    probabilities = rng.dirichlet(np.ones(len(classes)), size=num)
    return Predictions(
        classes=tuple(classes),
        clip_ids=np.array(clips),
        subjects=np.array(draw(st.lists(NAMES | st.just(""), min_size=num, max_size=num))),
        fold=np.array(draw(st.lists(st.integers(0, 12), min_size=num, max_size=num))),
        truth=rng.integers(0, len(classes), num),
        predicted=probabilities.argmax(axis=1),
        probabilities=probabilities,
        fold_names=draw(st.sampled_from([(), tuple(f"part {n}" for n in range(20, 7, -1))])),
    )


@given(said=predictions())
@settings(max_examples=150, deadline=None)
def test_columns_are_the_table(said, tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    write_predictions(folder / "predictions.csv", said)
    try:
        table = read_predictions(folder / "predictions.csv", spelling="kept")
    except RunError:  # names that no table can hold, such as two classes where one is the other with a beginning
        return
    write_columns(folder / "predictions.npz", said, table_sha256="t")
    columns = read_columns((folder / "predictions.npz").read_bytes(), folder, table_sha256="t")
    for name in COLUMNS:
        one, other = getattr(table, name), getattr(columns, name)
        np.testing.assert_array_equal(one, other, err_msg=name)
        assert getattr(one, "dtype", None) == getattr(other, "dtype", None), name


def test_a_run_is_read_from_its_columns_and_without_them_from_its_table(run, monkeypatch):  # noqa: F811
    monkeypatch.setattr("vjepa_fer.runs.folder.read_predictions", None)
    quick = read_run(run.path).evaluation.predictions
    monkeypatch.undo()
    (run.path / "predictions.npz").unlink()
    slow = read_run(run.path).evaluation.predictions
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(quick, name), getattr(slow, name))


def test_changed_columns_are_refused_with_the_way_out(run):  # noqa: F811
    path = run.path / "predictions.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match=r"predictions\.npz: was changed .* remove it: the run is read from predictions"):
        read_run(run.path)


def test_columns_never_speak_against_an_edited_table(run):  # noqa: F811
    table = run.path / "predictions.csv"
    table.write_text(table.read_text().replace(",angry,angry,", ",angry,sad,", 1))
    with pytest.raises(RunError, match=r"predictions\.csv: was changed after the run was written"):
        read_run(run.path)
    sign(run.path)  # even under right hashes, what counts is the table
    with pytest.raises(RunError, match=r"predictions show WAR .* where run\.json says"):
        read_run(run.path)


def arrays_of(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def with_columns(folder, **changes):
    """Other columns, under right hashes."""
    arrays = {
        name: value for name, value in (arrays_of(folder / "predictions.npz") | changes).items() if value is not None
    }
    np.savez(folder / "predictions.npz", **arrays)
    said = json.loads((folder / "run.json").read_text())
    said |= {"columns": digest((folder / "predictions.npz").read_bytes())}
    said.pop("sha256")
    (folder / "run.json").write_text(json.dumps({**said, "sha256": digest(canonical_json(said))}))


@pytest.mark.parametrize(
    "changes",
    [
        {"truth": None},
        {"truth": np.full(48, 9, np.int32)},
        {"predicted": np.full(48, -1, np.int32)},
        {"fold": np.zeros(48, np.int64)},
        {"subject": np.zeros(47, np.int32)},
        {"probabilities": np.full((48, 3), np.nan)},
        {"probabilities": np.zeros((48, 2))},
        {"probabilities": np.zeros((48, 3), "<U4")},
        {"names": np.frombuffer(b"[]", np.uint8)},
        {"names": np.frombuffer(b"{}", np.uint8)},
        {"names": np.array([{"a": 1}], dtype=object)},
    ],
    ids=str,
)
def test_made_up_columns_are_refused_by_file(run, changes):  # noqa: F811
    with_columns(run.path, **changes)
    with pytest.raises(RunError, match=r"predictions\.npz"):
        read_run(run.path)


def test_an_array_that_says_more_than_is_there_takes_no_memory(run):  # noqa: F811
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 6)})
    path = run.path / "predictions.npz"
    import zipfile

    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.npy", header.getvalue())
    said = json.loads((run.path / "run.json").read_text())
    said |= {"columns": digest(path.read_bytes())}
    said.pop("sha256")
    (run.path / "run.json").write_text(json.dumps({**said, "sha256": digest(canonical_json(said))}))
    with pytest.raises(RunError, match="but only"):
        read_run(run.path)
