"""What was asked for one cache comes in; its encoders, its plan, and what it would take come out, said on the way."""

from __future__ import annotations

import dataclasses
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from vjepa_fer.errors import CacheError

from .extract_asked import Asked
from .extract_words import Outlook, about_perturbation, about_room
from .options import wrong_usage
from .terminal import say, warn

if TYPE_CHECKING:
    from vjepa_fer.encoder import LoadedEncoder
    from vjepa_fer.extract import ExtractSettings, ExtractSummary, Fleet, Forecast, Order, Plan, Stage, Target
    from vjepa_fer.extract.sharing import Others
    from vjepa_fer.extract.writing import Report
    from vjepa_fer.manifest import Clip, Manifest
    from vjepa_fer.recipe import Recipe


RANDOM = "random weights: a control, or a smoke test; the features mean nothing about what the encoder learnt"


class Which(TypedDict):
    """Which clips of a manifest are tried."""

    retry_failed: bool
    accept_truncated: bool
    min_frames: int


def which_of(settings: ExtractSettings) -> Which:
    """As the settings say it."""
    return {
        "retry_failed": settings.retry_failed,
        "accept_truncated": settings.accept_truncated,
        "min_frames": settings.min_frames,
    }


class Tried(NamedTuple):
    """What filling one cache would take."""

    cache: Path
    plan: Plan
    forecast: Forecast | None


class Work(NamedTuple):
    """One cache on its way.

    Attributes
    ----------
    places : sequence of str
        The devices.
    folder : Path
        Where it is extracted to: the cache, or what is here of one elsewhere.
    precision : str
        Settled by the device; `why` says how, where it was.
    recipe : Recipe
        Right in everything but the weights, until the encoders are there.
    rows : int or None
        Window-views to come, once they are counted.
    """

    asked: Asked
    places: Sequence[str]
    folder: Path
    precision: Any
    why: str
    recipe: Recipe
    encoders: tuple[LoadedEncoder, ...] = ()
    rows: int | None = None

    @property
    def target(self) -> Target:
        """For :func:`vjepa_fer.extract.extract_together`."""
        from vjepa_fer.extract import Target

        return Target(self.folder, self.encoders, self.recipe, rows=self.rows)

    def plan(self, clips: Manifest, which: Which) -> tuple[Plan, list[Clip]]:
        """What the cache lacks."""
        from vjepa_fer.extract import plan_extraction

        return plan_extraction(clips, self.folder, self.recipe, **which)

    def expecting(self, plan: Plan) -> Work:
        """The same, of which is known how much there is to do."""
        return self._replace(rows=plan.rows)

    def loaded(self, encoders: Encoders, num_clips: int) -> Work:
        """The same with its encoders; what they are is said."""
        from vjepa_fer.extract import make_recipe

        own = encoders.of(self)
        recipe = make_recipe(own[0], **self.asked.looks)
        done = self._replace(encoders=own, recipe=recipe)
        done.say_what_it_is(num_clips)
        return done

    def as_others_load_it(self) -> Work:
        """The same without encoders, which the workers of a cluster load; the recipe is as right as rows that are there make it."""
        from vjepa_fer.extract import with_weights_of

        if (self.asked.weights or "").startswith("random:"):
            warn(RANDOM)
        return self._replace(recipe=with_weights_of(self.asked.cache, self.recipe))

    def order(self, clips: Manifest, settings: ExtractSettings) -> Order:
        """For :func:`vjepa_fer.extract.extract_on_cluster`."""
        from vjepa_fer.extract import Order

        one = self.asked
        return Order(
            manifest=clips,
            cache=one.cache,
            model=one.model,
            weights=one.weights,
            state_key=one.state_key,
            resolution=one.size,
            places=tuple(self.places),
            precision=one.precision,
            settings=settings,
            **one.looks,
        )

    def say_what_it_is(self, num_clips: int) -> None:
        """The encoder, where it runs, and what people must know of it."""
        encoder = self.encoders[0]
        if encoder.spec.weights.startswith("random:"):
            warn(RANDOM)
        elif encoder.spec.control:
            say(f"a control, what an encoder must beat: {encoder.spec.control}")
        if encoder.spec.library:
            say(f"computed by {encoder.spec.library.title}: {encoder.spec.name}, pixels as its own processor says")
        if encoder.spec.plugin:
            say(f"{encoder.spec.name} is the plug-in of {encoder.spec.plugin}; the recipe says so")
        devices = ", ".join(str(each.device) for each in self.encoders)
        say(f"{self.asked.model} on {devices} in {encoder.precision}: {num_clips:,} clips → {self.asked.cache}")
        if encoder.device.type == "cuda" and encoder.spec.family not in ("pixels", "library", "plugin"):
            say(f"attention by torch's kernel {encoder.attention_kernel(math.prod(self.recipe.token_grid))}")
        if self.why:
            say(f"precision: {self.why}")


