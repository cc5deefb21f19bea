"""The name of a file comes in; whether it is a video's, a picture's or another file's by its suffix goes out.

libav looks at what is in a file, not at its name, so that any name works when it is given by itself. In a folder the suffix decides
what is looked at. The list is libav's own for the containers that are opened (``tests/manifest/test_suffixes.py`` compares), without those of
sound and of single pictures, and with the further names that cameras, discs and players give to the same containers.
"""

from __future__ import annotations

_OF_CONTAINERS = {
    "MP4 and QuickTime": ".mp4 .m4v .mov .qt .3gp .3gpp .3g2 .f4v .mj2 .ismv .ism .psp .insv .lrv",
    "Matroska and WebM": ".mkv .mk3d .webm",
    "AVI": ".avi .divx .xvid",
    "Flash": ".flv",
    "MPEG transport stream": ".ts .m2t .m2ts .mts .tp .trp .tod",
    "MPEG program stream": ".mpg .mpeg .mpe .m2p .mod .vob .evo .vro",
    "MPEG video alone": ".m1v .m2v .mpv",
    "Windows Media": ".wmv .asf",
    "Ogg": ".ogv .ogm .ogg .ogx",
    "RealMedia": ".rm .rmvb",
    "further containers": ".mxf .nut .dv .dif .gif .apng .y4m .ivf",
    "H.264, H.265 and AV1 alone": ".264 .h264 .avc .h26l .265 .h265 .hevc .obu",
    "pictures in a row": ".mjpeg .mjpg",
}

VIDEO_SUFFIXES = frozenset(suffix for suffixes in _OF_CONTAINERS.values() for suffix in suffixes.split())
"""In lower case, with the dot."""

PICTURE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".bmp", ".webp"])
"""Of the frames of a clip that is handed out as a folder of pictures."""


def suffix_of(name: str) -> str:
    """The last suffix in lower case, with its dot; "" where there is none.

    >>> suffix_of("a.b.MP4"), suffix_of("README")
    ('.mp4', '')
    """
    stem, dot, suffix = name.rpartition(".")
    return dot + suffix.lower() if stem and suffix else ""
