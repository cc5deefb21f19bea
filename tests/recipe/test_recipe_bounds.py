"""A recipe that somebody else wrote asks for no more memory or time than the table of bounds says, whatever its JSON holds."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vjepa_fer.cache import layout
from vjepa_fer.encoder.model.zoo import OFFICIAL_ENCODERS, encoder_spec
from vjepa_fer.errors import RecipeError
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
    recipe_from_dict,
    recipe_from_json,
    recipe_to_dict,
    recipe_to_json,
)
from vjepa_fer.recipe.bounds import BOUNDS, MOST, Flag, Number, Text, Whole

PARTS = {
    "": Recipe,
    "encoder": EncoderSpec,
    "sampling": Sampling,
    "preprocessing": Preprocessing,
    "storage": Storage,
    "preprocessing.face_crop": FaceCrop,
    "preprocessing.perturb": Perturbation,
}
CHOICES = {
    "family",
    "mode",
    "rule",
    "detector",
    "interpolation",
    "token_dtype",
    "pooled_from",
    "precision",
    "kind",
    "clock",
}
"""Fields with a few values to choose from; they are refused by these."""

IMPORTED = ImportedRecipe(source="au.csv", source_sha256="ab" * 32, columns=("AU1", "AU2"))


def official(name="vjepa2.1-large-384", **changes):
    spec = encoder_spec(name, weights="ab" * 32)
    return Recipe(**{"encoder": spec, "preprocessing": Preprocessing(crop_size=spec.img_size), **changes})


def with_face():
    worse = Perturbation(steps=("mouth:3",))
    return official(preprocessing=Preprocessing(crop_size=384, face_crop=FaceCrop(), perturb=worse))


def changed(recipe, dotted, value):
    data = copy.deepcopy(recipe_to_dict(recipe))
    *path, name = dotted.split(".")
    functools.reduce(dict.__getitem__, path, data)[name] = value
    return data


FIELDS = [
    (f"{part}.{name}".lstrip("."), bound) for part, cls in PARTS.items() for name, bound in BOUNDS[cls.__name__].items()
]


@pytest.mark.parametrize("cls", [*PARTS.values(), ImportedRecipe], ids=lambda cls: cls.__name__)
def test_every_field_has_a_bound_or_is_a_choice_or_a_part(cls):
    free = {f.name for f in dataclasses.fields(cls)} - set(BOUNDS[cls.__name__]) - CHOICES
    assert free <= {"encoder", "sampling", "preprocessing", "storage", "face_crop", "perturb", "processor", "library"}


def values_beyond(bound):
    if isinstance(bound, Whole):
        beyond = [
            bound.least - 1,
            bound.most + 1,
            -1,
            2**31,
            2**63,
            2**64 - 1,
            10**400,
            float(bound.least),
            True,
            "1",
            [],
        ]
        return [value for value in beyond if isinstance(value, bool | float | str | list) or not _within(value, bound)]
    if isinstance(bound, Number):
        return [-1e308, 1e308, 10**400, -(10**400), "1", True, *([] if bound.optional else [None]), [1.0]]
    if isinstance(bound, Text):
        return ["x" * (bound.most + 1), "x" * 2**20, "\ud800", 3, None, ["x"]]
    if isinstance(bound, Flag):
        return [0, 1, "true", None]
    return [[], "abc", 3, None, {}, [None], [[]], ["x" * 2**20], [1e308] * 3, ["mean"] * (bound.most + 1)]


def _within(value, bound):
    return bound.least <= value <= bound.most


@pytest.mark.parametrize(("dotted", "bound"), FIELDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_value_beyond_its_bound_is_refused_by_field(dotted, bound):
    for value in values_beyond(bound):
        with pytest.raises(
            RecipeError, match=f"{dotted.rpartition('.')[2]}.* must (be|have)|each kind at most once"
        ) as caught:
            recipe_from_dict(changed(with_face(), dotted, value))
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", BOUNDS["ImportedRecipe"])
def test_an_imported_recipe_is_bounded_too(name):
    for value in values_beyond(BOUNDS["ImportedRecipe"][name]):
        if name == "columns" and value == ["mean"] * 1_000_001:
            value = ["x"] * 1_000_001
        with pytest.raises(RecipeError, match=f"{name}.* must (be|have)"):
            recipe_from_dict({**recipe_to_dict(IMPORTED), name: value})


@pytest.mark.parametrize("value", [None, 1, 0.5, "x", [], [{}], {"x": {}}, {"kind": "imported"}])
def test_what_is_no_recipe_at_all_is_refused(value):
    with pytest.raises(RecipeError, match="the stored recipe"):
        recipe_from_dict(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Sampling(num_segments=10_000, frames_per_window=4096),
            "num_segments 10000 of frames_per_window 4096 make 40,960,000 frames of all windows of a clip; at most 1,048,576",
        ),
        (
            lambda: EncoderSpec(
                name="x", family="v2", img_size=256, embed_dim=65_536, depth=1024, num_heads=1, weights="", state_key=""
            ),
            r"embed_dim 65536, depth 1024 and mlp_ratio 4 make 5.*,.* parameters; at most 34,359,738,368",
        ),
        (
            lambda: official(
                sampling=Sampling(frames_per_window=64), preprocessing=Preprocessing(crop_size=1024, num_views=64)
            ),
            "crop_size 1024 × 1024 and num_views 64 make 4,294,967,296 pixels a window; at most 268,435,456",
        ),
        (
            lambda: official(
                sampling=Sampling(frames_per_window=4096, num_segments=1), preprocessing=Preprocessing(crop_size=256)
            ),
            "frames_per_window 4096, crop_size 256 × 256 and patches of 16 make 524,288 tokens a window; at most 262,144",
        ),
        (
            lambda: official(
                encoder=dataclasses.replace(encoder_spec("vjepa2-large-256", weights=""), embed_dim=32_768, depth=1),
                sampling=Sampling(frames_per_window=64),
            ),
            "numbers in a window's tokens; at most 536,870,912",
        ),
        (
            lambda: official(
                "vjepa2-giant-384",
                sampling=Sampling(frames_per_window=128),
                storage=Storage(levels=("tokens", *(f"tokens@{n}" for n in range(39))), token_dtype="float32"),
            ),
            "40 levels of 36,864 tokens and embed_dim 1408 make .* bytes a stored row; at most 4,294,967,296",
        ),
        (
            lambda: dataclasses.replace(IMPORTED, columns=("x" * 1024,) * 20_000),
            "20,000 columns make 20,480,000 characters of columns; at most 16,777,216",
        ),
    ],
)
def test_what_fields_make_together_is_bounded_too(make, message):
    with pytest.raises(RecipeError, match=message):
        make()


@pytest.mark.parametrize("name", OFFICIAL_ENCODERS)
def test_every_official_encoder_has_ten_times_the_room_it_may_need(name):
    levels = ("mean", "frames", "grid:8", "tokens")
    storage = Storage(levels=levels, token_dtype="float32")
    recipe = official(name, sampling=Sampling(frames_per_window=64, num_segments=100), storage=storage)
    tokens = math.prod(recipe.token_grid)
    assert 10 * tokens <= MOST["tokens a window"]
    assert 10 * tokens * recipe.encoder.embed_dim <= MOST["numbers in a window's tokens"]
    assert 10 * recipe.encoder.num_parameters <= MOST["parameters"]
    assert 10 * storage.row_bytes(recipe.token_grid, recipe.encoder.embed_dim) <= MOST["bytes a stored row"]
    assert 10 * 64 * recipe.encoder.img_size**2 <= MOST["pixels a window"]
    views = Preprocessing(crop_size=recipe.encoder.img_size, num_views=8)
    assert recipe_from_json(recipe_to_json(dataclasses.replace(recipe, preprocessing=views))).preprocessing == views


@pytest.mark.parametrize("token_dtype", ["float16", "float32", "int8"])
def test_a_row_is_as_large_as_on_disk(token_dtype):
    recipe = official(
        storage=Storage(levels=("mean", "frames@5", "grid:7", "tokens", "mean@11"), token_dtype=token_dtype)
    )
    on_disk = sum(dataset.row_bytes for dataset in layout.stored_datasets(recipe))
    assert recipe.storage.row_bytes(recipe.token_grid, recipe.encoder.embed_dim) == on_disk


def test_numbers_have_one_spelling():
    whole, real = (dataclasses.replace(official().encoder, mlp_ratio=value) for value in (4, 4.0))
    assert fingerprint(official(encoder=whole)) == fingerprint(official(encoder=real))
    minus = Preprocessing(crop_size=384, mean=(-0.0, 0.5, 0.5))
    assert recipe_to_json(official(preprocessing=minus)).count("-0.0") == 0


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**30, 10**400])
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20)
    | st.sampled_from(["mean", "tokens@3", "grid:999", "grid:" + "9" * 5000, "x" * 5000, "int8", "segments", "v1"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def places(data, path=()):
    yield path
    for name, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from places(value, (*path, name))


def replaced(data, path, value):
    if not path:
        return value
    data = copy.deepcopy(data)
    functools.reduce(lambda inner, name: inner[name], path[:-1], data)[path[-1]] = value
    return data


@settings(deadline=None, max_examples=500)
@given(
    st.sampled_from([with_face(), official(preprocessing=Preprocessing(crop_size=384, crop_width=256)), IMPORTED]),
    st.data(),
)
def test_whatever_stands_in_a_recipe_it_is_refused_or_comes_back_equal(recipe, data):
    whole = json.loads(recipe_to_json(recipe))
    text = json.dumps(replaced(whole, data.draw(st.sampled_from(list(places(whole)))), data.draw(VALUES)))
    try:
        made = recipe_from_json(text)
    except RecipeError:
        return
    again = recipe_from_json(recipe_to_json(made))
    assert again == made
    assert hash(again) == hash(made)
    assert fingerprint(again) == fingerprint(made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind": "imported", "kind": "encoder"}', "the key 'kind' stands twice"),
        ('{"kind": NaN}', "NaN is no number of JSON"),
        ('{"kind": "\\ud800"}', "surrogates not allowed"),
        ('{"kind": 1e999}', "the number 1e999 is too large"),
        ('{"kind": ' + "[" * 500 + "]" * 500 + "}", "nested too deeply"),
        (
            '{"kind": "imported", ' + ", ".join(f'"{n}": 0' for n in range(9)) + "}",
            r"does not know: '0', '1', '2', '3', '4'$",
        ),
    ],
)
def test_json_is_read_strictly(text, message):
    with pytest.raises(RecipeError, match=message):
        recipe_from_json(text)


def test_a_key_that_stands_twice_among_many_is_found_at_once():
    keys = [f'"{number}": 0' for number in range(300_000)]
    with pytest.raises(RecipeError, match="the key '299999' stands twice"):
        recipe_from_json("{" + ", ".join([*keys, keys[-1]]) + "}")


def test_the_value_of_a_list_that_is_wrong_is_named():
    with pytest.raises(RecipeError, match=r"columns\[1\] 3 must be a text"):
        dataclasses.replace(IMPORTED, columns=("x", 3))
