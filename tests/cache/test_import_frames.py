"""Tables with a row a frame, and arrays over time, become a level with a time axis: gaps and faces not found are no rows, faults are named by row."""

from __future__ import annotations

import dataclasses
import gzip
import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from caches import small_manifest
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.import_frames import import_frames, is_over_time, read_frames
from vjepa_fer.cache.moments import places_of
from vjepa_fer.cache.notes import read_notes
from vjepa_fer.cli.main import app
from vjepa_fer.errors import CacheError, RecipeError
from vjepa_fer.features import TokenStream
from vjepa_fer.manifest import Clip, Manifest, write_manifest
from vjepa_fer.probes import make_probe
from vjepa_fer.recipe import STATISTICS, ImportedRecipe, recipe_from_json, recipe_to_dict, recipe_to_json

pandas = pytest.importorskip("pandas")

OPENFACE = "frame, face_id, timestamp, confidence, success, AU01_r, AU02_r"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def imported(path, root, manifest=None, **options):
    asked = {name: options.pop(name) for name in ("unify_names",) if name in options}
    return import_frames(read_frames(path, **options), root, manifest or small_manifest(3), **asked)


def table(*clips, header="clip_id,frame,a,b"):
    return "\n".join([header, *(row for clip in clips for row in clip)]) + "\n"


def rows_of(clip_id, frames, *, offset=0.0):
    return [f"{clip_id},{frame},{frame + offset},{-frame}" for frame in frames]


def openface(frames, *, lost=(), fps=30):
    return "\n".join(
        [
            OPENFACE,
            *(
                f"{n + 1}, 0, {n / fps:.3f}, 0.98, {int(n not in lost)}, {n}.5, {0 if n in lost else -n}"
                for n in frames
            ),
        ]
    )


# -- what becomes a moment -----------------------------------------------------------------------------------------------------------


def test_a_folder_as_openface_writes_it_becomes_frames(tmp_path):
    folder = tmp_path / "processed"
    folder.mkdir()
    for number in range(3):
        write(folder / f"c{number}.csv", openface(range(5 + number), lost={1}))
    write(folder / "c0_of_details.txt", "Input:c0.mp4")
    done = imported(folder, tmp_path / "cache")
    clip = done.cache["c1"]
    np.testing.assert_array_equal(clip.level("frames")[:, 0], [[0.5, 0], [2.5, -2], [3.5, -3], [4.5, -4], [5.5, -5]])
    assert clip.start_frame.tolist() == [0, 2, 3, 4, 5]
    assert clip.frame_indices[:, 0].tolist() == [1, 3, 4, 5, 6]  # as OpenFace counts
    np.testing.assert_allclose(clip.timestamps[:, 0], np.array([0, 2, 3, 4, 5]) / 30, atol=5e-4)
    assert done.cache.recipe.clock == "seconds"
    assert {role.taken_as for role in done.roles if role.name in ("confidence", "face_id")} == {"left out"}
    assert [role.taken_as for role in done.roles if role.name == "success"] == ["whether there is a face"]
    assert (done.num_rows, done.num_masked, done.num_gaps) == (18, 3, 0)
    assert read_notes(done.cache.root)["c1"] == ("1 of 6 frames without a face",)


