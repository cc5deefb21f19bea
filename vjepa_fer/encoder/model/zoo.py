"""A name comes in, an architecture and the address of its official weights come out: the eleven V-JEPA encoders as data.

Names are ours, since two of Meta's files differ in nothing but case. Needs no torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import RecipeError
from vjepa_fer.licences import WEIGHTS_LICENCES
from vjepa_fer.recipe import NO_WEIGHTS, EncoderSpec, Family, check

Architecture = Literal["ViT-B/16", "ViT-L/16", "ViT-H/16", "ViT-g/16", "ViT-G/16"]

ARCHITECTURES: dict[Architecture, dict[str, Any]] = {
    "ViT-B/16": {"embed_dim": 768, "depth": 12, "num_heads": 12, "mlp_ratio": 4.0},
    "ViT-L/16": {"embed_dim": 1024, "depth": 24, "num_heads": 16, "mlp_ratio": 4.0},
    "ViT-H/16": {"embed_dim": 1280, "depth": 32, "num_heads": 16, "mlp_ratio": 4.0},
    "ViT-g/16": {"embed_dim": 1408, "depth": 40, "num_heads": 22, "mlp_ratio": 48 / 11},  # 6144 in the MLP
    "ViT-G/16": {"embed_dim": 1664, "depth": 48, "num_heads": 26, "mlp_ratio": 64 / 13},  # 8192 in the MLP
}

_PREDICTOR = 22_500_000
"""Parameters of a predictor of twelve layers, 384 wide; two of V-JEPA 2.1 have twenty-four."""

_COMMON = {"patch_size": 16, "tubelet_size": 2, "layer_norm_eps": 1e-6}

_CITATIONS: dict[Family, str] = {
    "v1": "Bardes et al. (2024), Revisiting Feature Prediction for Learning Visual Representations from Video, arXiv:2404.08471",
    "v2": "Assran et al. (2025), V-JEPA 2: Self-Supervised Video Models Enable Understanding, Prediction and Planning, "
    "arXiv:2506.09985",
    "v21": "Mur-Labadia et al. (2026), V-JEPA 2.1: Unlocking Dense Features in Video Self-Supervised Learning, arXiv:2603.14482",
}
_ADDRESSES: dict[Family, str] = {
    "v1": "https://dl.fbaipublicfiles.com/jepa/",
    "v2": "https://dl.fbaipublicfiles.com/vjepa2/",
    "v21": "https://dl.fbaipublicfiles.com/vjepa2/",
}


@dataclass(frozen=True, kw_only=True)
class OfficialEncoder:
    """One official checkpoint.

    Attributes
    ----------
    name : str
        Ours, such as ``vjepa2.1-large-384``.
    family : {"v1", "v2", "v21"}
    architecture : str
        A key of :data:`ARCHITECTURES`.
    resolution : int
        Side of the square it was trained on, in pixels.
    pretraining_frames : int
        Frames of a window at the end of its pretraining.
    file : str
        Below the family's address.
    state_key : str
        The state dict that the official evaluation reads.
    hub_repo : str or None
        Meta's repository on Hugging Face, whose files hold the online ``encoder`` instead.
    """

    name: str
    family: Family
    architecture: Architecture
    resolution: int
    pretraining_frames: int
    file: str
    state_key: str
    hub_repo: str | None = None

    @property
    def url(self) -> str:
        return _ADDRESSES[self.family] + self.file

    @property
    def licence(self) -> str:
        return WEIGHTS_LICENCES[self.family]

    @property
    def citation(self) -> str:
        return _CITATIONS[self.family]

    @property
    def download_bytes(self) -> int:
        """About the size of Meta's file: encoder, its average, and Adam's two moments of it, and the predictor with its own.

        Within 1 % of the two whose bytes are known: ``vitl.pt`` has 5,127,726,842, V-JEPA 2.1's base 1,664,223,428.
        """
        predictor = _PREDICTOR * (2 if self.family == "v21" and self.architecture in ("ViT-g/16", "ViT-G/16") else 1)
        return 16 * parameter_count(self.config) + 12 * predictor

    @property
    def config(self) -> dict[str, Any]:
        """The architecture numbers, as :func:`vjepa_fer.encoder.build_encoder` takes them."""
        size = {"img_size": self.resolution, "num_frames": self.pretraining_frames}
        # V-JEPA 1 alone has positions in its tokens; the rotary families have no use for the field
        positions = {"uniform_power": self.family == "v1"}
        return {"family": self.family, **size, **_COMMON, **ARCHITECTURES[self.architecture], **positions}


def _official(
    name: str,
    family: Family,
    architecture: Architecture,
    frames: int,
    file: str,
    state_key: str,
    hub_repo: str | None = None,
) -> tuple[str, OfficialEncoder]:
    return name, OfficialEncoder(
        name=name,
        family=family,
        architecture=architecture,
        resolution=int(name.rpartition("-")[2]),
        pretraining_frames=frames,
        file=file,
        state_key=state_key,
        hub_repo=hub_repo,
    )


# fmt: off
OFFICIAL_ENCODERS: dict[str, OfficialEncoder] = dict([
    _official("vjepa1-large-224", "v1", "ViT-L/16", 16, "vitl16/vitl16.pth.tar", "target_encoder"),
    _official("vjepa1-huge-224", "v1", "ViT-H/16", 16, "vith16/vith16.pth.tar", "target_encoder"),
    _official("vjepa1-huge-384", "v1", "ViT-H/16", 16, "vith16-384/vith16-384.pth.tar", "target_encoder"),
    _official("vjepa2-large-256", "v2", "ViT-L/16", 64, "vitl.pt", "target_encoder", "facebook/vjepa2-vitl-fpc64-256"),
    _official("vjepa2-huge-256", "v2", "ViT-H/16", 64, "vith.pt", "target_encoder", "facebook/vjepa2-vith-fpc64-256"),
    _official("vjepa2-giant-256", "v2", "ViT-g/16", 64, "vitg.pt", "target_encoder", "facebook/vjepa2-vitg-fpc64-256"),
    _official("vjepa2-giant-384", "v2", "ViT-g/16", 64, "vitg-384.pt", "target_encoder", "facebook/vjepa2-vitg-fpc64-384"),
    # the two distilled ones keep their average under another key
    _official("vjepa2.1-base-384", "v21", "ViT-B/16", 64, "vjepa2_1_vitb_dist_vitG_384.pt", "ema_encoder"),
    _official("vjepa2.1-large-384", "v21", "ViT-L/16", 64, "vjepa2_1_vitl_dist_vitG_384.pt", "ema_encoder"),
    _official("vjepa2.1-giant-384", "v21", "ViT-g/16", 64, "vjepa2_1_vitg_384.pt", "target_encoder"),
    _official("vjepa2.1-gigantic-384", "v21", "ViT-G/16", 64, "vjepa2_1_vitG_384.pt", "target_encoder"),
])
# fmt: on

TINY = "tiny-v21"
"""A V-JEPA 2.1 of 64 pixels and four layers, for smoke tests and the demo: it has no official weights."""

_TINY_CONFIG: dict[str, Any] = {
    "family": "v21", "img_size": 64, "num_frames": 16, **_COMMON,
    "embed_dim": 48, "depth": 4, "num_heads": 2, "mlp_ratio": 4.0, "uniform_power": False,
}  # fmt: skip


_PIXELS = re.compile(r"pixels:([1-9][0-9]?)")
_PIXELS_SIDE = 224
"""About the input's side in pixels: whole cells of the grid."""

