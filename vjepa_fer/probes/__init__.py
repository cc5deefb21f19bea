"""Light classifiers on cached features, found by name: ``make_probe("knn", {"k": 10})`` gives an unfitted estimator.

Importing this package imports no learning library; each probe loads its own when it is fitted.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike, NDArray

from vjepa_fer.doors import Plugin, Plugins, find_plugins, nearest
from vjepa_fer.errors import ProbeError
from vjepa_fer.probes.base import Probe
from vjepa_fer.probes.checks import check_probabilities
from vjepa_fer.probes.threads import threads_for

__all__ = [
    "PROBES",
    "Probe",
    "ProbeEntry",
    "answer_probes",
    "fit_probes",
    "full_parameters",
    "make_probe",
    "plugin_probes",
    "preset_names",
    "probe_class",
    "probe_entry",
    "probe_name",
    "probe_parameters",
]


@dataclass(frozen=True)
class ProbeEntry:
    """Where a probe lives, what it is in a line, and the short names of its parameters.

    Attributes
    ----------
    module, class_name, summary : str
    aliases : mapping of str to str
    presets : str
        Name, in its module, of named sets of parameters; "" where there are none. ``preset`` is then understood as a parameter.
    reads_tokens : bool
        It takes tokens ``(N, T, D)`` and norms them itself, where the others take a feature matrix.
    plugin : Plugin or None
        The plug-in that brings it.
    """

    module: str
    class_name: str
    summary: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    presets: str = ""
    reads_tokens: bool = False
    plugin: Plugin | None = None

    def load(self) -> type[Probe]:
        """The class; its own library is not imported yet."""
        if self.plugin is not None:
            return _plugged_in(self.plugin)
        return getattr(importlib.import_module(f"vjepa_fer.probes.{self.module}"), self.class_name)


PROBES: dict[str, ProbeEntry] = {
    "logreg": ProbeEntry("logistic.linear", "LogisticProbe", "multinomial logistic regression, L2"),
    "mlp": ProbeEntry("mlp", "MLPProbe", "multi-layer perceptron", {"hidden": "hidden_layer_sizes"}),
    "lightgbm": ProbeEntry("boosting.probe", "BoostingProbe", "gradient-boosted trees (LightGBM)"),
    "knn": ProbeEntry("neighbors", "KnnProbe", "k nearest neighbours", {"k": "n_neighbors"}),
    "svm": ProbeEntry("svm", "SvmProbe", "support vector machine, RBF or linear kernel"),
    "centroid": ProbeEntry("neighbors", "CentroidProbe", "nearest class mean"),
    "trivial": ProbeEntry(
        "trivial", "TrivialProbe", "most frequent class, or a guess by frequency: what one must beat"
    ),
    "attentive": ProbeEntry(
        "attentive.probe",
        "AttentiveProbe",
        "V-JEPA's attentive classifier on tokens (needs torch)",
        presets="ATTENTIVE_PRESETS",
        reads_tokens=True,
    ),
    "efficient": ProbeEntry(
        "attentive.efficient",
        "EfficientProbe",
        "efficient probing: a few learned queries on tokens (needs torch)",
        presets="EFFICIENT_PRESETS",
        reads_tokens=True,
    ),
}


def plugin_probes() -> Plugins:
    """The probes that installed packages add; none of them is imported."""
    return find_plugins("probes", PROBES)


def probe_entry(name: str) -> ProbeEntry:
    """The entry of the probe called `name`: one of ours, or of a plug-in, which is imported.

    Raises
    ------
    ProbeError
        No probe has this name.
    PluginError
        A plug-in has it, and cannot be used.
    """
    if name in PROBES:
        return PROBES[name]
    plugins = plugin_probes()
    plugin = plugins.named(name)
    if plugin is None:
        known = [*PROBES, *plugins.usable]
        raise ProbeError(f"there is no probe {name!r}{nearest(name, known)}; the probes are {', '.join(known)}")
    cls = _plugged_in(plugin)
    return ProbeEntry(cls.__module__, cls.__qualname__, _first_line(cls), plugin=plugin)


def _plugged_in(plugin: Plugin) -> type[Probe]:
    cls = plugin.load()
    if not (isinstance(cls, type) and issubclass(cls, Probe)):
        raise plugin.fault(f"is {type(cls).__name__} {cls!r:.60}, expected a subclass of vjepa_fer.probes.Probe")
    if "random_state" not in cls.parameters():
        raise plugin.fault(f"{cls.__name__} has no parameter random_state, as every probe has")
    return cls


def _first_line(cls: type[Probe]) -> str:
    """What a class says of itself, as the summaries of ours are written."""
    return (inspect.getdoc(cls) or cls.__name__).partition("\n")[0].rstrip(".")


def probe_name(cls: type[Probe]) -> str:
    """The name by which :func:`probe_class` finds this class.

    Raises
    ------
    ProbeError
        It has none: a class that somebody wrote and no package adds.
    """
    for name, entry in PROBES.items():
        if (cls.__module__, cls.__qualname__) == (f"vjepa_fer.probes.{entry.module}", entry.class_name):
            return name
    for name, plugin in plugin_probes().usable.items():
        same_package = plugin.value.split(":")[0].split(".")[0] == cls.__module__.split(".")[0]
        if same_package and plugin.load() is cls:
            return name
    raise ProbeError(
        f"{cls.__name__} of {cls.__module__} has no name to be found by: make it a plug-in, as docs/how-to/add-probe.md says"
    )


def probe_class(name: str) -> type[Probe]:
    """Class of the probe called `name`; its own library is not imported yet.

    Raises
    ------
    ProbeError
        No probe has this name.
    PluginError
        A plug-in has it, and cannot be used.
    """
    return probe_entry(name).load()


def probe_parameters(name: str) -> dict[str, Any]:
    """Parameters of the probe called `name` with their defaults."""
    return probe_class(name).parameters()


def make_probe(name: str, params: Mapping[str, Any] | None = None, random_state: int | None = None) -> Probe:
    """An unfitted probe by name, with `params` over its defaults; short names such as ``k`` are understood,
    and ``preset`` where a probe has some.

    Raises
    ------
    ProbeError
        No probe or parameter has this name; the message lists those there are.
    """
    return probe_class(name)(**{"random_state": random_state, **_by_full_name(name, params or {})})


def full_parameters(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`make_probe` makes of `params`: every parameter of the probe by its full name, defaults and presets filled in.

    Raises
    ------
    ProbeError
        No probe or parameter has this name.
    """
    return {**probe_parameters(name), **_by_full_name(name, params)}