def test_py_feat_says_nan_and_paths_and_libreface_milliseconds_and_words(tmp_path):
    feat = write(
        tmp_path / "feat.csv",
        ",FaceScore,AU01,AU02,input,frame\n0,0.9,1,2,/v/c0.mp4,0\n1,,,,/v/c0.mp4,10\n2,0.9,3,4,/v/c0.mp4,20\n3,0.9,5,6,C:\\v\\c1.mp4,0\n",
    )
    done = imported(feat, tmp_path / "feat", ids="input")
    assert done.renamed == {"/v/c0.mp4": "c0", "C:\\v\\c1.mp4": "c1"}
    assert done.cache.recipe.columns == ("AU01", "AU02")
    assert done.cache["c0"].start_frame.tolist() == [0, 2]  # every tenth frame is the next
    np.testing.assert_array_equal(done.cache["c0"].level("frames")[:, 0], [[1, 2], [3, 4]])
    libre = write(
        tmp_path / "libre.csv",
        "clip_id,frame_idx,frame_time_in_ms,au_1,facial_expression\nc0,0,0,1,Happiness\nc0,1,40,2,Sadness\n",
    )
    done = imported(libre, tmp_path / "libre")
    assert done.cache.recipe.columns == ("au_1",)
    assert done.cache["c0"].timestamps[:, 0].tolist() == [0, 0.04]
    assert "facial_expression (holds words)" in map(str, done.roles)


def test_facereader_and_pandas_write_times_as_clocks_do(tmp_path):
    reader = write(
        tmp_path / "reader.csv",
        "clip_id\tVideo Time\tHappy\nc0\t00:00:59.960\t0.5\nc0\t00:01:00.000\tFIND_FAILED\nc0\t00:01:00,040\t0.25\n",
    )
    done = imported(reader, tmp_path / "reader")
    np.testing.assert_allclose(done.cache["c0"].timestamps[:, 0], [59.96, 60.04])
    assert done.num_masked == 1
    smile = write(
        tmp_path / "smile.csv",
        "file,timestamp,end,a\nc0.wav,0 days 00:00:00,0 days 00:00:00.02,1\nc0.wav,0 days 00:00:00.010000,0 days 00:00:00.03,2\n",
    )
    done = imported(smile, tmp_path / "smile", ids="file")
    assert done.cache["c0"].timestamps[:, 0].tolist() == [0, 0.01]
    assert done.cache.recipe.columns == ("a",)


def test_milliseconds_are_no_seconds_whatever_they_are_called(tmp_path):
    """iMotions calls them Timestamp: a clip of three seconds lasted an hour."""
    rows = [f"c{c},{33 * t},{t}.5" for c in range(2) for t in range(5)]
    path = write(tmp_path / "t.csv", table(rows, header="clip_id,Timestamp,a"))
    with pytest.raises(CacheError, match=r"rows 2 to 6: column Timestamp goes up by 33 .* Call it timestamp_ms"):
        imported(path, tmp_path / "none")
    for unit, seconds in (("timestamp_ms", 0.033), ("timestamp_s", 33)):
        path = write(tmp_path / f"{unit}.csv", table(rows, header=f"clip_id,{unit},a"))
        done = imported(path, tmp_path / unit)
        np.testing.assert_allclose(done.cache["c1"].timestamps[:, 0], seconds * np.arange(5))
    micro = write(tmp_path / "u.csv", table([f"c0,{40_000 * t},{t}.5" for t in range(5)], header="clip_id,time_ms,a"))
    with pytest.raises(CacheError, match=r"time_ms goes up by 40000 .* are these milliseconds"):
        imported(micro, tmp_path / "none")


def test_the_numbers_of_py_feats_face_recogniser_are_no_features(tmp_path):
    """Its tables hold 512 of them, empty where it was switched off, and the size of the film."""
    names = "FaceScore,Pitch,AU01,Identity_1,Identity_512,FrameHeight,FrameWidth,input,frame,approx_time,Identity"
    rows = [f"0.9,{t}.5,{c}.{t},,,1080.0,1080.0,c{c}.mp4,{2 * t},00:00," for c in range(2) for t in range(3)]
    done = imported(write(tmp_path / "t.csv", "\n".join([names, *rows, ""])), tmp_path / "cache", ids="input")
    assert done.cache.recipe.columns == ("Pitch", "AU01")
    assert done.num_masked == 0


