"""What is taken from a clip's sound, as values: by which program, at which rate, over which time; the recipe of a cache of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from vjepa_fer.recipe.bounds import check_most, take_fields
from vjepa_fer.recipe.checks import check, check_choice, shown
from vjepa_fer.recipe.levels import Storage, layer_of, parse_level

SOUND_SEMANTICS = 1
"""Raised whenever our own code changes a number that the recipe of a sound promises."""


@dataclass(frozen=True, kw_only=True)
class SpeechEncoder:
    """A speech encoder that the library transformers computes, as a value.

    Attributes
    ----------
    model_type : str
        The library's name of the architecture, such as ``wav2vec2``.
    weights : str
        SHA-256 of the weights.
    embed_dim, depth : int
        Numbers of a layer at a moment, and layers.
    hop_samples, least_samples : int
        From a moment to the next, and what the first one sees: 320 and 400 of the models that are known.
    normalised : bool
        Whether each clip's samples are brought to mean 0 and variance 1 first, as its feature extractor says.
    masked : bool
        Whether clips of other lengths may stand beside one in a batch, because they change none of its numbers: the feature extractor gives a
        mask, and no norm is taken over time.
    repository, revision : str
        On the hub, and its commit; both empty for a folder.
    config : str
        The configuration where it differs from the library's defaults, as JSON.
    """

    model_type: str
    weights: str
    embed_dim: int
    depth: int
    hop_samples: int
    least_samples: int
    normalised: bool
    masked: bool
    repository: str = ""
    revision: str = ""
    config: str

    def __post_init__(self) -> None:
        take_fields(self, "speech.")


@dataclass(frozen=True, kw_only=True)
class SoundRecipe:
    """Everything that decides what a stored number of a clip's sound is.

    Attributes
    ----------
    features : str
        ``egemaps``, ``egemaps-lld``, or the name of a speech encoder.
    library, version : str
        ``opensmile`` or ``transformers`` and its release: another one may give other numbers, and so makes another fingerprint.
    columns : tuple of str
        What opensmile calls its numbers; () of a speech encoder.
    speech : SpeechEncoder, optional
    sampling_rate : int
        Samples a second that the track is brought to, in Hz.
    channels : {"mean"}
        What is made of several: their mean, after the rate is changed.
    track : {"first"}
        Which of a file's sound tracks is taken.
    storage : Storage
        ``mean``: one vector a clip. Else ``frames`` after one or several layers: a row a moment, each with its time.
    """

    features: str
    library: Literal["opensmile", "transformers"]
    version: str
    columns: tuple[str, ...] = ()
    speech: SpeechEncoder | None = None
    sampling_rate: int = 16_000
    channels: Literal["mean"] = "mean"
    track: Literal["first"] = "first"
    storage: Storage = field(default_factory=lambda: Storage(levels=("frames",)))
    semantics: int = SOUND_SEMANTICS
    kind: Literal["sound"] = "sound"

    def __post_init__(self) -> None:
        check_choice("library", self.library, Literal["opensmile", "transformers"])
        check_choice("channels", self.channels, Literal["mean"])
        check_choice("track", self.track, Literal["first"])
        check(self.kind == "sound", f"kind {shown(self.kind)} is not 'sound'")
        take_fields(self)
        self._check_source()
        self._check_levels()

    def _check_source(self) -> None:
        is_speech = isinstance(self.speech, SpeechEncoder)
        check(is_speech or self.speech is None, f"speech {shown(self.speech)} is not a SpeechEncoder")
        check(
            is_speech == (self.library == "transformers") and is_speech != bool(self.columns),
            f"library {self.library}: opensmile has columns, transformers a speech encoder, neither has both",
        )
        check_most("characters of columns", sum(map(len, self.columns)), f"{len(self.columns):,} columns")

    def _check_levels(self) -> None:
        check(isinstance(self.storage, Storage), f"storage {shown(self.storage)} is not a Storage")
        kinds = {parse_level(level)[0] for level in self.storage.levels}
        listed = ", ".join(self.storage.levels)
        check(
            kinds <= {"mean", "frames"}, f"levels {listed}: a sound has mean or frames; it has no grid, and no tokens"
        )
        check(
            len(kinds) == 1,
            f"levels {listed}: take frames alone; a clip's mean is then read from its moments, and is stored nowhere else",
        )
        check(
            self.storage.token_dtype == Storage().token_dtype and self.storage.pooled_from == "output",
            "storage: mean and frames are float32, whatever else is said",
        )
        last = (self.speech.depth if self.speech else 1) - 1
        for level in self.storage.levels:
            layer = layer_of(level)
            check(
                layer is None or layer < last,
                f"level {level}: the layers of {self.features} are 0 to {last}, and the last one's levels have no number",
            )

    @property
    def is_over_time(self) -> bool:
        """Whether each row is a moment of its clip."""
        return parse_level(self.storage.levels[0])[0] == "frames"

    @property
    def clock(self) -> Literal["none", "seconds"]:
        """What the times of its moments are counted in, as :class:`~vjepa_fer.recipe.ImportedRecipe` says it."""
        return "seconds" if self.is_over_time else "none"

    @property
    def dim(self) -> int:
        """Numbers of a level, in a clip or at a moment."""
        return self.speech.embed_dim if self.speech else len(self.columns)

    @property
    def hop_seconds(self) -> float | None:
        """From a moment to the next, in seconds, as a speech encoder has it; opensmile says each moment's own time."""
        return float(Fraction(self.speech.hop_samples, self.sampling_rate)) if self.speech else None

    @property
    def title(self) -> str:
        """Which features of which library, for people: ``egemaps by opensmile 2.6.0``."""
        return f"{self.features} by {self.library} {self.version}"
