"""The attentive probe equals the official classifier in logits and gradients, learns, and speaks the official names."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.nn import functional as F

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import fit_probes, make_probe
from vjepa_fer.probes.attentive.files import read_official_probe, write_official_probe
from vjepa_fer.probes.attentive.model import (
    CROSS,
    attentive_logits,
    initial_parameters,
    parameter_shapes,
    query_attention,
    token_statistics,
)
from vjepa_fer.probes.attentive.probe import ATTENTIVE_PRESETS, VJEPA2_GRID, AttentiveProbe

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(params=["v1", "v2"])
def golden(request):
    """Tokens, labels, logits, parameters (w:…) and gradients (g:…) recorded from the official classifier."""
    with np.load(DATA / f"attentive_{request.param}_a.npz") as file:
        return dict(file)


def official(golden):
    return {name[2:]: value for name, value in golden.items() if name.startswith("w:")}


def plain_logits(p, tokens, num_heads, proj):
    """The depth-1 classifier in the usual order of work, one head: keys and values of every token."""
    batch, _, dim = tokens.shape
    normed = F.layer_norm(tokens, (dim,), p[CROSS + "norm1.weight"], p[CROSS + "norm1.bias"])
    query = p["pooler.query_tokens"].expand(batch, 1, dim)
    q = F.linear(query, p[CROSS + "xattn.q.weight"], p[CROSS + "xattn.q.bias"])
    k, v = F.linear(normed, p[CROSS + "xattn.kv.weight"], p[CROSS + "xattn.kv.bias"]).chunk(2, dim=2)
    q, k, v = (t.view(batch, -1, num_heads, dim // num_heads).transpose(1, 2) for t in (q, k, v))
    found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, 1, dim)
    if proj:
        found = F.linear(found, p[CROSS + "xattn.proj.weight"], p[CROSS + "xattn.proj.bias"])
    query = query + found
    hidden = F.layer_norm(query, (dim,), p[CROSS + "norm2.weight"], p[CROSS + "norm2.bias"])
    hidden = F.gelu(F.linear(hidden, p[CROSS + "mlp.fc1.weight"], p[CROSS + "mlp.fc1.bias"]))
    query = query + F.linear(hidden, p[CROSS + "mlp.fc2.weight"], p[CROSS + "mlp.fc2.bias"])
    return F.linear(query[:, 0], p["linear.weight"], p["linear.bias"])


@pytest.mark.parametrize("num_probes", [1, 2])
def test_logits_and_gradients_equal_the_official_ones(golden, num_probes):
    tokens, labels = torch.from_numpy(golden["tokens"]).float(), torch.from_numpy(golden["labels"])
    p = {k: torch.from_numpy(v)[None].repeat(num_probes, *[1] * v.ndim) for k, v in official(golden).items()}
    p = {name: value.requires_grad_() for name, value in p.items()}
    num_heads = json.loads(str(golden["config"]))["num_heads"]
    logits = attentive_logits(p, tokens, token_statistics(tokens), num_heads=num_heads, proj=False)
    sum(F.cross_entropy(own, labels) for own in logits).backward()
    for own in logits.detach().numpy():
        np.testing.assert_allclose(own, golden["logits"], atol=1e-4, rtol=0)
    for name in (name for name in golden if name.startswith("g:")):
        gradient = p[name[2:]].grad
        gradient = np.zeros_like(golden[name]) if gradient is None else gradient[-1].numpy()  # V-JEPA's idle projection
        np.testing.assert_allclose(gradient, golden[name], atol=1e-4, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("proj", [False, True])
def test_the_folded_order_of_work_is_exact(proj):
    shapes = parameter_shapes(dim=24, num_classes=5, depth=1, proj=True)
    generator = torch.Generator().manual_seed(0)
    p = {n: torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for n, s in shapes.items()}
    tokens = torch.randn(7, 11, 24, generator=generator, dtype=torch.float64)
    stacked = {name: value[None] for name, value in p.items()}
    folded = attentive_logits(stacked, tokens, token_statistics(tokens), num_heads=4, proj=proj)[0]
    plain = plain_logits(p, tokens, 4, proj)
    torch.testing.assert_close(folded, plain, atol=1e-10, rtol=1e-10)
    used = [value for name, value in p.items() if proj or "xattn.proj" not in name]
    for ours, theirs in zip(
        torch.autograd.grad(folded.square().sum(), used), torch.autograd.grad(plain.square().sum(), used), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-7)


def plain_block(p, prefix, x, num_heads):
    """A transformer block as the official code writes it, one head."""
    batch, num_tokens, dim = x.shape
    p = {name.removeprefix(prefix): value for name, value in p.items() if name.startswith(prefix)}
    normed = F.layer_norm(x, (dim,), p["norm1.weight"], p["norm1.bias"])
    qkv = F.linear(normed, p["attn.qkv.weight"], p["attn.qkv.bias"]).reshape(batch, num_tokens, 3, num_heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    mixed = ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(dim=-1) @ v
    x = x + F.linear(mixed.transpose(1, 2).reshape(x.shape), p["attn.proj.weight"], p["attn.proj.bias"])
    hidden = F.layer_norm(x, (dim,), p["norm2.weight"], p["norm2.bias"])
    hidden = F.gelu(F.linear(hidden, p["mlp.fc1.weight"], p["mlp.fc1.bias"]))
    return x + F.linear(hidden, p["mlp.fc2.weight"], p["mlp.fc2.bias"])


@pytest.mark.parametrize("depth", [1, 3])
def test_the_attention_shown_is_the_plain_modules_softmax(depth):
    shapes = parameter_shapes(dim=24, num_classes=5, depth=depth, proj=False)
    generator = torch.Generator().manual_seed(1)
    p = {n: 0.5 * torch.randn(s, generator=generator, dtype=torch.float64) for n, s in shapes.items()}
    tokens = 2 + 3 * torch.randn(7, 11, 24, generator=generator, dtype=torch.float64)
    found = query_attention({name: value[None] for name, value in p.items()}, tokens, num_heads=4)
    x = tokens
    for number in range(depth - 1):
        x = plain_block(p, f"pooler.blocks.{number}.", x, 4)
    normed = F.layer_norm(x, (24,), p[CROSS + "norm1.weight"], p[CROSS + "norm1.bias"])
    q = F.linear(p["pooler.query_tokens"], p[CROSS + "xattn.q.weight"], p[CROSS + "xattn.q.bias"]).view(1, 1, 4, 6)
    k = F.linear(normed, p[CROSS + "xattn.kv.weight"], p[CROSS + "xattn.kv.bias"])[..., :24].view(7, 11, 4, 6)
    expected = ((q * k).sum(-1) * 6**-0.5).softmax(dim=1).transpose(1, 2)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)
    assert found.std() > 0.01


def draw_clips(num_clips):
    """Tokens (num_clips, 6, 16) in float16 where one token out of six shows the class; labels."""
    rng = np.random.default_rng(0)
    codes = np.arange(num_clips) % 3
    X = rng.normal(size=(num_clips, 6, 16))
    X[np.arange(num_clips), rng.integers(0, 6, num_clips)] += 4 * rng.normal(size=(3, 16))[codes]
    return X.astype(np.float16), np.array(["happy", "angry", "sad"])[codes]


@pytest.fixture(scope="module")
def clips():
    return draw_clips(60)


@pytest.mark.parametrize("params", [{"lr": 3e-3}, {"depth": 2, "lr": 3e-3}], ids=["query alone", "with a block"])
def test_it_finds_the_token_that_shows_the_class(params):
    X, y = draw_clips(240)
    probe = make_probe("attentive", {"num_heads": 4, "epochs": 30, **params}, random_state=1)
    assert probe.fit(X[:180], y[:180]).score(X[180:], y[180:]) > 0.9


def test_heads_trained_together_end_where_they_end_alone(clips):
    X, y = clips
    settings = {"num_heads": 4, "epochs": 4, "batch_size": 20}
    pairs = [{"lr": 1e-3, "weight_decay": 0.5}, {"lr": 1e-2}, {"lr": 1e-4}]
    together = [make_probe("attentive", {**settings, **pair}) for pair in pairs]
    fit_probes(together, X, y)
    for probe, pair in zip(together, pairs, strict=True):
        alone = make_probe("attentive", {**settings, **pair}).fit(X, y)
        np.testing.assert_allclose(probe.predict_proba(X), alone.predict_proba(X), atol=1e-5)
    assert np.abs(together[0].predict_proba(X) - together[1].predict_proba(X)).max() > 0.01


def test_the_papers_schedule_is_adamws_with_half_cosines(clips):
    X, y = clips
    preset = {**ATTENTIVE_PRESETS["paper"], "num_heads": 4, "epochs": 3, "batch_size": 30}
    probe = make_probe("attentive", preset, random_state=5).fit(X, y)
    names = parameter_shapes(dim=16, num_classes=3, depth=1, proj=True)
    p = {n: v.requires_grad_() for n, v in initial_parameters(names, 5).items()}
    matrices = [v for v in p.values() if v.ndim > 1]
    adamw = torch.optim.AdamW(
        [{"params": matrices}, {"params": [v for v in p.values() if v.ndim == 1], "weight_decay": 0.0}]
    )
    tokens, codes = torch.from_numpy(X).float(), torch.from_numpy(np.unique(y, return_inverse=True)[1])
    rng, step = np.random.default_rng(5), 0
    for _ in range(3):
        order = rng.permutation(60)
        for rows in (order[:30], order[30:]):
            wave = (1 + np.cos(np.pi * step / 6)) / 2
            adamw.param_groups[0].update(lr=1e-3 * wave, weight_decay=1e-6 + (0.01 - 1e-6) * wave)
            adamw.param_groups[1].update(lr=1e-3 * wave)
            adamw.zero_grad()
            F.cross_entropy(plain_logits(p, tokens[rows], 4, True), codes[rows]).backward()
            torch.nn.utils.clip_grad_norm_(p.values(), 1.0)
            adamw.step()
            step += 1
    expected = plain_logits(p, tokens, 4, True).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(probe.predict_proba(X), expected, atol=1e-4)


def test_flat_features_are_cut_into_tokens(clips):
    X, y = clips
    settings = {"num_heads": 4, "epochs": 2}
    whole = make_probe("attentive", settings).fit(X, y).predict_proba(X)
    flat = make_probe("attentive", {**settings, "embed_dim": 16}).fit(X.reshape(60, -1), y)
    np.testing.assert_allclose(flat.predict_proba(X.reshape(60, -1)), whole, atol=1e-6)
    with pytest.raises(ProbeError, match=r"shape \(60, 96\) does not hold tokens of embed_dim 7"):
        make_probe("attentive", {"embed_dim": 7}).fit(X.reshape(60, -1), y)


class OnDisk:
    """Tokens that can only be asked for a few rows at a time, as a file can."""

    def __init__(self, X):
        self.X, self.shape, self.ndim, self.most = X, X.shape, X.ndim, 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        found = self.X[rows]
        assert not isinstance(rows, np.ndarray) or (np.diff(rows) > 0).all()
        self.most = max(self.most, len(found))
        return found


def test_tokens_are_streamed_in_ascending_batches(clips, monkeypatch):
    X, y = np.repeat(clips[0], 3, axis=0), np.repeat(clips[1], 3)
    disk = OnDisk(X)
    probe = make_probe("attentive", {"num_heads": 4, "epochs": 2, "batch_size": 16})
    whole = probe.fit(X, y).predict_proba(X)
    monkeypatch.setattr("vjepa_fer.probes.attentive.training.READ_AT_ONCE", 5 * 4 * X[0].size)
    np.testing.assert_allclose(probe.fit(disk, y).predict_proba(disk), whole, atol=1e-5)
    assert disk.most == 5  # a batch of 16 is read and its gradient summed in four parts


def test_a_clip_with_nan_is_named_before_training(clips):
    X, y = clips[0].copy(), clips[1]
    X[33, 2, 5] = np.nan
    with pytest.raises(ProbeError, match="NaN or infinity at row 33"):
        make_probe("attentive", {"num_heads": 4}).fit(X, y)


def test_an_official_file_gives_the_official_logits(golden, tmp_path):
    weights = {f"module.{name}": torch.from_numpy(value) for name, value in official(golden).items()}
    torch.save({"classifiers": [{}, weights], "epoch": 20}, tmp_path / "official.pt")
    parameters = read_official_probe(tmp_path / "official.pt", number=1)
    classes = [f"class {number}" for number in range(8)]
    probe = AttentiveProbe.from_parameters(parameters, classes, num_heads=4, proj=False)
    expected = torch.from_numpy(golden["logits"]).softmax(dim=1).numpy()
    np.testing.assert_allclose(probe.predict_proba(golden["tokens"]), expected, atol=1e-5)
    write_official_probe(tmp_path / "ours.safetensors", probe.parameters_)
    again = read_official_probe(tmp_path / "ours.safetensors")
    assert all(np.array_equal(again[name], value) for name, value in official(golden).items())
    assert set(again) == set(official(golden))


def test_what_a_file_does_not_say_is_asked_for_and_never_guessed(golden):
    parameters, classes = official(golden), list("abcdefgh")
    expected = torch.from_numpy(golden["logits"]).softmax(dim=1).numpy()
    if f"{CROSS}xattn.proj.weight" in parameters:
        with pytest.raises(
            ProbeError, match=r"say proj=False for a classifier of V-JEPA's own code, which never applies"
        ):
            AttentiveProbe.from_parameters(parameters, classes, num_heads=4)
        applied = AttentiveProbe.from_parameters(parameters, classes, num_heads=4, proj=True)
        assert (applied.predict_proba(golden["tokens"]).argmax(1) != expected.argmax(1)).any()
        probe = AttentiveProbe.from_parameters(parameters, classes, num_heads=4, proj=False)
    else:
        probe = AttentiveProbe.from_parameters(parameters, classes, num_heads=4)
    np.testing.assert_allclose(probe.predict_proba(golden["tokens"]), expected, atol=1e-5)
    with pytest.raises(ProbeError, match="tokens of 48 numbers do not go into 7 heads: give num_heads"):
        AttentiveProbe.from_parameters(parameters, classes, num_heads=7, proj=False)


def test_an_official_file_that_differs_is_refused_by_name(golden):
    parameters = official(golden)
    parameters["pooler.extra"] = parameters.pop("linear.weight")[:5]
    with pytest.raises(ProbeError, match=r"linear\.weight is missing; pooler\.extra is unexpected"):
        AttentiveProbe.from_parameters(parameters, list("abcdefgh"))
    with pytest.raises(ProbeError, match="not an attentive classifier of 3 classes: found 8 classes"):
        AttentiveProbe.from_parameters(official(golden), list("abc"))


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(ProbeError, match="no such file"):
        read_official_probe(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("not weights")
    with pytest.raises(ProbeError, match=r"text\.pt: not a PyTorch weights file"):
        read_official_probe(tmp_path / "text.pt")
    save_file({"x": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ProbeError, match="holds no attentive classifier"):
        read_official_probe(tmp_path / "other.safetensors")


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"classifier": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ProbeError, match="not a PyTorch weights file that can be read safely"):
        read_official_probe(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def saved_with(tmp_path, **tensors):
    path = tmp_path / "official.pt"
    torch.save({"classifier": {"pooler.query_tokens": torch.ones(1, 1, 4), **tensors}}, path)
    return path


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(1).expand(10**12),
        torch.ones(3, dtype=torch.int64),
        torch.ones(3).to_sparse(),
        torch.empty(3, device="meta"),
        "text",
        {"x": torch.ones(3)},
        [1.0],
        None,
    ],
    ids=["expanded", "whole", "sparse", "meta", "text", "mapping", "list", "nothing"],
)  # fmt: skip
def test_what_is_no_plain_tensor_is_refused_by_name(tmp_path, tensor):
    with pytest.raises(ProbeError, match=r"linear\.bias is not a plain tensor|linear\.bias is said to have"):
        read_official_probe(saved_with(tmp_path, **{"linear.bias": tensor}))


def test_numbers_that_are_none_are_refused_by_name(tmp_path):
    with pytest.raises(ProbeError, match=r"official\.pt: linear\.bias holds NaN or infinity"):
        read_official_probe(saved_with(tmp_path, **{"linear.bias": torch.tensor([1.0, torch.nan])}))


def test_a_packed_file_is_refused_before_it_unpacks(tmp_path):
    path = saved_with(tmp_path)
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(ProbeError, match=r"packed\.pt: not a PyTorch weights file.*is compressed"):
        read_official_probe(tmp_path / "packed.pt")


@pytest.mark.parametrize("name", ["official.pt", "official.safetensors"])
def test_an_altered_official_file_is_refused_or_holds_finite_numbers(tmp_path, name):
    path = saved_with(tmp_path, **{"linear.bias": torch.ones(3)})
    if name.endswith("safetensors"):
        write_official_probe(tmp_path / name, read_official_probe(path))
    content, rng, refused = (tmp_path / name).read_bytes(), np.random.default_rng(0), 0
    for _ in range(200):
        altered = bytearray(content)
        altered[rng.integers(len(content))] = rng.integers(256)
        (tmp_path / name).write_bytes(altered[: len(content) if rng.random() < 0.8 else rng.integers(len(content))])
        try:
            found = read_official_probe(tmp_path / name)
        except ProbeError:
            refused += 1
            continue
        assert all(np.isfinite(value).all() and value.dtype == np.float32 for value in found.values())
    assert refused > 20


def test_the_published_grid_and_presets_are_understood():
    assert len({tuple(pair.values()) for pair in VJEPA2_GRID}) == 20
    probe = make_probe("attentive", {"preset": "vjepa2", "epochs": 3})
    assert (probe.depth, probe.epochs, probe.decay_biases) == (4, 3, True)
    with pytest.raises(ProbeError, match=r"no preset 'papr'; did you mean 'paper'\?"):
        make_probe("attentive", {"preset": "papr"})
