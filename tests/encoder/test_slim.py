"""A slim file is the encoder alone, stands for the file it came from, and is refused when it is damaged."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from typer.testing import CliRunner

from test_checkpoint import official_file, tiny_config
from vjepa_fer.cli.main import app
from vjepa_fer.encoder.loading.checkpoint import check_state, read_state
from vjepa_fer.encoder.loading.slim import slim_checkpoint, weights_identity, write_encoder_file
from vjepa_fer.encoder.model import zoo
from vjepa_fer.errors import CheckpointError


@pytest.fixture
def training(tmp_path):
    official_file(tmp_path / "training.pt", "v21")
    return tmp_path / "training.pt"


@pytest.fixture
def small(training, tmp_path):
    slim_checkpoint(training, tmp_path / "small.safetensors", state_key="ema_encoder")
    return tmp_path / "small.safetensors"


def test_it_holds_the_same_tensors_and_nothing_else(training, small):
    before, after = (read_state(path, state_key="ema_encoder") for path in (training, small))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert small.stat().st_size < training.stat().st_size / 2
    check_state(tiny_config("v21"), after, source=small)


def test_safetensors_itself_reads_it_and_its_metadata(training, small):
    with safe_open(small, framework="pt") as file:
        metadata = file.metadata()
    origin = hashlib.sha256(training.read_bytes()).hexdigest()
    assert (metadata["state_key"], metadata["origin_file"], metadata["origin_sha256"]) == (
        "ema_encoder",
        "training.pt",
        origin,
    )


def test_it_stands_for_the_file_that_it_came_from(training, small, tmp_path):
    assert weights_identity(small) == weights_identity(training) == hashlib.sha256(training.read_bytes()).hexdigest()
    slim_checkpoint(small, tmp_path / "again.safetensors", state_key="ema_encoder")
    assert weights_identity(tmp_path / "again.safetensors") == weights_identity(training)


def test_a_damaged_tensor_is_noticed(small):
    data = bytearray(small.read_bytes())
    data[-100] ^= 1
    small.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"small\.safetensors: damaged, its tensors are not the ones"):
        weights_identity(small)


@pytest.mark.parametrize("metadata", [None, {"origin_sha256": "0" * 64}, {"origin_sha256": "x", "payload_sha256": "y"}])
def test_any_other_safetensors_file_stands_for_itself(tmp_path, metadata):
    save_file({"norm.weight": torch.ones(3)}, tmp_path / "w.safetensors", metadata=metadata)
    digest = hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    assert weights_identity(tmp_path / "w.safetensors") == digest


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_every_precision_is_kept(tmp_path, dtype):
    state = {"a": torch.randn(3, 5).to(dtype), "b": torch.randn(4, 6).to(dtype).T}
    write_encoder_file(tmp_path / "w.safetensors", state, {"state_key": "encoder"})
    again = read_state(tmp_path / "w.safetensors", state_key="encoder")
    assert all(torch.equal(again[name], state[name]) and again[name].dtype == dtype for name in state)


def test_a_file_that_is_there_is_not_overwritten(training, small):
    with pytest.raises(CheckpointError, match=r"small\.safetensors: is there already"):
        slim_checkpoint(training, small, state_key="ema_encoder")


def test_another_key_is_never_taken_instead(training, tmp_path):
    with pytest.raises(CheckpointError, match=r"no state dict 'target_encoder' inside; found: .*ema_encoder"):
        slim_checkpoint(training, tmp_path / "new", state_key="target_encoder")
    with pytest.raises(CheckpointError, match="say which encoder it is, or which state dict to take"):
        slim_checkpoint(training, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_named_encoder_is_checked_strictly(training, tmp_path):
    with pytest.raises(CheckpointError, match=r"not the weights of this encoder \(it looks like V-JEPA 2\.1, 4 layers"):
        slim_checkpoint(training, tmp_path / "new", name="vjepa2.1-large-384")


def test_an_official_file_name_says_which_encoder_and_key(training, tmp_path, monkeypatch):
    official = training.rename(tmp_path / "vjepa2_1_vitl_dist_vitG_384.pt")
    monkeypatch.setattr(zoo.OfficialEncoder, "config", tiny_config("v21"))
    slim_checkpoint(official, tmp_path / "new")
    assert read_state(tmp_path / "new", state_key="ema_encoder")
    with pytest.raises(CheckpointError, match=r"so it is the file of vjepa2\.1-large-384, not of vjepa2\.1-base-384"):
        slim_checkpoint(official, tmp_path / "other", name="vjepa2.1-base-384")


def test_a_folder_that_is_not_there_is_said_and_nothing_is_left(training, tmp_path):
    with pytest.raises(CheckpointError, match="cannot be written: No such file or directory"):
        slim_checkpoint(training, tmp_path / "nowhere" / "new", state_key="ema_encoder")
    assert [p.name for p in tmp_path.iterdir()] == ["training.pt"]


def test_the_command_says_what_it_kept(training, tmp_path):
    words = ["models", "slim", str(training), "-o", str(tmp_path / "s"), "--state-key", "ema_encoder"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.stdout.strip() == str(tmp_path / "s")
    assert hashlib.sha256(training.read_bytes()).hexdigest() in done.stderr
    assert re.search(r"writing \d+ tensors, 0\.00 GB \([\d.]+ GB free\), to ", done.stderr)
    (tmp_path / "s").unlink()
    answer = json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)
    assert answer["origin_size"] == training.stat().st_size
