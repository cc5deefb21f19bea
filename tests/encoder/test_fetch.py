"""Official weights in the home folder: fetched once, recorded, compared, found by name."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from servers import Site, serve
from test_checkpoint import official_file, tiny_config
from vjepa_fer.cli.main import app
from vjepa_fer.disk import exclusive_lock
from vjepa_fer.encoder import load_encoder
from vjepa_fer.encoder.fetching.download import Patience
from vjepa_fer.encoder.fetching.fetch import fetch_weights
from vjepa_fer.encoder.files.home import weights_file
from vjepa_fer.encoder.files.records import check_unchanged, read_record
from vjepa_fer.encoder.loading import registry
from vjepa_fer.errors import CheckpointError, DownloadError, RecipeError

NAME = "vjepa2-large-256"
QUICK = Patience(timeout_seconds=5, attempts=2, pause_seconds=0)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A training checkpoint of the official structure, in small."""
    path = tmp_path_factory.mktemp("official") / "vitl.pt"
    official_file(path, "v2")
    return path.read_bytes()


def test_weights_come_under_our_own_name_with_a_record(home, content):
    with serve(Site(content)) as site:
        fetched = fetch_weights(NAME, url=site.url + "/vitl.pt")
    assert fetched.path == home / "weights" / "vjepa2-large-256.pt"
    assert fetched.path.read_bytes() == content
    assert (fetched.is_new, fetched.is_first) == (True, True)
    record = json.loads((home / "weights" / "vjepa2-large-256.pt.json").read_text())
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert (record["state_key"], record["url"]) == ("target_encoder", site.url + "/vitl.pt")
    assert not list(home.rglob("*.part*"))


def test_weights_that_are_here_are_compared_not_fetched(content):
    with serve(Site(content)) as site:
        fetch_weights(NAME, url=site.url)
        again = fetch_weights(NAME, url=site.url)
    assert (again.is_new, again.is_first, len(site.requests)) == (False, False, 1)


def test_weights_put_there_by_hand_get_their_record(home, content):
    weights_file(NAME).parent.mkdir(parents=True)
    weights_file(NAME).write_bytes(content)
    assert fetch_weights(NAME).record.sha256 == hashlib.sha256(content).hexdigest()
    assert read_record(weights_file(NAME)).size == len(content)


def test_weights_that_changed_on_the_disk_are_refused(content):
    with serve(Site(content)) as site:
        path = fetch_weights(NAME, url=site.url).path
    path.write_bytes(content[:-1] + b"?")
    for use in (lambda: fetch_weights(NAME), lambda: check_unchanged(path), lambda: load_encoder(NAME)):
        with pytest.raises(CheckpointError, match=r"vjepa2-large-256\.pt: changed since it was fetched on 20"):
            use()


def test_weights_that_changed_on_the_server_are_refused(home, content, tmp_path):
    with serve(Site(content)) as site:
        fetch_weights(NAME, url=site.url).path.unlink()
        torch.save({"encoder": {}}, tmp_path / "other.pt")
        site.content = (tmp_path / "other.pt").read_bytes()
        with pytest.raises(
            DownloadError, match=r"not the bytes that came from .*: SHA-256 [0-9a-f]{16}… now, .* delete"
        ):
            fetch_weights(NAME, url=site.url)
    assert not weights_file(NAME).exists()
    assert not list(home.rglob("*.part"))


def test_the_same_weights_again_keep_their_first_record(content):
    with serve(Site(content)) as site:
        first = fetch_weights(NAME, url=site.url)
        first.path.unlink()
        again = fetch_weights(NAME, url=site.url)
    assert (again.is_new, again.is_first, again.record) == (True, False, first.record)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"<!DOCTYPE html>", "a web page"), (b"just words", "no PyTorch file"), (b"PK\x03\x04 half", "not all of it")],
)
def test_what_is_no_weights_file_is_removed(home, content, message):
    with serve(Site(content)) as site, pytest.raises(DownloadError, match=message):
        fetch_weights(NAME, url=site.url)
    assert [p.name for p in (home / "weights").iterdir()] == ["vjepa2-large-256.pt.lock"]


def test_a_refusing_server_leaves_nothing(home):
    with serve(Site(b"", status=403)) as site, pytest.raises(DownloadError, match="403 Forbidden"):
        fetch_weights(NAME, url=site.url)
    assert not weights_file(NAME).exists()


def test_two_at_once_do_not_write_one_file(home, content):
    weights_file(NAME).parent.mkdir(parents=True)
    lock = weights_file(NAME).with_name(weights_file(NAME).name + ".lock")
    with exclusive_lock(lock), pytest.raises(DownloadError, match="another process is fetching it just now"):
        fetch_weights(NAME)


def test_a_home_folder_that_cannot_be_made_is_said(tmp_path, monkeypatch, content):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "file"))
    with serve(Site(content)) as site, pytest.raises(DownloadError, match=r"cannot be written: .*VJEPA_FER_HOME"):
        fetch_weights(NAME, url=f"{site.url}/vitl.pt")


