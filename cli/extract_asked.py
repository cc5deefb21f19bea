"""What was asked of ``extract`` comes in, typed or in the files of ``--into``; one value a cache goes out, with all that makes its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import typer

from vjepa_fer.disk import is_url
from vjepa_fer.recipe import (
    FaceCrop,
    Interpolation,
    Perturbation,
    Preprocessing,
    Recipe,
    Sampling,
    Storage,
    check,
    parse_resolution,
)
from vjepa_fer.remote import place_of, shown_address

from .config_file import NOT_IN_FILES
from .environment import long_name
from .extract_layers import layered
from .options import pairs, wrong_usage

RECIPE_OPTIONS = (
    *(
        "model",
        "weights",
        "state_key",
        "precision",
        "level",
        "layers",
        "token_dtype",
        "mode",
        "rule",
        "frames",
        "frame_step",
    ),
    *(
        "fps",
        "window_seconds",
        "segments",
        "stride",
        "resolution",
        "views",
        "face_crop",
        "square_pixels",
        "interpolation",
        "perturb",
        "perturb_seed",
    ),
)
"""Options that decide what a token is; all others are about the run."""

NEITHER = "give a CACHE folder and --model, or --into CACHE=RECIPE.toml once or several times"


class Asked(NamedTuple):
    """A cache, and the recipe that it is to have.

    Attributes
    ----------
    cache : Path
        On a disk, or elsewhere.
    size : (int, int) or None
        Height and width of the input in pixels; None as the encoder was trained.
    precision : str
        As typed; ``auto`` is settled by the device.
    """

    cache: Path
    model: str
    weights: str | None
    state_key: str | None
    precision: Any
    size: tuple[int, int] | None
    sampling: Sampling
    storage: Storage
    num_views: int
    face_crop: FaceCrop | None
    square_pixels: bool
    interpolation: Interpolation | None
    perturb: Perturbation | None

    @property
    def looks(self) -> dict[str, Any]:
        """What the recipe is made of beside the encoder."""
        names = ("sampling", "storage", "num_views", "face_crop", "square_pixels", "interpolation", "perturb")
        return {name: getattr(self, name) for name in names}

    def planned(self, precision: Any) -> Recipe:
        """The recipe, right in everything but the weights."""
        from vjepa_fer.extract import recipe_without_weights

        return recipe_without_weights(
            self.model, resolution=self.size, precision=precision, state_key=self.state_key, **self.looks
        )


def all_asked(context: typer.Context, into: list[str], cache: str | None) -> list[Asked]:
    """One cache by options, or those of ``--into``, each with the options of its file as if they had been typed for it alone.

    Raises
    ------
    typer.BadParameter
        Neither or both; an address among several; an option that belongs into the files is typed, or a file says what is about the whole command.
    """
    if not into:
        if cache is None or not context.params["model"]:
            raise typer.BadParameter(NEITHER)
        return [_asked(place_of(cache), context.params)]
    if cache is not None:
        raise typer.BadParameter(
            f"leave CACHE out: --into names the caches, and {shown_address(cache)} is none of them"
        )
    for option in context.command.params:
        if option.name in RECIPE_OPTIONS and _source(context, option) != "DEFAULT":
            raise typer.BadParameter(f"--{long_name(option)}: with --into it stands in each recipe file, not beside it")
    named = pairs(into, "--into", "CACHE=RECIPE.toml")
    for folder, _ in named:
        if is_url(folder):
            raise typer.BadParameter(
                f"{shown_address(folder)}: --into fills folders on a disk only; give an address as CACHE by itself, or send "
                "the folder with `vjepa-fer cache mirror`"
            )
    return [_asked_in(context, place_of(folder), file) for folder, file in named]


def _asked_in(context: typer.Context, cache: Path, file: str) -> Asked:
    """What a recipe file asks for: it is read as ``--config`` reads it."""
    words = [str(context.params["manifest"]), str(cache), "--config", file]
    own = context.command.make_context(context.info_name, words, parent=context.parent)
    for option in own.command.params:
        if option.name not in RECIPE_OPTIONS and _source(own, option) == "DEFAULT_MAP":
            raise typer.BadParameter(f"{file}: {long_name(option)} is about the whole command: type it beside --into")
    if not own.params["model"]:
        raise typer.BadParameter(f"{file}: names no model")
    return _asked(cache, own.params)


def _source(context: Any, option: Any) -> str:
    source = context.get_parameter_source(option.name)
    return "DEFAULT" if source is None else source.name


def _asked(cache: Path, values: Mapping[str, Any]) -> Asked:
    from vjepa_fer.perturb import perturbation

    model, state_key, default = values["model"], values["state_key"], Storage()
    levels = tuple(values["level"] or default.levels)
    with wrong_usage():
        sampling = Sampling(
            mode=values["mode"],
            rule=values["rule"],
            frames_per_window=values["frames"],
            frame_step=values["frame_step"],
            num_segments=values["segments"],
            stride=values["stride"],
            frames_per_second=frames_a_second(values["fps"], values["window_seconds"], values["frames"]),
        )
        storage = Storage(levels=layered(levels, values["layers"], model, state_key), token_dtype=values["token_dtype"])
        size = parse_resolution(values["resolution"]) if values["resolution"] is not None else None
        face = FaceCrop() if values["face_crop"] else None
        height, width = size or (Preprocessing.crop_size, None)
        worse = perturbation(values["perturb"] or (), seed=values["perturb_seed"])
        Preprocessing(crop_size=height, crop_width=width, num_views=values["views"], face_crop=face, perturb=worse)
    return Asked(
        cache=cache,
        model=model,
        weights=values["weights"],
        state_key=state_key,
        precision=values["precision"],
        size=size,
        sampling=sampling,
        storage=storage,
        num_views=values["views"],
        face_crop=face,
        square_pixels=values["square_pixels"],
        interpolation=values["interpolation"],
        perturb=worse,
    )


def frames_a_second(fps: float | None, window_seconds: float | None, frames: int) -> float | None:
    """The rate that either option says; None without both."""
    if window_seconds is None:
        return fps
    check(fps is None, "--fps and --window-seconds both say how far frames are apart: give one")
    check(
        0.001 <= window_seconds <= 1e6, f"--window-seconds {window_seconds:g} must be a number from 0.001 to 1,000,000"
    )
    return frames / window_seconds


def write_recipe_file(context: typer.Context, path: Path) -> None:
    """The options that make the recipe, as far as they are no defaults, as a file for ``--into`` and ``--config``."""
    import tomli_w

    from vjepa_fer.disk import write_durably

    options = {option.name: option for option in context.command.params if option.name not in NOT_IN_FILES}
    given = {
        long_name(options[name]): context.params[name]
        for name in RECIPE_OPTIONS
        if context.params[name] not in (None, []) and _source(context, options[name]) != "DEFAULT"
    }
    write_durably(path, tomli_w.dumps(given).encode())