def test_a_column_that_is_empty_beside_others_is_named(tmp_path):
    path = write(tmp_path / "t.csv", table(*([f"c{c},{t},1,"] for c in range(2) for t in range(3))))
    with pytest.raises(CacheError, match=r"no frame has every feature: column b is empty in 6 frames .* --columns"):
        imported(path, tmp_path / "none")
    path = write(tmp_path / "u.csv", table(["c0,0,1,2", "c0,1,1,", "c0,2,,"], ["c1,0,3,"]))
    done = imported(path, tmp_path / "cache")
    unfilled = "column b is empty in {} other features"
    assert read_notes(done.cache.root)["c0"] == (
        "2 of 3 frames without a face, " + unfilled.format("1 frame that has"),
    )
    assert done.cache.failures["c1"].message.endswith("; " + unfilled.format("1 frame that has"))


def test_a_clip_without_a_face_fails_by_name_and_is_not_filled(tmp_path):
    path = write(tmp_path / "t.csv", table(["c0,0,1,2"], ["c1,0,,2", "c1,1,nan,"]))
    done = imported(path, tmp_path / "cache")
    failures = done.cache.failures
    assert failures["c1"].reason == "no_face"
    assert "none of its 2 frames has a face (t.csv, rows 3 to 4)" in failures["c1"].message
    assert failures["c2"].reason == "missing"
    assert list(done.cache.features().clip_ids) == ["c0"]


