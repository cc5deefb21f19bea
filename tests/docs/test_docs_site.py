"""Promises of the built pages: no warning, no network, opened from disk, found by searching, and fit for a phone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from browser import Browser
from documented import ROOT
from test_pages_axe import SCREENS, axe, violations  # noqa: F401


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages, built as .ci/run builds them; a warning is an error."""
    pytest.importorskip("furo")
    out = tmp_path_factory.mktemp("site")
    trees = tmp_path_factory.mktemp("trees")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "-d", trees, ROOT / "docs", out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return out


def test_every_page_is_built_and_reached_from_the_first(site):
    index = (site / "index.html").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if not (site / page).is_file()] == []
    assert [page for page in pages if page.name != "index.html" and f'href="{page.as_posix()}"' not in index] == []


def test_functions_of_the_reference_have_their_parameters_explained(site):
    html = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert 'id="vjepa_fer.cache.open_cache"' in html
    assert "A clip that several hold is taken from the first." in html


@pytest.fixture
def browser():
    with Browser() as one:
        yield one


def outside(browser, site):
    """What was asked for beyond the site's own files and pictures inside the style sheet."""
    return [address for address in browser.requests if not address.startswith((site.as_uri(), "data:"))]


@pytest.mark.parametrize("page", ["index", "tutorials/ravdess", "reference/api"])
def test_a_page_opens_from_disk_asks_for_nothing_else_and_fits(browser, site, page):
    browser.open(site / f"{page}.html", width=390)
    for width in (390, 1280):
        browser.resize(width)
        assert browser.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, width
    assert outside(browser, site) == []
    assert browser.problems == []


def test_searching_works_from_disk(browser, site):
    browser.open(site / "search.html", query="?q=slurm")
    browser.wait_for("document.querySelectorAll('ul.search li').length > 0")
    assert "Extract and sweep on a SLURM cluster" in browser.run("document.querySelector('ul.search').textContent")
    assert outside(browser, site) == []


def test_axe_finds_nothing_in_the_first_page(browser, site, axe):  # noqa: F811
    for width, dark in SCREENS:
        browser.open(site / "index.html", width=width, dark=dark)
        assert violations(browser, axe) == [], (width, dark)
