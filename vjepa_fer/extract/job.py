"""A manifest and an encoder go in; finished clips appear in the cache, and a summary says what was done and what failed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from vjepa_fer.cache.folder import prepare_cache, refuse_other_cache
from vjepa_fer.doors import Bar, progress_bar
from vjepa_fer.encoder import LoadedEncoder, require_compiling
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.compiling import Part, compile_where_it_pays
from vjepa_fer.extract.continuing import refuse_other_videos
from vjepa_fer.extract.decoding import Decoding, stop_reading
from vjepa_fer.extract.encode import Route, encode_together
from vjepa_fer.extract.plan import SAMPLE_ELSEWHERE, plan_extraction
from vjepa_fer.extract.rounds import in_rounds
from vjepa_fer.extract.settings import ExtractSettings, ExtractSummary, Target
from vjepa_fer.extract.sharing import Nobody, Others
from vjepa_fer.extract.side import Side
from vjepa_fer.extract.taking import disk_errors_explained
from vjepa_fer.extract.threads import Worker
from vjepa_fer.extract.writing import Report
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Recipe, check
from vjepa_fer.remote import must_be_brought
from vjepa_fer.video.colour import require_reference_pixels
from vjepa_fer.video.faces import require_faces
from vjepa_fer.video.others import require_decoder
from vjepa_fer.video.pool_settings import default_workers
from vjepa_fer.video.read_clip import ReadClip

Outlook = Callable[[int, float], None]


def extract_manifest(
    manifest: Manifest,
    cache: str | os.PathLike[str],
    encoder: LoadedEncoder | Sequence[LoadedEncoder],
    recipe: Recipe,
    *,
    settings: ExtractSettings | None = None,
    progress: bool | None = None,
    report: Report | None = None,
    outlook: Outlook | None = None,
    others: Others | None = None,
) -> ExtractSummary:
    """Extract every clip of `manifest` that the cache lacks.

    In order: the cache folder is made or reopened (another recipe is refused); finished clips are skipped; the others are
    claimed, decoded ahead by worker processes, encoded in batches across clips and added to the open shard; a clip that cannot
    be done is listed in ``failed.csv`` and the rest goes on. When it stops for whatever reason, the open shard is written first.
    Several processes may do this on one cache at once.

    Parameters
    ----------
    manifest : Manifest
    cache : path
        The cache folder.
    encoder : LoadedEncoder or several
        As `recipe` says; each of several, on a device of its own, takes what it can.
    recipe : Recipe
    settings : ExtractSettings, optional
    progress : bool, optional
        Show a progress bar on stderr; by default only on a terminal.
    report : callable, optional
        Called, from another thread, with the ids of clips once they are safely on disk.
    outlook : callable, optional
        Called some times a second with how many clips of this call are encoded or given up, once there is one, and how many
        seconds it has run.
    others : Others, optional
        Who fills the same cache elsewhere, as :meth:`Stage.extract` gives it.

    Raises
    ------
    RecipeMismatchError
        The cache was written with another recipe.
    CacheError
        The folder is something else, or cannot be written, or the disk is full; or a finished clip is another video by now.
    VjepaFerError
        The encoder does not fit into the device's memory, or no decode worker can be started.
    """
    encoders = (encoder,) if isinstance(encoder, LoadedEncoder) else tuple(encoder)
    into = [Target(cache, encoders, recipe, others or Nobody())]
    (summary,) = extract_together(manifest, into, settings=settings, progress=progress, report=report, outlook=outlook)
    return summary


def extract_together(
    manifest: Manifest,
    into: Sequence[Target],
    *,
    settings: ExtractSettings | None = None,
    progress: bool | None = None,
    report: Report | None = None,
    outlook: Outlook | None = None,
) -> tuple[ExtractSummary, ...]:
    """:func:`extract_manifest` into several caches in one pass: each clip is read and decoded once for all that lack it.

    Each cache becomes, to the bit, what :func:`extract_manifest` alone makes of it: it has its own claims, shards, failures and
    notes, and goes on by itself or with any others. Recipes that look at the same frames in the same way share their pixels too.

    Parameters
    ----------
    manifest : Manifest
    into : sequence of Target
        On the same devices.
    settings, progress, report, outlook
        As :func:`extract_manifest` takes them; clips count once for each cache.

    Returns
    -------
    tuple of ExtractSummary
        One for each target. Times are of the whole pass.

    Raises
    ------
    RecipeError
        No cache, two in one folder, or encoders on other devices.
    VjepaFerError
        As :func:`extract_manifest`.
    """
    settings = settings or ExtractSettings()
    _check_targets(into)
    if settings.compile_blocks:
        for each in (each for target in into for each in target.encoders):
            require_compiling(each)
    require_reference_pixels()
    require_decoder(settings.decoder)
    if any(target.recipe.preprocessing.face_crop is not None for target in into):
        require_faces()
    for target in into:  # all are looked at before any is touched
        root = Path(target.cache)
        with disk_errors_explained(root):
            refuse_other_cache(root, target.recipe)
            refuse_other_videos(root, manifest)
    clock, clips = StageClock(), [_prepared(target, manifest) for target in into]
    with progress_bar(sum(map(len, clips)), show=progress, unit="clip") as bar:
        sides = [
            Side(target, own, settings, clock, bar, report, share=len(into))
            for target, own in zip(into, clips, strict=True)
        ]
        parts = [
            Part(side.devices, partial(_rows_to_come, side, target, manifest))
            for side, target in zip(sides, into, strict=True)
        ]
        return _Job(sides, settings, clock, bar, outlook, parts).run()


def _rows_to_come(side: Side, target: Target, manifest: Manifest) -> float:
    """This process's part of what the cache lacks, among those that are at it by now."""
    own, rows = side.settings, target.rows
    if rows is None:
        plan, _ = plan_extraction(
            manifest,
            target.cache,
            target.recipe,
            retry_failed=own.retry_failed,
            accept_truncated=own.accept_truncated,
            min_frames=own.min_frames,
            sample=SAMPLE_ELSEWHERE,
        )
        rows = plan.rows
    return rows / (1 + len(side.claims.heard()))


