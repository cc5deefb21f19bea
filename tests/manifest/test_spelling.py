"""Promises about names: what is one name spelled twice is refused with both spellings, or united on request; never counted as two."""

import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, recall_score

from test_cli_probe import call_json
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.asked import add_manifest, unite_manifests
from vjepa_fer.cache.choosing import chosen
from vjepa_fer.cache.import_arrays import read_feature_table
from vjepa_fer.cache.imports import FeatureTable, import_features
from vjepa_fer.cache.layout import MANIFEST_PIECES
from vjepa_fer.cache.pieces import add_piece
from vjepa_fer.errors import CacheError, ManifestError, RunError
from vjepa_fer.evaluation.votes import find_votes
from vjepa_fer.features import join
from vjepa_fer.folds import Split, find_leaks, identities
from vjepa_fer.judging import compare_predictions, group_clips, read_confusion, read_predictions
from vjepa_fer.manifest import (
    Clip,
    Manifest,
    canonical,
    common_names,
    csv_manifest,
    folder_manifest,
    is_missing,
    manifest_csv,
    read_label_map,
    read_manifest,
    respelled,
    subset_of,
)

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.sampled_from(["Ärger", "Freude glad", "überrascht", "sad", "s07", "7", "anna müller", "Actor_07", "é"])
CHANGES = {
    "NFD": lambda name: unicodedata.normalize("NFD", name),
    "capitals": str.upper,
    "two blanks": lambda name: name.replace(" ", "  "),
    "a hard blank": lambda name: name.replace(" ", "\xa0"),
    "zero width": lambda name: f"{name[:1]}\u200b{name[1:]}",
    "BOM": lambda name: f"\ufeff{name}",
    "quotes": lambda name: f"'{name}'",
    "curly quotes": lambda name: f"“{name}”",
    "padding": lambda name: f" {name} ",
    "soft hyphen": lambda name: f"{name}\xad",
    "full width": lambda name: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name),
    "zeros": lambda name: name.replace("7", "007"),
    "no zeros": lambda name: name.replace("07", "7"),
    "a spreadsheet's .0": lambda name: f"{name}.0" if name.isdigit() else name,
}
SPELT = st.builds(
    lambda name, changes: (name, _changed(name, changes)),
    NAMES,
    st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=3, unique=True),
)


def _changed(name, changes):
    for change in changes:
        name = CHANGES[change](name)
    return name


def write(path, rows, header="clip_id,label,subject"):
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


@QUICK
@given(spelt=SPELT)
def test_all_spellings_of_a_name_have_one_form(spelt):
    assert canonical(spelt[0]) == canonical(spelt[1]) == canonical(canonical(spelt[1]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s1", "s2"),
        ("1", "10"),
        ("1.05", "1.5"),
        ("a_1_11", "a_11_1"),
        ("sad", "sat"),
        ("1", "-1"),
        ("1.5", "15"),
        ("0", "00a"),
    ],
)
def test_different_names_stay_different(one, other):
    assert canonical(one) != canonical(other)


@QUICK
@given(spelt=SPELT, column=st.sampled_from(["label", "subject"]))
def test_a_manifest_is_refused_with_both_spellings_and_their_rows_or_unites_them(tmp_path, spelt, column):
    name, other = spelt[0].strip(), spelt[1].strip()
    assume(name != other)
    pairs = [(f"c{n}", text, "zz") for n, text in enumerate([name, name, other, "yy"])]
    rows = pairs if column == "label" else [(c, b, a) for c, a, b in pairs]
    path = write(tmp_path / "m.csv", rows)
    with pytest.raises(
        ManifestError, match=rf"m\.csv: {column}s .* \(rows 2, 3\) and .* \(row 4\) differ only in spelling"
    ) as refused:
        read_manifest(path)
    said = str(refused.value)
    assert all(repr(text) in said or ascii(text) in said for text in (name, other))
    united = read_manifest(path, unify_names=True)
    assert len({clip.value(column) for clip in united}) == 2
    assert united.notes[0].startswith(f"{column}, taken for one name: ")


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "None", "null", "NULL", "?", "<NA>", "\u200b", "-", " "])
@pytest.mark.parametrize("column", ["label", "subject", "clip_id"])
def test_words_for_missing_data_are_refused_as_an_empty_cell_is(tmp_path, word, column):
    row = {"clip_id": "c1", "label": "sad", "subject": "s1"} | {column: word}
    path = write(tmp_path / "m.csv", [("c0", "happy", "s0"), tuple(row.values())])
    with pytest.raises(ManifestError, match=rf"m\.csv, row 3: {column} .*(missing data|is empty)"):
        read_manifest(path)


