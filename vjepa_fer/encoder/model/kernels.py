"""A device goes in; which of torch's attention kernels is asked first comes out, instead of whichever torch's rules of thumb take."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

HOPPER = 9
"""Compute capability from which cuDNN's attention is the fastest that torch carries: its flash kernel was made for the cards before."""

_FLASH_FIRST = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.MATH,
]
_CUDNN_FIRST = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


def kernels_in_order(device: torch.device) -> list[SDPBackend]:
    """The first of these that takes the numbers at hand is used; empty: torch's own choice, where there is one kernel only."""
    if device.type != "cuda":
        return []
    return _CUDNN_FIRST if torch.cuda.get_device_capability(device)[0] >= HOPPER else _FLASH_FIRST


def chosen_kernels(device: torch.device) -> AbstractContextManager[None]:
    """Attention within the block is computed in this order of preference."""
    order = kernels_in_order(device)
    return _order.held(order) if order else nullcontext()


class _Order:
    """torch's order, which is the process's: ours as long as any device is at work, and then as it was."""

    def __init__(self) -> None:
        self._lock, self._users, self._set = threading.Lock(), 0, ExitStack()

    @contextmanager
    def held(self, order: list[SDPBackend]) -> Iterator[None]:
        """The first who comes sets it: cards of two kinds in one machine share that."""
        with self._lock:
            if not self._users:
                self._set.enter_context(sdpa_kernel(order, set_priority=True))
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._set.close()


_order = _Order()


def kernel_that_runs(
    device: torch.device, dtype: torch.dtype, *, num_heads: int, num_tokens: int, head_dim: int
) -> str:
    """Name of the kernel that takes queries of this kind: ``cudnn``, ``flash``, ``efficient`` or ``math``."""
    q = torch.empty(1, num_heads, num_tokens, head_dim, dtype=dtype, device=device)
    with chosen_kernels(device):
        choice = torch._fused_sdp_choice(q, q, q)
    return SDPBackend(choice).name.removesuffix("_ATTENTION").lower()
