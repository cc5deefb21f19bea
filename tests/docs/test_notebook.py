"""The notebook that comes along runs from top to bottom and shows figures, not walls; every name in a card is text and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from browser import Browser
from caches import write_counted_cache
from documented import ROOT
from test_evaluate import judge
from test_runs import SOURCE
from vjepa_fer.cache import Features, open_cache
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.runs import write_run

NOTEBOOK = ROOT / "docs/how-to/notebook.ipynb"
EVIL = "<script>document.title='owned'</script>\"'><img src=x onerror=alert(1)>\x1b[31m\u202e"


def cells(notebook):
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def outputs(notebook):
    """Each shown value: its plain text and its HTML."""
    return [
        {kind: "".join(text) for kind, text in one["data"].items()}
        for cell in cells(notebook)
        for one in cell.get("outputs", ())
        if one["output_type"] == "execute_result"
    ]


def test_it_is_committed_without_what_one_machine_showed():
    assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in cells(NOTEBOOK))


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook, run by nbconvert beside a cache of 24 clips; and as a page."""
    pytest.importorskip("nbconvert")
    pytest.importorskip("ipykernel")
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "cache").mkdir()
    write_counted_cache(folder / "cache" / "ravdess")
    shutil.copy(NOTEBOOK, folder / "notebook.ipynb")
    nbconvert = [sys.executable, "-m", "nbconvert", "--log-level", "ERROR", "--to"]
    environment = {"HOME": str(folder), "IPYTHONDIR": str(folder), "JUPYTER_PLATFORM_DIRS": "1"}
    for words in (["notebook", "--execute", "--inplace", "notebook.ipynb"], ["html", "notebook.ipynb"]):
        done = subprocess.run(
            [*nbconvert, *words], cwd=folder, capture_output=True, text=True, env=os.environ | environment
        )
        assert done.returncode == 0, done.stderr
    return folder


def test_every_value_is_shown_as_a_card_and_none_is_a_wall(executed):
    shown = outputs(executed / "notebook.ipynb")
    cards = [one for one in shown if "border-radius:8px" in one.get("text/html", "")]
    for title in ("Manifest", "Cache", "Outcome", "Evaluation", "Predictions", "Run"):
        assert any(f">{title}</b>" in one["text/html"] for one in cards), title
    assert max(len(one["text/plain"]) for one in cards) < 250
    assert max(len(one["text/html"]) for one in cards) < 12_000
    assert "open_cache" in next(one["text/plain"] for one in shown if one["text/plain"].startswith("["))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_cards_are_readable_on_the_notebooks_own_ground(executed, tmp_path, theme):
    page = (executed / "notebook.html").read_text(encoding="utf-8")
    page = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)  # nbconvert's own, which ask the network
    ground, ink = ("#fff", "#1d2226") if theme == "light" else ("#111", "#e6eaed")
    style = f"<style>body,.jp-Cell,.jp-OutputArea-output,td,th{{background:{ground}!important;color:{ink}!important}}</style>"
    (tmp_path / "page.html").write_text(page.replace("</head>", f"{style}</head>"), encoding="utf-8")
    with Browser() as browser:
        browser.open(tmp_path / "page.html", width=900)
        cards = "[...document.querySelectorAll('div')].filter(d => d.style.borderRadius == '8px')"
        assert browser.run(f"{cards}.length") >= 6
        assert browser.run(f"{cards}.every(d => d.getBoundingClientRect().right <= innerWidth)")
        colours = browser.run(
            f"JSON.stringify([...new Set({cards}.flatMap(d => [...d.querySelectorAll('div,td,th,b')]).map(d => getComputedStyle(d).color))])"
        )
        assert len(json.loads(colours)) == 1, "all words have the notebook's own ink"


def evil_values(tmp_path):
    """One of each, with names that would run if they were more than text."""
    labels, people = [f"{EVIL}{n}" for n in "ab"], [f"s{n}" for n in range(4)]
    rng = np.random.default_rng(0)
    y, subjects = np.array(labels * 8), np.repeat([f"{one}<b>" for one in people], 4)
    ids = np.array([f"c{n}<i>" for n in range(16)])
    evaluation = judge(
        Features(rng.normal(size=(16, 3)).astype(np.float32), y, subjects, ids), "subject-kfold:2", probe="knn"
    )
    run = write_run(tmp_path / "run<i>", evaluation, source=SOURCE)
    plain = [re.sub(r"[\x00-\x1f\u202e]", "", text) for text in labels]
    manifest = Manifest(
        tuple(Clip(f"c{n}<i>", "a<b>", plain[n % 2], f"s<b>{n // 4}", {"x<i>": EVIL}) for n in range(16)), notes=(EVIL,)
    )
    return [evaluation, evaluation.predictions, run, manifest]


def test_hostile_names_are_text(tmp_path):
    for value in evil_values(tmp_path):
        html = value._repr_html_()
        assert not re.search(r"<(?!/?(div|b|table|thead|tbody|tr|t[hd]|span)\b)", html), type(value)
        assert "\x1b" not in html + repr(value)
        assert "\u202e" not in html + repr(value)
        assert not re.search(r"<(b|i)>", html)


def test_bars_of_recall_are_as_long_as_their_share():
    rng = np.random.default_rng(1)
    y, subjects = np.array(["a", "b"] * 30), np.repeat(["s", "t", "u"], 20)
    features = Features(
        rng.normal(size=(60, 3)).astype(np.float32), y, subjects, np.array([f"c{n}" for n in range(60)])
    )
    said = judge(features, probe="knn").predictions
    widths = [int(width) for width in re.findall(r"width:(\d+)px", said._repr_html_())]
    assert widths == [round(1.6 * recall) for recall in 100 * np.diag(said.confusion) / said.confusion.sum(axis=1)]


def test_large_values_are_shown_small(tmp_path):
    clips = tuple(
        Clip(f"c{n}", f"/videos/{n}.mp4", f"label{n % 50:02d}", f"s{n % 91}", {"take": str(n)}) for n in range(7442)
    )
    manifest = Manifest(clips)
    assert repr(manifest) == "Manifest(7,442 clips, 91 subjects, 50 labels)"
    assert len(manifest._repr_html_()) < 12_000
    assert "and 38 more" in manifest._repr_html_()
    write_counted_cache(tmp_path / "cache")
    cache = open_cache(tmp_path / "cache")
    for value in (cache, cache.manifest, cache.clips, cache[0]):
        assert len(repr(value)) < 200, repr(value)
    assert repr(cache.clips).startswith("ClipTable(24 clips: 'c0'")
    assert "24" in cache._repr_html_()
