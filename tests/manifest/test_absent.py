"""Clips of the manifest that have no features are counted wherever figures are shown."""

import dataclasses
import hashlib
import json
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from caches import small_manifest, small_recipe, small_rows, write_counted_cache
from vjepa_fer.cache import ShardWriter, open_cache
from vjepa_fer.cache.failures import Failure, write_failures
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cli import probe, report, runs
from vjepa_fer.experiment import Cell, Protocol
from vjepa_fer.manifest import Absent, Clip, Manifest, absent_from
from vjepa_fer.report import ReportSettings, gather_numbers
from vjepa_fer.report.checks import run_checks
from vjepa_fer.runs import read_run
from vjepa_fer.sweep import run_transfer, sweep

SAID = "12 of 24 clips; 12 of the manifest are not in the cache (3 failed, 9 not extracted)"
ABSENT = {"asked": 24, "failed": 3, "not_extracted": 9}
FOLDS = ("--folds", "subject-kfold:3")

app = typer.Typer()
app.command()(probe.probe)
app.command()(report.report)
app.add_typer(runs.app, name="runs")


def call(*arguments):
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert outcome.exit_code == 0, outcome.output
    return outcome


def write_cache(root, manifest, num_done=12):
    """The first clips have features, the next three have failed, the others were never come to."""
    recipe = small_recipe()
    prepare_cache(root, recipe, manifest)
    writer = ShardWriter(root, recipe)
    for clip in manifest.clips[:num_done]:
        sha256 = hashlib.sha256(clip.clip_id.encode()).hexdigest()
        writer.add(dataclasses.replace(small_rows(clip.clip_id, recipe), source_sha256=sha256))
    writer.flush()
    failed = [clip.clip_id for clip in manifest.clips[num_done : num_done + 3]]
    write_failures(root, {name: Failure(name, "", "truncated", "cut off", "") for name in failed})
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return write_cache(tmp_path_factory.mktemp("half"), small_manifest(24))


def test_half_a_manifest_never_passes_for_the_whole(cache, tmp_path):
    told = call("probe", cache, *FOLDS, "--out", tmp_path)
    assert f"note: {SAID}" in told.stderr
    (result,) = json.loads(call("probe", cache, *FOLDS, "--out", tmp_path, "--json").stdout)["results"]
    assert result["absent"] == ABSENT
    run = tmp_path / "logreg-mean-standard"
    said = json.loads((run / "run.json").read_text())
    assert said["result"]["absent"] == ABSENT
    assert "absent" not in said["settings"]
    assert read_run(run).evaluation.absent == Absent(24, 3, 9)
    assert SAID in " ".join(call("runs", "show", run).stdout.split())
    (numbers,) = gather_numbers([run], ReportSettings(method="pca"))
    texts = [check.text for check in run_checks(numbers) if "not in the cache" in check.text]
    assert texts == [f"{SAID}: they are not judged here."]


def test_a_whole_cache_is_passed_over_in_silence(tmp_path):
    cache = write_counted_cache(tmp_path / "cache")
    assert "not in the cache" not in call("probe", cache, *FOLDS, "--out", tmp_path / "runs").stderr
    assert "not in the cache" not in call("runs", "show", tmp_path / "runs" / "logreg-mean-standard").stdout


def test_what_was_left_out_on_purpose_is_not_missed(tmp_path):
    clips = [dataclasses.replace(c, extra={"damaged": "dark" * (n % 2)}) for n, c in enumerate(small_manifest(24))]
    columns = ("clip_id", "path", "label", "subject", "damaged")
    cache = open_cache(write_cache(tmp_path, Manifest(clips=tuple(clips), columns=columns)))
    protocol = Protocol(folds="subject-kfold:3", exclude="damaged")
    assert sweep(cache, [Cell()], protocol).cells[0].evaluation.absent == Absent(12, 2, 4)


def test_a_clip_of_several_caches_is_absent_where_none_has_it(cache, tmp_path):
    def of(asked, done, failures):
        manifest = Manifest(clips=tuple(Clip(name, "", "a", "s") for name in asked))
        return SimpleNamespace(manifest=manifest, done=set(done), failures=failures)

    assert absent_from([of("abcde", "ab", "c"), of("abcde", "bd", "ae")]) == Absent(5, 2, 0)
    assert absent_from([of("ab", "ab", "x")]) == Absent(2)
    other = small_manifest(24)
    others = [dataclasses.replace(c, clip_id=f"x{c.clip_id}", subject=f"x{c.subject}") for c in other]
    test = open_cache(write_cache(tmp_path, Manifest(clips=tuple(others)), num_done=20))
    done = run_transfer(open_cache(cache), test, [Cell()], Protocol())
    assert done.to_dict()["results"][0]["absent"] == {"asked": 48, "failed": 6, "not_extracted": 10}


def test_a_list_of_failures_that_cannot_be_read_is_asked_only_where_clips_are_absent(tmp_path):
    cache = write_counted_cache(tmp_path / "cache")
    (cache / "failed.csv").write_text("nonsense")
    assert call("probe", cache, *FOLDS)


@pytest.mark.parametrize(
    ("absent", "text"),
    [
        (Absent(5, 0, 2), "3 of 5 clips; 2 of the manifest are not in the cache (2 not extracted)"),
        (Absent(5000, 1000, 0), "4,000 of 5,000 clips; 1,000 of the manifest are not in the cache (1,000 failed)"),
    ],
)
def test_it_is_said_in_words(absent, text):
    assert str(absent) == text
    assert bool(absent)
    assert not Absent(5)
