"""One clip comes in, the pixels of all its windows go out: decode → sample → keep each needed frame once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vjepa_fer.disk import open_regular
from vjepa_fer.errors import VideoError
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video.decoding import DecodedVideo, decode_video
from vjepa_fer.video.kept import MAX_BYTES
from vjepa_fer.video.others import Decoder
from vjepa_fer.video.pictures import list_pictures, pictures_sha256
from vjepa_fer.video.prepare import Preparer
from vjepa_fer.video.sampling import Window, indices_of, most_windows, needed_frames, sample_windows
from vjepa_fer.video.times import frame_seconds
from vjepa_fer.video.transforms import crop_views


@dataclass(frozen=True, eq=False)
class ClipPixels:
    """A clip ready for the encoder: its windows, and every frame that some window needs, once.

    Attributes
    ----------
    frames : ndarray, shape (K, H, W, 3), uint8
        Resized frames: (crop, crop) for one view, else with a short side of the crop's length.
    windows : tuple of Window
        The W windows.
    rows : ndarray, shape (W, F), int64
        For each frame of each window its place in `frames`.
    timestamps : ndarray, shape (W, F), float64
        And its time on the file's clock, in seconds.
    num_frames : int
        Frames of the clip, counted by decoding them.
    preprocessing : Preprocessing
        What `frames` were prepared for.
    notes : tuple of str
        As :attr:`~vjepa_fer.video.DecodedVideo.notes`.
    """

    frames: np.ndarray
    windows: tuple[Window, ...]
    rows: np.ndarray
    timestamps: np.ndarray
    num_frames: int
    preprocessing: Preprocessing
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.windows) == len(self.rows) == len(self.timestamps) or self.frames.ndim != 4:
            raise ValueError(f"{len(self.windows) = }, {self.rows.shape = }, {self.frames.shape = }")

    def __repr__(self) -> str:
        return f"ClipPixels({len(self.windows)} windows, frames {self.frames.shape} of {self.num_frames})"

    def window_pixels(self, window: int) -> np.ndarray:
        """All views of one window: (V, F, crop, crop, 3) uint8, a copy of just these pixels."""
        return crop_views(self.frames, self.preprocessing)[:, self.rows[window]]


def read_windows(
    path: str | os.PathLike[str],
    sampling: Sampling,
    preprocessing: Preprocessing,
    *,
    max_bytes: int = MAX_BYTES,
    decoder: Decoder = "pyav",
    accept_truncated: bool = False,
    accept_resize: bool = False,
    picture_rate: float | None = None,
    clip_id: str = "",
) -> ClipPixels:
    """Decode a clip, a video or a folder of pictures, once and return the pixels of its windows.

    Parameters
    ----------
    max_bytes : int
        Refuse a clip whose needed frames are more than this, rather than fill the memory.
    decoder, accept_truncated, accept_resize
        As :func:`~vjepa_fer.video.decode_video` takes them.
    picture_rate : float, optional
        How many pictures of a folder are a second; a rule by time needs it.
    clip_id : str
        Whose draws a perturbation takes.

    Raises
    ------
    VideoError
        See its `reason`; nothing is ever put in the place of a frame that cannot be decoded.
    MissingExtraError
        A face crop is asked for and the detector is not installed.
    """
    prepare = preparer(path, preprocessing, accept_truncated=accept_truncated, accept_resize=accept_resize)
    if preprocessing.perturb is not None:
        from vjepa_fer.video.perturbing import Perturbing

        prepare = Perturbing(prepare, preprocessing.perturb, clip_id, max_bytes)

    def decoded(seconds: np.ndarray | None) -> DecodedVideo:
        def needed(num_frames: int) -> Sequence[int]:
            return prepare.begin(needed_frames(choose_windows(path, num_frames, sampling, seconds)), num_frames)

        return decode_video(
            path,
            prepare,
            choose=needed,
            max_bytes=max_bytes,
            decoder=decoder,
            accept_truncated=accept_truncated,
            accept_resize=accept_resize,
            square_pixels=preprocessing.square_pixels,
            picture_rate=picture_rate,
        )

    video, windows = by_true_times(path, sampling, decoded, picture_rate, accept_truncated=accept_truncated)
    prepare.check(video.num_frames)
    times = video.timestamps[indices_of(windows)]
    frames = prepare.result(video.frames)
    return assemble_clip(frames, windows, times, video.num_frames, preprocessing, notes=video.notes)


def by_true_times(
    path: str | os.PathLike[str],
    sampling: Sampling,
    decoded: Callable[[np.ndarray | None], DecodedVideo],
    picture_rate: float | None = None,
    *,
    accept_truncated: bool = False,
) -> tuple[DecodedVideo, tuple[Window, ...]]:
    """Decode what the rule asks for, and again in the rare case that packets said other times than the frames do.

    Parameters
    ----------
    decoded : callable
        Decodes with windows chosen by these times; None for a rule in frames.

    Returns
    -------
    DecodedVideo, tuple of Window

    Raises
    ------
    VideoError
        ``changed``, when the frames have other times the second time; or what `decoded` raises.
    """
    seconds = None
    if sampling.frames_per_second is not None:
        seconds = frame_seconds(path, picture_rate, accept_truncated=accept_truncated)
    for _ in range(2):
        video = decoded(seconds)
        windows = choose_windows(path, video.num_frames, sampling, video.timestamps)
        if seconds is None or (
            len(seconds) == video.num_frames and choose_windows(path, len(seconds), sampling, seconds) == windows
        ):
            return video, windows
        seconds = video.timestamps
    raise VideoError("changed", os.fspath(path), "had other times each time it was read: is it still being written?")


def choose_windows(
    path: str | os.PathLike[str], num_frames: int, sampling: Sampling, seconds: np.ndarray | None
) -> tuple[Window, ...]:
    """:func:`~vjepa_fer.video.sampling.sample_windows` of a video of `num_frames` frames, which are shown at `seconds`.

    Raises
    ------
    VideoError
        ``too_long``: its windows are more than can be held; ``unreadable``: a rule by time, and its frames have none.
    """
    timed = sampling.frames_per_second is not None
    if timed and seconds is not None:
        if not np.isfinite(seconds).all():
            raise VideoError("unreadable", os.fspath(path), "some of its frames have no time: sample it by frames")
        _check_count(path, most_windows(sampling, seconds), sampling.frames_per_window)
        if len(seconds) != num_frames:  # packets are not always frames: decoding will say when these are shown
            seconds = np.zeros(num_frames)
    windows = sample_windows(num_frames, sampling, seconds if timed else None)
    _check_count(path, len(windows), sampling.frames_per_window)
    return windows


MOST_FRAMES = 1 << 25
"""Of all windows of a clip, a frame as often as it is in one: their numbers, places and times take a gigabyte."""


def _check_count(path: str | os.PathLike[str], windows: int, frames: int) -> None:
    if windows * frames > MOST_FRAMES:
        message = f"has {windows:,} windows of {frames:,} frames; at most {MOST_FRAMES // frames:,} are held at once"
        raise VideoError("too_long", os.fspath(path), f"{message}: sample fewer (a larger stride) or cut the film up")


def preparer(
    path: str | os.PathLike[str],
    preprocessing: Preprocessing,
    *,
    accept_truncated: bool = False,
    accept_resize: bool = False,
) -> Preparer:
    """Look for the face, where the recipe asks for it, and say what is to be done to the video's frames."""
    squares = None
    if preprocessing.face_crop is not None:
        from vjepa_fer.video.faces import find_face_squares

        squares = find_face_squares(
            path,
            preprocessing.face_crop,
            accept_truncated=accept_truncated,
            accept_resize=accept_resize,
            square_pixels=preprocessing.square_pixels,
        )
    return Preparer(os.fspath(path), preprocessing, squares)


