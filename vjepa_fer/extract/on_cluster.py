"""An order and an engine go in; the engine's workers carry the order out together, and one summary of what they all did comes out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from vjepa_fer.cache import Cache, layout, open_cache
from vjepa_fer.cache.failures import read_failures
from vjepa_fer.cache.notes import read_notes
from vjepa_fer.doors import progress_bar
from vjepa_fer.encoder.baselines.source import PREFIX
from vjepa_fer.engines import Needs, RayEngine, State
from vjepa_fer.extract.clock import Profile
from vjepa_fer.extract.job import Outlook
from vjepa_fer.extract.order import Order
from vjepa_fer.extract.settings import ExtractSummary


def extract_on_cluster(
    order: Order, engine: RayEngine, *, progress: bool | None = None, outlook: Outlook | None = None
) -> ExtractSummary:
    """Carry out an order with an engine's workers; what is in the cache then is what one process would have put there.

    Parameters
    ----------
    order : Order
    engine : RayEngine
    progress, outlook
        As :func:`~vjepa_fer.extract.extract_manifest` takes them.

    Raises
    ------
    EngineError
        See :meth:`~vjepa_fer.engines.RayEngine.run`; also what no worker could do, in the words of the error that it had.
    """
    before = _opened(order.cache)
    asked = [clip.clip_id for clip in order.manifest.clips]
    there = frozenset(asked) & (before.done if before else frozenset())
    with progress_bar(len(asked), show=progress, unit="clip") as bar:
        tally = Tally()

        def show(states: Mapping[int, State]) -> None:
            done = min(tally.count(states), len(asked) - len(there))
            bar.reach(len(there) + done, len(asked))
            if outlook and done:
                outlook(done, tally.seconds)

        ended = engine.run(order, _needs(order), show=show, tell=bar.say)
        bar.reach(len(asked), len(asked))
    return _summary(order.cache, asked, before, [one.value for one in ended])


class Tally:
    """Counts the clips of all workers: of a process that died, those that are on disk."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._last: dict[int, State] = {}
        self._of_the_dead = 0

    @property
    def seconds(self) -> float:
        """Since the counting began."""
        return time.monotonic() - self._started

    def count(self, states: Mapping[int, State]) -> int:
        """Clips that are done, or given up, by what each worker says."""
        for number, state in states.items():
            last = self._last.get(number, state)
            self._of_the_dead += last.kept if last.pid != state.pid else 0
            self._last[number] = state
        return self._of_the_dead + sum(state.done for state in self._last.values())


def _needs(order: Order) -> Needs:
    own = [order.manifest.source] if order.manifest.source else []
    model = order.model.removeprefix(PREFIX)
    files = [model, order.weights or ""]  # names, or what stands for no file, are at no path
    videos = [order.manifest.absolute(clip).path for clip in order.manifest.clips]
    return Needs.of([*own, *filter(None, files)], filter(None, videos), order.cache)


def _opened(root: Path) -> Cache | None:
    return open_cache(root) if (root / layout.CACHE_JSON).exists() else None


def _summary(root: Path, asked: Sequence[str], before: Cache | None, each: Sequence[ExtractSummary]) -> ExtractSummary:
    """What the disk says: a process that died has told nobody what it did."""
    after = open_cache(root)
    known = {shard.path.name for shard in before.shards} if before else set()
    new = [shard for shard in after.shards if shard.path.name not in known]
    written = {clip_id for shard in new for clip_id, _ in shard.clip_runs} & {*asked}
    listed, notes = read_failures(root), read_notes(root)
    failures = tuple(listed[clip_id] for clip_id in asked if clip_id in listed and clip_id not in after.done)
    failed = {failure.clip_id for failure in failures}
    return ExtractSummary(
        written=len(written),
        skipped=sum(clip_id in after.done and clip_id not in written for clip_id in asked),
        failures=failures,
        rows=sum(len(shard) for shard in new),
        bytes_written=sum(shard.path.stat().st_size for shard in new),
        shorter=sum(one.shorter for one in each),
        elsewhere=tuple(clip_id for clip_id in asked if clip_id not in after.done and clip_id not in failed),
        profile=Profile.of_all([one.profile for one in each]),
        notes={clip_id: said for clip_id, said in notes.items() if clip_id in written},
    )
