"""Controls: mean colours on a grid as a model, and random weights; extracted, probed and shown as what they are."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.cli.main import app
from vjepa_fer.encoder import load_encoder
from vjepa_fer.encoder.model.zoo import encoder_config
from vjepa_fer.errors import RecipeError
from vjepa_fer.licences import weights_licence
from vjepa_fer.predict.loading import load_predictor
from vjepa_fer.recipe import EncoderSpec, recipe_from_json, recipe_to_json
from vjepa_fer.report.reproduce import feature_commands
from vjepa_fer.video import normalise, read_windows

RECORDED = [0.015378117561340332, 0.9922211170196533]


def call(*words, status=0):
    done = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done


@pytest.fixture
def study(tmp_path):
    lines = ["clip_id,path,label,subject"]
    for number in range(6):
        write_video(tmp_path / f"{number}.mp4", 18 + number)
        lines.append(f"c{number},{number}.mp4,{'ab'[number % 2]},s{number // 2}")
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("cells", [1, 3, 8, 10, 56])
def test_a_token_is_the_mean_colour_of_its_cell(cells):
    encoder = load_encoder(f"pixels:{cells}")
    side = encoder.preprocessing.crop_size
    assert abs(side - 224) <= cells
    pixels = torch.randn(2, 3, 4, side, side, generator=torch.Generator().manual_seed(0))
    tokens = encoder.encode(pixels).unflatten(1, (2, cells, cells))
    size = side // cells
    for time, row, column in {(0, 0, 0), (1, cells - 1, 0), (1, cells // 2, cells - 1)}:
        block = pixels[
            :, :, 2 * time : 2 * time + 2, row * size : (row + 1) * size, column * size : (column + 1) * size
        ]
        torch.testing.assert_close(tokens[:, time, row, column], block.mean(dim=(2, 3, 4)), atol=1e-5, rtol=0)


def test_the_cache_holds_what_the_frames_give_by_hand(study):
    words = ("extract", study / "m.csv", study / "c", "--model", "pixels:8", "--level", "tokens", "--level", "mean")
    call(*words, "--workers", 0)
    cache = open_cache(study / "c")
    read = read_windows(study / "3.mp4", cache.recipe.sampling, cache.recipe.preprocessing)
    x = normalise(torch.from_numpy(read.window_pixels(0)), cache.recipe.preprocessing)[0].numpy()  # (3, 16, 224, 224)
    by_hand = x.reshape(3, 8, 2, 8, 28, 8, 28).mean(axis=(2, 4, 6)).transpose(1, 2, 3, 0)
    clip = cache[3]
    np.testing.assert_allclose(clip.level("tokens")[0], by_hand, atol=2e-3)  # stored in float16
    np.testing.assert_allclose(clip.level("mean")[0], by_hand.mean(axis=(0, 1, 2)), atol=1e-5)
    assert cache.recipe.encoder.weights == cache.recipe.encoder.state_key == "none"
    assert recipe_from_json(recipe_to_json(cache.recipe)) == cache.recipe
    assert weights_licence(cache.recipe) is None
    assert "to do: 0 clips" in call(*words, "--dry-run").stdout
    (line,) = feature_commands(cache.recipe, "c")
    assert "--model pixels:8 --precision" in line


@pytest.mark.parametrize(("model", "weights"), [("pixels:4", []), ("tiny-v21", ["--weights", "random:7"])])
def test_a_run_of_a_control_says_so_wherever_it_is_shown(study, model, weights):
    call("extract", study / "m.csv", study / "c", "--model", model, *weights, "--level", "mean", "--workers", 0)
    done = call("probe", study / "c", "-p", "centroid,trivial", "--folds", "loso", "--out", study / "runs", "--refit")
    said = "pixels:4, mean colours on a grid" if not weights else "tiny-v21 with random weights, seed 7"
    assert f"features: mean of {model} (a control: {said})" in " ".join(done.stderr.split())
    run = study / "runs" / "centroid-mean-standard"
    shown = call("runs", "show", run)
    assert f"a control, what an encoder must beat: {said}" in " ".join(shown.output.split())
    assert json.loads(call("runs", "show", run, "--json").stdout)["result"]["control"] == said
    listed = call("runs", "list", study / "runs")
    assert f"a control, what an encoder must beat: {said}, of " in " ".join(listed.stderr.split())
    call("report", run, "-o", study / "page.html")
    assert f"<b>a control, what an encoder must beat</b>: {said}" in (study / "page.html").read_text()
    assert load_predictor(run).encoder.spec.control == said


@pytest.mark.parametrize("name", ["pixels:0", "pixels:57", "pixels:08", "pixels", "pixels:", "pixels:8x8", "pixels:-1"])
def test_what_is_no_grid_is_refused(name):
    with pytest.raises(RecipeError, match=r"pixels:"):
        encoder_config(name)


def test_a_grid_of_colours_has_no_weights_and_its_own_resolution():
    with pytest.raises(RecipeError, match="pixels:8 has no weights"):
        load_encoder("pixels:8", weights="random:0")
    with pytest.raises(RecipeError, match="has its own, 224 pixels"):
        load_encoder("pixels:8", resolution=448)
    with pytest.raises(RecipeError, match="family pixels has none"):
        EncoderSpec(**encoder_config("pixels:8"), name="pixels:8", weights="random:0", state_key="random")
    with pytest.raises(RecipeError, match="family v2 has some"):
        EncoderSpec(**encoder_config("vjepa2-large-256"), name="x", weights="none", state_key="none")


def test_random_weights_are_the_same_bits_on_every_machine():
    names = ("blocks.0.attn.qkv.weight", "norms_block.3.weight")
    state = load_encoder("tiny-v21", weights="random:5").module.state_dict()
    # whole numbers times a power of two, drawn by torch's Mersenne twister; recorded once
    assert [state[name].flatten()[0].item() for name in names] == RECORDED
    assert not torch.equal(state[names[0]], load_encoder("tiny-v21", weights="random:6").module.state_dict()[names[0]])