def test_clips_that_the_manifest_lacks_are_named_by_row(tmp_path):
    path = write(tmp_path / "t.csv", table(rows_of("c0", range(2)), rows_of("x", range(3))))
    assert imported(path, tmp_path / "cache").surplus == ("'x' (t.csv, rows 4 to 6)",)
    with pytest.raises(
        CacheError,
        match=r"none of its 1 clips is one of the manifest: 'x' \(u.csv, rows 2 to 4\), 'c0' in the manifest",
    ):
        imported(write(tmp_path / "u.csv", table(rows_of("x", range(3)))), tmp_path / "other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            table(rows_of("c0", range(2)), rows_of("c1", [0]), rows_of("c0", [5])),
            r"row 5: clip 'c0' again, which began at .*row 2",
        ),
        (table(rows_of("c0", [0, 1, 0])), "row 4: frame 0 comes after frame 1: time steps back"),
        (table(rows_of("c0", [0, 1, 1])), "row 4: frame 1 stands there twice; expected one row a frame: keep one face"),
        (
            table(rows_of("c0", [*range(0, 26, 2), 25])),
            "row 15: 1 frames after the row before, where the clip has a row every 2 frames",
        ),
        (table(["c0,0,1,x"], ["c1,0,1,2"]), "no such column"),
        (table(["c0,0,1,2", "c0,1,1,x"]), "row 3: column b holds 'x', expected a finite number"),
        (table(["c0,0,1,2", "c0,1,inf,2"]), "row 3: column a holds 'inf'"),
        (table(["c0,0.5,1,2"]), "row 2: column frame holds '0.5', expected a frame number"),
        (table(["c0,0,1,2", "c0,1,1"]), "row 3: 3 values, the header has 4"),
        ("clip_id,a\nc0,1\n", "no column of frame numbers or times; expected one of frame, "),
        ("clip_id,frame,frame\n", "the column 'frame' stands twice"),
        ("clip_id,frame,a\n", "only a header"),
        ("", "empty; expected a header"),
    ],
)
def test_what_is_wrong_is_named_by_row_and_nothing_is_written(tmp_path, text, message):
    path = write(tmp_path / "t.csv", text)
    if message == "no such column":  # words in the first row: the column is none of features
        assert imported(path, tmp_path / "cache").cache.recipe.columns == ("a",)
        return
    with pytest.raises(CacheError, match=message):
        imported(path, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def timed(times):
    return "clip_id,timestamp,a\n" + "".join(f"c0,{time:.3f},{n}\n" for n, time in enumerate(times))


@pytest.mark.parametrize("fps", [12.5, 29.97, 59.94])
def test_times_with_three_decimals_keep_to_their_grid(tmp_path, fps):
    kept = np.delete(np.arange(400), [3, *range(40, 80), 200, 201])
    done = imported(write(tmp_path / "t.csv", timed(kept / fps)), tmp_path / "cache")
    np.testing.assert_array_equal(np.diff(done.cache["c0"].start_frame) == 1, np.diff(kept) == 1)


def test_frames_of_which_most_are_missing_keep_to_their_grid_or_nobody_can_tell():
    rng, refused = np.random.default_rng(0), 0
    for number in range(300):
        fps, digits = rng.choice([24000 / 1001, 25, 30000 / 1001, 30, 50, 60000 / 1001]), 3 - number % 2
        frames = np.flatnonzero(rng.random(rng.integers(20, 300)) < rng.choice([0.05, 0.2, 0.5, 0.95]))
        steps = np.diff(frames) // max(np.gcd.reduce(np.diff(frames)), 1)
        try:
            found = np.diff(places_of(None, np.round(frames / fps, digits), str))
        except CacheError:
            refused += 1
            continue
        near = steps <= 8  # over a longer gap, rounded times may be one off
        np.testing.assert_array_equal(found[near], steps[near])
        np.testing.assert_allclose(found, steps, rtol=0.05)
    assert refused < 300 / 10


def test_times_that_two_frame_rates_fit_are_refused_by_row(tmp_path):
    path = write(tmp_path / "t.csv", "clip_id,timestamp,a\nc0,0,1\nc0,0.05,2\nc0,0.13,3\n")
    with pytest.raises(CacheError, match=r"t.csv, row \d: .*add a column of frame numbers"):
        imported(path, tmp_path / "cache")


@pytest.mark.parametrize("fps", [12.5, 25, 29.97, 50])
def test_times_with_two_decimals_are_those_of_an_ordinary_table(tmp_path, fps):
    text = "clip_id,timestamp,a\n" + "".join(f"c0,{n / fps:.2f},{n}\n" for n in range(90))
    done = imported(write(tmp_path / "t.csv", text), tmp_path / "cache")
    assert done.cache["c0"].start_frame.tolist() == list(range(90))


def test_frame_numbers_of_which_most_are_missing_are_no_other_rate(tmp_path):
    done = imported(write(tmp_path / "t.csv", table(rows_of("c0", [3, 5, 7, 8, 15]))), tmp_path / "cache")
    assert done.cache["c0"].start_frame.tolist() == [0, 2, 4, 5, 12]


@pytest.mark.parametrize(("first", "then"), [(25, 30), (30, 25), (25, 50)])
def test_another_frame_rate_than_the_rest_of_the_clip_is_named_by_row(tmp_path, first, then):
    times = np.concatenate([np.arange(60) / first, 60 / first + np.arange(20) / then])
    path = write(tmp_path / "t.csv", timed(times))
    with pytest.raises(
        CacheError,
        match=r"row (6[2-9]|7\d): 0.0\d+ s after the row before, where the clip has .* rows a second: another",
    ):
        imported(path, tmp_path / "cache")


def test_times_that_do_not_go_with_the_frame_numbers_are_named(tmp_path):
    rows = [f"c0,{n},{n / 25:.3f},{n}" for n in range(10)]
    rows += [f"c0,{n},{n / 25 + 0.5:.3f},{n}" for n in range(10, 20)]
    path = write(tmp_path / "t.csv", table(rows, header="clip_id,frame,timestamp,a"))
    with pytest.raises(CacheError, match=r"row 12: 0.54 s after the row before, where the clip has 25 rows a second"):
        imported(path, tmp_path / "cache")


def test_what_has_a_row_a_frame_is_known_without_being_said(tmp_path):
    frames = write(tmp_path / "f.csv", table(rows_of("c0", range(3))))
    clips = write(tmp_path / "c.csv", table(rows_of("c0", [0]), rows_of("c1", [0])))
    np.save(tmp_path / "x.npy", np.zeros((3, 4, 2)))
    np.savez(tmp_path / "x.npz", X=np.zeros((3, 2)))
    known = {
        name: is_over_time(tmp_path / name, id_column="clip_id", values="X")
        for name in ("f.csv", "c.csv", "x.npy", "x.npz")
    }
    beside = as_folder(tmp_path, *arrays())
    write(beside / "labels.csv", "clip_id,label\nc0,sad\n")  # arrays, and a table that goes with them
    assert not is_over_time(beside, id_column="clip_id", values="X")
    assert known == {"f.csv": True, "c.csv": False, "x.npy": True, "x.npz": False}
    assert frames != clips


def test_columns_that_tell_the_label_are_left_out(tmp_path):
    manifest = small_manifest(30)
    header = "clip_id,frame,a,label_code,Unnamed: 0"
    rows = [
        [f"{c.clip_id},{n},{n * 0.1 + 7 * i % 30},{i % 3},{4 * i + n}" for n in range(4)]
        for i, c in enumerate(manifest)
    ]
    done = imported(write(tmp_path / "t.csv", table(*rows, header=header)), tmp_path / "cache", manifest)
    assert done.cache.recipe.columns == ("a",)


def test_an_id_in_another_spelling_is_the_manifests_if_asked(tmp_path):
    path = write(tmp_path / "t.csv", table(rows_of("C0", range(2))))
    with pytest.raises(CacheError, match="differ from the manifest's only in spelling"):
        imported(path, tmp_path / "cache")
    done = imported(path, tmp_path / "cache", unify_names=True)
    assert (done.renamed, len(done.cache)) == ({"C0": "c0"}, 1)


def test_fps_makes_seconds_of_frame_numbers_only(tmp_path):
    path = write(tmp_path / "t.csv", table(rows_of("c0", range(3))))
    assert imported(path, tmp_path / "frames").cache.recipe.clock == "frames"
    done = imported(path, tmp_path / "seconds", fps=25)
    assert done.cache["c0"].timestamps[:, 0].tolist() == [0, 0.04, 0.08]
    with pytest.raises(CacheError, match="column timestamp says when each frame is; leave --fps out"):
        read_frames(write(tmp_path / "u.csv", timed([0, 1])), fps=25)


def test_importing_again_adds_nothing_and_tables_may_be_packed(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(table(rows_of("c0", range(3)), rows_of("c1", range(2))).encode()))
    imported(path, tmp_path / "cache")
    done = imported(path, tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "shards").iterdir())) == 1
    assert len(done.cache) == 2


