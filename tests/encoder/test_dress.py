"""V-JEPA's weights in every dress that they come in: classifiers of Hugging Face, parts, bare state dicts; and what is refused."""

from __future__ import annotations

import argparse
import json
import pathlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import VJEPA2Config, VJEPA2ForVideoClassification
from typer.testing import CliRunner

from test_checkpoint import hollow, official_file, tiny_config
from videos import write_video
from vjepa_fer.cli.main import app
from vjepa_fer.encoder import build_encoder
from vjepa_fer.encoder.fetching.facts import encoder_facts
from vjepa_fer.encoder.fetching.inventory import examine_weights
from vjepa_fer.encoder.loading.checkpoint import load_state, read_state, told_state_key
from vjepa_fer.encoder.loading.load import _encoder_from_file
from vjepa_fer.encoder.loading.slim import weights_identity
from vjepa_fer.encoder.model.zoo import encoder_config
from vjepa_fer.errors import CheckpointError
from vjepa_fer.weights.dress import weights_files

CONFIG = tiny_config("v2")


@pytest.fixture(scope="module")
def classifier():
    """Hugging Face's V-JEPA 2 with pooler and classifier, tiny, every number of it random."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "mlp_ratio": 2.0, "num_labels": 5}
    predictor = {"pred_hidden_size": 12, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    model = VJEPA2ForVideoClassification(VJEPA2Config(crop_size=64, frames_per_clip=8, **sizes, **predictor)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@pytest.fixture
def pixels():
    return torch.randn(2, 3, 8, 64, 64, generator=torch.Generator().manual_seed(1))


def encoded(path, key, pixels):
    encoder = hollow(CONFIG)
    load_state(encoder, read_state(path, state_key=key), source=path)
    return encoder(pixels)


def theirs(model, pixels):
    with torch.no_grad():
        return model.vjepa2.get_vision_features(pixels.transpose(1, 2))


def saved_in_parts(model, folder):
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("*.safetensors"))) > 3


def test_a_classifiers_folder_and_its_file_give_its_encoder(classifier, pixels, tmp_path):
    classifier.save_pretrained(tmp_path / "any-name")
    for path in (tmp_path / "any-name", tmp_path / "any-name" / "model.safetensors"):
        torch.testing.assert_close(encoded(path, "encoder", pixels), theirs(classifier, pixels), atol=1e-4, rtol=1e-4)
        assert told_state_key(path) == "encoder"
    assert weights_identity(tmp_path / "any-name") == weights_identity(tmp_path / "any-name" / "model.safetensors")


def test_parts_with_an_index_are_one_set_of_weights(classifier, pixels, tmp_path):
    folder = tmp_path / "parts"
    saved_in_parts(classifier, folder)
    classifier.save_pretrained(tmp_path / "whole")
    whole = read_state(tmp_path / "whole", state_key="encoder")
    for path in (folder, folder / "model.safetensors.index.json"):
        state = read_state(path, state_key="encoder")
        assert state.keys() == whole.keys()
        assert all(torch.equal(state[name], whole[name]) for name in whole)
        assert told_state_key(path) == "encoder"
    module = _encoder_from_file(CONFIG, folder, "encoder", torch.device("cpu"), torch.float16)
    assert torch.equal(module.blocks[3].attn.qkv.weight, whole["blocks.3.attn.qkv.weight"].half())


def test_the_folders_name_does_not_count_and_a_changed_part_does(classifier, tmp_path):
    saved_in_parts(classifier, tmp_path / "a")
    before = weights_identity(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert (
        weights_identity(tmp_path / "b") == weights_identity(tmp_path / "b" / "model.safetensors.index.json") == before
    )
    part = next((tmp_path / "b").glob("*.safetensors"))
    state = load_file(part)
    save_file({name: tensor + 1 for name, tensor in state.items()}, part)
    assert weights_identity(tmp_path / "b") != before


def test_a_registered_folder_is_here_with_one_hash(classifier, tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "home"))
    saved_in_parts(classifier, tmp_path / "home" / "models" / "parts")
    toml = 'like = "vjepa2-large-256"\nweights = "parts"\nstate_key = "encoder"\n'
    (tmp_path / "home" / "models" / "mine.toml").write_text(toml)
    (entry,) = examine_weights()
    assert entry["sha256"] == weights_identity(tmp_path / "home" / "models" / "parts")
    assert "fault" not in entry
    assert list(encoder_facts("mine")["here"]) == ["registered"]


def test_parts_without_an_index_do_when_all_are_there(classifier, tmp_path):
    folder = tmp_path / "parts"
    saved_in_parts(classifier, folder)
    (folder / "model.safetensors.index.json").unlink()
    assert "norm.weight" in read_state(folder, state_key="encoder")
    next(folder.glob("*.safetensors")).unlink()
    with pytest.raises(CheckpointError, match=r"parts: \d+ of \d+ parts are here; get the others as well"):
        read_state(folder, state_key="encoder")


def test_an_index_is_not_believed(classifier, tmp_path):
    folder = tmp_path / "parts"
    saved_in_parts(classifier, folder)
    index = folder / "model.safetensors.index.json"
    right = json.loads(index.read_text())
    parts = sorted(set(right["weight_map"].values()))

    def refused(weight_map, message):
        index.write_text(json.dumps(right | {"weight_map": weight_map}))
        with pytest.raises(CheckpointError, match=message):
            read_state(folder, state_key="encoder")

    refused(right["weight_map"] | {"more": parts[0]}, "1 tensors are not where its index says: more")
    refused(dict(list(right["weight_map"].items())[1:]), "1 tensors are in no line of its index")
    refused({"x": "../../secret.safetensors"}, "is no file beside it")
    refused({}, "it names 0 parts")
    refused(right["weight_map"] | {"x": "model-9.safetensors"}, r"1 of \d+ parts are not here: model-9\.safetensors")
    index.write_text("[]")
    with pytest.raises(CheckpointError, match=r"index\.json"):
        read_state(folder, state_key="encoder")


def test_a_folder_of_several_files_is_not_guessed_at(tmp_path):
    for name in ("a.pt", "b.pt"):
        torch.save({"norm.weight": torch.ones(3)}, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"holds 2 weights files \(a\.pt, b\.pt\); name one"):
        weights_files(tmp_path)
    (tmp_path / "b.pt").unlink()
    assert weights_files(tmp_path).files == (tmp_path / "a.pt",)


def test_a_bare_state_dict_of_the_official_model_loads_as_a_file(tmp_path, pixels):
    written = official_file(tmp_path / "w.pt", "v2")
    torch.save(written.state_dict(), tmp_path / "bare.pt")
    assert torch.equal(encoded(tmp_path / "bare.pt", "file", pixels), written(pixels))
    assert told_state_key(tmp_path / "bare.pt") == "file"
    assert told_state_key(tmp_path / "w.pt") is None
    with pytest.raises(CheckpointError, match=r"found: .*take it as it is with the state key 'file'"):
        read_state(tmp_path / "bare.pt", state_key="target_encoder")


@pytest.mark.parametrize("part", ["classifier", "base model"])
def test_a_bare_state_dict_of_hugging_faces_is_the_online_encoder(classifier, pixels, tmp_path, part):
    module = classifier if part == "classifier" else classifier.vjepa2
    torch.save(module.state_dict(), tmp_path / "bare.pt")
    torch.testing.assert_close(
        encoded(tmp_path / "bare.pt", "encoder", pixels), theirs(classifier, pixels), atol=1e-4, rtol=1e-4
    )
    assert told_state_key(tmp_path / "bare.pt") == "encoder"
    with pytest.raises(CheckpointError, match="take it as it is with the state key 'encoder'"):
        read_state(tmp_path / "bare.pt", state_key="target_encoder")


def test_strictly_means_that_one_tensor_less_is_refused(classifier, tmp_path):
    state = classifier.state_dict()
    del state["vjepa2.encoder.layer.2.mlp.fc1.bias"]
    torch.save(state, tmp_path / "bare.pt")
    with pytest.raises(CheckpointError, match=r"1 missing: blocks\.2\.mlp\.fc1\.bias"):
        load_state(hollow(CONFIG), read_state(tmp_path / "bare.pt", state_key="encoder"), source="w.pt")


# --- what is refused says why, and what to do


FOREIGN = {
    "argparse.Namespace": argparse.Namespace(lr=1e-4),
    "scalar": np.float64(0.4),
    "pathlib": pathlib.PurePosixPath("runs/1"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("key", ["target_encoder", "file"])
def test_a_refused_checkpoint_names_the_object_and_lines_that_mend_it(tmp_path, monkeypatch, name, key):
    monkeypatch.chdir(tmp_path)
    weights = {"norm.weight": torch.ones(3)}
    torch.save(({key: weights} if key != "file" else weights) | {"extra": FOREIGN[name]}, "w.pt")
    with pytest.raises(CheckpointError, match=f"{name}.*none was run") as refusal:
        read_state("w.pt", state_key=key)
    lines = [line.strip() for line in refusal.value.lines[-3:]]
    exec("\n".join(lines), {})
    assert read_state("w-plain.pt", state_key=key)["norm.weight"].tolist() == [1, 1, 1]


def test_without_a_key_the_lines_keep_every_state_dict(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"encoder": {"a": torch.ones(3)}, "opt": {"lr": 1}, "args": argparse.Namespace()}, "w.pt")
    with pytest.raises(CheckpointError) as refusal:
        told_state_key("w.pt")
    exec("\n".join(x.strip() for x in refusal.value.lines[-3:]), {})
    assert list(torch.load("w-plain.pt", weights_only=True)) == ["encoder"]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_that_are_no_numbers_are_named_as_such(tmp_path, value, dtype):
    written = official_file(tmp_path / "w.pt", "v2")
    state = {name: tensor.clone() for name, tensor in written.state_dict().items()}
    state["blocks.1.mlp.fc2.weight"][3, 7] = value
    torch.save({"target_encoder": state}, tmp_path / "w.pt")
    message = r"w\.pt: 1 of \d+ tensors hold NaN or infinity: blocks\.1\.mlp\.fc2\.weight; its training diverged"
    with pytest.raises(CheckpointError, match=message):
        _encoder_from_file(CONFIG, tmp_path / "w.pt", "target_encoder", torch.device("cpu"), dtype)


# --- --state-key reaches every place that opens the model

CASE = Path(__file__).parents[3] / "shared" / "cases" / "encoders" / "only_encoder_key.pt"


def test_shapes_do_where_numbers_repeat_and_never_else(tmp_path):
    torch.save({"encoder": {"w": torch.zeros(1).expand(5, 7)}}, tmp_path / "w.pt")
    assert read_state(tmp_path / "w.pt", state_key="encoder", shapes_do=True)["w"].shape == (5, 7)
    with pytest.raises(CheckpointError, match="numbers that lie in one place"):
        read_state(tmp_path / "w.pt", state_key="encoder")


def of_the_smallest_size(path):
    """V-JEPA 2.1 base under the online encoder's key alone; of each tensor one number is on the disk, which is enough for a plan."""
    with torch.device("meta"):
        shapes = {
            name: tuple(p.shape) for name, p in build_encoder(encoder_config("vjepa2.1-base-384")).state_dict().items()
        }
    torch.save({"encoder": {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}}, path)
    return path


