"""Lists that several processes add to: nothing of any of them is lost, and nothing changed is read in silence."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caches import small_manifest, small_recipe, write_small_cache
from test_flips import everything, mutants
from vjepa_fer.cache import failures as failures_module
from vjepa_fer.cache import layout, open_cache
from vjepa_fer.cache.asked import add_manifest, read_cache_manifest, refresh_copy, unite_manifests
from vjepa_fer.cache.description import read_cache_recipe
from vjepa_fer.cache.failures import Failure, FailureList, read_failures, read_turns, refresh_failed, write_failures
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.repair import repair_cache
from vjepa_fer.cache.verify import verify_cache
from vjepa_fer.errors import CacheError, ManifestError, RecipeMismatchError, VjepaFerError
from vjepa_fer.manifest import Clip, Manifest, read_manifest, write_manifest

DATA = Path(__file__).parents[1] / "data"


def clips(*ids, label="sad"):
    return Manifest(clips=tuple(Clip(i, f"/videos/{i}.mp4", label, "s") for i in ids))


def ids_of(manifest):
    return [clip.clip_id for clip in manifest]


def failure(clip_id, reason="truncated"):
    return Failure(clip_id, f"/v/{clip_id}.mp4", reason, 'ends, "early"', "ab")


def at_once(target, arguments):
    """Processes that begin together; their exit codes."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(arguments))
    processes = [context.Process(target=_after, args=(barrier, target, each)) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _after(barrier, target, arguments):
    barrier.wait()
    target(*arguments)


# --- the folder


def make_or_exit_with_7(root, precision):
    try:
        prepare_cache(root, small_recipe(precision=precision), small_manifest(2))
    except RecipeMismatchError as error:
        assert "precision" in str(error)  # noqa: PT017 - in a child
        raise SystemExit(7) from error


@pytest.mark.parametrize("number", range(8))
def test_of_two_recipes_that_begin_together_one_makes_the_cache_and_the_other_is_refused(tmp_path, number):
    root = tmp_path / "cache"
    codes = at_once(make_or_exit_with_7, [(root, precision) for precision in ("float32", "float16")] * 2)
    assert sorted(codes) == [0, 0, 7, 7]
    assert read_cache_recipe(root).precision == ("float32", "float16")[codes.index(0)]
    assert ids_of(open_cache(root).manifest) == ["c0", "c1"]
    assert not list(root.rglob("*.partial"))


def test_a_cache_that_was_killed_before_its_list_says_so_and_goes_on(tmp_path):
    write_small_cache(tmp_path)
    for name in (layout.MANIFEST_PIECES, layout.MANIFEST_CSV):
        (shutil.rmtree if (tmp_path / name).is_dir() else Path.unlink)(tmp_path / name)
    with pytest.raises(CacheError, match=r"its manifest\.csv is missing; run extract with the manifest again"):
        open_cache(tmp_path)
    prepare_cache(tmp_path, small_recipe(), small_manifest())
    assert len(open_cache(tmp_path)) == 6


@pytest.mark.parametrize("edit", [{"created": "now"}, {"sha256": "0" * 64}, {"format_version": 1}, {"licence": ""}])
def test_a_description_that_was_edited_is_refused(tmp_path, edit):
    write_small_cache(tmp_path)
    facts = json.loads((tmp_path / "cache.json").read_text())
    (tmp_path / "cache.json").write_text(json.dumps(facts | edit))
    with pytest.raises(CacheError, match=r"cache\.json: is not what was written"):
        open_cache(tmp_path)
    (tmp_path / "cache.json").write_text(json.dumps({k: v for k, v in facts.items() if k != "sha256"}))
    with pytest.raises(CacheError, match=r"cache\.json: 'sha256' is missing"):
        open_cache(tmp_path)


# --- the clips asked for


@pytest.mark.parametrize("number", range(6))
def test_manifests_that_come_at_once_are_all_there(tmp_path, number):
    root = tmp_path / "cache"
    parts = [(root, small_recipe(), clips(*(f"{worker}-{n}" for n in range(5)))) for worker in range(6)]
    assert at_once(prepare_cache, parts) == [0] * 6
    expected = {f"{worker}-{n}" for worker in range(6) for n in range(5)}
    assert set(ids_of(read_cache_manifest(root))) == expected
    assert set(ids_of(read_manifest(root / "manifest.csv"))) == expected


def test_one_manifest_of_many_processes_is_one_piece(tmp_path):
    root = tmp_path / "cache"
    assert at_once(prepare_cache, [(root, small_recipe(), small_manifest())] * 6) == [0] * 6
    assert len(list((root / "manifest").iterdir())) == 1


def test_only_what_is_new_is_added_and_the_newer_row_counts(tmp_path):
    prepare_cache(tmp_path, small_recipe(), clips("a", "b"))
    prepare_cache(tmp_path, small_recipe(), clips("b", "a"))
    assert len(list((tmp_path / "manifest").iterdir())) == 1
    union = prepare_cache(tmp_path, small_recipe(), Manifest((*clips("c"), *clips("b", label="happy"))))
    assert [(c.clip_id, c.label) for c in union] == [("a", "sad"), ("b", "happy"), ("c", "sad")]
    assert (tmp_path / "manifest" / sorted(p.name for p in (tmp_path / "manifest").iterdir())[1]).read_text().count(
        "\n"
    ) == 3
    assert read_manifest(tmp_path / "manifest.csv").clips == union.clips


def test_labels_that_do_not_go_together_are_refused_and_nothing_is_added(tmp_path, monkeypatch):
    prepare_cache(tmp_path, small_recipe(), clips("a"))
    with pytest.raises(ManifestError, match="'SAD' and 'sad' differ only in spelling"):
        add_manifest(tmp_path, clips("b", label="SAD"))
    assert ids_of(open_cache(tmp_path).manifest) == ["a"]
    from vjepa_fer.cache import asked

    real = asked.add_piece

    def just_after_another(folder, text):
        real(folder, "clip_id,path,label,subject\nx,,SAD,s\n")
        return real(folder, text)

    monkeypatch.setattr(asked, "add_piece", just_after_another)
    with pytest.raises(ManifestError, match="differ only in spelling"):
        add_manifest(tmp_path, clips("c"))
    assert sum("x,,SAD" in p.read_text() for p in (tmp_path / "manifest").iterdir()) == 1
    assert not any("c,/videos" in p.read_text() for p in (tmp_path / "manifest").iterdir())


def test_an_edited_copy_is_refused_by_row_and_an_old_one_is_only_behind(tmp_path):
    prepare_cache(tmp_path, small_recipe(), clips("a", "b"))
    old = (tmp_path / "manifest.csv").read_text()
    add_manifest(tmp_path, Manifest((*clips("b", label="happy"), *clips("c"))))
    (tmp_path / "manifest.csv").write_text(old)  # another process wrote it a moment too late
    assert ids_of(read_cache_manifest(tmp_path)) == ["a", "b", "c"]
    refresh_copy(tmp_path)
    whole = (tmp_path / "manifest.csv").read_text()
    (tmp_path / "manifest.csv").write_text(whole.replace("a.mp4,sad", "a.mp4,angry"))
    message = r"manifest\.csv, row 2: clip a has the label 'angry', 'sad' in the cache; the file is a copy for people"
    with pytest.raises(CacheError, match=message):
        open_cache(tmp_path)
    assert "row 2: clip a has the label 'angry'" in verify_cache(tmp_path).problems[0].what
    repair = repair_cache(tmp_path)
    assert [p.name for p in repair.set_aside] == ["manifest.csv.damaged"]
    assert (tmp_path / "manifest.csv").read_text() == whole


def test_labels_are_changed_by_giving_the_edited_copy_as_the_manifest(tmp_path):
    write_small_cache(tmp_path)
    text = (tmp_path / "manifest.csv").read_text().replace("c0.mp4,angry", "c0.mp4,sad")
    (tmp_path / "manifest.csv").write_text(text)
    prepare_cache(tmp_path, small_recipe(), read_manifest(tmp_path / "manifest.csv"))
    assert open_cache(tmp_path)[0].clip.label == "sad"


def test_a_damaged_piece_is_restored_from_the_copy_or_named(tmp_path):
    write_small_cache(tmp_path)
    before = everything(tmp_path)
    [piece] = (tmp_path / "manifest").iterdir()
    whole = piece.read_bytes()
    piece.write_bytes(whole.replace(b"happy", b"hapqy"))
    with pytest.raises(CacheError, match=rf"{piece.name}: is not what was written"):
        open_cache(tmp_path)
    assert [p.shard for p in verify_cache(tmp_path).problems] == [piece.name]
    repair_cache(tmp_path)
    assert everything(tmp_path) == before
    piece.write_bytes(whole.replace(b"happy", b"hapqy"))
    (tmp_path / "manifest.csv").unlink()
    with pytest.raises(CacheError, match=r"does not hold the same any more; restore it from a backup"):
        repair_cache(tmp_path)


def test_a_cache_of_version_1_is_read_and_goes_on(tmp_path):
    root = tmp_path / "cache"
    shutil.copytree(DATA / "cache_v1_float16", root)
    before = open_cache(root)
    assert before.failures["c3"].reason == "truncated"
    prepare_cache(root, before.recipe, clips("x"))
    after = open_cache(root)
    assert ids_of(after.manifest) == [*ids_of(before.manifest), "x"]
    assert after.failures == before.failures
    write_failures(root, {"x": failure("x")})
    assert set(read_failures(root)) == {"c3", "x"}


# --- clips that could not be done


def fail_in_turn(root, worker):
    with FailureList(root) as mine:
        for number in range(30):
            mine.add([failure(f"{worker}-{number}")])
    refresh_failed(root, frozenset)


@pytest.mark.parametrize("number", range(4))
def test_failures_that_come_at_once_are_all_listed(tmp_path, number):
    assert at_once(fail_in_turn, [(tmp_path, worker) for worker in range(4)]) == [0] * 4
    expected = {f"{worker}-{n}" for worker in range(4) for n in range(30)}
    assert read_failures(tmp_path).keys() == expected
    assert len((tmp_path / "failed.csv").read_text().splitlines()) == 121


def test_the_latest_word_about_a_clip_counts_whoever_said_it(tmp_path):
    with FailureList(tmp_path) as first:
        first.add([failure("a", "timeout"), failure("b")])
        with FailureList(tmp_path) as second:
            second.add([failure("a", "truncated")])
            assert {k: v.reason for k, v in read_failures(tmp_path).items()} == {"a": "truncated", "b": "truncated"}
            assert read_turns(tmp_path) == {"a": 1, "b": 0}
            second.take_back(["b"])
            assert read_failures(tmp_path).keys() == {"a"}
        with FailureList(tmp_path) as third:
            third.add([failure("b", "empty")])
            assert read_failures(tmp_path)["b"].reason == "empty"


@given(st.lists(st.tuples(st.text(), st.text(), st.text(min_size=1), st.text(), st.text()), max_size=6), st.integers(0))
def test_a_list_that_a_kill_cut_anywhere_holds_the_rows_before(tmp_path_factory, rows, cut):
    root = tmp_path_factory.mktemp("cut")
    written = [Failure(f"{n}{row[0]}", *row[1:]) for n, row in enumerate(rows)]
    write_failures(root, {row.clip_id: row for row in written})
    for piece in (root / "failed").glob("*.csv"):
        data = piece.read_bytes()
        piece.write_bytes(data[: cut % (len(data) + 1)])
    with contextlib.suppress(CacheError):  # cut inside a value that holds a line end
        read = list(read_failures(root).values())
        assert read == written[: len(read)]


def test_no_changed_byte_of_the_lists_is_read_in_silence(tmp_path):
    write_small_cache(tmp_path, num_clips=3)
    add_manifest(tmp_path, clips("c8", "c9"))
    write_failures(tmp_path, {i: failure(i) for i in ("c8", "c9")})
    before = everything(tmp_path)
    files = [
        tmp_path / "cache.json",
        tmp_path / "manifest.csv",
        *(p for d in ("manifest", "failed") for p in (tmp_path / d).iterdir()),
    ]
    assert len(files) == 5
    for path in files:
        data, refused = path.read_bytes(), 0
        for mutant in mutants(data, 120, 1):
            path.write_bytes(mutant)
            try:
                assert everything(tmp_path) == before
            except VjepaFerError:
                refused += 1
        path.write_bytes(data)
        assert refused > 100, path


def test_a_damaged_list_of_failures_is_set_aside_and_its_clips_are_tried_again(tmp_path):
    write_small_cache(tmp_path)
    add_manifest(tmp_path, clips("c8"))
    write_failures(tmp_path, {"c8": failure("c8")})
    [piece] = (tmp_path / "failed").iterdir()
    piece.write_text(piece.read_text().replace("early", "later"))
    with pytest.raises(CacheError, match=rf"{piece.name}, row 2: is not what was written \(its CRC-32 differs\)"):
        _ = open_cache(tmp_path).failures
    assert [p.name for p in repair_cache(tmp_path).set_aside] == [f"{piece.name}.damaged"]
    assert open_cache(tmp_path).failures == {}
    assert not (tmp_path / "failed.csv").exists()


def test_a_clip_that_failed_was_done_and_got_damaged_is_tried_again(tmp_path):
    from test_care import data_offset, flip

    write_small_cache(tmp_path)
    write_failures(tmp_path, {"c2": failure("c2")})
    flip(next((tmp_path / "shards").glob("*.h5")), data_offset(tmp_path, "levels/mean", 5))
    repair_cache(tmp_path)
    cache = open_cache(tmp_path)
    assert "c2" not in cache.done
    assert cache.failures == {}


def test_a_list_is_on_disk_when_it_is_closed_and_not_at_every_row(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(failures_module.os, "fsync", lambda descriptor: synced.append(descriptor))
    mine = FailureList(tmp_path)
    for number in range(500):
        mine.add([failure(str(number))])
    assert 1 <= len(synced) < 50
    mine.close()
    assert len(synced) > 1


@pytest.mark.parametrize("name", ["shards", "manifest", "failed"])
def test_a_link_in_a_cache_is_not_followed(tmp_path, name):
    root, outside = tmp_path / "cache", tmp_path / "outside"
    write_small_cache(root)
    write_failures(root, {"c9": failure("c9")})
    (root / name).rename(outside)
    (root / name).symlink_to(outside)
    before = sorted(p.name for p in outside.iterdir())
    (outside / ".x.h5.host.1.partial").touch()
    acts = [everything, repair_cache, lambda root: prepare_cache(root, small_recipe(), small_manifest())]
    if name == "failed":
        acts.append(lambda root: write_failures(root, {"c9": failure("c9")}))
    for act in acts:
        with pytest.raises(VjepaFerError, match=rf"{name}: is a link, which could lead anywhere"):
            act(root)
    assert sorted(p.name for p in outside.iterdir()) == [".x.h5.host.1.partial", *before]


def test_a_manifest_that_goes_in_is_the_one_that_comes_out(tmp_path):
    write_manifest(small_manifest(), tmp_path / "m.csv")
    prepare_cache(tmp_path / "cache", small_recipe(), read_manifest(tmp_path / "m.csv"))
    assert (tmp_path / "cache" / "manifest.csv").read_bytes() == (tmp_path / "m.csv").read_bytes()


@pytest.mark.parametrize("turn", ["9" * 5000, "-1", "٣", "1.0"])
def test_a_turn_that_is_no_number_of_ours_is_refused_though_its_crc_is_right(tmp_path, turn):
    write_small_cache(tmp_path)
    write_failures(tmp_path, {"c2": failure("c2")})
    [piece] = (tmp_path / "failed").iterdir()
    header = piece.read_text().partition("\n")[0]
    piece.write_text(f"{header}\n{failures_module._signed(['c2', 'x.mp4', 'missing', 'gone', 'ab', turn])}")
    with pytest.raises(CacheError, match=rf"{piece.name}, row 2: is not what was written"):
        read_failures(tmp_path)


def test_repair_says_so_where_the_copy_is_no_file_that_can_be_read(tmp_path):
    write_small_cache(tmp_path)
    [piece] = (tmp_path / "manifest").iterdir()
    piece.write_text("clip_id\n")
    (tmp_path / "manifest.csv").unlink()
    (tmp_path / "manifest.csv").symlink_to(tmp_path / "cache.json")
    with pytest.raises(
        CacheError, match=rf"{piece.name}: is damaged, and manifest.csv does not hold the same any more"
    ):
        repair_cache(tmp_path)


def test_several_manifests_are_one_in_the_order_in_which_they_came(tmp_path):
    manifests = {Path("a"): clips("c0", "c1"), Path("b"): clips("c1", "c2"), Path("c"): clips("c3", "c0")}
    assert ids_of(unite_manifests(manifests)) == ["c0", "c1", "c2", "c3"]
    with pytest.raises(CacheError, match="d: clip c2 has the label 'happy', 'sad' in a cache before it"):
        unite_manifests({**manifests, Path("d"): clips("c2", label="happy")})