def test_another_table_in_a_folder_has_the_same_columns(tmp_path):
    folder = tmp_path / "t"
    folder.mkdir()
    write(folder / "c0.csv", "frame,a\n0,1\n")
    write(folder / "c1.csv", "frame,b\n0,1\n")
    with pytest.raises(
        CacheError,
        match=r"c1.csv, row 1: other columns than the first table of the folder: frame, b; expected frame, a",
    ):
        imported(folder, tmp_path / "cache")


# -- arrays --------------------------------------------------------------------------------------------------------------------------


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    values, lengths = rng.standard_normal((3, 6, 4)).astype(np.float32), np.array([6, 2, 4])
    for clip, length in enumerate(lengths):
        values[clip, length:] = 99  # padding, which nobody may see
    values[0, 3] = np.nan
    return values, lengths, np.array(["c0", "c1", "c2"])


def as_npz(path, values, lengths, ids):
    np.savez_compressed(path / "x.npz", X=values, clip_id=ids, lengths=lengths)
    return path / "x.npz"


def as_masked_npz(path, values, lengths, ids):
    np.savez(path / "x.npz", X=values, clip_id=ids, mask=np.arange(values.shape[1]) < lengths[:, None])
    return path / "x.npz"


def as_hdf5(path, values, lengths, ids):
    with h5py.File(path / "x.h5", "w") as file:
        file["X"], file["clip_id"], file["lengths"] = values, ids.astype("S"), lengths
    return path / "x.h5"


