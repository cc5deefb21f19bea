"""An encoder's name comes in, what a person chooses it by goes out: sizes, memory, storage a clip, licence, files. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vjepa_fer.doors import Column, Plugin, Sheet
from vjepa_fer.encoder.baselines.source import is_baseline
from vjepa_fer.encoder.files.home import weights_here
from vjepa_fer.encoder.files.records import known_fault
from vjepa_fer.encoder.loading.registry import find_encoder, registration_files
from vjepa_fer.encoder.model.known import KnownEncoder
from vjepa_fer.encoder.model.zoo import OFFICIAL_ENCODERS, official_encoder, parameter_count, tokens_of
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe import Sampling, Storage

LEVELS = ("mean", "frames", "grid:4", "tokens")
MEGABYTE = 1e6


def all_facts() -> tuple[list[dict[str, Any]], list[str]]:
    """:func:`encoder_facts` of every official encoder and of every one that users registered, and why some of those have none."""
    facts, faults = [encoder_facts(name) for name in OFFICIAL_ENCODERS], []
    for path in registration_files():
        try:
            facts.append(encoder_facts(str(path)))
        except RecipeError as error:
            faults.append(str(error))
    return facts, faults


def encoder_facts(name: str, *, state_key: str | None = None) -> dict[str, Any]:
    """Everything about one encoder, official or a user's, as one flat object, for `models info` and ``--json``.

    Windows have 16 frames, and a clip the default sampling's two windows.

    Parameters
    ----------
    name : str
        A name, a registration, or a weights file of an official encoder.
    state_key : str, optional
        Which state dict of a weights file to look at.

    Raises
    ------
    RecipeError
        No encoder has this name, or it is the tiny one.
    CheckpointError
        A weights file that is no official encoder's.
    """
    if is_baseline(name):
        raise RecipeError(
            f"{name}: V-JEPA's encoders are told of here; `vjepa-fer extract --model {name} --dry-run` says what this one takes"
        )
    known = find_encoder(name, state_key=state_key)
    if known.registration is not None:
        return _registered_facts(known)
    if known.plugin is not None:
        return _plugin_facts(known, known.plugin)
    model = official_encoder(known.name)
    config, here = model.config, weights_here(known.name)
    faults = {source: fault for source, path in here.items() if (fault := known_fault(path))}
    file = {} if known.weights is None else {"given": str(known.weights)}
    return {
        "name": known.name,
        "architecture": model.architecture,
        **_sizes(config),
        "file": model.url,
        "state_key": known.state_key,
        "huggingface": model.hub_repo,
        "licence": model.licence,
        "citation": model.citation,
        "download_bytes": model.download_bytes,
        "here": file | {source: str(path) for source, path in here.items()},
        "faults": faults,
    }


def _registered_facts(known: KnownEncoder) -> dict[str, Any]:
    """The same of a user's encoder, whose licence and citation are the user's to know."""
    file = str(known.weights)
    return {
        "name": known.name,
        "architecture": f"as {known.registration} says",
        **_sizes(known.config),
        "file": file,
        "state_key": known.state_key,
        "huggingface": None,
        "licence": None,
        "citation": None,
        "download_bytes": None,
        "here": {"registered": file} if Path(file).exists() else {},
        "faults": {},
    }


def _plugin_facts(known: KnownEncoder, plugin: Plugin) -> dict[str, Any]:
    """The same of a plug-in's encoder, which brings its weights, and of which it is not known how many they are."""
    return {
        "name": known.name,
        "architecture": f"as {plugin.value} says",
        **_sizes(known.config),
        "file": f"brought by {plugin.origin}",
        "state_key": known.state_key,
        "huggingface": None,
        "licence": None,
        "citation": None,
        "download_bytes": None,
        "here": {"plug-in": plugin.origin},
        "faults": {},
    }


def _sizes(config: dict[str, Any]) -> dict[str, Any]:
    parameters = 0 if config["family"] == "plugin" else parameter_count(config)
    return {
        "family": config["family"],
        "parameters": parameters,
        "embed_dim": config["embed_dim"],
        "depth": config["depth"],
        "heads": config["num_heads"],
        "resolution": config["img_size"],
        "pretraining_frames": config["num_frames"],
        "tokens": tokens_of(config, Sampling().frames_per_window),
        "megabytes_a_clip": {level: clip_megabytes(config, level) for level in LEVELS},
        "memory_megabytes": {"float32": 4 * parameters / MEGABYTE, "bfloat16": 2 * parameters / MEGABYTE},
        "megabytes_a_window": {name: window_megabytes(config, name) for name in ("float32", "bfloat16")},
    }


ALLOCATED = 2.5
"""Memory taken at most, over the numbers that are alive at once: measured on a CPU for three encoders, 0.4 to 2.5."""


def window_megabytes(config: dict[str, Any], precision: str) -> float:
    """Megabytes that a window of 16 frames takes at most while it is encoded, beside the weights; roughly."""
    return encoding_bytes(config, tokens_of(config, Sampling().frames_per_window), precision) / MEGABYTE


def encoding_bytes(config: dict[str, Any], num_tokens: int, precision: str) -> float:
    """Bytes that a window of so many tokens takes at most while it is encoded, beside the weights; roughly.

    The widest moment of a layer: in the MLP the tokens, the normed ones, and the hidden numbers before and after GELU; in
    attention the tokens, query, key and value, and what rotates them. Attention itself is computed in tiles.
    """
    dim, hidden = config["embed_dim"], int(config["embed_dim"] * config["mlp_ratio"])
    widest = max(2 * dim + 2 * hidden, 8 * dim)
    bytes_a_number = 4 if precision == "float32" else 2
    return ALLOCATED * num_tokens * widest * bytes_a_number


def clip_megabytes(config: dict[str, Any], level: str) -> float:
    """Megabytes of one clip at one level: the small levels in float32, grid and tokens in float16."""
    sampling = Sampling()
    side = config["img_size"] // config["patch_size"]
    grid = sampling.frames_per_window // config["tubelet_size"], side, side
    return sampling.num_segments * Storage(levels=(level,)).row_bytes(grid, config["embed_dim"]) / MEGABYTE


def models_sheet(models: list[dict[str, Any]]) -> Sheet:
    """A table to paste, a row an encoder: what it costs to run, and to store by level in MB a clip of two windows."""
    plain = [("name", "model", "text"), ("family", "family", "text"), ("parameters", "parameters", "count")]
    plain += [("resolution", "pixels", "count"), ("tokens", "tokens", "count")]
    levels = list(dict.fromkeys(level for model in models for level in model["megabytes_a_clip"]))
    columns = (
        *(Column((key,), head, kind) for key, head, kind in plain),
        *(Column((f"megabytes_{level}",), f"{level}, MB", "number") for level in levels),
        Column(("licence",), "licence"),
        Column(("file",), "file", "code"),
    )
    rows = tuple(
        (
            *(model[key] for key, _, _ in plain),
            *(model["megabytes_a_clip"].get(level) for level in levels),
            model["licence"],
            model["file"],
        )
        for model in models
    )
    return Sheet(columns, rows)
