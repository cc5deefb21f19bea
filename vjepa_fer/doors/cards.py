"""What is known of a value goes in; a small card of HTML for a notebook comes out, in which every name is only text.

A notebook may be light or dark whatever the system is: the card has the notebook's own ink on its own ground, and lines and bars of a
middle tone that stand out from both. Styles stand in the elements, for a notebook cleans style sheets away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from vjepa_fer.doors.forms import Sheet
from vjepa_fer.doors.shown import printable

MOST_BARS = 12
MOST_ROWS = 12
LONGEST, LONGEST_LINE = 120, 400
"""Characters of one name, and of a line of words, that are shown."""

_CARD = "display:inline-block;max-width:100%;box-sizing:border-box;padding:10px 14px;border:1px solid rgba(128,128,128,.45);border-radius:8px;"
_CARD += "font:14px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:break-word"
_SOFT = "opacity:.75;font-size:13px"
_LINE = "border:0;border-bottom:1px solid rgba(128,128,128,.3);background:none"
_BAR = "display:inline-block;height:10px;border-radius:2px;background:#3f86c8;vertical-align:middle"


def card(
    title: str,
    about: str = "",
    *,
    warnings: Sequence[str] = (),
    figures: Mapping[str, str] | None = None,
    bars: Mapping[str, float] | None = None,
    bars_of: str = "",
    longest_bar: float | None = None,
    sheet: Sheet | None = None,
    notes: Sequence[str] = (),
) -> str:
    """A card: its title and a line about it, what must be read first, large figures, bars, a table, and what a reader should know.

    Parameters
    ----------
    title, about : str
    warnings, notes : sequence of str
    figures : mapping of str to str
        Large, each under its name.
    bars : mapping of str to float
        A bar each; the first :data:`MOST_BARS`.
    bars_of : str
        What the bars count.
    longest_bar : float, optional
        What a bar of full length stands for; by default the largest.
    sheet : Sheet, optional
        Its first :data:`MOST_ROWS` rows.
    notes : sequence of str

    Returns
    -------
    str
        HTML, for ``_repr_html_``.
    """
    parts = [f'<div><b style="font-size:15px">{_text(title)}</b></div>']
    parts += [f'<div style="{_SOFT}">{_text(about, LONGEST_LINE)}</div>'] * bool(about)
    parts += [f'<div style="font-weight:600;margin-top:4px">⚠ {_text(line, LONGEST_LINE)}</div>' for line in warnings]
    parts += [_figures(figures)] if figures else []
    parts += list(_bars(bars, bars_of, longest_bar or max(bars.values()) or 1)) if bars else []
    parts += list(_table(sheet)) if sheet else []
    parts += [f'<div style="{_SOFT};margin-top:4px">{_text(line, LONGEST_LINE)}</div>' for line in notes]
    return f'<div style="{_CARD}">{"".join(parts)}</div>'


def _text(value: object, longest: int = LONGEST) -> str:
    """A text as text only: shown, on one line, and of a length that a card has room for."""
    shown = printable(str(value))
    return escape(shown if len(shown) <= longest else f"{shown[:longest]}…")


def _figures(figures: Mapping[str, str]) -> str:
    tiles = (
        f'<div style="margin-right:22px"><div style="font-size:20px;font-weight:600">{_text(value)}</div>'
        f'<div style="{_SOFT}">{_text(name)}</div></div>'
        for name, value in figures.items()
    )
    return f'<div style="display:flex;flex-wrap:wrap;margin-top:6px">{"".join(tiles)}</div>'


def _bars(bars: Mapping[str, float], what: str, longest: float) -> Iterator[str]:
    yield f'<div style="{_SOFT};margin-top:6px">{_text(what)}</div>'
    yield f'<table style="border-collapse:collapse;margin:0;{_LINE}"><tbody>'
    for name, value in list(bars.items())[:MOST_BARS]:
        width = round(160 * value / longest)
        number = f"{value:,}" if isinstance(value, int) else f"{value:.1f}"
        yield f'<tr style="background:none">{_cell(name)}{_cell(number, right=True)}'
        yield f'<td style="{_LINE};padding:1px 6px;text-align:left"><span style="{_BAR};width:{width}px"></span></td></tr>'
    yield "</tbody></table>"
    yield from _more(len(bars) - MOST_BARS)


def _table(sheet: Sheet) -> Iterator[str]:
    right = [column.kind not in ("text", "code", "flag") for column in sheet.columns if not column.aside]
    yield '<div style="overflow-x:auto;margin-top:6px"><table style="border-collapse:collapse;margin:0"><thead>'
    yield f'<tr style="background:none">{"".join(map(_head, sheet.heads, right))}</tr></thead><tbody>'
    for row in list(sheet.shown_rows())[:MOST_ROWS]:
        yield f'<tr style="background:none">{"".join(_cell(cell, right=side) for cell, side in zip(row, right, strict=True))}</tr>'
    yield "</tbody></table></div>"
    yield from _more(len(sheet.rows) - MOST_ROWS)


def _head(name: str, right: bool) -> str:
    return (
        f'<th scope="col" style="{_LINE};padding:2px 8px;font-weight:600;text-align:{_side(right)}">{_text(name)}</th>'
    )


def _cell(value: object, *, right: bool = False) -> str:
    whole = ";white-space:nowrap" if right else ""
    return f'<td style="{_LINE};padding:2px 8px;text-align:{_side(right)}{whole}">{_text(value)}</td>'


def _side(right: bool) -> str:
    return "right" if right else "left"


def _more(count: int) -> list[str]:
    return [f'<div style="{_SOFT}">and {count:,} more</div>'] if count > 0 else []
