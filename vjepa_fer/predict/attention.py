"""An attentive probe's weights on tokens and the frames behind them go in; a PNG strip or an MP4 with both laid together comes out.

A weight belongs to a cell of pixels: a tubelet (two frames, say) in time, a patch or a cell of the stored grid in the plane. Cells are
drawn as they are, over the very pixels that the encoder saw (its crop, its views), so that nothing is interpolated or guessed::

    window   t0 t1 t2 …        each picture: the tubelet's first frame, brighter where the query looked
    view 0   ▣  ▣  ▣           the strip: a row a window and view, a column a tubelet
    view 1   ▣  ▣  ▣           the film: all frames of every window in turn, views side by side
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from vjepa_fer.disk import make_folders, write_durably
from vjepa_fer.errors import ProbeError, RunError
from vjepa_fer.evaluation import FittedProbe
from vjepa_fer.extras import import_matplotlib
from vjepa_fer.predict.features import level_read
from vjepa_fer.recipe import Recipe, parse_level

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vjepa_fer.video import ClipPixels

AttentionFormat = Literal["png", "mp4"]

MOST_ROWS = 12
"""Windows and views that a strip shows; of more, so many evenly over the video."""
DIMMED = 0.25
"""Brightness of a cell that the query does not look at."""


@dataclass(frozen=True, eq=False)
class Attention:
    """Where the query of an attentive probe looks in a video.

    Attributes
    ----------
    path : Path
    weights : ndarray of float32, shape (num_windows, num_views, num_heads, T', H', W')
        Softmax weights, summing to 1 over a window-view's tokens; where the probe sees the mean over windows (and views), the same
        for all of them; where it sees all windows of a view joined, they sum to 1 over all of these.
    pixels : ClipPixels
        What the encoder saw, window by window.
    """

    path: Path
    weights: np.ndarray
    pixels: ClipPixels

    @classmethod
    def of(cls, path: Path, pixels: ClipPixels, weights: np.ndarray) -> Attention:
        """From weights (num_rows, num_heads, T', H', W') of all window-views, or one row for all of them."""
        shape = len(pixels.windows), pixels.preprocessing.num_views
        rows = np.broadcast_to(weights, (shape[0] * shape[1], *weights.shape[1:]))
        return cls(path, rows.reshape(*shape, *weights.shape[1:]), pixels)

    @property
    def tubelet_size(self) -> int:
        """Frames that one token stands for."""
        return self.pixels.rows.shape[1] // self.weights.shape[3]

    def shown(self, head: int | None = None) -> np.ndarray:
        """Weights (num_windows, num_views, T', H', W'): the mean over heads, or one head's.

        Raises
        ------
        ProbeError
            There is no such head.
        """
        if head is None:
            return self.weights.mean(axis=2)
        if not 0 <= head < self.weights.shape[2]:
            raise ProbeError(f"head {head} is not one of 0 … {self.weights.shape[2] - 1}")
        return self.weights[:, :, head]


def token_shape(fitted: FittedProbe, recipe: Recipe) -> tuple[int, int, int]:
    """Tokens of the probe's level along time, height and width.

    Raises
    ------
    ProbeError
        The probe sees a clip as one vector, or as tokens of another width than the encoder's.
    """
    kind, side = parse_level(level_read(fitted))
    steps, height, width = recipe.token_grid
    shape = {"tokens": (steps, height, width), "grid": (steps, side or 0, side or 0), "frames": (steps, 1, 1)}.get(kind)
    seen: int | None = getattr(fitted.probe.probe, "embed_dim_", None)
    if shape and seen == recipe.encoder.embed_dim:
        return shape
    if seen is None:
        raise ProbeError(
            f"{type(fitted.probe.probe).__name__} looks at no tokens; `probe --probe attentive --refit` fits one that does"
        )
    raise ProbeError(
        f"the probe sees level {fitted.level} as vectors of {seen} numbers, not as the encoder's tokens of "
        f"{recipe.encoder.embed_dim}: fit it on tokens, grid or frames with --param embed_dim={recipe.encoder.embed_dim}"
    )


def write_attention(
    attention: Attention,
    folder: str | os.PathLike[str],
    name: str,
    *,
    kind: AttentionFormat = "png",
    head: int | None = None,
) -> Path:
    """Write ``folder/NAME-attention.png`` or ``.mp4``.

    Raises
    ------
    RunError
        It cannot be written.
    ProbeError
        There is no such head.
    MissingExtraError
        matplotlib is not installed.
    """
    import_matplotlib("pictures of attention")
    path = Path(folder) / f"{name}-attention.{kind}"
    try:
        make_folders(path.parent)
        if kind == "png":
            write_durably(path, lambda file: draw_attention(attention, head=head).savefig(file, format="png", dpi=100))
        else:
            write_durably(path, lambda file: _write_film(attention, file, head, container_format=path.suffix[1:]))
    except OSError as error:
        raise RunError(f"{path}: the attention cannot be written ({error.strerror or error})") from error
    return path


def lay_over(frame: np.ndarray, weights: np.ndarray, most: float) -> np.ndarray:
    """A frame (H, W, 3) uint8 with the weights (H', W') of its cells: dark where there is none, warm and bright at `most`."""
    import_matplotlib()
    from matplotlib import colormaps

    rows, columns = (
        np.arange(length) * cells // length for length, cells in zip(frame.shape, weights.shape, strict=False)
    )
    share = np.clip(weights / most, 0, 1)[rows][:, columns, None]
    warm = colormaps["inferno"](0.2 + 0.75 * share[..., 0])[..., :3] * 255
    lit = frame * (DIMMED + (1 - DIMMED) * share)
    return np.clip(lit * (1 - 0.35 * share) + warm * 0.35 * share, 0, 255).astype(np.uint8)


def draw_attention(attention: Attention, *, head: int | None = None) -> Figure:
    """The strip: a row a window and view, a column a tubelet, seconds above; the scale counts in units of looking everywhere alike."""
    import_matplotlib()
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    weights = attention.shown(head)
    num_windows, num_views, steps = weights.shape[:3]
    rows = np.unique(np.linspace(0, num_windows * num_views - 1, MOST_ROWS).round().astype(int))
    most, tokens = float(weights.max()), weights[0, 0].size
    figure = Figure(figsize=(1.15 * steps + 0.9, 1.3 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), steps, squeeze=False)
    for line, row in zip(axes, rows.tolist(), strict=True):
        window, view = divmod(row, num_views)
        frames = attention.pixels.window_pixels(window)[view]
        for step, place in enumerate(line):
            first = step * attention.tubelet_size
            place.imshow(lay_over(frames[first], weights[window, view, step], most))
            place.set_title(f"{attention.pixels.timestamps[window, first]:.2f} s", fontsize=7, pad=2)
            place.set(xticks=[], yticks=[])
        line[0].set_ylabel(f"window {window}" + (f", view {view}" if num_views > 1 else ""), fontsize=7)
    scale = ScalarMappable(Normalize(0, most * tokens), "inferno")
    bar = figure.colorbar(scale, ax=axes, fraction=0.02, pad=0.01)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("× even attention" + ("" if head is None else f", head {head}"), fontsize=7)
    return figure


def _film(attention: Attention, head: int | None) -> Iterator[np.ndarray]:
    """Every frame of every window, views side by side."""
    weights = attention.shown(head)
    most = float(weights.max())
    for window, own in enumerate(weights):
        frames = attention.pixels.window_pixels(window)
        for number in range(frames.shape[1]):
            step = number // attention.tubelet_size
            yield np.hstack([lay_over(view[number], w[step], most) for view, w in zip(frames, own, strict=True)])


def _write_film(attention: Attention, file: BinaryIO, head: int | None, *, container_format: str) -> None:
    import av

    gaps = np.diff(attention.pixels.timestamps, axis=1)
    gap = float(np.median(gaps[gaps > 0])) if (gaps > 0).any() else 0.04
    rate = Fraction(1 / gap).limit_denominator(1000)
    with av.open(file, "w", format=container_format) as container:
        stream = container.add_stream("libx264" if "libx264" in av.codecs_available else "mpeg4", rate=rate)
        side = attention.pixels.preprocessing.crop_size
        stream.width, stream.height, stream.pix_fmt = side * attention.weights.shape[1], side, "yuv420p"
        for picture in _film(attention, head):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
