"""A recipe is a value: it goes to JSON and comes back equal, and its fingerprint changes with anything that changes a number."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vjepa_fer.errors import RecipeError, RecipeMismatchError
from vjepa_fer.recipe import (
    EncoderSpec,
    FaceCrop,
    ImportedRecipe,
    Perturbation,
    Preprocessing,
    Recipe,
    Sampling,
    Storage,
    fingerprint,
    parse_level,
    recipe_differences,
    recipe_from_dict,
    recipe_from_json,
    recipe_to_json,
    require_same_recipe,
)

SPEC = {
    "name": "custom",
    "family": "v21",
    "img_size": 224,
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 2,
    "weights": "random:0",
    "state_key": "random",
}


def make_recipe(**changes):
    return Recipe(encoder=EncoderSpec(**SPEC), **changes)


small = st.integers(1, 64)
samplings = st.builds(
    Sampling,
    mode=st.sampled_from(["segments", "sliding"]),
    rule=st.sampled_from(["corrected", "reference"]),
    frames_per_window=small.map(lambda n: 2 * n),
    frame_step=small,
    num_segments=small,
    stride=small,
)
sides = st.integers(4, 40).map(lambda n: 16 * n)
preprocessings = st.builds(
    Preprocessing,
    crop_size=sides,
    num_views=st.integers(1, 5),
    mean=st.tuples(*[st.floats(0, 1)] * 3),
    std=st.tuples(*[st.floats(0.01, 1)] * 3),
) | st.builds(
    Preprocessing,
    crop_size=sides,
    face_crop=st.builds(FaceCrop, margin=st.floats(1, 10), smoothing_frames=small),
    perturb=st.builds(Perturbation, steps=st.just(("mouth:3", "dark:0", "flip")), seed=small),
)
levels = st.lists(st.sampled_from(["mean", "frames", "grid:3", "tokens"]), min_size=1, unique=True).map(tuple)
storages = st.builds(Storage, levels=levels, token_dtype=st.sampled_from(["float16", "float32", "int8"]))
encoders = st.builds(
    EncoderSpec,
    name=st.text(max_size=20),
    family=st.sampled_from(["v1", "v2", "v21"]),
    img_size=small,
    embed_dim=small.map(lambda n: 4 * n),
    depth=small,
    num_heads=st.sampled_from([1, 2, 4]),
    mlp_ratio=st.floats(1, 8),
    uniform_power=st.booleans(),
    weights=st.text(st.sampled_from("0123456789abcdef"), min_size=64, max_size=64),
    state_key=st.sampled_from(["target_encoder", "ema_encoder", "encoder"]),
)
recipes = st.builds(
    Recipe,
    encoder=encoders,
    sampling=samplings,
    preprocessing=preprocessings,
    storage=storages,
    precision=st.sampled_from(["float32", "bfloat16", "float16"]),
)
imported = st.builds(
    ImportedRecipe,
    source=st.text(max_size=20),
    source_sha256=st.text(max_size=64),
    columns=st.lists(st.text(max_size=5), min_size=1, max_size=4).map(tuple),
)


@settings(deadline=None)
@given(recipes | imported)
def test_json_and_back_is_the_identity(recipe):
    again = recipe_from_json(recipe_to_json(recipe))
    assert again == recipe
    assert fingerprint(again) == fingerprint(recipe)


@settings(deadline=None)
@given(recipes, recipes)
def test_recipes_differ_exactly_when_fingerprints_and_fields_do(a, b):
    assert (a == b) == (fingerprint(a) == fingerprint(b)) == (recipe_differences(a, b) == {})


def test_the_fingerprint_is_pinned():
    """These literals are in every cache written so far: a new one comes only together with SEMANTICS."""
    assert fingerprint(make_recipe(semantics=1)) == "97fd87493b278f4fca8b91bdf2debed56c0597bcca234ef1e4fd9c1ddc2debfa"
    assert fingerprint(make_recipe()) == "0bc87980be862f94d377876344238e9646594c3f99d73e2f575a82d37cc9d245"


def test_equal_recipes_give_equal_bytes_whatever_the_order_of_levels():
    one, other = (make_recipe(storage=Storage(levels=v)) for v in (("mean", "tokens"), ("tokens", "mean")))
    assert recipe_to_json(one) == recipe_to_json(other)


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": Sampling(frame_step=2)},
        {"sampling": Sampling(rule="reference")},
        {"preprocessing": Preprocessing(num_views=3)},
        {"preprocessing": Preprocessing(square_pixels=True)},
        {"storage": Storage(token_dtype="float32")},
        {"storage": Storage(pooled_from="float16")},
        {"precision": "bfloat16"},
        {"semantics": 1},
    ],
)
def test_whatever_may_change_a_number_changes_the_fingerprint(change):
    assert fingerprint(make_recipe(**change)) != fingerprint(make_recipe())


def test_differences_name_each_field_with_both_values():
    other = make_recipe(sampling=Sampling(frame_step=2), precision="float16")
    assert recipe_differences(make_recipe(), other) == {
        "sampling.frame_step": (4, 2),
        "precision": ("float32", "float16"),
    }


def test_an_imported_recipe_differs_from_an_encoders_by_its_kind():
    differences = recipe_differences(make_recipe(), ImportedRecipe(source="a.csv", source_sha256="0", columns=("x",)))
    assert differences["kind"] == ("encoder", "imported")
    assert differences["encoder.family"] == ("v21", "(absent)")


def test_another_recipe_is_refused_with_place_fields_and_remedy():
    with pytest.raises(
        RecipeMismatchError,
        match=r"(?s)^cache/x was written with another recipe .*sampling.frame_step: 4 there, 2 asked for\nUse another",
    ):
        require_same_recipe(make_recipe(), make_recipe(sampling=Sampling(frame_step=2)), "cache/x")


def test_the_same_recipe_is_let_through():
    require_same_recipe(make_recipe(), make_recipe(), "cache/x")


def test_the_token_grid_is_time_height_width():
    assert make_recipe(preprocessing=Preprocessing(crop_size=384)).token_grid == (8, 24, 24)


def test_the_config_of_a_spec_is_the_architecture_alone():
    config = EncoderSpec(**SPEC).config
    assert config["family"] == "v21"
    assert not {"name", "weights", "state_key"} & set(config)


@pytest.mark.parametrize(
    ("level", "parts"), [("mean", ("mean", None)), ("frames", ("frames", None)), ("grid:12", ("grid", 12))]
)
def test_a_level_is_a_kind_and_a_grid_size(level, parts):
    assert parse_level(level) == parts


@pytest.mark.parametrize(
    "level", ["", "means", "grid", "grid:", "grid:0", "grid:-1", "grid:x", "grid:²", "mean:2", "grid:99999"]
)
def test_a_level_that_there_is_not_is_refused(level):
    with pytest.raises(RecipeError, match=f"level '{level}' is not one of mean, frames, grid:G"):
        parse_level(level)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sampling(mode="random"), "mode 'random' is not one of segments, sliding"),
        (lambda: Sampling(rule="best"), "rule 'best' is not one of corrected, reference"),
        (lambda: Sampling(frame_step=0), "frame_step 0 must be a whole number from 1 to 1,000,000"),
        (lambda: Sampling(stride=1.5), "stride 1.5 must be a whole number from 1 to 1,000,000"),
        (lambda: Sampling(num_segments=True), "num_segments True must be a whole number from 1 to 10,000"),
        (lambda: Preprocessing(crop_size=-224), "crop_size -224 must be a whole number from 1 to 4,096"),
        (lambda: Preprocessing(interpolation="cubic"), "interpolation 'cubic' is not one of bilinear"),
        (lambda: Preprocessing(mean=(0.5, 0.5)), "mean must have 3 values, has 2"),
        (lambda: Preprocessing(std=(0.0, 1, 1)), r"std\[0\] 0.0 must be a number from 1e-06 to 1,000"),
        (lambda: EncoderSpec(**SPEC | {"family": "v3"}), "family 'v3' is not one of v1, v2, v21"),
        (lambda: EncoderSpec(**SPEC | {"num_heads": 3}), "embed_dim 32 is not a multiple of num_heads 3"),
        (lambda: Storage(levels=()), "levels must have from 1 to 4,096 values, has 0"),
        (lambda: Storage(levels=("grid:2", "grid:4")), "each kind at most once"),
        (lambda: Storage(token_dtype="int4"), "token_dtype 'int4' is not one of"),
        (lambda: make_recipe(precision="float8"), "precision 'float8' is not one of"),
        (
            lambda: make_recipe(preprocessing=Preprocessing(crop_size=230)),
            "crop_size 230 is not a multiple of the encoder's patch size 16",
        ),
        (
            lambda: make_recipe(sampling=Sampling(frames_per_window=15)),
            "frames_per_window 15 is not a multiple of the tubelet size 2",
        ),
        (lambda: make_recipe(storage=Storage(levels=("grid:20",))), "level grid:20: the token grid is only 14 × 14"),
        (
            lambda: ImportedRecipe(source="a", source_sha256="0", columns=()),
            "columns must have from 1 to 1,000,000 values, has 0",
        ),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(make, message):
    with pytest.raises(RecipeError, match=message):
        make()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the stored recipe: cannot be read as JSON"),
        ("[" * 100_000, "the stored recipe: cannot be read as JSON .nested too deeply"),
        ("[]", "the stored recipe: holds a list, expected one JSON object"),
        ("{}", "the stored recipe has no EncoderSpec"),
        ('{"kind": "imported", "source": "a"}', "the stored recipe is not readable"),
        ('{"kind": "imported", "flux": 1}', "fields that this version does not know: 'flux'"),
    ],
)
def test_a_stored_recipe_that_is_none_is_refused(text, message):
    with pytest.raises(RecipeError, match=message):
        recipe_from_json(text)


@pytest.mark.parametrize("part", ["encoder", "sampling", "preprocessing", "storage"])
@pytest.mark.parametrize("value", [None, 3, "x", [], {"unknown": 1}])
def test_a_stored_recipe_with_a_broken_part_is_refused(part, value):
    data = json.loads(recipe_to_json(make_recipe())) | {part: value}
    with pytest.raises(RecipeError, match="the stored recipe"):
        recipe_from_dict(data)


def test_a_recipe_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_recipe().precision = "float16"
