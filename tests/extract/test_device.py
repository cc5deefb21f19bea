"""What a GPU would do, as far as it can be seen without one: streams that only note what they are asked, and torch's own operations counted."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.encoder.model import kernels
from vjepa_fer.errors import RecipeError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe, precision, settle_precision
from vjepa_fer.extract.batches import Batcher
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.levels import encode_levels
from vjepa_fer.extract.links import CudaLink
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.video import normalise

ONE_CLIP = Manifest(clips=(Clip("a", "a.mp4", "happy", "anna"),))


@pytest.fixture
def encoder():
    return load_encoder("tiny-v21", weights="random:1")


class Row:
    """A window of pixels that keeps what became of it."""

    def __init__(self, encoder, number):
        side = encoder.preprocessing.crop_size
        self.pixels = np.random.default_rng(number).integers(0, 256, (16, side, side, 3), dtype=np.uint8)

    def finish(self, levels):
        self.levels = levels


def recipe_of(encoder, *levels):
    return make_recipe(encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=levels or ("mean",)))


class FakeCuda:
    """Streams and events that note the order of what they are asked; each event is a second after the last one."""

    def __init__(self):
        self.log, self.streams, self.time, self.synchronised = [], 0, 0.0, 0

    def Stream(self, device):
        self.streams += 1
        return FakeStream(self, f"stream {self.streams}")

    def Event(self, *, enable_timing, blocking):
        assert enable_timing
        assert blocking
        return FakeEvent(self)

    @contextmanager
    def stream(self, stream):
        self.log.append(("enter", stream.name))
        yield
        self.log.append(("leave", stream.name))

    def current_stream(self, device):
        return FakeStream(self, "working")


class FakeStream:
    def __init__(self, cuda, name):
        self.cuda, self.name = cuda, name

    def wait_stream(self, other):
        self.cuda.log.append(("wait", self.name, other.name))


class FakeEvent:
    def __init__(self, cuda):
        self.cuda = cuda

    def record(self, stream):
        self.cuda.time += 1
        self.at = self.cuda.time
        self.cuda.log.append(("event", stream.name))

    def synchronize(self):
        self.cuda.synchronised += 1

    def elapsed_time(self, other):
        return 1e3 * (other.at - self.at)


@pytest.fixture
def cuda(monkeypatch):
    fake, empty = FakeCuda(), torch.empty
    for name in ("Stream", "Event", "stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, getattr(fake, name))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: fake.log.append(("held", stream.name)))
    monkeypatch.setattr(torch, "empty", lambda *shape, pin_memory=False, **kinds: empty(*shape, **kinds))
    return fake


def test_copies_run_on_streams_of_their_own_and_the_devices_clock_is_read(encoder, cuda):
    recipe, clock = recipe_of(encoder), StageClock()
    rows = [Row(encoder, number) for number in range(3)]
    batcher = Batcher(encoder, recipe, clock, size=2)
    batcher.link = CudaLink(encoder.device, clock)
    batcher.run(rows)
    assert cuda.synchronised == 1  # of the first batch, when the second was under way
    one_batch = [
        ("enter", "stream 1"), ("event", "stream 1"), ("event", "stream 1"), ("leave", "stream 1"),
        ("wait", "working", "stream 1"), ("held", "working"), ("event", "working"), ("event", "working"),
        ("wait", "stream 2", "working"), ("enter", "stream 2"), ("event", "stream 2"), ("held", "stream 2"),
        ("event", "stream 2"), ("leave", "stream 2"),
    ]  # fmt: skip
    assert cuda.log == one_batch * 2
    batcher.land()
    assert clock._seconds == {"transfer": 4.0, "encode": 2.0}
    plain = Batcher(encoder, recipe, StageClock(), size=2)
    again = [Row(encoder, number) for number in range(3)]
    plain.run(again)
    plain.land()
    for ours, theirs in zip(rows, again, strict=True):
        assert np.array_equal(ours.levels["mean"], theirs.levels["mean"])


def test_one_batch_is_timed_by_the_devices_clock_and_counts_for_no_stage(encoder, cuda):
    clock = StageClock()
    batcher = Batcher(encoder, recipe_of(encoder), clock, size=2)
    batcher.link = CudaLink(encoder.device, clock)
    assert batcher.seconds_a_row() == 0.5  # events of the fake are a second apart
    assert cuda.synchronised == 2  # the first batch loads the kernels
    assert clock._seconds == {}


class Made(TorchDispatchMode):
    """Counts tensors that are made on the CPU while another device is asked to work."""

    def __init__(self):
        super().__init__()
        self.on_cpu = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        self.on_cpu += isinstance(found, torch.Tensor) and found.device.type == "cpu"
        return found


def test_a_batch_is_normalised_without_anything_made_on_the_host(encoder):
    pixels = torch.empty(2, 16, 64, 64, 3, dtype=torch.uint8, device="meta")
    normalise(pixels, encoder.preprocessing)
    with Made() as made:
        assert normalise(pixels, encoder.preprocessing).device.type == "meta"
    assert made.on_cpu == 0


def test_it_is_compiled_once_and_for_the_jobs_own_shape(encoder):
    shapes = []

    def counted(graph, inputs):
        shapes.append([tuple(value.shape) for value in inputs if isinstance(value, torch.Tensor) and value.ndim == 3])
        return graph.forward

    batcher = Batcher(encoder, recipe_of(encoder), StageClock(), size=3)
    batcher.compile(backend=counted)
    compiled = len(shapes)
    rows = [Row(encoder, number) for number in range(7)]  # the last batch is filled up
    batcher.run(rows)
    batcher.land()
    assert compiled == len(shapes) == 1
    assert {shape[0] for shape in shapes[0]} == {3}


def test_no_more_than_two_layers_are_in_memory(encoder):
    alive, most = [], 0
    pixels, layers = torch.rand(1, 3, 16, 64, 64), (0, 1, 2, None)
    for _, tokens in encoder.encode_layers(pixels, layers):
        alive.append(weakref.ref(tokens))
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))
    assert len(alive) == 4
    assert most <= 2


def test_layers_one_by_one_are_those_side_by_side(encoder):
    pixels, layers = torch.rand(2, 3, 16, 64, 64), encoder.spec.layers_with_norm
    storage = tuple(f"mean@{layer}" for layer in layers[:-1])
    levels = encode_levels(encoder, pixels, recipe_of(encoder, *storage, "mean"))
    with torch.inference_mode():
        side_by_side = encoder.module.layer_tokens(pixels, layers)
    for layer, tokens in zip(layers[:-1], side_by_side, strict=False):
        torch.testing.assert_close(levels[f"mean@{layer}"], tokens.mean(1), atol=1e-6, rtol=0)
    torch.testing.assert_close(levels["mean"], side_by_side[-1].mean(1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [([(9, 0)], "bfloat16"), ([(8, 0), (8, 6)], "bfloat16"), ([(8, 0), (7, 5)], "float32")],
)
def test_auto_is_bfloat16_where_every_card_has_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda place: capabilities[place.index])
    devices = [f"cuda:{number}" for number in range(len(capabilities))]
    settled = settle_precision("auto", devices)
    assert settled.precision == expected
    assert ("--precision float32" in settled.why) == (expected == "bfloat16")
    assert settle_precision("float32", devices) == ("float32", "")


def test_auto_is_float32_on_a_cpu_where_float16_is_said_to_be_slow():
    assert settle_precision("auto", ["cpu"]) == ("float32", "")
    assert settle_precision("float16", ["cpu"]).why == "on a CPU float16 takes 3.5 times as long as float32"
    assert settle_precision("bfloat16", ["cpu"]) == ("bfloat16", "")


def test_auto_goes_on_as_the_cache_was_begun(tmp_path):
    half = load_encoder("tiny-v21", weights="random:1", precision="bfloat16")
    prepare_cache(tmp_path / "cache", recipe_of(half), ONE_CLIP)
    settled = settle_precision("auto", ["cpu"], tmp_path / "cache")
    assert settled.precision == "bfloat16"
    assert "as the rows that are in" in settled.why
    assert settle_precision("auto", ["cpu"], tmp_path / "other").precision == "float32"
    assert precision.BFLOAT16_FROM == 8


def test_compiling_is_refused_before_a_folder_is_made(encoder, tmp_path):
    settings = ExtractSettings(workers=0, compile_blocks=True)
    with pytest.raises(RecipeError, match="compiling is for CUDA"):
        extract_manifest(ONE_CLIP, tmp_path / "cache", encoder, recipe_of(encoder), settings=settings)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("major", "first"), [(9, "CUDNN_ATTENTION"), (10, "CUDNN_ATTENTION"), (8, "FLASH_ATTENTION")])
def test_the_attention_kernel_is_chosen_by_the_card(monkeypatch, major, first):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 0))
    order = kernels.kernels_in_order(torch.device("cuda:0"))
    assert order[0].name == first
    assert {kernel.name for kernel in order} >= {"FLASH_ATTENTION", "EFFICIENT_ATTENTION", "MATH"}
    assert kernels.kernels_in_order(torch.device("cpu")) == []


def test_the_order_of_kernels_is_ours_while_an_encoder_runs(encoder, monkeypatch):
    """On a CPU torch has a choice too: flash, or plain mathematics."""
    seen, attention = [], torch.nn.functional.scaled_dot_product_attention

    def noted(q, k, v):
        seen.append(kernels.SDPBackend(torch._fused_sdp_choice(q, k, v)).name)
        return attention(q, k, v)

    monkeypatch.setattr("vjepa_fer.encoder.model.vit.F.scaled_dot_product_attention", noted)
    pixels = torch.rand(1, 3, 16, 64, 64)
    for name in ("MATH", "FLASH_ATTENTION"):
        seen.clear()
        monkeypatch.setattr(kernels, "kernels_in_order", lambda device, name=name: [getattr(kernels.SDPBackend, name)])
        encoder.encode(pixels)
        dict(encoder.encode_layers(pixels, (1, None)))
        assert set(seen) == {name}
        assert encoder.attention_kernel(128) == name.removesuffix("_ATTENTION").lower()


def test_the_order_stays_while_another_device_is_still_at_work(monkeypatch):
    monkeypatch.setattr(kernels, "kernels_in_order", lambda device: [kernels.SDPBackend.MATH])
    device, q = torch.device("cpu"), torch.rand(1, 2, 8, 16)
    before = torch._fused_sdp_choice(q, q, q)
    one, other = kernels.chosen_kernels(device), kernels.chosen_kernels(device)
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert kernels.SDPBackend(torch._fused_sdp_choice(q, q, q)).name == "MATH"
    other.__exit__(None, None, None)
    assert torch._fused_sdp_choice(q, q, q) == before != kernels.SDPBackend.MATH.value


CHECK = Path(__file__).parents[2] / "benchmarks" / "gpu_check.py"


def test_the_check_for_a_card_runs_in_all_its_parts():
    pytest.importorskip("transformers")
    done = subprocess.run([sys.executable, CHECK, "--rehearse"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "of the matrix rate" in done.stdout
    assert "times as fast as a plain transformers loop" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")
def test_the_check_for_a_card_says_that_there_is_none():
    pytest.importorskip("transformers")
    done = subprocess.run([sys.executable, CHECK], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no GPU at hand: nothing was measured" in done.stderr
