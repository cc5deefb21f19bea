"""What files from elsewhere say comes in bounded and typed, and goes out as text that nothing obeys."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostile import FORMULAS, harm, is_formula
from vjepa_fer.doors import (
    TableLimits,
    csv_text,
    for_spreadsheet,
    from_spreadsheet,
    parse_object,
    parse_rows,
    printable,
    printable_json,
    progress_bar,
    read_bytes,
    read_object,
    read_text,
)
from vjepa_fer.doors.bounded import TooLargeError
from vjepa_fer.errors import RunError, VjepaFerError

TEXTS = st.text(st.characters(codec=None))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as JSON"),
        ("[1]", "holds a list, expected one JSON object"),
        ("3", "holds a number"),
        ("null", "holds null"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": 1e999}', "the number 1e999 is too large"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"a": ' + "[" * 64 + "]" * 64 + "}", "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "cannot be read as JSON"),
    ],
)
def test_a_text_that_is_no_plain_object_is_refused(text, message):
    with pytest.raises(RunError, match=rf"run\.json: .*{message}.*; run again"):
        parse_object(text, "run.json", error=RunError, advice="run again")


@pytest.mark.parametrize(
    ("method", "bad", "message"),
    [
        ("text", "5", "'k' is 5, expected a text"),
        ("whole", "true", "'k' is true, expected a whole number"),
        ("whole", "1.0", "'k' is 1.0, expected a whole number"),
        ("whole", "-1", "'k' is -1, expected a whole number from 0 to"),
        ("whole", str(2**70), "expected a whole number from 0 to 9223372036854775807"),
        ("number", '"1"', "'k' is \"1\", expected a number"),
        ("number", "9" * 400, "'k' is 9{60}…, expected a number that is not too large"),
        ("flag", "1", "'k' is 1, expected true or false"),
        ("object", "[]", r"'k' is \[\], expected an object"),
        ("list", "{}", "'k' is {}, expected a list"),
        ("objects", "[{}, 1]", r"expected a list of objects \(entry 1 is none\)"),
        ("texts", '["a", 1]', "expected a list of texts"),
        ("mapping", '{"a": 1}', "expected an object of texts"),
    ],
)
def test_a_value_of_another_type_is_refused_by_key(method, bad, message):
    given_object = parse_object(f'{{"k": {bad}}}', "x.json")
    with pytest.raises(VjepaFerError, match=rf"x\.json: .*{message}"):
        getattr(given_object, method)("k")
    with pytest.raises(VjepaFerError, match=r"x\.json: 'other' is missing"):
        getattr(given_object, method)("other")


def test_values_come_out_as_they_are_and_say_where_they_stand():
    found = parse_object('{"a": {"b": [{"c": 1}]}, "t": "x", "n": 2, "f": false, "m": {"k": "v"}, "z": null}', "x.json")
    assert (found.text("t"), found.number("n"), found.whole("n"), found.flag("f")) == ("x", 2.0, 2, False)
    assert found.mapping("m") == {"k": "v"}
    assert found.text("absent", "default") == "default"
    assert found.object("absent", optional=True).values == {}
    assert (found.objects("absent", optional=True), found.texts("absent", optional=True)) == ([], ())
    with pytest.raises(VjepaFerError, match=r"x\.json, a, b\[0\]: 'c' is 1, expected a text"):
        found.object("a").objects("b")[0].text("c")


@given(JSON)
def test_whatever_a_file_holds_there_is_an_object_or_our_error(value):
    with contextlib.suppress(VjepaFerError):
        assert parse_object(json.dumps(value), "x").values == value


def test_a_file_is_read_within_its_limit_and_never_waited_for(tmp_path):
    (tmp_path / "big.json").write_text('{"a": "' + "x" * 1000 + '"}')
    with pytest.raises(VjepaFerError, match=r"big\.json: cannot be read \(over 100 bytes\)"):
        read_object(tmp_path / "big.json", at_most=100)
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(VjepaFerError, match="byte 7 is not UTF-8"):
        read_object(tmp_path / "latin.json")
    with pytest.raises(VjepaFerError, match="byte 7 is not UTF-8; get it anew"):
        read_text(tmp_path / "latin.json", advice="get it anew")
    with pytest.raises(FileNotFoundError):
        read_object(tmp_path / "none.json")
    with pytest.raises(VjepaFerError, match="cannot be read"):
        read_object(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
@pytest.mark.parametrize("kind", ["fifo", "device", "link"])
def test_only_plain_files_are_read(tmp_path, kind):
    path = tmp_path / "x.json"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "y.json")
        (tmp_path / "y.json").write_text("{}")
    with pytest.raises(VjepaFerError, match="cannot be read"):
        read_object(path, follow=False)


def test_packed_files_unpack_to_what_they_hold(tmp_path):
    data = os.urandom(1 << 20)
    (tmp_path / "a.gz").write_bytes(gzip.compress(data) + gzip.compress(b"more") + b"\0" * 512)
    assert read_bytes(tmp_path / "a.gz", at_most=1 << 22) == data + b"more"
    for broken in (b"", b"\x1f\x8b", gzip.compress(data)[:-9], b"plain"):
        (tmp_path / "b.gz").write_bytes(broken)
        with pytest.raises(OSError, match="not a whole gzip file"):
            read_bytes(tmp_path / "b.gz", at_most=1 << 22)


def test_a_bomb_is_put_out_while_it_unpacks(tmp_path):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(100 << 20)))
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="over 200 times its size"):
        read_bytes(tmp_path / "bomb.gz", at_most=1 << 40)
    with pytest.raises(TooLargeError, match="over 1,000,000 bytes"):
        read_bytes(tmp_path / "bomb.gz", at_most=1_000_000)
    assert tracemalloc.get_traced_memory()[1] < 60 << 20
    tracemalloc.stop()


@given(TEXTS)
def test_no_text_is_shown_as_more_than_text_on_one_line(text):
    shown = printable(text)
    assert harm(shown) == set()
    assert "\n" not in shown
    assert printable(shown) == shown


@pytest.mark.parametrize(
    "code", [0, 9, 10, 13, 27, 0x7F, 0x85, 0x9B, 0xAD, 0x200D, 0x202E, 0x2028, 0x3164, 0xFE0F, 0xFEFF]
)
def test_what_nobody_sees_is_written_out(code):
    assert printable(f"a{chr(code)}b").isascii()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("wütend × 😀 गुस्सा غاضب", "wütend × 😀 गुस्सा غاضب"),
        ("\x1b]0;t\x07", r"\x1b]0;t\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\n\tb", r"a\r\n\tb"),
        ("hap\u200bpy \U000e0041", r"hap\u200bpy \U000e0041"),
        ("\udcff.mp4", r"\udcff.mp4"),
    ],
)
def test_plain_words_stay_and_commands_are_written_out(text, shown):
    assert printable(text) == shown


@given(JSON)
def test_json_for_a_terminal_reads_back_equal(value):
    try:
        text = printable_json(value)
    except ValueError:  # not a number
        return
    assert harm(text) == set()
    assert json.loads(text) == value


def test_a_bar_and_the_lines_above_it_only_show_their_words(capfd):
    with progress_bar(2, "what\x1b[2J", show=True) as bar:
        bar.say("line\x1b[2J\nforged")
        bar.advance(word="word\x1b[2J\nforged")
        bar.reach(2, 2)
    shown = capfd.readouterr().err
    assert harm(shown) <= {"\r"}
    assert r"line\x1b[2J\nforged" in shown
    assert re.search(r"what\\x1b\[2J: 100%.*, word\\x1b\[2J\\nforged", shown)


@given(FORMULAS | TEXTS)
def test_every_cell_comes_back_from_a_spreadsheet_as_it_went_in(cell):
    assert from_spreadsheet(for_spreadsheet(cell)) == cell


@given(st.lists(st.lists(FORMULAS | st.text(st.characters(codec="utf-8")), min_size=2, max_size=2), min_size=1))
def test_a_table_of_any_texts_reads_back_cell_by_cell_and_none_is_a_formula(rows):
    cells = list(csv.reader(io.StringIO(csv_text(rows[0], rows[1:]), newline=""), strict=True))
    assert [[from_spreadsheet(cell) for cell in row] for row in cells] == rows
    assert not [cell for row in cells for cell in row if is_formula(cell)]


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+1 234", "'+1 234"),
        ("\t=1", "'\t=1"),
        ("＝1", "'＝1"),
        ("-cmd", "'-cmd"),
        ("'=1+1", "''=1+1"),
        ("''-cmd", "'''-cmd"),
        *[(text, text) for text in ("-1.5e-3", "+2", "-0,75", "-inf", "happy", "'tis", "'-1", "", "'", "a=b", "1-2")],
    ],
)
def test_a_formula_is_a_text_in_a_spreadsheet_and_nothing_else_is_touched(cell, written):
    assert for_spreadsheet(cell) == written
    assert from_spreadsheet(written) == cell


def test_numbers_of_a_table_are_written_as_they_are():
    assert csv_text(["=x", "y"], [["-a", -1.5], ["b", np.float32(-0.1)]]) == "'=x,y\n'-a,-1.5\nb,-0.1\n"


def rows_of(data: bytes, **limits):
    return [*parse_rows([data], "t.csv", limits=TableLimits(**limits))]


def test_rows_come_with_the_numbers_that_a_spreadsheet_shows():
    assert rows_of(b'\xef\xbb\xbf\r\na;b\r\n\r\n\'1;"2\n3"\r4;5') == [
        (2, ["a", "b"]),
        (3, []),
        (4, ["'1", "2\n3"]),
        (5, ["4", "5"]),
    ]
    assert rows_of(b"") == rows_of(b"\n\n") == []


@pytest.mark.parametrize(
    ("data", "limits", "message"),
    [
        (b"a,b\n" * 100, {"size": 99}, r"t\.csv: over 99 bytes, more than a table may have; is it the right file"),
        (b"a,b\n" * 100, {"rows": 99}, r"t\.csv: has over 99 rows, more"),
        (b"a,b\n" * 100, {"cells": 99}, r"t\.csv: its first 50 rows have over 99 cells"),
        (b"a,b\na,b,c\n", {"columns": 2}, r"t\.csv: row 2 has 3 columns, over 2"),
        (b"a,b\n" + b"c" * 100, {"row": 99}, r"t\.csv: the row that begins near line 2 has over 99 characters"),
        (b'a,b\n"' + b'\n","' * 100, {"row": 99}, r"t\.csv: the row that begins near line \d+ has over 99 characters"),
        (b"a,b\nc," + b"d" * 140_000, {}, r"field larger than field limit \(131072\)\); is a quotation mark left open"),
    ],
    ids=["bytes", "rows", "cells", "columns", "one line", "one row of many lines", "one cell"],
)
def test_a_table_beyond_a_limit_is_refused_by_file_limit_and_place(data, limits, message):
    with pytest.raises(VjepaFerError, match=message):
        rows_of(data, **limits)


def test_nothing_after_the_first_row_that_is_too_much_is_read():
    def endless():
        while True:
            yield b"a,b\n" * 1000

    with pytest.raises(VjepaFerError, match="over 5,000 rows"):
        [*parse_rows(endless(), "t.csv", limits=TableLimits(rows=5000))]


@pytest.mark.parametrize("row", [b"a,b,c,d\n", b"\n"], ids=["cells", "no cells"])
def test_a_small_file_that_unpacks_to_a_large_table_takes_little_memory(tmp_path, row):
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"e,f,g,h\n" + row * (20_000_000 // len(row)), 1))
    code = (
        "import resource, sys; from vjepa_fer.errors import ManifestError; from vjepa_fer.manifest import read_manifest\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_manifest(sys.argv[1])\n"
        "except ManifestError as error: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    kilobytes, said = done.stdout.split(" ", 1)
    assert int(kilobytes) < 300_000, said
    assert "bomb.csv.gz" in said
