"""An encoder that an installed package adds comes in by name, its numbers go out. Needs no torch, but for what the plug-in needs.

A plug-in is a class whose instances are torch modules::

    class ColourEncoder(nn.Module):
        img_size, patch_size, embed_dim = 32, 8, 6      # pixels, pixels, width of a token
        tubelet_size, num_frames, depth = 2, 16, 1      # these are the defaults
        def forward(self, pixels): ...                  # (B, 3, T, H, W) normalised -> (B, T'·H'·W', D)

The grid (T', H', W') is what the numbers say, time slowest and columns fastest, for any size of whole patches.
"""

from __future__ import annotations

from typing import Any

from vjepa_fer.doors import Plugin, Plugins, find_plugins
from vjepa_fer.encoder.files.home import home_folder
from vjepa_fer.encoder.model.known import KnownEncoder
from vjepa_fer.encoder.model.zoo import encoder_names, placeholder_spec
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe import NO_WEIGHTS

_SAID = ("img_size", "patch_size", "embed_dim")
_DEFAULTS = {"tubelet_size": 2, "num_frames": 16, "depth": 1}
_UNUSED = {"family": "plugin", "num_heads": 1, "mlp_ratio": 4.0, "uniform_power": False, "layer_norm_eps": 1e-6}


def plugin_encoders() -> Plugins:
    """The encoders that installed packages add; none of them is imported."""
    registered = {path.stem for path in (home_folder() / "models").glob("*.toml")}
    return find_plugins("encoders", {*encoder_names(), *registered})


def plugged_encoder(plugin: Plugin) -> KnownEncoder:
    """Import a plug-in and read its numbers.

    Raises
    ------
    PluginError
        It cannot be imported, is no class, or its numbers are missing or out of range.
    """
    cls = plugin.load()
    if not isinstance(cls, type):
        raise plugin.fault(f"is {type(cls).__name__} {cls!r:.60}, expected a class of torch modules")
    missing = [name for name in _SAID if not hasattr(cls, name)]
    if missing:
        raise plugin.fault(f"{cls.__name__} does not say {', '.join(missing)}, a number each")
    config: dict[str, Any] = {name: getattr(cls, name) for name in _SAID}
    config |= {name: getattr(cls, name, default) for name, default in _DEFAULTS.items()} | _UNUSED
    try:
        placeholder_spec(plugin.name, config, plugin.origin)
    except RecipeError as error:
        raise plugin.fault(f"{cls.__name__}: {error}") from error
    for size, unit in (("img_size", "patch_size"), ("num_frames", "tubelet_size")):
        if config[size] % config[unit]:
            raise plugin.fault(f"{cls.__name__}: {size} {config[size]} is not a multiple of {unit} {config[unit]}")
    return KnownEncoder(name=plugin.name, config=config, state_key=NO_WEIGHTS, plugin=plugin)
