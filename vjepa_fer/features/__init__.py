"""Cached levels go in; feature matrices, streams of tokens, windows and scaled columns come out.

In reading order: `matrix` (levels of one cache or of several, a row a clip) · `alignment` (moments of several streams, by time) · `windows` (a row a window, and how answers about them become
one) · `ties` (which class values decide for) · `token_stream` (tokens, read as they are needed) · `scaling` (columns scaled by the training part).
"""

from __future__ import annotations

from vjepa_fer.features.alignment import AlignedClip, Alignment, align_clips
from vjepa_fer.features.matrix import (
    EARLY,
    FUSIONS,
    LATE,
    ONLY,
    STACKED,
    Joined,
    check_fusion,
    join,
    level_of_stream,
    open_streams,
)
from vjepa_fer.features.scaling import Scaler, fit_scaler
from vjepa_fer.features.ties import Decision, decide, equals_in, first_of_equals, shares_of_equals
from vjepa_fer.features.token_stream import Row, TokenStream, take_rows, windows_in_time
from vjepa_fer.features.windows import RULES, JoinedWindows, Windowed, join_windows, rows_of

__all__ = [
    "EARLY",
    "FUSIONS",
    "LATE",
    "ONLY",
    "RULES",
    "STACKED",
    "AlignedClip",
    "Alignment",
    "Decision",
    "Joined",
    "JoinedWindows",
    "Row",
    "Scaler",
    "TokenStream",
    "Windowed",
    "align_clips",
    "check_fusion",
    "decide",
    "equals_in",
    "first_of_equals",
    "fit_scaler",
    "join",
    "join_windows",
    "level_of_stream",
    "open_streams",
    "rows_of",
    "shares_of_equals",
    "take_rows",
    "windows_in_time",
]