def begin(asked: Asked, places: Sequence[str], folder: Path) -> Work:
    """Settle the precision, and make the recipe as far as it goes without weights."""
    from vjepa_fer.extract import settle_precision

    settled = settle_precision(asked.precision, list(places), folder)
    with wrong_usage():
        recipe = asked.planned(settled.precision)
    if asked.perturb is not None:
        say(*about_perturbation(recipe.preprocessing))
    return Work(asked, places, folder, settled.precision, settled.why or "", recipe)


class Encoders:
    """Encoders by what they are made of: each is loaded once, however many caches it fills."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[Any, ...], LoadedEncoder] = {}

    def of(self, work: Work) -> tuple[LoadedEncoder, ...]:
        """One for each device."""
        return tuple(self._on(work, place) for place in work.places)

    def _on(self, work: Work, place: str) -> LoadedEncoder:
        from vjepa_fer.encoder import load_encoder, pick_device

        one = work.asked
        key = (one.model, one.weights, one.state_key, one.size, work.precision, place)
        if key not in self._loaded:
            self._loaded[key] = load_encoder(
                one.model,
                weights=one.weights,
                state_key=one.state_key,
                device=pick_device(place),
                precision=work.precision,
                resolution=one.size,
            )
        return self._loaded[key]


class Trial(NamedTuple):
    """``--dry-run``: what is reckoned with."""

    clips: Manifest
    which: Which
    fleet: Fleet
    workers: int
    rate: float | None
    settings: ExtractSettings
    encoders: Encoders

    def of(self, work: Work) -> Tried:
        """What one cache would take; measured on a few clips, where there are weights or a rate."""
        from vjepa_fer.extract import Forecast, measure_rates, with_weights_of

        cache, folder = work.asked.cache, work.folder
        options: dict[str, Any] = {"workers": self.workers, "rate": self.rate, "folder": folder}
        if work.asked.weights is None:
            recipe = with_weights_of(folder, work.recipe)
            work = work._replace(recipe=recipe)
            plan, left = work.plan(self.clips, self.which)
            given = measure_rates(plan, left, None, recipe, **options) if self.rate else None
            return Tried(cache, plan, Forecast.of(plan, given, self.fleet) if given else None)
        work = work.loaded(self.encoders, len(self.clips))
        plan, left = work.plan(self.clips, self.which)
        measured = measure_rates(
            plan,
            left,
            work.encoders[0],
            work.recipe,
            batch_size=self.settings.batch_size,
            compile_blocks=self.settings.compile_blocks,
            **options,
        )
        forecast = Forecast.of(plan, measured, self.fleet) if measured else None
        return Tried(cache, dataclasses.replace(plan, seconds=forecast.seconds if forecast else 0.0), forecast)


def fill(
    works: Sequence[Work], stage: Stage, *, settings: ExtractSettings, outlook: Outlook
) -> tuple[ExtractSummary, ...]:
    """Extract the clips of `stage` into its cache, wherever that is, or into several on disks."""
    from vjepa_fer.extract import extract_together

    targets = [work.target for work in works]
    if len(targets) > 1:
        return extract_together(stage.manifest, targets, settings=settings, outlook=outlook)

    def run(some: Manifest, _: Path, report: Report | None, others: Others) -> ExtractSummary:
        shared = [dataclasses.replace(targets[0], others=others)]
        return extract_together(some, shared, settings=settings, report=report, outlook=outlook)[0]

    return (stage.extract(works[0].recipe, run, say),)


def require_room(plans: Sequence[tuple[Plan, Path]]) -> None:
    """Refuse to begin where a disk looks too small for all that goes onto it."""
    on_disk: dict[int, list[tuple[Plan, Path]]] = defaultdict(list)
    for plan, folder in plans:
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        on_disk[os.stat(there).st_dev].append((plan, folder))
    for several in on_disk.values():
        needed = sum(plan.needed_bytes for plan, _ in several)
        if not all(plan.fits for plan, _ in several) or (needed > several[0][0].free_bytes and len(several) > 1):
            said = "; ".join(about_room(plan, folder) for plan, folder in several)
            raise CacheError(f"{said}. Store fewer or smaller levels, or --force if you know better")
