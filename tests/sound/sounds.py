"""Sounds for tests, spoken by espeak-ng or made of tones; and tiny speech encoders with random weights, as `save_pretrained` writes them."""

from __future__ import annotations

import json
import shutil
import subprocess
import wave
from pathlib import Path

import av
import numpy as np
import pytest

WORDS = [
    "kids",
    "are",
    "talking",
    "by",
    "the",
    "door",
    "dogs",
    "are",
    "sitting",
    "in",
    "it",
    "is",
    "eleven",
    "oh",
    "clock",
    "that",
    "is",
    "exactly",
    "what",
    "happened",
]
RATE = 16_000


def needs_espeak():
    """Skip without the program that speaks."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("needs espeak-ng")


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """16 bits; `samples` from -1 to 1, float (N,) or (N, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return path


def tone(seconds: float = 0.5, hertz: float = 220.0, rate: int = RATE) -> np.ndarray:
    """A tone with overtones and a little noise, always the same."""
    time = np.arange(round(seconds * rate)) / rate
    waves = sum(np.sin(2 * np.pi * hertz * n * time) / n for n in (1, 2, 3, 4))
    return 0.2 * waves + 0.01 * np.random.default_rng(0).standard_normal(len(time))


def speak(path: Path, words: str, *, pitch: int = 50) -> Path:
    """A WAV of 22,050 Hz."""
    subprocess.run(["espeak-ng", "-s", "300", "-p", str(pitch), "-w", str(path), words], check=True)
    return path


def write_film(path: Path, samples: np.ndarray | None, *, tracks: int = 1, rate: int = RATE) -> Path:
    """A film of half a second; `samples` float (N,) as so many sound tracks, each half as loud as the one before, None without any."""
    with av.open(str(path), "w") as container:
        film = container.add_stream("mpeg4", rate=10)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        count = 0 if samples is None else tracks
        sounds = [container.add_stream("pcm_s16le", rate=rate, layout="mono") for _ in range(count)]
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * number, np.uint8), format="rgb24")
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
        for number, stream in enumerate(sounds):
            whole = np.round(samples * 32767 / 2**number).astype("<i2")
            frame = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def write_speech(folder: Path, kind: str = "wav2vec2", *, norm: str = "layer", masked: bool = True) -> Path:
    """A tiny speech encoder of three layers: one with a norm over time (`norm` is "group") or without."""
    import torch
    import transformers as tf

    stem = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}[kind]
    config = getattr(tf, f"{stem}Config")(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=48,
        conv_dim=[16] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        vocab_size=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        getattr(tf, f"{stem}Model")(config).save_pretrained(folder)
    numbers = {"sampling_rate": RATE, "do_normalize": True, "return_attention_mask": masked, "feature_size": 1}
    numbers |= {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "padding_value": 0.0, "padding_side": "right"}
    (folder / "preprocessor_config.json").write_text(json.dumps(numbers))
    return folder


class Loudness:
    """An extractor of two numbers every 10 ms, loudness and highest sample, that needs no library but numpy."""

    def __init__(self, at_once: int = 1) -> None:
        from vjepa_fer.recipe import SoundRecipe

        self.at_once = at_once
        self.recipe = SoundRecipe(features="loudness", library="opensmile", version="0", columns=("rms", "peak"))

    def check(self, sound) -> None:
        from vjepa_fer.errors import VideoError

        if len(sound.samples) < 160:
            raise VideoError("too_short", sound.path, f"has {len(sound.samples)} samples of sound; 160 are a moment")

    def hear(self, sounds):
        from vjepa_fer.sound.heard import Heard

        found = []
        for sound in sounds:
            parts = sound.samples[: len(sound.samples) // 160 * 160].reshape(-1, 160)
            values = np.stack([np.sqrt((parts**2).mean(axis=1)), parts.max(axis=1)], axis=1)
            found.append(Heard({"frames": values}, np.arange(len(parts)) / 100))
        return found


def write_study(folder: Path, num_clips: int = 6) -> Path:
    """Tones of two labels and three subjects, ``c0.wav`` and so on, and ``clips.csv``."""
    lines = ["clip_id,path,label,subject"]
    for n in range(num_clips):
        write_wav(folder / f"c{n}.wav", tone(0.2 + 0.02 * n, 150 + 100 * (n % 2)))
        lines.append(f"c{n},c{n}.wav,{('sad', 'happy')[n % 2]},s{n % 3}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return folder / "clips.csv"
