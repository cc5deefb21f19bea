"""A folder that somebody sent is data: whatever command is called in it, none of its Python files runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

pytest.importorskip("torch")
pytest.importorskip("av")

from servers import Site, serve
from sounds import write_speech
from test_checkpoint import official_file
from test_cli_probe import call
from vjepa_fer.cli.main import app
from vjepa_fer.demo import DemoSettings, write_demo_set
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.extras import import_undisturbed
from vjepa_fer.manifest import write_manifest
from vjepa_fer.recipe import Sampling, Storage

TRAPS = (
    *("pickle", "json", "signal", "subprocess", "threading", "multiprocessing", "sitecustomize", "usercustomize"),
    *("numpy", "scipy", "sklearn", "lightgbm", "torch", "av", "h5py", "joblib", "tqdm", "vjepa_fer"),
)
"""Modules that a command or one of its processes would import."""

EXTRACT = "extract clips.csv new --model tiny-v21 --weights random:3 --frame-step 1"
COMMANDS = {
    "doctor": ["doctor ."],
    "extract": [
        f"{EXTRACT} --workers 1",
        f"{EXTRACT} --workers 1 --decoder decord",
        f"{EXTRACT} --workers 1 --dry-run",
    ],
    "extract-audio": ["extract-audio clips.csv new --features hf:speech: 4"],
    "probe": [
        "probe . --jobs 2 --folds loso --probe knn,logreg,lightgbm,mlp --param n_estimators=2",
        "probe . --jobs 2 --folds loso --probe attentive --features tokens --param epochs=1",
    ],
    "experiments list": ["experiments list"],
    "experiments show": ["experiments show encoders"],
    "experiments table": ["experiments table one"],
    "evaluate": ["evaluate runs/logreg-mean-standard"],
    "robustness": ["robustness encoders .: 1"],
    "report": ["report runs/logreg-mean-standard -o new.html --figures drawn --format svg"],
    "predict": ["predict v.mp4 --run runs/logreg-mean-standard --timeline new"],
    "manifest ravdess": ["manifest ravdess -o new.csv"],
    "manifest crema-d": ["manifest crema-d -o new.csv"],
    "manifest corpus": ["manifest corpus savee savee -o new.csv"],
    "manifest folder": ["manifest folder byclass -o new.csv"],
    "manifest csv": ["manifest csv clips.csv -o new.csv"],
    "manifest verify": ["manifest verify ravdess: 1"],
    "models list": ["models list"],
    "models info": ["models info vjepa2.1-large-384"],
    "models fetch": ["models fetch vjepa2.1-large-384 --url {url}/file: 1"],
    "models slim": ["models slim training.pt -o new --state-key ema_encoder"],
    "cache info": ["cache info . --html new.html"],
    "cache verify": ["cache verify ."],
    "cache repair": ["cache repair ."],
    "cache merge": ["cache merge . -o new"],
    "cache subset": ["cache subset . -o new --where label=happy"],
    "cache mirror": ["cache mirror . new"],
    "cache pool": ["cache pool . -o new --levels mean"],
    "cache import": ["cache import table.csv new --manifest clips.csv"],
    "cache export": ["cache export . -o new.npz"],
    "runs list": ["runs list runs"],
    "runs issues": ["runs issues runs/logreg-mean-standard"],
    "runs show": ["runs show runs/logreg-mean-standard"],
    "runs compare": ["runs compare runs/logreg-mean-standard runs/knn-mean-standard"],
    "demo": ["demo new"],  # last, for its faces are made fewer before
}
"""For each command, calls in a folder that is a cache; after a colon the exit status, if it is not 0."""


def leaves(command, name=""):
    for short, sub in getattr(command, "commands", {}).items():
        yield from leaves(sub, f"{name} {short}")
    if not hasattr(command, "commands"):
        yield name.strip()


def test_every_command_is_called():
    assert sorted(COMMANDS) == sorted(leaves(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """A cache with all that the commands take beside it."""
    folder, drawn = tmp_path_factory.mktemp("sent"), tmp_path_factory.mktemp("drawn")
    manifest = write_demo_set(drawn, DemoSettings(num_subjects=3, num_repetitions=1, num_frames=18))
    encoder = load_encoder("tiny-v21", weights="random:3")
    storage = Storage(levels=("mean", "tokens"), token_dtype="int8")
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1), storage=storage)
    extract_manifest(manifest, folder, encoder, recipe, settings=ExtractSettings(workers=0))
    write_manifest(manifest, folder / "clips.csv")
    shutil.copy(manifest.clips[0].path, folder / "v.mp4")
    plain = ("--folds", "loso", "--no-nested")
    call("probe", folder, "--probe", "logreg,knn", *plain, "--out", folder / "runs", "--refit")
    call("probe", folder, "--probe", "centroid", *plain, "--out", folder / "one")
    for name in ("savee/DC_a01.avi", "byclass/happy/1.mp4", "ravdess/Actor_01/01-01-01-01-01-01-01.mp4"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"x")
    official_file(folder / "training.pt", "v21")
    write_speech(folder / "speech")
    rows = (f"{clip.clip_id},{number**2 % 7}" for number, clip in enumerate(manifest))
    (folder / "table.csv").write_text("\n".join(["clip_id,a", *rows]) + "\n")
    return folder


def set_traps(folder, marks):
    """Lay a module of each name into the folder; whoever imports one leaves a file in `marks` and fails."""
    marks.mkdir()
    for name in TRAPS:
        mark = str(marks / name)
        (folder / f"{name}.py").write_text(f"open({mark!r}, 'w').close()\nraise SystemExit('{name}.py was run')\n")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "matplotlibrc")  # whoever reads it waits for ever


def as_a_person_starts_it(command, folder):
    """Run a command in the folder, with nothing set up for Python."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


