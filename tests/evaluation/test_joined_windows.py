"""Promises of the decision joined-windows: V-JEPA's own evaluation, a view's windows as one sequence and probabilities averaged over views."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caches import small_manifest, small_recipe, small_rows, write_small_cache
from test_cli_probe import call
from test_probes_attentive import plain_logits
from videos import write_video
from vjepa_fer.cache import ClipRows, ShardWriter, open_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import CacheError, ProbeError
from vjepa_fer.evaluation import cross_validate
from vjepa_fer.experiment import (
    DECISIONS,
    JOINED_WINDOWS,
    Cell,
    Experiment,
    Protocol,
    experiment_from_toml,
    make_cells,
    plan_title,
)
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.features import TokenStream, Windowed, join, windows_in_time
from vjepa_fer.folds import make_folds
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.predict import load_predictor
from vjepa_fer.predict.plan import bytes_of_vectors
from vjepa_fer.predict.views import join_views, part_views
from vjepa_fer.probes import make_probe
from vjepa_fer.probes.attentive.model import initial_parameters, parameter_shapes
from vjepa_fer.probes.attentive.probe import AttentiveProbe
from vjepa_fer.recipe import EncoderSpec, Preprocessing, Sampling, Storage
from vjepa_fer.sweep import sweep
from vjepa_fer.video import Window

DATA = Path(__file__).parents[1] / "data"
NUM_WINDOWS, NUM_VIEWS, NUM_CLASSES = 3, 2, 8


# --- which windows, how often


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(1, 8)), min_size=1, max_size=9, unique_by=lambda one: one[0])
)
def test_windows_stand_in_time_order_each_with_its_share(windows):
    start, times = np.array(windows).T
    order = windows_in_time(start, times)
    assert (np.diff(start[order]) >= 0).all()
    counts = np.bincount(order, minlength=len(windows))
    assert (counts * times.sum() == times * len(order)).all()
    assert np.gcd.reduce(counts) == 1


def test_a_row_is_a_view_with_its_windows_one_after_the_other(tmp_path):
    recipe = small_recipe()
    prepare_cache(tmp_path / "cache", recipe, small_manifest(2))
    writer = ShardWriter(tmp_path / "cache", recipe)
    for clip, times in (("c0", [2, 2, 4]), ("c1", [8])):
        rows = small_rows(clip, recipe, num_rows=2 * len(times))
        start = 10 - np.repeat(np.arange(len(times)), 2)  # the last window comes first on the disk
        view = np.tile([0, 1], len(times))
        writer.add(dataclasses.replace(rows, start_frame=start, view=view, multiplicity=np.repeat(times, 2)))
    writer.flush()
    clips = list(open_cache(tmp_path / "cache"))
    stream = TokenStream(clips, "tokens", row="view")
    assert stream.clip_index.tolist() == [0, 0, 1, 1]
    assert stream.lengths.tolist() == [32, 32, 8, 8]  # four of 8 tokens: the window made four times stands there twice
    assert stream.shape == (4, 32, 8)
    tokens = clips[0].level("tokens").reshape(6, 8, 8)
    for view in (0, 1):
        expected = np.concatenate([tokens[row + view] for row in (4, 4, 2, 0)])
        np.testing.assert_array_equal(stream[[view]][0], expected)
    part = stream.take(np.array([3, 1]))
    assert part.lengths.tolist() == [8, 32]
    np.testing.assert_array_equal(part[[1]], stream[[1]])


# --- the reference classifier


@pytest.fixture(params=["v1", "v2"])
def golden(request):
    """Tokens (3, 48, 48), parameters (w:…) and logits (3, 8) recorded from the official classifier."""
    with np.load(DATA / f"attentive_{request.param}_a.npz") as file:
        return dict(file)


def stretched(folder, golden, *, times=1):
    """A cache of 16 clips in two views of three windows each: view v of clip n has the recorded tokens of number n + v."""
    width = golden["tokens"].shape[2]
    encoder = EncoderSpec(
        name="tiny", family="v2", img_size=32, embed_dim=width, depth=1, num_heads=1, weights="random:0", state_key="x"
    )
    recipe = small_recipe(
        encoder=encoder,
        sampling=Sampling(frames_per_window=8, frame_step=1),
        preprocessing=Preprocessing(crop_size=32, num_views=NUM_VIEWS),
        storage=Storage(levels=("tokens",), token_dtype="float32"),
    )
    clips = [Clip(f"c{n}", f"/v/c{n}.mp4", f"class {n % NUM_CLASSES}", f"s{n // NUM_CLASSES}") for n in range(16)]
    prepare_cache(folder, recipe, Manifest(clips=tuple(clips)))
    writer = ShardWriter(folder, recipe)
    for number, clip in enumerate(clips):
        views = golden["tokens"][[(number + view) % 3 for view in range(NUM_VIEWS)]]  # (V, 48, D)
        tokens = views.reshape(NUM_VIEWS, NUM_WINDOWS, *recipe.token_grid, width).swapaxes(0, 1)
        num_rows = NUM_WINDOWS * NUM_VIEWS
        start = np.repeat(np.arange(NUM_WINDOWS), NUM_VIEWS)
        indices = start[:, None] + np.arange(8)
        rows = ClipRows(
            clip_id=clip.clip_id,
            source_sha256=f"{number:064x}",
            start_frame=start,
            view=np.tile(np.arange(NUM_VIEWS), NUM_WINDOWS),
            multiplicity=np.full(num_rows, times),
            num_real_frames=np.full(num_rows, 8),
            frame_indices=indices,
            timestamps=indices / 25,
            levels={"tokens": tokens.reshape(num_rows, *tokens.shape[2:])},
        )
        writer.add(rows)
    writer.flush()
    return open_cache(folder)


def taught_by(golden, monkeypatch):
    """Whatever an attentive probe is trained on, it becomes the recorded classifier."""
    parameters = {name[2:]: value for name, value in golden.items() if name.startswith("w:")}

    def learn(self, family, training):
        for probe in family:
            probe.parameters_, probe.num_heads_, probe.n_iter_ = parameters, 4, 0

    monkeypatch.setattr(AttentiveProbe, "_learn_together", learn)
    depth = json.loads(str(golden["config"]))["depth"]
    return {"depth": depth, "proj": False, "num_heads": 4}


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("times", [1, 4])
def test_it_equals_the_official_classifier_over_windows_and_views(golden, tmp_path, monkeypatch, times):
    cache = stretched(tmp_path / "cache", golden, times=times)
    cell = Cell(probe="attentive", params=taught_by(golden, monkeypatch), level="tokens", scale="none",
                decision=JOINED_WINDOWS)  # fmt: skip
    said = sweep(cache, [cell], Protocol(folds="subject-kfold:2")).cells[0].evaluation.predictions
    recorded = softmax(golden["logits"].astype(np.float64))
    assert said.classes == tuple(f"class {n}" for n in range(NUM_CLASSES))
    for number, clip in enumerate(said.clip_ids):
        assert clip == f"c{number}"
        views = recorded[[(number + view) % 3 for view in range(NUM_VIEWS)]]
        np.testing.assert_allclose(said.probabilities[number], views.mean(axis=0), atol=1e-5)
        assert said.predicted[number] == views.mean(axis=0).argmax()


@pytest.mark.parametrize("decision", ["mean-feature", "mean-probability"])
def test_no_other_decision_does(golden, tmp_path, monkeypatch, decision):
    cache = stretched(tmp_path / "cache", golden)
    params = taught_by(golden, monkeypatch)
    cell = Cell(probe="attentive", params=params, level="tokens", scale="none", decision=decision)
    said = sweep(cache, [cell], Protocol(folds="subject-kfold:2")).cells[0].evaluation.predictions
    recorded = softmax(golden["logits"].astype(np.float64))
    assert np.abs(said.probabilities[0] - recorded[:2].mean(axis=0)).max() > 1e-3


class Ragged:
    """Rows of different numbers of tokens, as a stream has them."""

    ndim = 3

    def __init__(self, rows):
        self.rows, self.lengths = rows, np.array([len(row) for row in rows])
        self.shape = (len(rows), self.lengths.max(), rows[0].shape[1])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, numbers):
        return np.stack([self.rows[number] for number in numbers])


def draw_ragged(num_rows):
    rng = np.random.default_rng(0)
    codes = np.arange(num_rows) % 3
    rows = [rng.normal(size=(4 * (1 + n % 7 % 3), 16)).astype(np.float32) for n in range(num_rows)]
    for row, shown in zip(rows, rng.normal(size=(3, 16))[codes], strict=True):
        row[rng.integers(len(row))] += 4 * shown
    return rows, codes


def test_rows_of_different_lengths_are_trained_on_as_one_batch():
    rows, codes = draw_ragged(30)
    settings = {"num_heads": 4, "epochs": 3, "batch_size": 10, "proj": True}
    probe = make_probe("attentive", settings, random_state=5).fit(Ragged(rows), codes)
    shapes = parameter_shapes(dim=16, num_classes=3, depth=1, proj=True)
    p = {name: value.requires_grad_() for name, value in initial_parameters(shapes, 5).items()}
    adamw = torch.optim.AdamW([
        {"params": [value for value in p.values() if value.ndim > 1]},
        {"params": [value for value in p.values() if value.ndim == 1], "weight_decay": 0.0},
    ])  # fmt: skip
    rng, step, labels = np.random.default_rng(5), 0, torch.from_numpy(codes)

    def logits(numbers):
        return torch.cat([plain_logits(p, torch.from_numpy(rows[number])[None], 4, True) for number in numbers])

    for _ in range(3):
        order = rng.permutation(30)
        for batch in (order[:10], order[10:20], order[20:]):
            wave = (1 + np.cos(np.pi * step / 9)) / 2
            adamw.param_groups[0].update(lr=1e-3 * wave, weight_decay=1e-6 + (0.01 - 1e-6) * wave)
            adamw.param_groups[1].update(lr=1e-3 * wave)
            adamw.zero_grad()
            torch.nn.functional.cross_entropy(logits(batch), labels[batch]).backward()
            torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
            adamw.step()
            step += 1
    expected = logits(range(30)).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(probe.predict_proba(Ragged(rows)), expected, atol=1e-4)


def test_blocks_before_the_query_take_rows_of_different_lengths_too():
    rows, codes = draw_ragged(12)
    probe = make_probe("attentive", {"num_heads": 4, "epochs": 1, "depth": 2}).fit(Ragged(rows), codes)
    alone = np.concatenate([probe.predict_proba(row[None]) for row in rows])
    np.testing.assert_allclose(probe.predict_proba(Ragged(rows)), alone, atol=1e-6)


def test_a_row_that_is_not_finite_is_named():
    rows, codes = draw_ragged(12)
    rows[8][2, 3] = np.inf
    with pytest.raises(ProbeError, match="NaN or infinity at row 8"):
        make_probe("attentive", {"num_heads": 4, "epochs": 1}).fit(Ragged(rows), codes)


# --- what is asked


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("small") / "cache"
    write_small_cache(root, num_clips=12)
    return open_cache(root)


def test_it_is_a_cell_beside_the_other_decisions(cache):
    params = {"epochs": [1], "num_heads": [2]}
    decisions = ["mean-feature", JOINED_WINDOWS, "vote"]
    cells = make_cells(["attentive"], ["grid:2", "mean"], params, scales=["none"], decisions=decisions)
    swept = sweep(cache, cells, Protocol(folds="subject-kfold:2", allow_leak=True, inner_folds=2))
    assert [one.cell.decision for one in swept.cells] == decisions * 2
    assert len(swept.nested) == 6
    assert "joined-windows" in plan_title(swept.cells[1].cell)
    assert swept.cells[1].evaluation.predictions.probabilities.shape == (12, 3)


@pytest.mark.parametrize("probe", ["logreg", "knn"])
def test_a_probe_of_vectors_is_refused_by_name(cache, probe, tmp_path):
    message = f"decision 'joined-windows' shows the probe the tokens of all windows.* {probe} reads one vector: take --probe attentive"
    with pytest.raises(ProbeError, match=message):
        call("probe", cache.root, "--probe", probe, "--decision", "mean-feature,joined-windows", "--out", tmp_path)
    with pytest.raises(ProbeError, match=message):
        experiment_from_toml(f"[[cells]]\nprobe = '{probe}'\ndecision = 'joined-windows'").resolved  # noqa: B018
    with pytest.raises(ProbeError, match=message):
        sweep(cache, [Cell(probe=probe, decision=JOINED_WINDOWS)], Protocol(allow_leak=True))
    assert not list(tmp_path.iterdir())


def test_a_decision_that_there_is_not_is_refused_in_a_file_too():
    with pytest.raises(ProbeError, match=r"decision 'joint-windows' is not one of .*; did you mean 'joined-windows'\?"):
        Experiment(cells=(Cell(decision="joint-windows"),)).resolved  # noqa: B018
    assert DECISIONS.count(JOINED_WINDOWS) == 1


def test_joined_streams_and_rows_of_windows_are_refused(cache, tmp_path):
    write_small_cache(tmp_path / "other", num_clips=12)
    cell = Cell(probe="attentive", level="mean", scale="none", decision=JOINED_WINDOWS)
    with pytest.raises(CacheError, match="decide by mean-feature"):
        sweep(join({"a": cache, "b": open_cache(tmp_path / "other")}), [cell], Protocol(allow_leak=True))
    who, windows = cache.features("mean"), cache.window_features("mean")
    features = Windowed(windows.X, who.y, who.subjects, who.clip_ids, windows.clip_index)
    folds = make_folds("subject-kfold:2", who.subjects, who.y)
    with pytest.raises(ProbeError, match="decision 'joined-windows' needs the tokens of whole views"):
        cross_validate(features, folds, cell, allow_leak=True)


# --- new videos


def test_views_are_joined_and_parted_again():
    rng = np.random.default_rng(0)
    order = np.array([0, 0, 1, 2])
    tokens = rng.random((3 * 2, 5, 4)).astype(np.float32)  # three windows of two views
    joined = join_views(tokens, order)
    assert joined.shape == (2, 20, 4)
    np.testing.assert_array_equal(joined[1], np.concatenate([tokens[1], tokens[1], tokens[3], tokens[5]]))
    weights = rng.dirichlet(np.ones(20), (2, 3)).astype(np.float32)  # of two views by three heads
    parted = part_views(weights, order)
    assert parted.shape == (6, 3, 5)
    np.testing.assert_allclose(parted[1], weights[1, :, :5] + weights[1, :, 5:10])
    np.testing.assert_allclose(parted[5], weights[1, :, 15:])
    np.testing.assert_allclose(parted.reshape(3, 2, 3, 5).sum(axis=(0, 3)), 1, rtol=1e-5)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Twelve short films of 16 to 27 frames, wider than high, and their cache: up to three windows in three views."""
    folder = tmp_path_factory.mktemp("filmed")
    clips = tuple(
        Clip(f"c{n}", str(write_video(folder / f"c{n}.mp4", 16 + n)), ("happy", "sad")[n % 2], f"s{n // 4}")
        for n in range(12)
    )
    encoder = load_encoder("tiny-v21", weights="random:3")
    recipe = make_recipe(
        encoder,
        sampling=Sampling(frame_step=1, num_segments=3),
        storage=Storage(levels=("tokens",), token_dtype="float32"),
        num_views=3,
    )
    extract_manifest(Manifest(clips=clips), folder / "cache", encoder, recipe, settings=ExtractSettings(workers=0))
    options = [word for text in ("num_heads=2", "epochs=2", "lr=3e-3") for word in ("--param", text)]
    call("probe", folder / "cache", "--probe", "attentive", "--features", "tokens", "--decision", JOINED_WINDOWS,
         "--folds", "loso", *options, "--out", folder / "runs", "--refit")  # fmt: skip
    return folder, clips, next((folder / "runs").iterdir())


