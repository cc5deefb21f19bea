"""Features of other programs become a cache, and a table that is not one is refused by row and column."""

from __future__ import annotations

import numpy as np
import pytest

from caches import small_manifest
from tables import call
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.frame_tables import read_frame_tables
from vjepa_fer.cache.import_arrays import read_feature_table
from vjepa_fer.cache.imports import import_features
from vjepa_fer.errors import CacheError, RecipeMismatchError
from vjepa_fer.manifest import csv_manifest, write_manifest


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_becomes_a_cache(tmp_path, delimiter):
    rows = ["name,AU1,AU2,speech", *(f"c{i},{i}.5,{-i},7" for i in (3, 0, 1, 2, 4, 5))]
    path = write(tmp_path / "au.csv", "\n".join(rows).replace(",", delimiter) + "\n")
    table = read_feature_csv(path, id_column="name", columns=["AU*"])
    cache, surplus = import_features(table, tmp_path / "cache", small_manifest())
    x, _, _, clip_ids = cache.features("mean")
    np.testing.assert_array_equal(x, [[i + 0.5, -i] for i in range(6)])
    assert list(clip_ids) == [f"c{i}" for i in range(6)]
    assert surplus == ()
    assert cache.recipe.kind == "imported"
    assert cache.recipe.columns == ("AU1", "AU2")


def test_clips_and_rows_without_a_partner_are_said(tmp_path):
    path = write(tmp_path / "au.csv", "name,a\nc0,1\nc9,2\n")
    table = read_feature_csv(path, id_column="name", columns=["*"])
    cache, surplus = import_features(table, tmp_path / "cache", small_manifest(2))
    assert surplus == ("c9",)
    assert cache.failures["c1"].reason == "missing"


def test_importing_again_adds_nothing_and_another_file_is_refused(tmp_path):
    path = write(tmp_path / "au.csv", "name,a\nc0,1\nc1,2\n")
    table = read_feature_csv(path, id_column="name", columns=["a"])
    import_features(table, tmp_path / "cache", small_manifest(2))
    import_features(table, tmp_path / "cache", small_manifest(2))
    assert len(list((tmp_path / "cache" / "shards").iterdir())) == 1
    other = read_feature_csv(write(tmp_path / "au.csv", "name,a\nc0,1\nc1,3\n"), id_column="name", columns=["a"])
    with pytest.raises(RecipeMismatchError, match="source_sha256"):
        import_features(other, tmp_path / "cache", small_manifest(2))
    assert open_cache(tmp_path / "cache").features().X[1, 0] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty; expected a header"),
        ("name,a\n", "only a header"),
        ("id,a\nc0,1\n", "no column 'name'; the columns are id, a"),
        ("name,b\nc0,1\n", "no column matches 'a'"),
        ("name,a\nc0,1\nc1\n", "row 3: 1 values, the header has 2"),
        ("name,a\nc0,one\n", "row 2: column a holds 'one', expected a finite number"),
        ("name,a\nc0,nan\n", "row 2: column a holds 'nan'"),
        ("name,a\nc0,1e99\n", "row 2: column a holds '1e99'"),
        ("name,a\nc0,1\nc0,2\n", "the id 'c0' stands twice"),
        ("name,a\nx0,1\n", "none of its 1 ids is a clip of the manifest: 'x0' in the table, 'c0' in the manifest"),
    ],
)
def test_a_table_that_is_none_is_refused_with_row_and_column(tmp_path, text, message):
    path = write(tmp_path / "au.csv", text)
    with pytest.raises(CacheError, match=message):
        import_features(read_feature_csv(path, id_column="name", columns=["a"]), tmp_path / "c", small_manifest())


def test_text_that_is_not_utf8_is_said(tmp_path):
    (tmp_path / "au.csv").write_bytes(b"name,a\nc\xff,1\n")
    with pytest.raises(CacheError, match="not UTF-8"):
        read_feature_csv(tmp_path / "au.csv", id_column="name", columns=["a"])