@pytest.mark.parametrize("word", ["n/a", "N/A", "#N/A", "#VALUE!", "1.#QNAN"])
def test_errors_of_spreadsheets_are_no_labels(tmp_path, word):
    with pytest.raises(ManifestError, match=r"m\.csv, row 2: label .* is a word for missing data"):
        read_manifest(write(tmp_path / "m.csv", [("c0", word, "s0")]))


def test_a_word_that_only_holds_one_is_a_name():
    assert not any(map(is_missing, ["Nana", "nanny", "no_expression", "Nonesuch", "N.", "0"]))


def test_one_clip_spelled_twice_is_refused_and_never_united(tmp_path):
    path = write(tmp_path / "m.csv", [("c_07", "sad", "s1"), ("c_7", "happy", "s2")])
    for unify in (False, True):
        with pytest.raises(
            ManifestError, match=r"clip ids 'c_07' \(row 2\) and 'c_7' \(row 3\) differ only in spelling"
        ):
            read_manifest(path, unify_names=unify)


def test_folders_and_tables_of_ones_own_are_united_on_request(tmp_path):
    for place in ("Happy/a.mp4", "happy/b.mp4", "sad/c.mp4"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"x")
    with pytest.raises(ManifestError, match="labels 'Happy' and 'happy' differ only in spelling"):
        folder_manifest(tmp_path)
    assert folder_manifest(tmp_path, unify_names=True).labels == ("Happy", "sad")
    table = write(
        tmp_path / "t.csv", [("c0", "sad", "s1", "A"), ("c1", "SAD", "s2", "a")], "clip_id,label,subject,room"
    )
    assert {clip.value("room") for clip in csv_manifest(table, unify_names=True)} == {"A"}


def test_a_really_different_pair_is_refused_so_that_the_user_decides(tmp_path):
    path = write(tmp_path / "m.csv", [("c0", "sad", "1"), ("c1", "happy", "01")])
    with pytest.raises(
        ManifestError, match=r"where they are really different, rename one; --unify-names .* takes them for one"
    ):
        read_manifest(path)


def study(ids):
    return Manifest(tuple(Clip(name, "", "ab"[n % 2], f"s{n}") for n, name in enumerate(ids)))


def features(ids):
    return FeatureTable(tuple(ids), ("f",), np.arange(len(ids), dtype=np.float32)[:, None], "f.csv", "0" * 64)


@QUICK
@given(spelt=SPELT)
def test_an_import_joins_what_is_spelled_otherwise_only_on_request(tmp_path_factory, spelt):
    name, other = spelt
    assume(name != other)
    folder, manifest = tmp_path_factory.mktemp("c"), study([name, "zz"])
    with pytest.raises(
        CacheError, match=r"1 ids differ from the manifest's only in spelling, such as .* \(f\.csv, id 2\)"
    ):
        import_features(features(["zz", other]), folder / "a", manifest)
    assert not (folder / "a").exists()
    cache, surplus = import_features(features(["zz", other]), folder / "b", manifest, unify_names=True)
    assert (set(cache.done), surplus) == ({name, "zz"}, ())


