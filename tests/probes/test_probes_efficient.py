"""Efficient probing equals the plain order of work in logits and gradients, learns, and is saved; its size is what its authors say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from test_probes_attentive import OnDisk, draw_clips
from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import fit_probes, make_probe
from vjepa_fer.probes.attentive.efficient_model import EfficientModel
from vjepa_fer.probes.saving import load_probe, save_probe


def plain_logits(p, tokens):
    """In the usual order: the values of every token, of which each query takes its slice."""
    batch, _, dim = tokens.shape
    attention = (p["queries"] @ tokens.transpose(1, 2) / math.sqrt(dim)).softmax(dim=-1)  # (B, Q, T)
    values = F.linear(tokens, p["value.weight"]).view(batch, tokens.shape[1], len(p["queries"]), -1)  # (B, T, Q, D/Q)
    pooled = torch.einsum("bqt,btqd->bqd", attention, values).reshape(batch, dim)
    return F.linear(pooled, p["linear.weight"], p["linear.bias"])


@pytest.mark.parametrize("num_probes", [1, 3])
def test_the_folded_order_of_work_is_exact(num_probes):
    model = EfficientModel(num_queries=4)
    shapes = model.shapes(dim=24, num_classes=5)
    generator = torch.Generator().manual_seed(0)
    stacked = {
        name: torch.randn(num_probes, *shape, generator=generator, dtype=torch.float64).requires_grad_()
        for name, shape in shapes.items()
    }
    tokens = torch.randn(7, 11, 24, generator=generator, dtype=torch.float64)
    folded = model.logits(stacked, tokens, (torch.empty(0), torch.empty(0)))
    assert folded.shape == (num_probes, 7, 5)
    ours = torch.autograd.grad(folded.square().sum(), list(stacked.values()))
    for head in range(num_probes):
        own = {name: value[head].detach().requires_grad_() for name, value in stacked.items()}
        plain = plain_logits(own, tokens)
        torch.testing.assert_close(folded[head], plain, atol=1e-10, rtol=1e-10)
        theirs = torch.autograd.grad(plain.square().sum(), list(own.values()))
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine[head], other, atol=1e-8, rtol=1e-8)


def test_it_has_as_many_parameters_as_its_authors_say():
    shapes = EfficientModel(num_queries=32).shapes(dim=1280, num_classes=8)
    assert round(sum(math.prod(shape) for shape in shapes.values()) / 1e6, 1) == 1.7


def test_it_finds_what_the_mean_over_tokens_hides():
    """One token shows the class and another its opposite, so that their mean shows nothing."""
    X, y = draw_clips(240)
    rng = np.random.default_rng(1)
    hidden = rng.normal(size=X.shape)
    shown = 4 * rng.normal(size=(3, 16))[np.unique(y, return_inverse=True)[1]]
    places = np.argsort(rng.random(X.shape[:2]), axis=1)
    hidden[np.arange(240), places[:, 0]] += shown
    hidden[np.arange(240), places[:, 1]] -= shown
    probe = make_probe("efficient", {"num_queries": 4, "epochs": 60, "lr": 1e-2}, random_state=1)
    assert probe.fit(hidden[:180], y[:180]).score(hidden[180:], y[180:]) > 0.9
    mean = hidden.mean(axis=1)
    assert make_probe("logreg").fit(mean[:180], y[:180]).score(mean[180:], y[180:]) < 0.5


def test_heads_trained_together_end_where_they_end_alone():
    X, y = draw_clips(60)
    settings = {"num_queries": 4, "epochs": 4, "batch_size": 20}
    pairs = [{"lr": 1e-3, "weight_decay": 0.5}, {"lr": 1e-2}, {"lr": 1e-4}]
    together = [make_probe("efficient", {**settings, **pair}) for pair in pairs]
    fit_probes(together, X, y)
    for probe, pair in zip(together, pairs, strict=True):
        alone = make_probe("efficient", {**settings, **pair}).fit(X, y)
        np.testing.assert_allclose(probe.predict_proba(X), alone.predict_proba(X), atol=1e-5)
    assert np.abs(together[0].predict_proba(X) - together[1].predict_proba(X)).max() > 0.01


def test_tokens_are_streamed(monkeypatch):
    X, y = draw_clips(90)
    disk, probe = OnDisk(X), make_probe("efficient", {"num_queries": 4, "epochs": 2, "batch_size": 16})
    whole = probe.fit(X, y).predict_proba(X)
    monkeypatch.setattr("vjepa_fer.probes.attentive.training.READ_AT_ONCE", 5 * 4 * X[0].size)
    np.testing.assert_allclose(probe.fit(disk, y).predict_proba(disk), whole, atol=1e-5)
    assert disk.most == 5


def test_it_is_saved_and_read_back_with_its_attention(tmp_path):
    X, y = draw_clips(60)
    probe = make_probe("efficient", {"num_queries": 8, "epochs": 2}).fit(X, y)
    save_probe(probe, tmp_path / "probe")
    again = load_probe(tmp_path / "probe").probe
    assert np.array_equal(again.predict_proba(X), probe.predict_proba(X))
    attention = again.attention(X)
    assert attention.shape == (60, 8, 6)
    np.testing.assert_allclose(attention.sum(axis=2), 1, atol=1e-6)
    scores = np.einsum("qd,ntd->nqt", probe.parameters_["queries"], X.astype(np.float32)) / 4
    np.testing.assert_allclose(attention, torch.from_numpy(scores).softmax(dim=2).numpy(), atol=1e-6)


def test_queries_that_do_not_divide_the_width_become_fewer():
    X, y = draw_clips(30)
    assert make_probe("efficient", {"num_queries": 24, "epochs": 1}).fit(X, y).num_heads_ == 8


def test_presets_are_the_attentive_probes_schedules():
    probe, other = (make_probe(name, {"preset": "vjepa2"}) for name in ("efficient", "attentive"))
    for name in ("lr", "weight_decay", "final_weight_decay", "decay_biases", "clip_grad", "epochs", "batch_size"):
        assert getattr(probe, name) == getattr(other, name)
    with pytest.raises(ProbeError, match="num_queries is 0, but must be a whole number"):
        make_probe("efficient", {"num_queries": 0}).fit(*draw_clips(9))
