"""Promises about what a spreadsheet has beside clips: sums, second headers, marks of footnotes; none of them becomes another figure."""

import pytest

from vjepa_fer.errors import ManifestError, RunError
from vjepa_fer.judging import read_predictions
from vjepa_fer.manifest import csv_manifest

CLASSES = ("angry", "happy", "sad")
CLIPS = "".join(f"c{n},{CLASSES[n % 3]},s{n % 4}\n" for n in range(24))
SAID = "".join(f"c{n},{CLASSES[n % 3]},{CLASSES[n % 2]}\n" for n in range(24))


@pytest.fixture
def write(tmp_path):
    """Write a table; its path."""

    def _write(text):
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        return tmp_path / "t.csv"

    return _write


@pytest.mark.parametrize(
    ("top", "end", "message"),
    [
        ("", "Total,24,24\n", "row 26: 'Total', '24' is no clip but a row about the others; take it out"),
        ("", "Total:,24,24\nMean,0,0\n", "row 27: 'Mean', '0' is no clip"),
        ("", "Gesamt,24,24\n", "row 26: 'Gesamt'"),
        ("(name),(class),(class)\n", "", r"row 2: '\(name\)', '\(class\)' is no clip but a second header"),
        ("Clip,Emotion,Proband\n", "", "row 2: 'Clip', 'Emotion' is no clip but a second header"),
    ],
)
def test_a_row_about_others_is_no_clip(write, top, end, message):
    with pytest.raises(ManifestError, match=message):
        csv_manifest(write(f"clip_id,label,subject\n{top}{CLIPS}{end}"))
    with pytest.raises(RunError, match=message):
        read_predictions(write(f"clip_id,true_label,predicted_label\n{top}{SAID}{end}"))


def test_a_clip_may_be_called_so_where_no_sum_stands(write):
    text = f"clip_id,label,subject\nvideo,happy,s1\ntotal,sad,s2\n{CLIPS}"
    assert len(csv_manifest(write(text))) == 26


@pytest.mark.parametrize("mark", ["*", " †", "¹", "[1]", " (?)", "(a)", ".", "?", " ✗", "**"])
def test_a_mark_at_the_end_makes_no_other_name(write, mark):
    marked = CLIPS.replace("c3,angry", f"c3,angry{mark}")
    with pytest.raises(ManifestError, match=r"labels 'angry' .* differ only in a mark at the end"):
        csv_manifest(write(f"clip_id,label,subject\n{marked}"))
    marked = CLIPS.replace("c3,angry,s3", f"c3,angry,s3{mark}")
    with pytest.raises(ManifestError, match=r"subjects 's3.*' .* differ only in a mark at the end"):
        csv_manifest(write(f"clip_id,label,subject\n{marked}"))
    for row in (f"c3,angry{mark},happy", f"c3,angry,happy{mark}"):
        table = SAID.replace("c3,angry,happy", row)
        with pytest.raises(RunError, match=r"labels .* differ only in a mark at the end"):
            read_predictions(write(f"clip_id,true_label,predicted_label\n{table}"))


@pytest.mark.parametrize("names", [("PA1", "PA2", "PA3"), ("a+", "a", "a-"), ("C", "C#", "D"), ("4", "4+12", "12")])
def test_names_that_end_in_what_they_mean_stay(write, names):
    text = "".join(f"c{n},{names[n % 3]},s{n}\n" for n in range(24))
    assert csv_manifest(write(f"clip_id,label,subject\n{text}")).labels == tuple(sorted(names))


def test_what_is_odd_about_labels_is_said(write):
    text = f"clip_id,label,subject\n{CLIPS}x1,anger,s1\nx2,hapy,s1\n"
    assert csv_manifest(write(text)).notes == (
        "labels angry (8) and anger (1) are words for one class, anger, and count as 2; where they are one, write one word",
        "labels of one clip only: anger (x1), hapy (x2); is each of them a class?",
    )
    assert csv_manifest(write(f"clip_id,label,subject\n{CLIPS}")).notes == ()


@pytest.mark.parametrize(
    ("subjects", "note"),
    [
        (("M", "F"), "subjects are F, M: a sex or a part of a split, and no person?"),
        (("train", "test", "val"), "subjects are test, train, val: a sex or a part of a split"),
        (("97", "Unknown", "127"), "8 clips of subject Unknown count as one person's"),
    ],
)
def test_subjects_that_are_no_persons_are_said(write, subjects, note):
    text = "".join(f"c{n},{CLASSES[n // 8]},{subjects[n % len(subjects)]}\n" for n in range(24))
    (said,) = csv_manifest(write(f"clip_id,label,subject\n{text}")).notes
    assert said.startswith(note)
