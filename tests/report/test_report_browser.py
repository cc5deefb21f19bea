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
def browser():
    with Browser() as one:
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


def tip(browser):
    return browser.run("document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent")


def at_point(browser, path):
    """Move the mouse over the first mark of a path."""
    browser.run(f"document.querySelector('{path}').scrollIntoView({{block: 'center', behavior: 'instant'}})")
    browser.run(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )  # scrolling hides names
    x, y = browser.run(
        f"(() => {{ const p = document.querySelector('{path}'), m = /M([\\d.]+) ([\\d.]+)/.exec(p.getAttribute('d'));"
        " const s = new DOMPoint(+m[1], +m[2]).matrixTransform(p.ownerSVGElement.getScreenCTM()); return [s.x, s.y]; })()"
    )
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


def test_hovering_names_the_clip_and_leaving_hides_it(browser, page):
    browser.open(page)
    at_point(browser, ".points path")
    assert tip(browser).startswith("c0\ntrue angry\npredicted ")
    assert "subject s0" in tip(browser)
    browser.hover("h1")
    assert tip(browser) == ""


def test_colours_and_shapes_change_with_the_buttons(browser, page):
    browser.open(page)
    browser.run("document.querySelector('[data-kind=subject]').click()")
    assert browser.run("document.querySelector('.legend').textContent") == "s0s1s2s3s4s5"
    assert browser.run("document.querySelector('[data-kind=subject]').ariaPressed") == "true"
    marks = browser.run(
        "[...document.querySelectorAll('.legend path')].map(p => p.getAttribute('d') + p.className.baseVal)"
    )
    assert len(set(marks)) == 6


KEYS = {"Tab": 9, "ArrowRight": 39, "ArrowLeft": 37, "End": 35, "Home": 36, "Escape": 27, "Enter": 13, " ": 32}


def press(browser, key):
    text = {"Enter": "\r", " ": " "}.get(key, "")
    for kind in ("keyDown", "keyUp"):
        extra = {"text": text} if text and kind == "keyDown" else {}
        browser.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key], **extra)


FOCUS = "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent).trim().split(';')[0]"


def test_the_keyboard_reaches_every_chart_and_every_mark(browser, page):
    browser.open(page)
    charts = set(
        browser.run(
            "[...document.querySelectorAll('svg[data-head]')].map(c => c.getAttribute('aria-label').split(';')[0])"
        )
    )
    seen, stops = {}, 0
    while browser.run("document.activeElement !== document.body") or not stops:
        press(browser, "Tab")
        stops += 1
        assert stops < 300
        if browser.run("document.activeElement.matches('svg[data-head]')"):
            first = tip(browser)
            press(browser, "End")
            seen[browser.run(FOCUS)] = (first, tip(browser))
            press(browser, "Home")
            assert tip(browser) == first
    assert set(seen) == charts
    assert all(first and last for first, last in seen.values())
    press(browser, "Escape")
    assert tip(browser) == ""


def test_what_marks_say_is_a_table_too(browser, page):
    browser.open(page)
    chart = "document.querySelector('svg[aria-label^=Calibration]')"
    said = browser.run(
        f"[...{chart}.querySelectorAll('[data-rows]')].flatMap(m => m.dataset.rows.split(String.fromCharCode(10)))"
    )
    browser.run(f"{chart}.nextElementSibling.open = true")
    browser.wait_for(f"{chart}.nextElementSibling.querySelector('table') !== null")
    table = f"{chart}.nextElementSibling.querySelector('table')"
    cells = browser.run(f"[...{table}.tBodies[0].rows].flatMap(r => [...r.cells].map(c => c.textContent))")
    assert cells == said
    assert browser.run(f"[...{table}.tHead.rows[0].cells].map(c => c.textContent)") == [
        "confidence, %",
        "clips",
        "sure, %",
        "right, %",
    ]


@pytest.fixture
def many(nested, runs, tmp_path):  # noqa: F811
    cells = sorted((runs / "sweep").glob("knn-*"))
    numbers = gather_numbers([nested, *(runs / "single").iterdir(), *cells])
    return written(tmp_path / "many.html", render_page([*numbers, *numbers[2:4]]))


def test_many_runs_are_a_table_that_sorts_and_details_that_fold(browser, many):
    browser.open(many)
    assert browser.run("document.querySelectorAll('details.run').length") == 10
    assert browser.run("document.querySelectorAll('details.run[open]').length") == 0
    column = "[...document.querySelectorAll('.sortable th')].findIndex(h => h.textContent === 'WAR pooled')"
    values = f"[...document.querySelector('.sortable').tBodies[0].rows].map(r => +r.cells[{column}].textContent)"
    for way, order in (("descending", lambda v: sorted(v, reverse=True)), ("ascending", sorted)):
        browser.run(f"document.querySelectorAll('.sortable thead th')[{column}].querySelector('button').focus()")
        press(browser, "Enter")
        assert (
            browser.run(f"document.querySelectorAll('.sortable thead th')[{column}].getAttribute('aria-sort')") == way
        )
        assert browser.run(values) == order(browser.run(values))
    browser.run("document.querySelector('.sortable a[href=\"#run3\"]').click()")
    browser.wait_for("document.getElementById('run3').closest('details').open")


def test_paper_has_tables_for_charts_and_heads_on_every_page(browser, many):
    browser.open(many, width=750)
    browser.ask("Emulation.setEmulatedMedia", media="print")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert (
        browser.run(
            "[...document.querySelectorAll('details.data:not(.points-data)')].filter(d => !d.querySelector('table tbody tr')).length"
        )
        == 0
    )
    assert browser.run(
        "[...document.querySelectorAll('thead')].every(h => getComputedStyle(h).display === 'table-header-group')"
    )
    assert (
        browser.run(
            "[...document.querySelectorAll('table')].filter(t => t.querySelector('th[scope=col]') && !t.tHead).length"
        )
        == 0
    )


def test_paper_shows_what_is_folded_and_cuts_no_table_off(browser, page):
    browser.open(page, width=750)
    browser.ask("Emulation.setEmulatedMedia", media="print")
    cut = "[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth > b.clientWidth + 1).length"
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("document.querySelectorAll('details').length") > 0
    assert browser.run("document.querySelectorAll('details:not([open]):not(.points-data)').length") == 0
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
