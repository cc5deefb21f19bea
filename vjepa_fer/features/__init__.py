"""Cached levels in; matrices, streams of tokens, windows and scaled columns out."""

from __future__ import annotations

from vjepa_fer.features.matrix import Joined, join, open_streams
from vjepa_fer.features.scaling import Scaler, fit_scaler
from vjepa_fer.features.token_stream import TokenStream, take_rows
from vjepa_fer.features.windows import RULES, JoinedWindows, Windowed, join_windows, rows_of

__all__ = [
    "RULES",
    "Joined",
    "JoinedWindows",
    "Scaler",
    "TokenStream",
    "Windowed",
    "fit_scaler",
    "join",
    "join_windows",
    "open_streams",
    "rows_of",
    "take_rows",
]
