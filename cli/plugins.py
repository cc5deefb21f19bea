"""What plug-ins add is said: below lists, and in the help of the options that take their names. Nothing is imported for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from . import completion
from .environment import long_name
from .examples import leaves
from .terminal import print_words

if TYPE_CHECKING:
    from vjepa_fer.doors import PluginGroup, Plugins

NAMED_BY: dict[str, tuple[str, PluginGroup]] = {
    "probe": ("probe", "probes"),
    "extract": ("model", "encoders"),
    "manifest corpus": ("name", "corpora"),
}
"""Command → its option or argument that takes names of a group."""


def plugins_of(group: PluginGroup) -> Plugins:
    """The plug-ins of a group, as :func:`vjepa_fer.doors.find_plugins` gives them."""
    from vjepa_fer.doors import find_plugins

    if group == "encoders":
        from vjepa_fer.encoder.loading.plugin_class import plugin_encoders

        return plugin_encoders()
    if group == "corpora":
        from vjepa_fer.manifest import plugin_corpora

        return plugin_corpora()
    return find_plugins(group, completion.PROBES)  # the same as of vjepa_fer.probes, without numpy


def print_plugins(plugins: Plugins, more: str) -> None:
    """A line a plug-in to stdout; `more` says how to learn the rest of it."""
    for plugin in plugins.usable.values():
        print_words(f"{plugin.name:<22} plug-in of {plugin.origin} ({plugin.value}); {more.format(name=plugin.name)}")


def add_plugins(program: Any) -> None:
    """Have the help of each command name the plug-ins that it takes. They are looked for when the help is asked for, and no sooner."""
    for name, command in leaves(program):
        if name in NAMED_BY:
            command.format_help = partial(_help_with_plugins, command, command.format_help, *NAMED_BY[name])


def _help_with_plugins(command: Any, format_help: Any, taker: str, group: PluginGroup, *how: Any) -> None:
    plugins = plugins_of(group)
    said = [f"{plugin.name} ({plugin.origin})" for plugin in plugins.usable.values()]
    for parameter in command.params:
        if said and taker in (long_name(parameter), parameter.name):
            parameter.help = f"{parameter.help} Plug-ins: {', '.join(said)}."
    format_help(*how)
