"""Promises of cli/completion.py: the Tab key knows the values of every closed list, and loads nothing heavy for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from vjepa_fer.cli import completion

HEAVY = {"numpy", "scipy", "sklearn", "torch", "lightgbm", "h5py", "av", "rich.table"}
ASK = (
    "import atexit, sys; from vjepa_fer.cli.main import main\n"
    f"atexit.register(lambda: print('loaded', sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr))\n"
    "sys.argv = ['vjepa-fer']; main()"
)


def pressed(*words, cwd=None):
    """What the shell is offered where the last word has been begun, and what was loaded for it."""
    environment = os.environ | {
        "_VJEPA_FER_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["vjepa-fer", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, cwd=cwd)
    assert done.stderr == "loaded []\n", done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("extract", "a", "b", "--model", "vjepa2.1-l"), ["vjepa2.1-large-384"]),
        (("models", "info", "tin"), ["tiny-v21"]),
        (("probe", "--probe", "logreg,m"), ["logreg,mlp"]),
        (("probe", "--folds", "rav"), ["ravdess-5fold", "ravdess-6fold"]),
        (("probe", "--policy", "merge,paper-m"), ["merge,paper-merge"]),
        (("probe", "--decision", "joi"), ["joined-windows"]),
        (("probe", "--config", "act"), ["action-units"]),
        (("evaluate", "x", "--policy", "str"), ["strict"]),
        (("manifest", "corpus", "fe"), ["ferv39k"]),
        (("experiments", "show", "enc"), ["encoders"]),
        (("report", "x", "--format", "pdf,s"), ["pdf,svg"]),
        (("report", "x", "--projection", "ts"), ["tsne"]),
        (("cache", "ver"), ["verify"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_the_tab_key_offers_what_begins_so_and_loads_nothing_heavy(words, offered):
    assert pressed(*words) == offered


def test_levels_are_those_of_the_cache_on_the_line(tmp_path):
    (tmp_path / "cache").mkdir()
    recipe = {"storage": {"levels": ["mean", "mean@5", "grid:2"]}}
    (tmp_path / "cache/cache.json").write_text(json.dumps({"recipe": recipe}))
    assert pressed("probe", "cache", "--features", "mean,m", cwd=tmp_path) == ["mean,mean@5"]
    assert pressed("cache", "export", "cache", "-f", "g", cwd=tmp_path) == ["grid:2"]


@pytest.mark.parametrize("text", [None, "no JSON", '{"recipe": 3}', '{"recipe": {}}', "[" * 100_000])
def test_without_a_cache_the_usual_levels_are_offered(tmp_path, text):
    if text is not None:
        (tmp_path / "cache.json").write_text(text)
    assert completion._levels_in(tmp_path) == ()


def test_the_users_own_encoders_are_offered(tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models/my-faces.toml").touch()
    assert "my-faces" in completion.models()


def test_a_name_that_stands_there_is_not_offered_again():
    assert completion.several_of(["a1", "a2"])("a1,a") == ["a1,a2"]


def test_the_lists_that_are_written_out_are_those_of_the_library():
    from vjepa_fer.evaluation import make_reference
    from vjepa_fer.evaluation.reference import TIES
    from vjepa_fer.features.scaling import _SCALES
    from vjepa_fer.folds.splits import FOLD_NAMES
    from vjepa_fer.judging import POLICIES
    from vjepa_fer.probes import PROBES
    from vjepa_fer.recipe import SEVERITIES, parse_level, parse_step

    assert tuple(PROBES) == completion.PROBES
    assert tuple(POLICIES) == completion.POLICIES
    assert tuple(_SCALES) == completion.SCALES
    assert tuple(TIES) == completion.TIES
    assert dict(map(parse_step, completion.PERTURBATIONS)).keys() == SEVERITIES.keys()
    forms = {name.partition(":")[0] for name in FOLD_NAMES}
    assert {name.partition(":")[0] for name in completion.FOLDS} == forms
    assert [parse_level(level)[0] for level in completion.LEVELS] == ["mean", "frames", "grid", "tokens"]
    assert make_reference(completion.LABELS[0], []).name == "intended"
