"""Everything that decides what a token is, as one frozen value: it is stored in every shard, and its fingerprint decides reuse.

A recipe covers what may change a number (weights, frames, pixels, precision, stored levels). It does not cover what must
not change one: batch size, device, number of workers, decoder back end.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from vjepa_fer.errors import RecipeError, RecipeMismatchError

SEMANTICS = 1
"""Raised whenever our own code changes a number that a recipe promises."""

Family = Literal["v1", "v2", "v21"]
Precision = Literal["float32", "bfloat16", "float16"]
Mode = Literal["segments", "sliding"]
Rule = Literal["corrected", "reference"]
TokenDtype = Literal["float16", "float32", "int8"]
PooledFrom = Literal["output", "float16", "float32", "int8"]
FaceDetector = Literal["yunet-2023mar"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def check(condition: bool, message: str) -> None:
    """Raise :class:`RecipeError` with `message` unless `condition` holds."""
    if not condition:
        raise RecipeError(message)


def _check_choice(name: str, value: str, choices: Any) -> None:
    allowed = get_args(choices)
    check(value in allowed, f"{name} {value!r} is not one of {', '.join(allowed)}")


def _check_positive(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        check(whole and value > 0, f"{name} {value!r} must be a whole number above 0")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which frames of a clip make its windows.

    Attributes
    ----------
    mode : {"segments", "sliding"}
        `num_segments` windows spread over the clip, or a window every `stride` frames.
    rule : {"corrected", "reference"}
        Ours (frames exactly `frame_step` apart, the last window reaches the last frame), or the arithmetic of V-JEPA's
        published evaluation code, kept bit for bit for comparison.
    frames_per_window, frame_step, num_segments, stride : int
        Frames that enter the encoder; distance between two of them; windows in "segments" mode; distance between two
        windows' starts in "sliding" mode. Two segments of 61 frames cover clips of up to 122 frames, which is nearly
        every clip of RAVDESS and CREMA-D.
    """

    mode: Mode = "segments"
    rule: Rule = "corrected"
    frames_per_window: int = 16
    frame_step: int = 4
    num_segments: int = 2
    stride: int = 1

    def __post_init__(self) -> None:
        _check_choice("mode", self.mode, Mode)
        _check_choice("rule", self.rule, Rule)
        _check_positive(self, "frames_per_window", "frame_step", "num_segments", "stride")


