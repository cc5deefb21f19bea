"""Names from files reach a terminal as text that is only shown: by every command, in every message, at one place in the code."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from hostile import EVIL, MARKUP, OBEYED, TAME, harm, write_study
from vjepa_fer import doctor
from vjepa_fer.cli import terminal
from vjepa_fer.cli.main import main
from vjepa_fer.errors import RunError

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "cli").glob("*.py"), *(ROOT / "vjepa_fer").rglob("*.py")])
PRINTING_MODULES = {"tqdm", "tqdm.auto", "rich", "rich.console", "click", "logging"}
PRINTING_NAMES = {
    *(f"typer.{name}" for name in ("echo", "secho", "echo_via_pager", "prompt", "confirm", "progressbar")),
    *(f"sys.{stream}.{method}" for stream in ("stdout", "stderr") for method in ("write", "writelines", "buffer")),
    *("csv.writer", "csv.DictWriter", "os.write"),
}
DOORS = {
    "cli/terminal.py": {"typer.echo", "rich", "rich.console"},
    "cli/models.py": {"rich"},  # shapes of tables, which the screen of cli/terminal.py prints
    "vjepa_fer/doors/bars.py": {"tqdm"},
    "vjepa_fer/doors/sheets.py": {"csv.writer"},
    "vjepa_fer/engines/ray_engine.py": {"logging"},  # for the level at which Ray is silent
}

FOLDS = ("--folds", "subject-kfold:2")
KNN = ("--probe", "knn", "--param", "k=1", "--allow-leak", *FOLDS)
COMMANDS = [
    ["runs", "list", "runs"],
    ["runs", "list", "runs", "--format", "csv"],
    ["runs", "show", "runs/one", "--part", "classes", "--format", "latex"],
    ["cache", "info", "cache", "--part", "absent", "--format", "markdown"],
    ["runs", "show", "runs/one"],
    ["runs", "show", "TWO"],
    ["runs", "compare", "runs/one", "TWO"],
    ["runs", "compare", "runs/one", "bad.csv"],
    ["evaluate", "runs/one/predictions.csv"],
    ["evaluate", "predictions.csv", "--policy", "strict"],
    ["evaluate", "predictions.csv", "--policy", EVIL],
    ["evaluate", "confusion.csv", "--confusion"],
    ["evaluate", "bad.csv"],
    ["evaluate", "predictions.csv", "--manifest", "clips.csv", "--by", f"x{EVIL}"],
    ["manifest", "csv", "evil.csv", "-o", "out.csv"],
    ["manifest", "csv", "column.csv", "-o", "out.csv"],
    ["manifest", "csv", "column.csv", "-o", "out.csv", "--column", EVIL],
    ["manifest", "csv", "clips.csv", "-o", "copy.csv", "--force"],
    ["manifest", "folder", "videos", "-o", "folder.csv", "--force"],
    ["manifest", "crema-d", "-o", "none.csv", "--where", f"{EVIL}={EVIL}"],
    ["manifest", "corpus", EVIL, "videos", "-o", "none.csv"],
    ["cache", "info", "cache"],
    ["cache", "info", f"none{EVIL}"],
    ["cache", "info", "cache", "--html", f"none{EVIL}/look.html"],
    ["cache", "verify", "bent"],
    ["cache", "repair", "bent"],
    ["cache", "subset", "cache", "--out", "part", "--where", f"label=a{EVIL}"],
    ["cache", "merge", "cache", f"none{EVIL}", "--out", "merged"],
    ["cache", "pool", "cache", "--out", "pooled", "--levels", EVIL],
    ["cache", "export", "cache", "-o", f"x{EVIL}"],
    ["cache", "import", "predictions.csv", "new", "--manifest", "clips.csv"],
    ["probe", "cache", *KNN, "--by", f"x{EVIL}", "--out", "fitted"],
    ["probe", "cache", *KNN, "--test-on", "cache", "--policy", "strict"],
    ["probe", "cache", "--features", EVIL, *FOLDS],
    ["probe", "cache", "--folds", f"column:{EVIL}"],
    ["probe", "cache", "--config", "key.toml"],
    ["probe", "cache", "--config", "value.toml"],
    ["probe", "--config", "value.toml", "--help"],
    ["probe", "cache", "--param", f"C={EVIL}", *FOLDS],
    ["probe", "cache", f"--{EVIL}"],
    ["probe", "--stream", f"{EVIL}=cache", "--stream", "b=cache", *KNN],
    ["extract", "clips.csv", "cache2", "--model", EVIL],
    ["extract", "clips.csv", "cache2", "--model", "home/models/broken.toml"],
    ["predict", "videos", "--run", f"runs/{EVIL}"],
    ["report", "runs", "--by", EVIL, "-o", "r.html"],
    ["models", "info", "home/models/mine.toml"],
    ["models", "info", f"{EVIL}.toml"],
    ["models", "list"],
    ["models", "fetch", EVIL],
    ["doctor", f"none{OBEYED}"],
    [EVIL],
    ["cache", EVIL],
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    if sys.platform == "win32":
        pytest.skip("no such names there")
    root = tmp_path_factory.mktemp("study")
    write_study(root)
    return root


def typed(words, study):
    """The words, the folder of the second run among them by its name."""
    return [str(next((study / "runs").glob("two*"))) if word == "TWO" else word for word in words]


@pytest.fixture
def call(study, monkeypatch, capfd):
    """Run a command in this process as the program does; what it said comes back, stdout and stderr."""
    monkeypatch.chdir(study)
    monkeypatch.setenv("VJEPA_FER_HOME", str(study / "home"))
    monkeypatch.setattr(doctor, "examine_packages", lambda timeout: {"numpy": {"state": "broken", "fault": EVIL}})
    monkeypatch.setattr(doctor, "examine_devices", lambda packages, timeout: {"found": []})

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["vjepa-fer", *typed(words, study)])
        with warnings.catch_warnings(action="default"), pytest.raises(SystemExit):
            main()
        return capfd.readouterr()

    return run


def ids(words):
    return " ".join(words)[:30].encode("unicode_escape").decode()


@pytest.mark.parametrize("words", COMMANDS, ids=ids)
def test_a_name_is_shown_by_every_command_and_obeyed_by_no_terminal(call, words):
    said = "".join(call(*words))
    assert harm(said) == set()
    assert not any(line.startswith("error: forged") for line in said.splitlines())
    assert "\\u202e" in said or "\\x1b]0;" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "list", "runs"],
        ["runs", "show", "runs/one"],
        ["runs", "compare", "runs/one", "TWO"],
        ["evaluate", "predictions.csv"],
        ["evaluate", "confusion.csv", "--confusion"],
        ["manifest", "csv", "clips.csv", "-o", "copy.csv", "--force"],
        ["cache", "info", "cache"],
        ["cache", "verify", "broken"],
        ["models", "list"],
    ],
    ids=ids,
)
def test_json_for_machines_holds_the_very_names_and_no_command(call, words):
    out = call(*words, "--json").out
    assert harm(out) == set()
    whole = json.dumps(json.loads(out), ensure_ascii=False)
    assert "\u202e" in whole
    assert harm(whole) >= set("\u202e\u200b")


IN_A_TERMINAL = [
    ["runs", "show", "runs/one"],
    ["runs", "compare", "runs/one", "TWO"],
    ["evaluate", "bad.csv"],
    ["manifest", "folder", "videos", "-o", "folder.csv", "--force"],
    ["cache", "info", "cache"],
    ["cache", "info", "cache", "--html", "look.html"],
    ["cache", "verify", "broken"],
    ["probe", "cache", *KNN, "--by", f"x{EVIL}"],
    ["probe", "cache", f"--{EVIL}"],
    ["models", "info", "home/models/mine.toml"],
    ["extract", "clips.csv", "tiny", "--model", "tiny-v21", "--weights", "random:0", "--workers", "0"],
]


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal")
def test_nothing_but_lines_reaches_a_terminal_without_colours(study):
    for package in ("jinja2", "torch", "av"):
        pytest.importorskip(package)
    environment = os.environ | {"NO_COLOR": "1", "TERM": "dumb", "VJEPA_FER_HOME": str(study / "home")}
    words = [typed(words, study) for words in IN_A_TERMINAL]
    said = in_a_terminal([sys.executable, "-c", MANY, json.dumps(words)], cwd=study, env=environment)
    assert harm(said) == {"\r"}
    assert min(said.count("\\x1b]0;owned\\x07"), said.count(TAME[:-1].encode("unicode_escape").decode())) > len(words)
    assert "failed: c0\\u202e" in said  # above a bar
    assert "100%" in said
    assert "Traceback" not in said


MANY = """
import json, sys
from vjepa_fer.cli.main import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["vjepa-fer", *words]
    try:
        main()
    except SystemExit:
        pass
