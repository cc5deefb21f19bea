"""A user's own weights become a named encoder by a few lines of TOML."""

from __future__ import annotations

import json
import os

import pytest
import torch
from typer.testing import CliRunner

from test_checkpoint import official_file, tiny_config
from vjepa_fer.cli.main import app
from vjepa_fer.encoder import load_encoder
from vjepa_fer.encoder.loading.registry import find_encoder, read_registration
from vjepa_fer.encoder.model.zoo import encoder_config
from vjepa_fer.errors import CheckpointError, RecipeError

NUMBERS = "\n".join(
    f"{name} = {json.dumps(value)}" for name, value in tiny_config("v21").items() if name != "layer_norm_eps"
)


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The home folder's models, with one encoder of a user in it."""
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path))
    folder = tmp_path / "models"
    folder.mkdir()
    official_file(folder / "tuned.pt", "v21")
    text = f'weights = "tuned.pt"\nstate_key = "ema_encoder"\n[architecture]\n{NUMBERS}\n'
    (folder / "my-faces.toml").write_text(text.replace("mlp_ratio = 2.0", "mlp_ratio = 2"))
    return folder


@pytest.mark.parametrize("by", ["name", "path"])
def test_a_registered_encoder_loads_with_its_weights_and_key(models, by):
    loaded = load_encoder("my-faces" if by == "name" else str(models / "my-faces.toml"))
    assert (loaded.spec.name, loaded.spec.state_key, loaded.spec.mlp_ratio) == ("my-faces", "ema_encoder", 2.0)
    assert loaded.preprocessing.crop_size == 48
    assert loaded.encode(torch.ones(1, 3, 8, 48, 48)).shape == (1, 4 * 9, 24)


def test_another_file_or_random_weights_can_be_given(models):
    assert load_encoder("my-faces", weights="random:0").spec.name == "my-faces"
    with pytest.raises(CheckpointError, match=r"gone\.pt: cannot be read"):
        load_encoder("my-faces", weights=models / "gone.pt")


def test_like_takes_the_architecture_and_key_of_an_official_encoder(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'like = "vjepa2.1-large-384"\nweights = "w.pt"\n[architecture]\nimg_size = 256\n'
    )
    known = read_registration(tmp_path / "mine.toml")
    assert known.config == encoder_config("vjepa2.1-large-384") | {"img_size": 256}
    assert (known.name, known.state_key, known.weights) == ("mine", "ema_encoder", tmp_path / "w.pt")


def test_an_official_name_stays_official(models):
    (models / "vjepa2-large-256.toml").write_text('like = "vjepa2-large-256"\nweights = "w.pt"\n')
    assert find_encoder("vjepa2-large-256").registration is None


LIKE = 'like = "vjepa2-large-256"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", r"mine\.toml: not TOML"),
        (
            LIKE + 'weights = "w"\nwieghts = 3\n',
            r"field 'wieghts' is not one of architecture, like, state_key, weights; did you mean 'weights'",
        ),
        ('like = "vjepa2"\nweights = "w"\n', "like 'vjepa2' is not one of vjepa1-large-224"),
        (LIKE, "weights must name the file"),
        ('weights = "w"\n[architecture]\nfamily = "v2"\n', "state_key must say which state dict"),
        (
            'weights = "w"\nstate_key = "file"\n',
            r"\[architecture\] missing 5 required keyword-only arguments: 'family'",
        ),
        (
            LIKE + 'weights = "w"\n[architecture]\nwidth = 3\n',
            r"\[architecture\] got an unexpected keyword argument 'width'",
        ),
        (
            LIKE + 'weights = "w"\n[architecture]\ndepth = 0\n',
            r"\[architecture\] depth 0 must be a whole number from 1 to 1,024",
        ),
        (LIKE + 'weights = "w"\narchitecture = 3\n', "architecture must be a table"),
        ('like = ["vjepa2-large-256"]\nweights = "w"\n', r"like \['vjepa2-large-256'\] is not one of"),
        (LIKE + 'weights = "a\\u0000b"\n', "weights must name the file"),
        (LIKE + f'weights = "w"\nstate_key = "{"k" * 300}"\n', "state_key must say which state dict"),
        (
            LIKE + 'weights = "w"\n[architecture]\ndepth = 9999999999\n',
            "depth 9999999999 must be a whole number from 1 to 1,024",
        ),
        (LIKE + 'weights = "w"\n[architecture]\ndepth = true\n', "depth True must be a whole number"),
        (
            LIKE + 'weights = "w"\n[architecture]\nmlp_ratio = inf\n',
            "mlp_ratio inf must be a number from 0.001 to 1,000",
        ),
        (LIKE + 'weights = "w"\n[architecture]\nmlp_ratio = nan\n', "mlp_ratio nan must be a number"),
        (LIKE + 'weights = "w"\n[architecture]\nuniform_power = "yes"\n', "uniform_power 'yes' must be true or false"),
        (LIKE + 'weights = "w"\n[architecture]\nembed_dim = 65536\n', "make 1.*,.* parameters; at most 34,359,738,368"),
        ("#" * 70_000, "over 65,536 bytes; a registration is a few lines"),
    ],
)
def test_a_registration_that_is_none_is_refused_by_file_and_field(tmp_path, text, message):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        find_encoder(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("name", "message"),
    [("tiny-v21", "'tiny-v21' is an official encoder's name; choose another"), ("My Faces", "use a-z, 0-9")],
)
def test_a_name_that_cannot_be_is_refused(tmp_path, name, message):
    (tmp_path / f"{name}.toml").write_text(LIKE + 'weights = "w"\n')
    with pytest.raises(RecipeError, match=message):
        read_registration(tmp_path / f"{name}.toml")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_registration_that_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "mine.toml")
    with pytest.raises(RecipeError, match=r"mine\.toml: cannot be read"):
        read_registration(tmp_path / "mine.toml")


def test_a_registration_that_is_not_there_is_said():
    with pytest.raises(RecipeError, match=r"gone\.toml: cannot be read: No such file"):
        find_encoder("gone.toml")


def test_the_commands_show_it(models):
    listed = CliRunner().invoke(app, ["models", "list"], env={"COLUMNS": "80"}, catch_exceptions=False).stdout
    assert max(map(len, listed.splitlines())) <= 80
    row = next(line for line in listed.splitlines() if line.startswith("my-faces"))
    assert row.split()[-1] == "yes"
    shown = CliRunner().invoke(app, ["models", "info", "my-faces"], catch_exceptions=False).stdout
    assert str(models / "tuned.pt") in shown