def _by_full_name(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    known, entry = probe_parameters(name), probe_entry(name)
    aliases = entry.aliases
    values: dict[str, Any] = {}
    params = dict(params)
    preset = _preset(name, params.pop("preset")) if entry.presets and "preset" in params else {}
    for given, value in params.items():
        parameter = aliases.get(given, given)
        if parameter not in known:
            valid = [*known, *aliases]
            raise ProbeError(f"{name} has no parameter {given!r}{nearest(given, valid)}; it has {', '.join(valid)}")
        if parameter in values:
            raise ProbeError(f"{name}: {given!r} is given twice (it stands for {parameter!r})")
        values[parameter] = value
    return {**preset, **values}


def preset_names(name: str) -> tuple[str, ...]:
    """What ``preset`` may be for the probe called `name`; nothing where it has none."""
    return tuple(_presets(name)) if probe_entry(name).presets else ()


def _presets(name: str) -> Mapping[str, Mapping[str, Any]]:
    return getattr(importlib.import_module(f"vjepa_fer.probes.{PROBES[name].module}"), PROBES[name].presets)


def _preset(name: str, preset: str) -> Mapping[str, Any]:
    known = _presets(name)
    if preset not in known:
        raise ProbeError(f"{name} has no preset {preset!r}{nearest(str(preset), known)}; it has {', '.join(known)}")
    return known[preset]


def fit_probes(
    probes: Sequence[Probe],
    X: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> None:
    """Fit many unfitted probes on the same clips, sharing what can be shared: a grid of C costs little more than one C.

    Parameters
    ----------
    probes : sequence of Probe
        Of any kinds, in any order; each is fitted in place and equals what its own ``fit`` gives up to its tolerance.
    X, y : array (N, D) and (N,)
        Features and labels of the training clips, and of no others.
    sample_weight : array (N,), optional
        What each clip counts.
    groups : array (N,), optional
        Subjects, for probes that stop early on subjects held out of these clips; the others pay no heed.
    """
    families: dict[type[Probe], list[Probe]] = {}
    for probe in probes:
        families.setdefault(type(probe), []).append(probe)
    for cls, family in families.items():
        cls.fit_together(family, X, y, sample_weight=sample_weight, groups=groups)


def answer_probes(probes: Sequence[Probe], X: ArrayLike) -> list[tuple[NDArray, NDArray]]:
    """Probabilities ``(N, K)`` and labels ``(N,)`` from each of many fitted probes, for features ``(N, D)``.

    What probes of one kind can share they do: a grid of C that was fitted together answers with one matrix product.

    Raises
    ------
    ProbeError
        Features that cannot be used, or numbers so large that a probe has no probabilities of them.
    """
    found: dict[int, tuple[NDArray, NDArray]] = {}
    for cls in dict.fromkeys(type(probe) for probe in probes):
        numbers = [number for number, probe in enumerate(probes) if type(probe) is cls]
        with threads_for(X):
            answers = cls.answer_together([probes[number] for number in numbers], X)
        found.update(zip(numbers, answers, strict=True))
    for number, probe in enumerate(probes):
        check_probabilities(found[number][0], repr(probe))
    return [found[number] for number in range(len(probes))]
