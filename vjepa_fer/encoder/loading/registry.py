"""A name or a small TOML file comes in, an encoder's architecture and weights go out: official ones, and those of users.

A user's encoder is called like its file.

::

    # models/my-faces.toml in the home folder, or anywhere: --model path/to/my-faces.toml
    like = "vjepa2.1-large-384"     # its architecture; without it, all of [architecture]
    weights = "my-faces.pt"         # seen from this file
    state_key = "ema_encoder"       # which state dict; "file" when the file itself is one

    [architecture]                  # what differs, or everything
    family = "v21"
    img_size = 256

Needs no torch.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from vjepa_fer.doors import not_one_of, read_bytes
from vjepa_fer.doors.bounded import TooLargeError
from vjepa_fer.encoder.baselines.source import is_baseline
from vjepa_fer.encoder.files.home import home_folder
from vjepa_fer.encoder.loading.plugin_class import plugged_encoder, plugin_encoders
from vjepa_fer.encoder.model.known import KnownEncoder
from vjepa_fer.encoder.model.zoo import OFFICIAL_ENCODERS, TINY, encoder_config, encoder_names, official_encoder
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe import NO_WEIGHTS, EncoderSpec, Preprocessing, check
from vjepa_fer.weights.dress import holds_weights

_FIELDS = {"like", "weights", "state_key", "architecture"}
_DEFAULTS = {"patch_size": 16, "tubelet_size": 2, "mlp_ratio": 4.0, "layer_norm_eps": 1e-6}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LARGEST = 1 << 16  # bytes
_LONGEST_KEY = 256


def find_encoder(name_or_path: str, *, state_key: str | None = None) -> KnownEncoder:
    """An official encoder by name, a user's by name, one described in a TOML file, ``hf:…``, or the one that a weights file holds.

    `state_key` is for a weights file: the state dict to look at. That alone needs torch.

    Raises
    ------
    RecipeError
        No such name, or a TOML file that describes no encoder.
    CheckpointError
        A weights file that is no official encoder's.
    """
    if is_baseline(name_or_path):
        return _baseline(name_or_path)
    if name_or_path.endswith(".toml"):
        return read_registration(Path(name_or_path))
    if _is_weights_path(name_or_path):
        return _recognised(Path(name_or_path), state_key)
    return named_encoder(name_or_path)


def _baseline(name: str) -> KnownEncoder:
    from vjepa_fer.encoder.baselines.known import read_baseline

    return read_baseline(name)


def named_encoder(name: str) -> KnownEncoder:
    """An official encoder, a user's of the home folder, or a plug-in's; no file elsewhere is looked at, whatever the name is.

    Raises
    ------
    RecipeError
        No such name, or a TOML file that describes no encoder.
    PluginError
        A plug-in has the name, and cannot be used.
    """
    mine = registration_file(name)
    if name not in encoder_names() and mine is not None:
        return read_registration(mine)
    try:
        config = encoder_config(name)
    except RecipeError as error:
        return _plugged(name, error)
    if config["family"] == "pixels":
        return KnownEncoder(name=name, config=config, state_key=NO_WEIGHTS)
    state_key = "target_encoder" if name == TINY else official_encoder(name).state_key
    return KnownEncoder(name=name, config=config, state_key=state_key)


def _plugged(name: str, unknown: RecipeError) -> KnownEncoder:
    """A plug-in's encoder; `unknown` is raised where there is none of this name."""
    plugins = plugin_encoders()
    plugin = plugins.named(name)
    if plugin is None:
        if plugins.usable:
            unknown.add_note(f"Plug-ins add {', '.join(plugins.usable)}.")
        raise unknown
    return plugged_encoder(plugin)


def preprocessing_for(known: KnownEncoder, resolution: int | tuple[int, int] | None) -> Preprocessing:
    """The pixels of an encoder: as asked for, or as it was trained, or as its own processor makes them.

    Raises
    ------
    RecipeError
        Patches do not fill it, or a processor of its own makes another size.
    """
    own = known.preprocessing
    if own is None:
        height, width = usable_resolution(known.config, resolution)
        return Preprocessing(crop_size=height, crop_width=width)
    asked = (resolution, resolution) if isinstance(resolution, int) else resolution
    made = " × ".join(map(str, own.crop_shape))
    check(asked in (None, own.crop_shape), f"resolution: {known.name} has its own processor, which makes {made} pixels")
    return own


