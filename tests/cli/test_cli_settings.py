"""Promises about where an option's value comes from: typed, else the environment, else a file, else the default."""

import json
import os
import subprocess
import sys

import pytest
import typer

from vjepa_fer.cli.environment import name_variables
from vjepa_fer.cli.main import app

SWEEP = 'probe = ["knn", "mlp"]\nnested = false\nfolds = "loso"\njobs = 2\n[param]\nk = [1, 3]\n[param.mlp]\nhidden = [[4, 2], [3]]\n'
JOB = 'model = "tiny-v21"\nlevel = ["mean", "grid:2"]\nframe_step = 2\nretry-failed = true\ndevices = ["cuda:0", "cuda:1"]\n'


@pytest.fixture
def asked(monkeypatch):
    """What a command is asked for in the end: its work is replaced by a note of its arguments."""
    program = typer.main.get_command(app)
    name_variables(program)

    def ask(name, *words):
        noted = {}
        monkeypatch.setattr(program.commands[name], "callback", lambda **values: noted.update(values))
        program.main([name, *map(str, words)], standalone_mode=False)
        return noted

    return ask


def test_what_is_typed_beats_the_environment_which_beats_the_file(asked, monkeypatch, tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(SWEEP)
    assert asked("probe", "cache")["jobs"] is None  # one here, as many as there is room for on a cluster
    assert asked("probe", "cache", "--config", path)["jobs"] == 2
    monkeypatch.setenv("VJEPA_FER_PROBE_JOBS", "3")
    assert asked("probe", "cache", "--config", path)["jobs"] == 3
    assert asked("probe", "cache", "--config", path, "--jobs", 4)["jobs"] == 4


def test_a_file_holds_a_whole_sweep(asked, tmp_path):
    (tmp_path / "sweep.toml").write_text(SWEEP)
    values = asked("probe", "cache", "--config", tmp_path / "sweep.toml")
    assert (values["probes"], values["nested"], values["folds"]) == ("knn,mlp", False, "loso")
    assert values["params"] == ["k=1,3", "mlp.hidden=(4,2,),(3,)"]


def test_a_file_holds_a_whole_extraction(asked, tmp_path):
    (tmp_path / "job.toml").write_text(JOB)
    values = asked("extract", "clips.csv", "cache", "--config", tmp_path / "job.toml")
    assert (values["model"], values["level"], values["frame_step"]) == ("tiny-v21", ["mean", "grid:2"], 2)
    assert (values["retry_failed"], values["devices"]) == (True, "cuda:0,cuda:1")


@pytest.mark.parametrize(
    ("file", "typed", "expected"),
    [
        ("", [], None),
        ("compile = true", [], True),
        ("compile = false", [], False),
        ("compile = true", ["--no-compile"], False),
    ],
)
def test_whether_to_compile_is_measured_unless_somebody_says(asked, tmp_path, file, typed, expected):
    (tmp_path / "job.toml").write_text(file)
    assert asked("extract", "clips.csv", "c", "--config", tmp_path / "job.toml", *typed)["compile_blocks"] is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("probe = ", r"sweep\.toml: cannot be read as TOML"),
        ("probe = " + "[" * 5000, r"sweep\.toml: cannot be read as TOML"),
        ("#" * (2**24 + 1), r"sweep\.toml: cannot be read as TOML \(over 16,777,216 bytes\)"),
        (
            'prob = "knn"',
            r"sweep\.toml: prob = 'knn' is not understood; the keys are cache, stream, fusion, reference, align, probe, features",
        ),
        ('seed = "one"', "seed = 'one' is not understood"),
        ("nested = 1", "nested = 1 is not understood"),
        ("folds = true", "folds = True is not understood"),
        ("param = 3", "param = 3 is not understood"),
        ("[folds]\nk = 3", "folds = {'k': 3} is not understood"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(asked, tmp_path, text, message):
    (tmp_path / "sweep.toml").write_text(text)
    with pytest.raises(typer.BadParameter, match=message):
        asked("probe", "cache", "--config", tmp_path / "sweep.toml")


def test_every_option_of_every_command_has_one_variable(asked):
    found = []

    def walk(command):
        found.extend(p.envvar for p in command.params if p.envvar)
        for below in getattr(command, "commands", {}).values():
            walk(below)

    program = typer.main.get_command(app)
    name_variables(program)
    walk(program)
    assert len(found) == len(set(found)) > 100
    assert {"VJEPA_FER_EXTRACT_FRAME_STEP", "VJEPA_FER_PROBE_PROBE", "VJEPA_FER_MODELS_FETCH_SOURCE"} <= set(found)
    assert "VJEPA_FER_HOME" not in found  # where weights lie, and no option


def test_the_program_reads_the_environment(tmp_path):
    environment = {"VJEPA_FER_MODELS_LIST_JSON": "1", "VJEPA_FER_HOME": str(tmp_path)}
    words = [sys.executable, "-m", "vjepa_fer.cli", "models", "list"]
    done = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)["models"]) >= 11


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal")
@pytest.mark.parametrize("wish", ["", "1"])
def test_a_terminal_gets_colour_unless_it_was_asked_not_to(wish, tmp_path):
    import pty

    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "vjepa_fer.cli", "runs", "show", str(tmp_path / "none")]
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    try:
        done = subprocess.run(
            words, env=environment | {"NO_COLOR": wish, "TERM": "xterm"}, stdout=theirs, stderr=theirs, check=False
        )
        said = os.read(ours, 10_000)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1
    assert b"error:" in said
    assert (b"\x1b[31m" in said) == (not wish)