def test_a_new_video_is_decided_as_its_cached_clip_is(filmed):
    folder, clips, run = filmed
    assert json.loads((run / "run.json").read_text())["settings"]["decision"] == JOINED_WINDOWS
    cached, predictor = list(open_cache(folder / "cache")), load_predictor(run)
    counts = [predictor(clips[number].path).num_windows for number in (0, 1, 7)]
    assert counts == [1, 2, 3]
    for number in (0, 1, 7):
        views = TokenStream([cached[number]], "tokens", row="view")
        assert len(views) == 3
        said = predictor.fitted.probe.probe.predict_proba(views)
        assert np.abs(said[0] - said[2]).max() > 1e-6  # the views differ
        found = predictor(clips[number].path)
        np.testing.assert_allclose(found.probabilities, said.mean(axis=0), atol=1e-6)
        assert found.label == found.classes[said.mean(axis=0).argmax()]


def test_attention_is_shared_by_all_windows_of_a_view(filmed):
    _, clips, run = filmed
    predictor = load_predictor(run)
    seen = predictor.attention(clips[7].path)
    assert seen.weights.shape == (3, 3, 2, *predictor.recipe.token_grid)
    np.testing.assert_allclose(seen.weights.sum(axis=(0, 3, 4, 5)), 1, rtol=1e-5)


def test_each_window_of_a_timeline_is_a_sequence_of_its_own(filmed):
    _, clips, run = filmed
    predictor = load_predictor(run)
    found = predictor.timeline(clips[0].path, stride=8)  # one window
    np.testing.assert_allclose(found.probabilities[0], predictor(clips[0].path).probabilities, atol=1e-6)


def test_a_plan_counts_the_joined_copy():
    recipe = small_recipe()
    windows = (Window(0, (0, 1), 1, 2), Window(3, (0, 1), 2, 2))
    plain = bytes_of_vectors(recipe, "tokens", windows, "window")
    assert bytes_of_vectors(recipe, "tokens", windows, "view") == plain * (4 + 2 * 3) // 4
