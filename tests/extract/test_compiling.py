"""Which encoders are compiled, how often, for which batches, and what becomes of a job where that fails: on a CPU that passes for a card."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from test_device import Row, recipe_of
from test_extract import all_levels, check_equal, manifest_of
from videos import write_video
from vjepa_fer.claims import Claims
from vjepa_fer.encoder import can_compile, compile_encoder, load_encoder, require_compiling
from vjepa_fer.errors import RecipeError
from vjepa_fer.extract import ExtractSettings, Target, extract_manifest, extract_together, job, make_recipe, side
from vjepa_fer.extract import batches as batches_module
from vjepa_fer.extract import compiling as compiling_module
from vjepa_fer.extract.batches import Batcher
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.compiling import LEAST_BATCHES, WORTH_SECONDS, encoding_seconds, pays
from vjepa_fer.recipe import Sampling, Storage

SETTINGS = ExtractSettings(workers=0, batch_size=3)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny-v21", weights="random:1")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return manifest_of([write_video(folder / f"v{number}.mp4", 20 + number) for number in range(4)])


class Compiler:
    """A backend of torch's that notes each graph that it is given, or fails; it changes no number."""

    def __init__(self):
        self.shapes, self.error = [], None

    def __call__(self, graph, inputs):
        self.shapes.append(next(tuple(value.shape) for value in inputs if value.ndim == 3))
        if self.error:
            raise self.error
        return graph.forward


