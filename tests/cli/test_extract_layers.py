"""``extract --layers``: parts of the depth are the layers nearest to them, said and recorded by number."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.cli.extract_layers import layered
from vjepa_fer.cli.main import app
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe import fingerprint, hierarchical_layers, layer_at_depth


def levels(layers, model):
    return layered(("mean",), layers, model, None)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("vjepa1-large-224", ("mean@11", "mean@17", "mean")),
        ("vjepa2-huge-256", ("mean@15", "mean@23", "mean")),
        ("vjepa2.1-base-384", ("mean@5", "mean@8", "mean")),
        ("vjepa2.1-giant-384", ("mean@19", "mean@29", "mean")),
        ("vjepa2.1-gigantic-384", ("mean@23", "mean@37", "mean")),  # its third norm is not after layer 35
    ],
)
def test_one_line_sweeps_encoders_of_every_depth(model, expected, capsys):
    assert levels("0.5,0.75,1.0", model) == expected
    said = capsys.readouterr().err
    assert f"0.75 is layer {expected[1].removeprefix('mean@')}" in " ".join(said.split())


def test_without_a_point_it_is_a_number_and_both_may_be_mixed(capsys):
    assert levels("1", "vjepa2-large-256") == ("mean@1",)
    assert capsys.readouterr().err == ""
    assert levels("1.0", "vjepa2-large-256") == ("mean",)
    assert levels("1,0.5,-1", "vjepa2-large-256") == ("mean@1", "mean@11", "mean")
    assert levels("0.5,11,.5", "vjepa2-large-256") == ("mean@11",)


@pytest.mark.parametrize("layers", ["0.0", "0.", "1.1", "2.0", "-0.5", "1e0", "0,5.", "half", "", "0.5,", "nan", "½"])
def test_what_is_no_part_of_the_depth_is_refused(layers):
    with pytest.raises(RecipeError, match=r"layers.*(such as 0\.5,1\.0|must be more than 0)"):
        levels(layers, "vjepa2-large-256")


@given(st.integers(1, 60), st.fractions(0, 1, max_denominator=1000).filter(bool))
def test_the_layer_is_the_nearest_of_those_that_can_be_taken(depth, share):
    layer = layer_at_depth(share, range(depth), depth)
    assert abs(Fraction(layer + 1, depth) - share) <= Fraction(1, 2 * depth) or layer == 0
    assert layer_at_depth(Fraction(1), range(depth), depth) == depth - 1
    if depth >= 4:
        normed = hierarchical_layers(depth)
        chosen = layer_at_depth(share, normed, depth)
        assert all(
            abs(Fraction(chosen + 1, depth) - share) <= abs(Fraction(other + 1, depth) - share) for other in normed
        )


def test_of_two_equally_near_the_deeper_is_taken():
    assert layer_at_depth(Fraction("0.5"), range(5), 5) == 2


def test_caches_of_parts_and_of_numbers_have_one_fingerprint(tmp_path):
    write_video(tmp_path / "a.mp4", 20)
    (tmp_path / "m.csv").write_text("clip_id,path,label,subject\na,a.mp4,joy,s\n")

    def extract(cache, layers):
        words = ["extract", tmp_path / "m.csv", tmp_path / cache, "--model", "tiny-v21", "--weights", "random:0"]
        done = CliRunner().invoke(app, [*map(str, words), "--layers", layers], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done, open_cache(tmp_path / cache).recipe

    by_part, recipe = extract("a", "0.5,1.0")
    assert "layers: 0.5 is layer 1, 1.0 is layer 3, counted from 0 to 3" in " ".join(by_part.stderr.split())
    assert fingerprint(recipe) == fingerprint(extract("b", "1,3")[1])
