"""Float tokens go in, int8 codes with a scale and an offset for each channel come out; and back.

A channel of one window-view spans the codes −127 to 127, so the error is at most half a step of (max − min) / 254. Scales
are by channel because a few channels of a vision transformer are far larger than the rest: one scale for a whole token
would be three to five times less exact.
"""

from __future__ import annotations

import numpy as np


def quantise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round to 255 steps a channel.

    Parameters
    ----------
    values : ndarray of float, shape (R, …, D)

    Returns
    -------
    codes : ndarray of int8, shape (R, …, D)
    scales : ndarray of float32, shape (R, 2, D)
        Step and middle of each channel; infinite or NaN where the values are.
    """
    flat = np.asarray(values, np.float32).reshape(len(values), -1, values.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):  # the writer refuses scales that are not finite
        low, high = flat.min(axis=1), flat.max(axis=1)
        middle = low / 2 + high / 2
        step = (high - middle) / 127
        codes = (flat - middle[:, None]) / np.where(step > 0, step, 1)[:, None]
    codes = np.clip(np.rint(np.nan_to_num(codes)), -127, 127).astype(np.int8)
    return codes.reshape(values.shape), np.stack([step, middle], axis=1)


def dequantise(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Codes (R, …, D) and scales (R, 2, D) back to float32 (R, …, D)."""
    values = codes.reshape(len(codes), -1, codes.shape[-1]).astype(np.float32)
    values *= scales[:, :1]
    values += scales[:, 1:]
    return values.reshape(codes.shape)
