"""Names in pages and figures read as what they are: no direction turned, nothing hidden, no character that HTML or XML forbids."""

from __future__ import annotations

import html
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from hostile import EVIL, OBEYED, TAME, harm, write_evil_cache, write_evil_run
from test_cli_probe import call
from vjepa_fer.report import ReportSettings, gather_numbers, look_at_cache, render_look, render_page, write_page

pytest.importorskip("jinja2")
SHOWN = "\\u202e\\u2066\\u200f\\u200b\\ufeff\\U000e0041 [bold red]x"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("pages") / "cache"
    write_evil_cache(root)
    return root


@pytest.fixture(scope="module")
def pages(cache, tmp_path_factory):
    """A page of a run across the cache's clips, one of an evil run, one of both, and one of the cache."""
    root = tmp_path_factory.mktemp("runs")
    knn = ["--probe", "knn", "--param", "k=1", "--folds", "subject-kfold:2", "--allow-leak"]
    call("probe", cache, *knn, "--by", f"x{EVIL}", "--out", root / "fitted")
    write_evil_run(root / "evil")
    fitted, evil = root / "fitted", root / "evil"
    quick = ReportSettings(method="pca")
    chosen = {"fitted": [fitted], "evil": [evil], "both": [fitted, evil]}
    made = {name: render_page(gather_numbers(runs, quick), title=EVIL) for name, runs in chosen.items()}
    return made | {"look": render_look(look_at_cache(cache), title=EVIL)}


@pytest.mark.parametrize("name", ["fitted", "evil", "both", "look"])
def test_a_page_holds_no_character_that_nobody_sees(pages, name, tmp_path):
    assert harm(html.unescape(pages[name])) == set()
    assert SHOWN in pages[name]
    assert OBEYED.split("[")[0] not in pages[name]
    write_page(tmp_path / "page.html", pages[name])


@pytest.mark.parametrize("name", ["fitted", "look"])
def test_names_for_the_script_read_as_in_the_page(pages, name):
    (text,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', pages[name], re.DOTALL)
    points = json.loads(text)
    assert all(SHOWN in clip for clip in points["clips"])
    assert harm(json.dumps(points, ensure_ascii=False)) == set()
    assert len(points["true"]) == len(points["clips"]) == 8


def test_a_figure_is_valid_xml_and_reads_as_the_page_does(tmp_path):
    pytest.importorskip("matplotlib")
    import matplotlib

    from vjepa_fer.report.figures import STYLE, draw_bars, draw_confusion

    labels = [f"{OBEYED}a", f"{TAME}b"]
    with matplotlib.rc_context({**STYLE, "svg.fonttype": "none"}):
        for number, figure in enumerate((draw_bars(labels, [1, 2], "%"), draw_confusion(np.eye(2), labels))):
            figure.savefig(tmp_path / f"{number}.svg")
            said = "".join(ElementTree.parse(tmp_path / f"{number}.svg").getroot().itertext())
            assert harm(said) <= {"\t"}
            assert r"\x1b]0;owned" in said
