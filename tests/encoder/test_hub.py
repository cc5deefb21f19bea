"""Hugging Face's V-JEPA 2 is the same encoder in another layout: mapped exactly, kept apart by its state key."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import VJEPA2Config, VJEPA2Model
from typer.testing import CliRunner

from test_checkpoint import tiny_config
from vjepa_fer.cli.main import app
from vjepa_fer.encoder import build_encoder, load_encoder
from vjepa_fer.encoder.fetching import hub as fetch_hub
from vjepa_fer.encoder.fetching.hub import fetch_from_hub
from vjepa_fer.encoder.files.home import weights_file
from vjepa_fer.encoder.loading import registry
from vjepa_fer.encoder.loading.checkpoint import load_state, read_state
from vjepa_fer.encoder.loading.hub_layout import joined, official_layout
from vjepa_fer.errors import CheckpointError, DownloadError, MissingExtraError

KEYS = json.loads(gzip.decompress((Path(__file__).parents[1] / "data" / "checkpoint_keys.json.gz").read_bytes()))
NAME = "vjepa2-large-256"
TINY = {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "mlp_ratio": 2.0, "crop_size": 64}
TINY |= {"frames_per_clip": 8, "pred_hidden_size": 12, "pred_num_hidden_layers": 1, "pred_num_attention_heads": 2}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    return VJEPA2Model(VJEPA2Config(**TINY)).eval()


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    """The file of a repository, written by transformers itself."""
    folder = tmp_path_factory.mktemp("repository")
    theirs.save_pretrained(folder)
    return folder / "model.safetensors"


@pytest.fixture
def repository(file, monkeypatch):
    """As if the hub had this file for every repository; yields what was asked for."""
    asked = []

    def hf_hub_download(repo, name):
        asked.append((repo, name))
        return str(file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
    for module in (fetch_hub, registry):
        monkeypatch.setattr(module, "encoder_config", lambda name: tiny_config("v2"))
    return asked


def test_the_names_and_shapes_of_the_official_model_are_mapped_exactly():
    with torch.device("meta"):
        state = VJEPA2Model(VJEPA2Config()).state_dict()  # its defaults are ViT-L
    layout = official_layout(state, "model.safetensors")
    mapped = {name: joined(name, [state[n] for n in names], "model.safetensors") for name, names in layout.items()}
    assert {name: list(t.shape) for name, t in mapped.items()} == KEYS[NAME]


def test_the_mapped_encoder_gives_their_tokens(theirs, file):
    ours = build_encoder(tiny_config("v2"))
    load_state(ours, read_state(file, state_key="encoder"), source=file)
    pixels = torch.randn(2, 8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.get_vision_features(pixels)
    torch.testing.assert_close(ours(pixels.transpose(1, 2)), expected, atol=1e-5, rtol=0)


def test_their_file_is_the_online_encoder_and_nothing_else(file):
    with pytest.raises(CheckpointError, match=r"holds 'encoder', not 'target_encoder'; take it .* state key 'encoder'"):
        read_state(file, state_key="target_encoder")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder.layer.0.attention.key.bias": None}, r"blocks\.0\.attn\.qkv\.bias needs .* but key is missing"),
        ({"encoder.layer.0.attention.key.bias": torch.ones(7)}, "query, key and value of different shapes"),
        ({"classifier.weight": torch.ones(7)}, r"classifier\.weight is no tensor of Hugging Face's V-JEPA 2"),
    ],
)
def test_a_file_that_is_not_quite_theirs_is_refused_by_name(theirs, tmp_path, change, message):
    state = {k: v for k, v in (theirs.state_dict() | change).items() if v is not None}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        read_state(tmp_path / "model.safetensors", state_key="encoder")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_their_file_loads_as_it_is_in_every_precision(repository, file, precision):
    exact = read_state(file, state_key="encoder")
    loaded = load_encoder(NAME, weights=file, state_key="encoder", precision=precision)
    dtype = getattr(torch, precision)
    assert all(torch.equal(p, exact[name].to(dtype)) for name, p in loaded.module.named_parameters())


def test_fetching_rewrites_the_encoder_alone_under_our_name(home, repository, file):
    fetched = fetch_from_hub(NAME)
    assert repository == [("facebook/vjepa2-vitl-fpc64-256", "model.safetensors")]
    assert fetched.path == home / "weights" / "vjepa2-large-256-encoder.safetensors"
    assert fetched.record.state_key == "encoder"
    written, original = read_state(fetched.path, state_key="encoder"), read_state(file, state_key="encoder")
    assert written.keys() == original.keys()
    assert all(torch.equal(written[name], original[name]) for name in original)


def test_fetching_again_compares_and_asks_nobody(repository):
    first, again = fetch_from_hub(NAME), fetch_from_hub(NAME)
    assert (again.is_new, again.record, len(repository)) == (False, first.record, 1)


def test_the_same_file_gives_the_same_bytes(repository):
    first = fetch_from_hub(NAME)
    first.path.unlink()
    assert fetch_from_hub(NAME).record == first.record


def test_the_rewritten_and_the_original_file_are_one_recipe(repository, file):
    fetch_from_hub(NAME)
    by_name = load_encoder(NAME, state_key="encoder").spec
    by_file = load_encoder(NAME, weights=file, state_key="encoder").spec
    assert by_name == by_file
    assert by_name.weights == hashlib.sha256(file.read_bytes()).hexdigest()


def test_it_is_used_only_on_request(repository):
    fetch_from_hub(NAME)
    with pytest.raises(CheckpointError, match="only Hugging Face's weights are here"):
        load_encoder(NAME)


def test_a_repository_of_another_encoder_is_refused_and_leaves_nothing(home, repository, monkeypatch):
    monkeypatch.setattr(fetch_hub, "encoder_config", lambda name: tiny_config("v2", depth=5))
    with pytest.raises(CheckpointError, match=r"not the weights of this encoder .* 12 missing: blocks\.4"):
        fetch_from_hub(NAME)
    assert not weights_file(NAME, hub=True).exists()


def test_a_hub_that_cannot_be_reached_is_said(monkeypatch):
    def fail(repo, name):
        raise OSError("no route to host\nand more")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(DownloadError, match=r"vitl-fpc64-256: model\.safetensors cannot be fetched: no route to host$"):
        fetch_from_hub(NAME)


def test_families_without_a_repository_say_so():
    with pytest.raises(DownloadError, match=r"vjepa2\.1-large-384: Meta has no repository on Hugging Face"):
        fetch_from_hub("vjepa2.1-large-384")


def test_without_the_extra_its_pip_line_is_printed(monkeypatch):
    monkeypatch.setattr("vjepa_fer.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vjepa-fer\[hub\]'"):
        fetch_from_hub(NAME)


def test_the_command_says_which_state_dict_it_is(repository):
    done = CliRunner().invoke(app, ["models", "fetch", NAME, "--source", "huggingface"], catch_exceptions=False)
    assert "use it with `--state-key encoder`" in done.stderr
    assert Path(done.stdout.strip()).is_file()