def as_folder(path, values, lengths, ids):
    (path / "npy").mkdir()
    for clip_id, clip, length in zip(ids, values, lengths, strict=True):
        np.save(path / "npy" / f"{clip_id}.npy", clip[:length])
    return path / "npy"


def as_npz_of_clips(path, values, lengths, ids):
    np.savez(path / "x.npz", **{i: clip[:n] for i, clip, n in zip(ids, values, lengths, strict=True)})
    return path / "x.npz"


@pytest.mark.parametrize("save", [as_npz, as_masked_npz, as_hdf5, as_folder, as_npz_of_clips])
def test_arrays_over_time_keep_what_is_real(tmp_path, save):
    values, lengths, ids = arrays()
    done = imported(save(tmp_path, values, lengths, ids), tmp_path / "cache")
    places = [[0, 1, 2, 4, 5], [0, 1], [0, 1, 2, 3]]
    for clip, array, place in zip(done.cache, values, places, strict=True):
        assert clip.start_frame.tolist() == place
        np.testing.assert_array_equal(clip.level("frames")[:, 0], array[place])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"lengths": np.array([6, 7, 1])}, "lengths is 7 for clip c1, expected whole numbers"),
        ({"lengths": np.array([1.5, 1, 1])}, "lengths is float64 of shape"),
        ({"mask": np.ones((3, 5), bool)}, r"mask is bool of shape \(3, 5\), expected true or false of shape \(3, 6\)"),
        ({"clip_id": np.array(["c0", "c0", "c1"])}, "the id 'c0' stands twice"),
        ({"clip_id": np.array(["c0"])}, "1 ids, but 3 clips"),
        ({"X": np.zeros((3, 6, 0))}, "expected .clips, times, features"),
        ({"X": np.full((3, 6, 4), np.inf)}, "clip c0, frame 0: feature 0 is inf"),
    ],
)
def test_arrays_that_do_not_go_together_are_refused(tmp_path, extra, message):
    values, _, ids = arrays()
    np.savez(tmp_path / "x.npz", **{"X": values, "clip_id": ids, **extra})
    with pytest.raises(CacheError, match=message):
        imported(tmp_path / "x.npz", tmp_path / "cache")


# -- statistics, against pandas ------------------------------------------------------------------------------------------------------

NUMBER = st.floats(-1e3, 1e3, width=32)
FACE = st.tuples(NUMBER, NUMBER)


@st.composite
def frames_of_a_clip(draw):
    """Two neighbours with a face, then frames with and without one, up to two of them without a row, and a last one with a face."""
    rows = [draw(FACE), draw(FACE), *draw(st.lists(st.one_of(st.none(), FACE), min_size=2, max_size=8)), draw(FACE)]
    for place in draw(st.lists(st.integers(2, len(rows) - 1), max_size=2)):
        rows.insert(place, "gap")
    return rows


def frame_table(clips):
    """Rows of a table: a frame without a face has none of its numbers, a gap no row."""
    rows = [
        (f"c{number}", frame, *((np.nan, np.nan) if row is None else row))
        for number, frames in enumerate(clips)
        for frame, row in enumerate(frames)
        if row != "gap"
    ]
    return pandas.DataFrame(rows, columns=["clip_id", "frame", "a", "b"])


def grouped(frame):
    """STATISTICS of each clip by pandas, gaps and lost faces as NaN on a whole grid of frames."""
    found = []
    for _, clip in frame.groupby("clip_id"):
        whole = clip.set_index("frame")[["a", "b"]].reindex(range(int(clip["frame"].max()) + 1))
        plain = whole.agg(["mean", "std", "min", "max"]).to_numpy()
        rest = [whole.quantile(0.1), whole.quantile(0.9), whole.diff().abs().mean()]
        found.append(np.concatenate([plain.ravel(), *rest]))
    return np.stack(found)


