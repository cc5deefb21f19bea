"""Clips and manifests are checked at the door."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest import Clip, Manifest, check_label


def make_clip(clip_id="a", **changes):
    return Clip(**({"clip_id": clip_id, "path": f"{clip_id}.mp4", "label": "happy", "subject": "1"} | changes))


@pytest.mark.parametrize("column", ["clip_id", "label", "subject"])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_value_is_refused(column, value):
    with pytest.raises(ManifestError, match=f"^{column} is empty; every clip needs one$"):
        make_clip(**{column: value})


@pytest.mark.parametrize("column", ["clip_id", "path", "label", "subject"])
@pytest.mark.parametrize("value", ["a\nb", "a\tb", "a\x00b", "a\x7fb", "a\x85b", "a\x9bb", "a\u2028b", "a\udc80b"])
def test_control_characters_and_broken_names_are_refused(column, value):
    with pytest.raises(ManifestError, match=f"^{column} .* holds a control character"):
        make_clip(**{column: value})


def test_marks_of_direction_are_part_of_a_name():
    assert make_clip(label="\u200fכועס\u200f").label == "\u200fכועס\u200f"


@pytest.mark.parametrize("clip_id", ["../evil", "a/b", "a\\b", "/etc/passwd", "..", "."])
def test_a_clip_id_is_never_a_path(clip_id):
    with pytest.raises(ManifestError, match="is a path; use a plain name"):
        make_clip(clip_id)


def test_further_columns_cannot_shadow_the_required_ones():
    with pytest.raises(ManifestError, match="label cannot be a further column as well"):
        make_clip(extra={"label": "sad"})


def test_a_value_is_read_by_column_name():
    clip = make_clip(extra={"age": "51"})
    assert [clip.value(name) for name in ("clip_id", "label", "age", "sex")] == ["a", "happy", "51", ""]


def test_clips_are_hashable_and_travel_to_worker_processes():
    clip = make_clip(extra={"age": "51"})
    assert {pickle.loads(pickle.dumps(clip))} == {clip}  # noqa: S301


def test_an_empty_manifest_is_refused():
    with pytest.raises(ManifestError, match="no clips in the manifest; it needs at least one row below its header"):
        Manifest(())


def test_a_clip_id_twice_is_refused():
    with pytest.raises(ManifestError, match="clip_id 'a' is there 2 times"):
        Manifest((make_clip("a"), make_clip("b"), make_clip("a")))


def test_labels_that_differ_only_in_case_are_refused():
    with pytest.raises(ManifestError, match="labels 'Happy' and 'happy' differ only in spelling"):
        Manifest((make_clip("a"), make_clip("b", label="Happy")))


def test_labels_and_subjects_are_sorted_whatever_the_row_order():
    clips = [
        make_clip(str(i), label=label, subject=s)
        for i, (label, s) in enumerate([("sad", "2"), ("angry", "10"), ("sad", "1")])
    ]
    for order in (clips, clips[::-1]):
        manifest = Manifest(tuple(order))
        assert manifest.labels == ("angry", "sad")
        assert manifest.subjects == ("1", "10", "2")


def test_columns_cover_what_any_clip_carries():
    manifest = Manifest((make_clip("a"), make_clip("b", extra={"age": "51"})))
    assert manifest.columns == ("clip_id", "path", "label", "subject", "age")


def test_relative_paths_start_at_the_manifest_file(tmp_path):
    clip = make_clip(path="videos/../a.mp4")
    assert Manifest((clip,), source=tmp_path / "m.csv").resolve(clip) == tmp_path / "a.mp4"
    assert Manifest((clip,)).resolve(clip) == Path.cwd() / "a.mp4"


def test_absolute_paths_stay(tmp_path):
    clip = make_clip(path=str(tmp_path / "a.mp4"))
    assert Manifest((clip,), source=tmp_path / "elsewhere" / "m.csv").absolute(clip) == clip


def test_a_clip_without_path_cannot_be_resolved_but_stays_absolute():
    manifest = Manifest((make_clip(path=""),))
    assert manifest.absolute(manifest.clips[0]).path == ""
    with pytest.raises(ManifestError, match="clip 'a' has no path: this manifest was made for imported features"):
        manifest.resolve(manifest.clips[0])


def test_a_subset_keeps_columns_and_source(tmp_path):
    manifest = Manifest((make_clip("a"), make_clip("b")), source=tmp_path / "m.csv")
    subset = manifest.where(clip for clip in manifest if clip.clip_id == "b")
    assert [clip.clip_id for clip in subset] == ["b"]
    assert subset.source == manifest.source
    assert len(subset) == 1


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("hapy", "label 'hapy' is not one of angry, happy, sad; did you mean 'happy'\\?$"),
        ("Happy", "did you mean 'happy'\\?$"),
        ("zebra", "label 'zebra' is not one of angry, happy, sad$"),
    ],
)
def test_an_unknown_label_is_named_with_the_nearest_known_one(label, message):
    with pytest.raises(ManifestError, match=message):
        check_label(label, ["angry", "happy", "sad"])


def test_a_message_stays_short_and_is_made_at_once_whatever_there_are():
    known = ["a" * 100_000 + str(n) for n in range(2000)]
    with pytest.raises(ManifestError, match=r"is not one of .* and 1,950 more") as caught:
        check_label("a" * 100_000, known)
    assert len(str(caught.value)) < 110_000
