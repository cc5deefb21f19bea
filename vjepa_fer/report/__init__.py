"""Run folders, or a cache, go in; one self-contained HTML page, and figures for a paper, come out.

``numbers`` holds everything that a chart shows · ``checks`` says it in words · ``page`` fills the templates · ``figures`` draws for print ·
``quicklook`` looks at a cache before anyone probes it.
"""

from __future__ import annotations

from vjepa_fer.report.build import ReportSettings, gather_numbers
from vjepa_fer.report.numbers import RunNumbers, numbers_of
from vjepa_fer.report.page import render_page, write_page
from vjepa_fer.report.quicklook import CacheLook, LookSettings, look_at_cache
from vjepa_fer.report.quicklook_page import render_look

__all__ = [
    "CacheLook",
    "LookSettings",
    "ReportSettings",
    "RunNumbers",
    "gather_numbers",
    "look_at_cache",
    "numbers_of",
    "render_look",
    "render_page",
    "write_page",
]
