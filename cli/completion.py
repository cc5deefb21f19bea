"""What was typed of an option's value comes in; the values that begin so go out, for the shell's Tab key.

The shell starts the program anew for each press, so nothing heavy is loaded: lists that lie in modules with numpy are written out here,
and ``tests/cli/test_completion.py`` compares them with what those modules say.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

PROBES = ("logreg", "mlp", "lightgbm", "knn", "svm", "centroid", "trivial", "attentive", "efficient")
FOLDS = (
    *("ravdess-5fold", "ravdess-6fold", "crema-d-5fold", "crema-d-eing"),
    *("subject-kfold:5", "subject-kfold:10", "loso", "column:", "file:"),
)
SOUNDS = ("egemaps", "egemaps-lld", "hf:")
LEVELS = ("mean", "frames", "grid:4", "tokens")
POLICIES = ("strict", "drop-true", "merge", "repredict", "repredict-merge", "paper-drop", "paper-merge")
FUSIONS = ("early", "late", "stacked")
SCALES = ("none", "standard", "minmax")
STATISTICS = ("mean", "std", "min", "max", "p10", "p90", "delta")
LABELS = ("intended", "perceived", "votes", "perceived:av", "votes:av")
PERTURBATIONS = (
    *("mouth:3", "eyes:3", "half:3", "blocks:3", "moving:3", "dark:3", "bright:3", "gamma:3", "flicker:3", "cast:3"),
    *("blur:3", "motion:3", "noise:3", "downscale:3", "jpeg:3", "h264:3", "flip"),
    *("drop:3", "rate:3", "freeze:3", "shuffle:3", "reverse:3"),
)
TIES = ("skip", "split", "soft")

Complete = Callable[..., list[str]]


def one_of(names: Iterable[str] | Callable[[], Iterable[str]]) -> Complete:
    """Complete one name of a list, or of what a function gives when it is asked."""

    def complete(incomplete: str) -> list[str]:
        return _beginning(names() if callable(names) else names, incomplete)

    return complete


def several_of(names: Iterable[str] | Callable[[], Iterable[str]]) -> Complete:
    """Complete the last of several names with commas; those before it are not offered again."""

    def complete(incomplete: str) -> list[str]:
        return _last_of(names() if callable(names) else names, incomplete)

    return complete


def probes() -> list[str]:
    """The probes, those of plug-ins among them."""
    from vjepa_fer.doors import find_plugins

    return [*PROBES, *find_plugins("probes", PROBES).usable]


def models() -> list[str]:
    """The encoders that can be asked for by name, the user's own and those of plug-ins among them."""
    from vjepa_fer.encoder.files.home import home_folder
    from vjepa_fer.encoder.loading.plugin_class import plugin_encoders
    from vjepa_fer.encoder.model.zoo import encoder_names

    own: list[str] = []
    with suppress(OSError):
        own = sorted(path.stem for path in (home_folder() / "models").glob("*.toml"))
    return [*encoder_names(), "pixels:8", *own, *plugin_encoders().usable]


def corpora() -> list[str]:
    """The corpora that ``manifest corpus`` reads."""
    from vjepa_fer.manifest import CORPORA, plugin_corpora

    return [*CORPORA, *plugin_corpora().usable]


def experiments() -> list[str]:
    """The experiments that come along."""
    from vjepa_fer.experiment import shipped_experiments

    return list(shipped_experiments())


def decisions() -> list[str]:
    """How windows become a decision."""
    from vjepa_fer.experiment import DECISIONS

    return list(DECISIONS)


def stored_levels(incomplete: str) -> list[str]:
    """The levels of the cache that stands on the line already; without one those that caches usually have."""
    found = (_levels_in(Path(word)) for word in _words_on_the_line())
    return _last_of(next(filter(None, found), LEVELS), incomplete)


def _words_on_the_line() -> list[str]:
    """Where the shells leave them: the parser, which lacks the value that is being typed, gives up before it has read all."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")
    with suppress(ValueError):
        return shlex.split(line)
    return line.split()


def _levels_in(cache: Path) -> tuple[str, ...]:
    from vjepa_fer.doors import read_object
    from vjepa_fer.errors import VjepaFerError

    with suppress(VjepaFerError, OSError):
        return read_object(cache / "cache.json").object("recipe").object("storage").texts("levels")
    return ()


def _last_of(names: Iterable[str], incomplete: str) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    typed = before.split(",")
    return [f"{before}{comma}{name}" for name in _beginning(names, last) if name not in typed]


def _beginning(names: Iterable[str], text: str) -> list[str]:
    return [name for name in names if name.startswith(text)]
