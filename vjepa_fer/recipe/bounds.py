"""A value of a recipe, from anywhere, goes in; it comes out in its one spelling, or an error names field, value and bound.

:data:`BOUNDS` says how large every field may be, and :data:`MOST` what some of them may make together. Both lie far beyond what
anybody uses, and are there for recipes that others wrote: what passes asks for no more memory or time than stated here.
"""

from __future__ import annotations

import numbers
import re
from typing import Any, NamedTuple, NoReturn, Protocol

from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe.checks import shown


class Bound(Protocol):
    """What a field may hold."""

    def take(self, name: str, value: Any) -> Any:
        """The value in its one spelling; :class:`RecipeError` where it is none."""


class Whole(NamedTuple):
    """A whole number from `least` to `most`; or None, where the field may be left out."""

    least: int
    most: int
    optional: bool = False

    def take(self, name: str, value: Any) -> int | None:
        """The number itself: 8.0 and True equal 8 and 1 in Python, and are no sizes."""
        if value is None and self.optional:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value <= self.most:
            _refuse(name, value, f"a whole number from {self.least:,} to {self.most:,}")
        return value


class Number(NamedTuple):
    """A finite number from `least` to `most`; or None, where the field may be left out."""

    least: float
    most: float
    optional: bool = False

    def take(self, name: str, value: Any) -> float | None:
        """As a float, so that 4 and 4.0, 0.0 and -0.0 have one fingerprint."""
        if value is None and self.optional:
            return None
        real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not real or not self.least <= value <= self.most:
            _refuse(name, value, f"a number from {self.least:,} to {self.most:,}")
        return float(value) + 0.0


class Flag(NamedTuple):
    """True or False."""

    def take(self, name: str, value: Any) -> bool:
        """The flag itself."""
        if not isinstance(value, bool):
            _refuse(name, value, "true or false")
        return value


class Text(NamedTuple):
    """A text of up to `most` characters, that UTF-8 can hold."""

    most: int

    def take(self, name: str, value: Any) -> str:
        """The text itself."""
        if not isinstance(value, str) or len(value) > self.most or _SURROGATE.search(value):
            _refuse(name, value, f"a text of up to {self.most:,} characters of Unicode")
        return value


class Several(NamedTuple):
    """From `least` to `most` values, each within one bound."""

    each: Bound
    least: int
    most: int

    def take(self, name: str, value: Any) -> tuple[Any, ...]:
        """A tuple of them."""
        if not isinstance(value, list | tuple):
            _refuse(name, value, "a list")
        if not self.least <= len(value) <= self.most:
            count = f"from {self.least:,} to {self.most:,}" if self.least < self.most else str(self.most)
            raise RecipeError(f"{name} must have {count} values, has {len(value):,}")
        return tuple(self.each.take(f"{name}[{number}]", one) for number, one in enumerate(value))


_SURROGATE = re.compile("[\ud800-\udfff]")


def _refuse(name: str, value: Any, expected: str) -> NoReturn:
    raise RecipeError(f"{name} {shown(value)} must be {expected}")


_RGB = 3

BOUNDS: dict[str, dict[str, Bound]] = {
    "EncoderSpec": {
        "name": Text(256),
        "img_size": Whole(1, 4096),
        "patch_size": Whole(1, 1024),
        "num_frames": Whole(1, 4096),
        "tubelet_size": Whole(1, 1024),
        "embed_dim": Whole(1, 65_536),
        "depth": Whole(1, 1024),
        "num_heads": Whole(1, 4096),
        "mlp_ratio": Number(0.001, 1000),
        "uniform_power": Flag(),
        "layer_norm_eps": Number(1e-30, 1),
        "weights": Text(128),
        "state_key": Text(256),
        "plugin": Text(256),
    },
    "LibraryModel": {
        "library": Text(64),
        "version": Text(64),
        "model_type": Text(64),
        "by_frame": Flag(),
        "special_tokens": Whole(0, 4096),
        "parameters": Whole(1, 1 << 35),
        "flops": Whole(1, 1 << 60),
        "repository": Text(256),
        "revision": Text(64),
        "config": Text(16_384),
    },
    "Sampling": {
        "frames_per_window": Whole(1, 4096),
        "frame_step": Whole(1, 1_000_000),
        "num_segments": Whole(1, 10_000),
        "stride": Whole(1, 1_000_000),
        "frames_per_second": Number(0.001, 1000, optional=True),
    },
    "FaceCrop": {
        "margin": Number(1, 10),
        "smoothing_frames": Whole(1, 1_000_000),
    },
    "Perturbation": {
        "steps": Several(Text(32), 1, 16),
        "seed": Whole(0, (1 << 32) - 1),
        "library": Text(128),
    },
    "Preprocessing": {
        "crop_size": Whole(1, 4096),
        "num_views": Whole(1, 64),
        "mean": Several(Number(-1000, 1000), _RGB, _RGB),
        "std": Several(Number(1e-6, 1000), _RGB, _RGB),
        "crop_width": Whole(1, 4096, optional=True),
        "square_pixels": Flag(),
    },
    "Processor": {
        "resize": Several(Whole(1, 4096), 1, 2),
        "rescale": Number(1e-6, 1e6),
        "offset": Number(-1000, 1000),
    },
    "Storage": {
        "levels": Several(Text(32), 1, 4096),
    },
    "Recipe": {
        "semantics": Whole(1, 1_000_000),
    },
    "ImportedRecipe": {
        "source": Text(1024),
        "source_sha256": Text(64),
        "columns": Several(Text(1024), 1, 1_000_000),
        "semantics": Whole(1, 1_000_000),
    },
    "SpeechEncoder": {
        "model_type": Text(64),
        "weights": Text(128),
        "embed_dim": Whole(1, 65_536),
        "depth": Whole(1, 1024),
        "hop_samples": Whole(1, 1_000_000),
        "least_samples": Whole(1, 1_000_000),
        "normalised": Flag(),
        "masked": Flag(),
        "repository": Text(256),
        "revision": Text(64),
        "config": Text(16_384),
    },
    "SoundRecipe": {
        "features": Text(256),
        "version": Text(64),
        "columns": Several(Text(1024), 0, 100_000),
        "sampling_rate": Whole(1000, 1_000_000),
        "semantics": Whole(1, 1_000_000),
    },
}
"""Every field of the parts of a recipe that is a number, a text, or several of these; the others are choices or parts themselves."""

MOST = {
    "frames of all windows of a clip": 1 << 20,
    "parameters": 1 << 35,
    "pixels a window": 1 << 28,
    "tokens a window": 1 << 18,
    "numbers in a window's tokens": 1 << 29,
    "bytes a stored row": 1 << 32,
    "characters of columns": 1 << 24,
}
"""What fields make together, at most: each ten times and more what the largest official encoder makes of 64 frames."""


def take_fields(owner: object, prefix: str = "") -> None:
    """Check each field of a part against :data:`BOUNDS`; numbers and lists take their one spelling."""
    for name, bound in BOUNDS[type(owner).__name__].items():
        object.__setattr__(owner, name, bound.take(prefix + name, getattr(owner, name)))


def check_most(what: str, amount: int, made_of: str) -> None:
    """Refuse more than :data:`MOST` says of `what`; `made_of` names the fields with their values."""
    if amount > MOST[what]:
        raise RecipeError(f"{made_of} make {amount:,} {what}; at most {MOST[what]:,} are taken")
