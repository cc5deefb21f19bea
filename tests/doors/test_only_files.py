"""A pipe or a device that a manifest, a cache or an option names in place of a file makes no command wait, and none read without end."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("av")

from test_cli_probe import call
from vjepa_fer.demo import DemoSettings, write_demo_set
from vjepa_fer.disk import require_regular
from vjepa_fer.encoder import load_encoder
from vjepa_fer.encoder.fetching.inventory import examine_weights
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.manifest import write_manifest
from vjepa_fer.recipe import Sampling

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")

SECONDS = 300
"""For all commands of both kinds together on a loaded machine; they take fifteen."""

KINDS = {"pipe": os.mkfifo, "device": lambda path: os.symlink("/dev/zero", path)} if hasattr(os, "mkfifo") else {}

EXTRACT = "--model tiny-v21 --weights random:3 --frame-step 1"
COMMANDS = {
    f"extract named.csv new {EXTRACT} --workers 0": (4, "v.mp4: cannot be read: not a regular file but a {kind}"),
    f"extract named.csv newer {EXTRACT} --workers 1": (4, "v.mp4: cannot be read: not a regular file but a {kind}"),
    f"extract named.csv cache {EXTRACT} --workers 0": (0, ""),
    f"extract named.csv dry {EXTRACT} --dry-run": (0, ""),
    "extract clips.csv other --model tiny-v21 --weights w.pt": (1, "w.pt: cannot be read: not a regular file but a {kind}"),
    "extract clips.csv other --model w.pt": (1, "w.pt: cannot be read: not a regular file but a {kind}"),
    "extract clips.csv other --config w.pt": (2, "w.pt: cannot be read as TOML"),
    "models slim w.pt -o new.safetensors": (1, "w.pt: cannot be read: not a regular file but a {kind}"),
    "report runs/logreg-mean-standard --thumbnails -o new.html": (0, ""),
    "report runs/logreg-mean-standard -o w.pt": (1, "w.pt: the report cannot be written (not a regular file but a {kind})"),
    "predict v.mp4 --run runs/logreg-mean-standard": (4, "v.mp4: cannot be read: not a regular file but a {kind}"),
    "manifest verify ravdess": (1, ""),
    "cache info damaged": (0, ""),
    "cache verify damaged": (0, ""),
    "cache subset cache -o subset --clips w.pt": (1, "w.pt: cannot be read ([Errno 22] not a regular file"),
    "cache merge cache -o merged --anonymise --key-file w.pt": (1, "w.pt: cannot be read (not a regular file but a {kind})"),
}  # fmt: skip
"""Exit status and a part of what is said."""

RUNNER = """
import json, os, sys
from typer.testing import CliRunner
from vjepa_fer.cli.main import app
for folder in json.loads(sys.argv[2]):
    os.chdir(folder)
    for words in json.loads(sys.argv[1]):
        print(json.dumps(words), file=sys.__stdout__, flush=True)
        done = CliRunner().invoke(app, words.split())
        print(json.dumps([done.exit_code, done.output, repr(done.exception)]), file=sys.__stdout__, flush=True)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cache, its run, its manifest, and one whose first clip is another file; that is for the tests to make."""
    folder = tmp_path_factory.mktemp("made")
    manifest = write_demo_set(folder, DemoSettings(num_subjects=3, num_repetitions=1, num_frames=18))
    encoder = load_encoder("tiny-v21", weights="random:3")
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1))
    extract_manifest(manifest, folder / "cache", encoder, recipe, settings=ExtractSettings(workers=0))
    write_manifest(manifest, folder / "clips.csv")
    call("probe", folder / "cache", "--probe", "logreg", "--folds", "loso", "--out", folder / "runs", "--refit")
    with (folder / "clips.csv").open(newline="") as file:
        first, *others = csv.DictReader(file)
    with (folder / "named.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, first)
        writer.writeheader()
        writer.writerows([first | {"path": "v.mp4"}, *others])
    (folder / "ravdess" / "Actor_01").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def answers(made, tmp_path_factory):
    """For each kind, what each command answers in a folder of that kind."""
    sent = {kind: tmp_path_factory.mktemp(kind) / "sent" for kind in KINDS}
    for kind, folder in sent.items():
        shutil.copytree(made, folder)
        shutil.copytree(folder / "cache", folder / "damaged")
        for path in ("damaged/index.npz", "v.mp4", "w.pt", "ravdess/Actor_01/01-01-01-01-01-01-01.mp4"):
            (folder / path).unlink(missing_ok=True)
            KINDS[kind](folder / path)
    films = {video: number for number, video in enumerate(sorted(made.rglob("*.mp4")))}
    for video, number in films.items():  # what the caches were made from, for the reports
        video.unlink()
        [*KINDS.values()][number % len(KINDS)](video)
    return run_all(list(COMMANDS), sent)


@pytest.mark.parametrize("kind", KINDS)
def test_no_command_waits_for_what_is_no_file(answers, kind):
    for words, (status, said) in COMMANDS.items():
        code, output, exception = answers[kind][words]
        text = " ".join(f"{output} {exception}".split())
        assert code == status, (words, output, exception)
        assert said.format(kind=kind) in text, (words, text)


def run_all(commands, folders):
    """Exit status, output and exception of each command in each folder, of one process that is ended when one of them hangs."""
    places = {kind: str(folder) for kind, folder in folders.items()}
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUNNER, json.dumps(commands), json.dumps([*places.values()])],
            stdout=subprocess.PIPE, timeout=SECONDS, check=True, env=os.environ | {"COLUMNS": "1000", "VJEPA_FER_HOME": "home"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"hangs: {(error.stdout or b'').decode().splitlines()[-1:]}")
    lines = [json.loads(line) for line in done.stdout.decode().splitlines() if re.match(r"[\[\"]", line)]
    ends = iter(zip(lines[::2], lines[1::2], strict=True))
    return {kind: dict(itertools.islice(ends, len(commands))) for kind in places}


@pytest.mark.parametrize("kind", KINDS)
def test_registered_weights_that_are_no_file_are_a_fault_and_not_waited_for(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    KINDS[kind](tmp_path / "models" / "w.pt")
    (tmp_path / "models" / "mine.toml").write_text('like = "vjepa2.1-large-384"\nweights = "w.pt"\n')
    (found,) = examine_weights()
    assert found["fault"].endswith(f"w.pt: cannot be read: not a regular file but a {kind}")


def test_a_refusal_says_what_it_is_instead(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    os.mkfifo("pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket")
    for path, kind in {"pipe": "a pipe", "socket": "a socket", "/dev/zero": "a device", ".": "a folder"}.items():
        with pytest.raises(OSError, match=rf"not a regular file but {kind}"):
            require_regular(path)
    listener.close()
    Path("file").write_bytes(b"")
    require_regular("file")
