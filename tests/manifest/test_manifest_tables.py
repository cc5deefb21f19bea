"""Tables of clips: what is accepted, what is refused by row, and that writing is all or nothing."""

from __future__ import annotations

import gzip
import os
import stat
import sys
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vjepa_fer.errors import ManifestError, VjepaFerError
from vjepa_fer.judging import read_confusion, read_predictions
from vjepa_fer.manifest import COLUMNS, Clip, Manifest, csv_manifest, read_manifest, read_table, write_manifest
from vjepa_fer.manifest.spelling import canonical, is_missing

ROWS = "clip_id,path,label,subject,age\na,a.mp4,happy,1,51\nb,b.mp4,sad,2,\n"


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="clips.csv"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write_file


EXPECTED = (Clip("a", "a.mp4", "happy", "1", {"age": "51"}), Clip("b", "b.mp4", "sad", "2", {"age": ""}))


@pytest.mark.parametrize(
    "content",
    [
        ROWS,
        ROWS.encode("utf-8-sig"),
        ROWS.replace("\n", "\r\n"),
        ROWS.replace(",", ";"),
        ROWS.replace(",", "\t"),
        ROWS.replace("\n", "\n\n"),
        ROWS.replace(",", " , "),
        ROWS + ",,,,\n",
        '"clip_id","path","label","subject","age"\n"a","a.mp4","happy","1","51"\n"b","b.mp4","sad","2",""',
    ],
    ids=["plain", "BOM", "CRLF", "semicolons", "tabs", "empty lines", "spaces", "empty cells below", "quoted"],
)
def test_the_tables_that_people_have_are_read_alike(write, content):
    manifest = read_manifest(write(content))
    assert manifest.clips == EXPECTED
    assert manifest.columns == ("clip_id", "path", "label", "subject", "age")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "clips.csv: empty file; a table needs a header row"),
        ("\n\n", "clips.csv: empty file"),
        ("clip_id,path,label,subject\n", "clips.csv: no clips in the manifest"),
        (
            "clip_id,path,emotion,subject\na,a.mp4,sad,1",
            "clips.csv: no column 'label'; its columns are clip_id, path, emotion, subject",
        ),
        ("clip_id,path,lable,subject\na,a.mp4,sad,1", "no column 'label'.*did you mean 'lable'"),
        ("clip_id,path,label,subject\na,a.mp4,,1", "clips.csv, row 2: label is empty"),
        ("clip_id,label,subject\na,sad,1\n\nb,sad,\n", "clips.csv, row 4: subject is empty"),
        (
            "clip_id,label,subject\na,sad,1\nb,sad,1\na,sad,2",
            "row 4: clip_id 'a' is already in row 2; .* begin anew with each",
        ),
        ("clip_id,label,subject\na,sad,1\n../b,sad,1", r"clips.csv, row 3: clip_id '../b' is a path"),
        ("clip_id,label,subject\na,sad,1,9", "clips.csv, row 2: 4 values, but the header has 3 columns"),
        ("clip_id,label,subject\na,sad", "clips.csv, row 2: 2 values, but the header has 3 columns"),
        ("clip_id,label,label,subject\na,sad,sad,1", "clips.csv, row 1: column 'label' is there twice"),
        ("clip_id,,label,subject\na,x,sad,1", "clips.csv, row 2: 'x' stands in a column without a name"),
        ("clip_id,label,subject\na,sad,1\n\nclip_id,label,subject\nb,sad,1", "clips.csv, row 4: the header once more"),
        ('clip_id,label,subject\n"a,sad,1\n', "clips.csv: not a readable table .*quotation mark left open"),
        (
            b"clip_id,label,subject\na,sad,1\nb,tr\xe4urig,1\n",
            "clips.csv, row 3: byte 0xe4 is not UTF-8; save the table as 'CSV UTF-8'",
        ),
        (ROWS.encode("utf-16"), "clips.csv, row 1: byte 0xff is not UTF-8"),
        ("clip_id,label,subject\na," + "x" * 200_000 + ",1", "clips.csv: not a readable table .*field larger than"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_file_and_row(write, content, message):
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(content))


def test_an_unknown_label_is_refused_by_row_when_the_labels_are_known(write):
    rows = "".join(f"c{i},happy,1\n" for i in range(15)) + "c15,hapy,1\n"
    with pytest.raises(
        ManifestError, match=r"clips.csv, row 17: label 'hapy' is not one of happy, sad; did you mean 'happy'\?"
    ):
        read_manifest(write("clip_id,label,subject\n" + rows), labels=["happy", "sad"])


def test_a_table_without_paths_is_a_manifest_for_imports(write):
    assert [clip.path for clip in read_manifest(write("clip_id,label,subject\na,sad,1"))] == [""]


def test_a_cell_with_line_breaks_counts_as_one_row(write):
    content = 'clip_id,label,subject,text\na,sad,1,"two\nlines"\nb,,1,x'
    with pytest.raises(ManifestError, match="row 3: label is empty"):
        read_manifest(write(content))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ManifestError, match=r"nothing\.csv: no such file"):
        read_manifest(tmp_path / "nothing.csv")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path)