def test_a_damaged_record_is_said(home):
    weights_file(NAME).parent.mkdir(parents=True)
    (home / "weights" / "vjepa2-large-256.pt.json").write_text("[1]")
    with pytest.raises(CheckpointError, match=r"pt\.json: not the record that `models fetch` writes"):
        read_record(weights_file(NAME))


@pytest.mark.parametrize(
    ("name", "message"), [("vjepa2-larg-256", "did you mean"), ("tiny-v21", "has no official file")]
)
def test_only_official_encoders_are_fetched(name, message):
    with pytest.raises(RecipeError, match=message):
        fetch_weights(name)


# --- loading by name


def test_fetched_weights_are_found_by_name(content, monkeypatch):
    with serve(Site(content)) as site:
        path = fetch_weights(NAME, url=site.url).path
    monkeypatch.setattr(registry, "encoder_config", lambda name: tiny_config("v2"))
    loaded = load_encoder(NAME)
    assert loaded.spec.weights == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.spec.state_key == "target_encoder"


def test_without_them_the_message_names_the_command():
    with pytest.raises(CheckpointError, match=rf"run `vjepa-fer models fetch {NAME}`, or download https://dl\.fb"):
        load_encoder(NAME)


def test_another_source_is_never_taken_instead(home):
    weights_file(NAME).parent.mkdir(parents=True)
    weights_file(NAME, hub=True).touch()
    with pytest.raises(CheckpointError, match=r"only Hugging Face's weights are here, .* with the state key 'encoder'"):
        load_encoder(NAME)


# --- the command


def run(*words):
    return CliRunner().invoke(app, ["models", "fetch", *words], catch_exceptions=False)


def test_the_command_prints_the_path_and_says_licence_and_hash(home, content):
    with serve(Site(content)) as site:
        done = run("vjepa1-large-224", "--url", site.url)
    assert done.stdout.strip() == str(home / "weights" / "vjepa1-large-224.pt")
    assert "CC-BY-NC-4.0 (non-commercial)" in done.stderr
    assert hashlib.sha256(content).hexdigest() + " (recorded now" in done.stderr
    assert "(as when it first came" in run("vjepa1-large-224").stderr


def test_what_extract_would_refuse_is_not_here_and_fetching_it_fails(home, content):
    with serve(Site(content)) as site:
        done = run(NAME, "--url", site.url)
    for again in (done, run(NAME)):  # whoever asks again is told again
        assert again.exit_code == 1
        assert "not the weights of this encoder" in again.stderr
        assert "`extract` will refuse it" in again.stderr
    assert _said_to_be_here() == "bad"
    info = " ".join(CliRunner().invoke(app, ["models", "info", NAME]).stdout.split())
    assert "(refused: " in info
    assert "not the weights of this encoder" in info


def test_weights_of_nan_are_not_here_either(tmp_path, monkeypatch):
    written = official_file(tmp_path / "w.pt", "v2")
    monkeypatch.setattr(registry, "encoder_config", lambda name: tiny_config("v2"))
    for name, value in (("good", 0.0), ("bad", float("nan"))):
        state = {key: tensor.clone() for key, tensor in written.state_dict().items()}
        state["norm.bias"][0] = value
        torch.save({"target_encoder": state}, tmp_path / f"{name}.pt")
    for name, status, here in (("bad", 1, "bad"), ("good", 0, "yes")):
        weights_file(NAME).parent.mkdir(parents=True, exist_ok=True)
        for file in weights_file(NAME).parent.iterdir():
            file.unlink()
        weights_file(NAME).write_bytes((tmp_path / f"{name}.pt").read_bytes())
        assert (run(NAME).exit_code, _said_to_be_here()) == (status, here)


def test_a_file_that_changed_since_is_not_here(home, content):
    with serve(Site(content)) as site:
        path = fetch_weights(NAME, url=site.url).path
    assert _said_to_be_here() == "yes"  # nobody has looked into it
    path.write_bytes(content + b"?")
    assert _said_to_be_here() == "bad"
    path.write_bytes(content[:-1] + b"?")
    with pytest.raises(CheckpointError, match="changed since"):
        fetch_weights(NAME)
    assert _said_to_be_here() == "bad"


def _said_to_be_here():
    lines = CliRunner().invoke(app, ["models", "list"], env={"COLUMNS": "80"}).stdout.splitlines()
    return next(line for line in lines if line.startswith(NAME)).split()[-1]


def test_the_command_speaks_json(home, content):
    with serve(Site(content)) as site:
        answer = json.loads(run(NAME, "--url", site.url, "--json").stdout)
    assert (answer["model"], answer["is_new"], answer["size"]) == (NAME, True, len(content))


def test_names_facts_and_fetching_need_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import vjepa_fer.encoder.fetching.fetch, vjepa_fer.encoder.fetching.facts as facts\n"
        "print(facts.encoder_facts('vjepa2-large-256')['parameters'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "303885312"


def test_a_refusal_on_the_command_line_is_one_sentence_and_status_one(content):
    with serve(Site(content, status=403)) as site:
        command = [sys.executable, "-m", "vjepa_fer.cli", "models", "fetch", NAME, "--url", site.url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the server answered 403 Forbidden" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
