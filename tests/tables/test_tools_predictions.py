"""Promises about predictions as tools dump them: names of files, rounded values, per cent, words beside the classes."""

import numpy as np
import pytest

from tables import call
from test_cli_probe import call_json
from vjepa_fer.errors import RunError
from vjepa_fer.judging import agree_if_shifted, read_prediction_table

CLASSES = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
HEADER = ",".join(CLASSES)
SHARES = np.random.default_rng(0).dirichlet(np.ones(8), 40)


@pytest.fixture
def write(tmp_path):
    """Write a table; its path."""

    def _write(text, name="p.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return _write


def dumped(cell, *, header=HEADER, between=",", sex=None):
    lines = [f"clip_id,true_label,{header}".replace(",", between)]
    for n, row in enumerate(SHARES):
        words = [f"c{n}", CLASSES[n % 8], *([sex[n % 2]] if sex else []), *map(cell, row)]
        lines.append(between.join(words))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("digits", [2, 3])
def test_rounded_values_are_probabilities_as_far_as_rounding_goes(write, digits):
    """Azure writes three decimals of eight classes: a row may miss one by 0.004."""
    assert (np.abs(np.round(SHARES, digits).sum(axis=1) - 1) > 1e-3).any()
    said = read_prediction_table(write(dumped(lambda x: f"{x:.{digits}f}")))
    assert (said.kind, said.known) == ("probabilities", CLASSES)
    np.testing.assert_allclose(said.predictions.probabilities, SHARES, atol=0.6 * 10.0**-digits)
    with pytest.raises(RunError, match="do not sum to one"):
        read_prediction_table(write(dumped(lambda x: f"{x * 0.93:.{digits}f}")))


def test_per_cent_is_a_share(write):
    said = read_prediction_table(write(dumped(lambda x: f"{100 * x:.2f}%")))
    german = read_prediction_table(write(dumped(lambda x: f"{100 * x:.2f} %".replace(".", ","), between=";")))
    for one in (said, german):
        assert one.kind == "probabilities"
        np.testing.assert_allclose(one.predictions.probabilities, SHARES, atol=1e-4)


def test_a_column_of_words_beside_the_classes_is_none(write):
    """As FER+ has one, which part of the split an image is in."""
    said = read_prediction_table(write(dumped(str, header=f"Usage,{HEADER}", sex=("Training", "PublicTest"))))
    assert (said.known, said.columns["left_out"]) == (CLASSES, ("Usage",))
    with pytest.raises(RunError, match=r"row 3: 'n/a' in class column 'fear' .* --classes A,B,… says which"):
        read_prediction_table(write(dumped(str).replace(str(SHARES[1, 3]), "n/a")))
    empty = dumped(str, header=HEADER).replace("fear", "dread")
    for value in SHARES[:, 3]:
        empty = empty.replace(str(value), "nan")
    with pytest.raises(RunError, match="'nan' in class column 'dread'"):
        read_prediction_table(write(empty), scores=True)


def test_names_of_files_are_the_manifests_clips(write):
    rows = "".join(f"c{n},{'ab'[n % 2]},s{n // 4}\n" for n in range(8))
    manifest = write(f"clip_id,label,subject\n{rows}", "m.csv")
    for name in ("c{}.mp4", "/v/x/c{}.avi", "C:\\v\\c{}.wav"):
        path = write("file,a,b\n" + "".join(f"{name.format(n)},0.75,0.25\n" for n in range(8)))
        asked = ("evaluate", path, "--column", "clip_id=file", "-m", manifest)
        assert (call_json(*asked)["results"][0]["war"]["pooled"], call_json(*asked)["results"][0]["n_subjects"]) == (
            50,
            2,
        )
        assert f"8 names taken for others: {name.format(0)!r} is 'c0'" in call(*asked).output
    twice = write("clip_id,a,b\nx/c0.mp4,1,0\ny/c0.mp4,0,1\n")
    with pytest.raises(RunError, match=r"x/c0.mp4, y/c0.mp4 are one clip of the manifest, c0"):
        call("evaluate", twice, "-m", manifest)


@pytest.mark.parametrize(("first", "unseen", "word"), [(1, "0", "less"), (-1, "8", "more")])
def test_labels_that_count_from_another_number_than_the_classes_are_told(write, first, unseen, word):
    """Of DFEW's labels, which begin at 1, beside columns that begin at 0, most were wrong, and nothing said why."""
    codes = [n % 7 + (first < 0) * 2 for n in range(40)]
    names = [str(n) for n in range(9)]
    lines = [
        f"c{n},{code + first}," + ",".join("1" if name == str(code) else "0" for name in names)
        for n, code in enumerate(codes)
    ]
    path = write(f"clip_id,true_label,{','.join(names)}\n" + "\n".join(lines) + "\n")
    (result,) = call_json("evaluate", path)["results"]
    assert (result["war"]["pooled"], result["shifted"]) == (0, {"unseen": unseen, "agree": 100})
    assert (
        f"no clip is of class {unseen}, and with true labels that count from one number {word} WAR would be 100.00"
        in call("evaluate", path).output
    )
    assert agree_if_shifted(read_prediction_table(write(dumped(str))).predictions) is None
