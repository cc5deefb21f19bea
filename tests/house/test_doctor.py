"""The doctor says what works, what is broken and what is missing, without falling over it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vjepa_fer import disk, doctor
from vjepa_fer.cli.main import app
from vjepa_fer.doctor import examine_decoders, examine_disk, examine_packages, run_python, stages_of
from vjepa_fer.encoder.fetching.inventory import examine_weights
from vjepa_fer.encoder.files.home import weights_file

OK = {"state": "ok", "version": "1"}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the driver's tool")
EXAMINE_DEVICES = doctor.examine_devices
EVERYTHING = {name: OK for _, names in doctor.STAGES.values() for name in names}
EVERYTHING |= {name: OK for names, _ in doctor.EXTRAS.values() for name in names}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "home"))


@pytest.fixture
def quick(monkeypatch):
    """Packages are believed, not tried."""
    monkeypatch.setattr(doctor, "examine_packages", lambda timeout: dict(EVERYTHING))
    monkeypatch.setattr(doctor, "examine_devices", lambda packages, timeout: {"found": []})
    monkeypatch.setattr(doctor, "write_speed", lambda folder: 123.4)


def test_a_whole_machine_is_ready_for_both_stages():
    assert [facts["ready"] for facts in stages_of(EVERYTHING).values()] == [True, True]


@pytest.mark.parametrize(
    ("name", "stage", "line"),
    [
        ("torch", "stage 1 (GPU box)", "pip install 'vjepa-fer[extract]'"),
        ("lightgbm", "stage 2 (laptop)", "pip install vjepa-fer"),
    ],
)
def test_what_is_missing_comes_with_its_pip_line(name, stage, line):
    facts = stages_of(EVERYTHING | {name: {"state": "missing"}})[stage]
    assert facts == {"ready": False, "lacks": [name], "install": line}


def test_packages_are_found_with_versions_or_missing(monkeypatch):
    monkeypatch.setattr(doctor, "STAGES", {"s": ("", ("h5py", "no_such_package"))})
    monkeypatch.setattr(doctor, "OPTIONAL", ())
    monkeypatch.setattr(doctor, "EXTRAS", {})
    packages = examine_packages(60)
    assert packages["h5py"]["state"] == "ok"
    assert packages["h5py"]["version"][0].isdigit()
    assert packages["no_such_package"] == {"state": "missing"}


def test_a_package_that_does_not_import_is_broken_not_missing(monkeypatch, tmp_path):
    (tmp_path / "half_installed.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "STAGES", {"s": ("", ("half_installed",))})
    monkeypatch.setattr(doctor, "OPTIONAL", ())
    monkeypatch.setattr(doctor, "EXTRAS", {})
    facts = examine_packages(60)["half_installed"]
    assert (facts["state"], facts["fault"]) == ("broken", "OSError: libgomp.so.1: cannot open shared object file")


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import os; os.kill(os.getpid(), 11)", "crashed (signal 11)"),
        ("import time; time.sleep(60)", "no answer in 0.5 seconds"),
        ("raise SystemExit(3)", "failed without a word"),
    ],
)
def test_a_process_that_dies_is_a_finding(code, fault):
    assert run_python(code, 0.5 if "sleep" in code else 30) == ("", fault)


def test_pyav_decodes_the_bundled_second_of_video():
    assert examine_decoders({"av": OK, "decord": {"state": "missing"}}, 60) == {"av": {"decodes": True}}


def test_our_own_decoder_sees_the_same_frames():
    from vjepa_fer.video.decoding import decode_video

    frames = decode_video(doctor.VIDEO).frames
    assert frames.shape == (doctor.VIDEO_FRAMES, 64, 64, 3)
    assert (frames[1:].mean((1, 2, 3)) > frames[:-1].mean((1, 2, 3))).all()


def test_a_decoder_that_loses_frames_is_noticed(monkeypatch):
    monkeypatch.setattr(doctor, "_DECODERS", {"av": "print(24)"})
    assert examine_decoders({"av": OK}, 60) == {"av": {"decodes": False, "fault": "24 frames of 25"}}


def test_the_disk_is_really_tried(tmp_path):
    facts = examine_disk(tmp_path)
    assert facts["write_megabytes_a_second"] > 0
    (tmp_path / "a").touch()
    assert facts["case_sensitive"] is not (tmp_path / "A").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_locks_that_keep_nobody_out_are_noticed(tmp_path, monkeypatch):
    assert disk.can_lock(tmp_path)
    monkeypatch.setattr(disk.facts, "_lock", lambda file: None)
    assert not disk.can_lock(tmp_path)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    assert "No such file" in examine_disk(tmp_path / "gone")["fault"]


def test_weights_are_listed_with_their_hash_and_compared_with_their_record():
    path = weights_file("vjepa2-large-256")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"four")
    sha256 = hashlib.sha256(b"four").hexdigest()
    assert (examine_weights()[0]["sha256"], "records it" in examine_weights()[0]["note"]) == (sha256, True)
    record = {"url": "u", "size": 4, "sha256": sha256, "state_key": "k", "licence": "l", "fetched": "2026-01-01"}
    Path(f"{path}.json").write_text(json.dumps(record))
    assert examine_weights()[0]["note"] == "as fetched on 2026-01-01"
    path.write_bytes(b"five")
    assert "changed since it was fetched" in examine_weights()[0]["fault"]


def test_weights_of_ones_own_are_listed_and_missing_ones_said(tmp_path):
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    for name in ("here", "gone"):
        (folder / f"{name}.toml").write_text(f'like = "vjepa2-large-256"\nweights = "{name}.pt"\n')
    (folder / "here.pt").write_bytes(b"four")
    gone, here = examine_weights()
    assert (here["model"], here["sha256"]) == ("here", hashlib.sha256(b"four").hexdigest())
    assert "gone.pt: cannot be read" in gone["fault"]


def test_a_package_that_is_too_old_is_said_with_the_pip_line(monkeypatch):
    monkeypatch.setattr(doctor, "STAGES", {"s": ("extract", ("h5py",))})
    monkeypatch.setattr(doctor, "EXTRAS", {})
    monkeypatch.setattr(doctor, "OPTIONAL", ())
    monkeypatch.setattr(doctor, "least_versions", lambda: {"h5py": "99.1"})
    packages = examine_packages(60)
    assert packages["h5py"]["fault"].endswith("is older than 99.1")
    assert stages_of(packages)["s"]["install"] == "pip install -U 'vjepa-fer[extract]'"


def test_the_least_versions_are_those_of_the_package_itself():
    assert {"torch", "av", "scikit-learn"} <= set(doctor.least_versions())


def test_an_extra_that_is_missing_says_what_it_is_for():
    facts = doctor.extras_of({"jinja2": OK, "matplotlib": {"state": "missing"}})["report"]
    assert facts == {
        "ready": False,
        "lacks": ["matplotlib"],
        "install": "pip install 'vjepa-fer[report]'",
        "for": "`report`",
    }


@POSIX
def test_a_gpu_that_torch_cannot_use_is_said(monkeypatch, tmp_path, quick):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA L4 (UUID: GPU-1)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "examine_devices", EXAMINE_DEVICES)
    monkeypatch.setattr(
        doctor, "run_python", lambda code, timeout: (json.dumps({"found": [], "built_for_cuda": None}), "")
    )
    monkeypatch.setattr(doctor, "examine_decoders", lambda packages, timeout: {})
    done = CliRunner().invoke(app, ["doctor", str(tmp_path)], catch_exceptions=False, env={"COLUMNS": "110"})
    assert "GPU 0: NVIDIA L4: NOT usable; torch here is built for no CUDA" in done.stdout


@POSIX
@pytest.mark.parametrize("folder", ["", ".", "bin"])
def test_a_program_is_never_taken_from_the_current_folder(monkeypatch, tmp_path, folder):
    for place in (tmp_path / "sent" / folder, tmp_path / "real"):
        place.mkdir(parents=True)
        (place / "nvidia-smi").touch(0o755)
    monkeypatch.chdir(tmp_path / "sent")
    monkeypatch.setenv("PATH", os.pathsep.join([folder, str(tmp_path), str(tmp_path / "real")]))
    assert doctor.find_program("nvidia-smi") == str(tmp_path / "real" / "nvidia-smi")
    monkeypatch.setenv("PATH", folder)
    assert doctor.find_program("nvidia-smi") is None


def test_a_gpu_that_does_not_compute_is_a_fault(monkeypatch, tmp_path, quick):
    gpu = {"device": "cuda:0", "name": "Old", "memory_gb": 8.0, "free_gb": 7.0, "fault": "no kernel image is available"}
    monkeypatch.setattr(doctor, "examine_devices", lambda packages, timeout: {"found": [gpu]})
    done = CliRunner().invoke(app, ["doctor", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 1
    assert "does NOT compute: no kernel image is available" in " ".join(done.stdout.split())


def test_the_command_fits_eighty_columns_and_ends_well(quick, tmp_path):
    done = CliRunner().invoke(app, ["doctor", str(tmp_path)], env={"COLUMNS": "80"}, catch_exceptions=False)
    assert done.exit_code == 0
    folder = str(tmp_path)
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if folder not in line)
    assert "123 MB/s" in done.stdout
    assert done.stdout.count("ready") == 2


def test_a_fault_makes_the_exit_status_one(quick, monkeypatch, tmp_path):
    broken = EVERYTHING | {"lightgbm": {"state": "broken", "fault": "libgomp"}}
    monkeypatch.setattr(doctor, "examine_packages", lambda timeout: broken)
    done = CliRunner().invoke(app, ["doctor", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 1
    assert "lightgbm: libgomp" in done.stdout


def test_it_works_in_the_plain_install(tmp_path):
    for name in ("torch", "av"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')\n")
    code = (
        "import importlib.util as u, sys\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n in ('torch', 'av', 'decord', 'transformers') else real(n, *a)\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"sys.argv = ['vjepa-fer', 'doctor', {str(tmp_path)!r}, '--json']\n"
        "from vjepa_fer.cli.main import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["stages"]["stage 2 (laptop)"] == {"ready": True}
    assert found["stages"]["stage 1 (GPU box)"]["install"] == "pip install 'vjepa-fer[extract]'"
    assert found["devices"] == {"found": []}
