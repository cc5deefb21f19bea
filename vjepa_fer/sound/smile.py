"""A sound goes in; what opensmile computes of it comes out: the 88 functionals of eGeMAPS, or its 25 low-level descriptors every 10 ms."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from vjepa_fer.errors import VideoError
from vjepa_fer.extras import require_extra
from vjepa_fer.recipe import SoundRecipe, Storage
from vjepa_fer.sound.heard import Heard
from vjepa_fer.sound.reading import Sound

SETS = {"egemaps": ("Functionals", "mean"), "egemaps-lld": ("LowLevelDescriptors", "frames")}
"""Our names → opensmile's level, and ours: functionals are one vector a clip, low-level descriptors a row a moment."""

LEAST_SECONDS = 0.06
"""opensmile's longest window: it gives NaN for what is shorter."""

_LOUDEST = np.float32(32767 / 32768)


class SmileExtractor:
    """opensmile's eGeMAPSv02.

    Parameters
    ----------
    name : str
        One of :data:`SETS`.

    Raises
    ------
    MissingExtraError
        ``opensmile`` is not installed.
    """

    at_once = 1

    def __init__(self, name: str) -> None:
        require_extra("sound", ("opensmile",), f"--features {name}")
        import opensmile

        theirs, level = SETS[name]
        self._smile: Any = opensmile.Smile(
            feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel[theirs]
        )
        self.recipe = SoundRecipe(
            features=name,
            library="opensmile",
            version=version("opensmile"),
            columns=tuple(self._smile.feature_names),
            storage=Storage(levels=(level,)),
        )

    def check(self, sound: Sound) -> None:
        """Refuse what is shorter than a window."""
        if sound.seconds < LEAST_SECONDS:
            message = f"has {sound.seconds:.3f} s of sound; opensmile's windows are {LEAST_SECONDS:g} s long"
            raise VideoError("too_short", sound.path, message)

    def hear(self, sounds: Sequence[Sound]) -> list[Heard]:
        """What opensmile makes of each.

        Raises
        ------
        VideoError
            ``unreadable``: it failed, or gave a number that is not finite.
        """
        return [self._hear(sound) for sound in sounds]

    def _hear(self, sound: Sound) -> Heard:
        # opensmile wraps what is beyond 16 bits round to the other sign, and resampling may go there
        samples = np.clip(sound.samples, np.float32(-1), _LOUDEST)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "too short": NaN, which is looked at below
                table = self._smile.process_signal(samples, sound.rate)
        except Exception as error:  # its own class is not public
            message = f"opensmile cannot compute it: {' '.join(str(error).split())[:200]}"
            raise VideoError("unreadable", sound.path, message) from error
        values = table.to_numpy().astype(np.float32)
        if not np.isfinite(values).all():
            name = self.recipe.columns[int(np.flatnonzero(~np.isfinite(values).all(axis=0))[0])]
            raise VideoError("unreadable", sound.path, f"opensmile's {name} is not a finite number for it")
        seconds = table.index.get_level_values("start").total_seconds().to_numpy(dtype=np.float64)
        return Heard({self.recipe.storage.levels[0]: values}, seconds)
