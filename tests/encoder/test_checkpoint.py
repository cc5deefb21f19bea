"""Weights files: the official structure is read, anything that is not exactly the encoder is refused by name."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import pickle
import zipfile
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vjepa_fer.encoder import build_encoder
from vjepa_fer.encoder.files.hashes import file_sha256
from vjepa_fer.encoder.loading.checkpoint import WHOLE_FILE, load_state, read_state
from vjepa_fer.encoder.model.zoo import encoder_config
from vjepa_fer.errors import CheckpointError

KEYS = json.loads(gzip.decompress((Path(__file__).parents[1] / "data" / "checkpoint_keys.json.gz").read_bytes()))
STATE_KEYS = {"v1": "target_encoder", "v2": "target_encoder", "v21": "ema_encoder"}
SIDES = {"v1": 48, "v2": 64, "v21": 48}


def tiny_config(family, **changes):
    sizes = {"img_size": SIDES[family], "patch_size": 16, "num_frames": 8, "tubelet_size": 2}
    numbers = {"embed_dim": 24, "depth": 4, "num_heads": 2, "mlp_ratio": 2.0, "layer_norm_eps": 1e-6}
    return {"family": family, "uniform_power": family == "v1", **sizes, **numbers, **changes}


def hollow(config):
    with torch.device("meta"):
        return build_encoder(config)


def official_file(path, family, *, prefix="module.backbone.", **changes):
    """A training checkpoint as the official code saves it, tiny and random; returns its encoder."""
    torch.manual_seed(0)
    encoder = build_encoder(tiny_config(family, **changes))
    state = {prefix + name: p for name, p in encoder.state_dict().items()}
    if family == "v2":
        state[prefix + "pos_embed"] = torch.zeros(1, 4 * 16, 24)
    other = {name: torch.full_like(p, 7) for name, p in state.items()}
    optimiser = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(9)}}, "param_groups": [{"lr": 1e-4}]}
    training = {"predictor": {"module.w": torch.ones(4)}, "opt": optimiser, "scaler": None, "epoch": 300, "loss": 0.4}
    torch.save({"encoder": other, **training, STATE_KEYS[family]: state, "batch_size": 24, "lr": 6e-4}, path)
    return encoder


# --- the official structure


@pytest.mark.parametrize("prefix", ["module.backbone.", "module._orig_mod.backbone.", "_orig_mod.module.", ""])
@pytest.mark.parametrize("family", STATE_KEYS)
def test_a_file_of_the_official_structure_loads_exactly(tmp_path, family, prefix):
    written = official_file(tmp_path / "w.pt", family, prefix=prefix)
    encoder = hollow(tiny_config(family))
    load_state(encoder, read_state(tmp_path / "w.pt", state_key=STATE_KEYS[family]), source="w.pt")
    x = torch.ones(1, 3, 4, 48, 32)
    assert torch.equal(encoder(x), written(x))


def test_a_loaded_encoder_keeps_no_graph(tmp_path):
    official_file(tmp_path / "w.pt", "v2")
    encoder = hollow(tiny_config("v2"))
    load_state(encoder, read_state(tmp_path / "w.pt", state_key="target_encoder"), source="w.pt")
    assert not any(p.requires_grad for p in encoder.parameters())


def test_the_online_encoder_is_read_on_request(tmp_path):
    official_file(tmp_path / "w.pt", "v2")
    assert read_state(tmp_path / "w.pt", state_key="encoder")["norm.weight"].unique().tolist() == [7]


def test_a_missing_state_key_lists_what_is_there_and_takes_nothing_else(tmp_path):
    official_file(tmp_path / "w.pt", "v21")
    message = r"w\.pt: no state dict 'target_encoder' inside; found: encoder, predictor, opt, .*ema_encoder"
    with pytest.raises(CheckpointError, match=message):
        read_state(tmp_path / "w.pt", state_key="target_encoder")


def test_prefixes_are_stripped_at_the_start_only(tmp_path):
    torch.save({"encoder": {"module.blocks.0.backbone.weight": torch.ones(2)}}, tmp_path / "w.pt")
    assert list(read_state(tmp_path / "w.pt", state_key="encoder")) == ["blocks.0.backbone.weight"]


def test_two_names_that_become_one_are_refused(tmp_path):
    torch.save({"encoder": {"module.w": torch.ones(2), "backbone.w": torch.ones(2)}}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="holds w twice, under two prefixes"):
        read_state(tmp_path / "w.pt", state_key="encoder")


def test_tensors_are_mapped_not_copied(tmp_path):
    official_file(tmp_path / "w.pt", "v2")
    state = read_state(tmp_path / "w.pt", state_key="target_encoder")
    addresses = {name: tensor.data_ptr() for name, tensor in state.items()}
    encoder = hollow(tiny_config("v2"))
    load_state(encoder, state, source="w.pt")
    assert all(p.data_ptr() == addresses[name] for name, p in encoder.named_parameters())
    assert "pos_embed" in state  # the caller's dictionary is left as it was


# --- every official checkpoint, strictly


def official_state(name):
    return {key: torch.empty(shape, device="meta") for key, shape in KEYS[name].items()}


@pytest.mark.parametrize("name", KEYS)
def test_every_official_key_list_is_accepted(name):
    load_state(hollow(encoder_config(name)), official_state(name), source="w.pt")


@pytest.mark.parametrize("name", KEYS)
def test_one_missing_key_is_refused_by_name(name):
    for key in ("patch_embed.proj.weight", "blocks.3.attn.qkv.bias", list(KEYS[name])[-1]):
        state = official_state(name)
        del state[key]
        with pytest.raises(CheckpointError, match=rf"w\.pt: not the weights of this encoder .*: 1 missing: {key}$"):
            load_state(hollow(encoder_config(name)), state, source="w.pt")


@pytest.mark.parametrize("name", KEYS)
def test_one_extra_key_is_refused_by_name(name):
    state = official_state(name) | {"blocks.99.mlp.fc1.bias": torch.empty(1, device="meta")}
    with pytest.raises(CheckpointError, match=r": 1 unexpected: blocks\.99\.mlp\.fc1\.bias$"):
        load_state(hollow(encoder_config(name)), state, source="w.pt")


@pytest.mark.parametrize("name", KEYS)
def test_one_wrong_shape_is_refused_by_name(name):
    state = official_state(name) | {"blocks.1.mlp.fc2.bias": torch.empty(7, device="meta")}
    with pytest.raises(
        CheckpointError, match=r"1 of another shape: blocks\.1\.mlp\.fc2\.bias \(7,\) instead of \(\d+,\)"
    ):
        load_state(hollow(encoder_config(name)), state, source="w.pt")


@pytest.mark.parametrize("name", [n for n in KEYS if n.startswith("vjepa2.1")])
def test_surplus_positions_are_refused_in_v21(name):
    state = official_state(name) | {"pos_embed": torch.empty(1, 4608, 8, device="meta")}
    with pytest.raises(CheckpointError, match="1 unexpected: pos_embed"):
        load_state(hollow(encoder_config(name)), state, source="w.pt")


@pytest.mark.parametrize("places", [2048, 8192])
def test_surplus_positions_of_v2_are_left_out(places):
    state = official_state("vjepa2-large-256") | {"pos_embed": torch.empty(1, places, 1024, device="meta")}
    encoder = hollow(encoder_config("vjepa2-large-256"))
    load_state(encoder, state, source="w.pt")
    assert "pos_embed" not in encoder.state_dict()


@cache
def hollow_of(name):
    """One for all the weights that it refuses; what is refused changes nothing."""
    return hollow(encoder_config(name))


GIANTS = {"vjepa2-giant-256", "vjepa2-giant-384"}  # the same tensors but for their surplus positions


@pytest.mark.parametrize(("name", "other"), [p for p in itertools.permutations(KEYS, 2) if set(p) != GIANTS])
def test_the_weights_of_every_other_encoder_are_refused(name, other):
    with pytest.raises(CheckpointError, match=r"w\.pt: not the weights of this encoder"):
        load_state(hollow_of(name), official_state(other), source="w.pt")


@pytest.mark.parametrize(("name", "places"), [("vjepa2-giant-256", 32 * 24 * 24), ("vjepa2-giant-384", 8 * 16 * 16)])
def test_v2_giants_are_told_apart_by_their_surplus_positions(name, places):
    state = official_state(name) | {"pos_embed": torch.empty(1, places, 1408, device="meta")}
    with pytest.raises(
        CheckpointError, match=r"does not belong to a V-JEPA 2 encoder of \d+ pixels; another family or"
    ):
        load_state(hollow(encoder_config(name)), state, source="w.pt")


def test_a_refusal_says_what_the_file_looks_like():
    state = official_state("vjepa2.1-large-384")
    with pytest.raises(CheckpointError, match=r"\(it looks like V-JEPA 2\.1, 24 layers, 1024 wide\): .* and 8 more"):
        load_state(hollow(encoder_config("vjepa2-large-256")), state, source="w.pt")


# --- files that are something else


def test_a_file_of_another_family_is_refused(tmp_path):
    official_file(tmp_path / "w.pt", "v1")
    state = read_state(tmp_path / "w.pt", state_key="target_encoder")
    for family in ("v2", "v21"):
        with pytest.raises(CheckpointError, match="not the weights of this encoder"):
            load_state(hollow(tiny_config(family)), state, source="w.pt")


def test_a_file_of_another_size_is_refused(tmp_path):
    official_file(tmp_path / "w.pt", "v2", depth=5)
    state = read_state(tmp_path / "w.pt", state_key="target_encoder")
    with pytest.raises(CheckpointError, match=r"5 layers, 24 wide\): 12 unexpected: blocks\.4\.norm1\.weight"):
        load_state(hollow(tiny_config("v2")), state, source="w.pt")


def test_a_probe_file_is_refused(tmp_path):
    torch.save({"classifiers": [{"module.linear.weight": torch.ones(2)}], "epoch": 20}, tmp_path / "probe.pt")
    with pytest.raises(CheckpointError, match="no state dict 'target_encoder' inside; found: classifiers, epoch"):
        read_state(tmp_path / "probe.pt", state_key="target_encoder")


class Payload:
    """Runs a command when a careless reader unpickles it."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch '{self.witness}'",)


