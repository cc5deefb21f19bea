"""An encoder by name with its weights and preprocessing, in one value."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from vjepa_fer.encoder import build_encoder, compile_encoder, load_encoder, pick_device
from vjepa_fer.encoder.files import hashes
from vjepa_fer.encoder.files.hashes import known_sha256
from vjepa_fer.encoder.loading.load import _portions, random_encoder
from vjepa_fer.encoder.model.zoo import TINY, encoder_config
from vjepa_fer.errors import CheckpointError, RecipeError
from vjepa_fer.recipe import Preprocessing


def pixels(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def weights(tmp_path):
    """A tiny training checkpoint on disk."""
    state = build_encoder(encoder_config(TINY)).state_dict()
    path = tmp_path / "tiny.pt"
    torch.save({"target_encoder": {f"module.backbone.{k}": v for k, v in state.items()}, "epoch": 3}, path)
    return path


def test_an_encoder_comes_with_its_spec_and_its_preprocessing(weights):
    loaded = load_encoder(TINY, weights=weights)
    assert loaded.preprocessing == Preprocessing(crop_size=64)
    assert (loaded.spec.name, loaded.spec.state_key, loaded.precision) == (TINY, "target_encoder", "float32")
    assert loaded.spec.weights == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert loaded.device == torch.device("cpu")


def test_it_encodes_what_its_module_does(weights):
    loaded, x = load_encoder(TINY, weights=weights), pixels(2, 3, 16, 64, 64)
    tokens = loaded.encode(x)
    assert tokens.shape == (2, 8 * 4 * 4, 48)
    assert torch.equal(tokens, loaded.module(x))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_other_precisions_encode_to_float32_near_the_exact_tokens(precision):
    x = pixels(1, 3, 16, 64, 64)
    exact = load_encoder(TINY, weights="random:0").encode(x)
    loaded = load_encoder(TINY, weights="random:0", precision=precision)
    tokens = loaded.encode(x)
    assert loaded.module.norms_block[0].weight.dtype == getattr(torch, precision)
    assert tokens.dtype == torch.float32
    assert 0 < (tokens - exact).norm() / exact.norm() < 0.02


def test_random_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    one = load_encoder(TINY, weights="random:7").module.state_dict()
    torch.manual_seed(2)
    two = load_encoder(TINY, weights="random:7").module.state_dict()
    other = load_encoder(TINY, weights="random:8").module.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_random_weights_are_the_same_bits_everywhere():
    state = load_encoder(TINY, weights="random:0").module.state_dict()
    digest = hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()
    assert digest == "6e562949192505f46c6f732ca3e1b43627468c5f7c16fb5ffc68724f68819aba"


def test_random_weights_are_recorded_as_such():
    spec = load_encoder(TINY, weights="random:007").spec
    assert (spec.weights, spec.state_key) == ("random:7", "random")


def test_random_tokens_are_neither_flat_nor_huge():
    tokens = load_encoder(TINY, weights="random:0").encode(pixels(2, 3, 16, 64, 64))
    assert 0.5 < tokens.std() < 2
    assert (tokens[0] - tokens[1]).std() > 0.1


def test_random_v1_encoders_keep_their_fixed_positions():
    config = {**encoder_config("vjepa1-large-224"), "depth": 1}
    assert torch.equal(random_encoder(config, 0).pos_embed, build_encoder(config).pos_embed)


def test_without_weights_the_message_says_where_to_get_them():
    with pytest.raises(
        CheckpointError, match=r"download https://dl\.fbaipublicfiles\.com/vjepa2/vitl\.pt and give the"
    ):
        load_encoder("vjepa2-large-256")
    with pytest.raises(CheckpointError, match="tiny-v21 has no official weights: give random:0"):
        load_encoder(TINY)


@pytest.mark.parametrize("seed", ["", "abc", "-1", "1.5", "1" * 19, "²"])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(RecipeError, match="the seed after 'random:' must be a whole number of up to 18 digits"):
        load_encoder(TINY, weights=f"random:{seed}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "float8"}, "precision 'float8' is not one of float32, bfloat16, float16"),
        ({"device": "gpu"}, "device 'gpu' cannot be used here"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
        ({"state_key": "encoder"}, "random weights have no state key, but 'encoder' was asked for"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings, message):
    with pytest.raises(RecipeError, match=message):
        load_encoder(TINY, weights="random:0", **settings)


@pytest.mark.parametrize(("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_is_the_best_device_at_hand(monkeypatch, cuda, mps, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert (pick_device("auto"), pick_device("cuda:1")) == (best, "cuda:1")


def test_a_file_that_is_not_there_in_place_of_a_name_is_said():
    with pytest.raises(CheckpointError, match=r"vitl\.pt: there is no such weights file"):
        load_encoder("vitl.pt")


def test_an_official_file_under_another_name_is_refused_before_it_is_read(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"called vitg\.pt .*, so it is the file of vjepa2-giant-256, not of tiny-v21"
    ):
        load_encoder(TINY, weights=tmp_path / "vitg.pt")


def test_another_state_key_is_taken_only_on_request(weights):
    with pytest.raises(CheckpointError, match="no state dict 'ema_encoder' inside; found: target_encoder, epoch"):
        load_encoder(TINY, weights=weights, state_key="ema_encoder")


def test_a_file_of_another_encoder_is_refused_by_name(weights):
    with pytest.raises(
        CheckpointError, match=r"tiny\.pt: not the weights of this encoder \(it looks like V-JEPA 2\.1, 4 la"
    ):
        load_encoder("vjepa2-large-256", weights=weights)


def test_changing_a_loaded_encoder_leaves_the_mapped_file_as_it_was(weights):
    before = weights.read_bytes()
    load_encoder(TINY, weights=weights).module.norms_block[0].weight.zero_()
    assert weights.read_bytes() == before


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_weights_converted_in_portions_are_those_converted_at_once(weights, precision):
    exact = load_encoder(TINY, weights=weights).module.to(getattr(torch, precision)).state_dict()
    converted = load_encoder(TINY, weights=weights, precision=precision).module
    assert all(torch.equal(p, exact[name]) for name, p in converted.named_parameters())
    assert not any(p.requires_grad for p in converted.parameters())


def test_portions_hold_every_parameter_once_and_none_is_large():
    with torch.device("meta"):
        module = build_encoder(encoder_config("vjepa2-giant-256"))
    sizes = {name: p.numel() for name, p in module.named_parameters()}
    portions = _portions(module)
    assert [name for names in portions for name in names] == list(sizes)
    assert max(sum(sizes[name] for name in names) for names in portions) < sum(sizes.values()) / 14


PEAK = """
import sys, torch
from vjepa_fer.encoder import load_encoder
def kib(field):
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith(field)))
torch.set_num_threads(1)
path, precision = sys.argv[1:]
load_encoder("tiny-v21", weights="random:0", precision=precision)
before = kib("VmRSS")
module = load_encoder("vjepa2.1-base-384", weights=path, precision=precision).module
for p in module.parameters():
    p.sum(dtype=torch.float32)  # every byte is read
