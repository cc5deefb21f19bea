"""A folder that somebody sent is data: whatever command is called in it, none of its Python files runs."""

from __future__ import annotations

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
from vjepa_fer.manifest import write_manifest
from vjepa_fer.recipe import Sampling, Storage

TRAPS = (
    *("pickle", "json", "signal", "subprocess", "threading", "multiprocessing", "sitecustomize", "usercustomize"),
    *("numpy", "scipy", "sklearn", "lightgbm", "torch", "av", "h5py", "joblib", "tqdm", "vjepa_fer"),
)
"""Modules that a command or one of its processes would import."""

EXTRACT = "extract clips.csv new --model tiny-v21 --weights random:3 --frame-step 1"
COMMANDS = {
    "demo": ["demo new"],
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


def run_there(command, folder, status):
    """Run a command in the folder, as a person does who set nothing up for Python."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == status, done.stderr + done.stdout


@pytest.mark.parametrize("words", [pytest.param(words, id=words) for calls in COMMANDS.values() for words in calls])
def test_no_command_runs_what_lies_in_the_folder(words, sent, tmp_path):
    folder, marks = tmp_path / "sent", tmp_path / "marks"
    shutil.copytree(sent, folder)
    set_traps(folder, marks)
    words, _, status = words.partition(": ")
    with serve(Site(b"no weights")) as site:
        command = [str(Path(sys.executable).with_name("vjepa-fer")), *words.format(url=site.url).split()]
        run_there(command, folder, int(status or 0))
    assert list(marks.iterdir()) == []


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
