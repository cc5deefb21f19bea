"""Promises to people who do not see, cannot hold a mouse, or see few colours: axe-core finds nothing in any page we make."""

import json
import os
from pathlib import Path

import pytest

from browser import Browser
from test_report import cache, nested, quick_plane, runs  # noqa: F401 (fixtures)
from vjepa_fer.report import LookSettings, gather_numbers, look_at_cache, render_look, render_page

pytest.importorskip("jinja2")
pytestmark = pytest.mark.filterwarnings("ignore")
SCREENS = [(390, True), (1280, False)]
"""Each width and each set of colours once: no colour of ours depends on the width."""

EVERY_SCREEN = [(width, dark) for width in (390, 1280) for dark in (False, True)]


@pytest.fixture(scope="module")
def axe():
    """The text of axe-core, as ``npm pack axe-core`` brings it; .ci/run says where it lies."""
    path = os.environ.get("VJEPA_FER_AXE")
    if not path:
        pytest.skip("needs axe-core: npm pack axe-core@4.11.0, and VJEPA_FER_AXE=package/axe.min.js")
    return Path(path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(runs, nested, cache, tmp_path_factory):  # noqa: F811
    """One run by groups, a few, many, and a cache."""
    folder = tmp_path_factory.mktemp("pages")
    single, cells = next((runs / "single").iterdir()), sorted((runs / "sweep").glob("knn-*"))
    few = gather_numbers([nested, single])
    many = gather_numbers([nested, single, *cells, *cells])
    many = (*many, *many[:3])
    texts = {
        "one": render_page(few[:1]),
        "few": render_page(few),
        "many": render_page(many),
        "cache": render_look(look_at_cache(cache, LookSettings())),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


def violations(browser, axe):
    """What axe-core says is wrong, in words; a page that lets no other script run is asked from outside of it."""
    rest = (
        ".points-data, details.run ~ details.run *, details.run ~ details.run"  # a thousand rows; runs like the first
    )
    browser.run(f"for (const one of document.querySelectorAll('details:not({rest})')) one.open = true")
    browser.run(axe + "; 0")
    found = browser.run(
        "axe.run(document, {resultTypes: ['violations']}).then((said) => JSON.stringify(said.violations))"
    )
    return [
        f"{one['id']}: {node['target']} {node['failureSummary'][:300]}"
        for one in json.loads(found)
        for node in one["nodes"]
    ]


@pytest.fixture
def browser():
    with Browser() as one:
        one.patience = 600  # axe-core looks at every pair of elements that may overlap
        yield one


@pytest.mark.parametrize("name", ["one", "few", "many", "cache"])
def test_axe_finds_nothing_in_a_page(browser, axe, pages, name):
    for width, dark in EVERY_SCREEN if name == "one" else SCREENS:
        browser.open(pages / f"{name}.html", width=width, dark=dark)
        assert violations(browser, axe) == [], (width, dark)


def test_axe_finds_what_is_wrong(browser, axe, tmp_path):
    (tmp_path / "bad.html").write_text(
        "<html><body><img src='x'><p style='color:#ccc;background:#fff'>pale</p></body></html>"
    )
    browser.open(tmp_path / "bad.html")
    assert {one.split(":")[0] for one in violations(browser, axe)} >= {"image-alt", "color-contrast", "html-has-lang"}
