"""Downloads of RAVDESS and CREMA-D, class folders and foreign tables become manifests that say what is missing."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path

import pytest

from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest import (
    crema_d_clips,
    crema_d_manifest,
    csv_manifest,
    folder_manifest,
    ravdess_clips,
    ravdess_manifest,
)

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:10dc3f\nsize 265922\n"


def touch(root: Path, *names: str, content: str = "video") -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


@pytest.fixture(scope="module")
def ravdess(tmp_path_factory):
    """The whole download, every file a few bytes: 4,904 videos as the zips unpack, and an audio folder."""
    root = tmp_path_factory.mktemp("RAVDESS")
    for clip in ravdess_clips(channels=("speech", "song"), modalities=(1, 2)):
        touch(root, f"Video_{clip.extra['channel'].title()}_Actor_{clip.subject}/{clip.path}")
    return touch(root, "Audio_Speech_Actors_01-24/Actor_01/03-01-01-01-01-01-01.wav")


# RAVDESS


def test_the_default_is_the_1440_spoken_videos_with_sound(ravdess):
    manifest = ravdess_manifest(ravdess)
    assert len(manifest) == 1440
    assert manifest.notes == ()
    assert manifest.subjects == tuple(f"{actor:02}" for actor in range(1, 25))
    assert Counter(clip.label for clip in manifest) == dict.fromkeys(manifest.labels, 192) | {"neutral": 96}
    assert all(Path(clip.path).is_file() and Path(clip.path).is_absolute() for clip in manifest)


@pytest.mark.parametrize(
    ("channels", "modalities", "count"),
    [(["speech"], [1, 2], 2880), (["song"], [1], 1012), (["song"], [2], 1012), (["speech", "song"], [1, 2], 4904)],
)
def test_song_and_video_only_can_be_asked_for(ravdess, channels, modalities, count):
    manifest = ravdess_manifest(ravdess, channels=channels, modalities=modalities)
    assert (len(manifest), manifest.notes) == (count, ())


def test_the_rule_gives_exactly_the_published_names():
    if not SHARED.is_dir():
        pytest.skip("the published list of names is not carried")
    assert [clip.clip_id for clip in ravdess_clips()] == (SHARED / "ravdess/speech_video_names.csv").read_text().split()


def test_every_factor_is_read_from_the_name():
    clips = {clip.clip_id: clip for clip in ravdess_clips(channels=["song"], modalities=[2])}
    clip = clips["02-02-06-02-01-02-12"]
    assert (clip.label, clip.subject) == ("fearful", "12")
    assert clip.extra == {
        "modality": "video-only",
        "channel": "song",
        "intensity": "strong",
        "statement": "kids",
        "repetition": "2",
        "sex": "female",
        "recording": "02-06-02-01-02-12",
    }


def test_twins_with_and_without_sound_share_their_recording():
    recordings = Counter(clip.extra["recording"] for clip in ravdess_clips(modalities=[1, 2]))
    assert set(recordings.values()) == {2}


def test_an_incomplete_download_says_what_is_missing(tmp_path):
    names = [clip.path for clip in ravdess_clips() if clip.subject != "18"]
    touch(tmp_path, *names[2:])
    assert ravdess_manifest(tmp_path).notes == (
        "1,378 of 1,440 videos found: Actor_18 missing; "
        "2 single videos missing (01-01-01-01-01-01-01, 01-01-01-01-01-01-02)",
    )


def test_a_flat_folder_and_other_suffixes_will_do(tmp_path):
    touch(tmp_path, "01-01-03-01-01-01-01.MP4", "01-01-03-01-01-01-02.avi")
    assert len(ravdess_manifest(tmp_path)) == 2


def test_foreign_names_are_counted_and_hidden_files_ignored(tmp_path):
    touch(tmp_path, "01-01-03-01-01-01-01.mp4", "01-01-09-01-01-01-01.mp4", "01-01-03-01-01-01-25.mp4", "holiday.mp4")
    touch(tmp_path, "._01-01-03-01-01-01-01.mp4", "__MACOSX/01-01-03-01-01-01-01.mp4", ".git/01-01-03-01-01-01-02.mp4")
    manifest = ravdess_manifest(tmp_path)
    assert len(manifest) == 1
    assert manifest.notes[1] == (
        "3 videos are not named as RAVDESS names them and were left out: "
        "01-01-03-01-01-01-25.mp4, 01-01-09-01-01-01-01.mp4, holiday.mp4"
    )


def test_one_name_in_two_places_is_refused(tmp_path):
    touch(tmp_path, "Actor_01/01-01-03-01-01-01-01.mp4", "faces/01-01-03-01-01-01-01.mp4")
    with pytest.raises(
        ManifestError, match=r"01-01-03-01-01-01-01 is there twice: .*Actor_01.* and .*faces.*; name the folder"
    ):
        ravdess_manifest(tmp_path)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"modalities": [3]}, "modality 3 is not one of 1 .with sound., 2 .video-only.; 3 is audio"),
        ({"channels": ["sung"]}, "channel 'sung' is not one of speech, song"),
        ({"channels": []}, "no RAVDESS channel or no modality asked for"),
    ],
)
def test_a_choice_that_there_is_not_is_refused(tmp_path, choice, message):
    with pytest.raises(ManifestError, match=message):
        ravdess_manifest(tmp_path, **choice)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no video files in it; it is empty"),
        (
            ["Video_Speech_Actor_01.zip", "b.zip", "x.txt"],
            "no video files in it, but 2 .zip, 1 .txt; unpack the archives first",
        ),
        (["03-01-01-01-01-01-01.wav"], "no video files in it, but 1 .wav"),
        (
            ["a.mp4"],
            r"no RAVDESS speech videos of modality 1 \(named 01-01-03-01-01-01-01.mp4\); the videos there are named a.mp4",
        ),
        (["02-01-03-01-01-01-01.mp4"], r"the videos there are named 02-01-03-01-01-01-01.mp4"),
    ],
)
def test_nothing_found_says_what_was_looked_for_and_what_is_there(tmp_path, names, message):
    touch(tmp_path, *names)
    with pytest.raises(ManifestError, match=message):
        ravdess_manifest(tmp_path)


def test_a_folder_that_is_not_one_is_refused(tmp_path):
    touch(tmp_path, "file")
    with pytest.raises(ManifestError, match="nowhere: no such folder"):
        ravdess_manifest(tmp_path / "nowhere")
    with pytest.raises(ManifestError, match="file: not a folder"):
        ravdess_manifest(tmp_path / "file")


def test_links_are_followed_but_not_round_in_circles(tmp_path):
    touch(tmp_path / "disk", "01-01-03-01-01-01-01.mp4")
    (tmp_path / "data").mkdir()
    try:
        (tmp_path / "data" / "Actor_01").symlink_to(tmp_path / "disk")
        (tmp_path / "disk" / "up").symlink_to(tmp_path / "data")
    except OSError:
        pytest.skip("no links on this system")
    assert len(ravdess_manifest(tmp_path / "data")) == 1


# CREMA-D


def test_the_shipped_list_has_all_7442_clips_of_91_actors():
    manifest = crema_d_clips()
    assert len(manifest) == 7442
    assert manifest.subjects == tuple(str(actor) for actor in range(1001, 1092))
    assert Counter(clip.label for clip in manifest) == dict.fromkeys(manifest.labels, 1271) | {"neutral": 1087}
    assert Counter(clip.extra["intensity"] for clip in manifest) == {
        "unspecified": 6077,
        "low": 455,
        "medium": 455,
        "high": 455,
    }
    assert Counter(clip.extra["sentence"] for clip in manifest)["IEO"] == 1456


def test_the_shipped_demographics_are_the_published_ones():
    actors = {clip.subject: clip.extra for clip in crema_d_clips()}.values()
    assert Counter(a["sex"] for a in actors) == {"male": 48, "female": 43}
    assert Counter(a["race"] for a in actors) == {"caucasian": 61, "african american": 22, "asian": 7, "unknown": 1}
    assert Counter(a["ethnicity"] for a in actors) == {"not hispanic": 81, "hispanic": 10}
    assert {min(int(a["age"]) for a in actors), max(int(a["age"]) for a in actors)} == {20, 74}


def test_the_shipped_votes_agree_with_the_official_summary_of_face_votes():
    """Ties and agreement with the intended label as counted in the official summary table: 470 ties, 70.73 % of the rest."""
    emotions = crema_d_clips().labels
    winners = []
    for clip in crema_d_clips():
        counts = [int(clip.extra[f"face_{emotion}"]) for emotion in emotions]
        best = [emotion for emotion, n in zip(emotions, counts, strict=True) if n == max(counts)]
        winners.append((clip.label, best))
    unique = [(label, best[0]) for label, best in winners if len(best) == 1]
    assert len(winners) - len(unique) == 470
    assert f"{100 * sum(label == best for label, best in unique) / len(unique):.2f}" == "70.73"


def test_five_clips_are_flagged_as_damaged():
    assert {clip.clip_id for clip in crema_d_clips() if clip.extra["damaged"]} == {
        "1076_MTI_NEU_XX",
        "1076_MTI_SAD_XX",
        "1064_TIE_SAD_XX",
        "1064_IEO_DIS_MD",
        "1040_ITH_SAD_XX",
    }


def test_the_shipped_table_is_what_its_script_makes_of_the_official_lists(tmp_path):
    if not SHARED.is_dir():
        pytest.skip("the official lists are not carried")
    import runpy

    import vjepa_fer.data_manifests as shipped

    folder = Path(shipped.__file__).parent
    runpy.run_path(str(folder / "make_crema_d.py"))["main"](SHARED / "crema_d", tmp_path / "crema_d.csv.gz")
    made, carried = (gzip.decompress((place / "crema_d.csv.gz").read_bytes()) for place in (tmp_path, folder))
    assert made == carried  # packed by whichever zlib Python has


def test_a_complete_crema_d_clone_gives_every_clip_with_its_own_file(tmp_path):
    touch(tmp_path, *(clip.path for clip in crema_d_clips()), "AudioWAV/1001_DFA_ANG_XX.wav", "VideoDemographics.csv")
    manifest = crema_d_manifest(tmp_path)
    assert (len(manifest), manifest.notes) == (7442, ())
    assert manifest.clips[0].path == str(tmp_path / "VideoFlash" / "1001_DFA_ANG_XX.flv")
    assert manifest.clips[0].extra["age"] == "51"


def test_a_partial_crema_d_says_which_actors_and_files_are_missing(tmp_path):
    touch(
        tmp_path,
        *(f"{c.clip_id}.mp4" for c in crema_d_clips() if c.subject not in ("1003", "1005")),
        "1015_XXX_ANG_XX.mp4",
    )
    (tmp_path / "1001_DFA_ANG_XX.mp4").unlink()
    assert crema_d_manifest(tmp_path).notes == (
        "7,277 of 7,442 videos found: actor 1003, actor 1005 missing; 1 single videos missing (1001_DFA_ANG_XX)",
        "1 videos are not named as in CREMA-D's official list and were left out: 1015_XXX_ANG_XX.mp4",
    )


def test_pointer_stubs_empty_files_and_dead_links_are_said(tmp_path):
    touch(tmp_path, "1001_DFA_ANG_XX.flv", "1001_DFA_DIS_XX.flv", content=LFS_POINTER)
    touch(tmp_path, "1001_DFA_FEA_XX.flv", content="")
    touch(tmp_path, "1001_DFA_HAP_XX.flv")
    notes = crema_d_manifest(tmp_path).notes
    assert notes[1].startswith("2 of 4 files are Git-LFS pointer stubs, not videos: run `git lfs pull`")
    assert notes[2] == "1 files are empty (0 bytes): 1001_DFA_FEA_XX.flv"


def test_an_original_beside_its_converted_copy_is_refused(tmp_path):
    touch(tmp_path, "VideoFlash/1001_DFA_ANG_XX.flv", "mp4/1001_DFA_ANG_XX.mp4")
    with pytest.raises(ManifestError, match="1001_DFA_ANG_XX is there twice"):
        crema_d_manifest(tmp_path)


def test_a_folder_without_crema_d_is_refused(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    with pytest.raises(
        ManifestError, match=r"no CREMA-D videos .*; the videos there are named a.mp4, b.mp4, c.mp4 and 1 more"
    ):
        crema_d_manifest(tmp_path)


# folders and tables


def test_class_folders_give_labels_and_warn_of_unknown_subjects(tmp_path):
    touch(tmp_path, "happy/1.mp4", "sad/x/1.mp4", "stray.mp4", "happy/notes.txt")
    manifest = folder_manifest(tmp_path)
    assert [(c.clip_id, c.label, c.subject) for c in manifest] == [
        ("happy__1", "happy", "happy__1"),
        ("sad__x__1", "sad", "sad__x__1"),
    ]
    assert manifest.notes[0] == "1 videos do not match the pattern and were left out: stray.mp4"
    assert manifest.notes[1].startswith("no subjects known: each clip counts as a subject of its own")


def test_a_pattern_names_subject_label_and_further_columns(tmp_path):
    touch(tmp_path, "anna/happy_3.mp4", "ben/sad_1.mp4")
    manifest = folder_manifest(tmp_path, pattern=r"(?P<subject>\w+)/(?P<label>[a-z]+)_(?P<take>\d+)\.mp4")
    assert [(c.subject, c.label, c.extra["take"]) for c in manifest] == [("anna", "happy", "3"), ("ben", "sad", "1")]
    assert manifest.notes == ()


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is not a regular expression: missing"),
        (".*", r"has no group \(\?P<label>"),
        ("(?P<label>.*)(?P<path>)", "the path is known already"),
        (r"(?P<label>\d+)\.mp4", "no videos whose relative path matches .*; the videos there are named 1.mp4"),
        ("(?P<label>x?)happy/1.mp4", "label is empty"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused(tmp_path, pattern, message):
    touch(tmp_path, "happy/1.mp4")
    with pytest.raises(ManifestError, match=message):
        folder_manifest(tmp_path, pattern=pattern)


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "list.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream, delimiter=";").writerows(
            [["file", "emotion", "speaker"], ["v/a.mp4", "sad", "1"], ["v/b.mp4", "happy", "2"]]
        )
    return file


OURS = {"path": "file", "label": "emotion", "subject": "speaker"}


def test_a_foreign_table_is_read_by_naming_its_columns(table, tmp_path):
    manifest = csv_manifest(table, columns=OURS)
    assert [(c.clip_id, c.path, c.label, c.subject) for c in manifest] == [
        ("a", "v/a.mp4", "sad", "1"),
        ("b", "v/b.mp4", "happy", "2"),
    ]
    assert manifest.resolve(manifest.clips[0]) == tmp_path / "v" / "a.mp4"


def test_relative_paths_of_a_foreign_table_can_start_elsewhere(table, tmp_path):
    (tmp_path / "disk").mkdir()
    manifest = csv_manifest(table, columns=OURS, root=tmp_path / "disk")
    assert manifest.clips[0].path == str(tmp_path / "disk" / "v" / "a.mp4")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": "emotions"}, "no column 'emotions'; its columns are file, emotion, speaker; did you mean 'emotion'"),
        ({"label": "emotion", "subject": "emotion"}, "one column cannot have two names"),
        ({"file": "speaker"}, "cannot call 'speaker' 'file': it has a column 'file' already"),
        ({"label": "emotion", "subject": "speaker"}, "no column 'path'"),
    ],
)
def test_columns_that_cannot_be_renamed_are_refused(table, columns, message):
    with pytest.raises(ManifestError, match=message):
        csv_manifest(table, columns=columns)
