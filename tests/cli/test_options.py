"""A command of many options is a list of their names; they are spelled beside it, and what two commands share is spelled once."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from importlib import import_module
from typing import get_args

import pytest

LONG = {
    "probe": "probe",
    "evaluate": "evaluate",
    "extract": "extract",
    "report": "report",
    "predict": "predict",
    "cache_tables": "import_",
    "compare": "compare",
}
"""Module by module, the command in it that has many options; ``…_options`` beside it spells them."""


@pytest.mark.parametrize(("module", "command"), LONG.items())
def test_a_long_command_names_its_options_and_spells_none(module, command):
    signature = inspect.signature(getattr(import_module(f"vjepa_fer.cli.{module}"), command))
    names = [str(one.annotation) for one in signature.parameters.values()]
    assert [name for name in names if not re.fullmatch(r"[A-Z]\w+(Option|Argument)|typer\.Context", name)] == []


def test_an_option_that_two_commands_share_is_spelled_once():
    modules = [import_module(f"vjepa_fer.cli.{name}") for name in ("options", *(f"{one}_options" for one in LONG))]
    aliases = [
        value for module in modules for name, value in vars(module).items() if re.search(r"(Option|Argument)$", name)
    ]
    spelled = Counter(
        (str(get_args(alias)[0]), info.default, info.param_decls, info.help)
        for alias in aliases
        for info in get_args(alias)[1:]
    )
    assert aliases
    assert [help_ for (*_, help_), count in spelled.items() if count > 1] == []
