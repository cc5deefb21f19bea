"""A cache and a level go in; a dataset that torch's ``DataLoader`` takes comes out, and what makes a batch of clips of unequal length.

::

    clips of 2, 3 and 1 rows      a a · b b b · c
    pad_clips                     a a 0 | b b b | c 0 0      x (3, 3, …), mask (3, 3): which rows are a clip's own
    join_clips                    a a b b b c                x (6, …), offsets [0, 2, 5, 6]: where each clip begins

torch itself is loaded with the first item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

ROWS = ("x", "multiplicity", "mask")
"""What an item has a row a window-view of."""


class Clips(Protocol):
    """What is read of a cache: as many clips as it has, each by its number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True, eq=False)
class ClipDataset:
    """One item a clip, for workers under fork, spawn and forkserver alike: no file stays open between items.

    An item is a dictionary: ``x`` tensor (R, …) of the level as stored (float16 or float32; int8 decoded to float32), with a row
    for each of the clip's R window-views; ``multiplicity`` int64 (R,), how many of the sampling rule's windows a row stands for; ``mask``
    bool (R,), all true; ``label`` the number of its class in `classes`, ``clip_id``, ``subject``.

    Clips differ in R. The items that a ``DataLoader`` fetches for one batch come padded to the longest, as :func:`pad_clips` does, so that its
    own collation stacks them; whatever is computed of a batch has to respect its mask. :func:`join_clips` takes the padding off again.

    >>> from torch.utils.data import DataLoader
    >>> from vjepa_fer.cache import join_clips
    >>> tokens = cache.torch_dataset("tokens")
    >>> for batch in DataLoader(tokens, batch_size=2, shuffle=True, num_workers=1):
    ...     own = batch["mask"][:, :, None, None, None, None]
    ...     means = (batch["x"] * own).sum(1) / own.sum(1)  # over each clip's own windows: (2, T', H', W', D)
    >>> for batch in DataLoader(tokens, batch_size=2, collate_fn=join_clips):
    ...     starts = batch["offsets"][:-1]
    ...     first_windows = batch["x"][starts]
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
            "multiplicity": torch.from_numpy(clip.multiplicity.astype(np.int64)),
            "mask": torch.ones(len(clip), dtype=torch.bool),
            "label": self.classes.index(clip.clip.label),
            "clip_id": clip.clip.clip_id,
            "subject": clip.clip.subject,
        }

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The items of one batch, padded to the longest: ``DataLoader`` asks for them together."""
        return _padded([self[index] for index in indices])


def pad_clips(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of clips of unequal length for ``DataLoader(…, collate_fn=pad_clips)``, also where others have fetched the items one by one.

    Returns
    -------
    dict
        ``x`` (B, R, …) of the longest clip's R rows, ``multiplicity`` int64 (B, R), ``mask`` bool (B, R); both are 0 where a clip has no
        row. ``label`` int64 (B,); ``clip_id`` and ``subject``, lists of B.
    """
    from torch.utils.data import default_collate

    return default_collate(_padded(items))


def join_clips(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of clips of unequal length, one after the other without padding, for ``DataLoader(…, collate_fn=join_clips)``.

    Returns
    -------
    dict
        ``x`` (N, …) and ``multiplicity`` int64 (N,) of all clips' N rows; ``offsets`` int64 (B + 1,): clip b has the rows
        ``offsets[b]:offsets[b + 1]``. ``label`` int64 (B,); ``clip_id`` and ``subject``, lists of B.
    """
    import torch
    from torch.utils.data import default_collate

    counts = [int(item["mask"].sum()) for item in items]
    joined = {
        name: torch.cat([item[name][:count] for item, count in zip(items, counts, strict=True)])
        for name in ROWS
        if name != "mask"
    }
    offsets = torch.tensor([0, *counts]).cumsum(0)
    others = default_collate([{name: value for name, value in item.items() if name not in ROWS} for item in items])
    return {**joined, "offsets": offsets, **others}


def _padded(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items with as many rows as the longest has, zeros after their own."""
    longest = max(len(item["mask"]) for item in items)
    return [item | {name: _lengthened(item[name], longest) for name in ROWS} for item in items]


def _lengthened(rows: Any, length: int) -> Any:
    if len(rows) == length:
        return rows
    longer = rows.new_zeros((length, *rows.shape[1:]))
    longer[: len(rows)] = rows
    return longer