"""


def in_a_terminal(command, **options):
    """What a command says to a terminal of 80 columns."""
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, **options) as process:
        os.close(theirs)
        said = b"".join(iter(lambda: read(ours), b""))
    os.close(ours)
    assert process.returncode == 0
    return said.decode()


def read(descriptor):
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # what Linux says when the other side is closed
        return b""


def said_by(function, *arguments, capfd, **options):
    function(*arguments, **options)
    return "".join(capfd.readouterr())


def test_one_argument_is_one_line_and_the_breaks_between_them_are_ours(capfd):
    for function in (terminal.say, terminal.warn, terminal.say_error):
        first, second = said_by(function, "a\nb", f"  c{EVIL}", capfd=capfd).splitlines()
        assert first.endswith(r"a\nb")
        assert second.startswith("  c")
    assert said_by(terminal.print_line, "a\nb", capfd=capfd) == "a\\nb\n"


def test_a_cell_is_text_of_one_line_without_mark_up_or_emoji(capfd):
    cell = f"a\nb{MARKUP}"
    table = said_by(terminal.print_table, (cell, "n"), [(cell, 1)], title=[cell, "second"], capfd=capfd)
    assert table.count(rf"a\nb{MARKUP}") == 3
    assert table.splitlines()[1] == "second"


MISTAKES = [
    ["runs", "list", "runs/nowhere/at/all"],
    ["probe", "cache", "--decision", "votes"],
    ["probe", "cache", "--scal", "standard"],
    ["prob", "cache"],
    ["report", "runs", "--projection", "tnse"],
    ["extract", "clips.csv", "new", "--model", "tiny-v12"],
    ["probe", "--config", "encodrs"],
]


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal")
def test_every_mistake_is_said_within_the_terminal_and_on_one_line_where_nobody_looks(study):
    pytest.importorskip("torch")
    environment = os.environ | {"NO_COLOR": "1", "TERM": "dumb"}
    code = [sys.executable, "-c", MANY]
    shown = in_a_terminal([*code, json.dumps(MISTAKES)], cwd=study, env=environment).replace("\r", "")
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("error: ") for line in lines) == len(MISTAKES)
    piped = subprocess.run([*code, json.dumps(MISTAKES)], cwd=study, env=environment, capture_output=True, text=True)
    said = [line for line in piped.stderr.splitlines() if not line.startswith("`vjepa-fer ")]
    assert len(said) == len(MISTAKES)
    assert all(line.startswith("error: ") for line in said)
    assert " ".join(shown.split()) == " ".join(piped.stderr.split())
    for meant in ("'vote'", "'--scale'", "'probe'", "'tsne'", "'tiny-v21'", "'encoders'"):
        assert f"did you mean {meant}?" in piped.stderr
    assert not set("│╭╰─") & set(shown + piped.stderr)


def test_a_note_and_an_error_differ_by_their_word_alone(capfd, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    error, note = (said_by(say, "words " * 30, "  more", capfd=capfd) for say in (terminal.say_error, terminal.warn))
    assert error.removeprefix("error:") == note.removeprefix("note:")


def test_an_error_of_several_lines_keeps_its_own_breaks_and_no_others(call, monkeypatch):
    def fail(path):
        error = RunError("first\nforged", "  second")
        error.add_note("third\nforged")
        raise error

    monkeypatch.setattr("vjepa_fer.runs.read_run", fail)
    assert call("runs", "show", "runs/one").err == "error: first\\nforged\n  second\nthird\\nforged\n"


def test_what_a_library_warns_of_is_text(call, monkeypatch):
    def look(path):
        warnings.warn(f"label {EVIL}", UserWarning, stacklevel=1)
        raise RunError("none")

    monkeypatch.setattr("vjepa_fer.runs.read_run", look)
    err = call("runs", "show", "runs/one").err
    assert "UserWarning: label \\x1b]0;owned" in err
    assert harm(err) == set()


def in_code(path):
    """How a file of the repository is called in messages of this test."""
    return path.relative_to(ROOT).as_posix()


def prints(tree):
    """What a module does, or imports, with which text could leave for a terminal or a spreadsheet as it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in PRINTING_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in PRINTING_MODULES:
            yield node.module
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield "print"
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in PRINTING_NAMES:
            yield ast.unparse(node)


def test_text_leaves_by_the_doors_only():
    for path in FILES:
        found = set(prints(ast.parse(path.read_text(encoding="utf-8"))))
        allowed = DOORS.get(in_code(path), set())
        assert found <= allowed, f"{in_code(path)}: say it with cli/terminal.py or vjepa_fer/doors"


@pytest.mark.parametrize(
    "code",
    [
        "print(name)",
        "typer.echo(name)",
        "typer.secho(name, err=True)",
        "sys.stdout.write(name)",
        "sys.stderr.write(name)",
        "from tqdm import tqdm",
        "from rich.console import Console",
        "csv.writer(file).writerow(names)",
        "import logging",
    ],
)
def test_a_way_round_the_doors_is_noticed(code):
    assert set(prints(ast.parse(code)))
