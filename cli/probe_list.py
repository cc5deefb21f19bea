"""The probes go in; a table of each with its parameters and their defaults comes out, or one object for machines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .plugins import plugins_of, print_plugins
from .terminal import print_json, print_table, say, warn

SCHEMA = "vjepa-fer/probes/1"


def show_probes(names: Iterable[str], *, as_json: bool) -> None:
    """Every probe's parameters, its short names for them and its presets; a probe that there is not is refused."""
    found, plugins = [_facts(name) for name in names], plugins_of("probes")
    if as_json:
        added = [plugin.to_dict() for plugin in plugins.usable.values()]
        print_json({"schema": SCHEMA, "probes": found, "plugins": added, "broken": [*plugins.refused.values()]})
        return
    for one in found:
        _print_one(one)
    print_plugins(plugins, "`probe --list -p {name}` says the rest")
    for fault in plugins.refused.values():
        warn(f"left out: {fault}")
    say("--param NAME=VALUE sets one: k=10; a list sweeps: C=0.1,1; mlp.alpha=1 is for mlp only")


def _facts(name: str) -> dict[str, Any]:
    from vjepa_fer.probes import preset_names, probe_entry, probe_parameters

    defaults, entry = probe_parameters(name), probe_entry(name)
    return {
        "probe": name,
        "summary": entry.summary,
        "reads_tokens": entry.reads_tokens,
        "parameters": {key: _plain(value) for key, value in defaults.items() if key != "random_state"},
        "short_names": dict(entry.aliases),
        "presets": list(preset_names(name)),
        "plugin": entry.plugin.origin if entry.plugin else None,
    }


def _plain(value: Any) -> Any:
    """As JSON says it, and so that `--param` takes it."""
    return list(value) if isinstance(value, tuple) else value


def _print_one(one: dict[str, Any]) -> None:
    short = {full: name for name, full in one["short_names"].items()}
    rows = [(name, _typed(value), short.get(name, "")) for name, value in one["parameters"].items()]
    rows += [("preset", "none", ", ".join(one["presets"]))] if one["presets"] else []
    head = ("parameter", "default", "or" if short or one["presets"] else "")
    origin = f" (plug-in of {one['plugin']})" if one["plugin"] else ""
    print_table(head, rows, title=f"{one['probe']}: {one['summary']}{origin}")


def _typed(value: Any) -> str:
    """A default as it would be typed."""
    if isinstance(value, list):
        return f"({','.join(map(_typed, value))},)"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else f"{value}"
