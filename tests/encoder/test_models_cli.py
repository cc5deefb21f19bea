"""``vjepa-fer models``: what a person chooses an encoder by."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vjepa_fer.cli.main import app
from vjepa_fer.encoder.fetching.facts import clip_megabytes, encoder_facts
from vjepa_fer.encoder.files.home import home_folder, weights_file, weights_here
from vjepa_fer.encoder.model.zoo import OFFICIAL_ENCODERS, encoder_config, parameter_count
from vjepa_fer.errors import RecipeError

KEYS = json.loads(gzip.decompress((Path(__file__).parents[1] / "data" / "checkpoint_keys.json.gz").read_bytes()))


def run(*words, columns=80):
    return CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": str(columns)}, catch_exceptions=False)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("name", KEYS)
def test_parameters_are_counted_as_the_official_code_has_them(name):
    assert parameter_count(encoder_config(name)) == sum(math.prod(shape) for shape in KEYS[name].values())


def test_the_list_names_every_encoder_within_eighty_columns(home):
    lines = run("models", "list").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line.startswith("vjepa") and "–" in line] == list(KEYS)
    assert any(line.startswith("vjepa1-*") and "non-commercial" in line for line in lines)


@pytest.mark.parametrize("columns", [50, 60, 66, 80, 117, 118, 160])
def test_the_list_shows_whole_words_and_every_official_file_at_any_width(home, columns):
    text = run("models", "list", columns=columns).stdout
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= max(columns, 54)
    assert all(e.file.rpartition("/")[2] in text for e in OFFICIAL_ENCODERS.values())


def test_a_registration_that_is_broken_hides_no_other(home):
    (home / "models").mkdir(parents=True)
    (home / "models" / "broken.toml").write_text('like = "vjepa2-large-256"\n')
    (home / "models" / "fine.toml").write_text('like = "vjepa2-large-256"\nweights = "w.pt"\n')
    done = run("models", "list")
    assert done.exit_code == 0
    assert any(line.startswith("fine ") for line in done.stdout.splitlines())
    assert "broken.toml: weights must name the file" in done.stderr
    answer = json.loads(run("models", "list", "--json").stdout)
    assert [m["name"] for m in answer["models"]][-1] == "fine"
    assert "broken.toml" in answer["broken"][0]


def test_the_list_for_machines_has_every_fact(home):
    models = json.loads(run("models", "list", "--json").stdout)["models"]
    facts = next(m for m in models if m["name"] == "vjepa2-giant-384")
    assert (facts["tokens"], facts["parameters"], facts["here"]) == (4608, 1012173952, {})
    assert facts["huggingface"] == "facebook/vjepa2-vitg-fpc64-384"


@pytest.mark.parametrize(("name", "megabytes"), [("vjepa1-large-224", 3.2), ("vjepa2.1-base-384", 7.1)])
def test_storage_is_that_of_the_published_arithmetic(name, megabytes):
    assert clip_megabytes(encoder_config(name), "tokens") == pytest.approx(2 * megabytes, abs=0.1)


def test_storage_of_the_small_levels_is_counted_in_float32():
    config = encoder_config("vjepa2-large-256")
    assert clip_megabytes(config, "mean") == 2 * 1024 * 4 / 1e6
    assert clip_megabytes(config, "frames") == 2 * 8 * 1024 * 4 / 1e6
    assert clip_megabytes(config, "grid:3") == 2 * 8 * 9 * 1024 * 2 / 1e6


def test_info_says_address_key_memory_licence_and_citation(home):
    text = run("models", "info", "vjepa1-huge-384").stdout
    facts = (
        "jepa/vith16-384/vith16-384.pth.tar",
        "target_encoder",
        "2.6 GB",
        "CC-BY-NC-4.0",
        "arXiv:2404.08471",
        "Bardes",
    )
    assert all(fact in text for fact in facts)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(("name", "gigabytes"), [("vjepa2-large-256", 5.128), ("vjepa2.1-base-384", 1.664)])
def test_info_says_the_downloads_size_within_a_hundredth_of_the_known_ones(home, name, gigabytes):
    assert encoder_facts(name)["download_bytes"] / 1e9 == pytest.approx(gigabytes, rel=0.01)
    assert f"about {gigabytes:.1f} GB" in run("models", "info", name).stdout


def test_info_of_the_tiny_encoder_says_that_it_has_no_file():
    with pytest.raises(RecipeError, match="tiny-v21 is a tiny untrained encoder"):
        encoder_facts("tiny-v21")


def test_a_file_in_the_home_folder_is_here(home):
    weights_file("vjepa2-large-256").parent.mkdir(parents=True)
    weights_file("vjepa2-large-256").touch()
    assert weights_here("vjepa2-large-256") == {"meta": home / "weights" / "vjepa2-large-256.pt"}
    row = next(line for line in run("models", "list").stdout.splitlines() if line.startswith("vjepa2-large-256"))
    assert row.split()[-1] == "yes"
    assert str(home) in run("models", "info", "vjepa2-large-256").stdout


def test_files_of_all_encoders_and_sources_differ_in_more_than_case():
    files = [str(weights_file(n, hub=hub)).lower() for n in OFFICIAL_ENCODERS for hub in (False, True)]
    assert len(set(files)) == len(files)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"VJEPA_FER_HOME": "/big/disk"}, "/big/disk"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/vjepa-fer"),
        ("linux", {"HOME": "/home/a"}, "/home/a/.cache/vjepa-fer"),
        ("darwin", {"HOME": "/Users/a"}, "/Users/a/Library/Caches/vjepa-fer"),
        ("win32", {"LOCALAPPDATA": "/appdata"}, "/appdata/vjepa-fer"),
    ],
)
def test_the_home_folder_is_chosen_or_the_platforms_own(monkeypatch, platform, environment, expected):
    for name in ("VJEPA_FER_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", platform)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert home_folder().as_posix() == expected