def usable_resolution(config: dict[str, Any], resolution: int | tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of the input in pixels: as asked for, or as the encoder was trained.

    Raises
    ------
    RecipeError
        Patches do not fill it; the message names sizes near by that they do.
    """
    trained, patch = int(config["img_size"]), config["patch_size"]
    if resolution is None:
        return trained, trained
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    own = config["family"] != "pixels" or (height, width) == (trained, trained)
    check(
        own,
        f"resolution {height} × {width}: a grid of mean colours has its own, {trained} pixels; ask for another grid",
    )
    for side in (height, width):
        below, above = side // patch * patch, -(-side // patch) * patch
        hint = f"{below} and {above} are" if below > 0 else f"{patch} is"
        whole = side > 0 and side % patch == 0
        check(whole, f"resolution {side} is not a multiple of the patch size, {patch} pixels; {hint}")
    return height, width


def _is_weights_path(name_or_path: str) -> bool:
    if name_or_path in encoder_names():
        return False
    is_file = name_or_path.endswith((".pt", ".pth", ".tar", ".safetensors")) or Path(name_or_path).is_file()
    return is_file or holds_weights(Path(name_or_path))


def _recognised(path: Path, state_key: str | None) -> KnownEncoder:
    from vjepa_fer.extras import require_extra

    require_extra("extract", ("torch",), f"reading {path}")
    from vjepa_fer.encoder.loading.recognise import recognise_file

    return recognise_file(path, state_key=state_key)


def registration_file(name: str) -> Path | None:
    """The TOML file of a user's encoder in the home folder, by the file's own name; None when there is none."""
    return next((path for path in registration_files() if path.stem == name), None)


def registration_files() -> list[Path]:
    """Every TOML file of the home folder's ``models``, in order of name."""
    return sorted((home_folder() / "models").glob("*.toml"))


def read_registration(path: Path) -> KnownEncoder:
    """Read one registration.

    Raises
    ------
    RecipeError
        Not TOML, a field that is unknown, missing or out of range, or a name that is an official encoder's; the file and the
        field are named.
    """
    data = _read_toml(path)
    unknown = sorted(set(data) - _FIELDS)
    if unknown:
        raise RecipeError(not_one_of(f"{path}: field", unknown[0], sorted(_FIELDS)))
    name, like = path.stem, data.get("like")
    official = isinstance(like, str) and like in OFFICIAL_ENCODERS
    if like is not None and not official:
        raise RecipeError(not_one_of(f"{path}: like", like, OFFICIAL_ENCODERS))
    check(bool(_NAME.fullmatch(name)), f"{path}: the file's name is the encoder's: use a-z, 0-9, '.', '_' and '-'")
    check(name not in encoder_names(), f"{path}: {name!r} is an official encoder's name; choose another")
    weights, key = data.get("weights"), data.get("state_key", OFFICIAL_ENCODERS[like].state_key if like else None)
    named = isinstance(weights, str) and weights != "" and "\0" not in weights
    check(named, f'{path}: weights must name the file, such as "my-faces.pt"')
    keyed = isinstance(key, str) and 0 < len(key) <= _LONGEST_KEY
    check(keyed, f'{path}: state_key must say which state dict, or "file"')
    file = (path.parent / str(weights)).absolute()
    config = _architecture(path, like, data.get("architecture", {}))
    return KnownEncoder(name=name, config=config, state_key=str(key), weights=file, registration=path)


def _architecture(path: Path, like: str | None, numbers: Any) -> dict[str, Any]:
    check(isinstance(numbers, dict), f"{path}: architecture must be a table, [architecture]")
    start = encoder_config(like) if like else _DEFAULTS | {"uniform_power": numbers.get("family") == "v1"}
    try:
        spec = EncoderSpec(**{**start, **numbers}, name="custom", weights="random:0", state_key="random")
    except TypeError as error:
        fields = str(error).partition("__init__() ")[2] or str(error)
        raise RecipeError(f"{path}: [architecture] {fields}") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: [architecture] {error}") from error
    return spec.config


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_bytes(path, at_most=_LARGEST).decode("utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror or error}") from error
    except TooLargeError as error:
        raise RecipeError(f"{path}: {error}; a registration is a few lines of TOML") from error
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error
