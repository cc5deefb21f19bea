"""The eleven official encoders by name, and what is said when a name or file is not theirs."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vjepa_fer.encoder import build_encoder, encoder_names, encoder_spec
from vjepa_fer.encoder.model.zoo import OFFICIAL_ENCODERS, TINY, encoder_config
from vjepa_fer.errors import RecipeError

KEYS = json.loads(gzip.decompress((Path(__file__).parents[1] / "data" / "checkpoint_keys.json.gz").read_bytes()))


def test_the_zoo_holds_the_eleven_official_encoders_and_a_tiny_one():
    assert list(OFFICIAL_ENCODERS) == list(KEYS)
    assert encoder_names() == (*KEYS, "tiny-v21")


@pytest.mark.parametrize("name", KEYS)
def test_each_builds_exactly_the_official_parameters(name):
    with torch.device("meta"):
        encoder = build_encoder(encoder_config(name))
    assert {key: list(p.shape) for key, p in encoder.state_dict().items()} == KEYS[name]


@pytest.mark.parametrize(
    ("name", "url", "state_key", "licence"),
    [
        (
            "vjepa1-huge-384",
            "https://dl.fbaipublicfiles.com/jepa/vith16-384/vith16-384.pth.tar",
            "target_encoder",
            "non-commercial",
        ),
        ("vjepa2-giant-384", "https://dl.fbaipublicfiles.com/vjepa2/vitg-384.pt", "target_encoder", "MIT"),
        (
            "vjepa2.1-base-384",
            "https://dl.fbaipublicfiles.com/vjepa2/vjepa2_1_vitb_dist_vitG_384.pt",
            "ema_encoder",
            "MIT",
        ),
        (
            "vjepa2.1-gigantic-384",
            "https://dl.fbaipublicfiles.com/vjepa2/vjepa2_1_vitG_384.pt",
            "target_encoder",
            "MIT",
        ),
    ],
)
def test_address_key_and_licence_are_those_of_the_release(name, url, state_key, licence):
    encoder = OFFICIAL_ENCODERS[name]
    assert (encoder.url, encoder.state_key) == (url, state_key)
    assert licence in encoder.licence
    paper = {"v1": "arXiv:2404.08471", "v2": "arXiv:2506.09985", "v21": "arXiv:2603.14482"}[encoder.family]
    assert encoder.citation.endswith(f", {paper}")


def test_no_two_encoders_share_an_address():
    assert len({e.url for e in OFFICIAL_ENCODERS.values()}) == len(OFFICIAL_ENCODERS)


@pytest.mark.parametrize(
    ("name", "resolution", "frames"),
    [("vjepa1-large-224", 224, 16), ("vjepa2-huge-256", 256, 64), ("vjepa2.1-giant-384", 384, 64)],
)
def test_resolution_and_pretraining_frames(name, resolution, frames):
    encoder = OFFICIAL_ENCODERS[name]
    assert (encoder.resolution, encoder.pretraining_frames) == (resolution, frames)


def test_a_spec_says_which_state_dict_is_read_unless_told_otherwise():
    assert encoder_spec("vjepa2-large-256", weights="0" * 64).state_key == "target_encoder"
    assert encoder_spec("vjepa2.1-large-384", weights="0" * 64).state_key == "ema_encoder"
    assert encoder_spec("vjepa2-large-256", weights="0" * 64, state_key="encoder").state_key == "encoder"
    assert encoder_spec("vjepa2-large-256", weights="random:7").state_key == "random"


@pytest.mark.parametrize("name", encoder_names())
def test_the_config_of_a_spec_is_the_config_of_its_name(name):
    assert encoder_spec(name, weights="random:0").config == encoder_config(name)


def test_the_tiny_config_is_a_copy():
    encoder_config(TINY)["depth"] = 99
    assert encoder_config(TINY)["depth"] == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vjepa2.1-larg-384", r"did you mean 'vjepa2\.1-large-384'\?"),
        ("resnet50", r"model 'resnet50' is not one of vjepa1-large-224, .*, tiny-v21$"),
        ("", r"model '' is not one of"),
    ],
)
def test_an_unknown_name_is_refused_with_the_list_and_a_guess(name, message):
    with pytest.raises(RecipeError, match=message):
        encoder_spec(name, weights="random:0")


def test_the_zoo_needs_no_torch_and_the_encoder_says_what_it_needs():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from vjepa_fer.encoder.model.zoo import OFFICIAL_ENCODERS; assert len(OFFICIAL_ENCODERS) == 11\n"
        "try:\n    from vjepa_fer.encoder import load_encoder\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'vjepa-fer[extract]'" in done.stdout
