"""What does a frozen V-JEPA video encoder see in a face?

Two stages that share only the file on disk:

1. **Extract** (GPU box): :mod:`vjepa_fer.extract` decodes the clips of a manifest, sends them through a frozen encoder
   and writes what it saw to a cache of HDF5 shards.
2. **Probe** (laptop): :func:`open_cache` reads the cache, and :func:`run_experiment` cross-validates light
   classifiers on it, subject-independently.

Importing this package loads nothing heavy; torch belongs to stage 1 alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Experiment",
    "Recipe",
    "__version__",
    "list_runs",
    "open_cache",
    "read_experiment",
    "read_manifest",
    "read_run",
    "run_experiment",
]

if TYPE_CHECKING:
    from vjepa_fer.cache import open_cache
    from vjepa_fer.experiment import Experiment, read_experiment
    from vjepa_fer.manifest import read_manifest
    from vjepa_fer.recipe import Recipe
    from vjepa_fer.runs import list_runs, read_run
    from vjepa_fer.sweep import run_experiment

_HOMES = {
    "open_cache": "vjepa_fer.cache",
    "read_manifest": "vjepa_fer.manifest",
    "Recipe": "vjepa_fer.recipe",
    "Experiment": "vjepa_fer.experiment",
    "read_experiment": "vjepa_fer.experiment",
    "read_run": "vjepa_fer.runs",
    "list_runs": "vjepa_fer.runs",
    "run_experiment": "vjepa_fer.sweep",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use, so that ``import vjepa_fer`` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vjepa_fer' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """What completion offers: the public names, loaded or not, and what Python itself asks for."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
