"""The parts of a recipe go in, a whole one comes out; or that of features which another program made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from vjepa_fer.recipe.bounds import check_most, take_fields
from vjepa_fer.recipe.checks import check, check_choice, shown
from vjepa_fer.recipe.encoders import EncoderSpec
from vjepa_fer.recipe.levels import Storage, layer_of, level_shape, parse_level
from vjepa_fer.recipe.pixels import Preprocessing, Sampling
from vjepa_fer.recipe.sound import SoundRecipe

SEMANTICS = 2
"""Raised whenever our own code changes a number that a recipe promises.

2: pixels of every format, size and turn are the ffmpeg program's; 1 had other ones in films of more than 8 bits, of odd height,
of 4:1:1, and in grey ones of limited range.
"""

IMPORTED_SEMANTICS = 1
"""The same of features that another program made, which no pixel of ours is in."""

Precision = Literal["float32", "bfloat16", "float16"]
Clock = Literal["none", "frames", "seconds"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what a stored token is. Equal recipes give equal numbers.

    Attributes
    ----------
    encoder, sampling, preprocessing, storage
        The four parts.
    precision : {"float32", "bfloat16", "float16"}
        Of the encoder's matrix products.
    semantics : int
        :data:`SEMANTICS` of the code that wrote the tokens.
    """

    encoder: EncoderSpec
    sampling: Sampling = field(default_factory=Sampling)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    storage: Storage = field(default_factory=Storage)
    precision: Precision = "float32"
    semantics: int = SEMANTICS
    kind: Literal["encoder"] = "encoder"

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, Precision)
        check(self.kind == "encoder", f"kind {shown(self.kind)} is not 'encoder'")
        take_fields(self)
        self._check_grid()
        self._check_sizes()
        for level in self.storage.levels:
            self._check_level(level)

    def _check_grid(self) -> None:
        patch, tubelet = self.encoder.patch_size, self.encoder.tubelet_size
        frames = self.sampling.frames_per_window
        for crop in self.preprocessing.crop_shape:
            check(crop % patch == 0, f"crop_size {crop} is not a multiple of the encoder's patch size {patch}")
        check(frames % tubelet == 0, f"frames_per_window {frames} is not a multiple of the tubelet size {tubelet}")
        library, taken = self.encoder.library, self.encoder.num_frames
        check(
            library is None or library.by_frame or frames == taken,
            f"frames_per_window {frames}: {self.encoder.name} takes {taken} frames, no others; ask for `--frames {taken}`",
        )

    def _check_sizes(self) -> None:
        (height, width), views = self.preprocessing.crop_shape, self.preprocessing.num_views
        frames, dim, tokens = self.sampling.frames_per_window, self.encoder.embed_dim, math.prod(self.token_grid)
        window = f"frames_per_window {frames}, crop_size {height} × {width}"
        check_most("pixels a window", frames * height * width * views, f"{window} and num_views {views}")
        patches = f"{window} and patches of {self.encoder.patch_size}"
        check_most("tokens a window", tokens, patches)
        check_most("numbers in a window's tokens", tokens * dim, f"{patches} and embed_dim {dim}")
        stored = f"{len(self.storage.levels)} levels of {tokens:,} tokens and embed_dim {dim}"
        check_most("bytes a stored row", self.storage.row_bytes(self.token_grid, dim, self.cls_grid), stored)

    def _check_level(self, level: str) -> None:
        (kind, grid), layer, last = parse_level(level), layer_of(level), self.encoder.depth - 1
        check(
            kind != "cls" or math.prod(self.cls_grid) > 0,
            f"level {level}: {self.encoder.name} has no class or register tokens; take mean, or tokens",
        )
        check(
            layer is None or layer < last,
            f"level {level}: the encoder's layers are 0 to {last}, and the last one's levels have no number",
        )
        normed = self.encoder.layers_with_norm
        check(
            layer is None or layer in normed,
            f"level {level}: layer {layer} has no trained norm in V-JEPA 2.1; those of {', '.join(map(str, normed))} do",
        )
        _, height, width = self.token_grid
        check(
            grid is None or grid <= min(height, width),
            f"level {level}: the token grid is only {height} × {width}",
        )

    @property
    def is_over_time(self) -> bool:
        """Whether each row is a moment of its clip: no, a window, which has a time axis of its own."""
        return False

    @property
    def token_grid(self) -> tuple[int, int, int]:
        """Tokens of a window along time, height and width: (T', H', W')."""
        height, width = (side // self.encoder.patch_size for side in self.preprocessing.crop_shape)
        return self.sampling.frames_per_window // self.encoder.tubelet_size, height, width

    @property
    def cls_grid(self) -> tuple[int, int]:
        """Class and register tokens of a window: places in time, all of them or one, and tokens at each; (1, 0) without any."""
        library = self.encoder.library
        if library is None:
            return 1, 0
        return self.token_grid[0] if library.by_frame else 1, library.special_tokens

    @property
    def flops(self) -> int:
        """Floating-point operations of the encoder's matrix products for a window and view; a multiplication and an addition are two.

        A ViT's, from its numbers: of N tokens, D wide, with H numbers in the MLP, a layer takes 2N (4D² + 2DH) + 4N²D. Of another library's model
        what was counted when it was read. 0 of mean colours, and of a plug-in's encoder, whose numbers do not tell.
        """
        spec, tokens = self.encoder, math.prod(self.token_grid)
        if spec.library is not None:
            return spec.library.flops * (self.sampling.frames_per_window if spec.library.by_frame else 1)
        if spec.family in ("pixels", "plugin"):
            return 0
        dim, hidden, patch = spec.embed_dim, int(spec.embed_dim * spec.mlp_ratio), 3 * spec.patch_size**2
        layer = 2 * tokens * (4 * dim * dim + 2 * dim * hidden) + 4 * tokens * tokens * dim
        return spec.depth * layer + 2 * tokens * patch * spec.tubelet_size * dim

    def level_shape(self, level: str) -> tuple[int, ...]:
        """Shape of a window's level: :func:`level_shape`."""
        return level_shape(level, self.token_grid, self.encoder.embed_dim, self.cls_grid)


@dataclass(frozen=True, kw_only=True)
class ImportedRecipe:
    """The recipe of features that another program made: which file, and which of its columns.

    Attributes
    ----------
    source : str
        Name of the imported file (no folder).
    source_sha256 : str
        Of the file's bytes.
    columns : tuple of str
        The feature columns in order.
    clock : {"none", "frames", "seconds"}
        "none": one vector a clip, the level ``mean``. Otherwise a vector a moment, the level ``frames``, and what the time of each is
        counted in; frames, where nothing said how long one takes.
    """

    source: str
    source_sha256: str
    columns: tuple[str, ...]
    semantics: int = IMPORTED_SEMANTICS
    kind: Literal["imported"] = "imported"
    clock: Clock = "none"

    def __post_init__(self) -> None:
        check_choice("clock", self.clock, Clock)
        check(self.kind == "imported", f"kind {shown(self.kind)} is not 'imported'")
        take_fields(self)
        check_most("characters of columns", sum(map(len, self.columns)), f"{len(self.columns):,} columns")

    @property
    def storage(self) -> Storage:
        """One level: ``mean`` of a vector a clip, ``frames`` of a vector a moment."""
        return _MOMENTS if self.is_over_time else _ONE_VECTOR

    @property
    def is_over_time(self) -> bool:
        """Whether each row is a moment of its clip."""
        return self.clock != "none"

    @property
    def dim(self) -> int:
        """Numbers of its level, in a clip or at a moment."""
        return len(self.columns)


_ONE_VECTOR, _MOMENTS = Storage(levels=("mean",)), Storage(levels=("frames",))

AnyRecipe = Recipe | ImportedRecipe | SoundRecipe
