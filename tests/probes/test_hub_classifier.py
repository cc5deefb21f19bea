"""Hugging Face's V-JEPA 2 classifiers as attentive probes: their logits, their classes, in one file or in parts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import VJEPA2Config, VJEPA2ForVideoClassification

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes.attentive.files import read_official_probe
from vjepa_fer.probes.attentive.hub import read_hub_classifier
from vjepa_fer.probes.attentive.probe import AttentiveProbe

CLASSES = ["jump", "a fall", "twist", "dive", "none"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "mlp_ratio": 2.0, "crop_size": 32}
    predictor = {"pred_hidden_size": 12, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    labels = dict(enumerate(CLASSES))
    model = VJEPA2ForVideoClassification(VJEPA2Config(frames_per_clip=4, id2label=labels, **sizes, **predictor)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


@pytest.fixture(scope="module")
def tokens():
    return torch.randn(6, 8, 24, generator=torch.Generator().manual_seed(2))


def expected(model, tokens):
    with torch.no_grad():
        return model.classifier(model.pooler(tokens)).softmax(dim=1).numpy()


@pytest.mark.parametrize("size", ["5GB", "20KB"])
def test_the_probe_answers_as_the_library_does(model, tokens, tmp_path, size):
    model.save_pretrained(tmp_path / "any", max_shard_size=size)
    probe = read_hub_classifier(tmp_path / "any", num_heads=4)
    np.testing.assert_allclose(probe.predict_proba(tokens.numpy()), expected(model, tokens), atol=1e-4)
    assert probe.classes_.tolist() == CLASSES
    assert (probe.depth, probe.num_heads_) == (4, 4)


def test_a_bare_state_dict_holds_it_too_and_the_encoder_is_left_alone(model, tokens, tmp_path):
    torch.save(model.state_dict(), tmp_path / "w.pt")
    parameters = read_official_probe(tmp_path / "w.pt")
    assert not any("vjepa2" in name for name in parameters)
    probe = AttentiveProbe.from_parameters(parameters, CLASSES, num_heads=4)
    np.testing.assert_allclose(probe.predict_proba(tokens.numpy()), expected(model, tokens), atol=1e-4)


def test_heads_that_meta_did_not_train_with_must_be_said(model, tmp_path):
    model.save_pretrained(tmp_path)
    with pytest.raises(ProbeError, match=r"says 4 heads, as transformers computes it; .* were trained with 16: give"):
        read_hub_classifier(tmp_path)


def test_what_is_missing_is_named(model, tmp_path):
    state = model.state_dict()
    del state["pooler.self_attention_layers.1.self_attn.k_proj.weight"]
    del state["pooler.cross_attention_layer.mlp.fc2.bias"]
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(
        ProbeError, match=r"mlp\.fc2\.bias is missing; pooler\.blocks\.1\.attn\.qkv\.weight has shape \(48, 24\)"
    ):
        AttentiveProbe.from_parameters(read_official_probe(tmp_path / "w.pt"), CLASSES, num_heads=4)
    with pytest.raises(ProbeError, match=r"no config\.json in it"):
        read_hub_classifier(tmp_path)


@pytest.mark.parametrize("labels", [{"1": "a"}, {"0": "a", "1": "a"}])
def test_classes_that_are_not_numbered_or_not_told_apart_are_refused(model, tmp_path, labels):
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"id2label": labels}))
    with pytest.raises(ProbeError, match="classes numbered from 0, no name twice"):
        read_hub_classifier(tmp_path, num_heads=4)
