"""A recipe, a level and the number of a video's frames go in; what a prediction will take comes out, before anything is decoded.

What grows with the video is one vector a window and view. Pixels, tokens and activations are those of a few windows at a time: of as
many as the memory allows.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vjepa_fer.disk import bytes_for_people
from vjepa_fer.errors import VideoError
from vjepa_fer.features import Row
from vjepa_fer.predict.views import windows_of
from vjepa_fer.recipe import Recipe
from vjepa_fer.workers import total_memory

if TYPE_CHECKING:
    from vjepa_fer.extract.batches import RowEncoder
    from vjepa_fer.video import Window

_COPIES_OF_A_VECTOR = 2  # joined from their parts, or weighed for the mean
_COPIES_OF_A_VIEW = 2  # its windows one after the other, and laid out as one sequence
_COPIES_OF_A_LEVEL = 3  # as it comes, as it is stored, as it is read
_COPIES_OF_PIXELS = 2  # normalised, and laid out as patches; float32


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a prediction on one video will take.

    Attributes
    ----------
    num_frames, num_windows : int
        Of the video, counted by its packets; and windows to encode, each in as many views as the recipe says.
    windows_at_once : int
        Whose pixels and tokens are held together.
    bytes_at_once : int
        Of these, at most and roughly; beside the encoder's weights.
    bytes_kept : int
        Of what is kept until the last window.
    """

    num_frames: int
    num_windows: int
    windows_at_once: int
    bytes_at_once: int
    bytes_kept: int


def default_memory() -> int:
    """Bytes that a prediction may take beside the encoder's weights: half of the machine's."""
    return total_memory() // 2


def plan_video(
    path: str | os.PathLike[str],
    recipe: Recipe,
    level: str,
    rows: RowEncoder,
    memory_bytes: int,
    *,
    row: Row | None = "clip",
    accept_truncated: bool = False,
) -> Plan:
    """Count a video's frames, and plan its windows within `memory_bytes`.

    Parameters
    ----------
    rows : RowEncoder
        What will encode.
    row : {"clip", "window", "view"} or None
        What the probe sees at once, for which a vector a window and view is kept until the last of them is there; None: each window is
        decided by itself, and nothing is kept.
    accept_truncated : bool
        A file that breaks off is planned as far as it goes.

    Raises
    ------
    VideoError
        It cannot be read; or ``too_long``: what has to be kept, or a single window, takes more than that.
    """
    from vjepa_fer.video.reading import choose_windows
    from vjepa_fer.video.streaming import WINDOWS_AT_ONCE
    from vjepa_fer.video.times import count_frames, frame_seconds

    num_frames = count_frames(path, accept_truncated=accept_truncated)
    if not num_frames:
        raise VideoError("no_frames", Path(path), "its video stream holds no frame: fetch the file again")
    by_time = recipe.sampling.frames_per_second is not None
    seconds = frame_seconds(path, accept_truncated=accept_truncated) if by_time else None
    windows = choose_windows(path, num_frames, recipe.sampling, seconds)
    kept = bytes_of_vectors(recipe, level, windows, row) if row else 0
    most = max(WINDOWS_AT_ONCE, -(-rows.at_once // recipe.preprocessing.num_views))
    counts = [most >> halved for halved in range(most.bit_length())]
    needs = {count: bytes_at_once(recipe, level, rows, windows, count) for count in counts}
    fitting = next((count for count, need in needs.items() if kept + need <= memory_bytes), None)
    if fitting is None:
        raise _too_large(path, recipe, len(windows), kept, needs[1], memory_bytes)
    return Plan(
        num_frames=num_frames,
        num_windows=len(windows),
        windows_at_once=fitting,
        bytes_at_once=needs[fitting],
        bytes_kept=kept,
    )


def bytes_of_vectors(recipe: Recipe, level: str, windows: tuple[Window, ...], row: Row = "clip") -> int:
    """What a vector a window and view takes until the last of them is there, and the probe has seen them."""
    dim = math.prod(recipe.level_shape(level))
    held = _COPIES_OF_A_VECTOR * len(windows)
    if row == "view":
        held += _COPIES_OF_A_VIEW * len(windows_of(windows))
    return 4 * dim * held * recipe.preprocessing.num_views


def bytes_at_once(
    recipe: Recipe, level: str, rows: RowEncoder, windows: tuple[Window, ...], windows_at_once: int
) -> int:
    """What so many windows take while they are decoded, encoded and stored."""
    from vjepa_fer.encoder.fetching.facts import encoding_bytes
    from vjepa_fer.extract.lanes import Lanes
    from vjepa_fer.video.streaming import frames_held

    (height, width), views = recipe.preprocessing.crop_shape, recipe.preprocessing.num_views
    frame, row = 3 * height * width, 3 * height * width * recipe.sampling.frames_per_window
    made = "tokens" if recipe.storage.pooled_from != "output" else level
    numbers = math.prod(recipe.level_shape(made))
    num_rows = views * min(windows_at_once, len(windows))
    encoding = encoding_bytes(recipe.encoder.config, math.prod(recipe.token_grid), recipe.precision)
    side_by_side = min(num_rows, rows.at_once) if isinstance(rows, Lanes) else 0  # a GPU has a memory of its own
    pixels = frames_held(windows, windows_at_once) * frame * views + num_rows * row + rows.size * row
    return int(
        pixels + num_rows * 4 * _COPIES_OF_A_LEVEL * numbers + side_by_side * (encoding + 4 * _COPIES_OF_PIXELS * row)
    )


def _too_large(
    path: str | os.PathLike[str], recipe: Recipe, num_windows: int, kept: int, window: int, limit: int
) -> VideoError:
    most = f"at most {bytes_for_people(limit)} are taken: raise --memory"
    if window > limit:
        (height, width), views = recipe.preprocessing.crop_shape, recipe.preprocessing.num_views
        message = (
            f"a window of frames_per_window {recipe.sampling.frames_per_window}, crop_size {height} × {width} and num_views "
            f"{views} takes about {bytes_for_people(window)} to encode; {most}, or take another run"
        )
    else:
        message = (
            f"{num_windows:,} windows are to be encoded, and what they become takes {bytes_for_people(kept)} at once, one on its "
            f"way {bytes_for_people(window)}; {most}, or cut the film up"
        )
    return VideoError("too_long", Path(path), message)
