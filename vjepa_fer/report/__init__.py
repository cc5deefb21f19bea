"""Run folders go in; one self-contained HTML page, and figures for a paper, come out.

``numbers`` holds everything that a chart shows · ``checks`` says it in words · ``page`` fills the templates · ``figures`` draws for print.
"""

from __future__ import annotations

from vjepa_fer.report.build import ReportSettings, gather_numbers
from vjepa_fer.report.numbers import RunNumbers, numbers_of
from vjepa_fer.report.page import render_page, write_page

__all__ = ["ReportSettings", "RunNumbers", "gather_numbers", "numbers_of", "render_page", "write_page"]
