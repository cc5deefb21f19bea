"""One clip comes in, with several ways of looking at it; the pixels of each go out, and the film is decoded once for all.

What comes out for one look, or why nothing does, is what :func:`~vjepa_fer.video.reading.read_clip` gives for it alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vjepa_fer.errors import VideoError
from vjepa_fer.recipe import FaceCrop, Preprocessing, Sampling
from vjepa_fer.video.decoding import DecodedVideo, decode_video
from vjepa_fer.video.kept import MAX_BYTES, FrameStore
from vjepa_fer.video.others import Decoder
from vjepa_fer.video.reading import (
    ClipPixels,
    Preparer,
    assemble_clip,
    choose_windows,
    preparer,
    read_windows,
    unchanged,
)
from vjepa_fer.video.sampling import indices_of, needed_frames
from vjepa_fer.video.times import frame_seconds


class Look(NamedTuple):
    """Which frames of a video, and which of their pixels."""

    sampling: Sampling
    preprocessing: Preprocessing


class Reading(NamedTuple):
    """How a video is read, whoever looks at it; as :func:`~vjepa_fer.video.reading.read_windows` takes them."""

    max_bytes: int = MAX_BYTES
    decoder: Decoder = "pyav"
    accept_truncated: bool = False
    accept_resize: bool = False
    picture_rate: float | None = None
    clip_id: str = ""


Found = ClipPixels | VideoError


def read_together(
    path: str | os.PathLike[str], looks: Sequence[Look], how: Reading
) -> Iterator[tuple[int, Found, str]]:
    """Yield the place of each look, its pixels or its error, and the SHA-256 of the file ("" with an error).

    Frames that several looks need are decoded and turned to RGB once; all that are held at once are `max_bytes` at most, and
    what goes beyond is read again, when the others are given out. Looks that differ in ``square_pixels`` see frames of other
    sizes, and each of the two has a pass; so has each that perturbs its frames, since it may ask for others than it shows.
    """
    for square in (False, True):
        group = {n: look for n, look in enumerate(looks) if look.preprocessing.square_pixels == square}
        yield from _read_group(path, group, how)


def _read_group(path: str | os.PathLike[str], group: dict[int, Look], how: Reading) -> Iterator[tuple[int, Found, str]]:
    alone = [number for number, look in group.items() if look.preprocessing.perturb is not None]
    shared = {number: look for number, look in group.items() if number not in alone}
    if len(shared) == 1:
        alone += shared
    elif shared:
        together = _Together(path, shared, how)
        sha256 = ""
        try:
            _, sha256 = unchanged(path, together.read)
        except VideoError as error:  # the file is another by now, or gone: nothing that came of it counts
            pixels = [number for number, found in together.found.items() if not isinstance(found, VideoError)]
            together.found |= dict.fromkeys(pixels, error)
        alone += sorted(together.left)
        while together.found:
            number, found = together.found.popitem()
            yield number, found, "" if isinstance(found, VideoError) else sha256
            del found
    for number in alone:
        yield _read_alone(path, number, group[number], how)


def _read_alone(path: str | os.PathLike[str], number: int, look: Look, how: Reading) -> tuple[int, Found, str]:
    try:
        pixels, sha256 = unchanged(path, lambda: read_windows(path, *look, **how._asdict()))
    except VideoError as error:
        return number, error, ""
    return number, pixels, sha256


class _NobodyLooksError(Exception):
    """No look is left that could come of decoding."""


class _Together:
    """Several looks at one film on its way through the decoder.

    Attributes
    ----------
    found : dict
        Look → its pixels, or its error.
    left : set of int
        Looks that have to be read by themselves, which decides what becomes of them: there is no room beside the others, packets
        told other times than frames have, or it will come to nothing.
    """

    def __init__(self, path: str | os.PathLike[str], looks: dict[int, Look], how: Reading) -> None:
        self.path, self.looks, self.how = path, looks, how
        self.found: dict[int, Found] = {}
        self.left: set[int] = set()
        self._preparers: dict[int, Preparer] = {}
        self._seconds: np.ndarray | None = None
        self._wanted: dict[int, set[int]] = {}
        self._stores: dict[int, FrameStore] = {}
        self._numbers: Iterator[int] = iter(())
        self._held = 0

    def read(self) -> None:
        """Decode, and fill `found` and `left`."""
        self._get_ready()
        try:
            video = decode_video(
                self.path,
                self._keep,
                choose=self._choose,
                decoder=self.how.decoder,
                accept_truncated=self.how.accept_truncated,
                accept_resize=self.how.accept_resize,
                square_pixels=next(iter(self.looks.values())).preprocessing.square_pixels,
                picture_rate=self.how.picture_rate,
            )
        except _NobodyLooksError:
            return
        except VideoError as error:  # the film's, and so everybody's
            self.found |= dict.fromkeys(self._open(), error)
            return
        for number in self._open():
            self._finish(number, video)

    def _open(self) -> list[int]:
        """Looks of which it is not known yet what becomes of them."""
        return [number for number in self.looks if number not in self.found and number not in self.left]

    def _get_ready(self) -> None:
        """Look for faces, and for the times of frames, as far as somebody asks."""
        accepts = {"accept_truncated": self.how.accept_truncated, "accept_resize": self.how.accept_resize}
        faces: dict[FaceCrop | None, Preparer | VideoError] = {}
        timed = [number for number, look in self.looks.items() if look.sampling.frames_per_second is not None]
        for number, look in self.looks.items():
            crop = look.preprocessing.face_crop
            if crop not in faces:
                try:
                    faces[crop] = preparer(self.path, look.preprocessing, **accepts)
                except VideoError as error:
                    faces[crop] = error
            known = faces[crop]
            if isinstance(known, VideoError):
                self.found[number] = known
            else:
                self._preparers[number] = Preparer(known.path, look.preprocessing, known.squares)
        try:
            if timed:
                rate, accepts_break = self.how.picture_rate, self.how.accept_truncated
                self._seconds = frame_seconds(self.path, rate, accept_truncated=accepts_break)
        except VideoError as error:
            self.found |= {number: error for number in timed if number not in self.found}

    def _seconds_of(self, number: int) -> np.ndarray | None:
        return None if self.looks[number].sampling.frames_per_second is None else self._seconds

    def _choose(self, num_frames: int) -> list[int]:
        """Begin a pass through a film of so many frames: which of them anybody needs."""
        self._wanted, self._stores, self._held = {}, {}, 0
        for number in self._open():
            sampling = self.looks[number].sampling
            try:
                windows = choose_windows(self.path, num_frames, sampling, self._seconds_of(number))
            except VideoError:
                self.left.add(number)
                continue
            numbers = self._preparers[number].begin(needed_frames(windows), num_frames)
            self._wanted[number] = set(numbers)
            self._stores[number] = FrameStore(self.path, len(numbers), self.how.max_bytes)
        if not self._wanted:
            raise _NobodyLooksError
        union = sorted(set().union(*self._wanted.values()))
        self._numbers = iter(union)
        return union

    def _keep(self, rgb: np.ndarray) -> np.ndarray:
        """Have the next needed frame (H, W, 3) prepared for everybody who needs it."""
        frame = next(self._numbers)
        for number in [number for number, wanted in self._wanted.items() if frame in wanted]:
            self._keep_for(number, rgb)
        if not self._wanted:
            raise _NobodyLooksError
        return _NOTHING

    def _keep_for(self, number: int, rgb: np.ndarray) -> None:
        store, pixels = self._stores[number], self._preparers[number](rgb)
        try:
            size = 0 if store.count else store.check_room(pixels.nbytes)
        except VideoError:
            size = self.how.max_bytes + 1
        if self._held + size > self.how.max_bytes:
            self.left.add(number)
            del self._wanted[number], self._stores[number]
            return
        self._held += size
        store.keep(pixels)

    def _finish(self, number: int, video: DecodedVideo) -> None:
        look, seconds = self.looks[number], self._seconds_of(number)
        try:
            windows = choose_windows(self.path, video.num_frames, look.sampling, video.timestamps)
            if seconds is not None and (
                len(seconds) != video.num_frames
                or choose_windows(self.path, len(seconds), look.sampling, seconds) != windows
            ):
                self.left.add(number)
                return
            self._preparers[number].check(video.num_frames)
        except VideoError:
            self.left.add(number)
            return
        times, frames = video.timestamps[indices_of(windows)], self._stores.pop(number).frames
        self.found[number] = assemble_clip(
            frames, windows, times, video.num_frames, look.preprocessing, notes=video.notes
        )


_NOTHING = np.zeros(1, np.uint8)
"""What the decoder itself keeps of a frame."""
