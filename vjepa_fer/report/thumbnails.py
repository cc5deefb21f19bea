"""A video goes in; a strip of a few small frames comes out, as JPEG bytes to be shown in a page."""

from __future__ import annotations

import io
import os

import numpy as np

from vjepa_fer.errors import VideoError

NUM_FRAMES, HEIGHT = 6, 84
QUALITY = 78


def thumbnail_strip(path: str | os.PathLike[str], *, sha256: str | None = None) -> bytes:
    """Six frames evenly over a video, side by side, 84 pixels high.

    Parameters
    ----------
    sha256 : str, optional
        Of the file that the features came from: another one is refused, so that no page shows the wrong face.

    Raises
    ------
    VideoError
        It cannot be decoded, or is another file.
    """
    from PIL import Image

    from vjepa_fer.video import decode_video
    from vjepa_fer.video.reading import source_sha256

    if sha256 is not None and source_sha256(path) != sha256:
        raise VideoError("changed", os.fspath(path), "not the file that the features were made from")
    # what was extracted of a film that breaks off, or changes its size, was asked for then
    frames = decode_video(path, _shrink, choose=_evenly, accept_truncated=True, accept_resize=True).frames
    buffer = io.BytesIO()
    Image.fromarray(np.hstack(list(frames))).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _evenly(num_frames: int) -> list[int]:
    return np.unique(np.linspace(0, num_frames - 1, NUM_FRAMES).round().astype(int)).tolist()


def _shrink(rgb: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3) uint8 made `HEIGHT` high, every pixel the mean of those that it stands for."""
    from PIL import Image

    height, width = rgb.shape[:2]
    size = max(round(width * HEIGHT / height), 1), HEIGHT
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).resize(size, Image.Resampling.BOX))
