"""A saved probe comes back equal, in another process too, and a changed file is refused by name."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from sklearn.svm import SVC

from test_doors import JSON
from vjepa_fer.errors import ProbeError, VjepaFerError
from vjepa_fer.features import fit_scaler
from vjepa_fer.probes import PROBES, make_probe, saving
from vjepa_fer.probes.saving import load_probe, save_probe

PARAMS = {
    "lightgbm": {"n_estimators": 5, "n_components": 4},
    "mlp": {"hidden_layer_sizes": (8, 4), "max_iter": 5, "n_components": 4},
    "attentive": {"epochs": 2},
    "efficient": {"epochs": 2},
    "svm": {"class_weight": {"sad": 2.0}},
}
FUZZER = Path(__file__).parents[2] / "benchmarks" / "fuzz_probe.py"
OLD = Path(__file__).parents[1] / "data" / "probes_v1"
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


ANOTHER = """
import sys, numpy as np
from pathlib import Path
from vjepa_fer.probes.saving import load_probe
X = np.load("X.npy")
for kind in sys.argv[1:]:
    back = load_probe(Path(kind))
    np.save(f"{kind}.npy", back.probe.predict_proba(back.scaler.apply(X)))
"""


def test_each_loads_in_another_process(faces, tmp_path):
    X, scaler, expected = faces[0], fit_scaler("standard", faces[0]), {}
    np.save(tmp_path / "X.npy", X)
    for kind in PROBES:
        probe = make_probe(kind, PARAMS.get(kind), random_state=3).fit(scaler.apply(X), faces[1])
        save_probe(probe, tmp_path / kind, scaler=scaler)
        expected[kind] = probe.predict_proba(scaler.apply(X))
    subprocess.run([sys.executable, "-c", ANOTHER, *PROBES], cwd=tmp_path, check=True)
    for kind, probabilities in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{kind}.npy"), probabilities, err_msg=kind)


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
        with pytest.raises(ProbeError, match=rf"{path.name}: was changed after it was written"):
            load_probe(saved[2])
        path.write_bytes(content)
    assert load_probe(saved[2]).expects == EXPECTS


@pytest.mark.parametrize("kind", sorted(path.name for path in OLD.iterdir() if path.is_dir()))
def test_probes_of_the_first_version_answer_as_they_did(kind):
    with np.load(OLD / "answers.npz") as answers:
        found = load_probe(OLD / kind).predict_proba(answers["X"], level="mean")
        np.testing.assert_allclose(found, answers[kind], rtol=1e-6, atol=1e-9)


def test_no_file_of_a_probe_is_a_pickle(saved):
    assert {path.name for path in saved[2].iterdir()} <= {"probe.json", "arrays.safetensors", "model.txt"}


@pytest.fixture
def simple(faces, tmp_path):
    save_probe(make_probe("logreg").fit(*faces), tmp_path / "probe")
    return tmp_path / "probe"


def rewrite(folder, *gone, **changes):
    """Change the description and make its digest right again, as someone who means harm would."""
    facts = json.loads((folder / "probe.json").read_text())
    facts = {name: value for name, value in {**facts, **changes}.items() if name not in ("sha256", *gone)}
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
    (folder / "probe.json").write_text(json.dumps({**facts, "sha256": digest}))


def replace(folder, name, content):
    """Put other bytes in place of a file, with the right digests."""
    (folder / name).write_bytes(content)
    files = json.loads((folder / "probe.json").read_text())["files"]
    rewrite(folder, files={**files, name: hashlib.sha256(content).hexdigest()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "vjepa-fer/probe-file/9"}, "format 'vjepa-fer/probe-file/9', but this version reads"),
        ({"format": 1}, "'format' is 1, expected a text"),
        ({"probe": "os"}, "'probe' is \"os\", expected one of logreg, mlp"),
        ({"probe": ["logreg"]}, r"'probe' is \[\"logreg\"\], expected a text"),
        ({"files": {"../../etc/passwd": "0"}}, "'files' is .*, expected the SHA-256 of arrays.safetensors"),
        ({"files": {}}, "'files' is {}, expected the SHA-256 of arrays.safetensors"),
        ({"files": {"arrays.safetensors": "A" * 64}}, "'files' is .*, expected the SHA-256"),
        ({"files": {"arrays.safetensors": 1}}, "files.* is .*, expected an object of texts"),
        ({"num_features": 5}, r"'coef' has shape \(3, 6\), expected \(3, 5\): save the probe again"),
        ({"num_features": 10**15}, "'num_features' is 10+, expected a whole number from 1 to 67108864"),
        ({"num_features": 6.0}, "'num_features' is 6.0, expected a whole number"),
        ({"num_features": True}, "'num_features' is true, expected a whole number"),
        ({"classes": ["a", "b", "c", "d"]}, r"'coef' has shape \(3, 6\), expected \(4, 6\)"),
        ({"classes": "abc"}, "'classes' is \"abc\", expected a list"),
        ({"classes": ["a", "b", 3]}, "'classes' is .*, expected 2 to 16,384 texts of up to 1,000 characters, or whole numbers"),
        ({"classes": ["a", "b", None]}, "'classes' is .*, expected 2 to 16,384 texts"),
        ({"classes": ["a", "b", "c" * 1001]}, "'classes' is .*, expected 2 to 16,384 texts"),
        ({"classes": [1.5, 2.0, 3.0]}, "'classes' is .*, expected 2 to 16,384 texts"),
        ({"classes": [1, 2, 2**63]}, "'classes' is .*, expected 2 to 16,384 texts"),
        ({"classes": ["a"]}, "'classes' is .*, expected 2 to 16,384 texts"),
        ({"classes": list(range(20_000))}, "'classes' is .*, expected 2 to 16,384 texts"),
        ({"classes": ["a", "b", "a"]}, "'classes' is .*, expected each once"),
        ({"classes": ["a", "b", "a\0"]}, "'classes' is .*, expected each once"),
        ({"classes": ["a", "b", "\ud800"]}, "cannot be read as JSON .*surrogates not allowed"),
        ({"params": []}, r"'params' is \[\], expected an object"),
        ({"params": {"c": 1}}, "LogisticProbe has no parameter 'c'; it has C, class_weight"),
        ({"params": {"self": 1}}, "LogisticProbe has no parameter 'self'"),
        ({"params": {"C": -1}}, "C is -1, but must be a number above 0"),
        ({"params": {"C": 10**400}}, "params: 'C' is 1000.*, expected a text, a number, true, false or null"),
        ({"params": {"C": [[1]]}}, "params: 'C' is .*, expected a text, a number"),
        ({"params": {"C": [1]}}, r"C is \(1,\), but must be a number above 0"),
        ({"params": {"class_weight": {}}}, "params: 'class_weight' is {}, expected .* or pairs of those"),
        ({"params": {"class_weight": {"pairs": 1}}}, "params: 'class_weight' is .*, expected .* or pairs of those"),
        ({"params": {"class_weight": {"pairs": [[[], 1]]}}}, "params: 'class_weight' is .*, expected .* or pairs of those"),
        ({"params": {"class_weight": {"pairs": [["sad", "x"]]}}}, "class_weight of 'sad' is 'x', but must be a number"),
        ({"params": {"random_state": "x"}}, "random_state is 'x', but must be a whole number"),
        ({"numbers": {}}, "probe.json, numbers: 'n_iter' is missing"),
        ({"numbers": {"n_iter": "3"}}, "probe.json, numbers: 'n_iter' is \"3\", expected a whole number"),
        ({"numbers": {"n_iter": -3}}, "probe.json, numbers: 'n_iter' is -3, expected a whole number from 0"),
        ({"numbers": {"n_iter": 3, "x": 1}}, "probe.json, numbers: 'x' belongs to no probe of this kind"),
        ({"numbers": 3}, "'numbers' is 3, expected an object"),
        ({"expects": {"level": 1}}, "expects.* expected an object of texts"),
        ({"expects": ["level"]}, "'expects' is .*, expected an object"),
    ],
)  # fmt: skip
def test_a_description_made_to_harm_ends_in_an_error(simple, changes, message):
    rewrite(simple, **changes)
    with pytest.raises(ProbeError, match=message):
        load_probe(simple)


@pytest.mark.parametrize(
    "name", ["format", "probe", "params", "classes", "num_features", "numbers", "expects", "files"]
)
def test_a_description_without_a_part_is_refused_by_name(simple, name):
    rewrite(simple, name)
    with pytest.raises(ProbeError, match=f"probe.json: '{name}' is missing; save the probe again"):
        load_probe(simple)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": NaN}', '{"a": 1, "a": 2}', "[" * 10**5, '"\\ud800"'])
def test_a_description_that_is_no_object_is_refused(simple, text):
    (simple / "probe.json").write_text(text)
    with pytest.raises(ProbeError, match=r"probe\.json: (cannot be read as JSON|holds a (list|text))"):
        load_probe(simple)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=JSON)
def test_whatever_stands_in_a_description_is_refused_or_changes_nothing(simple, faces, data, value):
    original = (simple / "probe.json").read_text()
    answer = load_probe(simple).predict_proba(faces[0])
    facts = json.loads(original)
    name = data.draw(st.sampled_from(sorted(facts)))
    inside = isinstance(facts[name], dict) and data.draw(st.booleans())
    key = data.draw(st.sampled_from(sorted(facts[name])) | st.text()) if inside and facts[name] else None
    named = True
    try:
        rewrite(simple, **{name: {**facts[name], key: value} if key is not None else value})
        found = load_probe(simple)
        np.testing.assert_array_equal(found.predict_proba(faces[0], **found.expects), answer)
    except ProbeError as refused:
        named = "holds no probe that can be read" not in str(refused)
    finally:
        (simple / "probe.json").write_text(original)
    assert named


def test_a_description_that_was_only_laid_out_anew_is_the_same(simple):
    facts = json.loads((simple / "probe.json").read_text())
    (simple / "probe.json").write_text(json.dumps(dict(reversed(facts.items())), indent=3))
    assert load_probe(simple).probe.C == 1.0


def altered(array):
    """What a file may hold in place of an array, by what is wrong with it."""
    with np.errstate(over="ignore"):
        yield r"has shape .*, expected", array[..., None]
        yield r"has shape .*, expected", array.reshape(-1)[:1].reshape(())
        yield r"has shape .*, expected", array[:0]
        yield r"has shape .*, expected|add up to|arrays are those of depth|leave one of", array[:-1]
        yield r"holds (float16|bool), expected", array.astype(np.float16 if array.dtype.kind == "f" else bool)
        yield r"holds uint8, expected", array.astype(np.uint8)
        if array.dtype.kind == "f":
            yield (
                r"holds NaN or infinity",
                np.where(np.arange(array.size).reshape(array.shape) == 0, np.nan, array).astype(array.dtype),
            )
            yield r"holds NaN or infinity", np.full_like(array, -np.inf)
        else:
            yield r"holds numbers from -\d+ to|add up to", array - array.max() - 1
            yield r"holds numbers from", array + 2**40


def test_an_array_of_another_shape_or_kind_is_refused_by_name(saved):
    _, _, folder = saved
    original = (folder / "arrays.safetensors").read_bytes()
    for name, array in load(original).items():
        for message, other in altered(array):
            replace(folder, "arrays.safetensors", save({**load(original), name: np.ascontiguousarray(other)}))
            with pytest.raises(ProbeError, match=message) as caught:
                load_probe(folder)
            assert str(folder) in str(caught.value)
            assert "holds no probe that can be read" not in str(caught.value)


def test_an_array_that_is_missing_or_of_no_use_is_refused_by_name(saved):
    _, _, folder = saved
    arrays = load((folder / "arrays.safetensors").read_bytes())
    for name in arrays:
        replace(folder, "arrays.safetensors", save({n: a for n, a in arrays.items() if n != name}))
        with pytest.raises(
            ProbeError, match=r"is missing|belongs to no probe|depth is 1|has shape|no classes|is the last|max_feature"
        ):
            load_probe(folder)
    for name in ("x", "layer99", "pooler.blocks.7.x"):
        replace(folder, "arrays.safetensors", save({**arrays, name: np.zeros(3, np.float32)}))
        with pytest.raises(ProbeError, match=f"'{name}' belongs to no probe of this kind|arrays are those of depth 2"):
            load_probe(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 8, b"\xff" * 8, (9).to_bytes(8, "little") + b'{"x": 1 }', b"\x02" + b"\0" * 7 + b"{]"]
)
def test_arrays_that_are_none_are_refused(simple, content):
    replace(simple, "arrays.safetensors", content)
    with pytest.raises(ProbeError, match=r"arrays\.safetensors: (not a safetensors file|names more arrays)"):
        load_probe(simple)


def test_numbers_too_large_to_count_with_end_in_an_error(simple, faces):
    arrays = load((simple / "arrays.safetensors").read_bytes())
    replace(simple, "arrays.safetensors", save({**arrays, "coef": np.full_like(arrays["coef"], 1.7e308)}))
    back = load_probe(simple)
    for ask in (back.predict_proba, back.predict):
        with pytest.raises(ProbeError, match="so large that these features have no probabilities"):
            ask(faces[0])


def saved_as(kind, faces, folder):
    save_probe(make_probe(kind, PARAMS.get(kind)).fit(*faces), folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("knn", {"params": {"n_neighbors": 61}}, "n_neighbors 61 must be between 1 and the number of training clips, 60"),
        ("knn", {"params": {"metric": "x"}}, "metric 'x' is not one of"),
        ("centroid", {"numbers": {"spread": -1.0}}, "'spread' is -1.0, expected a number of at least 0"),
        ("centroid", {"numbers": {"spread": 10**400}}, "'spread' is 10+…, expected a number"),
        ("centroid", {"params": {"metric": ["x"]}}, "metric .* is not one of"),
        ("svm", {"numbers": {}}, "'gamma' is missing"),
        ("svm", {"params": {"kernel": "linear"}}, "numbers: 'gamma' belongs to no probe of this kind"),
        ("mlp", {"params": {"hidden_layer_sizes": [8, "x"]}}, "hidden_layer_sizes is 'x'"),
        ("lightgbm", {"params": {"n_components": -1}}, "n_components is -1, but must be"),
        ("attentive", {"params": {"depth": 10**9}}, "depth is 1000000000, but its arrays are those of depth 1"),
        ("attentive", {"params": {"device": "disk"}}, "device .* is not one of cpu"),
        ("attentive", {"numbers": {"num_heads": 0, "n_iter": 1}}, "'num_heads' is 0, expected a whole number from 1"),
        ("attentive", {"numbers": {"num_heads": 4, "n_iter": 1}}, "tokens of 6 numbers do not go into 4 heads"),
        ("attentive", {"num_features": 7}, "tokens of 6 numbers do not go into .* and 7 features"),
    ],
)  # fmt: skip
def test_a_value_that_no_such_probe_has_is_refused_by_name(kind, changes, message, faces, tmp_path):
    rewrite(saved_as(kind, faces, tmp_path / "probe"), **changes)
    with pytest.raises(ProbeError, match=message):
        load_probe(tmp_path / "probe")


def test_a_model_that_is_missing_or_of_no_use_is_refused(faces, simple, tmp_path):
    folder = saved_as("lightgbm", faces, tmp_path / "trees")
    model = (folder / "model.txt").read_bytes()
    replace(folder, "model.txt", b"\xff" + model)
    with pytest.raises(ProbeError, match=r"model\.txt: byte 0 is not UTF-8"):
        load_probe(folder)
    rewrite(
        folder, files={"arrays.safetensors": hashlib.sha256((folder / "arrays.safetensors").read_bytes()).hexdigest()}
    )
    with pytest.raises(ProbeError, match=r"model\.txt is missing"):
        load_probe(folder)
    replace(simple, "model.txt", model)
    with pytest.raises(ProbeError, match=r"model\.txt belongs to no probe of this kind"):
        load_probe(simple)


@pytest.mark.parametrize("name", ["probe.json", "arrays.safetensors", "model.txt"])
def test_a_file_that_is_too_large_or_no_plain_file_is_refused(faces, tmp_path, name, monkeypatch):
    folder = saved_as("lightgbm", faces, tmp_path / "probe")
    with monkeypatch.context() as context:
        context.setitem(saving.LARGEST, name, 100)
        with pytest.raises(ProbeError, match=rf"{name}: cannot be read \(over 100 bytes\)"):
            load_probe(folder)
        with pytest.raises(ProbeError, match=rf"{name} would take [\d,]+ bytes, but up to 100 are read back"):
            saved_as("lightgbm", faces, tmp_path / "again")
        assert not (tmp_path / "again").exists()
    (folder / name).rename(tmp_path / name)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / name)
        with pytest.raises(ProbeError, match=rf"{name}: cannot be read .*not a regular file"):
            load_probe(folder)
        (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(VjepaFerError, match=rf"{name}: is a link"):
        load_probe(folder)


def test_a_probe_that_would_not_be_read_back_is_not_saved(faces, tmp_path):
    probe = make_probe("logreg").fit(*faces)
    probe.classes_ = np.array(["a" * 2000, "b", "c"])
    with pytest.raises(ProbeError, match=r"'classes' is .*, expected 2 to 16,384 texts"):
        save_probe(probe, tmp_path / "probe")
    with pytest.raises(ProbeError, match="C is -1, but must be a number above 0"):
        save_probe(make_probe("logreg").fit(*faces).set_params(C=-1), tmp_path / "probe")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory and time as Linux does")
def test_no_altered_probe_out_of_two_hundred_does_harm():
    command = [sys.executable, str(FUZZER), "--inputs", "200", "--kinds", "lightgbm", "--no-flips"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)
    assert result["faults"] == []
    assert min(result["altered"]["ends"][end] for end in ("refused", "unchanged", "changed")) > 0


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
