"""Eleven further corpora, each with realistic names and its traps."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_manifest_corpora import touch
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest import CORPORA, corpus_manifest


def rows(name, root, *columns):
    """``clip_id label subject`` and further columns of each clip, as lines."""
    return [
        " ".join(clip.value(c) for c in ("clip_id", "label", "subject", *columns))
        for clip in corpus_manifest(name, root)
    ]


def test_an_unknown_corpus_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(ManifestError, match=r"corpus 'cear' is not one of afew, caer, .*; did you mean 'caer'\?"):
        corpus_manifest("cear", tmp_path)


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_a_folder_with_something_else_is_refused(tmp_path, name):
    touch(tmp_path, "holiday/beach.mp4")
    with pytest.raises(ManifestError, match=f"{tmp_path.name}: no .*"):
        corpus_manifest(name, tmp_path)


# corpora whose paths say it


def test_afew_keeps_the_official_split_and_drops_the_unlabelled_test_clips(tmp_path):
    touch(tmp_path, "Train_AFEW/Happy/000149120.avi", "Val_AFEW/Sad/000149120.avi", "Test_AFEW/000000480.avi")
    assert rows("afew", tmp_path, "split") == [
        "Train_Happy_000149120 happy Train_Happy_000149120 train",
        "Val_Sad_000149120 sad Val_Sad_000149120 validation",
    ]
    assert corpus_manifest("afew", tmp_path).notes[:2] == (
        "2 of 1,156 videos found",
        "1 videos are not named as AFEW names them and were left out: 000000480.avi",
    )


def test_caer_names_start_again_in_every_folder(tmp_path):
    touch(tmp_path, *(f"CAER/{s}/{e}/0001.avi" for s in ("train", "validation", "test") for e in ("Anger", "Sad")))
    assert rows("caer", tmp_path, "split")[:2] == [
        "test_Anger_0001 anger test_Anger_0001 test",
        "test_Sad_0001 sad test_Sad_0001 test",
    ]
    assert len(corpus_manifest("caer", tmp_path)) == 6


def test_the_root_may_be_any_folder_of_the_corpus(tmp_path):
    touch(tmp_path, "CAER/train/Anger/0001.avi", "CAER/train/Sad/0001.avi")
    assert rows("caer", tmp_path / "CAER" / "train") == rows("caer", tmp_path)


def test_a_corpus_without_subjects_says_so(tmp_path):
    touch(tmp_path, "CAER/train/Anger/0001.avi")
    assert corpus_manifest("caer", tmp_path).notes[-1].startswith("no subjects known: each clip counts as a subject")


def test_enterface_takes_the_subject_from_the_folder(tmp_path):
    touch(
        tmp_path,
        "subject 1/anger/sentence 1/s1_an_1.avi",
        "subject 3/happiness/sentence 2/s_3_ha_2.avi",
        "subject 11/fear/sentence 3/s12_fe_3.avi",
        "subject 12/fear/sentence 3/s12_fe_3.avi",
        "subject 6/subject 6.avi",
        "subject 6/anger/sentence 1/s6_an_1.avi",
        "subject 16/sadness/sentence 5/s16_sa_5.avi",
    )
    assert rows("enterface05", tmp_path, "sentence") == [
        "subject11_fear_3 fear 11 3",
        "subject12_fear_3 fear 12 3",
        "subject16_sadness_5 sadness 16 5",
        "subject1_anger_1 anger 1 1",
        "subject3_happiness_2 happiness 3 2",
    ]


@pytest.mark.parametrize("separator", ["-", "_", ""])
def test_enterface_folders_without_spaces_are_read_too(tmp_path, separator):
    touch(tmp_path, f"subject{separator}1/anger/sentence{separator}1/s1_an_1.avi")
    assert rows("enterface05", tmp_path) == ["subject1_anger_1 anger 1"]


def test_mead_views_of_one_performance_share_their_recording(tmp_path):
    touch(tmp_path, *(f"M003/video/{view}/angry/level_2/001.mp4" for view in ("front", "left_30", "top")))
    assert rows("mead", tmp_path, "view", "recording") == [
        "M003_front_angry_2_001 angry M003 front M003_angry_2_001",
        "M003_left_30_angry_2_001 angry M003 left_30 M003_angry_2_001",
        "M003_top_angry_2_001 angry M003 top M003_angry_2_001",
    ]


def test_mead_neutral_has_one_level_only(tmp_path):
    touch(tmp_path, "W009/video/front/neutral/level_1/001.mp4", "W009/video/front/neutral/level_2/001.mp4")
    assert rows("mead", tmp_path) == ["W009_front_neutral_1_001 neutral W009"]


def test_oulu_casia_cameras_share_a_recording_and_a_video_counts_before_its_pictures(tmp_path):
    touch(tmp_path, *(f"OriginalImg/{c}/Strong/P001/Anger/{n:03}.jpeg" for c in ("VL", "NI") for n in range(3)))
    touch(tmp_path, "OriginalImg/VL/Strong/P001/Anger.mp4", "OriginalImg/VL/Dark/P080/Surprise/000.jpeg")
    touch(tmp_path, "PreprocessImg/VL/Strong/P001/Anger/000.jpeg")
    assert rows("oulu-casia", tmp_path, "camera", "lighting", "recording") == [
        "P001_NI_Strong_Anger anger P001 ni strong P001_Strong_Anger",
        "P001_VL_Strong_Anger anger P001 vl strong P001_Strong_Anger",
        "P080_VL_Dark_Surprise surprise P080 vl dark P080_Dark_Surprise",
    ]
    manifest = corpus_manifest("oulu-casia", tmp_path)
    assert [Path(clip.path).name for clip in manifest] == ["Anger", "Anger.mp4", "Surprise"]


@pytest.mark.parametrize("layout", ["{}_{}.avi", "AudioVisualClip/{}/{}.avi"])
def test_savee_two_letter_codes_are_not_taken_for_one_letter_ones(tmp_path, layout):
    touch(tmp_path, *(layout.format("DC", code) for code in ("a01", "sa01", "su15", "n30")))
    assert rows("savee", tmp_path) == [
        "DC_a01 anger DC",
        "DC_n30 neutral DC",
        "DC_sa01 sadness DC",
        "DC_su15 surprise DC",
    ]


def test_savee_in_both_layouts_at_once_is_refused(tmp_path):
    touch(tmp_path, "DC_a01.avi", "DC/a01.avi")
    with pytest.raises(ManifestError, match=r"DC_a01 is there twice: .*; name the folder that holds one"):
        corpus_manifest("savee", tmp_path)


# corpora with lists of their own


@pytest.fixture
def dfew(tmp_path):
    """Five clips, one a fold; clip 16372 has no single label and is on no list."""
    for fold in range(1, 6):
        train = "".join(f"{n},{n}\n" for n in range(1, 6) if n != fold)
        touch(
            tmp_path, f"EmoLabel_DataSplit/train(single-labeled)/set_{fold}.csv", content="video_name,label\n" + train
        )
        touch(
            tmp_path,
            f"EmoLabel_DataSplit/test(single-labeled)/set_{fold}.csv",
            content=f"video_name,label\n{fold},{fold}\n",
        )
    return touch(tmp_path, *(f"Clip/jpg_256/{n:05}/00001.jpg" for n in (1, 2, 3, 4, 16372)))


def test_dfew_numbers_become_padded_names_labels_and_folds(dfew):
    manifest = corpus_manifest("dfew", dfew)
    assert rows("dfew", dfew, "fold") == [
        "00001 happy 00001 1",
        "00002 sad 00002 2",
        "00003 neutral 00003 3",
        "00004 angry 00004 4",
    ]
    assert manifest.clips[0].path == str(dfew / "Clip" / "jpg_256" / "00001")
    assert manifest.notes[0] == "4 of 5 listed clips found; missing: 00005"


def test_dfew_videos_count_before_pictures_and_full_frames_before_sampled_ones(dfew):
    touch(dfew, "Clip/original/part_1/1.mp4", "Clip/clip_224x224_16f/00002/00001.jpg")
    paths = [Path(clip.path).relative_to(dfew).as_posix() for clip in corpus_manifest("dfew", dfew)][:2]
    assert paths == ["Clip/original/part_1/1.mp4", "Clip/jpg_256/00002"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2,2", r"set_1.csv, row 2: clip 2 is in the train list of set 1 as well"),
        ("9,8", r"set_1.csv, row 2: label 8 is not one of 1–7"),
        ("9,0", r"set_1.csv, row 2: label 0 is not one of 1–7"),
        ("x,1", r"set_1.csv, row 2: 'x' is not a whole number"),
        (f"{'9' * 5000},1", r"set_1.csv, row 2: '9+' is not a whole number"),
    ],
)
def test_a_damaged_dfew_list_is_refused_by_row(dfew, line, message):
    touch(dfew, "EmoLabel_DataSplit/test(single-labeled)/set_1.csv", content=f"video_name,label\n{line}\n")
    with pytest.raises(ManifestError, match=message):
        corpus_manifest("dfew", dfew)


def test_a_dfew_clip_tested_in_two_folds_is_refused(dfew):
    touch(dfew, "EmoLabel_DataSplit/train(single-labeled)/set_1.csv", content="video_name,label\n9,1\n")
    touch(dfew, "EmoLabel_DataSplit/test(single-labeled)/set_1.csv", content="video_name,label\n1,1\n2,2\n")
    with pytest.raises(ManifestError, match="DFEW clip 00002 is listed twice"):
        corpus_manifest("dfew", dfew)


def test_a_missing_or_doubled_list_is_named(dfew):
    touch(dfew, "copy/EmoLabel_DataSplit/test(single-labeled)/set_2.csv", content="video_name,label\n2,2\n")
    with pytest.raises(ManifestError, match=r"two lists …/test\(single-labeled\)/set_2.csv: "):
        corpus_manifest("dfew", dfew)
    (dfew / "EmoLabel_DataSplit/train(single-labeled)/set_1.csv").unlink()
    with pytest.raises(ManifestError, match=r"no list …/train\(single-labeled\)/set_1.csv in it"):
        corpus_manifest("dfew", dfew)


@pytest.fixture
def mafw(tmp_path):
    lists = "Train & Test Set/single/no_caption"
    for fold, label in enumerate(("anger", "fear", "contempt", "anxiety", "disappointment"), start=1):
        touch(tmp_path, f"{lists}/set_{fold}/test.txt", content=f"{fold:05}.mp4 {label}\n")
        touch(tmp_path, f"{lists}/set_{fold}/train.txt", content="09999.mp4 neutral\n")
    return touch(tmp_path, *(f"data/clips/{n:05}.mp4" for n in range(1, 6)), "data/frames/00001/00001.png")


def test_mafw_lists_give_words_and_folds(mafw):
    assert rows("mafw", mafw, "fold")[2:4] == ["00003 contempt 00003 3", "00004 anxiety 00004 4"]
    assert len(corpus_manifest("mafw", mafw).notes) == 1


def test_an_unknown_mafw_label_is_refused_by_row(mafw):
    touch(mafw, "Train & Test Set/single/no_caption/set_1/test.txt", content="00001.mp4 happines\n")
    with pytest.raises(
        ManifestError, match=r"test.txt, row 1: label 'happines' is not one of .*did you mean 'happiness'\?"
    ):
        corpus_manifest("mafw", mafw)


@pytest.fixture
def ferv39k(tmp_path):
    touch(tmp_path, "4_setups/All_scenes/train_All.csv", content="Action/Happy/0267 Happy\nCrisis/Happy/0267 Happy\n")
    touch(tmp_path, "4_setups/All_scenes/test_All.csv", content="Action/Sad/0267 Sad\n")
    return touch(
        tmp_path, *(f"2_ClipsforFaceCrop/{c}/0267/00001.jpg" for c in ("Action/Happy", "Crisis/Happy", "Action/Sad"))
    )


def test_ferv39k_numbers_repeat_across_scenes_and_labels(ferv39k):
    assert rows("ferv39k", ferv39k, "split", "scene") == [
        "Action_Happy_0267 happy Action_Happy_0267 train action",
        "Action_Sad_0267 sad Action_Sad_0267 test action",
        "Crisis_Happy_0267 happy Crisis_Happy_0267 train crisis",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Action/Sad/0267 Happy", r"row 1: 'Action/Sad/0267' labelled 'Happy'; expected Scene/Happy/NNNN"),
        ("Sad/0267 Sad", r"row 1: 'Sad/0267' labelled 'Sad'; expected Scene/Sad/NNNN"),
        ("Action/Sad/0267", r"row 1: 'Action/Sad/0267' is not a name and a label"),
        ("../../evil/Sad/0267 Sad", r"row 1: .* expected Scene/Sad/NNNN"),
    ],
)
def test_a_damaged_ferv39k_list_is_refused_by_row(ferv39k, line, message):
    touch(ferv39k, "4_setups/All_scenes/test_All.csv", content=line + "\n")
    with pytest.raises(ManifestError, match=message):
        corpus_manifest("ferv39k", ferv39k)


@pytest.fixture
def meld(tmp_path):
    head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
    for short, speaker in (("train", "Chandler"), ("dev", "Joey"), ("test", "Mark")):
        touch(tmp_path, f"{short}_sent_emo.csv", content=head + f'1,"Why, oh why?",{speaker},joy,positive,0,0\n')
    return touch(
        tmp_path,
        "train/train_splits/dia0_utt0.mp4",
        "dev/dev_splits_complete/dia0_utt0.mp4",
        "test/output_repeated_splits_test/dia0_utt0.mp4",
        "test/output_repeated_splits_test/final_videos_testdia0_utt0.mp4",
        "test/output_repeated_splits_test/._dia0_utt0.mp4",
        "train_sent_emo_dya.csv",
    )


def test_meld_names_repeat_across_splits_and_speakers_are_the_subjects(meld):
    assert rows("meld", meld, "split", "sentiment", "dialogue") == [
        "test_dia0_utt0 joy Mark test positive test_0",
        "train_dia0_utt0 joy Chandler train positive train_0",
        "validation_dia0_utt0 joy Joey validation positive validation_0",
    ]
    paths = [Path(clip.path).relative_to(meld).as_posix() for clip in corpus_manifest("meld", meld)]
    assert paths[0] == "test/output_repeated_splits_test/dia0_utt0.mp4"


def test_a_meld_list_without_speakers_is_refused(meld):
    touch(meld, "dev_sent_emo.csv", content="Emotion,Sentiment,Dialogue_ID,Utterance_ID\njoy,positive,0,0\n")
    with pytest.raises(ManifestError, match=r"dev_sent_emo.csv: no column 'Speaker'"):
        corpus_manifest("meld", meld)


@pytest.fixture
def ck_plus(tmp_path):
    """Two labelled sequences, one of them beside an unlabelled one whose emotion folder is empty."""
    for sequence in ("S005/001", "S010/002", "S010/003"):
        touch(tmp_path, f"cohn-kanade-images/{sequence}/{sequence.replace('/', '_')}_00000001.png")
        (tmp_path / "Emotion" / sequence).mkdir(parents=True)
    touch(tmp_path, "Emotion/S005/001/S005_001_00000011_emotion.txt", content="   3.0000000e+00\n")
    touch(tmp_path, "Emotion/S010/002/S010_002_00000014_emotion.txt", content="   7.0000000e+00\n")
    return touch(tmp_path, "cohn-kanade-images/S010/.DS_Store", "Landmarks/S005/001/S005_001_00000001_landmarks.txt")


def test_ck_plus_takes_the_labelled_sequences_only(ck_plus):
    assert rows("ck+", ck_plus) == ["S005_001 disgust S005", "S010_002 surprise S010"]
    assert corpus_manifest("ck+", ck_plus).clips[0].path == str(ck_plus / "cohn-kanade-images" / "S005" / "001")


@pytest.mark.parametrize("content", ["", "0.0000000e+00", "8", "nan", "3e+99999", "three"])
def test_a_ck_plus_label_out_of_range_is_refused(ck_plus, content):
    touch(ck_plus, "Emotion/S005/001/S005_001_00000011_emotion.txt", content=content)
    with pytest.raises(ManifestError, match=r"_emotion.txt: .* is not a number from 1 to 7"):
        corpus_manifest("ck+", ck_plus)


def test_lists_without_any_clip_are_refused(meld):
    for video in meld.rglob("*.mp4"):
        video.unlink()
    with pytest.raises(ManifestError, match=r"none of 3 listed MELD clips is in it, such as train_splits/dia0_utt0"):
        corpus_manifest("meld", meld)
