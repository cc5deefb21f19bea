"""``vjepa-fer cache info --html``: a page to look at before probing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .progress import progress_bar
from .terminal import say

HtmlOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write a page to look at instead: counts, clips in the plane, near-duplicates, clips far from all others.",
        show_default=False,
    ),
]


def write_look(cache: str, html: Path) -> None:
    """Write the page and say what stands out."""
    from vjepa_fer.extras import require_extra

    require_extra("report", ("jinja2",), "cache info --html")
    from vjepa_fer.cache import open_cache
    from vjepa_fer.report import look_at_cache, render_look, write_page
    from vjepa_fer.report.page import check_page

    check_page(html, option="--html")
    with progress_bar(len(open_cache(cache)), "look") as advance:
        look = look_at_cache(cache, progress=advance)
    write_page(html, render_look(look), option="--html")
    pairs = f"{len(look.pairs):,} near-duplicate pair{'s' * (len(look.pairs) != 1)}"
    say(f"{html}: {look.num_compared:,} clips compared, {pairs}, {len(look.far):,} far from all others")
