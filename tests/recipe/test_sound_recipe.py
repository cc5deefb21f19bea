"""The recipe of a sound: its levels, its bounds, its JSON and its fingerprint."""

from __future__ import annotations

import dataclasses

import pytest

from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe import (
    SoundRecipe,
    SpeechEncoder,
    Storage,
    fingerprint,
    recipe_differences,
    recipe_from_dict,
    recipe_from_json,
    recipe_to_dict,
    recipe_to_json,
)
from vjepa_fer.recipe.bounds import BOUNDS

SPEECH = SpeechEncoder(
    model_type="wav2vec2",
    weights="ab" * 32,
    embed_dim=24,
    depth=3,
    hop_samples=320,
    least_samples=400,
    normalised=True,
    masked=False,
    config="{}",
)


def smile(**changes):
    fields = {"features": "egemaps-lld", "library": "opensmile", "version": "2.6.0", "columns": ("a", "b")}
    return SoundRecipe(**(fields | changes))


def speech(**changes):
    fields = {"features": "w", "library": "transformers", "version": "5.23.0", "speech": SPEECH}
    return SoundRecipe(**(fields | changes))


@pytest.mark.parametrize("recipe", [smile(), speech(), speech(storage=Storage(levels=("frames", "frames@1")))], ids=str)
def test_json_and_back_is_the_identity(recipe):
    again = recipe_from_json(recipe_to_json(recipe))
    assert again == recipe
    assert fingerprint(again) == fingerprint(recipe)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "5.24.0"},
        {"sampling_rate": 8000},
        {"storage": Storage(levels=("mean",))},
        {"speech": dataclasses.replace(SPEECH, weights="cd" * 32)},
        {"speech": dataclasses.replace(SPEECH, normalised=False)},
    ],
)
def test_whatever_changes_a_number_changes_the_fingerprint(change):
    assert fingerprint(speech(**change)) != fingerprint(speech())
    assert len(recipe_differences(speech(**change), speech())) == 1


def test_it_says_its_width_its_hop_and_whether_its_rows_are_moments():
    assert (smile().dim, smile().hop_seconds, smile().is_over_time) == (2, None, True)
    assert (speech().dim, speech().hop_seconds, speech().is_over_time) == (24, 0.02, True)
    assert not speech(storage=Storage(levels=("mean", "mean@1"))).is_over_time


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        (("tokens",), "a sound has mean or frames; it has no grid"),
        (("mean", "frames"), "take frames alone; a clip's mean is then read from its moments"),
        (("frames@2",), "the layers of w are 0 to 2, and the last one's levels have no number"),
    ],
)
def test_levels_that_a_sound_does_not_have_are_refused(levels, said):
    with pytest.raises(RecipeError, match=said):
        speech(storage=Storage(levels=levels))


@pytest.mark.parametrize("changes", [{"columns": ()}, {"speech": SPEECH}, {"library": "transformers"}])
def test_columns_and_a_speech_encoder_exclude_each_other(changes):
    with pytest.raises(RecipeError, match="opensmile has columns, transformers a speech encoder"):
        smile(**changes)


def test_every_field_is_bounded_or_a_choice_or_a_part():
    choices = {"library", "channels", "track", "kind", "speech", "storage"}
    for cls in (SoundRecipe, SpeechEncoder):
        assert {f.name for f in dataclasses.fields(cls)} - set(BOUNDS[cls.__name__]) <= choices


@pytest.mark.parametrize(
    ("part", "name", "value", "said"),
    [
        ("", "sampling_rate", 10**9, "sampling_rate 1000000000 must be"),
        ("", "columns", [3], r"columns\[0\] 3 must be"),
        ("", "channels", "left", "channels 'left' is not one of"),
        ("", "storage", None, "has no Storage"),
        ("", "pitch", 3, "fields that this version does not know: 'pitch'"),
        ("speech", "depth", 10**9, r"speech\.depth 1000000000 must be"),
        ("speech", "masked", 1, r"speech\.masked 1 must be"),
    ],
)
def test_a_stored_recipe_with_a_wrong_value_is_refused_by_field(part, name, value, said):
    data = recipe_to_dict(speech())
    (data[part] if part else data)[name] = value
    with pytest.raises(RecipeError, match=said):
        recipe_from_dict(data)
