"""Promises of the help: every command has two examples that the parser reads, and long commands have their options in groups."""

from __future__ import annotations

import shlex

import pytest

from vjepa_fer.cli import completion
from vjepa_fer.cli.environment import long_name
from vjepa_fer.cli.examples import EXAMPLES, leaves
from vjepa_fer.cli.main import make_program
from vjepa_fer.cli.panels import EVERYWHERE, OF_COMMAND

COMMANDS = dict(leaves(make_program()))
ALL = [(name, example) for name, examples in EXAMPLES.items() for example in examples]
MANY = 8
"""Options that are still read as one list."""


def test_every_command_has_two_examples_and_no_other_has_any():
    assert set(EXAMPLES) == set(COMMANDS)
    assert all(len(set(examples)) == 2 for examples in EXAMPLES.values())


def parsed(name, example):
    """The values that the parser makes of an example; callbacks that read files are left out."""
    command = COMMANDS[name]
    words = shlex.split(example.words)
    assert words[: len(name.split())] == name.split()
    context = command.make_context(name, words[len(name.split()) :])
    return command, context.params


@pytest.mark.parametrize(("name", "example"), ALL, ids=lambda value: str(getattr(value, "words", value)))
def test_an_example_is_read_by_the_parser_and_names_what_there_is(name, example):
    command, values = parsed(name, example)
    assert len(example.command) <= 75, "it stands on one line of 80 columns"
    for parameter in command.params:
        complete = getattr(parameter, "_custom_shell_complete", None)
        value = values.get(parameter.name)
        if complete and isinstance(value, str) and value != parameter.default and not value.endswith(".toml"):
            for word in value.split(","):
                assert [one.value for one in complete(None, parameter, word)], f"{word} is none of {parameter.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_stand_below_the_help(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises((SystemExit, Exception)) as end:
        COMMANDS[name].make_context(f"vjepa-fer {name}", ["--help"])
    assert type(end.value).__name__ == "Exit"
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert all(example.command in lines for example in EXAMPLES[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_a_long_command_stand_in_groups(name):
    options = [p for p in COMMANDS[name].params if p.param_type_name == "option" and not getattr(p, "hidden", False)]
    loose = [long_name(p) for p in options if not p.rich_help_panel]
    assert len(options) <= MANY or not loose, f"give {loose} a group in cli/panels.py"
    panels = {p.rich_help_panel for p in options}
    assert len(options) <= MANY or 3 <= len(panels) <= 7


def test_a_group_names_options_once():
    for groups in (EVERYWHERE, *OF_COMMAND.values()):
        named = [option for options in groups.values() for option in options]
        assert len(named) == len(set(named))
    assert set(OF_COMMAND) <= set(COMMANDS)


@pytest.mark.parametrize("names", [completion.PROBES, completion.POLICIES, completion.SCALES, completion.TIES])
def test_help_names_what_the_tab_key_offers(names):
    said = " ".join(p.help or "" for p in COMMANDS["probe"].params if p.param_type_name == "option")
    assert all(name in said for name in names)
