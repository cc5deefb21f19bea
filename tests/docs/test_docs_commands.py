"""Promises of docs/commands.py: its page is current, and lists every command and option that the command line takes."""

from __future__ import annotations

import importlib.util

import typer.main

from documented import ROOT
from vjepa_fer.cli.main import app

PAGE = ROOT / "docs/reference/commands.md"


def program():
    spec = importlib.util.spec_from_file_location("docs_commands", ROOT / "docs/commands.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["docs_commands"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_commands_is_current():
    assert PAGE.read_text(encoding="utf-8") == program().page(), (
        "run: python docs/commands.py > docs/reference/commands.md"
    )


def every_command(command, name="vjepa-fer"):
    for short, sub in getattr(command, "commands", {}).items():
        yield from every_command(sub, f"{name} {short}")
    if not hasattr(command, "commands"):
        yield name, command


def test_it_lists_every_option_that_the_parser_takes_and_no_other():
    sections = {part.split("\n")[0].lstrip("# "): part for part in PAGE.read_text(encoding="utf-8").split("\n##")}
    found = dict(every_command(typer.main.get_command(app)))
    assert len(found) > 20
    for name, command in found.items():
        known = {
            o
            for p in command.params
            if p.param_type_name == "option" and not p.hidden
            for o in [*p.opts, *p.secondary_opts]
        }
        rows = [line.split("|")[1] for line in sections[name].splitlines() if line.startswith("| `-")]
        listed = {word.strip("`,") for row in rows for word in row.split() if word.startswith("`-")}
        assert listed == known - {"--help", "-h"}, name
