"""Promises of `cache info --html`: counts, what is missing, planted outliers by name, hostile names inert, no network, small."""

from __future__ import annotations

import dataclasses
import json
import re

import h5py
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from browser import Browser
from caches import small_manifest, small_recipe, small_rows, write_small_cache
from test_cli_probe import make_cache
from test_reader import shard_paths
from vjepa_fer import extras
from vjepa_fer.cache import Features, ShardWriter, open_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cli import cache as cache_cli
from vjepa_fer.errors import MissingExtraError, RunError
from vjepa_fer.recipe import Storage
from vjepa_fer.report import LookSettings, look_at_cache, render_look
from vjepa_fer.report.quicklook import _read_vectors
from vjepa_fer.report.quicklook_checks import look_checks

pytest.importorskip("jinja2")
EVIL = "<script>document.title = 'owned'</script>\"'><img src=x onerror=alert(1)>"
EVIL_ID = (
    "\"'><img src=x onerror=alert(1)><svg onload=alert(2)><script>document.title = 'owned'"  # an id holds no slash
)


def planted(num_subjects=8, per_subject=12, dim=12):
    """Noise in which c5 nearly equals c90 (another subject and class) and c40 nearly c41; c70 is far from all."""
    rng = np.random.default_rng(0)
    y = np.tile(["angry", "happy", "sad"], num_subjects * per_subject // 3)
    x = rng.normal(size=(len(y), dim)).astype(np.float32)
    x[90], x[41], x[70] = x[5] + 0.02, x[40], 15
    subjects = np.repeat([f"s{n}" for n in range(num_subjects)], per_subject)
    y[90] = "happy"
    return Features(x, y, subjects, np.array([f"c{n}" for n in range(len(y))]))


def info(*arguments):
    app = typer.Typer()
    app.command()(cache_cli.info)
    outcome = CliRunner().invoke(app, [str(a) for a in arguments])
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("planted"), planted())


@pytest.fixture(scope="module")
def look(cache):
    return look_at_cache(cache)


def said(look):
    return "\n".join(f"{check.verdict}: {check.text}" for check in look_checks(look))


def test_planted_clips_are_named_with_what_they_do_not_share(look):
    pairs = {(pair.first.clip_id, pair.second.clip_id): pair.differs_in for pair in look.pairs}
    assert pairs == {("c40", "c41"): ("label",), ("c5", "c90"): ("label", "subject")}
    assert [one.clip.clip_id for one in look.far] == ["c70"]


def test_checks_say_what_to_do(look):
    text = said(look)
    assert "bad: Near-duplicates with different subjects: 1 pair, closest c5 and c90." in text
    assert "bad: Near-duplicates with different labels: 2 pairs, closest c40 and c41." in text
    assert "look: Far from all other clips: 1 clip (c70)." in text
    assert "good: All 96 clips that were asked for are here." in text


def test_progress_hears_of_every_clip(cache):
    heard = []
    look_at_cache(cache, progress=heard.append)
    assert heard == [f"c{n}" for n in range(96)]


def test_clips_are_counted_by_subject_and_class(look):
    assert look.counts.sum() == 96
    assert look.counts[0].tolist() == [4, 4, 4]
    assert look.counts.shape == (8, 3)


