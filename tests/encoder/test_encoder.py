"""The three families against recorded numbers of the official code, transformers, and their own promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import VJEPA2Config, VJEPA2Model

from vjepa_fer.encoder import build_encoder
from vjepa_fer.encoder.model.vit import hierarchical_layers, rotary_tables, rotate, sincos_positions
from vjepa_fer.errors import RecipeError

DATA = Path(__file__).parents[1] / "data"
FAMILIES = ("v1", "v2", "v21")
TOLERANCE = 1e-4


def golden(family):
    with np.load(DATA / f"encoder_{family}_a.npz") as file:
        arrays = {name: file[name] for name in file.files}
    encoder = build_encoder(json.loads(str(arrays["config"])))
    weights = {name[2:]: torch.from_numpy(a) for name, a in arrays.items() if name.startswith("w:")}
    encoder.load_state_dict(weights, strict=True)
    return encoder, arrays


def config(family, **changes):
    """Small but not degenerate: a part of each head rests, and the grid is not a cube."""
    sizes = {"img_size": 48, "patch_size": 16, "num_frames": 8, "tubelet_size": 2}
    numbers = {"embed_dim": 40, "depth": 4, "num_heads": 2, "mlp_ratio": 4.0, "layer_norm_eps": 1e-6}
    return {"family": family, "uniform_power": family == "v1", **sizes, **numbers, **changes}


def pixels(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", ["", "_resized"])
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_equal_those_of_the_official_code(family, size):
    encoder, arrays = golden(family)
    tokens = encoder(torch.from_numpy(arrays["input" + size]).float())
    assert tokens.shape == arrays["tokens" + size].shape
    assert np.abs(tokens.numpy() - arrays["tokens" + size]).max() <= TOLERANCE


def test_hierarchical_tokens_equal_those_of_the_official_code():
    encoder, arrays = golden("v21")
    tokens = encoder(torch.from_numpy(arrays["input"]).float(), hierarchical=True)
    assert np.abs(tokens.numpy() - arrays["tokens_hierarchical"]).max() <= TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tolerance_is_tight_enough_to_see_frames_in_another_order(family):
    encoder, arrays = golden(family)
    flipped = torch.from_numpy(arrays["input"]).float().flip(2)
    assert np.abs(encoder(flipped).numpy() - arrays["tokens"]).max() > 100 * TOLERANCE


def test_positions_of_v1_equal_those_in_the_official_file():
    _, arrays = golden("v1")
    ours = sincos_positions((4, 3, 3), 40, uniform_power=True)
    assert np.abs(ours.numpy() - arrays["w:pos_embed"]).max() <= 1e-7


@pytest.mark.parametrize(("side", "frames"), [(48, 8), (64, 4)])
def test_v2_equals_transformers_with_the_same_random_weights(side, frames):
    encoder = build_encoder(config("v2", img_size=side))
    theirs = transformers_model(encoder, side, frames)
    x = pixels(2, 3, frames, side, side)
    with torch.no_grad():
        expected = theirs(x.transpose(1, 2), skip_predictor=True).last_hidden_state
    assert (encoder(x) - expected).abs().max() <= 1e-5


def transformers_model(encoder, side, frames):
    settings = {"hidden_size": 40, "num_attention_heads": 2, "num_hidden_layers": 4, "mlp_ratio": 4.0}
    predictor = {"pred_hidden_size": 12, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    model = VJEPA2Model(VJEPA2Config(crop_size=side, frames_per_clip=frames, **settings, **predictor)).eval()
    model.encoder.load_state_dict(dict(transformers_names(encoder.state_dict())), strict=True)
    return model


def transformers_names(state):
    for name, value in state.items():
        name = name.replace("blocks.", "layer.").replace("attn.", "attention.")
        name = name.replace("patch_embed.", "embeddings.patch_embeddings.")
        if "qkv" in name:
            for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                yield name.replace("qkv", part), rows
        else:
            yield ("layernorm" + name[4:] if name.startswith("norm.") else name), value


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_are_embedded_as_the_convolution_does(family):
    encoder = build_encoder(config(family))
    x = pixels(1, 3, 8, 48, 64)
    expected = encoder.patch_embed.proj(x).flatten(2).transpose(1, 2)
    assert (encoder.patch_embed(x) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_windows_of_a_batch_do_not_see_each_other(family):
    encoder = build_encoder(config(family))
    x = pixels(3, 3, 8, 48, 48)
    torch.testing.assert_close(encoder(x)[1:2], encoder(x[1:2]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_graph_is_kept(family):
    encoder = build_encoder(config(family))
    assert not encoder.training
    assert not encoder(pixels(1, 3, 8, 48, 48)).requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_is_near_float32(family, dtype):
    encoder, arrays = golden(family)
    tokens = encoder.to(dtype)(torch.from_numpy(arrays["input"]))
    assert tokens.dtype == dtype
    error = np.linalg.norm(tokens.float().numpy() - arrays["tokens"]) / np.linalg.norm(arrays["tokens"])
    assert error < (0.02 if dtype == torch.bfloat16 else 0.003)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_official_part_changes_the_tokens(family):
    encoder = build_encoder(config(family))
    x = pixels(1, 3, 8, 48, 48)
    before = encoder(x)
    image_only, lower_norms = ("patch_embed_img", "img_mod_embed"), tuple(f"norms_block.{i}" for i in range(3))
    for name, parameter in encoder.named_parameters():
        kept = parameter.clone()
        parameter.add_(pixels(*parameter.shape))
        unchanged = torch.equal(encoder(x), before)
        parameter.copy_(kept)
        assert unchanged == name.startswith((*image_only, *lower_norms)), name


def test_an_image_takes_its_own_embedding_in_v21():
    encoder = build_encoder(config("v21"))
    image = pixels(1, 3, 1, 48, 64)
    before = encoder(image)
    assert before.shape == (1, 12, 40)
    encoder.img_mod_embed.add_(1)
    changed = encoder(image)
    encoder.video_mod_embed.add_(1)
    assert not torch.equal(changed, before)
    assert torch.equal(encoder(image), changed)


@pytest.mark.parametrize(
    ("depth", "layers"),
    [(4, (0, 1, 2, 3)), (12, (2, 5, 8, 11)), (24, (5, 11, 17, 23)), (40, (9, 19, 29, 39)), (48, (11, 23, 37, 47))],
)
def test_hierarchical_layers_are_the_official_ones(depth, layers):
    assert hierarchical_layers(depth) == layers


def test_the_last_of_the_hierarchical_tokens_are_the_tokens():
    encoder = build_encoder(config("v21"))
    x = pixels(1, 3, 8, 48, 48)
    tokens = encoder(x, hierarchical=True)
    assert tokens.shape == (1, 36, 160)
    assert torch.equal(tokens[..., 120:], encoder(x))


def test_a_layer_without_its_own_norm_is_refused_in_v21():
    encoder = build_encoder(config("v21", depth=8))
    with pytest.raises(RecipeError, match=r"layer 2 has no trained norm in V-JEPA 2\.1; those of 1, 3, 5, 7 do"):
        encoder.layer_tokens(pixels(1, 3, 8, 48, 48), (2,))


@pytest.mark.parametrize("family", ["v1", "v2"])
def test_hierarchical_tokens_of_older_families_are_refused(family):
    with pytest.raises(RecipeError, match=r"V-JEPA 2\.1 \(family v21\) only"):
        build_encoder(config(family))(pixels(1, 3, 8, 48, 48), hierarchical=True)


@pytest.mark.parametrize("family", ["v2", "v21"])
def test_rotary_tables_are_made_once_and_kept_in_float32(family):
    make = (family, (4, 3, 5), 20, torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        cos, sin = rotary_tables(*make)
    assert rotary_tables(*make)[0] is cos
    assert (cos.shape, sin.shape, cos.dtype) == ((60, 20), (60, 20), torch.float32)
    assert not cos.is_inference()
    assert torch.equal(cos[:, 18:], torch.ones(60, 2))


def test_half_tables_are_rounded_float32_tables_even_far_out():
    grid, cpu = (32, 24, 24), torch.device("cpu")
    exact = rotary_tables("v2", grid, 64, cpu, torch.float32)[0]
    assert torch.equal(rotary_tables("v2", grid, 64, cpu, torch.float16)[0], exact.half())


def test_v21_rotation_keeps_lengths_and_depends_on_distance_alone():
    tables = rotary_tables("v21", (6, 16, 16), 20, torch.device("cpu"), torch.float32)
    q, k = pixels(2, 1, 1, 1, 20).unbind(0)
    q, k = (rotate(a.expand(1, 1, 6 * 256, 20), tables)[0, 0] for a in (q, k))
    torch.testing.assert_close(q.norm(dim=-1), q[0].norm().expand(len(q)))
    torch.testing.assert_close(q[0] @ k[256 + 17], q[2 * 256 + 40] @ k[3 * 256 + 57], atol=1e-5, rtol=1e-5)


def test_one_row_of_patches_is_a_legal_input():
    assert build_encoder(config("v21"))(pixels(1, 3, 2, 16, 16)).isfinite().all()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 7, 48, 48), r"T = 7 is not a multiple of 2: pixels \(1, 3, 7, 48, 48\)"),
        ((1, 3, 8, 50, 48), "H = 50 is not a multiple of 16"),
        ((1, 3, 8, 48, 8), "W = 8 is not a multiple of 16"),
        ((1, 3, 8, 0, 48), "H = 0 is not a multiple of 16"),
        ((1, 8, 3, 48, 48), r"must have shape \(B, 3, T, H, W\), not \(1, 8, 3, 48, 48\)"),
        ((3, 8, 48, 48), r"must have shape \(B, 3, T, H, W\)"),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_pixels_of_another_shape_are_refused(family, shape, message):
    with pytest.raises(RecipeError, match=message):
        build_encoder(config(family))(torch.zeros(shape))


def test_a_single_frame_is_refused_where_there_is_no_image_embedding():
    with pytest.raises(RecipeError, match="T = 1 is not a multiple of 2"):
        build_encoder(config("v2"))(torch.zeros(1, 3, 1, 48, 48))


def test_pixels_that_were_not_normalised_are_refused():
    with pytest.raises(RecipeError, match=r"normalised floating-point numbers, not torch\.uint8"):
        build_encoder(config("v2"))(torch.zeros(1, 3, 8, 48, 48, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("v3", {}, "family 'v3' is not one of v1, v2, v21"),
        ("v2", {"drop_path": 0.1}, "field 'drop_path' is not one of family, img_size"),
        ("v2", {"embed_dim": 41}, "embed_dim 41 is not a multiple of num_heads 2"),
        ("v2", {"depth": 0}, "depth 0 must be a whole number from 1 to 1,024"),
        ("v2", {"depth": "4"}, "depth '4' must be a whole number from 1 to 1,024"),
        ("v2", {"mlp_ratio": -1}, "mlp_ratio -1 must be a number from 0.001 to 1,000"),
        ("v2", {"layer_norm_eps": "tiny"}, "layer_norm_eps 'tiny' must be a number from 1e-30 to 1"),
        ("v2", {"img_size": 50}, "img_size 50 is not a multiple of patch_size 16"),
        ("v1", {"num_frames": 7}, "num_frames 7 is not a multiple of tubelet_size 2"),
        ("v2", {"num_heads": 8}, "embed_dim / num_heads is 5; rotary positions need an even number from 6"),
        ("v21", {"depth": 3}, "depth 3: V-JEPA 2.1 has a norm after each of four layers"),
        ("v1", {"uniform_power": False, "embed_dim": 36}, "embed_dim 36 is not a multiple of 8"),
    ],
)
def test_a_config_with_a_wrong_field_is_refused(family, changes, message):
    with pytest.raises(RecipeError, match=message):
        build_encoder(config(family, **changes))


@pytest.mark.parametrize("field", config("v1"))
def test_a_config_with_a_missing_field_is_refused(field):
    incomplete = config("v1")
    del incomplete[field]
    with pytest.raises(RecipeError, match=f"encoder config: {field} missing"):
        build_encoder(incomplete)


def test_positions_without_uniform_power_give_time_a_half():
    encoder = build_encoder(config("v1", uniform_power=False))
    by_frame = encoder.pos_embed.unflatten(1, (4, 9))
    assert torch.equal(by_frame[:, 1:, :, 20:], by_frame[:, :-1, :, 20:])
    assert not torch.equal(by_frame[:, 1:, :, :20], by_frame[:, :-1, :, :20])