def test_tables_as_other_programs_write_them_are_understood(tmp_path):
    text = 'frame, clip_id, AU01_r, note\r\n1, c0, 0.5,"two\nlines"\r\n2, c1, 1,x\r\n'
    table = read_feature_csv(write(tmp_path / "openface.csv", text), id_column="clip_id", columns=["AU*"])
    assert (table.ids, table.columns, table.values.tolist()) == (("c0", "c1"), ("AU01_r",), [[0.5], [1.0]])
    with pytest.raises(CacheError, match="holds '1,500', expected a finite number; write decimals with a point"):
        read_feature_csv(write(tmp_path / "de.csv", "clip_id;f\nc0;1,500\n"), id_column="clip_id", columns=["f"])
    decimal = read_feature_csv(write(tmp_path / "de.csv", "clip_id;f\nc0;1,5\n"), id_column="clip_id", columns=["f"])
    assert decimal.values.tolist() == [[1.5]]


def test_a_wild_card_takes_no_column_of_the_manifest(tmp_path):
    path = write(tmp_path / "x.csv", "clip_id,label,subject,a,b\nc0,sad,s0,1,2\n")
    assert read_feature_csv(path, id_column="clip_id", columns=["*"]).columns == ("a", "b")
    path = write(tmp_path / "y.csv", "clip_id,label\nc0,3\n")
    assert read_feature_csv(path, id_column="clip_id", columns=["label"]).values.tolist() == [[3]]
    with pytest.raises(CacheError, match="no feature column; the columns are clip_id, label"):
        read_feature_csv(path, id_column="clip_id", columns=["*"])


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("True", "write 1 and 0"),
        ("n/a", "take the clip out, fill the cell in"),
        ('"1,234.5"', "write thousands without a comma"),
        ("happy", "if the column is no feature, leave it out by --columns"),
        ("0 days 00:00:00.01", "if it is a time, .* where each row is a frame, call it timestamp"),
    ],
)
def test_a_cell_that_is_no_number_says_what_to_do(tmp_path, cell, advice):
    (tmp_path / "f.csv").write_text(f"clip_id,a,b\nc0,1,2\nc1,{cell},2\n", encoding="utf-8")
    with pytest.raises(CacheError, match=f"row 3: column a holds .* expected a finite number; {advice}"):
        read_feature_csv(tmp_path / "f.csv", id_column="clip_id", columns=["*"])


def test_separators_at_the_end_of_every_line_are_no_column(tmp_path):
    (tmp_path / "f.csv").write_text("clip_id;a;;\nc0;1,5;;\nc1;2,5;;\n".replace(",", "."), encoding="utf-8")
    table = read_feature_csv(tmp_path / "f.csv", id_column="clip_id", columns=["*"])
    assert (table.columns, table.values.tolist()) == (("a",), [[1.5], [2.5]])
    (tmp_path / "g.csv").write_text("clip_id,a,\nc0,1,\nc1,2,9\n", encoding="utf-8")
    with pytest.raises(CacheError, match="row 3: '9' stands in a column without a name"):
        read_feature_csv(tmp_path / "g.csv", id_column="clip_id", columns=["*"])


def test_a_table_parted_by_other_marks_says_what_is_expected(tmp_path):
    (tmp_path / "f.csv").write_text("clip_id|a\nc0|1\n", encoding="utf-8")
    with pytest.raises(
        CacheError, match=r"no column 'clip_id'.* expected commas, semicolons or tabs, and the header first"
    ):
        read_feature_csv(tmp_path / "f.csv", id_column="clip_id", columns=["*"])


@pytest.mark.parametrize("name", ["/data/wav/{}.wav", "{}.mp4", "C:\\v\\{}.avi"])
def test_a_path_of_a_clips_file_is_that_clip(tmp_path, name):
    """As opensmile, timm and DeepFace write them."""
    rows = "".join(f"{name.format(f'c{n}')},0 days,{n}.5\n" for n in range(3))
    path = write(tmp_path / "f.csv", f"file,start,a\n{rows}")
    table = read_feature_csv(path, id_column="file", columns=["a"])
    cache, surplus = import_features(table, tmp_path / "cache", small_manifest(3))
    assert (list(cache.features().clip_ids), surplus) == (["c0", "c1", "c2"], ())
    twice = read_feature_csv(write(path, "file,a\nx/c0.wav,1\ny/c0.wav,2\n"), id_column="file", columns=["a"])
    with pytest.raises(CacheError, match=r"'x/c0.wav' .*row 2. and 'y/c0.wav' .*row 3. are one clip"):
        import_features(twice, tmp_path / "other", small_manifest(3))


