"""``vjepa-fer cache …`` as typed: what is said, what is written, and the exit status."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from caches import write_small_cache
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.shard import read_shard_index
from vjepa_fer.cache.verify import shard_files
from vjepa_fer.cli.main import app
from vjepa_fer.errors import CacheError


def run(*words, status=0):
    outcome = CliRunner().invoke(app, ["cache", *map(str, words)])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == status, outcome.output
    return outcome


@pytest.fixture
def cache(tmp_path):
    write_small_cache(tmp_path / "cache")
    return tmp_path / "cache"


def damage(cache):
    path = shard_files(cache)[0]
    data = bytearray(path.read_bytes())
    data[int(read_shard_index(path).offsets["levels/tokens"][4])] ^= 1
    path.write_bytes(data)


def test_verify_and_repair_speak_with_their_exit_status(cache):
    assert "6 clips, 12 rows in 1 shards" in run("verify", cache).stderr
    damage(cache)
    said = run("verify", cache, status=1)
    assert "clip c2: levels/tokens is damaged" in said.stdout
    assert "cache repair" in said.stderr
    assert "5 clips kept" in run("repair", cache).stderr
    run("verify", cache)
    assert open_cache(cache).done == {"c0", "c1", "c3", "c4", "c5"}


def test_machines_get_one_object(cache):
    damage(cache)
    facts = json.loads(run("verify", cache, "--json", status=1).stdout)
    assert [problem["clip_id"] for problem in facts["problems"]] == ["c2"]
    facts = json.loads(run("repair", cache, "--json").stdout)
    assert facts["rescued"] == ["c0", "c1", "c3", "c4", "c5"]


def test_subset_chooses_by_column_and_by_list(cache, tmp_path):
    (tmp_path / "ids.txt").write_text("c0\nc1\n\nc3\n")
    run("subset", cache, "--out", tmp_path / "out", "--where", "label=angry,happy", "--where", "subject=s0,s1")
    assert open_cache(tmp_path / "out").done == {"c0", "c1", "c3"}
    run("subset", cache, "--out", tmp_path / "out2", "--clips", tmp_path / "ids.txt", "--where", "take=3")
    assert open_cache(tmp_path / "out2").done == {"c3"}


def test_a_list_that_spells_ids_otherwise_is_taken_on_request(cache, tmp_path):
    (tmp_path / "ids.txt").write_text("C0\nc01\nc3\n")
    words = ("subset", cache, "--out", tmp_path / "out", "--clips", tmp_path / "ids.txt")
    with pytest.raises(CacheError, match="write it as the cache does, or --unify-names takes them for one name"):
        run(*words)
    run(*words, "--unify-names")
    assert open_cache(tmp_path / "out").done == {"c0", "c1", "c3"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say which clips to keep"),
        (["--where", "mood=happy"], "one of the columns clip_id, path, label, subject, take"),
        (["--where", "label=hapy"], "no clip has the label 'hapy'; did you mean 'happy'?"),
        (["--clips", "absent.txt"], "cannot be read as a list of clip ids"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(cache, tmp_path, words, message):
    with pytest.raises(CacheError, match=message.replace("?", r"\?")):
        run("subset", cache, "--out", tmp_path / "out", *words)


def test_pool_makes_a_laptop_cache_of_tokens(cache, tmp_path):
    run("pool", cache, "--out", tmp_path / "out", "--levels", "mean,grid:1")
    assert open_cache(tmp_path / "out").recipe.storage.levels == ("mean", "grid:1")


def test_merge_with_one_key_gives_subjects_the_same_names(cache, tmp_path):
    (tmp_path / "key").write_text("a secret of sixteen bytes or more\n")
    options = ["--anonymise", "--key-file", tmp_path / "key"]
    run("merge", cache, "--out", tmp_path / "a", *options)
    run("merge", cache, "--out", tmp_path / "b", *options)
    run("merge", cache, "--out", tmp_path / "c", "--anonymise")
    a, b, c = (open_cache(tmp_path / name).features().subjects.tolist() for name in "abc")
    assert a == b != c
    (tmp_path / "key").write_text("short")
    with pytest.raises(CacheError, match="at least 16 are needed"):
        run("merge", cache, "--out", tmp_path / "d", *options)
    run("merge", cache, "--out", tmp_path / "d", *options[1:], status=2)