@dataclass(frozen=True, kw_only=True)
class FaceCrop:
    """Frames are cut to a square round the clip's largest face before they are resized; see :mod:`vjepa_fer.video.face_track`.

    Attributes
    ----------
    detector : {"yunet-2023mar"}
        Which weights find faces; their bytes are known by hash.
    margin : float
        Side of the square in units of the face's longer side, at least 1.
    smoothing_frames : int
        The square moves and grows with the mean over so many frames, centred.
    """

    detector: FaceDetector = "yunet-2023mar"
    margin: float = 1.6
    smoothing_frames: int = 15

    def __post_init__(self) -> None:
        _check_choice("face_crop.detector", self.detector, FaceDetector)
        object.__setattr__(self, "margin", float(self.margin))
        check(1 <= self.margin <= 10, f"face_crop.margin {self.margin} must be from 1 to 10")
        _check_positive(self, "smoothing_frames")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a decoded frame becomes pixels of the encoder's input.

    Attributes
    ----------
    crop_size : int
        Side of the square that enters the encoder, in pixels; its height where `crop_width` is given.
    crop_width : int, optional
        Width of an oblong: the frame is resized to cover ``256 / 224`` of it, and its centre is taken. One view only.
    num_views : int
        1: short side resized to ``int(crop_size * 256 / 224)``, centre crop. More: short side resized to `crop_size`,
        that many squares spread along the long side (V-JEPA's two evaluation transforms).
    interpolation : {"bilinear"}
        Two-tap bilinear on uint8 without antialiasing, as V-JEPA's evaluation does.
    mean, std : tuple of float
        Per RGB channel, of pixels scaled to [0, 1].
    face_crop : FaceCrop, optional
        A square that follows the face is resized to `crop_size`, in place of the whole frame's short side; one view only.
    """

    crop_size: int = 224
    num_views: int = 1
    interpolation: Literal["bilinear"] = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    face_crop: FaceCrop | None = None
    crop_width: int | None = None

    def __post_init__(self) -> None:
        _check_positive(self, "crop_size", "num_views")
        self._check_oblong()
        self._check_face_crop()
        check(self.interpolation == "bilinear", f"interpolation {self.interpolation!r} is not 'bilinear'")
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
            check(len(getattr(self, name)) == 3, f"{name} must have three values (R, G, B)")
            check(all(map(math.isfinite, getattr(self, name))), f"{name} {getattr(self, name)} must be finite numbers")
        check(all(v > 0 for v in self.std), f"std {self.std} must be above 0")

    def _check_oblong(self) -> None:
        if self.crop_width is None:
            return
        _check_positive(self, "crop_width")
        if self.crop_width == self.crop_size:  # a square has one spelling, and one fingerprint
            object.__setattr__(self, "crop_width", None)
            return
        check(self.num_views == 1, f"num_views {self.num_views}: an oblong input has one view, the centre")

    def _check_face_crop(self) -> None:
        if isinstance(self.face_crop, dict):  # from JSON
            object.__setattr__(self, "face_crop", FaceCrop(**self.face_crop))
        crop = self.face_crop
        if crop is None:
            return
        check(isinstance(crop, FaceCrop), f"face_crop {crop!r} is not a FaceCrop")
        check(self.num_views == 1, f"num_views {self.num_views}: the square round a face is one view")
        check(self.crop_width is None, f"crop_width {self.crop_width}: the square round a face makes no oblong")

    @property
    def crop_shape(self) -> tuple[int, int]:
        """Height and width of what enters the encoder, in pixels."""
        return self.crop_size, self.crop_width or self.crop_size


def parse_resolution(text: str) -> tuple[int, int]:
    """Height and width in pixels: ``"384"`` → ``(384, 384)``, ``"288x384"`` → ``(288, 384)``.

    Raises
    ------
    RecipeError
        Neither one whole number nor two with an x between them.
    """
    sides = text.split("x")
    plain = len(sides) <= 2 and all(side.isascii() and side.isdigit() and len(side) < 6 for side in sides)
    check(plain, f"resolution {text!r} is neither a side, such as 384, nor HEIGHTxWIDTH, such as 288x384")
    return int(sides[0]), int(sides[-1])


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """An encoder: its architecture numbers and exactly which weights it carries.

    Attributes
    ----------
    name : str
        Our name for it (``vjepa2.1-large-384``), or ``custom``.
    family : {"v1", "v2", "v21"}
        V-JEPA, V-JEPA 2, V-JEPA 2.1.
    weights : str
        SHA-256 of the weights file (64 hex digits), or ``random:SEED``.
    state_key : str
        Which state dict of the file was read (``target_encoder``, ``ema_encoder``, ``encoder``), ``random`` without one.
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

    def __post_init__(self) -> None:
        _check_choice("family", self.family, Family)
        names = ("img_size", "patch_size", "num_frames", "tubelet_size", "embed_dim", "depth", "num_heads")
        _check_positive(self, *names)
        if isinstance(self.mlp_ratio, int):  # a TOML's 4 is the 4.0 of everyone else, also in the fingerprint
            object.__setattr__(self, "mlp_ratio", float(self.mlp_ratio))
        check(
            self.embed_dim % self.num_heads == 0,
            f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}",
        )

    @property
    def layers_with_norm(self) -> tuple[int, ...]:
        """Layers after which tokens can be taken, from 0: V-JEPA 2.1's hierarchical ones; elsewhere all go through the one norm."""
        return hierarchical_layers(self.depth) if self.family == "v21" else tuple(range(self.depth))

    @property
    def config(self) -> dict[str, Any]:
        """The architecture alone, as :func:`vjepa_fer.encoder.build_encoder` takes it."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in ("name", "weights", "state_key")}


def hierarchical_layers(depth: int) -> tuple[int, ...]:
    """The four layers of V-JEPA 2.1 that have a norm of their own: the last of each quarter, but for the deepest model.

    >>> hierarchical_layers(12), hierarchical_layers(48)
    ((2, 5, 8, 11), (11, 23, 37, 47))
    """
    return (11, 23, 37, 47) if depth == 48 else tuple(depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4))


def parse_level(level: str) -> tuple[str, int | None]:
    """Split a level into kind and grid size: ``"grid:4"`` → ``("grid", 4)``, ``"mean@5"`` → ``("mean", None)``.

    Raises
    ------
    RecipeError
        The level is none of mean, frames, grid:G (G ≥ 1), tokens, each maybe with a layer, ``@5``.
    """
    whole, at, layer = level.partition("@")
    kind, colon, size = whole.partition(":")
    message = f"level {level!r} is not one of mean, frames, grid:G (such as grid:4), tokens"
    check(kind in ("mean", "frames", "grid", "tokens") and bool(colon) == (kind == "grid"), message)
    if at:
        plain = layer.isascii() and layer.isdigit() and len(layer) < 4 and str(int(layer)) == layer
        check(plain, f"level {level!r}: after @ stands the number of a layer, counted from 0, such as {whole}@5")
    if kind != "grid":
        return kind, None
    check(size.isascii() and size.isdigit() and 0 < int(size) < 1000, message)
    return kind, int(size)


def layer_of(level: str) -> int | None:
    """The encoder layer that a level is taken after: ``"mean@5"`` → 5; None is the last one."""
    _, at, layer = level.partition("@")
    return int(layer) if at else None


def level_key(level: str) -> str:
    """Kind and layer without the grid's size, one of which a cache stores: ``"grid:4@5"`` → ``"grid@5"``."""
    whole, at, layer = level.partition("@")
    return whole.partition(":")[0] + at + layer