@pytest.mark.parametrize(
    ("file", "words"),
    [("shared", []), ("made here", ["--layers", "2,5"]), ("made here", ["--layers", "hierarchical"])],
)
def test_the_state_key_reaches_every_look_at_a_model_file(tmp_path, monkeypatch, words, file):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "home"))
    if file == "shared" and not CASE.exists():
        pytest.skip("the case file lies beside the project")
    weights = CASE if file == "shared" else of_the_smallest_size(tmp_path / "w.pt")
    write_video(tmp_path / "a.mp4", 20)
    (tmp_path / "m.csv").write_text("clip_id,path,label,subject\na,a.mp4,joy,s\n")
    command = [
        "extract",
        tmp_path / "m.csv",
        tmp_path / "cache",
        "--model",
        weights,
        "--state-key",
        "encoder",
        "--dry-run",
    ]
    command += words
    done = CliRunner().invoke(app, list(map(str, command)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "mean" in done.stdout
    with pytest.raises(CheckpointError, match="no state dict 'target_encoder' inside; found: encoder"):
        CliRunner().invoke(
            app, [str(w) for w in command if w not in ("--state-key", "encoder")], catch_exceptions=False
        )


def test_info_of_a_file_takes_the_state_key(tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "home"))
    path = of_the_smallest_size(tmp_path / "w.pt")
    done = CliRunner().invoke(app, ["models", "info", str(path), "--state-key", "encoder"], catch_exceptions=False)
    assert "vjepa2.1-base-384: V-JEPA 2.1 ViT-B/16" in done.stdout
    assert "state key encoder" in done.stdout
