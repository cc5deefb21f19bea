"""Promises of the README and of docs/: every command there is spelled right, and what can run without a download or a GPU runs."""

from __future__ import annotations

import shutil
import tomllib

import pytest
import typer.main
from typer.testing import CliRunner

from documented import DOWNLOADS, PAGES, ROOT, examples, stand_in, write_videos
from vjepa_fer.cli.main import app
from vjepa_fer.errors import VIDEO_REASONS

EXAMPLES = [example for page in PAGES for example in examples(page)]
RUN_BY_CI = [e for e in EXAMPLES if e.page.name == "README.md" and e.language == "sh"]
"""How to install: .ci/run runs it in a fresh environment."""


def runnable(page):
    found = [e for e in EXAMPLES if e.page == page and not e.not_run and e not in RUN_BY_CI]
    return [e for e in found if e.language == "python" or (e.language in ("", "sh") and e.commands)]


NEEDS = {"sound.md": "opensmile"}
"""Packages that are in no environment of most people, and without which a page does not run."""

WHOLE = typer.main.get_command(app)
"""Building it takes a fifth of a second."""

PAGES_WITH_EXAMPLES = [page for page in PAGES if runnable(page)]


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.language in ("", "sh") and e.commands], ids=str)
def test_every_command_is_spelled_right_whether_it_is_run_or_not(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in example.commands:
        for file in (word for word in words if word.endswith(".toml") and "/" not in word):
            (tmp_path / file).touch()  # a file of options is read as soon as it is named
        command, name = WHOLE, "vjepa-fer"
        words = [word for word in words if word != "…"]
        while hasattr(command, "commands"):
            assert words, f"{example}: {name} alone does nothing"
            assert words[0] in command.commands, f"{example}: there is no command {name} {words[0]}"
            name, command, words = words[0], command.commands[words[0]], words[1:]
        command.make_context(name, words)


@pytest.fixture(scope="session")
def extracted(tmp_path_factory):
    """A folder with the pages' videos, ``ravdess.csv`` and ``cache/ravdess``."""
    pytest.importorskip("av")
    folder = tmp_path_factory.mktemp("pages")
    write_videos(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_line("docs", ["manifest", "ravdess", "RAVDESS", "-o", "ravdess.csv"])
        run_line("docs", ["extract", "ravdess.csv", "cache/ravdess", "--model", "vjepa2.1-large-384"])
    return folder


@pytest.mark.parametrize("page", PAGES_WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_runs_from_top_to_bottom(page, extracted, tmp_path, monkeypatch):
    pytest.importorskip(NEEDS.get(page.name, "av"))
    shutil.copytree(extracted, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    for example in runnable(page):
        if example.language == "python":
            exec(compile(example.text, str(example), "exec", dont_inherit=True), names)
        for words in example.commands if example.language != "python" else ():
            run_line(example, words)


def run_line(example, words):
    """Run one command in this process; writing the manifest that is there already is what a page does first."""
    line = " ".join(["vjepa-fer", *words])
    if line.startswith(DOWNLOADS):
        return
    words = stand_in(words)
    if words[:2] == ["manifest", "ravdess"]:
        words = [*words, "--force"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, f"{example}: {line}\n{done.output}\n{done.exception!r}"


def test_examples_that_are_not_run_say_why():
    shown = [e for e in EXAMPLES if e.language == "sh" and not e.commands and not e.not_run and e not in RUN_BY_CI]
    assert [str(e) for e in shown] == []


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.language == "toml"], ids=str)
def test_toml_is_toml(example):
    tomllib.loads(example.text)


def test_every_reason_of_a_failed_clip_is_explained():
    text = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    assert [reason for reason in VIDEO_REASONS if f"`{reason}`" not in text] == []