def levels_of_layers(levels: Sequence[str], layers: Sequence[int], depth: int) -> tuple[str, ...]:
    """Each level after each layer of an encoder with `depth` of them, counted from 0, or from -1 backwards.

    The last layer's have no number: they are what is stored without a choice of layers.

    >>> levels_of_layers(["mean", "grid:4"], [5, -1], 12)
    ('mean@5', 'grid:4@5', 'mean', 'grid:4')
    """
    check(len(layers) > 0, "layers is empty: name at least one")
    for layer in layers:
        check(-depth <= layer < depth, f"layer {layer}: the encoder has {depth}, counted from 0 to {depth - 1}")
    wanted = sorted({layer % depth for layer in layers})
    return tuple(level if layer == depth - 1 else f"{level}@{layer}" for layer in wanted for level in levels)


_KINDS = ("mean", "frames", "grid", "tokens")


def _depth_of(level: str) -> float:
    layer = layer_of(level)
    return math.inf if layer is None else layer


@dataclass(frozen=True, kw_only=True)
class Storage:
    """How much of each window is stored.

    Attributes
    ----------
    levels : tuple of str
        Of ``mean`` (D), ``frames`` (T', D), ``grid:G`` (T', G, G, D; at most one) and ``tokens`` (T', H', W', D), stored in
        this canonical order. Pooling happens in float32 before rounding. ``mean@5`` is taken after layer 5, counted from
        0, and its norm; without a number, after the last.
    token_dtype : {"float16", "float32", "int8"}
        Of the large levels, grid and tokens; int8 with a scale and an offset for each channel of each window-view. The
        small levels, mean and frames, are float32.
    pooled_from : {"output", "float16", "float32", "int8"}
        What the pooled levels were computed from: the encoder's output, or (``cache pool``) stored tokens of that dtype.
    """

    levels: tuple[str, ...] = ("mean", "frames", "grid:4")
    token_dtype: TokenDtype = "float16"
    pooled_from: PooledFrom = "output"

    def __post_init__(self) -> None:
        _check_choice("token_dtype", self.token_dtype, TokenDtype)
        _check_choice("pooled_from", self.pooled_from, PooledFrom)
        places = {level: (_KINDS.index(parse_level(level)[0]), _depth_of(level)) for level in self.levels}
        check(len(self.levels) > 0, "levels is empty: store at least one of mean, frames, grid:G, tokens")
        check(
            len(set(places.values())) == len(self.levels),
            f"levels {', '.join(self.levels)}: each kind at most once (one grid size a cache)",
        )
        object.__setattr__(self, "levels", tuple(sorted(self.levels, key=places.__getitem__)))

    @property
    def layers(self) -> tuple[int | None, ...]:
        """The layers that some level is taken after, rising; None, the last one, comes last."""
        return tuple(dict.fromkeys(layer_of(level) for level in sorted(self.levels, key=_depth_of)))


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
        _check_choice("precision", self.precision, Precision)
        check(self.kind == "encoder", f"kind {self.kind!r} is not 'encoder'")
        patch, tubelet = self.encoder.patch_size, self.encoder.tubelet_size
        frames = self.sampling.frames_per_window
        for crop in self.preprocessing.crop_shape:
            check(crop % patch == 0, f"crop_size {crop} is not a multiple of the encoder's patch size {patch}")
        check(frames % tubelet == 0, f"frames_per_window {frames} is not a multiple of the tubelet size {tubelet}")
        for level in self.storage.levels:
            grid, layer, last = parse_level(level)[1], layer_of(level), self.encoder.depth - 1
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
    def token_grid(self) -> tuple[int, int, int]:
        """Tokens of a window along time, height and width: (T', H', W')."""
        height, width = (side // self.encoder.patch_size for side in self.preprocessing.crop_shape)
        return self.sampling.frames_per_window // self.encoder.tubelet_size, height, width


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
        The feature columns in order; the feature matrix is stored as the level ``mean``.
    """

    source: str
    source_sha256: str
    columns: tuple[str, ...]
    semantics: int = SEMANTICS
    kind: Literal["imported"] = "imported"

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        check(self.kind == "imported", f"kind {self.kind!r} is not 'imported'")
        check(len(self.columns) > 0, "an imported recipe needs at least one feature column")

    @property
    def storage(self) -> Storage:
        """An imported table holds one vector a clip: the level ``mean``."""
        return Storage(levels=("mean",))


AnyRecipe = Recipe | ImportedRecipe

_LATER_FIELDS = (
    ("storage", "pooled_from", "output"),
    ("preprocessing", "face_crop", None),
    ("preprocessing", "crop_width", None),
)
"""Fields that recipes did not have at first: without them at their default, old caches keep their fingerprints."""

_JSON_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (float, int), "bool": (bool,), "str": (str,)}
"""What JSON may hold for a field of each plain type: 8.0 and true equal 8 and 1 in Python, and are no sizes."""

_PARTS = {"encoder": EncoderSpec, "sampling": Sampling, "preprocessing": Preprocessing, "storage": Storage}


def recipe_to_json(recipe: AnyRecipe) -> str:
    """Canonical JSON: sorted keys, no white space, so that equal recipes give equal bytes."""
    return json.dumps(recipe_to_dict(recipe), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def recipe_to_dict(recipe: AnyRecipe) -> dict[str, Any]:
    """The recipe as nested dictionaries. A field of :data:`_LATER_FIELDS` is left out at its default, as if it were not there."""
    data = dataclasses.asdict(recipe)
    for part, name, default in _LATER_FIELDS:
        fields = data.get(part, {})
        if name in fields and fields[name] == default:
            del fields[name]
    return data


def recipe_from_json(text: str) -> AnyRecipe:
    """Read a recipe back; ``recipe_from_json(recipe_to_json(r)) == r``.

    Raises
    ------
    RecipeError
        Not JSON, not a recipe, or with fields that this version does not know.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"the stored recipe is not JSON: {error}") from error
    check(isinstance(data, dict), "the stored recipe is not a JSON object")
    return recipe_from_dict(data)