@pytest.fixture
def card(monkeypatch):
    """A CPU that passes for a card on which any compiling pays; what compiles there is given back."""
    compiler = Compiler()

    class OnCard(Batcher):
        def compile(self, tell=batches_module.nobody):
            super().compile(tell, backend=compiler)

    def on_card(encoder, recipe, clock, *, batch_size, share):
        return OnCard(encoder, recipe, clock, size=batch_size)

    monkeypatch.setattr(side, "row_encoder", on_card)
    monkeypatch.setattr(compiling_module, "can_compile", lambda encoder: True)
    monkeypatch.setattr(job, "require_compiling", lambda encoder: None)
    monkeypatch.setattr(compiling_module, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(compiling_module, "LEAST_BATCHES", 0)
    return compiler


def eager_rows(folder, manifest, encoder):
    settings = dataclasses.replace(SETTINGS, compile_blocks=False)
    extract_manifest(manifest, folder, encoder, recipe_of(encoder), settings=settings)
    return all_levels(folder)


@pytest.mark.parametrize(
    ("rows", "each", "seconds"),
    [(1000, [0.5], 500), (1000, [0.5, 0.5], 250), (900, [1.0, 0.5], 300), (0, [0.5], 0)],
)
def test_devices_share_the_windows_by_their_speed(rows, each, seconds):
    assert encoding_seconds(rows, each) == pytest.approx(seconds)


@pytest.mark.parametrize("devices", [1, 4])
def test_compiling_pays_from_so_many_minutes_a_device_on(devices):
    assert pays(WORTH_SECONDS * devices + 1, devices)
    assert not pays(WORTH_SECONDS * devices, devices)


def test_a_job_of_two_devices_compiles_once_for_its_own_batch(tmp_path, card, encoder, manifest, capsys):
    other = load_encoder("tiny-v21", weights="random:1")
    extract_manifest(manifest, tmp_path / "c", [encoder, other], recipe_of(encoder), settings=SETTINGS)
    assert [shape[0] for shape in card.shapes] == [3]
    assert capsys.readouterr().err.count("compiling tiny-v21 first, about a minute on each device: the") == 1
    for clip, levels in eager_rows(tmp_path / "eager", manifest, encoder).items():
        np.testing.assert_allclose(all_levels(tmp_path / "c")[clip]["mean"], levels["mean"], atol=1e-5)


def test_caches_of_one_encoder_with_other_windows_compile_once_each(tmp_path, card, encoder, manifest):
    recipes = [
        make_recipe(
            encoder, sampling=Sampling(frames_per_window=frames, frame_step=1), storage=Storage(levels=("mean",))
        )
        for frames in (16, 8)
    ]
    targets = [Target(tmp_path / str(number), [encoder], recipe) for number, recipe in enumerate(recipes)]
    extract_together(manifest, targets, settings=SETTINGS)
    assert len(card.shapes) == len({*card.shapes}) == 2


def test_a_short_job_compiles_nothing_and_says_nothing(tmp_path, card, encoder, manifest, monkeypatch, capsys):
    monkeypatch.setattr(compiling_module, "WORTH_SECONDS", WORTH_SECONDS)
    extract_manifest(manifest, tmp_path, encoder, recipe_of(encoder), settings=SETTINGS)
    assert card.shapes == []
    assert "compil" not in capsys.readouterr().err


def test_a_few_batches_are_not_even_measured(tmp_path, card, encoder, manifest, monkeypatch):
    measured = []
    monkeypatch.setattr(Batcher, "seconds_a_row", lambda batcher: measured.append(1) or 1e9)
    monkeypatch.setattr(compiling_module, "LEAST_BATCHES", LEAST_BATCHES)
    extract_manifest(manifest, tmp_path, encoder, recipe_of(encoder), settings=SETTINGS)
    assert (measured, card.shapes) == ([], [])
    target = Target(tmp_path / "more", [encoder], recipe_of(encoder), rows=LEAST_BATCHES * 3)
    extract_together(manifest, [target], settings=SETTINGS)
    assert len(measured) == len(card.shapes) == 1


@pytest.mark.parametrize("error", [RuntimeError("no C compiler found"), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_job_goes_on_as_before_where_compiling_fails(tmp_path, card, encoder, manifest, capsys, error):
    card.error = error
    targets = [Target(tmp_path / name, [encoder], recipe_of(encoder)) for name in "ab"]
    done = extract_together(manifest, targets, settings=SETTINGS)
    said = capsys.readouterr().err
    assert said.count("note: torch cannot compile the encoder here") == 1
    assert str(error) in said
    assert [one.written for one in done] == [4, 4]
    for name in "ab":
        check_equal(eager_rows(tmp_path / f"eager {name}", manifest, encoder), all_levels(tmp_path / name))


def test_where_one_device_fails_none_is_compiled(card, encoder):
    devices = [side.row_encoder(encoder, recipe_of(encoder), StageClock(), batch_size=2, share=1) for _ in range(2)]
    refused, told = RecipeError("torch cannot compile the encoder here (no driver)"), []

    def fails(tell):
        raise refused

    devices[1].compile = fails
    compiling_module.compile_where_it_pays([compiling_module.Part(devices, lambda: 9)], told.append)
    assert told[1:] == [f"note: {refused}; it runs as it is"]
    assert [one._compiled for one in devices] == [None, None]
    assert len(card.shapes) == 1


def test_what_was_asked_for_and_fails_is_refused(tmp_path, card, encoder, manifest):
    card.error = RuntimeError("no C compiler found")
    settings = dataclasses.replace(SETTINGS, compile_blocks=True)
    with pytest.raises(RecipeError, match=r"torch cannot compile the encoder here .*no C compiler found") as caught:
        extract_manifest(manifest, tmp_path, encoder, recipe_of(encoder), settings=settings)
    assert "without --compile" in caught.value.__notes__[0]


def test_on_a_cpu_nothing_is_compiled_unasked(tmp_path, encoder, manifest, monkeypatch, capsys):
    monkeypatch.setattr(compiling_module, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(batches_module, "compile_encoder", None)
    done = extract_manifest(manifest, tmp_path, encoder, recipe_of(encoder), settings=SETTINGS)
    assert done.written == 4
    assert "compil" not in capsys.readouterr().err


def test_a_batch_that_halves_later_is_not_compiled_again(encoder):
    compiler, told, rows = Compiler(), [], [Row(encoder, number) for number in range(4)]
    batcher = Batcher(encoder, recipe_of(encoder), StageClock(), size=4)
    batcher.compile(told.append, backend=compiler)
    encode, most = batcher._levels, 2

    def small(pixels):
        if len(pixels) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(pixels)

    batcher._levels = small
    batcher.run(rows)
    batcher.land()
    assert told == ["memory ran out on cpu: batches of 2, no longer compiled"]
    assert len(compiler.shapes) == 1
    assert all(np.isfinite(row.levels["mean"]).all() for row in rows)


def test_a_batch_that_is_too_large_to_be_measured_halves(encoder, monkeypatch):
    batcher, encode = Batcher(encoder, recipe_of(encoder), StageClock(), size=4), batches_module.encode_levels

    def small(encoder, pixels, recipe):
        if len(pixels) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(encoder, pixels, recipe)

    monkeypatch.setattr(batches_module, "encode_levels", small)
    assert batcher.seconds_a_row() > 0
    assert batcher.size == 1


def test_a_compiled_encoder_shares_the_weights_and_leaves_the_other_alone(encoder):
    compiled = compile_encoder(encoder, lambda one: one.encode(torch.rand(1, 3, 16, 64, 64)), backend="eager")
    for ours, theirs in zip(encoder.module.parameters(), compiled.module.parameters(), strict=True):
        assert ours is theirs
    assert all(block._compiled_call_impl is None for block in encoder.module.blocks)
    assert all(block._compiled_call_impl is not None for block in compiled.module.blocks)


def test_more_encoders_and_shapes_are_compiled_than_torch_takes_by_itself(encoder):
    compiler = Compiler()
    for size in range(1, torch._dynamo.config.cache_size_limit + 2):
        Batcher(encoder, recipe_of(encoder), StageClock(), size=size).compile(backend=compiler)
    assert [shape[0] for shape in compiler.shapes] == list(range(1, torch._dynamo.config.cache_size_limit + 2))


def test_only_our_own_blocks_are_compiled(encoder):
    pixels, ours = (
        dataclasses.replace(one, device=torch.device("cuda")) for one in (load_encoder("pixels:4"), encoder)
    )
    assert (can_compile(ours), can_compile(pixels), can_compile(encoder)) == (True, False, False)
    with pytest.raises(RecipeError, match="compiling is for V-JEPA's blocks; pixels:4 has none: leave out --compile"):
        require_compiling(pixels)


def test_what_is_to_come_is_counted_and_shared_with_those_who_are_there(tmp_path, card, encoder, manifest, monkeypatch):
    expected = []
    monkeypatch.setattr(job, "compile_where_it_pays", lambda parts, tell: expected.append(parts[0].rows()))
    recipe = recipe_of(encoder)
    extract_manifest(manifest, tmp_path / "a", encoder, recipe, settings=SETTINGS)
    extract_manifest(manifest, tmp_path / "a", encoder, recipe, settings=SETTINGS)
    with Claims(tmp_path / "a"):
        extract_together(manifest, [Target(tmp_path / "a", [encoder], recipe, rows=70)], settings=SETTINGS)
    assert expected[0] > 0
    assert expected[1:] == [0, 35]
