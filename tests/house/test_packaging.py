"""The package is what the folders say, and its plain install is the laptop's."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_folder_with_code_is_listed_as_a_package():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "vjepa_fer").rglob("__init__.py")}
    mapped = set(PROJECT["tool"]["setuptools"]["package-dir"])
    assert listed == found | mapped


def test_the_plain_install_needs_no_torch_and_no_video_library():
    names = {re.split(r"[<>=!~; \[]", line)[0] for line in PROJECT["project"]["dependencies"]}
    assert not names & {"torch", "av", "decord", "torchcodec", "transformers"}


def test_the_constraints_pin_every_requirement_of_every_extra():
    pins = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(line for lines in extras.values() for line in lines)]
    names = {re.split(r"[<>=!~; \[]", line)[0].lower().replace("_", "-") for line in wanted} - {"vjepa-fer"}
    assert names <= pins


def test_importing_the_package_and_asking_for_help_load_nothing_heavy():
    code = (
        "import sys, vjepa_fer\n"
        "from vjepa_fer.cli.main import main\n"
        "sys.argv = ['vjepa-fer', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('HEAVY', sorted({'torch', 'sklearn', 'lightgbm', 'scipy', 'av', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("HEAVY []")


def test_completion_offers_every_public_name_before_it_is_loaded():
    code = "import vjepa_fer; print(*(name for name in dir(vjepa_fer) if not name.startswith('_')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    import vjepa_fer

    assert done.stdout.split() == [name for name in sorted(vjepa_fer.__all__) if not name.startswith("_")]
    assert "open_cache" in done.stdout
    for name in vjepa_fer.__all__:
        assert getattr(vjepa_fer, name) is not None


def test_the_package_runs_as_the_command(tmp_path):
    for folder in ("pickle.py", "typer.py"):  # which a folder that somebody sent may hold
        (tmp_path / folder).write_text("raise SystemExit('a file of the current folder was run')")
    for words in (["--version"], ["runs", "list", "none"]):
        command, module = (["-m", name, *words] for name in ("vjepa_fer.cli", "vjepa_fer"))
        said = [
            subprocess.run([sys.executable, *line], capture_output=True, text=True, cwd=tmp_path)
            for line in (command, module)
        ]
        assert [one.stdout for one in said] == [said[0].stdout] * 2
        assert [one.returncode for one in said] == [said[0].returncode] * 2
        assert "was run" not in said[1].stdout + said[1].stderr


def test_the_version_is_said_once():
    import vjepa_fer

    assert PROJECT["project"]["version"] == vjepa_fer.__version__