@pytest.mark.parametrize("kind", ["csv", "npz", "npy"])
def test_every_format_of_an_import_says_where_the_other_spelling_is(tmp_path, kind):
    values, ids = np.arange(2.0)[:, None], ["c1", "c2"]
    source, option = tmp_path / f"f.{kind}", "clip_id"
    if kind == "csv":
        write(source, [(i, "1") for i in ids], "clip_id,f")
    elif kind == "npz":
        np.savez(source, clip_id=np.array(ids), X=values)
    else:
        np.save(source, values)
        option = str(tmp_path / "ids.txt")
        (tmp_path / "ids.txt").write_text("\ufeffc1\nc2\n", encoding="utf-8")
    table = read_feature_table(source, ids=option)
    manifest = read_manifest(write(tmp_path / "m.csv", [("c1", "a", "s1"), ("C02", "b", "s2")]))
    place = "row 3" if kind == "csv" else "id 2"
    with pytest.raises(CacheError, match=rf"'c2' \(f\.{kind}, {place}\) from 'C02' \(.*m\.csv, row 3\)"):
        import_features(table, tmp_path / "cache", manifest)


def test_two_rows_that_are_one_clip_are_refused_even_on_request(tmp_path):
    with pytest.raises(CacheError, match=r"'c1' \(f\.csv, id 1\) and 'c01' \(f\.csv, id 2\) are one clip"):
        import_features(features(["c1", "c01"]), tmp_path / "c", study(["c1", "d"]), unify_names=True)


def test_lists_of_ids_are_refused_with_both_spellings(tmp_path):
    cache, _ = import_features(features(["c1", "c2"]), tmp_path / "c", study(["c1", "c2"]))
    (tmp_path / "ids.txt").write_text("c1\nC2\n")
    with pytest.raises(CacheError, match=r"ids\.txt, row 2: 'C2' and the clip 'c2' differ only in spelling"):
        chosen(cache.root, [], tmp_path / "ids.txt")
    with pytest.raises(ManifestError, match=r"ids\.txt, row 2: 'C2' and the clip 'c2' differ only in spelling"):
        subset_of(study(["c1", "c2"]), tmp_path / "ids.txt")
    assert len(subset_of(study(["c1", "c2"]), tmp_path / "ids.txt", unify_names=True)) == 2


def test_a_second_manifest_brings_no_second_spelling_into_a_cache_and_can_mend_a_first(tmp_path):
    cache, _ = import_features(features(["c1", "c2"]), tmp_path / "c", study(["c1", "c2"]))
    with pytest.raises(ManifestError, match="subjects 'S1' and 's1' differ only in spelling"):
        add_manifest(cache.root, Manifest((Clip("c3", "", "a", "S1"),)))
    with pytest.raises(ManifestError, match="clip ids 'c1' and 'C1' differ only in spelling"):
        add_manifest(cache.root, Manifest((Clip("C1", "", "a", "s9"),)))
    mended = Manifest((Clip("c2", "", "b", "S1"), Clip("c3", "", "a", "S1")))
    assert add_manifest(cache.root, mended).subjects == ("S1", "s0")
    assert open_cache(cache.root).manifest.subjects == ("S1", "s0")


LABELS = ["sad", "happy", "sad", "happy", "sad", "happy"]
SAID = ["sad", "happy", "happy", "happy", "sad", "sad"]


def predictions(path, changes=()):
    """Decisions, every second name spelled otherwise; and a manifest of plain names."""
    rows = [
        [f"c{n}", *(_changed(text, changes if n % 2 else ()) for text in (truth, said)), f"s{n // 2}"]
        for n, (truth, said) in enumerate(zip(LABELS, SAID, strict=True))
    ]
    rows = [
        [clip, truth, said, _changed(subject, changes if n % 2 else ())]
        for n, (clip, truth, said, subject) in enumerate(rows)
    ]
    return write(path, rows, "clip_id,true_label,predicted_label,subject")


@pytest.mark.parametrize("change", ["capitals", "zero width", "quotes", "BOM", "soft hyphen", "full width"])
def test_predictions_give_scikit_learns_figures_of_the_plain_names_or_nothing(tmp_path, change):
    rows = predictions(tmp_path / "p.csv", [change])
    LABELS_AGAIN = [LABELS[1], *LABELS[1:]]
    text = rows.read_text(encoding="utf-8").replace("c0,sad,", f"c0,{LABELS_AGAIN[0]},")
    rows.write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=r"p\.csv: labels .* \(row.*\) and .* \(row.*\) differ only in spelling"):
        call_json("evaluate", rows)
    (result,) = call_json("evaluate", rows, "--unify-names")["results"]
    assert result["war"]["pooled"] == pytest.approx(100 * accuracy_score(LABELS_AGAIN, SAID), abs=1e-4)
    assert result["uar"]["pooled"] == pytest.approx(100 * recall_score(LABELS_AGAIN, SAID, average="macro"), abs=1e-4)
    assert (len(result["classes"]), result["n_subjects"]) == (2, 3)
    assert {canonical(a) == canonical(b) for a, b in result["united"]} == {True}


