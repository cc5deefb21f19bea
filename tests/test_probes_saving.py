"""A saved probe comes back equal, in another process too, and a changed file is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.svm import SVC

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import PROBES, make_probe
from vjepa_fer.probes.saving import load_probe, save_probe
from vjepa_fer.scaling import fit_scaler

PARAMS = {
    "lightgbm": {"n_estimators": 5, "n_components": 4},
    "mlp": {"hidden_layer_sizes": (8, 4), "max_iter": 5, "n_components": 4},
    "attentive": {"epochs": 2},
    "svm": {"class_weight": {"sad": 2.0}},
}
EXPECTS = {"level": "mean", "recipe": "f" * 64}


@pytest.fixture(scope="module")
def faces():
    rng = np.random.default_rng(0)
    codes = np.arange(60) % 3
    X = rng.normal(size=(60, 6)) + 2 * rng.choice([-1, 1], size=(3, 6))[codes]
    return X.astype(np.float32), np.array(["sad", "angry", "happy"])[codes]


@pytest.fixture(params=PROBES)
def saved(request, faces, tmp_path):
    """A fitted probe with its scaler, and the folder where both were saved."""
    X, y = faces
    scaler = fit_scaler("standard", X)
    probe = make_probe(request.param, PARAMS.get(request.param), random_state=3).fit(scaler.apply(X), y)
    save_probe(probe, tmp_path / "probe", scaler=scaler, expects=EXPECTS)
    return probe, scaler, tmp_path / "probe"


def test_a_saved_probe_comes_back_equal(saved, faces):
    probe, scaler, folder = saved
    back = load_probe(folder)
    assert back.probe.get_params() == probe.get_params()
    assert back.probe.classes_.tolist() == ["angry", "happy", "sad"]
    np.testing.assert_array_equal(back.predict_proba(faces[0], **EXPECTS), probe.predict_proba(scaler.apply(faces[0])))


def test_it_loads_in_another_process(saved, faces, tmp_path):
    probe, scaler, folder = saved
    np.save(tmp_path / "X.npy", faces[0])
    code = (
        "import sys, numpy as np; from vjepa_fer.probes.saving import load_probe; back = load_probe(sys.argv[1]);"
        "X = np.load(sys.argv[2]); np.save(sys.argv[3], back.probe.predict_proba(back.scaler.apply(X)))"
    )
    there = [str(folder), str(tmp_path / "X.npy"), str(tmp_path / "P.npy")]
    subprocess.run([sys.executable, "-c", code, *there], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "P.npy"), probe.predict_proba(scaler.apply(faces[0])))


def test_other_features_are_refused_by_name(saved, faces):
    back = load_probe(saved[2])
    with pytest.raises(
        ProbeError, match=r"not the features.*: level 'frames', not 'mean'; recipe 'not given', not 'fff"
    ):
        back.predict_proba(faces[0], level="frames")


def test_a_changed_file_is_refused_by_name(saved):
    for path in saved[2].iterdir():
        content = path.read_bytes()
        position = content.index(b"sad") if path.name == "probe.json" else len(content) // 2
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(ProbeError, match=rf"{path.name}: (was changed after it was written|not the description)"):
            load_probe(saved[2])
        path.write_bytes(content)
    assert load_probe(saved[2]).expects == EXPECTS


def test_no_file_of_a_probe_is_a_pickle(saved):
    assert {path.name for path in saved[2].iterdir()} <= {"probe.json", "arrays.safetensors", "model.txt"}


@pytest.fixture
def simple(faces, tmp_path):
    save_probe(make_probe("logreg").fit(*faces), tmp_path / "probe")
    return tmp_path / "probe"


def rewrite(folder, **changes):
    """Change the description and make its digest right again, as someone who means harm would."""
    from vjepa_fer.probes.saving import _digest

    facts = json.loads((folder / "probe.json").read_text())
    facts.pop("sha256")
    facts |= changes
    (folder / "probe.json").write_text(json.dumps({**facts, "sha256": _digest(facts)}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "vjepa-fer/probe-file/9"}, "format 'vjepa-fer/probe-file/9', but this version reads"),
        ({"files": {"../../etc/passwd": "0"}}, "passwd: missing, or no file of a probe"),
        ({"num_features": 5}, "holds no probe that can be read|its arrays do not make"),
        ({"num_features": 10**15}, "num_features 1000000000000000 is not between"),
        ({"classes": ["a", "b", "c", "d"]}, "its arrays do not make a probe of 4 classes"),
        ({"files": {}}, "holds no probe that can be read"),
        ({"probe": "os"}, "there is no probe 'os'"),
        ({"params": {"c": 1}}, "logreg has no parameter 'c'"),
        ({"numbers": {}}, r"holds no probe that can be read \(KeyError"),
    ],
)
def test_a_description_made_to_harm_ends_in_an_error(simple, changes, message):
    rewrite(simple, **changes)
    with pytest.raises(ProbeError, match=message):
        load_probe(simple)


def test_a_folder_that_exists_is_not_written_over(simple, faces):
    with pytest.raises(ProbeError, match="exists already"):
        save_probe(make_probe("centroid").fit(*faces), simple)
    assert load_probe(simple).probe.C == 1.0


def test_a_folder_without_a_probe_is_refused(tmp_path):
    with pytest.raises(ProbeError, match=r"probe\.json: no such file; expected a folder written by save_probe"):
        load_probe(tmp_path)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("num_classes", [2, 5])
def test_the_machines_decisions_are_scikit_learns(kernel, num_classes):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(150, 4)), np.arange(150) % num_classes
    X += 0.5 * rng.normal(size=(num_classes, 4))[y]
    X_test = rng.normal(size=(2000, 4))
    theirs = SVC(kernel=kernel).fit(X, y)
    ours = make_probe("svm", {"kernel": kernel}).fit(X, y)
    np.testing.assert_array_equal(ours.predict(X_test), theirs.predict(X_test))
    values = theirs.decision_function(X_test)
    if num_classes == 2:
        expected = 1 / (1 + np.exp(-values))
        np.testing.assert_allclose(ours.predict_proba(X_test)[:, 1], expected, atol=1e-10)
    else:
        ours_order, theirs_order = np.sort(ours.predict_proba(X_test), axis=1), np.sort(values, axis=1)
        expected = np.exp(theirs_order) / np.exp(theirs_order).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(ours_order, expected, atol=1e-10)
