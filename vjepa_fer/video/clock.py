"""What a file says about the times of its frames comes in, times that rise from frame to frame go out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_RESTART = 1.0  # seconds; a clock that goes back by less is only jittery


def rising_seconds(
    pts: Sequence[float | None], dts: Sequence[float | None], frames_per_second: float
) -> tuple[np.ndarray, str]:
    """Times of a film's frames, and a note where they had to be mended ("" where not).

    Presentation times where they rise. Else the times of decoding, which rise with the frames as they come out of the decoder: a
    container that only has these (AVI with B-frames) is read so by libav, too. Else those of the nominal rate, if there is none at all;
    or presentation times again, mended: after a clock that begins anew they go on at that rate, and frames that
    do not come after those before them are spread evenly.

    Parameters
    ----------
    pts, dts : sequence of float or None, length N
        Seconds of presentation and of decoding.
    frames_per_second : float
        Nominal; 0 if unknown.

    Returns
    -------
    seconds : ndarray, shape (N,), float64
        NaN where nothing at all is known.
    note : str
    """
    frame = 1 / frames_per_second if frames_per_second else np.nan
    for given in (pts, dts):
        times = _filled(given, frame)
        if np.isfinite(times).all() and (np.diff(times) > 0).all():
            return times, ""
    if None in pts:
        return np.arange(len(pts)) * frame, ""
    return _mended(
        np.array(pts, np.float64), frame
    ), "its clock does not always go forward: those times are made to rise"


def _filled(given: Sequence[float | None], frame: float) -> np.ndarray:
    """Times, NaN where there is none; the last frames to leave a decoder bear none of decoding and follow at the nominal rate."""
    times = np.array([np.nan if time is None else time for time in given], np.float64)
    known = np.flatnonzero(np.isfinite(times))
    if len(known):
        last = known[-1]
        times[last + 1 :] = times[last] + frame * np.arange(1, len(times) - last)
    return times


def _mended(times: np.ndarray, frame: float) -> np.ndarray:
    if np.isnan(frame):
        rises = np.diff(times)
        frame = float(np.median(rises[rises > 0])) if (rises > 0).any() else 1.0
    back = np.flatnonzero(np.diff(times) < -_RESTART) + 1
    for start in back:
        times[start:] += times[start - 1] + frame - times[start]
    highest = np.maximum.accumulate(times)
    good = np.concatenate([[True], times[1:] > highest[:-1]])
    places = np.flatnonzero(good)
    last = places[-1]
    mended = np.interp(np.arange(len(times)), places, times[places])
    mended[last:] = times[last] + frame * np.arange(len(times) - last)
    return mended
