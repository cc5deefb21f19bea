"""A path that is no file of this machine: whoever reads files here asks it for its bytes, and need not know where they come from."""

from __future__ import annotations

import io
import os
import re
from typing import Protocol

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Ranges(Protocol):
    """A file elsewhere that is read by ranges."""

    step: int
    """Bytes to ask for at once where many follow one another."""

    def read_into(self, target: memoryview, offset: int) -> int:
        """Fill `target` from `offset` on; how many bytes there were."""


class Elsewhere:
    """Base of such paths; what else they answer is what readers of folders ask of a :class:`~pathlib.Path`."""

    def open_copy(self) -> int:
        """A descriptor of a copy of the whole file, which goes when it is closed."""
        raise NotImplementedError

    def open_ranges(self) -> Ranges:
        """The file, to be read by ranges."""
        raise NotImplementedError

    def open_file(self) -> io.RawIOBase:
        """The file as Python's own, read by ranges."""
        raise NotImplementedError


AnyPath = str | os.PathLike[str] | Elsewhere
"""A path on a disk, or the address of something elsewhere, such as ``s3://bucket/cache``."""


def is_url(text: object) -> bool:
    """Whether a path is the address of something elsewhere, such as ``s3://bucket/clip.mp4``."""
    return isinstance(text, str) and _URL.match(text) is not None