def test_a_malicious_pickle_is_refused_and_nothing_of_it_runs(tmp_path):
    witness = tmp_path / "executed"
    torch.save({"target_encoder": {"w": torch.ones(2)}, "opt": Payload(witness)}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"w\.pt: refused, it holds Python objects .*; none was run"):
        read_state(tmp_path / "w.pt", state_key="target_encoder")
    assert not witness.exists()


def test_a_bare_pickle_is_not_even_opened(tmp_path):
    witness = tmp_path / "executed"
    (tmp_path / "w.pt").write_bytes(pickle.dumps({"target_encoder": Payload(witness)}))
    with pytest.raises(CheckpointError, match="a bare pickle, which may run code when read, so it was not"):
        read_state(tmp_path / "w.pt", state_key="target_encoder")
    assert not witness.exists()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, part):
    official_file(tmp_path / "w.pt", "v1")
    whole = (tmp_path / "w.pt").read_bytes()
    (tmp_path / "w.pt").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(CheckpointError, match=r"w\.pt: truncated or damaged \([\d,]+ bytes\); download it again"):
        read_state(tmp_path / "w.pt", state_key="target_encoder")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file, not weights; download it again"),
        (b"\n<!DOCTYPE html><html><title>403 Forbidden</title>", "an HTML or XML page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a Git LFS pointer.*git lfs pull"),
        (b"just some words, long enough", "neither a PyTorch nor a safetensors file"),
    ],
)
def test_a_file_that_holds_no_weights_is_named(tmp_path, content, message):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"w\.pt: {message}"):
        read_state(tmp_path / "w.pt", state_key="target_encoder")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.pt"):
        with pytest.raises(CheckpointError, match="there is no such weights file"):
            read_state(path, state_key="target_encoder")


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("holiday.txt", "sun")
    with pytest.raises(CheckpointError, match="cannot be read as a PyTorch file"):
        read_state(tmp_path / "w.pt", state_key="target_encoder")