print((kib("VmHWM") - before) * 1024 / sum(p.nbytes for p in module.parameters()))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_peak_memory_is_little_more_than_the_encoder(tmp_path):
    with torch.device("meta"):
        shapes = build_encoder(encoder_config("vjepa2.1-base-384")).state_dict()
    state = {name: torch.zeros(tensor.shape) for name, tensor in shapes.items()}
    torch.save({"ema_encoder": state}, tmp_path / "w.pt")
    for precision in ("float32", "bfloat16"):
        command = [sys.executable, "-c", PEAK, str(tmp_path / "w.pt"), precision]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert float(done.stdout) < 1.3, precision


# --- hashes


def test_the_hash_of_an_unchanged_file_is_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hashes, "SETTLED_SECONDS", -1)
    file = tmp_path / "w.pt"
    file.write_bytes(b"one")
    assert known_sha256(file) == hashlib.sha256(b"one").hexdigest()
    assert known_sha256(file, start=1) == hashlib.sha256(b"ne").hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(hashes, "file_sha256", None)  # would fail if it were called
        assert known_sha256(file) == hashlib.sha256(b"one").hexdigest()
        assert known_sha256(file, start=1) == hashlib.sha256(b"ne").hexdigest()
    file.write_bytes(b"two")
    assert known_sha256(file) == hashlib.sha256(b"two").hexdigest()
    assert known_sha256(file, start=1) == hashlib.sha256(b"wo").hexdigest()


def test_the_hash_of_a_file_just_written_is_not_trusted_yet(tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "home"))
    (tmp_path / "w.pt").write_bytes(b"one")
    known_sha256(tmp_path / "w.pt")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"w": 3}', "[" * 100_000])
def test_a_damaged_memory_of_hashes_is_forgotten(tmp_path, monkeypatch, content):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path))
    monkeypatch.setattr(hashes, "SETTLED_SECONDS", -1)
    (tmp_path / "w.pt").write_bytes(b"one")
    known_sha256(tmp_path / "w.pt")
    [note] = (tmp_path / "hashes").iterdir()
    note.write_text(content)
    assert known_sha256(tmp_path / "w.pt") == hashlib.sha256(b"one").hexdigest()


def test_hashes_that_are_remembered_at_once_are_all_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path))
    monkeypatch.setattr(hashes, "SETTLED_SECONDS", -1)
    files = [tmp_path / f"{number}.pt" for number in range(40)]
    for file in files:
        file.write_text(file.name)
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(known_sha256, files))
    monkeypatch.setattr(hashes, "file_sha256", None)
    assert [known_sha256(file) for file in files] == digests


def test_a_compiled_encoder_gives_the_same_tokens():
    encoder, pixels = load_encoder("tiny-v21", weights="random:1"), torch.rand(1, 3, 16, 64, 64)
    expected = encoder.encode(pixels)
    compiled = compile_encoder(encoder, lambda one: one.encode(pixels), backend="eager")
    torch.testing.assert_close(compiled.encode(pixels), expected)


def test_compiling_without_cuda_is_refused():
    encoder = load_encoder("tiny-v21", weights="random:1")
    with pytest.raises(RecipeError, match="compiling is for CUDA; the encoder is on cpu"):
        compile_encoder(encoder, lambda one: one.encode(torch.zeros(1, 3, 16, 64, 64)))


def test_a_compiler_that_fails_is_named():
    def broken(graph, inputs):
        raise RuntimeError("no C compiler found\nlong story")

    encoder, pixels = load_encoder("tiny-v21", weights="random:1"), torch.zeros(1, 3, 16, 64, 64)
    with pytest.raises(RecipeError, match=r"torch cannot compile the encoder here \(.*no C compiler found"):
        compile_encoder(encoder, lambda one: one.encode(pixels), backend=broken)
