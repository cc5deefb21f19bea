"""A cache says under which terms the weights are that it was made with."""

from __future__ import annotations

import dataclasses
import json

import pytest

from caches import small_manifest
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.encoder.model.zoo import encoder_spec
from vjepa_fer.licences import weights_licence
from vjepa_fer.recipe import EncoderSpec, ImportedRecipe, Preprocessing, Recipe, fingerprint


def recipe_of(name, weights="0" * 64):
    spec = encoder_spec(name, weights=weights)
    return Recipe(encoder=spec, preprocessing=Preprocessing(crop_size=spec.img_size))


@pytest.mark.parametrize(
    ("name", "licence"),
    [("vjepa1-huge-384", "non-commercial"), ("vjepa2-large-256", "MIT"), ("vjepa2.1-base-384", "MIT")],
)
def test_a_cache_notes_the_licence_of_its_weights(tmp_path, name, licence):
    prepare_cache(tmp_path, recipe_of(name), small_manifest(2))
    assert licence in json.loads((tmp_path / "cache.json").read_text())["licence_of_weights"]


def test_random_weights_and_foreign_features_have_none(tmp_path):
    imported = ImportedRecipe(source="au.csv", source_sha256="0" * 64, columns=("a",))
    assert weights_licence(imported) is None
    prepare_cache(tmp_path, recipe_of("vjepa1-huge-384", "random:0"), small_manifest(2))
    assert "licence_of_weights" not in json.loads((tmp_path / "cache.json").read_text())


def test_a_whole_number_as_mlp_ratio_is_the_same_encoder():
    spec = encoder_spec("vjepa2-large-256", weights="0" * 64)
    again = EncoderSpec(**{**dataclasses.asdict(spec), "mlp_ratio": 4})
    assert isinstance(again.mlp_ratio, float)
    recipes = [dataclasses.replace(recipe_of("vjepa2-large-256"), encoder=s) for s in (spec, again)]
    assert fingerprint(recipes[0]) == fingerprint(recipes[1])
