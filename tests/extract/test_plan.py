"""What an extraction will take is said before it begins, and it is what it then takes."""

from __future__ import annotations

import dataclasses
import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_extract import manifest_of
from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import (
    ExtractSettings,
    Fleet,
    Forecast,
    Plan,
    Rates,
    extract_manifest,
    make_recipe,
    measure_seconds,
    plan_extraction,
)
from vjepa_fer.manifest import write_manifest
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.video import pool_settings


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny-v21", weights="random:1")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return [write_video(folder / f"v{i}.mp4", 10 + 5 * i) for i in range(8)]


@pytest.fixture
def recipe(encoder):
    storage = Storage(levels=("mean", "frames", "grid:2", "tokens"))
    return make_recipe(encoder, sampling=Sampling(frame_step=1, num_segments=3), storage=storage, num_views=3)


def test_the_plan_is_what_the_job_then_writes(tmp_path, encoder, recipe, videos):
    plan, left = plan_extraction(manifest_of(videos), tmp_path / "cache", recipe)
    assert (plan.clips, plan.counted, plan.unreadable, len(left)) == (8, 8, 0, 8)
    summary = extract_manifest(manifest_of(videos), tmp_path / "cache", encoder, recipe)
    assert plan.rows == summary.rows == 3 * plan.windows
    assert plan.windows < 3 * 8, "the short clips' equal windows are merged"
    assert plan.tokens == summary.rows * 8 * 4 * 4
    stored = {level: sum(c.level(level).size for c in open_cache(tmp_path / "cache")) for level in plan.level_bytes}
    assert plan.level_bytes == {k: n * (4 if k in ("mean", "frames") else 2) for k, n in stored.items()}
    assert sum(plan.level_bytes.values()) < plan.needed_bytes < summary.bytes_written * 1.2


def test_only_what_the_cache_lacks_is_planned(tmp_path, encoder, recipe, videos):
    extract_manifest(manifest_of(videos[:6]), tmp_path, encoder, recipe)
    plan, left = plan_extraction(manifest_of(videos), tmp_path, recipe)
    assert [clip.clip_id for clip in left] == ["v6", "v7"]
    assert plan.rows == 2 * 3 * 3
    everything = plan_extraction(manifest_of(videos[:6]), tmp_path, recipe)[0]
    assert (everything.clips, everything.rows, everything.needed_bytes) == (0, 0, 0)


def test_a_sample_stands_for_all_clips(tmp_path, recipe, videos):
    plan, _ = plan_extraction(manifest_of(videos[4:] * 1), tmp_path / "c", recipe, sample=2)
    assert (plan.clips, plan.counted, plan.windows) == (4, 2, 12)


def test_clips_that_cannot_be_read_are_counted(tmp_path, recipe, videos):
    broken = tmp_path / "text.mp4"
    broken.write_text("no video")
    assert plan_extraction(manifest_of([broken, *videos]), tmp_path / "c", recipe)[0].unreadable == 1


def test_the_rate_is_measured_on_a_few_clips(tmp_path, encoder, recipe, videos):
    plan, left = plan_extraction(manifest_of(videos), tmp_path / "c", recipe)
    assert 0 < measure_seconds(plan, left, encoder, recipe, workers=1) < 60
    none = dataclasses.replace(plan, clips=0)
    assert measure_seconds(none, [], encoder, recipe, workers=1) == 0


PLAN = Plan(
    clips=1000,
    counted=200,
    unreadable=0,
    shorter=0,
    window_seconds=None,
    windows=2000,
    rows=4000,
    tokens=10,
    level_bytes={"mean": 1_000_000, "tokens": 99_000_000},
    other_bytes=0,
    free_bytes=10**12,
)


@pytest.mark.parametrize(
    ("rates", "fleet", "limit", "seconds"),
    [
        (Rates(clips=10, rows=10), Fleet(), "device", 400),
        (Rates(clips=10, rows=10), Fleet(devices=8), "decode", 100),
        (Rates(clips=10, rows=10), Fleet(machines=8), "device", 50),
        (Rates(clips=10, rows=10, disk_bytes=1e6), Fleet(machines=5), "disk", 100),
        (Rates(clips=10, rows=10, disk_bytes=1e6), Fleet(machines=400), "disk", 100),
        (Rates(clips=10, rows=10, in_turns=True), Fleet(), "device", 500),
        (Rates(clips=10, rows=10, cores_a_clip=0.2), Fleet(), "device", 600),
    ],
)
def test_the_slowest_stage_is_the_limit_and_machines_share_the_disk_alone(rates, fleet, limit, seconds):
    forecast = Forecast.of(PLAN, rates, fleet)
    assert (forecast.limit, forecast.seconds) == (limit, pytest.approx(seconds))