def recipe_from_dict(data: dict[str, Any]) -> AnyRecipe:
    """Build a recipe from the dictionary that its JSON holds."""
    if data.get("kind") == "imported":
        return _build(ImportedRecipe, data)
    parts = {name: _build(part, data.get(name)) for name, part in _PARTS.items()}
    return _build(Recipe, {**data, **parts})


def _build(cls: Any, data: Any) -> Any:
    check(isinstance(data, dict), f"the stored recipe has no {cls.__name__}")
    known = {f.name for f in dataclasses.fields(cls)}
    unknown = sorted(set(data) - known)
    check(not unknown, f"the stored recipe has fields that this version does not know: {', '.join(unknown)}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    for f in dataclasses.fields(cls):
        wanted = _JSON_TYPES.get(str(f.type))
        if f.name in values and wanted is not None and type(values[f.name]) not in wanted:
            raise RecipeError(f"the stored recipe is not readable: {f.name} is {values[f.name]!r}, expected {f.type}")
    try:
        made = cls(**values)
        hash(made)  # nothing in a recipe may be changed, so a list or an object in a list is no value of any field
        return made
    except RecipeError:
        raise
    except (TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise RecipeError(f"the stored recipe is not readable: {error}") from error


def fingerprint(recipe: AnyRecipe) -> str:
    """SHA-256 of the canonical JSON, as 64 hex digits; messages show the first 16."""
    return hashlib.sha256(recipe_to_json(recipe).encode()).hexdigest()


def recipe_differences(a: AnyRecipe, b: AnyRecipe) -> dict[str, tuple[Any, Any]]:
    """Fields that differ, as ``{"sampling.frame_step": (4, 2)}``; empty when the recipes are equal."""
    flat_a, flat_b = flat_recipe(a), flat_recipe(b)
    _fold_parts(flat_a, flat_b)
    _fold_parts(flat_b, flat_a)
    names = list(dict.fromkeys([*flat_a, *flat_b]))
    missing = "(absent)"
    return {
        n: (flat_a.get(n, missing), flat_b.get(n, missing))
        for n in names
        if flat_a.get(n, missing) != flat_b.get(n, missing)
    }


def _fold_parts(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """A part that the other recipe lacks altogether (None) is one difference, not one a field."""
    for name in [name for name, value in theirs.items() if value is None]:
        inside = {k.removeprefix(f"{name}."): mine.pop(k) for k in list(mine) if k.startswith(f"{name}.")}
        if inside:
            mine[name] = inside


def flat_recipe(recipe: AnyRecipe) -> dict[str, Any]:
    """All fields by dotted name, ``{"sampling.frame_step": 4, …}``."""
    return _flatten(dataclasses.asdict(recipe))


def _flatten(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in data.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def require_same_recipe(have: AnyRecipe, want: AnyRecipe, where: str) -> None:
    """Raise :class:`RecipeMismatchError`, naming each differing field with both values, unless the recipes are equal."""
    differences = {} if have == want else recipe_differences(have, want)
    if differences:
        lines = [f"  {name}: {a!r} there, {b!r} asked for" for name, (a, b) in differences.items()]
        raise RecipeMismatchError(
            f"{where} was written with another recipe ({fingerprint(have)[:16]}, not {fingerprint(want)[:16]}):\n"
            + "\n".join(lines)
            + "\nUse another cache folder, or the settings it was written with."
        )