def test_a_large_cache_is_drawn_from_with_a_seed_and_what_stands_out_is_shown(cache):
    first, again, other = (look_at_cache(cache, LookSettings(seed=s, most_compared=50)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.projection.xy, again.projection.xy)
    assert first.num_compared == 50
    assert first.projection.rows.tolist() == again.projection.rows.tolist() != other.projection.rows.tolist()


def test_outliers_are_in_the_plane_whatever_the_lot_says(cache, monkeypatch):
    monkeypatch.setattr("vjepa_fer.report.quicklook.MOST", {"pca": 8})
    look = look_at_cache(cache)
    shown = {look.clips[row].clip_id for row in look.projection.rows}
    assert shown > {"c5", "c90", "c40", "c41", "c70"}
    assert len(shown) == 8


def test_a_far_clip_does_not_squeeze_the_others_into_a_corner(look):
    far = np.array([look.clips[row].clip_id == "c70" for row in look.projection.rows])
    xy = look.projection.xy
    assert np.ptp(xy[~far], axis=0).max() == pytest.approx(1)
    assert ((xy[far] == 0) | (xy[far] == 1)).any()


@pytest.mark.parametrize("levels", [("frames",), ("tokens",), ("grid:2", "tokens"), ("mean", "tokens")])
def test_whatever_level_is_stored_the_same_clips_are_alike(tmp_path, levels):
    write_small_cache(
        tmp_path, num_clips=12, recipe=small_recipe(storage=Storage(levels=levels, token_dtype="float32"))
    )
    xy = look_at_cache(tmp_path).projection.xy
    write_small_cache(tmp_path / "all", num_clips=12)
    np.testing.assert_allclose(xy, look_at_cache(tmp_path / "all").projection.xy, atol=2e-3)


def test_what_is_missing_failed_or_not_finite_is_said(tmp_path):
    recipe, manifest = small_recipe(), small_manifest(14)
    prepare_cache(tmp_path, recipe, manifest)
    writer = ShardWriter(tmp_path, recipe)
    for clip in manifest.clips[:13]:
        writer.add(small_rows(clip.clip_id, recipe))
    writer.flush()
    with h5py.File(shard_paths(tmp_path)[0], "r+") as file:
        file["levels/mean"][25, 3] = np.nan
    look = look_at_cache(tmp_path)
    assert look.unreadable == ("c12",)
    assert "bad: Damaged, NaN or infinite: 1 clip (c12). Run `cache repair`" in said(look)
    assert "look: Not extracted yet: 1 clip (c13)." in said(look)
    assert "c13" in render_look(look)


def test_clips_of_a_damaged_shard_are_named_and_the_others_shown(tmp_path):
    write_small_cache(tmp_path, num_clips=14, shard_bytes=1)
    path = shard_paths(tmp_path)[3]
    look_at = open_cache(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    vectors, rows, _ = _read_vectors(look_at, np.arange(14), "mean", lambda clip_id: None)
    assert (len(vectors), len(rows)) == (13, 13)


@pytest.mark.parametrize("num_clips", [0, 1, 2])
def test_an_empty_or_tiny_cache_has_a_page_too(tmp_path, num_clips):
    recipe, manifest = small_recipe(), small_manifest(3)
    prepare_cache(tmp_path, recipe, manifest)
    writer = ShardWriter(tmp_path, recipe)
    for clip in manifest.clips[:num_clips]:
        writer.add(small_rows(clip.clip_id, recipe))
    writer.flush()
    assert ("No clip is finished yet" in render_look(look_at_cache(tmp_path))) == (num_clips == 0)


def test_the_same_file_under_two_names_is_said(tmp_path):
    recipe, manifest = small_recipe(), small_manifest(12)
    prepare_cache(tmp_path, recipe, manifest)
    writer = ShardWriter(tmp_path, recipe)
    for number, clip in enumerate(manifest.clips):
        rows = small_rows("c0" if clip.clip_id == "c6" else clip.clip_id, recipe)
        source = f"{0 if number == 6 else number:064d}"
        writer.add(dataclasses.replace(rows, clip_id=clip.clip_id, source_sha256=source))
    writer.flush()
    (pair,) = look_at_cache(tmp_path).pairs
    assert (pair.first.clip_id, pair.second.clip_id, pair.same_file, pair.share) == ("c0", "c6", True, 0.0)


def test_the_command_writes_the_page_and_json_stays_json(cache, tmp_path):
    done = info(cache, "--html", tmp_path / "look.html", "--json")
    assert json.loads(done.stdout)["clips_done"] == 96
    assert "96 clips compared, 2 near-duplicate pairs, 1 far from all others" in done.stderr
    assert info(cache, "--html", tmp_path / "look.html").stdout == ""


def test_what_is_no_page_of_ours_is_not_replaced(cache, tmp_path):
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(RunError, match=r"mine\.html: is there already"):
        info(cache, "--html", tmp_path / "mine.html")


def test_without_jinja_the_pip_line_is_said(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"cache info --html needs jinja2.*vjepa-fer\[report\]"):
        info(cache, "--html", tmp_path / "look.html")


@pytest.fixture
def browser():
    with Browser() as one:
        yield one


@pytest.mark.parametrize("width", [1280, 390])
def test_it_loads_in_silence_asks_for_nothing_and_fits_the_screen(browser, look, tmp_path, width):
    page = tmp_path / "look.html"
    page.write_text(render_look(look), encoding="utf-8")
    browser.open(page, width=width)
    assert (browser.requests, browser.problems) == ([page.resolve().as_uri()], [])
    assert browser.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    browser.run("document.querySelector('svg.points').focus({focusVisible: true})")
    browser.ask("Input.dispatchKeyEvent", type="keyDown", key="Home", code="Home", windowsVirtualKeyCode=36)
    said = browser.run("document.getElementById('tip').textContent")
    assert re.fullmatch(r"c\d+\ntrue (angry|happy|sad)\nsubject s\d", said)
    browser.run("document.querySelector('[data-kind=\"what stands out\"]').click()")
    assert browser.run("document.querySelector('.legend').textContent") == "usualnear-duplicatefar"
    assert browser.run("document.querySelector('.points path.bad').getAttribute('d').match(/M/g).length") == 1


def test_hostile_names_run_nothing(browser, tmp_path):
    table = planted()
    names = [f"{EVIL_ID}{n}" for n in range(len(table.y))]
    evil = table._replace(
        clip_ids=np.array(names),
        y=np.array([f"{EVIL}{y}" for y in table.y]),
        subjects=np.array([EVIL + s for s in table.subjects]),
    )
    html = render_look(look_at_cache(make_cache(tmp_path, evil)), title="safe")
    assert "<script>document" not in html
    assert "<img" not in html
    page = tmp_path / "evil.html"
    page.write_text(html, encoding="utf-8")
    browser.open(page)
    assert browser.run("document.title") == "safe"
    assert browser.run("document.images.length") == 0
    assert browser.problems == []


def test_what_is_listed_and_drawn_is_bounded(tmp_path):
    """2,500 clips of as many subjects, each of them twice: 1,250 pairs."""
    x = np.repeat(np.random.default_rng(0).normal(size=(1250, 8)).astype(np.float32), 2, axis=0)
    ids = np.array([f"c{n}" for n in range(2500)])
    look = look_at_cache(make_cache(tmp_path, Features(x, ids, ids, ids)))
    html = render_look(look)
    assert len(look.pairs) == 1250
    assert "And 1,200 more pairs." in html
    assert html.count('<path class="k') == 2000
    assert html.count("<svg") == 1  # neither a bar nor a row for each of 2,500
    assert len(html) < 1e6


def test_clips_a_subject_are_a_number_or_a_range(look, tmp_path):
    assert "3 classes; 12 clips a subject" in render_look(look)
    write_small_cache(tmp_path, num_clips=5)
    assert "3 classes; 1 – 2 clips a subject" in render_look(look_at_cache(tmp_path))