@given(
    clips=st.floats(0.1, 1e3),
    rows=st.floats(0.1, 1e3),
    disk=st.none() | st.floats(1e3, 1e9),
    machines=st.integers(1, 1000),
    devices=st.integers(1, 16),
    price=st.floats(0, 100),
)
def test_more_machines_never_take_longer_and_are_paid_for_while_they_wait(clips, rows, disk, machines, devices, price):
    rates = Rates(clips=clips, rows=rows, disk_bytes=disk)
    one, more = (
        Forecast.of(PLAN, rates, Fleet(machines=n, devices=devices, price=price)) for n in (machines, 2 * machines)
    )
    assert more.seconds <= one.seconds
    assert more.cost >= one.cost * (1 - 1e-9)
    assert one.seconds == pytest.approx(max(one.stages.values()))
    assert one.cost == pytest.approx(one.seconds / 3600 * machines * devices * price)
    assert all(level.seconds <= one.seconds for level in one.levels)
    if disk and (at := one.machines_at_disk) is not None:
        there = Forecast.of(PLAN, rates, Fleet(machines=at, devices=devices))
        assert there.stages["disk"] >= max(there.stages["decode"], there.stages["device"]) * (1 - 1e-9)
        if at > 1:
            before = Forecast.of(PLAN, rates, Fleet(machines=at - 1, devices=devices))
            assert before.stages["disk"] < max(before.stages["decode"], before.stages["device"]) * (1 + 1e-9)


def cli(*words, **options):
    from test_cli import run

    return run(*words, **options)


@pytest.fixture
def study(tmp_path, videos):
    write_manifest(manifest_of(videos), tmp_path / "clips.csv")
    return tmp_path


def test_a_dry_run_needs_no_weights_and_writes_nothing(study):
    words = ["extract", "clips.csv", "cache", "--model", "vjepa1-huge-384", "--level", "tokens", "--dry-run"]
    done = cli(*words, cwd=study)
    assert "to do: 8 clips, 8 windows" in done.stdout
    assert "tokens 94.4 MB" in done.stdout  # 8 windows of 8 × 24 × 24 tokens of 1,280 float16 numbers
    assert "give --weights to have it measured on a few clips, or --rate if you know it" in done.stderr
    assert not (study / "cache").exists()


def test_a_dry_run_with_weights_says_the_time(study):
    words = ["extract", "clips.csv", "cache", "--model", "tiny-v21", "--weights", "random:0", "--dry-run", "--json"]
    plan = json.loads(cli(*words, cwd=study).stdout)
    assert plan["schema"] == "vjepa-fer/extract-plan/1"
    assert plan["seconds"] > 0
    assert plan["fits"] is True
    assert plan["forecast"]["limit"] in ("decode", "device", "disk")
    assert plan["forecast"]["rates"]["source"] == "measured here"


def test_a_dry_run_at_a_given_rate_says_hours_bytes_and_cost_a_level_for_many_machines(study):
    words = ["extract", "clips.csv", "cache", "--model", "vjepa1-huge-384", "--level", "tokens", "--level", "mean"]
    words += ["--dry-run", "--rate", "0.0001", "--machines", "4", "--price", "2.5"]
    done = cli(*words, cwd=study)
    lines = done.stdout.splitlines()
    assert "rates: a device 0.0001 windows/s (as given)" in done.stdout
    (time,) = (line for line in lines if line.startswith("time: "))
    assert time.startswith("time: about 5.6 h on 4 machines of 1 device; decode ")  # 8 windows / 4 / 0.0001 a second
    assert time.endswith("; the device is the limit")
    assert "cost: 55.56 for 22.2 device hours at 2.5 each" in lines
    assert any(line.split() == ["tokens", "94.4", "MB", "5.6", "h", "55.56"] for line in lines)
    assert not (study / "cache").exists()
    plan = json.loads(cli(*words, "--json", cwd=study).stdout)["forecast"]
    assert plan["seconds"] == pytest.approx(20000)
    assert [level["level"] for level in plan["levels"]] == ["mean", "tokens"]


