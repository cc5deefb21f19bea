"""Which encoder, as a value: its architecture numbers and exactly which weights it carries."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from vjepa_fer.recipe.bounds import check_most, take_fields
from vjepa_fer.recipe.checks import check, check_choice, shown
from vjepa_fer.recipe.libraries import LibraryModel

Family = Literal["v1", "v2", "v21", "pixels", "library", "plugin"]

NO_WEIGHTS = "none"
"""What a model without weights has in their place."""

PROVENANCE = ("name", "weights", "state_key", "library", "plugin")
"""What of an encoder is not its architecture."""


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """An encoder: its architecture numbers and exactly which weights it carries.

    Attributes
    ----------
    name : str
        Our name for it (``vjepa2.1-large-384``), or ``custom``.
    family : {"v1", "v2", "v21", "pixels", "library", "plugin"}
        V-JEPA, V-JEPA 2, V-JEPA 2.1; mean colours on a grid; what another library computes; or a plug-in's encoder. Mean colours and
        plug-ins have no use for most of the numbers.
    weights : str
        SHA-256 of the weights file (64 hex digits), ``random:SEED``, or ``none`` of mean colours; of a plug-in that of all its
        tensors, or ``none`` where it has none.
    state_key : str
        Which state dict of the file was read (``target_encoder``, ``ema_encoder``, ``encoder``), ``random`` or ``none`` without one.
    library : LibraryModel, optional
        Whose model it is, where another library computes it.
    plugin : str
        Package and version that brought it, ``"my-encoders 1.2"``; "" of our own.
    """

    name: str
    family: Family
    img_size: int
    patch_size: int = 16
    num_frames: int = 16
    tubelet_size: int = 2
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0
    uniform_power: bool = False
    layer_norm_eps: float = 1e-6
    weights: str
    state_key: str
    library: LibraryModel | None = None
    plugin: str = ""

    def __post_init__(self) -> None:
        check_choice("family", self.family, Family)
        take_fields(self)
        self._check_library()
        check(
            self.embed_dim % self.num_heads == 0,
            f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}",
        )
        check(
            (self.family == "plugin") == (self.plugin != ""),
            f"plugin {self.plugin!r}: family {self.family} is {'one' if self.family == 'plugin' else 'none'}",
        )
        check(
            self.family == "plugin" or (self.family == "pixels") == (self.weights == NO_WEIGHTS),
            f"weights {self.weights!r}: family {self.family} has {'none' if self.family == 'pixels' else 'some'}",
        )
        made_of = f"embed_dim {self.embed_dim}, depth {self.depth} and mlp_ratio {self.mlp_ratio:g}"
        check_most("parameters", self.num_parameters, made_of)

    def _check_library(self) -> None:
        if isinstance(self.library, dict):  # from JSON
            object.__setattr__(self, "library", LibraryModel(**self.library))
        is_one = self.library is None or isinstance(self.library, LibraryModel)
        check(is_one, f"library {shown(self.library)} is not a LibraryModel")
        has = "none" if self.library is None else "one"
        check((self.family == "library") == (self.library is not None), f"family {self.family} has {has} in library")

    @property
    def layers_with_norm(self) -> tuple[int, ...]:
        """Layers after which tokens can be taken, from 0: V-JEPA 2.1's hierarchical ones; elsewhere all go through the one norm."""
        return hierarchical_layers(self.depth) if self.family == "v21" else tuple(range(self.depth))

    @property
    def num_parameters(self) -> int:
        """Parameters of the encoder, without building it; 0 of a plug-in's, whose numbers do not tell."""
        if self.family in ("pixels", "plugin"):
            return 0
        if self.library is not None:
            return self.library.parameters
        dim, hidden, pixels = self.embed_dim, int(self.embed_dim * self.mlp_ratio), 3 * self.patch_size**2
        block = (4 * dim * dim + 4 * dim) + (2 * dim * hidden + hidden + dim) + 4 * dim  # attention, MLP, two norms
        embedding = (pixels * self.tubelet_size + 1) * dim
        if self.family == "v21":  # four norms, the embedding of images, two marks
            return self.depth * block + embedding + 8 * dim + (pixels + 1) * dim + 2 * dim
        tokens = self.num_frames // self.tubelet_size * (self.img_size // self.patch_size) ** 2
        positions = tokens * dim if self.family == "v1" else 0
        return self.depth * block + embedding + 2 * dim + positions

    @property
    def control(self) -> str | None:
        """What it is, where it is a control that an encoder must beat: nothing in it was learnt. None of an encoder."""
        if self.family == "pixels":
            return f"{self.name}, mean colours on a grid"
        is_random = self.weights.startswith("random:")
        return f"{self.name} with random weights, seed {self.weights.removeprefix('random:')}" if is_random else None

    @property
    def config(self) -> dict[str, Any]:
        """The architecture alone, as :func:`vjepa_fer.encoder.build_encoder` takes it."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in PROVENANCE}


def hierarchical_layers(depth: int) -> tuple[int, ...]:
    """The four layers of V-JEPA 2.1 that have a norm of their own: the last of each quarter, but for the deepest model.

    >>> hierarchical_layers(12), hierarchical_layers(48)
    ((2, 5, 8, 11), (11, 23, 37, 47))
    """
    return (11, 23, 37, 47) if depth == 48 else tuple(depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4))
