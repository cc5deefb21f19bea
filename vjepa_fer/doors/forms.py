"""A table as a value goes in; it comes out to be pasted: CSV for a spreadsheet, Markdown for a README, LaTeX for a paper, a DataFrame.

A column says what its cells are (:data:`KINDS`). For people a figure and its interval are one cell, ``78.86 [75.10, 82.32]``; for programs
they are a column each, in full. No name from a file is obeyed by what reads the text: not by a spreadsheet, Markdown or TeX.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from vjepa_fer.doors.sheets import csv_text
from vjepa_fer.doors.shown import printable
from vjepa_fer.extras import require_extra

Form = Literal["csv", "markdown", "latex"]
ABSENT = "–"


class Kind(NamedTuple):
    """What a column's cells are: how many columns they have for programs, and their text for people."""

    parts: int
    shown: Callable[[Any, Column], str]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    names : tuple of str
        What programs call it; of a kind with several parts, each part.
    head : str
        What people call it.
    kind : str
        Of :data:`KINDS`.
    digits : int
        After the point, for people.
    signed : bool
        Numbers show their sign, as differences do.
    aside : bool
        For programs only.
    """

    names: tuple[str, ...]
    head: str = ""
    kind: str = "text"
    digits: int = 2
    signed: bool = False
    aside: bool = False

    def __post_init__(self) -> None:
        if len(self.names) != KINDS[self.kind].parts:
            raise ValueError(f"column {self.head!r}: {len(self.names)} names, {KINDS[self.kind].parts} expected")

    def shown(self, cell: Any) -> str:
        """A cell for people, on one line, and a dash for what is not known."""
        first = cell[0] if isinstance(cell, tuple) and cell else cell
        return ABSENT if first is None else printable(KINDS[self.kind].shown(cell, self))

    def number(self, value: float) -> str:
        """A number with the column's digits and sign."""
        return f"{value:{'+' if self.signed else ''}.{self.digits}f}"


def _spread(cell: tuple[float, float | None], column: Column) -> str:
    mean, sd = cell
    return column.number(mean) + ("" if sd is None else f" ± {sd:.{column.digits}f}")


def _span(cell: tuple[float, float | None, float | None], column: Column) -> str:
    value, low, high = cell
    ends = "" if low is None or high is None else f" [{column.number(low)}, {column.number(high)}]"
    return column.number(value) + ends


KINDS: dict[str, Kind] = {
    "text": Kind(1, lambda cell, column: str(cell)),
    "code": Kind(1, lambda cell, column: str(cell)),
    "flag": Kind(1, lambda cell, column: "yes" if cell else "no"),
    "count": Kind(1, lambda cell, column: f"{cell:,}" if isinstance(cell, int) else f"{cell:,.10g}"),
    "number": Kind(1, lambda cell, column: column.number(cell)),
    "figure": Kind(1, lambda cell, column: str(cell)),
    "spread": Kind(2, _spread),
    "span": Kind(3, _span),
}
"""``text``, ``code`` (a command, a hash), ``flag``, ``count``, ``number``, ``figure`` (numbers in words of ours); ``spread``, a mean and its standard deviation; ``span``, a figure
and the ends of its interval. What is not known is None, in every place."""

TEXTS = ("text", "code", "flag")
THEIRS = ("text", "code")
"""Kinds whose cells may be anybody's words."""


def spread(*names: str, head: str, **more: Any) -> Column:
    """A column of means and standard deviations."""
    return Column(names, head, "spread", **more)


def span(name: str, head: str, low: str, high: str, **more: Any) -> Column:
    """A column of figures and the ends of their intervals."""
    return Column((name, low, high), head, "span", **more)


@dataclass(frozen=True)
class Sheet:
    """A rectangle: rows of one kind, and what is known of each.

    Attributes
    ----------
    columns : tuple of Column
    rows : tuple of tuple
        A cell a column: of its kind, or None.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {len(row)} cells in a table of {len(self.columns)} columns: {row!r:.200}")

    def only(self, *names: str) -> Sheet:
        """The columns of these names, of those that there are."""
        kept = [number for number, column in enumerate(self.columns) if column.names[0] in names]
        rows = tuple(tuple(row[number] for number in kept) for row in self.rows)
        return Sheet(tuple(self.columns[number] for number in kept), rows)

    @property
    def heads(self) -> tuple[str, ...]:
        """What people call the columns that they see."""
        return tuple(printable(column.head) for column in self.columns if not column.aside)

    def shown_rows(self) -> Iterator[tuple[str, ...]]:
        """The cells that people see, as text that is only shown."""
        for row in self.rows:
            cells = zip(self.columns, row, strict=True)
            yield tuple(column.shown(cell) for column, cell in cells if not column.aside)

    @property
    def names(self) -> tuple[str, ...]:
        """What programs call the columns."""
        return tuple(name for column in self.columns for name in column.names)

    def full_rows(self) -> Iterator[tuple[Any, ...]]:
        """The cells that programs see: texts, numbers in full, None."""
        for row in self.rows:
            yield tuple(part for column, cell in zip(self.columns, row, strict=True) for part in _parts(column, cell))

    def to_text(self, form: Form) -> str:
        """The table in one of :data:`FORMS`."""
        return FORMS[form](self)

    def to_frame(self) -> Any:
        """A pandas DataFrame with the columns that CSV has.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        return frame_of(self.names, list(self.full_rows()))


