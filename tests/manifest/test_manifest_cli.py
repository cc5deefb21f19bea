"""``vjepa-fer manifest``: one library call, a table on stdout, notes on stderr, the manifest in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from vjepa_fer.cli.manifest import app
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest import read_manifest


def run(*arguments, ok=True):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if ok:
        assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def videos(tmp_path):
    root = tmp_path / "videos"
    for name in ("anna/happy/1.mp4", "anna/sad/1.mp4", "ben/happy/1.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


SUBJECT_LABEL = r"(?P<subject>\w+)/(?P<label>\w+)/.+"


def test_a_folder_becomes_a_file_of_absolute_paths_and_a_table(videos, tmp_path):
    result = run("folder", videos, "--pattern", SUBJECT_LABEL, "-o", tmp_path / "m.csv")
    manifest = read_manifest(tmp_path / "m.csv")
    assert [clip.subject for clip in manifest] == ["anna", "anna", "ben"]
    assert all(os.path.isabs(clip.path) for clip in manifest)
    assert [line.split() for line in result.stdout.splitlines() if "happy" in line] == [["happy", "2", "2"]]
    assert "m.csv: 3 clips, 2 subjects, 2 labels" in result.stderr


def test_json_goes_to_stdout_alone_and_holds_the_notes(videos, tmp_path):
    result = run("folder", videos, "-o", tmp_path / "m.csv", "--json")
    facts = json.loads(result.stdout)
    assert facts["schema"] == "vjepa-fer/manifest/1"
    assert (facts["n_clips"], facts["labels"]) == (3, {"anna": 2, "ben": 1})
    assert facts["notes"][0].startswith("no subjects known")
    assert "no subjects known" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["ravdess"], 1440),
        (["ravdess", "--song", "--no-speech"], 1012),
        (["ravdess", "--song", "--modality", "1", "--modality", "2"], 4904),
        (["crema-d"], 7442),
    ],
)
def test_the_official_lists_need_no_download(tmp_path, arguments, count):
    run(*arguments, "-o", tmp_path / "m.csv")
    manifest = read_manifest(tmp_path / "m.csv")
    assert len(manifest) == count
    assert not os.path.isabs(manifest.clips[0].path)


def test_a_table_is_read_by_named_columns(tmp_path):
    (tmp_path / "t.csv").write_text("file,emotion,who\na.mp4,sad,1\n")
    run(
        "csv",
        tmp_path / "t.csv",
        "--column",
        "path=file",
        "--column",
        "label=emotion",
        "--column",
        "subject=who",
        "-o",
        tmp_path / "m.csv",
    )
    assert read_manifest(tmp_path / "m.csv").clips[0].label == "sad"


def test_a_column_option_without_equals_is_wrong_usage(tmp_path):
    result = run("csv", tmp_path / "t.csv", "--column", "label", "-o", tmp_path / "m.csv", ok=False)
    assert result.exit_code == 2
    assert "is not OURS=THEIRS" in result.stderr


def test_an_existing_manifest_is_kept_without_force(videos, tmp_path):
    (tmp_path / "m.csv").write_text("precious")
    result = run("folder", videos, "-o", tmp_path / "m.csv", ok=False)
    assert isinstance(result.exception, ManifestError)
    assert (tmp_path / "m.csv").read_text() == "precious"
    run("folder", videos, "-o", tmp_path / "m.csv", "--force")
    assert len(read_manifest(tmp_path / "m.csv")) == 3


def test_manifests_need_no_heavy_library():
    code = (
        "import sys, vjepa_fer.manifest, vjepa_fer.cli.manifest as m; vjepa_fer.manifest.crema_d_clips();"
        "print([n for n in ('torch', 'numpy', 'sklearn', 'lightgbm', 'h5py') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