def test_labels_take_the_spelling_of_the_class_columns(tmp_path):
    text = "clip_id,true_label,prob_sad,prob_happy\nc1,Sad,0.75,0.25\nc2,HAPPY,0.5,0.5\n"
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(RunError, match=r"the label 'Sad' \(row 2\) and the class column 'sad' differ only in spelling"):
        read_predictions(tmp_path / "p.csv")
    assert read_predictions(tmp_path / "p.csv", spelling="unify").classes == ("sad", "happy")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("c1", "a", "a", "0", "s1"), ("C1", "b", "a", "0", "s2")], r"clip ids 'c1' \(row 2\) and 'C1' \(row 3\)"),
        ([("c1", "a", "a", "0", "s1"), ("c2", "b", "a", "0", "S01")], r"subjects 's1' \(row 2\) and 'S01' \(row 3\)"),
        ([("c1", "a", "a", "1", "s1"), ("c2", "b", "a", "1.0", "s2")], r"folds '1' \(row 2\) and '1.0' \(row 3\)"),
        (
            [("c1", "a", "a", "1", "s1"), ("c2", "b", "nan", "1", "s2")],
            r"row 3: predicted_label 'nan' is a word for missing",
        ),
        ([("c1", "a", "a", "1", "s1"), ("c2", "b", "a", "1", "NA")], r"row 3: subject 'NA' is a word for missing"),
    ],
)
def test_a_table_of_predictions_is_refused_by_its_rows(tmp_path, rows, message):
    path = write(tmp_path / "p.csv", rows, "clip_id,true_label,predicted_label,fold,subject")
    with pytest.raises(RunError, match=message):
        read_predictions(path)


def test_predictions_join_a_manifest_that_spells_otherwise_only_on_request(tmp_path):
    manifest = write(tmp_path / "m.csv", [(f"C0{n}", label, f"S0{n // 2}") for n, label in enumerate(LABELS)])
    table = predictions(tmp_path / "p.csv")
    with pytest.raises(
        RunError, match="6 clips differ only in spelling, such as 'c0' in the predictions and 'C00' in the manifest"
    ):
        call_json("evaluate", table, "--manifest", manifest)
    (result,) = call_json("evaluate", table, "--manifest", manifest, "--unify-names")["results"]
    assert (result["n_clips"], result["n_missing"], result["n_subjects"]) == (6, 0, 3)
    assert result["united"] == [[f"c{n}", f"C0{n}"] for n in range(6)]


def test_confusion_tables_and_groups_have_one_spelling(tmp_path):
    path = write(tmp_path / "c.csv", [("sad", "3", "1", "0"), ("Sad", "0", "2", "2")], "true_label,sad,Sad,happy")
    with pytest.raises(RunError, match="classes 'sad' and 'Sad' differ only in spelling"):
        read_confusion(path)
    clips = (Clip("c0", "", "a", "s0", {"sex": "male"}), Clip("c1", "", "b", "s1", {"sex": "Male"}))
    with pytest.raises(ManifestError, match="values of 'sex' 'male' and 'Male' differ only in spelling"):
        group_clips(Manifest(clips), ["sex"])


def test_our_own_names_are_matched_by_form():
    assert respelled(["S1", "s2", "x"], ["s01", "s2"]) == {"S1": "s01"}


