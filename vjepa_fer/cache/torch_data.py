"""A cache and a level go in; a dataset that torch's ``DataLoader`` takes comes out. torch itself is loaded with the first item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Clips(Protocol):
    """What is read of a cache: as many clips as it has, each by its number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True, eq=False)
class ClipDataset:
    """One item a clip, for workers under fork, spawn and forkserver alike: no file stays open between items.

    An item is a dictionary that torch's default collation understands: ``x`` tensor (R, …) of the level as stored (float16
    or float32; int8 decoded to float32), ``label`` the number of its class in `classes`, ``clip_id``, ``subject``.
    """

    cache: Clips
    level: str
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.cache)

    def __getitem__(self, index: int) -> dict[str, Any]:
        import torch

        clip = self.cache[index]
        return {
            "x": torch.from_numpy(clip.level(self.level, dtype="stored")),
            "label": self.classes.index(clip.clip.label),
            "clip_id": clip.clip.clip_id,
            "subject": clip.clip.subject,
        }
