"""Runs of several encoders are one table: what each costs, and how far it is from the reference."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vjepa_fer.encoder import build_encoder
from vjepa_fer.encoder.model.zoo import encoder_config, placeholder_spec
from vjepa_fer.recipe import Preprocessing, Recipe, Sampling
from vjepa_fer.runs import encoder_sheet


def result(name, war, **more):
    facts = {"computed_by": "vjepa-fer", "parameters": 303_885_312, "width": 1024, "bytes": 2_000_000_000}
    encoder = {"name": name, **facts, "flops_a_clip": 1_234_567_890_123}
    return {"encoder": encoder | more, "war": {"pooled": war, "interval": [war - 2, war + 2]}}


def difference(first, second, value, real=True):
    facts = {"figure": "war", "value": value, "interval": [value - 1, value + 1], "p_holm": 0.03, "real": real}
    return {"first": first, "second": second, **facts}


def test_a_row_says_cost_figure_and_difference_to_the_reference():
    results = {"a": result("vjepa2-large-256", 70.0), "b": result("videomae", 66.0), "c": result("pixels:8", 20.0)}
    apart = [difference("a", "b", -4.0), difference("a", "c", -50.0, real=None), difference("b", "c", -46.0)]
    sheet = encoder_sheet(results, apart, "a")
    assert sheet.heads[1:6] == ("encoder", "params, M", "width", "GB", "GFLOP a clip")
    rows = list(sheet.shown_rows())
    assert rows[0] == ("a", "vjepa2-large-256", "304", "1,024", "2", "1,235", "70.00 [68.00, 72.00]", "–", "–")
    assert rows[1][-2:] == ("-4.00 [-5.00, -3.00]", "0.0300")
    assert rows[2][-2:] == ("-50.00 [-51.00, -49.00]", "–")  # too few subjects to judge


def test_one_encoder_or_none_that_is_known_is_no_table():
    assert encoder_sheet({"a": result("x", 1.0), "b": result("x", 2.0)}) is None
    assert encoder_sheet({"a": result("x", 1.0), "b": {"war": {"pooled": 1.0, "interval": None}}}) is None
    assert "p Holm" not in encoder_sheet({"a": result("x", 1.0), "b": result("y", 2.0)}).heads


@pytest.mark.parametrize("name", ["tiny-v21", "vjepa2-large-256", "vjepa1-large-224"])
def test_operations_are_those_that_torch_counts(name):
    config = encoder_config(name) | {"depth": 4}
    side = config["img_size"]
    with torch.device("meta"):
        encoder = build_encoder(config)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder(torch.empty(1, 3, 4, side, side, device="meta"))
    recipe = Recipe(
        encoder=placeholder_spec("custom", config),
        sampling=Sampling(frames_per_window=4),
        preprocessing=Preprocessing(crop_size=side),
    )
    assert recipe.flops == pytest.approx(counter.get_total_flops(), rel=1e-3)


def test_mean_colours_take_no_operation():
    config = encoder_config("pixels:8")
    recipe = Recipe(encoder=placeholder_spec("pixels:8", config))
    assert recipe.flops == 0