def test_what_a_dry_run_reckons_with_is_refused_without_one(study):
    words = ["extract", "clips.csv", "cache", "--model", "tiny-v21", "--weights", "random:0", "--price", "2"]
    done = cli(*words, cwd=study, status=2)
    assert "say what --dry-run reckons with" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--frames 1000000000", "frames_per_window 1000000000 must be a whole number from 1 to 4,096"),
        ("--frame-step 10000000", "frame_step 10000000 must be a whole number from 1 to 1,000,000"),
        ("--segments 1000000000", "num_segments 1000000000 must be a whole number from 1 to 10,000"),
        ("--mode sliding --stride 99999999999999999999", "must be a whole number from 1 to 1,000,000"),
        ("--views 65", "num_views 65 must be a whole number from 1 to 64"),
        ("--resolution 65536", "crop_size 65536 must be a whole number from 1 to 4,096"),
        ("--resolution 100", "resolution 100 is not a multiple of the patch size, 16 pixels; 96 and 112 are"),
        ("--frames 4096 --segments 10000", "frames of all windows of a clip; at most 1,048,576"),
        ("--frames 4096 --resolution 1024", "pixels a window; at most 268,435,456"),
        ("--frames 4096 --resolution 256", "tokens a window; at most 262,144"),
        (f"--level grid:{'9' * 5000}", "must be a text of up to 32 characters"),
        (f"--layers {'9' * 5000}", "write numbers, such as 5,11"),
        ("--workers 1000000000", "1024"),
        ("--batch-size 1000000000", "4096"),
        ("--memory 1e300", "1e+300 GB; this machine has"),
        ("--memory inf", "inf GB; this machine has"),
        ("--clip-timeout inf", "1000000"),
    ],
)
@pytest.mark.parametrize("weights", [(), ("--weights", "random:0")])
def test_absurd_numbers_are_wrong_usage_and_their_bounds_are_said(study, monkeypatch, words, said, weights):
    from typer.testing import CliRunner

    from vjepa_fer.cli.main import app

    monkeypatch.chdir(study)
    command = ["extract", "clips.csv", "cache", "--model", "tiny-v21", "--dry-run", *weights, *words.split()]
    done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_a_job_that_the_disk_has_no_room_for_is_refused_before_it_begins(study, monkeypatch):
    import shutil
    from typing import NamedTuple

    from typer.testing import CliRunner

    from vjepa_fer.cli.main import app

    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1000))
    monkeypatch.chdir(study)
    words = ["extract", "clips.csv", "cache", "--model", "tiny-v21", "--weights", "random:0", "--workers", "0"]
    refused = CliRunner().invoke(app, words)
    assert "its disk has 1 kB free. Store fewer or smaller levels" in str(refused.exception)
    assert not (study / "cache").exists()
    assert CliRunner().invoke(app, [*words, "--force"]).exit_code == 0


def test_the_command_line_states_the_librarys_default_timeout():
    from vjepa_fer.cli import extract

    assert extract.SETTINGS_CLIP_TIMEOUT == ExtractSettings().clip_timeout == pool_settings.DEFAULT_TIMEOUT_SECONDS
    assert inspect.signature(extract.extract).parameters["clip_timeout"].default == extract.SETTINGS_CLIP_TIMEOUT


def test_the_first_clips_of_a_run_say_how_long_the_rest_takes_and_later_ones_once_more(capsys):
    from vjepa_fer.cli.extract_words import Outlook

    outlook = Outlook(100)
    for done in range(1, 101):
        outlook(done, 20.0 + 10 * (done - 1))  # 20 s until the first, which loads everything; then 10 s a clip
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "time: about 16 min left for 96 clips, at the rate of the 4 so far",
        "time: about 14 min left for 87 clips, at the rate of the 13 so far",
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (ExtractSettings(), "decoding: 3 processes, at most 2 GB of frames ahead and a clip in each"),
        (ExtractSettings(workers=1, memory_bytes=10**9), "decoding: 1 process, at most 1 GB of frames ahead"),
        (ExtractSettings(workers=0), "decoding: one clip at a time"),
    ],
)
def test_a_run_says_who_decodes_and_in_how_much_memory(settings, said):
    from vjepa_fer.cli.extract_words import about_decoding

    assert about_decoding(settings, 3, 2 * 10**9).startswith(said)


def test_without_a_bar_a_line_every_minute_says_done_rate_and_left(capsys):
    from vjepa_fer.cli.extract_words import Outlook

    outlook = Outlook(5000, shows_bar=False)
    for tenth in range(10, 2000):
        outlook(tenth // 10, tenth / 10)  # a clip a second, asked ten times in each
    lines = [line for line in capsys.readouterr().err.splitlines() if "of 5,000 clips" in line]
    assert lines == [
        "60 of 5,000 clips after 60 s, 1 a second, about 82 min left",
        "120 of 5,000 clips after 2 min, 1 a second, about 81 min left",
        "180 of 5,000 clips after 3 min, 1 a second, about 80 min left",
    ]


@pytest.mark.parametrize("weights", [(), ("--weights", "random:0")])
def test_a_dry_run_is_refused_where_the_run_would_be(study, weights):
    words = ["extract", "clips.csv", "cache", "--model", "tiny-v21"]
    cli(*words, "--weights", "random:0", "--frame-step", "1", cwd=study)
    refused = cli(*words, *weights, "--frame-step", "2", "--dry-run", cwd=study, status=1)
    assert "sampling.frame_step: 1 there, 2 asked for" in refused.stderr
    assert "encoder." not in refused.stderr  # of weights that are not there nothing is said
    assert "to do: 0 clips" in cli(*words, *weights, "--frame-step", "1", "--dry-run", cwd=study).stdout
    foreign = cli("extract", "clips.csv", ".", *words[3:], *weights, "--dry-run", cwd=study, status=1)
    assert "not empty and not a cache" in foreign.stderr