def test_votes_comparisons_and_leaks_go_by_the_same_form():
    votes = {"face_Sad": "3", "face_happy": "1"}
    clips = [Clip("c0", "", "sad", "s0", votes), Clip("c1", "", "happy", "s1", votes)]
    with pytest.raises(
        ManifestError, match="the column of votes 'face_Sad' and the label 'sad' differ only in spelling"
    ):
        find_votes(clips)
    split = Split(np.array([0]), np.array([1]))
    (leak,) = find_leaks([split], identities(["a", "b"], ["s1", "S01"]))
    assert (leak.kind, leak.num_test) == ("subject", 1)


def test_runs_that_spell_clips_otherwise_are_not_compared_on_what_is_left(tmp_path):
    header = "clip_id,true_label,predicted_label,subject"
    rows = [(f"c{n}", "ab"[n % 2], "a", f"s{n // 2}") for n in range(8)]
    one = read_predictions(write(tmp_path / "a.csv", rows, header))
    two = read_predictions(write(tmp_path / "b.csv", [(r[0].replace("c7", "C07"), *r[1:]) for r in rows], header))
    with pytest.raises(RunError, match="1 clips differ only in spelling, such as 'c7' in a and 'C07' in b"):
        compare_predictions({"a": one, "b": two}, intersect=True)


def test_streams_and_parts_of_a_cache_are_joined_by_one_spelling(tmp_path):
    one, _ = import_features(features(["c1", "c2"]), tmp_path / "a", study(["c1", "c2"]))
    two, _ = import_features(features(["c1", "C02"]), tmp_path / "b", study(["c1", "C02"]))
    with pytest.raises(CacheError, match="the clip 'c2' of a and 'C02' of b differ only in spelling"):
        join({"a": one, "b": two})
    with pytest.raises(CacheError, match="clip ids 'c2' and 'C02' differ only in spelling"):
        unite_manifests({cache.root: cache.manifest for cache in (one, two)})


def test_a_label_map_is_read_by_form_and_has_a_label_once(tmp_path):
    path = write(tmp_path / "map.csv", [("ÄRGER", "anger")], "label,name")
    assert common_names([unicodedata.normalize("NFD", "Ärger"), "HAPPINESS\u200b"], read_label_map(path)) == {
        unicodedata.normalize("NFD", "Ärger"): "anger",
        "HAPPINESS\u200b": "happy",
    }
    with pytest.raises(ManifestError, match=r"map\.csv: labels 'a' and 'A' differ only in spelling"):
        read_label_map(write(tmp_path / "map.csv", [("a", "anger"), ("A", "sad")], "label,name"))


def test_a_cache_of_before_with_names_that_are_refused_now_is_mended_by_a_manifest(tmp_path):
    ids = ["c1", "c2", "c3"]
    cache, _ = import_features(features(ids), tmp_path / "c", study(ids))
    odd = Clip("c2", "", "nan", "S2")  # s2 has c3
    add_piece(cache.root / MANIFEST_PIECES, manifest_csv(("clip_id", "path", "label", "subject"), [odd]))
    with pytest.raises(ManifestError, match="'nan' is a word for missing data") as refused:
        open_cache(cache.root)
    assert refused.value.lines[-1].endswith("takes a mended manifest: give it to extract or cache import once more")
    (cache.root / "manifest.csv").unlink()
    import_features(features(ids), cache.root, study(ids))
    assert open_cache(cache.root).manifest.labels == ("a", "b")


@pytest.mark.parametrize(("one", "other"), [("very sad", "very_sad"), ("Actor 07", "actor-7"), ("s 1", "S1")])
@pytest.mark.parametrize("column", ["label", "subject"])
def test_labels_and_subjects_that_are_parted_otherwise_are_one(column, one, other):
    clips = [Clip(f"c{n}", "", **{"label": "sad", "subject": "p", column: name}) for n, name in enumerate((one, other))]
    with pytest.raises(
        ManifestError, match=rf"{column}s '.*({one}|{other})' differ only in what stands between their words"
    ):
        Manifest(clips=tuple(clips))


def test_numbers_are_not_one_without_what_parts_them():
    clips = [Clip(f"c{n}", "", "sad", subject, {}) for n, subject in enumerate(("1-1", "11", "1_1_2", "s1", "s11"))]
    assert len(Manifest(clips=tuple(clips))) == 5
