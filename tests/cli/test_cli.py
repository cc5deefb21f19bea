"""The command line as a person meets it: separate processes, exit status, what is said and where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from forked import run_forked
from videos import write_video


def run(*words, cwd, status=0):
    """Run ``vjepa-fer WORDS`` and check its exit status; there must be no traceback."""
    done = run_forked(*words, cwd=cwd)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == status, done.stderr + done.stdout
    return done


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with videos of four subjects, their manifest, and a finished cache."""
    root = tmp_path_factory.mktemp("study")
    lines = ["clip_id,path,label,subject"]
    for subject in range(4):
        for label in ("happy", "sad"):
            name = f"{subject}-{label}"
            write_video(root / f"{name}.mp4", 18 + subject)
            lines.append(f"{name},{name}.mp4,{label},s{subject}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
    run("extract", "clips.csv", "cache", "--model", "tiny-v21", "--weights", "random:0", "--frame-step", 1, cwd=root)
    return root


def test_extract_says_what_it_did_and_resumes(study):
    words = ["extract", "clips.csv", "cache", "--model", "tiny-v21", "--weights", "random:0", "--frame-step", "1"]
    again = run(*words, cwd=study)
    assert "0 clips written (0 rows), 8 were there already" in again.stderr
    assert again.stdout == ""
    assert json.loads(run(*words, "--json", cwd=study).stdout)["skipped"] == 8


def test_info_is_a_table_for_people_and_an_object_for_machines(study):
    assert "8 of 8" in run("cache", "info", "cache", cwd=study).stdout
    facts = json.loads(run("cache", "info", "cache", "--json", cwd=study).stdout)
    assert facts["clips_done"] == 8
    assert facts["recipe"]["encoder.weights"] == "random:0"


def test_probe_prints_the_promised_object_and_writes_its_run(study, tmp_path):
    done = run(
        "probe", "cache", "--probe", "knn", "--param", "k=1", "--folds", "loso", "--out", tmp_path, "--json", cwd=study
    )
    answer = json.loads(done.stdout)
    assert answer["schema"] == "vjepa-fer/probe/1"
    result = answer["results"][0]
    assert {
        "probe",
        "params",
        "features",
        "scale",
        "folds",
        "war",
        "uar",
        "macro_f1",
        "n_clips",
        "n_subjects",
        "run",
    } <= set(result)
    assert (result["name"], result["n_clips"], result["n_subjects"]) == ("knn k=1 · mean · standard", 8, 4)
    assert len(result["war"]["folds"]) == 4
    assert Path(result["run"]).is_dir()


def test_streams_are_joined_and_what_drops_out_is_said(study, tmp_path):
    rows = ["name,a,b", *(f"{n}-{label},{n},{label == 'sad':d}" for n in range(3) for label in ("happy", "sad"))]
    (tmp_path / "au.csv").write_text("\n".join(rows) + "\n")
    words = ["au.csv", "au", "--manifest", study / "clips.csv", "--id-column", "name"]
    run("cache", "import", *words, cwd=tmp_path, status=4)
    words = ["--stream", f"tokens={study}/cache", "--stream", "au=au", "--probe", "centroid,logreg", "--folds", "loso"]
    done = run("probe", *words, "--json", cwd=tmp_path)
    assert "6 clips that every stream has" in done.stderr
    assert "2 clips of tokens are in no other stream and drop out" in done.stderr
    results = json.loads(done.stdout)["results"]
    assert [(r["n_clips"], r["n_subjects"]) for r in results] == [(6, 3), (6, 3)]
    assert results[1]["war"]["mean"] == 100  # the column b is the label
    late = run(
        "probe", *words[:4], "--probe", "centroid", "--folds", "loso", "--fusion", "late", "--json", cwd=tmp_path
    )
    assert "late fusion" in late.stderr
    assert json.loads(late.stdout)["results"][0]["n_clips"] == 6
    run("probe", study / "cache", "--fusion", "late", cwd=tmp_path, status=2)
    for wrong in ([study / "cache", *words], [], ["--stream", "au=au"]):
        run("probe", *wrong, cwd=tmp_path, status=2)


def test_another_recipe_is_refused_with_its_fields(study):
    words = ["extract", "clips.csv", "cache", "--model", "tiny-v21", "--weights", "random:5", "--frame-step", "1"]
    assert "encoder.weights: 'random:0' there, 'random:5' asked for" in run(*words, cwd=study, status=1).stderr


def test_failed_clips_make_the_exit_status_four(study, tmp_path):
    (tmp_path / "clips.csv").write_text(f"clip_id,path,label,subject\na,{study}/0-sad.mp4,sad,1\nb,gone.mp4,sad,2\n")
    words = ["extract", "clips.csv", "cache", "--model", "tiny-v21", "--weights", "random:0"]
    done = run(*words, cwd=tmp_path, status=4)
    assert "b (missing)" in done.stderr
    assert (tmp_path / "cache" / "failed.csv").read_text().startswith("clip_id,path,reason,message")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "clips.csv"),
        ("clip_id,path,label,subject\n", "no clips in the manifest"),
        ("clip_id,path,label\na,b,c\n", "subject"),
        ("clip_id,path,label,subject\na,x.mp4,sad,1\na,y.mp4,sad,1\n", "'a'"),
    ],
)
def test_a_manifest_that_is_none_ends_in_one_message(tmp_path, text, message):
    (tmp_path / "clips.csv").write_text(text)
    words = ["extract", "clips.csv", "cache", "--model", "tiny-v21", "--weights", "random:0"]
    assert message in run(*words, cwd=tmp_path, status=1).stderr
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["cache", "info", "nowhere"], 1, "no such cache folder"),
        (["probe", "nowhere"], 1, "no such cache folder"),
        (["extract", "a.csv", "c", "--model", "vjepa2.1-larg-384"], 1, ""),
        (["extract", "a.csv"], 2, "CACHE"),
        (["extract", "a.csv", "c", "--model", "tiny-v21", "--level", "grid"], 2, "grid:G"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_a_mistake_ends_in_a_message_and_the_right_status(tmp_path, words, status, message):
    assert message in run(*words, cwd=tmp_path, status=status).stderr


@pytest.mark.parametrize(
    "words", [["demo", "{0}"], ["models", "slim", "{0}/w.pt", "-o", "{0}/x", "--state-key", "file"]]
)
def test_a_folder_that_is_a_file_ends_in_one_message(tmp_path, words):
    (tmp_path / "file").write_text("in the way")
    words = [word.format(tmp_path / "file") for word in words]
    done = run(*words, cwd=None, status=1)
    assert str(tmp_path / "file") in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "env", [{"PYTHONIOENCODING": "cp1252"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_terminal_or_pipe_without_arrows_ends_no_command(env):
    command = [sys.executable, "-m", "vjepa_fer.cli", "--help"]
    done = subprocess.run(command, capture_output=True, env=os.environ | env, check=False)
    assert done.returncode == 0, done.stderr
    assert ("\\u2192" if "PYTHONIOENCODING" in env else "→").encode() in done.stdout


@pytest.mark.parametrize("module", ["vjepa_fer", "vjepa_fer.cli"])
def test_the_program_has_one_name_however_it_is_started(module):
    done = subprocess.run([sys.executable, "-m", module, "runs"], capture_output=True, text=True, check=False)
    assert "vjepa-fer runs" in done.stdout + done.stderr
    assert "python -m" not in done.stdout + done.stderr


def test_models_are_listed_with_their_licence():
    models = json.loads(run("models", "list", "--json", cwd=None).stdout)["models"]
    assert len(models) == 11
    assert "non-commercial" in next(m for m in models if m["name"] == "vjepa1-huge-384")["licence"]
    assert "ema_encoder" in run("models", "info", "vjepa2.1-large-384", cwd=None).stdout


def test_a_missing_extra_prints_its_pip_line_and_exits_with_three(tmp_path):
    code = (
        "import sys, importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('torch', 'av') else real(name, *a)\n"
        "sys.argv = ['vjepa-fer', 'extract', 'a.csv', 'c', '--model', 'tiny-v21']\n"
        "from vjepa_fer.cli.main import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "torch and PyAV (av), not installed here: pip install 'vjepa-fer[extract]'" in done.stderr


def test_every_command_has_help():
    from typer.main import get_command

    from vjepa_fer.cli.main import app

    def check(command):
        assert command.help, command.name
        for child in getattr(command, "commands", {}).values():
            check(child)

    check(get_command(app))


def test_the_program_with_one_command_has_it_as_the_whole_program_has():
    from vjepa_fer.cli.main import make_program

    whole = make_program().commands
    for name, command in whole.items():
        [(own_name, own)] = make_program([name]).commands.items()
        assert own_name == name
        assert [p.opts for p in own.params] == [p.opts for p in command.params]
        assert list(getattr(own, "commands", {})) == list(getattr(command, "commands", {}))
    for typed in (["--help"], ["prob"], ["--version"]):
        assert list(make_program(typed).commands) == list(whole)


def test_a_command_does_not_wait_for_the_imports_of_others():
    code = "import sys; from vjepa_fer.cli.main import make_program; make_program(['runs']); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "vjepa_fer.cli.runs" in modules
    assert not {"vjepa_fer.cli.probe", "vjepa_fer.cli.extract", "vjepa_fer.cli.models"} & set(modules)