def assemble_clip(
    frames: np.ndarray,
    windows: tuple[Window, ...],
    timestamps: np.ndarray,
    num_frames: int,
    preprocessing: Preprocessing,
    *,
    notes: Sequence[str] = (),
) -> ClipPixels:
    """Put a clip together from the frames that its windows need, in order, the windows, and their timestamps (W, F)."""
    indices = indices_of(windows)
    return ClipPixels(
        frames=frames,
        windows=windows,
        rows=np.searchsorted(needed_frames(windows), indices),
        timestamps=timestamps,
        num_frames=num_frames,
        preprocessing=preprocessing,
        notes=tuple(notes),
    )


T = TypeVar("T")


def unchanged(path: str | os.PathLike[str], read: Callable[[], T]) -> tuple[T, str]:
    """What `read` gives, and the SHA-256 of the very file, or pictures, that it read.

    Raises
    ------
    VideoError
        As `read`; or ``changed``, when the file was replaced or written to meanwhile.
    """
    before = _version_of(path)
    found = read()
    sha256 = source_sha256(path)
    if before is None or _version_of(path) != before:
        raise VideoError(
            "changed", os.fspath(path), "the file was replaced or written to while it was read: try again later"
        )
    return found, sha256


def _version_of(path: str | os.PathLike[str]) -> tuple[tuple[int, ...], ...] | None:
    try:
        files = list_pictures(path) if os.path.isdir(path) else [path]
        found = [os.stat(file) for file in files]
    except (OSError, ValueError):
        return None  # reading it will say why
    return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in found)


def source_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a video file, in hex; of a folder that of its pictures, :func:`~vjepa_fer.video.pictures.pictures_sha256`.

    Raises
    ------
    VideoError
        It is gone, or cannot be read.
    """
    if os.path.isdir(path):
        return pictures_sha256(path)
    try:
        with open(open_regular(path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise VideoError("changed", os.fspath(path), f"cannot be read, or not any more ({error.strerror})") from error
