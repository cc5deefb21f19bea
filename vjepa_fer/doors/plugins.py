"""A group of entry points goes in; the names that installed packages add to ours come out, and what is wrong with some of them.

Names are read from what is installed, and nothing is imported: a plug-in's module runs when its name is asked for, and not before.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from typing import Any, Literal, get_args

from vjepa_fer.errors import PluginError

PluginGroup = Literal["encoders", "probes", "corpora"]
PLUGIN_GROUPS: tuple[PluginGroup, ...] = get_args(PluginGroup)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Plugin:
    """A name that an installed package adds.

    Attributes
    ----------
    group : {"encoders", "probes", "corpora"}
        Of the entry points ``vjepa_fer.encoders`` and so on.
    name : str
        As it is typed.
    value : str
        What it stands for, ``module:attribute``.
    package, version : str
        Of the distribution that brings it.
    """

    group: PluginGroup
    name: str
    value: str
    package: str
    version: str

    @property
    def origin(self) -> str:
        """Package and version, as recipes and runs keep them: ``"my-encoders 1.2"``."""
        return f"{self.package} {self.version}"

    def __str__(self) -> str:
        return f"plug-in {self.name!r} of {self.origin} ({self.value})"

    def load(self) -> Any:
        """Import the module and return what the name stands for.

        Raises
        ------
        PluginError
            Whatever the module raises, or ends the program by.
        """
        module, _, attribute = self.value.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split(".") if attribute else ():
                found = getattr(found, part)
        except (Exception, SystemExit) as error:
            raise self.fault(f"cannot be imported: {type(error).__name__}: {error}") from error
        return found

    def fault(self, what: str) -> PluginError:
        """An error about it, with what to do."""
        return PluginError(f"{self}: {what}. Mend it, or leave it out: pip uninstall {self.package}")

    def to_dict(self) -> dict[str, str]:
        """For ``--json``."""
        return {"name": self.name, "package": self.package, "version": self.version, "value": self.value}


@dataclass(frozen=True)
class Plugins:
    """What is installed of one group.

    Attributes
    ----------
    usable : dict
        Name → plug-in, in order of name.
    refused : dict
        Name → why none of that name is taken.
    """

    usable: dict[str, Plugin] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def named(self, name: str) -> Plugin | None:
        """The plug-in of this name; None where there is none.

        Raises
        ------
        PluginError
            There is one that is refused.
        """
        if name in self.refused:
            raise PluginError(self.refused[name])
        return self.usable.get(name)


def find_plugins(group: PluginGroup, ours: Collection[str]) -> Plugins:
    """The plug-ins of a group. One that is called like one of `ours`, or like another, is refused: no name stands for two things."""
    found = sorted(_installed(group, tuple(sys.path)), key=lambda one: (one.name, one.package))
    count, plugins = Counter(plugin.name for plugin in found), Plugins()
    for plugin in found:
        if plugin.name in ours:
            plugins.refused[plugin.name] = f"{plugin}: refused, for vjepa-fer has a {plugin.name!r} of its own"
        elif count[plugin.name] > 1:
            several = " and ".join(str(one) for one in found if one.name == plugin.name)
            plugins.refused[plugin.name] = f"{several}: both are refused, for a name can stand for one; uninstall one"
        elif not _NAME.fullmatch(plugin.name):
            plugins.refused[plugin.name] = f"{plugin}: refused: names have a-z, 0-9, '.', '_' and '-', up to 64"
        else:
            plugins.usable[plugin.name] = plugin
    return plugins


@lru_cache(maxsize=16)
def _installed(group: PluginGroup, path: tuple[str, ...]) -> tuple[Plugin, ...]:
    """`path` is what Python imports from: elsewhere other packages lie."""
    entries = metadata.entry_points(group=f"vjepa_fer.{group}")
    return tuple(
        Plugin(group, entry.name, entry.value, entry.dist.name, entry.dist.version) for entry in entries if entry.dist
    )
