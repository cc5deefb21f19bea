"""What a film says of how it should be shown beside its pixels, and what is done about it: pixels that are not square, HDR, a crop.

Cameras of television and old discs store pixels that are to be drawn wider or narrower, and players draw them so; models are mostly
fed what is stored. Which of the two it was has to be known.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from vjepa_fer.video.crop import container_crop

_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of H.273
_MOST = 20  # to one: whatever is beyond is no picture's


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Width of a pixel in units of its height, 1 if nothing is said: by the container or, where it is silent, the codec."""
    aspect = Fraction(
        stream.sample_aspect_ratio or 1
    )  # PyAV before 19: None where nothing is said; since then a rational of its own
    return aspect if Fraction(1, _MOST) <= aspect <= _MOST else Fraction(1)


def squared(size: tuple[int, int], aspect: Fraction) -> tuple[int, int]:
    """Height and width at which pixels of this aspect are square: the width changes, as ``scale=iw*sar:ih`` has it.

    >>> squared((240, 320), Fraction(16, 15))
    (240, 341)
    """
    height, width = size
    return height, max(int(width * aspect), 1)


def notes_on_looks(path: Path, container: InputContainer, stream: VideoStream, *, square_pixels: bool) -> list[str]:
    """One note, in words that follow the file's name, on each."""
    return [
        *_about_pixels(pixel_aspect(stream), stream.codec_context.sample_aspect_ratio, square_pixels),
        *_about_crop(container_crop(path, container.format.name)),
        *_about_transfer(int(stream.codec_context.color_trc)),
    ]


def _about_pixels(aspect: Fraction, of_codec: Fraction | None, square_pixels: bool) -> list[str]:
    notes = []
    if of_codec and of_codec != aspect:
        notes.append(
            f"its pixels are {_ratio(of_codec)} by its codec and {_ratio(aspect)} by its container, which counts"
        )
    if aspect != 1:
        done = "made square" if square_pixels else "taken as they are stored; --square-pixels makes them square"
        notes.append(f"its pixels are not square ({_ratio(aspect)}): {done}")
    return notes


def _ratio(aspect: Fraction) -> str:
    return f"{aspect.numerator}:{aspect.denominator}"


def _about_crop(crop: str | None) -> list[str]:
    return [f"its container asks for a crop ({crop}), which is not applied"] if crop else []


def _about_transfer(transfer: int) -> list[str]:
    """HDR films are brighter on a screen than their numbers say."""
    name = _HDR.get(transfer)
    return [f"its transfer is HDR ({name}): its numbers are taken as they are, without tone mapping"] if name else []
