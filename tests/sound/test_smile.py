"""opensmile through us is opensmile by hand, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("opensmile")

import opensmile

from sounds import RATE, WORDS, needs_espeak, speak, tone, write_wav
from vjepa_fer.errors import RecipeError, VideoError
from vjepa_fer.licences import weights_licence
from vjepa_fer.recipe import recipe_from_json, recipe_to_json
from vjepa_fer.sound import Sound, load_extractor, read_sound


@pytest.fixture(scope="module")
def extractors():
    return {name: load_extractor(name) for name in ("egemaps", "egemaps-lld")}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Twenty words at 16 kHz, as files that opensmile reads by itself."""
    needs_espeak()
    folder, paths = tmp_path_factory.mktemp("spoken"), []
    for number, word in enumerate(WORDS[:20]):
        samples = read_sound(speak(folder / "a.wav", word, pitch=20 + 3 * number), RATE).samples
        paths.append(write_wav(folder / f"{number}.wav", samples))
    return paths


@pytest.mark.parametrize(("name", "theirs"), [("egemaps", "Functionals"), ("egemaps-lld", "LowLevelDescriptors")])
def test_twenty_spoken_words_have_opensmiles_own_numbers(extractors, spoken, name, theirs):
    level = opensmile.FeatureLevel[theirs]
    smile = opensmile.Smile(feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=level)
    assert len(spoken) == 20
    for path in spoken:
        table = smile.process_file(str(path))
        (heard,) = extractors[name].hear([read_sound(path, RATE)])
        np.testing.assert_array_equal(*(np.asarray(x) for x in (next(iter(heard.levels.values())), table)))
        starts = table.index.get_level_values("start").total_seconds()
        np.testing.assert_array_equal(heard.seconds, starts)
        assert tuple(table.columns) == extractors[name].recipe.columns


def test_functionals_are_one_vector_and_descriptors_a_row_every_10_ms(extractors):
    sound = Sound(tone(0.2).astype(np.float32), RATE, 0.0, "a.wav")
    (whole,), (moments,) = (extractors[name].hear([sound]) for name in ("egemaps", "egemaps-lld"))
    assert {k: v.shape for k, v in whole.levels.items()} == {"mean": (1, 88)}
    assert moments.levels["frames"].shape[1] == 25
    np.testing.assert_allclose(moments.seconds, np.arange(len(moments.seconds)) / 100)


def test_silence_has_numbers_and_too_little_has_none(extractors):
    zeros = np.zeros(1600, np.float32)
    (heard,) = extractors["egemaps"].hear([Sound(zeros, RATE, 0.0, "a.wav")])
    assert np.isfinite(heard.levels["mean"]).all()
    with pytest.raises(VideoError, match=r"has 0\.050 s of sound; opensmile's windows are 0\.06 s long"):
        extractors["egemaps"].check(Sound(zeros[:800], RATE, 0.0, "a.wav"))


def test_samples_beyond_16_bits_are_held_not_wrapped(extractors):
    loud = np.clip(8 * tone(0.2), -1, 1).astype(np.float32)
    held, beyond = (np.where(np.abs(loud) == 1, loud * factor, loud) for factor in (1, 1.25))
    first, second = (extractors["egemaps"].hear([Sound(x, RATE, 0.0, "a.wav")])[0] for x in (held, beyond))
    np.testing.assert_array_equal(first.levels["mean"], second.levels["mean"])


def test_the_recipe_says_which_release_and_its_licence(extractors):
    for extractor in extractors.values():
        assert extractor.recipe.version == opensmile.__version__
        assert recipe_from_json(recipe_to_json(extractor.recipe)) == extractor.recipe
        assert "non-commercial" in weights_licence(extractor.recipe)


@pytest.mark.parametrize(
    ("features", "options", "said"),
    [
        ("egemap", {}, "features 'egemap' is not one of .*; did you mean 'egemaps'"),
        ("egemaps", {"level": "frames"}, "level frames: egemaps is mean, and nothing else; egemaps-lld has frames"),
        ("egemaps-lld", {"level": "mean"}, "a clip's mean is read from them"),
        ("egemaps", {"layers": [1]}, "layers: egemaps has none"),
    ],
)
def test_what_there_is_not_is_refused(features, options, said):
    with pytest.raises(RecipeError, match=said):
        load_extractor(features, **options)