def frame_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """A pandas DataFrame of rows under these names, which may be there twice.

    Raises
    ------
    MissingExtraError
        pandas is not installed.
    """
    require_extra("pandas", ("pandas",), "to_frame()")
    import pandas

    frame = pandas.DataFrame({number: [row[number] for row in rows] for number in range(len(names))})
    frame.columns = pandas.Index(list(names))
    return frame


def _parts(column: Column, cell: Any) -> tuple[Any, ...]:
    width = len(column.names)
    if cell is None:
        return (None,) * width
    return cell if width > 1 else (cell,)


# --- the forms -------------------------------------------------------------------------------------------------------------------


def as_csv(sheet: Sheet) -> str:
    """For programs and spreadsheets: commas, numbers in full, nothing where nothing is known, no cell that is a formula."""
    rows = [["" if cell is None else _safe(cell) for cell in row] for row in sheet.full_rows()]
    return csv_text([_safe(name) for name in sheet.names], rows)


def _safe(cell: Any) -> Any:
    return printable(cell) if isinstance(cell, str) else cell


def as_markdown(sheet: Sheet) -> str:
    """A table of GitHub's Markdown; figures to the right."""
    shown = [column for column in sheet.columns if not column.aside]
    lines = [
        [_markdown(head) for head in sheet.heads],
        ["---" if column.kind in TEXTS else "---:" for column in shown],
        *(
            [_MARKDOWN.get(column.kind, str)(cell) for column, cell in zip(shown, row, strict=True)]
            for row in sheet.shown_rows()
        ),
    ]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _markdown(text: str) -> str:
    r"""A text that Markdown shows as it is.

    >>> print(_markdown("a|b_<i>"))
    a\|b\_\<i\>
    """
    return re.sub(r"([\\`*_{}\[\]<>|~&$#!@])", r"\\\1", text)


def _markdown_code(text: str) -> str:
    """A text between backticks, where it can stand there."""
    if text == ABSENT or "`" in text or "\\|" in text or text.endswith("\\") or text != text.strip():
        return _markdown(text)
    return "`" + text.replace("|", "\\|") + "`" if text else ""


_MARKDOWN: dict[str, Callable[[str], str]] = {"text": _markdown, "code": _markdown_code}


def as_latex(sheet: Sheet) -> str:
    """A ``tabular`` with the rules of the package booktabs; figures to the right."""
    shown = [column for column in sheet.columns if not column.aside]
    lines = [_latex_line(map(_latex, sheet.heads))]
    for row in sheet.shown_rows():
        cells = zip(shown, row, strict=True)
        lines.append(
            _latex_line(_latex(cell) if column.kind in THEIRS else _latex_figure(cell) for column, cell in cells)
        )
    body = "\n".join([lines[0], r"\midrule", *lines[1:]])
    places = "".join("l" if column.kind in TEXTS else "r" for column in shown)
    return f"\\begin{{tabular}}{{{places}}}\n\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"


def _latex_line(cells: Any) -> str:
    """A row; its beginning is no option of the ``\\\\`` or the rule before it."""
    line = " & ".join(cells) + r" \\"
    return f"{{}}{line}" if line.startswith(("[", "*", "(")) else line


_TEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedblright{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "−": "$-$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "→": r"$\to$",
}


def _latex(text: str) -> str:
    r"""A text that TeX sets as it is.

    >>> print(_latex("50 % of a_b"))
    50 \% of a\_b
    """
    pairs = zip(text, f"{text} "[1:], strict=True)
    return "".join(_TEX.get(letter, letter) + "{}" * (letter == after and letter in "-,") for letter, after in pairs)


def _latex_figure(text: str) -> str:
    """A figure of ours, its signs as mathematics sets them."""
    signed = re.sub(r"(?<![\w.])[-+]\d+(?:\.\d+)?", r"$\g<0>$", text)
    return signed.replace("±", r"$\pm$").replace(ABSENT, "--")


FORMS: dict[str, Callable[[Sheet], str]] = {"csv": as_csv, "markdown": as_markdown, "latex": as_latex}
