"""Pixels go to a device and levels come home from it; how long each took is told to the clock.

On CUDA the copies run beside the encoder, on streams of their own, and the time is the device's: a clock on the host would book the wait
for one stage under another. Nothing here waits for the device but :meth:`Landing.wait`, which sleeps until it is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch

from vjepa_fer.extract.clock import Stage, StageClock

Levels = dict[str, torch.Tensor]


class Landing(Protocol):
    """Levels on their way home."""

    def wait(self) -> Levels:
        """On the CPU, once they are there."""


class Link(Protocol):
    """The way to a device and back."""

    def empty(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Bytes on the CPU, from which :meth:`send` is fast."""

    def send(self, staged: torch.Tensor) -> torch.Tensor:
        """Bytes on the device."""

    def run(self, work: Callable[[], Levels]) -> Levels:
        """Have the device do `work` on what was sent."""

    def fetch(self, levels: Levels) -> Landing:
        """Start the way home."""

    def seconds_of(self, work: Callable[[], Levels]) -> float:
        """Do `work` to its end, which the stage clock hears nothing of."""


def link_to(device: torch.device, clock: StageClock) -> Link:
    """The fastest link to a device."""
    return CudaLink(device, clock) if device.type == "cuda" else PlainLink(device, clock)


class PlainLink:
    """Each step is done when its call returns; so says the host's clock."""

    def __init__(self, device: torch.device, clock: StageClock) -> None:
        self._device, self._clock = device, clock

    def empty(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.empty(shape, dtype=torch.uint8)

    def send(self, staged: torch.Tensor) -> torch.Tensor:
        with self._clock.stage("transfer"):
            return staged.to(self._device)

    def run(self, work: Callable[[], Levels]) -> Levels:
        with self._clock.stage("encode"):
            return work()

    def fetch(self, levels: Levels) -> Landing:
        with self._clock.stage("encode"):
            return _Landed({kind: tensor.cpu() for kind, tensor in levels.items()})

    def seconds_of(self, work: Callable[[], Levels]) -> float:
        started = time.perf_counter()
        for tensor in work().values():
            tensor.cpu()
        return time.perf_counter() - started


class _Landed:
    def __init__(self, levels: Levels) -> None:
        self._levels = levels

    def wait(self) -> Levels:
        return self._levels


class CudaLink:
    """Copies of one batch run while the device works on another."""

    def __init__(self, device: torch.device, clock: StageClock) -> None:
        self._device, self._clock = device, clock
        self._up, self._down = torch.cuda.Stream(device), torch.cuda.Stream(device)
        self._spans: list[_Span] = []

    def empty(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True)

    def send(self, staged: torch.Tensor) -> torch.Tensor:
        with torch.cuda.stream(self._up), _Span("transfer", self._up) as span:
            pixels = staged.to(self._device, non_blocking=True)
        self._spans = [span]  # those of a batch that did not fit are given up with it
        working = torch.cuda.current_stream(self._device)
        working.wait_stream(self._up)
        pixels.record_stream(working)
        return pixels

    def run(self, work: Callable[[], Levels]) -> Levels:
        with _Span("encode", torch.cuda.current_stream(self._device)) as span:
            levels = work()
        self._spans.append(span)
        return levels

    def fetch(self, levels: Levels) -> Landing:
        self._down.wait_stream(torch.cuda.current_stream(self._device))
        home = {}
        with torch.cuda.stream(self._down), _Span("transfer", self._down) as span:
            for kind, tensor in levels.items():
                home[kind] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                home[kind].copy_(tensor, non_blocking=True)
                tensor.record_stream(self._down)
        return _CudaLanding(home, [*self._spans, span], self._clock)

    def seconds_of(self, work: Callable[[], Levels]) -> float:
        with _Span("encode", torch.cuda.current_stream(self._device)) as span:
            work()
        span.ended.synchronize()
        return span.seconds


class _Span:
    """A stretch of a stream between two of its events, the last of which whoever waits for it sleeps on."""

    def __init__(self, stage: Stage, stream: torch.cuda.Stream) -> None:
        self.stage, self._stream = stage, stream
        self._began, self.ended = (torch.cuda.Event(enable_timing=True, blocking=True) for _ in range(2))

    def __enter__(self) -> _Span:
        self._began.record(self._stream)
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.record(self._stream)

    @property
    def seconds(self) -> float:
        return self._began.elapsed_time(self.ended) / 1e3


class _CudaLanding:
    def __init__(self, levels: Levels, spans: list[_Span], clock: StageClock) -> None:
        self._levels, self._spans, self._clock = levels, spans, clock

    def wait(self) -> Levels:
        self._spans[-1].ended.synchronize()
        for span in self._spans:
            self._clock.add(span.stage, span.seconds)
        return self._levels
