"""Tokens of windows go in, a clip's views as one sequence each come out, as a probe sees them that was fitted on joined windows; and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vjepa_fer.features import windows_in_time

if TYPE_CHECKING:
    from vjepa_fer.video import Window


def windows_of(windows: Sequence[Window]) -> np.ndarray:
    """Which windows stand behind each other in a view's sequence, and how often, int64."""
    start, times = np.array([(window.start_frame, window.multiplicity) for window in windows]).T
    return windows_in_time(start, times)


def join_views(tokens: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Tokens of window-views, a window's views side by side, (num_windows · num_views, T, D) → (num_views, len(order) · T, D)."""
    num_tokens, dim = tokens.shape[1:]
    by_window = tokens.reshape(order.max() + 1, -1, num_tokens, dim)[order]
    return by_window.swapaxes(0, 1).reshape(-1, len(order) * num_tokens, dim)


def part_views(weights: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Weights of the joined tokens (num_views, H, len(order) · T) → (num_windows · num_views, H, T); copies of a window are added up."""
    num_views, num_heads = weights.shape[:2]
    by_window = np.moveaxis(weights.reshape(num_views, num_heads, len(order), -1), 2, 0)
    total = np.zeros((order.max() + 1, *by_window.shape[1:]), weights.dtype)
    np.add.at(total, order, by_window)
    return total.reshape(-1, *total.shape[2:])
