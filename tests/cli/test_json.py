"""Promises of every ``--json``: one object of plain, typed values, also with 24 subjects and two runs that are equally good."""

import json

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from test_cli_probe import make_cache
from test_doctor import EVERYTHING
from vjepa_fer.cache import Features
from vjepa_fer.cli.main import app

SHARE = {"mean": float, "sd": float, "folds": [float], "pooled": float, "interval": [float]}
RESULT = {
    "name": str,
    "selection": str,
    "war": SHARE,
    "uar": SHARE,
    "macro_f1": SHARE,
    "ece": SHARE | {"interval": type(None)},
    "log_loss": SHARE,
    "intervals": {"method": str, "confidence": float, "covers": str},
    "classes": [str],
    "confusion": [[int]],
    "n_clips": int,
    "n_subjects": int,
    "leaky": bool,
    "notes": [str],
}
SCORED = {name: kind for name, kind in RESULT.items() if name not in ("name", "selection")}
DIFFERENCE = {
    "first": str,
    "second": str,
    "figure": str,
    "value": float,
    "interval": [float],
    "p": float,
    "p_holm": float,
    "p_mcnemar": float,
    "num_differing": int,
    "leaky": bool,
    "judgeable": bool,
    "real": bool,
}
SPREAD = {"mean": float, "sd": float, "values": [float]}
REPEATED = {"name": str, "seeds": [int], "war": SPREAD, "uar": SPREAD, "macro_f1": SPREAD}
FOLDS = ("--folds", "subject-kfold:4")

ANSWERS = {
    "doctor": (("{root}",), {"schema": str}),
    "probe": (
        ("{cache}", "-p", "centroid", *FOLDS, "--repeats", 2),
        {"schema": str, "results": [RESULT], "lost": [str], "repeats": [REPEATED]},
    ),
    "evaluate": (("{first}/predictions.csv",), {"schema": str, "results": [SCORED]}),
    "runs list": (("{runs}",), {"schema": str, "results": [RESULT | {"to_report": bool}], "unread": [str]}),
    "runs show": (("{first}",), {"schema": str, "result": RESULT}),
    "runs issues": (("{first}",), {"schema": str, "n_clips": int}),
    "runs compare": (
        ("{first}", "{second}"),
        {
            "schema": str,
            "n_clips": int,
            "n_subjects": int,
            "question": str,
            "differences": [DIFFERENCE],
            "picked": [str],
        },
    ),
    "experiments list": ((), {"schema": str, "experiments": {}}),
    "experiments show": (("eing-2026-ravdess",), {"schema": str, "fingerprint": str, "seed": int, "repeats": int}),
    "cache info": (("{cache}",), {"schema": str}),
    "cache verify": (("{cache}",), {"schema": str, "cache": str}),
    "cache repair": (("{cache}",), {"schema": str, "cache": str}),
    "models list": ((), {"schema": str, "models": [{}]}),
    "models info": (("vjepa2.1-large-384",), {}),
    "manifest csv": (("{root}/clips.csv", "-o", "{new}/csv.csv"), {}),
    "manifest folder": (("{root}/films", "-o", "{new}/folder.csv"), {}),
    "manifest ravdess": (("-o", "{new}/ravdess.csv"), {}),
    "manifest crema-d": (("-o", "{new}/crema-d.csv"), {}),
}
"""Words after the command, and what must be in the answer, with its type."""

ELSEWHERE = {
    "extract": "test_cli.py",
    "extract-audio": "sound/test_extract_audio.py",
    "predict": "predict/test_predict.py",
    "robustness": "robustness/test_robustness.py",
    "manifest corpus": "manifest/test_manifest_more_corpora.py",
    "manifest verify": "manifest/test_manifest_verify.py",
    "models fetch": "encoder/test_fetch.py",
    "models slim": "encoder/test_slim.py",
}
"""Commands whose answer is looked at in another file, because they need films, a download or weights."""


def in_json(command, path=()):
    """Every command that has ``--json``, by its words."""
    if hasattr(command, "commands"):
        for name, one in command.commands.items():
            yield from in_json(one, (*path, name))
    elif any("--json" in option.opts for option in command.params):
        yield " ".join(path)


def call(*words):
    outcome = CliRunner().invoke(app, [str(word) for word in words])
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """24 subjects whose labels are half told; two probes that are about equally good and differ for most of them."""
    root = tmp_path_factory.mktemp("null")
    rng = np.random.default_rng(5)
    y = np.tile(["angry", "happy", "sad"], 24 * 4)
    told = np.array([["angry", "happy", "sad"].index(label) for label in y])
    x = rng.normal(size=(len(y), 6)) + np.eye(6)[told]
    subjects = np.repeat([f"s{n:02d}" for n in range(24)], 12)
    table = Features(x.astype(np.float32), y, subjects, np.array([f"c{n}" for n in range(len(y))]))
    cache = make_cache(root, table)
    call("probe", cache, "-p", "knn", "--param", "k=3,7", "--no-nested", *FOLDS, "--out", root / "runs")
    (root / "clips.csv").write_text("clip_id,path,label,subject\na,a.mp4,sad,s1\nb,b.mp4,happy,s2\n")
    for label in ("happy", "sad"):
        (root / "films" / label).mkdir(parents=True)
        (root / "films" / label / f"{label}.mp4").write_bytes(b"film of " + label.encode())
    first, second = sorted(run.parent for run in (root / "runs").rglob("run.json"))
    return {"root": root, "cache": cache, "runs": root / "runs", "first": first, "second": second}


def test_every_command_with_json_is_looked_at():
    assert set(in_json(get_command(app))) == set(ANSWERS) | set(ELSEWHERE)


@pytest.mark.parametrize("command", ANSWERS)
def test_an_answer_in_json_has_its_types(command, places, tmp_path, monkeypatch):
    # Each package in a process of its own takes twenty seconds of a processor; tests/workers/test_sent_folder.py has them all tried.
    monkeypatch.setattr("vjepa_fer.doctor.examine_packages", lambda timeout_seconds: dict(EVERYTHING))
    words, shape = ANSWERS[command]
    text = call(*command.split(), *(str(word).format(**places, new=tmp_path) for word in words), "--json")
    check(json.loads(text, parse_constant=refuse), shape or {})


def test_the_two_runs_are_equally_good_and_differ_for_more_people_than_can_be_counted_out(places):
    answer = json.loads(call("runs", "compare", places["first"], places["second"], "--json"))
    assert answer["n_subjects"] == 24
    for one in answer["differences"]:
        assert one["num_differing"] > 14
        assert one["real"] is False


def refuse(word):
    raise AssertionError(f"{word} is no JSON")


def check(value, shape, where="answer"):
    """The value has the type, or each of the list, or of what is named."""
    if isinstance(shape, dict):
        assert type(value) is dict, where
        for name, one in shape.items():
            check(value[name], one, f"{where}.{name}")
    elif isinstance(shape, list):
        assert type(value) is list, where
        for number, one in enumerate(value):
            check(one, shape[0], f"{where}[{number}]")
    else:
        assert type(value) is shape, f"{where} = {value!r} is no {shape.__name__}"
