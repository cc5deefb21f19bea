"""Promises of the report page in a real browser: no network, no complaint, names on hover, nothing cut off, hostile names inert."""

import numpy as np
import pytest

from browser import Browser
from test_evaluate import judge
from test_report import cache, evil_run, nested, quick_plane, runs  # noqa: F401 (fixtures)
from test_runs import SOURCE
from vjepa_fer.cache import Features
from vjepa_fer.report import gather_numbers, render_page
from vjepa_fer.runs import write_run

pytest.importorskip("jinja2")


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path / "profile") as one:
        yield one


def written(path, html):
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture
def page(nested, runs, tmp_path):  # noqa: F811
    numbers = gather_numbers([nested, *(runs / "single").iterdir()])
    return written(tmp_path / "page.html", render_page(numbers))


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_it_loads_in_silence_asks_for_nothing_and_fits_the_screen(browser, page, width, dark):
    browser.open(page, width=width, dark=dark)
    assert browser.requests == [page.resolve().as_uri()]
    assert browser.problems == []
    assert browser.run("innerWidth") == width
    assert browser.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 24, 27)" if dark else "rgb(251, 251, 250)")


def test_hovering_names_the_clip_and_leaving_hides_it(browser, page):
    browser.open(page)
    browser.hover(".points circle")
    first = browser.run("document.getElementById('tip').textContent")
    assert first.startswith("c0\nangry")
    assert "subject s0" in first
    browser.hover("h1")
    assert browser.run("document.getElementById('tip').hidden") is True


def test_colours_change_with_the_buttons(browser, page):
    browser.open(page)
    browser.run("document.querySelector('[data-kind=subject]').click()")
    assert browser.run("document.querySelector('.legend').textContent") == "s0s1s2s3s4s5"
    assert browser.run("document.querySelector('[data-kind=subject]').ariaPressed") == "true"


def test_paper_shows_what_is_folded_and_cuts_no_table_off(browser, page):
    browser.open(page, width=750)
    browser.ask("Emulation.setEmulatedMedia", media="print")
    cut = "[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth > b.clientWidth + 1).length"
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("document.querySelectorAll('details').length") > 0
    assert browser.run("document.querySelectorAll('details:not([open])').length") == 0
    assert browser.run(cut) == 0
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run("document.querySelectorAll('details[open]').length") == 0


def test_hostile_names_run_nothing(browser, tmp_path):
    page = written(tmp_path / "evil.html", render_page(gather_numbers([evil_run(tmp_path)]), title="safe"))
    browser.open(page)
    assert browser.run("document.title") == "safe"
    assert browser.run("document.images.length") == 0
    assert (browser.requests, browser.problems) == ([page.resolve().as_uri()], [])


def test_a_run_as_large_as_crema_d_stays_below_five_megabytes(browser, tmp_path):
    rng = np.random.default_rng(0)
    y = rng.choice(["anger", "disgust", "fear", "happy", "neutral", "sad"], 7442)
    subjects = np.array([f"10{n % 91:02d}" for n in range(7442)])
    ids = np.array([f"{s}_IEO_{n}_XX" for n, s in enumerate(subjects)])
    features = Features(rng.normal(size=(7442, 4)).astype(np.float32), y, subjects, ids)
    run = write_run(tmp_path / "large", judge(features, "subject-kfold:5", probe="centroid"), source=SOURCE)
    page = written(tmp_path / "large.html", render_page(gather_numbers([run.path])))
    assert page.stat().st_size < 5e6
    browser.open(page)
    assert browser.problems == []
