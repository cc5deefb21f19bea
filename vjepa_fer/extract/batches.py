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

Tell = Callable[[str], None]


def nobody(_line: str) -> None:
    """Is told and says nothing."""


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

    def compile(self, tell: Tell = nobody) -> None:
        """Have torch fuse the encoder's small operations, for the batches to come; `tell` is told when it serves them no more."""


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
        self._compiled: LoadedEncoder | None = None
        self._tell: Tell = nobody

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

    def compile(self, tell: Tell = nobody, *, backend: str | Callable[..., Any] = "inductor") -> None:
        """Have torch compile the encoder's block for batches of this size, and for no other.

        A batch that halves later is encoded without it, and `tell` is told: to compile once more where memory has just run out is a gamble.
        """
        black = self._black()
        self._compiled = compile_encoder(
            self.encoder,
            lambda twin: self.link.seconds_of(lambda: encode_levels(twin, self._normed(black), self.recipe)),
            backend=backend,
        )
        self._tell = tell

    def leave_eager(self) -> None:
        """Encode as if nothing had been compiled."""
        self._compiled = None
        if self.encoder.device.type == "cuda":
            torch.cuda.empty_cache()

    def seconds_a_row(self) -> float:
        """Of a whole batch without compiling, by the device's own clock, the kernels loaded; its size halves if it does not fit."""
        self.leave_eager()
        while True:
            try:
                self._batch_seconds()  # loads kernels
                return self._batch_seconds() / self.size
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(error)

    def _batch_seconds(self) -> float:
        black = self._black()
        return self.link.seconds_of(lambda: self._levels(black))

    def _launch(self, rows: list[Row]) -> tuple[list[Row], Landing]:
        pixels = self.link.send(self._stage(rows))
        levels = self.link.run(lambda: self._levels(pixels))
        return rows, self.link.fetch(levels)

    def _levels(self, pixels: torch.Tensor) -> Levels:
        return encode_levels(self._compiled or self.encoder, self._normed(pixels), self.recipe)

    def _normed(self, pixels: torch.Tensor) -> torch.Tensor:
        return normalise(pixels, self.recipe.preprocessing)

    def _black(self) -> torch.Tensor:
        """A batch's pixels on the device."""
        return _black_pixels(self.size, self.encoder, self.recipe)

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
        if self._compiled is not None:
            self._tell(f"memory ran out on {self.encoder.device}: batches of {self.size}, no longer compiled")
        self.leave_eager()


def _black_pixels(count: int, encoder: LoadedEncoder, recipe: Recipe) -> torch.Tensor:
    """As those of so many windows are sent: (B, T, H, W, 3), uint8."""
    shape = (count, recipe.sampling.frames_per_window, *recipe.preprocessing.crop_shape, 3)
    return torch.zeros(shape, dtype=torch.uint8, device=encoder.device)


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
    peaks = []
    for count in (1, 2):
        torch.cuda.reset_peak_memory_stats(encoder.device)
        encode_levels(encoder, normalise(_black_pixels(count, encoder, recipe), recipe.preprocessing), recipe)
        peaks.append(torch.cuda.max_memory_allocated(encoder.device))
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(encoder.device)
    fits = max(int(free * 2 / 3) // max(peaks[1] - peaks[0], 1), 1)
    return min(1 << (fits.bit_length() - 1), _MOST)
