"""A decoded frame comes in, its RGB pixels go out: turned as it is shown, with the numbers that the ffmpeg program gives.

libswscale chooses its arithmetic by pixel format, size, flags and what a frame says of its colours, and other releases choose
otherwise. Here every choice is spelled out, in the order in which the program takes it, so that a pixel depends on the file alone:

    turn (4:2:0, 4:4:4 … are turned as they are stored) → matrix, range, place of chroma, bicubic → RGB, 8 bits → turn (4:2:2 …)
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext

from vjepa_fer.errors import VjepaFerError

Turn = tuple[bool, bool, bool]
"""How a frame is turned before it is shown: transposed, then flipped in height, in width."""

UPRIGHT: Turn = (False, False, False)

_MATRICES = {  # by their number in H.273
    0: "bt709",
    1: "bt709",
    2: "bt601",  # not told
    3: "bt601",
    4: "fcc",
    5: "bt470",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020",
    10: "bt2020",  # constant luminance, which the program takes for the other
}
_OTHER_MATRICES = {
    8: "YCgCo",
    11: "SMPTE ST 2085",
    12: "of a matrix derived from the primaries",
    13: "of a matrix derived from the primaries, constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_LIMITED, _FULL = 1, 2


class ConversionError(ValueError):
    """These frames have no RGB pixels that could be relied on; the message follows a file's name."""


@dataclass(frozen=True)
class _Layout:
    """All that decides how a frame is converted."""

    format: av.VideoFormat
    width: int
    height: int
    matrix: int
    range: int
    turn: Turn
    size: tuple[int, int]


def turned_size(size: tuple[int, int], turn: Turn) -> tuple[int, int]:
    """Height and width after a turn; of a turned frame those before it."""
    return size[::-1] if turn[0] else size


class ToRGB:
    """Converts the frames of a film, one after the other.

    The filters are set up for the first frame, and again when one has another size, pixel format or colours.
    """

    def __init__(self) -> None:
        self._told: tuple[object, ...] = ()  # what the filters were set up for
        self._graph: Graph | None = None
        self._ends: tuple[FilterContext, FilterContext] | None = None

    def __call__(self, frame: av.VideoFrame, turn: Turn = UPRIGHT, size: tuple[int, int] | None = None) -> np.ndarray:
        """Pixels (H, W, 3) uint8 of a frame as it is shown.

        Parameters
        ----------
        turn : tuple of bool
        size : tuple of int, optional
            Height and width H, W that the frame is scaled to (bicubic), if it has others after turning.

        Raises
        ------
        ConversionError
        """
        pixels, width, height, matrix, limits = (
            frame.format,
            frame.width,
            frame.height,
            frame.colorspace,
            frame.color_range,
        )
        told = pixels.name, width, height, matrix, limits, turn, size
        if told != self._told or self._ends is None:
            shown_size = size or turned_size((height, width), turn)
            self._ends = self._connect(_Layout(pixels, width, height, int(matrix), int(limits), turn, shown_size))
            self._told = told
        source, sink = self._ends
        try:
            source.push(frame)
            shown: Any = sink.pull()
        except av.FFmpegError as error:
            raise _inconvertible(pixels) from error
        rgb: np.ndarray = shown.to_ndarray()
        return rgb

    def _connect(self, layout: _Layout) -> tuple[FilterContext, FilterContext]:
        self._graph = graph = Graph()  # which the contexts do not keep alive
        if hasattr(graph, "threads"):  # since PyAV 17.1; before, each graph starts some that stay idle
            graph.threads = 1
        width, height, pixels = layout.width, layout.height, layout.format
        try:
            source = graph.add_buffer(width=width, height=height, format=pixels, time_base=Fraction(1, 1000))
            filters = [graph.add(name, options) for name, options in _filters(layout)]
            sink = graph.add("buffersink")
            for one, next_one in itertools.pairwise([source, *filters, sink]):
                one.link_to(next_one)
            graph.configure()
        except av.FFmpegError as error:
            raise _inconvertible(layout.format) from error
        return source, sink


def _inconvertible(pixels: av.VideoFormat) -> ConversionError:
    return ConversionError(f"its pixel format {pixels.name} cannot be converted to RGB: re-encode it to H.264")


def _filters(layout: _Layout) -> Iterator[tuple[str, str | None]]:
    convert = [*_widened(layout), ("scale", _scale(layout)), ("format", "rgb24")]
    turns = list(_turns(layout.turn))
    first = _turns_as_stored(layout.format, layout.turn)
    yield from [*turns, *convert] if first else [*convert, *turns]


def _turns(turn: Turn) -> Iterator[tuple[str, str | None]]:
    transposed, flipped_rows, flipped_columns = turn
    if transposed:
        yield "transpose", "dir=cclock_flip"  # a plain transposition
    if flipped_columns:
        yield "hflip", None
    if flipped_rows:
        yield "vflip", None


