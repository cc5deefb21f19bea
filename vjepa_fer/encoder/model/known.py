"""An encoder that can be loaded by name, as a value. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vjepa_fer.doors import Plugin
from vjepa_fer.recipe import Preprocessing


@dataclass(frozen=True, kw_only=True)
class KnownEncoder:
    """An encoder that can be loaded by name.

    Attributes
    ----------
    name : str
    config : dict
        The architecture numbers, as :func:`vjepa_fer.encoder.build_encoder` takes them.
    state_key : str
        Which state dict of its file is read unless asked otherwise.
    weights : Path or None
        The file that its registration names, or that it was recognised by; None for official encoders.
    registration : Path or None
        The TOML file.
    preprocessing : Preprocessing or None
        Where it has its own, as another library's model does.
    plugin : Plugin or None
        The plug-in that brings it.
    """

    name: str
    config: dict[str, Any]
    state_key: str
    weights: Path | None = None
    registration: Path | None = None
    preprocessing: Preprocessing | None = None
    plugin: Plugin | None = None

    @property
    def origin(self) -> str:
        """Package and version of the plug-in, for the recipe; "" of others."""
        return self.plugin.origin if self.plugin else ""
