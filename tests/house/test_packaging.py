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


def test_the_version_is_said_once():
    import vjepa_fer

    assert PROJECT["project"]["version"] == vjepa_fer.__version__
