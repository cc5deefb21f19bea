"""The faces found in each frame of a video go in; one square a frame comes out, round the largest face, moving smoothly.

    detections   frame 0: ▢ ▢   frame 1: ▢ ▢   frame 2: ▢   …        boxes, in no order
    tracks       ▢───▢───▢───▢      ▢───▢                            linked where boxes of neighbouring frames overlap
    followed     at each time the track that shows most face over all its frames; where there is none, the nearest in time
    square       `margin` times the face's longer side, averaged over time within a track, inside the frame

So a second face that is smaller, or larger for a moment only, changes nothing; a cut to another scene moves the square at once;
and where the face is not found (a turned head, a hand before it) the square waits, or glides to where the face is found again.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vjepa_fer.recipe import FaceCrop

MIN_OVERLAP = 0.3
"""Intersection over union from which two boxes are one face."""
MAX_GAP = 30
"""Frames for which a face may not be found and still be the same track."""


@dataclass(eq=False)
class Track:
    """One face: the frames in which it was found, and its box (left, top, width, height) in each."""

    frames: list[int] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)

    @property
    def area(self) -> float:
        """Pixels of face over all its frames."""
        return float(sum(box[2] * box[3] for box in self.boxes))

    def centre_and_size(self) -> np.ndarray:
        """Centre x, centre y and longer side for every frame from the first to the last, (F, 3); straight across gaps."""
        boxes = np.array(self.boxes, np.float64)
        seen = np.column_stack([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:].max(axis=1)])
        every = np.arange(self.frames[0], self.frames[-1] + 1)
        return np.column_stack([np.interp(every, self.frames, column) for column in seen.T])


def face_squares(detections: Sequence[np.ndarray], height: int, width: int, crop: FaceCrop) -> np.ndarray:
    """Where to cut each frame.

    Parameters
    ----------
    detections : sequence of ndarray, shape (num_faces, 4)
        For each frame the boxes of its faces: left, top, width, height in pixels.
    height, width : int
        Of a frame.
    crop : FaceCrop

    Returns
    -------
    ndarray, shape (num_frames, 3), int64
        Left, top and side of a square that lies wholly inside the frame; smaller than asked for where the frame is.

    Raises
    ------
    ValueError
        There is no face in any frame.
    """
    tracks = sorted(link_faces(detections), key=lambda track: track.area)
    if not tracks:
        raise ValueError("no face in any frame")
    owner, places = np.full(len(detections), -1), np.zeros((len(detections), 3))
    for number, track in enumerate(tracks):  # the largest is painted last, over the others
        span = slice(track.frames[0], track.frames[-1] + 1)
        owner[span], places[span] = number, track.centre_and_size()
    nearest = _nearest(np.flatnonzero(owner >= 0), len(owner))
    return _squares(_smooth(places[nearest], owner[nearest], crop.smoothing_frames), height, width, crop.margin)


def link_faces(detections: Sequence[np.ndarray]) -> list[Track]:
    """Boxes of one face in different frames, linked: the best overlaps first, each box in one track."""
    tracks: list[Track] = []
    active: list[Track] = []
    for number, boxes in enumerate(detections):
        active = [track for track in active if number - track.frames[-1] <= MAX_GAP]
        free = list(range(len(boxes)))
        overlaps = _overlaps([track.boxes[-1] for track in active], boxes)
        for where in np.argsort(-overlaps, axis=None, kind="stable"):
            row, column = map(int, np.unravel_index(where, overlaps.shape))
            track = active[row]
            if overlaps[row, column] >= MIN_OVERLAP and column in free and track.frames[-1] != number:
                free.remove(column)
                track.frames.append(number)
                track.boxes.append(boxes[column])
        started = [Track([number], [boxes[column]]) for column in free]
        tracks.extend(started)
        active.extend(started)
    return tracks


def _overlaps(ours: Sequence[np.ndarray], theirs: np.ndarray) -> np.ndarray:
    """Intersection over union of every two boxes, (num_ours, num_theirs)."""
    a = np.array(ours, np.float64).reshape(-1, 1, 4)
    b = np.asarray(theirs, np.float64).reshape(1, -1, 4)
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum((a[..., :2] + a[..., 2:]), (b[..., :2] + b[..., 2:]))
    common = np.clip(high - low, 0, None).prod(axis=-1)
    return common / np.maximum(a[..., 2:].prod(axis=-1) + b[..., 2:].prod(axis=-1) - common, 1e-9)


def _nearest(known: np.ndarray, count: int) -> np.ndarray:
    """For each of `count` positions the nearest of those `known` (ascending), the earlier of two."""
    every = np.arange(count)
    after = known[np.clip(np.searchsorted(known, every), 0, len(known) - 1)]
    before = known[np.clip(np.searchsorted(known, every, side="right") - 1, 0, len(known) - 1)]
    return np.where(np.abs(every - before) <= np.abs(after - every), before, after)


def _smooth(places: np.ndarray, owner: np.ndarray, length: int) -> np.ndarray:
    """The centred mean over `length` rows, never across a change of owner."""
    smoothed = np.empty_like(places)
    changes = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(owner)]
    for start, stop in itertools.pairwise(changes):
        sums = np.vstack([np.zeros(places.shape[1]), places[start:stop].cumsum(axis=0)])
        at = np.arange(stop - start)
        low, high = np.maximum(at - (length - 1) // 2, 0), np.minimum(at + length // 2 + 1, stop - start)
        smoothed[start:stop] = (sums[high] - sums[low]) / (high - low)[:, None]
    return smoothed


def _squares(places: np.ndarray, height: int, width: int, margin: float) -> np.ndarray:
    x, y, size = places.T
    side = np.clip(np.rint(margin * size), 2, min(height, width))
    left = np.clip(np.rint(x - side / 2), 0, width - side)
    top = np.clip(np.rint(y - side / 2), 0, height - side)
    return np.column_stack([left, top, side]).astype(np.int64)