_MOST_CELLS = 56


def _pixels_config(name: str) -> dict[str, Any] | None:
    """The numbers of ``pixels:G``, a grid of G × G mean colours a tubelet; None of another name."""
    match = _PIXELS.fullmatch(name)
    if match is None:
        return None
    cells = int(match[1])
    check(
        cells <= _MOST_CELLS,
        f"model {name}: cells of less than {_PIXELS_SIDE // _MOST_CELLS} pixels; at most pixels:{_MOST_CELLS}",
    )
    cell = round(_PIXELS_SIDE / cells)
    sizes = {**_COMMON, "img_size": cells * cell, "patch_size": cell, "num_frames": 16}
    unused = {"depth": 1, "num_heads": 1, "mlp_ratio": 4.0, "uniform_power": False}
    return {"family": "pixels", **sizes, "embed_dim": 3, **unused}


def parameter_count(config: dict[str, Any]) -> int:
    """Parameters of an encoder from its architecture numbers, without building it.

    >>> parameter_count(encoder_config("vjepa2-large-256"))
    303885312
    """
    return placeholder_spec("custom", config).num_parameters


def placeholder_spec(name: str, config: dict[str, Any], plugin: str = "") -> EncoderSpec:
    """An encoder of which it is not known yet which weights it will have; `plugin` is what brings it."""
    if config["family"] in ("pixels", "plugin"):
        return EncoderSpec(**config, name=name, weights=NO_WEIGHTS, state_key=NO_WEIGHTS, plugin=plugin)
    return EncoderSpec(**config, name=name, weights="random:0", state_key="random")


def tokens_of(config: dict[str, Any], num_frames: int) -> int:
    """Tokens of a square window of `num_frames` at the trained resolution."""
    return num_frames // config["tubelet_size"] * (config["img_size"] // config["patch_size"]) ** 2


def encoder_names() -> tuple[str, ...]:
    """Every name that :func:`encoder_spec` knows."""
    return (*OFFICIAL_ENCODERS, TINY)


def official_encoder(name: str) -> OfficialEncoder:
    """The official checkpoint of this name.

    Raises
    ------
    RecipeError
        There is none; the message guesses which was meant.
    """
    encoder_config(name)
    if _pixels_config(name) is not None:
        raise RecipeError(f"{name} is a grid of mean colours, without an encoder; it has no official file")
    if name not in OFFICIAL_ENCODERS:
        raise RecipeError(f"{name} is a tiny untrained encoder for smoke tests; it has no official file")
    return OFFICIAL_ENCODERS[name]


def encoder_config(name: str) -> dict[str, Any]:
    """The architecture numbers of a named encoder, as :func:`vjepa_fer.encoder.build_encoder` takes them.

    Raises
    ------
    RecipeError
        No such name; the message lists them and guesses which was meant.
    """
    if name == TINY:
        return dict(_TINY_CONFIG)
    if (pixels := _pixels_config(name)) is not None:
        return pixels
    if name not in OFFICIAL_ENCODERS:
        raise RecipeError(not_one_of("model", name, (*OFFICIAL_ENCODERS, "pixels:8", TINY)))
    return OFFICIAL_ENCODERS[name].config


def encoder_spec(name: str, *, weights: str, state_key: str | None = None) -> EncoderSpec:
    """Say which encoder it is with which weights.

    Parameters
    ----------
    name : str
        Of :func:`encoder_names`.
    weights : str
        SHA-256 of the weights file, or ``random:SEED``.
    state_key : str, optional
        Which state dict of the file; by default the official evaluation's, ``random`` for random weights.

    Raises
    ------
    RecipeError
        No such name.
    """
    config = encoder_config(name)
    official = OFFICIAL_ENCODERS[name].state_key if name in OFFICIAL_ENCODERS else "target_encoder"
    default = "random" if weights.startswith("random:") else official
    return EncoderSpec(name=name, weights=weights, state_key=state_key or default, **config)