def _turns_as_stored(pixels: av.VideoFormat, turn: Turn) -> bool:
    """Whether the program turns such frames before it converts them: where chroma is between the lumas, that differs."""
    if pixels.has_palette or pixels.is_bit_stream:
        return False
    across, down = (_subsampling(size(1 << 8)) for size in (pixels.chroma_width, pixels.chroma_height))
    return across == down or (pixels.is_planar and not turn[0])


def _subsampling(chroma_of_256: int) -> int:
    return (1 << 8) // chroma_of_256


def _scale(layout: _Layout) -> str:
    """Options of the conversion itself; on 8-bit frames of even height it is a table look-up, whatever the flags."""
    height, width = layout.size
    if not _turns_as_stored(layout.format, layout.turn):
        height, width = turned_size(layout.size, layout.turn)
    options = {"w": width, "h": height, "flags": "bicubic", "interl": 0, "out_range": "full", "threads": 1}
    if not layout.format.is_rgb:
        options |= {"in_color_matrix": _matrix(layout), "in_range": _range(layout)}
    if _subsampling(layout.format.chroma_height(1 << 8)) == _subsampling(layout.format.chroma_width(1 << 8)) == 2:
        options["in_v_chr_pos"] = 128  # between two rows, also of films that say otherwise and of interlaced ones
    return ":".join(f"{name}={value}" for name, value in options.items())


def _matrix(layout: _Layout) -> str:
    if layout.matrix in _OTHER_MATRICES:
        kind = _OTHER_MATRICES[layout.matrix]
        raise ConversionError(
            f"its colours are {kind}, which cannot be converted to RGB: re-encode it to H.264, BT.709"
        )
    return _MATRICES.get(layout.matrix, "bt601")


def _range(layout: _Layout) -> str:
    grey = _is_grey(layout.format) and not _grey_with_neutral_chroma(layout)
    full = grey or layout.range == _FULL or layout.format.name.startswith("yuvj")
    return "full" if full else "limited"


def _widened(layout: _Layout) -> Iterator[tuple[str, str | None]]:
    """Grey of more than 8 bits that says it has limited range is widened by the program; libswscale no longer does it."""
    target = _grey_with_neutral_chroma(layout)
    if target:
        yield "scale", "in_range=full:out_range=full"  # the same numbers
        yield "format", target
        yield "setparams", "range=limited"


def _grey_with_neutral_chroma(layout: _Layout) -> str | None:
    if layout.range != _LIMITED or not _is_grey(layout.format):
        return None
    name, bits = layout.format.name, layout.format.components[0].bits
    if name == "ya8":
        return "yuv444p"
    return f"yuv444p{bits}le" if name.startswith("gray") and 8 < bits <= 16 else None


def _is_grey(pixels: av.VideoFormat) -> bool:
    return not pixels.is_rgb and sum(not component.is_alpha for component in pixels.components) == 1


_TRIAL_FORMATS = ("yuv420p", "yuv420p10le", "yuv422p", "yuv444p12le", "yuv411p", "gray10le")
_TRIAL_SHA256 = "792bc42a4cfc1ad0d22dd63ebf843de552482b3f7c00cce8e5a410ca00a22e6f"


@functools.cache
def require_reference_pixels() -> None:
    """Convert a few small pictures and hold them to the ffmpeg program's: before a release of PyAV that differs fills a cache.

    Only on x86-64: on other processors libswscale's look-up of 8-bit colours rounds in its own way, and there is no reference.

    Raises
    ------
    VjepaFerError
        The pixels are others than a recipe promises.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return
    pixels = [ToRGB()(_trial_frame(name, _LIMITED, 1)).tobytes() for name in _TRIAL_FORMATS]
    if hashlib.sha256(b"".join(pixels)).hexdigest() != _TRIAL_SHA256:
        scaler = ".".join(map(str, av.library_versions["libswscale"]))
        raise VjepaFerError(
            f"PyAV {av.__version__} (libswscale {scaler}) converts colours to other numbers than the recipe promises: install "
            "another release, such as that in constraints.txt"
        )


def _trial_frame(name: str, limits: int, matrix: int) -> av.VideoFrame:
    """A picture of odd height in which every value occurs beside others that are far from it."""
    frame = av.VideoFrame(64, 35, name)
    frame.color_range, frame.colorspace = limits, matrix
    largest = (1 << frame.format.components[0].bits) - 1
    dtype = np.uint8 if largest < 256 else np.uint16
    for number, plane in enumerate(frame.planes):
        row, column = np.indices((plane.height, plane.line_size // dtype().itemsize))
        values = (row * 4099 + column) * (2654435761 + 2 * number) >> 7 & largest
        plane.update(values.astype(dtype).tobytes())
    return frame