def _prepared(target: Target, manifest: Manifest) -> list[Clip]:
    """The clips of `manifest` as the cache knows them; it is made, or reopened."""
    with disk_errors_explained(Path(target.cache)):
        union = prepare_cache(Path(target.cache), target.recipe, manifest)
    asked = {clip.clip_id for clip in manifest.clips}
    return [clip for clip in union.clips if clip.clip_id in asked]


def _check_targets(into: Sequence[Target]) -> None:
    check(len(into) > 0, "there is no cache to extract into")
    roots = [os.path.realpath(target.cache) for target in into]
    twice = next((str(target.cache) for target, root in zip(into, roots, strict=True) if roots.count(root) > 1), "")
    check(not twice, f"{twice} is named twice: every recipe needs a cache folder of its own")
    places = {tuple(str(each.device) for each in target.encoders) for target in into}
    check(
        len(places) == 1,
        f"the encoders of all caches must be on the same devices, not {' and '.join(map(str, places))}",
    )


class _Job:
    """One run of :func:`extract_together`: its threads, and what they have in common."""

    def __init__(
        self,
        sides: Sequence[Side],
        settings: ExtractSettings,
        clock: StageClock,
        bar: Bar,
        outlook: Outlook | None,
        parts: Sequence[Part],
    ) -> None:
        self.sides, self.settings, self.clock, self.bar, self.outlook = sides, settings, clock, bar, outlook
        self.parts = parts
        self.looks = list(dict.fromkeys(side.look for side in sides))
        self.wanted: dict[str, list[Side]] = {}  # of clips that are on their way
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.workers = default_workers() if settings.workers is None else settings.workers

    def run(self) -> tuple[ExtractSummary, ...]:
        try:
            with ExitStack() as stack:
                for side in self.sides:
                    stack.enter_context(side)
                self._compile()  # the others take clips meanwhile, and are heard of
                self._share()
        finally:
            with ExitStack() as stack:
                for side in self.sides:
                    stack.callback(side.close)
        profile = self.clock.profile(workers=self.workers, devices=len(self.sides[0].devices))
        return tuple(side.summary(profile) for side in self.sides)

    def _compile(self) -> None:
        if self.settings.compile_blocks is None:
            compile_where_it_pays(self.parts, self.bar.say)
        elif self.settings.compile_blocks:
            for device in (device for side in self.sides for device in side.devices):
                device.compile(self.bar.say)

    def _share(self) -> None:
        in_rounds(
            self.sides,
            lambda: self._encode(self._claimed()),
            self._encode_alone,
            wait_seconds=self.settings.wait_seconds,
            count=self._count,
            tell=self._tell_waiting,
        )

    def _tell_waiting(self, count: int) -> None:
        self.bar.say(f"waiting for {count:,} clips that other processes are at")

    def _claimed(self) -> Iterator[Clip]:
        """Each clip that some cache lacks and that is free there, claimed; until the job is to stop."""
        todo = {clip.clip_id: clip for side in self.sides for clip in side.todo.values()}
        for clip in (todo[clip.clip_id] for clip in self.sides[0].clips if clip.clip_id in todo):
            if self.stop.is_set():
                return
            takers = [side for side in self.sides if side.takes(clip)]
            if takers:
                self.wanted[clip.clip_id] = takers
                yield clip

    def _encode_alone(self, side: Side, clip: Clip) -> None:
        self.wanted[clip.clip_id] = [side]
        self._encode(iter([clip]))

    def _looks_of(self, clip: Clip) -> list[int]:
        return list(dict.fromkeys(self.looks.index(side.look) for side in self.wanted[clip.clip_id]))

    def _encode(self, clips: Iterator[Clip]) -> None:
        """Decode and encode `clips` with one thread a device; on an error or a signal all of them are ended."""
        errors: list[BaseException] = []

        def serve(device: int) -> None:
            try:
                routes = {side: side.route(device, self._count) for side in self.sides}
                encode_together(self._decoded(reads, routes), list(routes.values()))
            except BaseException as error:
                errors.append(error)
                self.stop.set()

        with self._decoding().reads(clips, brought=self._some_are_elsewhere()) as reads:
            threads = [Worker(partial(serve, device)) for device in range(len(self.sides[0].devices))]
            for thread in threads:
                thread.start()
            try:
                while not (all(thread.wait(0.1) for thread in threads) or errors):
                    self._show()
            finally:
                if not all(thread.wait(0) for thread in threads):  # stopped early
                    self.stop.set()
                    stop_reading(reads)
                for thread in threads:
                    thread.wait_surely()
        if errors:
            raise errors[0]

    def _decoding(self) -> Decoding:
        return Decoding(self.looks, self._looks_of, self.workers, self.settings)

    def _some_are_elsewhere(self) -> bool:
        """Whether some of the videos that are left lie elsewhere."""
        return any(must_be_brought(clip.path) for side in self.sides for clip in side.todo.values())

    def _decoded(
        self, reads: Iterable[ReadClip[Clip]], routes: Mapping[Side, Route]
    ) -> Iterator[tuple[ReadClip[Clip], list[Route]]]:
        """Those of `reads` that have pixels, with the ways that they go; the others are listed."""
        iterator = iter(reads)
        while not self.stop.is_set():
            with self.clock.stage("wait for decode"):
                read = next(iterator, None)
            if read is None:
                return
            self.clock.add("decode", read.busy_seconds)
            takers = [side for side in self.wanted[read.clip.clip_id] if side.look == self.looks[read.look]]
            accepted = [side for side in takers if side.accepts(read)]
            for _ in range(len(takers) - len(accepted)):
                self._count()
            if accepted:
                yield read, [routes[side] for side in accepted]
            else:
                read.release()

    def _count(self) -> None:
        with self.lock:
            self.bar.advance()

    def _show(self) -> None:
        rows, size = (sum(getattr(side.writer, name) for side in self.sides) for name in ("rows", "bytes_written"))
        rate = rows / max(self.clock.wall_seconds, 1e-9)
        self.bar.note(f"{rate:.3g} windows/s, {size / 1e9:.2f} GB written")
        finished = sum(side.finished for side in self.sides)
        if self.outlook and finished:
            self.outlook(finished, self.clock.wall_seconds)