def test_a_compressed_archive_is_refused_before_it_swells(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(CheckpointError, match=r"its entry 'archive/data\.pkl' is compressed"):
        read_state(tmp_path / "w.pt", state_key="target_encoder")


@pytest.mark.parametrize(
    "value", [3, torch.ones(2, dtype=torch.int64), torch.eye(2).to_sparse(), torch.ones(2, device="meta")]
)
def test_a_state_dict_of_anything_but_plain_tensors_is_refused(tmp_path, value):
    torch.save({"encoder": {"norm.weight": value}}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"norm\.weight is not an ordinary tensor of floating-point numbers"):
        read_state(tmp_path / "w.pt", state_key="encoder")


@pytest.mark.parametrize("value", [None, {}, [torch.ones(2)], 300])
def test_a_key_that_holds_no_state_dict_is_refused(tmp_path, value):
    torch.save({"epoch": value}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"the state dict is .* of no tensors"):
        read_state(tmp_path / "w.pt", state_key="epoch")


def test_a_file_that_is_one_tensor_is_refused(tmp_path):
    torch.save(torch.ones(2), tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="no state dict 'encoder' inside; found: Tensor"):
        read_state(tmp_path / "w.pt", state_key="encoder")


# --- safetensors and bare state dicts


def test_a_safetensors_file_is_read_under_the_key_that_it_tells(tmp_path):
    save_file({"module.norm.weight": torch.ones(3)}, tmp_path / "w.safetensors", metadata={"state_key": "ema_encoder"})
    assert read_state(tmp_path / "w.safetensors", state_key="ema_encoder")["norm.weight"].tolist() == [1, 1, 1]
    with pytest.raises(CheckpointError, match="holds 'ema_encoder', not 'encoder'"):
        read_state(tmp_path / "w.safetensors", state_key="encoder")


def test_a_safetensors_file_without_a_key_is_read_only_as_a_whole(tmp_path):
    save_file({"norm.weight": torch.ones(3)}, tmp_path / "w.safetensors")
    assert list(read_state(tmp_path / "w.safetensors", state_key=WHOLE_FILE)) == ["norm.weight"]
    with pytest.raises(CheckpointError, match="take it as it is with the state key 'file'"):
        read_state(tmp_path / "w.safetensors", state_key="target_encoder")


def test_a_truncated_safetensors_file_is_refused(tmp_path):
    save_file({"norm.weight": torch.ones(30)}, tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    for length in (12, len(whole) - 1):
        (tmp_path / "w.safetensors").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="truncated or damaged safetensors file"):
            read_state(tmp_path / "w.safetensors", state_key=WHOLE_FILE)


def test_a_bare_state_dict_is_read_when_the_whole_file_is_asked_for(tmp_path):
    torch.save({"module.norm.weight": torch.ones(3)}, tmp_path / "w.pt")
    assert list(read_state(tmp_path / "w.pt", state_key=WHOLE_FILE)) == ["norm.weight"]


# --- provenance


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "w.pt").write_bytes(bytes(range(256)) * 4096)
    assert file_sha256(tmp_path / "w.pt") == hashlib.sha256(bytes(range(256)) * 4096).hexdigest()
    with pytest.raises(CheckpointError, match=r"nothing\.pt: cannot be read"):
        file_sha256(tmp_path / "nothing.pt")