def run_there(command, folder, status):
    done = as_a_person_starts_it(command, folder)
    assert done.returncode == status, done.stderr + done.stdout


CALLS = [words for calls in COMMANDS.values() for words in calls]

ONE_AFTER_THE_OTHER = """
import functools, json, os, runpy, sys

script, calls = sys.argv[1], json.loads(sys.argv[2])
ours = os.dup(1)
for folder, words in calls:
    os.chdir(folder)
    os.environ.pop("PYTHONSAFEPATH", None)  # each command has to set it
    said = os.open("../said.txt", os.O_RDWR | os.O_CREAT)
    os.dup2(said, 1), os.dup2(said, 2), os.close(said)
    if words[0] == "demo":
        from vjepa_fer import demo
        demo.DemoSettings = functools.partial(demo.DemoSettings, num_subjects=3, num_repetitions=1, num_frames=16)
    before, sys.argv, status = [*sys.path], [script, *words], 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        status = ended.code or 0
    sys.stdout.flush(), sys.stderr.flush()
    os.write(ours, json.dumps([status, sys.path == before]).encode() + b"\\n")
"""
"""The program's own script, called in several folders by an interpreter that has imported nothing before: what the first command that wants
a module finds is what the others have, so each must leave alone where modules are looked for. One interpreter, as each takes seconds to import torch."""


@pytest.fixture(scope="module")
def called(sent, tmp_path_factory):
    """For each call, a folder with its copy of what was sent: its exit status, and whether it left ``sys.path`` alone."""
    folders = {words: tmp_path_factory.mktemp("call") for words in CALLS}
    for folder in folders.values():
        shutil.copytree(sent, folder / "sent")
        set_traps(folder / "sent", folder / "marks")
    runner = tmp_path_factory.mktemp("runner") / "runner.py"
    runner.write_text(ONE_AFTER_THE_OTHER)
    with serve(Site(b"no weights")) as site:
        there = [(str(f / "sent"), w.partition(": ")[0].format(url=site.url).split()) for w, f in folders.items()]
        script = str(Path(sys.executable).with_name("vjepa-fer"))
        done = as_a_person_starts_it([sys.executable, str(runner), script, json.dumps(there)], runner.parent)
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ends) == len(CALLS), (folders[CALLS[len(ends)]] / "said.txt").read_text() + done.stderr
    return {words: (folders[words], *end) for words, end in zip(CALLS, ends, strict=True)}


@pytest.mark.parametrize("words", CALLS)
def test_no_command_runs_what_lies_in_the_folder(words, called):
    folder, status, path_left_alone = called[words]
    assert status == int(words.partition(": ")[2] or 0), (folder / "said.txt").read_text()
    assert path_left_alone
    assert list((folder / "marks").iterdir()) == []


def test_a_command_that_looks_there_is_caught(tmp_path):
    """The traps are laid where an interpreter without `-P` looks."""
    set_traps(tmp_path, tmp_path / "marks")
    run_there([sys.executable, "-c", "import numpy"], tmp_path, 1)
    assert [mark.name for mark in (tmp_path / "marks").iterdir()] == ["numpy"]


def test_nor_does_a_command_that_is_run_as_a_module(sent, tmp_path):
    folder, marks = tmp_path / "sent", tmp_path / "marks"
    shutil.copytree(sent, folder)
    set_traps(folder, marks)
    (folder / "vjepa_fer.py").unlink()  # -m looks for the module itself in the current folder
    words = "-m vjepa_fer.cli probe . --jobs 2 --folds loso --probe knn"
    run_there([sys.executable, *words.split()], folder, 0)
    assert list(marks.iterdir()) == []


def test_nor_does_a_process_that_a_library_starts_for_a_command(tmp_path):
    """As torch's compilers are, and the tracker of :mod:`multiprocessing`."""
    set_traps(tmp_path, tmp_path / "marks")
    code = "import subprocess, sys; from vjepa_fer.cli.main import app, main; sys.argv = ['vjepa-fer', 'library']\n"
    code += "app.command('library')(lambda: subprocess.run([sys.executable, '-c', 'import numpy'], check=True))\nmain()"
    run_there([sys.executable, "-P", "-c", code], tmp_path, 0)
    assert list((tmp_path / "marks").iterdir()) == []


def test_a_library_that_imports_matplotlib_by_itself_finds_no_settings_there(tmp_path, monkeypatch):
    """As LightGBM did before 4.7."""
    (tmp_path / "imports_matplotlib.py").write_text("import os\nsees_a_folder = os.path.isdir('matplotlibrc')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert import_undisturbed("imports_matplotlib").sees_a_folder
    assert not os.path.isdir("matplotlibrc")
