"""Speech encoders: their hidden layers are the library's, alone and beside others."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers

from sounds import RATE, tone, write_speech
from vjepa_fer.errors import CheckpointError, RecipeError, VideoError
from vjepa_fer.sound import Sound, load_extractor
from vjepa_fer.sound.speech import KINDS

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
LENGTHS = (0.31, 0.5, 0.42)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("speech")
    made = {(kind, "layer"): write_speech(root / f"{kind}-layer", kind) for kind in KINDS}
    made["wav2vec2", "group"] = write_speech(root / "group", norm="group", masked=False)
    made["wavlm", "group"] = write_speech(root / "wavlm-group", "wavlm", norm="group", masked=True)
    return made


def sounds():
    waves = [tone(seconds, 150 + 40 * n).astype(np.float32) for n, seconds in enumerate(LENGTHS)]
    return [Sound(wave, RATE, 0.0, "clip.wav") for wave in waves]


def by_hand(folder, kind, wave):
    """What the library alone makes of one sound: its layers, the first of which goes into layer 0."""
    taken = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)(wave, sampling_rate=RATE, return_tensors="pt")
    model = getattr(transformers, KINDS[kind]).from_pretrained(folder).eval()
    with torch.inference_mode():
        out = model(**taken, output_hidden_states=True)
    return {
        "frames@0": out.hidden_states[1][0],
        "frames@1": out.hidden_states[2][0],
        "frames": out.last_hidden_state[0],
    }


@pytest.mark.parametrize(
    "which", [*((kind, "layer") for kind in KINDS), ("wav2vec2", "group"), ("wavlm", "group")], ids="-".join
)
def test_layers_are_the_librarys_beside_other_sounds_and_alone(folders, which):
    extractor = load_extractor(f"hf:{folders[which]}", layers=[0, 1, -1])
    together = extractor.hear(sounds())
    for sound, heard in zip(sounds(), together, strict=True):
        want, (alone,) = by_hand(folders[which], which[0], sound.samples), extractor.hear([sound])
        assert list(heard.levels) == ["frames@0", "frames@1", "frames"]
        for level, values in want.items():
            np.testing.assert_allclose(heard.levels[level], values, atol=1e-5)
            np.testing.assert_allclose(alone.levels[level], values, atol=1e-5)


def test_only_a_model_that_keeps_neighbours_apart_is_padded(folders):
    masked = {which: load_extractor(f"hf:{folder}").recipe.speech.masked for which, folder in folders.items()}
    assert masked == {which: which[1] == "layer" for which in folders}


def test_padding_a_model_with_a_norm_over_time_would_change_its_numbers(folders):
    """Why those go through alone, though the feature extractor of WavLM base gives a mask."""
    extractor = load_extractor(f"hf:{folders['wavlm', 'group']}")
    short, long = (sound.samples for sound in sounds()[:2])
    padded = extractor._encode([short, long])[0].levels["frames"]
    assert np.abs(padded - extractor._encode([short])[0].levels["frames"]).max() > 1e-3


def test_a_moment_is_every_20_ms(folders):
    heard = load_extractor(f"hf:{folders['hubert', 'layer']}").hear(sounds()[:1])[0]
    np.testing.assert_allclose(heard.seconds, np.arange(len(heard.levels["frames"])) * 0.02)


def test_a_mean_is_that_of_its_frames(folders):
    name = f"hf:{folders['wav2vec2', 'layer']}"
    (mean,), (frames,) = (load_extractor(name, level=level).hear(sounds()[:1]) for level in ("mean", "frames"))
    np.testing.assert_allclose(mean.levels["mean"], frames.levels["frames"].mean(axis=0, keepdims=True), atol=1e-6)


def test_what_is_too_short_or_too_long_is_refused(folders):
    extractor = load_extractor(f"hf:{folders['wav2vec2', 'layer']}")
    with pytest.raises(VideoError, match="has 399 samples of sound; the encoder's first moment takes 400"):
        extractor.check(Sound(np.zeros(399, np.float32), RATE, 0.0, "a.wav"))
    with pytest.raises(VideoError, match="121 s of sound, more than the 120"):
        extractor.check(Sound(np.zeros(121 * RATE, np.float32), RATE, 0.0, "a.wav"))


def test_other_weights_make_another_fingerprint_and_the_same_ones_the_same(folders, tmp_path):
    first = load_extractor(f"hf:{folders['wav2vec2', 'layer']}").recipe
    assert load_extractor(f"hf:{write_speech(tmp_path / 'again')}").recipe == first
    path = tmp_path / "again" / "model.safetensors"
    weights = path.read_bytes()
    path.write_bytes(weights[:-4] + b"\0\0\0\0")
    assert load_extractor(f"hf:{tmp_path / 'again'}").recipe.speech.weights != first.speech.weights


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"model_type": "whisper"}, RecipeError, "model_type 'whisper' is not one of"),
        ({"auto_map": {"AutoModel": "code.py"}}, CheckpointError, "code of its own"),
        ({"add_adapter": True}, RecipeError, "add_adapter"),
    ],
)
def test_a_model_that_is_not_known_is_refused(tmp_path, change, error, said):
    folder = write_speech(tmp_path / "model")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(error, match=said):
        load_extractor(f"hf:{folder}")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"feature_extractor_type": "WhisperFeatureExtractor"}, "expected Wav2Vec2FeatureExtractor"),
        ({"sampling_rate": "16k"}, "sampling_rate '16k' is not a whole number"),
        ({"do_normalize": 1}, "do_normalize 1 is not true or false"),
        (None, "no feature extractor is beside the model"),
    ],
)
def test_a_feature_extractor_that_cannot_be_followed_is_refused(tmp_path, numbers, said):
    folder = write_speech(tmp_path / "model")
    path = folder / "preprocessor_config.json"
    if numbers is None:
        path.unlink()
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | numbers))
    with pytest.raises(CheckpointError, match=said):
        load_extractor(f"hf:{folder}")


def test_a_level_or_layer_that_it_does_not_have_is_refused(folders):
    name = f"hf:{folders['wav2vec2', 'layer']}"
    with pytest.raises(RecipeError, match="layer 3: the encoder has 3, counted from 0 to 2"):
        load_extractor(name, layers=[3])
    with pytest.raises(RecipeError, match="level 'grid:4' is not one of"):
        load_extractor(name, level="grid:4")


def test_a_device_that_is_not_here_is_said(folders):
    with pytest.raises(RecipeError, match="device 'tpu9' cannot be used here"):
        load_extractor(f"hf:{folders['wav2vec2', 'layer']}", device="tpu9")


def test_a_pickle_is_not_read(tmp_path):
    folder = write_speech(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="reading a pickle runs code"):
        load_extractor(f"hf:{folder}")
