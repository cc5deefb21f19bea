"""What a sweep needs of a cache, of caches that were joined, or of a cache under other labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, Self

from vjepa_fer.cache import Cache, CachedClip, Features, WindowFeatures
from vjepa_fer.manifest import Clip, Manifest


class Source(Protocol):
    """What a sweep needs of a cache."""

    @property
    def clips(self) -> tuple[Clip, ...]:
        """Those that are evaluated, in order."""

    @property
    def manifest(self) -> Manifest:
        """What else is known of them."""

    @property
    def caches(self) -> tuple[Cache, ...]:
        """What it was made from."""

    @property
    def fingerprint(self) -> str:
        """Of the recipe, or of all recipes that were joined."""

    @property
    def root(self) -> Path:
        """The folder."""

    def only(self, keep: Callable[[Clip], bool]) -> Self:
        """The same with some of the clips."""

    def __iter__(self) -> Iterator[CachedClip]:
        """The clips as they are cached, in the order of `clips`."""

    def features(self, level: str) -> Features:
        """The level as a feature matrix, one row a clip."""

    def window_features(self, level: str) -> WindowFeatures:
        """The level as a feature matrix, one row a window."""