@settings(max_examples=15, deadline=None)
@given(clips=st.lists(frames_of_a_clip(), min_size=1, max_size=3))
def test_statistics_of_random_tables_with_gaps_are_those_of_pandas(tmp_path_factory, clips):
    folder, frame = tmp_path_factory.mktemp("random"), frame_table(clips)
    frame.to_csv(folder / "t.csv", index=False)
    cache = imported(folder / "t.csv", folder / "cache", small_manifest(len(clips))).cache
    np.testing.assert_allclose(cache.features("frames", pool=STATISTICS).X, grouped(frame), rtol=2e-5, atol=2e-3)
    assert len(cache) == len(clips)


def test_too_few_frames_for_a_statistic_are_named(tmp_path):
    path = write(tmp_path / "t.csv", table(rows_of("c0", range(3)), rows_of("c1", [4]), rows_of("c2", [0, 2, 4])))
    cache = imported(path, tmp_path / "cache").cache
    assert cache.features("frames:mean+min+p50").X.shape == (3, 6)
    with pytest.raises(
        CacheError, match="std needs two moments, and 1 clips have not as many: c1; leave std out, or the clips, by"
    ):
        cache.features("frames", pool=["mean", "std"])


def test_mean_and_frames_are_the_mean_over_moments_and_windows_the_frames(tmp_path):
    path = write(tmp_path / "t.csv", table(rows_of("c0", range(3)), rows_of("c1", range(2), offset=1)))
    cache = open_cache(imported(path, tmp_path / "cache").cache.root)
    for level in ("mean", "frames", "frames:mean"):
        np.testing.assert_array_equal(cache.features(level).X, [[1, -1], [1.5, -0.5]])
    assert cache.features("frames", pool=None).X.shape == (5, 2)
    with pytest.raises(CacheError, match="level grid:4 is not stored"):
        cache.features("grid:4")


