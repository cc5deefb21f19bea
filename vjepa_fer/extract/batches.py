"""Windows of many clips go in, pooled levels come out of a GPU: batches of one shape that know nothing of clips.

The last, incomplete batch is filled up with black windows, so that every window goes through the very same kernels and its
numbers do not depend on what shared its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from vjepa_fer.encoder import LoadedEncoder, compile_encoder
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.levels import encode_levels
from vjepa_fer.extract.links import Landing, Levels, link_to
from vjepa_fer.recipe import Recipe
from vjepa_fer.video import normalise

_MOST = 64
_UNMEASURED = 4  # where torch cannot say what is free (Apple's MPS)


class Row(Protocol):
    """One window-view on its way: its pixels, and what is to become of its levels."""

    pixels: np.ndarray

    def finish(self, levels: dict[str, np.ndarray]) -> None:
        """Take this row's levels."""


class RowEncoder(Protocol):
    """What encodes rows: a :class:`Batcher`, or the :class:`~vjepa_fer.extract.lanes.Lanes` of a CPU."""

    size: int
    """Rows to collect before a call of `run`."""

    @property
    def at_once(self) -> int:
        """Rows that cost no more time than one."""

    def run(self, rows: Sequence[Row]) -> None:
        """Encode rows; some are finished by a later call."""

    def land(self) -> None:
        """Finish them all."""

    def close(self) -> None:
        """Let go of what was held for the next call."""

    def compile(self) -> None:
        """Have torch fuse the encoder's small operations, for the batches to come."""


class Batcher:
    """Runs batches on one device: the next one starts before the results of the last are fetched.

    Parameters
    ----------
    size : int, optional
        Window-views a batch; by default as many as there is memory for.

    Attributes
    ----------
    size : int
        Now: it halves when the device runs out of memory.
    """

    def __init__(self, encoder: LoadedEncoder, recipe: Recipe, clock: StageClock, *, size: int | None = None) -> None:
        self.encoder, self.recipe = encoder, recipe
        self.link = link_to(encoder.device, clock)
        self.size = size or auto_batch_size(encoder, recipe)
        self._flying: tuple[list[Row], Landing] | None = None

    @property
    def at_once(self) -> int:
        """Rows that cost no more time than one: a whole batch."""
        return self.size

    def run(self, rows: Sequence[Row]) -> None:
        """Encode rows, in batches of `size`; those of the last batch are finished by the next call or by :meth:`land`."""
        waiting = list(rows)
        while waiting:
            batch = waiting[: self.size]
            try:
                launched = self._launch(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(error)
                continue
            self.land()
            self._flying = launched
            waiting = waiting[len(batch) :]

    def land(self) -> None:
        """Finish the rows of the batch that is still on the device."""
        if self._flying is None:
            return
        rows, landing = self._flying
        self._flying = None
        arrays = {kind: tensor.numpy() for kind, tensor in landing.wait().items()}
        for position, row in enumerate(rows):
            row.finish({kind: array[position] for kind, array in arrays.items()})

    def close(self) -> None:
        """Give up the batch that is on the device."""
        self._flying = None

    def compile(self, *, backend: str | Callable[..., Any] = "inductor") -> None:
        """Have torch compile the encoder's block for batches of this size, and for no other."""
        height, width = self.recipe.preprocessing.crop_shape
        shape = (self.size, 3, self.recipe.sampling.frames_per_window, height, width)
        compile_encoder(self.encoder, shape, backend=backend)

    def _launch(self, rows: list[Row]) -> tuple[list[Row], Landing]:
        pixels = self.link.send(self._stage(rows))
        levels = self.link.run(lambda: self._levels(pixels))
        return rows, self.link.fetch(levels)

    def _levels(self, pixels: torch.Tensor) -> Levels:
        return encode_levels(self.encoder, normalise(pixels, self.recipe.preprocessing), self.recipe)

    def _stage(self, rows: list[Row]) -> torch.Tensor:
        """The rows' pixels as one uint8 tensor of constant shape."""
        pixels = self.link.empty((self.size, *rows[0].pixels.shape))
        array = pixels.numpy()
        for position, row in enumerate(rows):
            array[position] = row.pixels
        array[len(rows) :] = 0
        return pixels

    def _shrink(self, error: Exception) -> None:
        self.land()
        if self.size == 1:
            raise too_small(self.encoder) from error
        self.size //= 2
        if self.encoder.device.type == "cuda":
            torch.cuda.empty_cache()


def too_small(encoder: LoadedEncoder) -> VjepaFerError:
    """What to say when not even one window can be encoded."""
    return VjepaFerError(
        f"{encoder.spec.name} in {encoder.precision} does not fit into the memory of "
        f"{encoder.device} with a single window: try --precision bfloat16, or a smaller model"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch's allocator of the CPU says so in words only."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def auto_batch_size(encoder: LoadedEncoder, recipe: Recipe) -> int:
    """The power of two up to 64 that fits into two thirds of a GPU's free memory, from what one and two windows take."""
    if encoder.device.type != "cuda":
        return _UNMEASURED
    height, width = recipe.preprocessing.crop_shape
    peaks = []
    for count in (1, 2):
        torch.cuda.reset_peak_memory_stats(encoder.device)
        shape = (count, recipe.sampling.frames_per_window, height, width, 3)
        pixels = normalise(torch.zeros(shape, dtype=torch.uint8, device=encoder.device), recipe.preprocessing)
        encode_levels(encoder, pixels, recipe)
        peaks.append(torch.cuda.max_memory_allocated(encoder.device))
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(encoder.device)
    fits = max(int(free * 2 / 3) // max(peaks[1] - peaks[0], 1), 1)
    return min(1 << (fits.bit_length() - 1), _MOST)
