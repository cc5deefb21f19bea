"""A table that is pasted says what it said: whatever its names are, in a spreadsheet, in Markdown, in TeX, in pandas."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vjepa_fer import extras
from vjepa_fer.doors import from_spreadsheet, printable
from vjepa_fer.doors.forms import FORMS, Column, Sheet, span, spread
from vjepa_fer.errors import MissingExtraError

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))
NASTY = [
    "a|b",
    "\\|",
    "`x`",
    "a`|",
    "*[",
    "[1]",
    "(x)",
    "--",
    "a---b",
    "50 % & #1",
    "$x$",
    "~^_{}",
    "<b>",
    "=1+1",
    "-1",
    "x\ny",
    "\x1b[31m",
    "\\",
    "|",
]
COLUMNS = (
    Column(("run",), "run"),
    span("war", "WAR", "war_low", "war_high"),
    spread("war_mean", "war_sd", head="over folds"),
    Column(("n",), "clips", "count"),
    Column(("leaky",), "leaky", "flag", aside=True),
    Column(("command",), "command", "code"),
    Column(("difference",), "difference", "number", signed=True),
)
ROWS = st.tuples(
    WORDS | st.sampled_from(NASTY),
    st.none() | st.tuples(NUMBERS, NUMBERS, NUMBERS) | st.tuples(NUMBERS, st.none(), st.none()),
    st.none() | st.tuples(NUMBERS, st.none() | NUMBERS),
    st.none() | st.integers(0, 10**6),
    st.booleans(),
    WORDS | st.sampled_from(NASTY),
    st.none() | NUMBERS,
)
calmly = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
ONE = ("logreg_C=10", (78.86, 75.1, 82.325), (78.5, 2.811), 1440, False, "vjepa-fer probe --param a|b", -0.52)


def sheet(*rows):
    return Sheet(COLUMNS, rows)


def test_people_get_a_figure_and_its_interval_in_one_cell():
    assert FORMS["markdown"](sheet(ONE)) == (
        "| run | WAR | over folds | clips | command | difference |\n"
        "| --- | ---: | ---: | ---: | --- | ---: |\n"
        "| logreg\\_C=10 | 78.86 [75.10, 82.33] | 78.50 ± 2.81 | 1,440 | `vjepa-fer probe --param a\\|b` | -0.52 |\n"
    )
    assert FORMS["latex"](sheet(ONE)) == (
        "\\begin{tabular}{lrrrlr}\n\\toprule\nrun & WAR & over folds & clips & command & difference \\\\\n\\midrule\n"
        "logreg\\_C=10 & 78.86 [75.10, 82.33] & 78.50 $\\pm$ 2.81 & 1,440 & "
        "vjepa-fer probe -{}-param a\\textbar{}b & $-0.52$ \\\\\n\\bottomrule\n\\end{tabular}\n"
    )


def test_programs_get_every_number_in_full_and_a_column_each():
    assert FORMS["csv"](sheet(ONE)) == (
        "run,war,war_low,war_high,war_mean,war_sd,n,leaky,command,difference\n"
        "logreg_C=10,78.86,75.1,82.325,78.5,2.811,1440,False,vjepa-fer probe --param a|b,-0.52\n"
    )


def test_what_is_not_known_is_a_dash_for_people_and_nothing_for_programs():
    row = ("", None, None, None, None, None, None)
    assert list(sheet(row).shown_rows()) == [("", "–", "–", "–", "–", "–")]
    assert FORMS["csv"](sheet(row)).splitlines()[1] == ",,,,,,,,,"
    assert next(sheet((*ONE[:1], (1.0, None, None), (2.0, None), *ONE[3:])).shown_rows())[1:3] == ("1.00", "2.00")


def test_a_row_of_another_width_is_refused():
    with pytest.raises(ValueError, match="a row of 2 cells in a table of 7 columns"):
        sheet(("a", "b"))


@calmly
@given(st.lists(ROWS, max_size=4))
def test_csv_reads_back_and_holds_no_formula(rows):
    text = FORMS["csv"](sheet(*rows))
    head, *lines = csv.reader(io.StringIO(text, newline=""))
    assert tuple(head) == sheet().names
    assert len(lines) == len(rows)
    for line, full in zip(lines, sheet(*rows).full_rows(), strict=True):
        assert [from_spreadsheet(cell) for cell in line] == ["" if v is None else printable(str(v)) for v in full]
        assert not any(cell.startswith(("=", "+", "@")) for cell in line if not re.fullmatch(r"[+-]?[\d.e+-]+", cell))


@calmly
@given(st.lists(ROWS, max_size=3))
@example([(text, None, None, 1, False, text, 1.0) for text in NASTY])
def test_markdown_shows_what_people_see(rows):
    markdown_it = pytest.importorskip("markdown_it")
    html = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(FORMS["markdown"](sheet(*rows)))
    seen = [
        re.findall(r"<td[^>]*>(.*?)</td>", line, re.DOTALL) for line in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)[1:]
    ]
    import html as entities

    plain = [
        tuple(entities.unescape(re.sub(r"^<code>(.*)</code>$", r"\1", cell, flags=re.DOTALL)) for cell in row)
        for row in seen
    ]
    wanted = [tuple(" ".join(cell.split(" ")).strip() for cell in row) for row in sheet(*rows).shown_rows()]
    assert plain == wanted
    assert not re.search(r"<(?!/?(table|thead|tbody|tr|t[hd]|code)\b)", html)


_BACK = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedblright{}": '"',
    r"\textasciigrave{}": "`",
    r"\textquotesingle{}": "'",
    r"\ldots{}": "…",
    r"$\pm$": "±",
    r"$\times$": "×",
    r"$\cdot$": "·",
    r"$\to$": "→",
    "$-$": "−",
    "---": "—",
    "--": "–",
    "{}": "",
    **{f"\\{letter}": letter for letter in "&%$#_{}"},
}
_TOKEN = re.compile(
    "|".join(re.escape(one) for one in sorted(_BACK, key=len, reverse=True)) + r"|\$([-+][\d.]+)\$|(.)", re.DOTALL
)


def set_by_tex(text):
    """What TeX makes of a cell that holds nothing but our own commands."""
    parts = []
    for found in _TOKEN.finditer(text):
        assert found[2] is None or found[2] not in "&%$#_{}~^\\", text
        parts.append(found[1] or found[2] or _BACK.get(found[0], ""))
    return "".join(parts)


@calmly
@given(st.lists(ROWS, min_size=1, max_size=3))
@example([(text, None, None, 1, False, text, 1.0) for text in NASTY])
def test_tex_sets_what_people_see(rows):
    lines = FORMS["latex"](sheet(*rows)).split("\n")
    assert lines[:4] == [r"\begin{tabular}{lrrrlr}", r"\toprule", lines[2], r"\midrule"]
    body = lines[4:-3]
    assert len(body) == len(rows)
    for line, row in zip(body, sheet(*rows).shown_rows(), strict=True):
        assert line.endswith(r" \\")
        assert not line.lstrip().startswith(("[", "*", "("))  # which the line break before it would take for its own
        cells = re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))
        assert tuple(map(set_by_tex, cells)) == row


@pytest.mark.skipif(not (shutil.which("pdflatex") and shutil.which("pdftotext")), reason="needs pdflatex and pdftotext")
def test_tex_itself_sets_it(tmp_path):
    names = [name for name in map(printable, NASTY) if name.isascii()]
    table = FORMS["latex"](Sheet(COLUMNS[:1] + COLUMNS[-1:], tuple((name, -0.5) for name in names)))
    rules = r"\def\toprule{\hline}\def\midrule{\hline}\def\bottomrule{\hline}"
    (tmp_path / "t.tex").write_text(
        f"\\documentclass{{article}}\\usepackage[T1]{{fontenc}}\\usepackage{{textcomp}}{rules}\\begin{{document}}\n{table}\\end{{document}}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=batchmode", "t.tex"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, (tmp_path / "t.log").read_text(errors="replace")[-2000:]
    text = subprocess.run(["pdftotext", "-layout", "t.pdf", "-"], cwd=tmp_path, capture_output=True, text=True).stdout
    seen = [line.rsplit(maxsplit=1)[0].strip() for line in text.splitlines() if line.rstrip().endswith("0.50")]
    assert seen == names


def test_a_frame_has_what_csv_has():
    pandas = pytest.importorskip("pandas")
    rows = sheet(ONE, ("knn", None, (1.0, None), 3, True, "x", 2.5))
    read = pandas.read_csv(io.StringIO(FORMS["csv"](rows)))
    pandas.testing.assert_frame_equal(rows.to_frame(), read, check_dtype=False)
    assert rows.to_frame()["war"].dtype == float


def test_without_pandas_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vjepa-fer\[pandas\]'"):
        sheet(ONE).to_frame()