# -- probes that read moments as tokens ----------------------------------------------------------------------------------------------


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_masked_frame_changes_nothing(tmp_path_factory, seed):
    """Whatever a frame without a face holds, vectors and tokens are those of a table without it."""
    noise, nothing = _with_and_without(tmp_path_factory.mktemp("masked"), seed)
    for read in (_vectors, _tokens):
        for one, other in zip(read(noise), read(nothing), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_masked_frame_changes_no_answer_of_probes_on_tokens(tmp_path):
    pytest.importorskip("torch")
    noise, nothing = _with_and_without(tmp_path, 0)
    for probe in ("attentive", "efficient"):
        np.testing.assert_array_equal(_answers(probe, noise), _answers(probe, nothing))


def _with_and_without(folder, seed):
    """Two caches of one table: frames without a face hold numbers in the one, and nothing in the other."""
    manifest, made = small_manifest(6), []
    for name in ("noise", "nothing"):
        rows = [
            f"{clip.clip_id},{frame},{int(there)},{values[0] if there or name == 'noise' else ''},{values[1]}"
            for clip in manifest
            for frame, (there, values) in enumerate(
                zip(_faces(seed, clip.clip_id), _values(seed, clip.clip_id, name), strict=True)
            )
        ]
        path = write(folder / f"{name}.csv", table(rows, header="clip_id,frame,success,a,b"))
        made.append(imported(path, folder / name, manifest).cache)
    return made


def _vectors(cache):
    return [cache.features("frames:mean+min+p90").X]


def _tokens(cache):
    stream = TokenStream(list(cache), "frames")
    return [stream[[number]] for number in range(len(stream))]


def _answers(probe, cache):
    tokens, labels = TokenStream(list(cache), "frames"), np.array([clip.label for clip in cache.clips])
    return make_probe(probe, {"epochs": 1}).fit(tokens, labels).predict_proba(tokens)


def _faces(seed, clip_id):
    there = np.random.default_rng([seed, *clip_id.encode()]).random(7) < 0.6
    there[0] = True
    return there


def _values(seed, clip_id, name):
    values = np.random.default_rng([seed, *clip_id.encode(), 1]).normal(size=(7, 2))
    other = np.random.default_rng([seed, *clip_id.encode(), *name.encode()]).normal(size=(7, 2))
    return np.where(_faces(seed, clip_id)[:, None], values, other)


def test_moments_are_read_as_one_sequence_of_each_clips_own_length(tmp_path):
    path = write(tmp_path / "t.csv", table(rows_of("c0", range(3)), rows_of("c1", range(2))))
    tokens = TokenStream(list(imported(path, tmp_path / "cache").cache), "frames")
    assert (tokens.lengths.tolist(), tokens.shape) == ([3, 2], (2, 3, 2))
    np.testing.assert_array_equal(tokens[[1]], [[[0, 0], [1, -1]]])


# -- what the command says, and what it takes ----------------------------------------------------------------------------------------


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_says_what_was_taken_as_what_and_probe_takes_statistics(tmp_path):
    folder = tmp_path / "processed"
    folder.mkdir()
    clips = [Clip(f"c{n}", "", ("sad", "happy")[n % 2], f"s{n // 4}", {}) for n in range(12)]
    write_manifest(Manifest(clips=tuple(clips)), tmp_path / "clips.csv")
    for number in range(12):
        lost = range(9) if number == 5 else {number % 7}
        write(folder / f"c{number}.csv", openface(range(9), lost=lost))
    write(folder / "stranger.csv", openface(range(3)))
    done = run("cache", "import", folder, tmp_path / "au", "-m", tmp_path / "clips.csv")
    assert done.exit_code == 4
    for said in (
        "11 clips × 2 features over time from processed",
        "frames (108): 20 without a face, left out; 0 more have no row; time in seconds",
        "features (2): AU01_r, AU02_r",
        "whether there is a face (1): success",
        "'stranger' (stranger.csv, rows 2 to 4)",
        "1 clips have no frame with a face",
    ):
        assert said in " ".join(done.output.split())
    asked = ("probe", tmp_path / "au", "-p", "centroid", "-f", "frames", "--folds", "subject-kfold:3", "--json")
    done = run(*asked, "--pool", "mean,delta")
    assert done.exit_code == 0, done.output
    assert '"features": "frames:mean+delta"' in done.output
    assert run(*asked, "--pool", "mena").exit_code == 1


def test_arrays_of_clips_keep_their_time_axis_if_asked(tmp_path):
    write_manifest(small_manifest(3), tmp_path / "clips.csv")
    source = as_npz_of_clips(tmp_path, *arrays())
    words = ("cache", "import", source, tmp_path / "cache", "-m", tmp_path / "clips.csv")
    assert run(*words, "--fps", 25).exit_code == 2
    assert run(*words, "--level", "frames", "--fps", 25).exit_code == 0
    assert open_cache(tmp_path / "cache")["c1"].timestamps[:, 0].tolist() == [0, 0.04]


@pytest.mark.parametrize("save", [as_npz, as_hdf5])
def test_a_clip_of_an_array_is_in_memory_at_a_time(tmp_path, save):
    values = np.zeros((120, 100, 500), np.float32)
    path = save(tmp_path, values, np.full(120, 100), np.array([f"c{n}" for n in range(120)]))
    stream = read_frames(path)
    tracemalloc.start()
    assert sum(one.num_rows for one in stream.read()) == 12_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < values.nbytes / 6


def test_what_a_recipe_of_vectors_is_called_has_not_changed():
    plain = ImportedRecipe(source="a.csv", source_sha256="ab", columns=("x",))
    assert "clock" not in recipe_to_dict(plain)
    over_time = dataclasses.replace(plain, clock="frames")
    assert recipe_from_json(recipe_to_json(over_time)) == over_time
    with pytest.raises(RecipeError, match="clock 'hours' is not one of"):
        dataclasses.replace(plain, clock="hours")
