"""Promises of docs/reference/house.md: its table says what the source imports, and its files are there."""

from __future__ import annotations

import re
import sys

import pytest

from documented import ROOT

PAGE = ROOT / "docs/reference/house.md"


@pytest.fixture
def house(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    sys.modules.pop("house", None)
    import house

    return house


def test_the_page_is_that_of_the_source(house):
    assert PAGE.read_text(encoding="utf-8") == house.page(), "run: python docs/house.py > docs/reference/house.md"


def test_each_room_comes_after_all_that_it_imports():
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len(list((ROOT / "vjepa_fer").glob("*/__init__.py")))
    for number, (_, imports) in enumerate(rows):
        assert set(re.findall(r"`(\w+)`", imports)) <= {room for room, _ in rows[:number]}


def test_every_file_on_the_two_ways_is_there():
    text = PAGE.read_text(encoding="utf-8")
    files = re.findall(r"`((?:\w+/)+\w+)`", text.partition("## The way of one clip")[2])
    assert len(files) > 20
    for file in files:
        assert any(
            (folder / f"{file}.py").exists() or (folder / file).is_dir() for folder in (ROOT, ROOT / "vjepa_fer")
        ), file