def test_a_file_too_big_for_a_table_is_refused_unread(write):
    bomb = write(gzip.compress(b"clip_id,label,subject\n" + (b"c,d," + b"e" * 500 + b"\n") * 2**14), "bomb.csv.gz")
    with pytest.raises(
        ManifestError, match=r"bomb.csv.gz: unpacks to over 50 times its size .*; is it the right file\?"
    ):
        read_table(bomb)


def test_a_table_of_any_width_is_read_and_a_column_there_twice_is_named(write):
    wide = ",".join(["clip_id", "label", "subject", *map(str, range(50_000))])
    assert len(read_table(write(f"{wide}\n")).header) == 50_003
    with pytest.raises(ManifestError, match="row 1: column '7' is there twice"):
        read_table(write(f"{wide},7\n"))


def test_a_compressed_table_is_read_and_a_cut_one_refused(write):
    assert read_manifest(write(gzip.compress(ROWS.encode()), "clips.csv.gz")).clips == EXPECTED
    with pytest.raises(ManifestError, match=r"cut.csv.gz: cannot be read"):
        read_manifest(write(gzip.compress(ROWS.encode())[:-9], "cut.csv.gz"))


names = (
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
    .map(str.strip)
    .filter(lambda name: not is_missing(name))
)


def measures(label: str) -> bool:
    """A label that reads as a fraction is refused as a measurement."""
    try:
        return not float(canonical(label).replace(",", ".", 1)).is_integer()
    except (ValueError, OverflowError):
        return False


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    label=names.filter(lambda name: not measures(name)),
    subject=names,
    extra=st.dictionaries(names.filter(lambda n: n not in COLUMNS), names, max_size=3),
)
def test_what_is_written_is_read_back_equal(tmp_path, label, subject, extra):
    manifest = Manifest((Clip("a", "/v/a.mp4", label, subject, extra),))
    write_manifest(manifest, tmp_path / "m.csv", force=True)
    again = read_manifest(tmp_path / "m.csv")
    assert (again.clips, again.columns) == (manifest.clips, manifest.columns)


def test_the_file_is_plain_utf8_with_unix_line_ends(tmp_path):
    write_manifest(Manifest((Clip("a", "ä, b.mp4", "sad", "1"),)), tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_bytes() == 'clip_id,path,label,subject\na,"ä, b.mp4",sad,1\n'.encode()


def test_a_column_name_full_of_semicolons_does_not_change_the_separator(tmp_path):
    manifest = Manifest((Clip("a", "", "sad", "1", {";;;;;;": "x"}),))
    write_manifest(manifest, tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv").clips == manifest.clips


def test_an_existing_file_is_replaced_only_by_force(write, tmp_path):
    file = write("precious")
    manifest = Manifest(EXPECTED)
    with pytest.raises(ManifestError, match=r"clips.csv: is there already; choose another name, or --force"):
        write_manifest(manifest, file)
    assert file.read_text() == "precious"
    write_manifest(manifest, file, force=True)
    assert read_manifest(file).clips == EXPECTED


def test_a_failed_write_leaves_the_old_file_and_no_litter(write, tmp_path, monkeypatch):
    file = write("old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(ManifestError, match=r"clips.csv: cannot be written \(No space left on device\)"):
        write_manifest(Manifest(EXPECTED), file, force=True)
    assert [f.name for f in tmp_path.iterdir()] == ["clips.csv"]
    assert file.read_text() == "old"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_others_may_read_the_file_as_the_umask_says(tmp_path):
    write_manifest(Manifest(EXPECTED), tmp_path / "m.csv")
    (tmp_path / "reference").touch()
    assert stat.S_IMODE((tmp_path / "m.csv").stat().st_mode) == stat.S_IMODE((tmp_path / "reference").stat().st_mode)


def test_relative_paths_keep_pointing_at_the_videos_when_the_table_moves(write, tmp_path):
    manifest = read_manifest(write(ROWS))
    (tmp_path / "sub").mkdir()
    write_manifest(manifest, tmp_path / "sub" / "m.csv")
    write_manifest(manifest, tmp_path / "beside.csv")
    moved = read_manifest(tmp_path / "sub" / "m.csv")
    assert moved.resolve(moved.clips[0]) == tmp_path / "a.mp4"
    assert read_manifest(tmp_path / "beside.csv").clips[0].path == "a.mp4"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ManifestError, match=r"m.csv: cannot be written \(No such file"):
        write_manifest(Manifest(EXPECTED), tmp_path / "nowhere" / "m.csv")


@pytest.mark.parametrize(
    "read", [read_manifest, read_predictions, read_confusion, csv_manifest], ids=lambda read: read.__name__
)
def test_a_table_without_its_columns_is_refused_before_its_rows_are_read(write, read):
    path = write("x\n" * 1_000_000)
    tracemalloc.start()
    with pytest.raises(VjepaFerError, match=r"clips\.csv"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