def test_a_row_of_units_is_told_so(tmp_path):
    path = write(tmp_path / "f.csv", "clip_id,pitch\n,deg\nc0,1.5\n")
    with pytest.raises(CacheError, match="row 2: clip_id is empty; a row of units, a second line of names or a sum"):
        read_feature_csv(path, id_column="clip_id", columns=["*"])


def test_what_columns_are_is_said_of_the_clips_that_are_meant(tmp_path):
    """The report looked the ids up as the file spells them, found no clip, and called the label a feature."""
    manifest = small_manifest(12)
    rows = "".join(
        f"'{clip.clip_id}',{n % 5}.{n},{manifest.labels.index(clip.label)}\n" for n, clip in enumerate(manifest)
    )
    path = write(tmp_path / "f.csv", f"clip_id,a,code\n{rows}")
    write_manifest(manifest, tmp_path / "m.csv")
    said = call("cache", "import", path, tmp_path / "cache", "-m", tmp_path / "m.csv", "--unify-names").stderr
    assert "left out (1): code (equals the label)" in said
    assert open_cache(tmp_path / "cache").recipe.columns == ("a",)


def test_a_point_that_may_part_thousands_is_asked_about(tmp_path):
    """Half of the world writes 1.037 for 1,037: of a column of milliseconds those above a thousand became one and a bit."""

    def read(*cells):
        rows = "".join(f"c{n};{cell}\n" for n, cell in enumerate(cells))
        return read_feature_csv(write(tmp_path / "f.csv", f"clip_id;ms\n{rows}"), id_column="clip_id", columns=["*"])

    with pytest.raises(CacheError, match=r"row 3: column ms holds '1.037' beside whole numbers below a thousand"):
        read("990", "1.037", "12", "2.250")
    for honest in (["1.037", "0.990", "12"], ["1.037", "2.25", "3"], ["1.037", "2.250", "3.000"], ["7", "1042", "3"]):
        assert read(*honest).values[:, 0].tolist() == pytest.approx([float(cell) for cell in honest])


def test_separators_in_names_in_quotation_marks_part_nothing(tmp_path):
    path = write(tmp_path / "f.csv", 'video;"age, in years, at day, of take";a\nc0;21;1,5\n')
    table = read_feature_csv(path, id_column="video", columns=["a"])
    assert table.values.tolist() == [[1.5]]
    manifest = csv_manifest(
        write(tmp_path / "m.csv", 'video;emotion;"a, b, c, d"\nc0;sad;x\n'),
        columns={"clip_id": "video", "label": "emotion"},
    )
    assert manifest.columns[-1] == "a, b, c, d"


def test_what_names_arrays_and_frames_columns_is_said_where_a_guess_fails(tmp_path):
    """Of a dump that holds features, labels and names of files; and of a folder of FaceReader's texts."""
    np.savez(tmp_path / "x.npz", features=np.ones((2, 3)), labels=np.array(["sad", "happy"]))
    with pytest.raises(CacheError, match=r"clip labels: .* --values names it and --id-column that of the ids"):
        read_feature_table(tmp_path / "x.npz")
    (tmp_path / "log").mkdir()
    write(tmp_path / "log" / "c0.txt", "Video Time\tHappy\n00:00:00.000\t1\n")
    with pytest.raises(CacheError, match=r"no file \*.npy in this folder, and no table \(.csv, .tsv\)"):
        read_feature_table(tmp_path / "log", values="*.npy")
    write(tmp_path / "c0.csv", "Video analysis detailed log\t\nclock\tHappy\n0\t1\n")
    with pytest.raises(
        CacheError, match=r"call the one that says when each frame is timestamp, and take lines above the header out"
    ):
        read_frame_tables(tmp_path / "c0.csv", id_column="Video analysis detailed log")
