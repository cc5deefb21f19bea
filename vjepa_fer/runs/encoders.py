"""Runs whose features come from several encoders go in; one table comes out: what each encoder costs, and how far it is from the reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vjepa_fer.cache import Cache, layout
from vjepa_fer.doors import Column, Given, Sheet, span
from vjepa_fer.recipe import Recipe
from vjepa_fer.runs.against import apart_cells, apart_columns, differences_from, figure_cells

GIGA = 10**9
MEGA = 10**6


def encoder_facts(cache: Cache, levels: Iterable[str]) -> dict[str, Any] | None:
    """What a run keeps of the encoder behind its features; None for features of another program.

    Returns
    -------
    dict
        ``name``, and of random weights the seed; ``computed_by``, ``parameters``, ``width`` of a token, ``bytes`` of `levels` in this cache, and
        ``flops_a_clip``, the mean over its clips.
    """
    recipe = cache.recipe
    if not isinstance(recipe, Recipe):
        return None
    spec, rows = recipe.encoder, sum(len(shard) for shard in cache.shards)
    stored = dict.fromkeys(found for level in levels if (found := recipe.storage.find(level)))
    return {
        "name": f"{spec.name} {spec.weights}" if spec.weights.startswith("random:") else spec.name,
        "computed_by": spec.library.title if spec.library else spec.plugin or "vjepa-fer",
        "parameters": spec.num_parameters,
        "width": spec.embed_dim,
        "bytes": rows * sum(layout.level_dataset(recipe, level).row_bytes for level in stored),
        "flops_a_clip": round(recipe.flops * rows / max(len(cache), 1)),
    }


def read_encoder(said: Given) -> dict[str, Any]:
    """The same from a run's file.

    Raises
    ------
    RunError
        A value of another type.
    """
    texts = {name: said.text(name) for name in ("name", "computed_by")}
    return texts | {name: said.whole(name) for name in ("parameters", "width", "bytes", "flops_a_clip")}


def encoder_sheet(
    results: Mapping[str, Mapping[str, Any]],
    differences: Iterable[Mapping[str, Any]] = (),
    reference: str | None = None,
) -> Sheet | None:
    """A row a run, if they are of several encoders: what each costs, its WAR, and the difference to the reference's.

    Parameters
    ----------
    results : mapping of str to mapping
        By run: as :func:`vjepa_fer.runs.result_of` says. Runs of no known encoder are left out.
    differences : iterable of mapping
        As of ``runs compare --json``; those in WAR from the reference count, p corrected for their number (Holm), and None
        where too few subjects differ to judge.
    reference : str, optional
        The run that the others are compared with.
    """
    known = {run: result for run, result in results.items() if result.get("encoder")}
    if len({result["encoder"]["name"] for result in known.values()}) < 2:
        return None
    apart = differences_from(reference, differences, "war")
    columns = (
        Column(("run",), "run"),
        Column(("encoder",), "encoder"),
        Column(("computed_by",), "computed by", aside=True),
        Column(("megaparameters",), "params, M", "count"),
        Column(("width",), "width", "count"),
        Column(("gigabytes",), "GB", "count"),
        Column(("gflop_a_clip",), "GFLOP a clip", "count"),
        span("war", "WAR, %", "war_low", "war_high"),
        *apart_columns(apart),
    )
    rows = tuple(
        (run, *_costs(result), figure_cells(result, "war"), *apart_cells(apart, run)) for run, result in known.items()
    )
    return Sheet(columns, rows)


def _costs(result: Mapping[str, Any]) -> tuple[Any, ...]:
    one = result["encoder"]
    sizes = (
        _short(one["parameters"] / MEGA),
        one["width"],
        _short(one["bytes"] / GIGA),
        _short(one["flops_a_clip"] / GIGA),
    )
    return (one["name"], one["computed_by"], *sizes)


def _short(value: float) -> float:
    """To three significant digits, or whole."""
    return float(f"{value:.3g}") if value < 100 else round(value)
