"""A manifest and an encoder go in; finished clips appear in the cache, and a summary says what was done and what failed."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from vjepa_fer.cache import open_cache
from vjepa_fer.cache.failures import Failure, read_failures, read_turns
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.index import remember_shards
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.cache.writer import DEFAULT_SHARD_BYTES
from vjepa_fer.claims import Claims
from vjepa_fer.doors import Bar, progress_bar
from vjepa_fer.encoder import LoadedEncoder, require_compiling
from vjepa_fer.errors import CacheError, VideoError, VjepaFerError
from vjepa_fer.extract.ahead import ROOM, Ahead, Returned
from vjepa_fer.extract.batches import RowEncoder
from vjepa_fer.extract.clock import Profile, StageClock
from vjepa_fer.extract.continuing import refuse_other_videos
from vjepa_fer.extract.encode import encode_clips, row_encoder
from vjepa_fer.extract.listed import GivenUp, Noted
from vjepa_fer.extract.plan import given_up
from vjepa_fer.extract.sharing import ClipShare, DoneClips, Patience
from vjepa_fer.extract.threads import Worker
from vjepa_fer.extract.writing import BackgroundWriter, Report
from vjepa_fer.manifest import Clip, Manifest, picture_rate
from vjepa_fer.recipe import FaceCrop, Interpolation, Preprocessing, Recipe, Sampling, Storage
from vjepa_fer.remote import must_be_brought
from vjepa_fer.video.colour import require_reference_pixels
from vjepa_fer.video.faces import require_faces
from vjepa_fer.video.others import Decoder, require_decoder
from vjepa_fer.video.pool import (
    DEFAULT_TIMEOUT_SECONDS,
    DecodePool,
    HasPath,
    PoolSettings,
    ReadClip,
    default_memory,
    default_workers,
    read_in_line,
)

Outlook = Callable[[int, float], None]
C = TypeVar("C", bound=HasPath)


@dataclass(frozen=True)
class ExtractSettings:
    """What may change how fast an extraction runs, never what it writes.

    Attributes
    ----------
    batch_size : int, optional
        Window-views that go through a GPU together; by default as many as fit. A CPU takes one a core.
    shard_bytes, shard_seconds
        Size and age at which a shard is closed: a kill costs at most the open one.
    retry_failed : bool
        Try the clips of ``failed.csv`` again.
    workers : int, optional
        Processes that decode ahead; by default as the cores allow. 0 decodes a clip when the encoder asks for it, in a process
        besides (on Windows in this one, without `clip_timeout`).
    clip_timeout : float
        Seconds after which a clip that is still not decoded is given up.
    memory_bytes : int, optional
        Of shared memory for decoded clips; by default an eighth of the machine's, up to 8 GB.
    decoder : {"pyav", "decord", "torchcodec"}
        The library that decodes; the pixels are the same. One beside PyAV is held to PyAV's frames, which takes the time of both.
    accept_truncated : bool
        Of a file that breaks off take what is there, with a note; by default it is listed as ``truncated``.
    accept_resize : bool
        Where the size of a film changes midway, scale all its frames to the first one's, with a note; by default it is listed.
    min_frames : int
        A clip of fewer is listed as ``too_short``; by default one that is shorter than a window repeats its last frame.
    compile_blocks : bool
        On CUDA, have torch compile the encoder first, for batches of this job's shape.
    wait_seconds : float
        How long to wait at the end for clips that other processes are at, while none of them gets done; a clip whose process
        dies is taken over.
    scratch_bytes : int
        Of copies of videos that lie elsewhere; they are brought ahead, and go as soon as they are decoded.
    """

    batch_size: int | None = None
    shard_bytes: int = DEFAULT_SHARD_BYTES
    shard_seconds: float = 120.0
    retry_failed: bool = False
    workers: int | None = None
    clip_timeout: float = DEFAULT_TIMEOUT_SECONDS
    memory_bytes: int | None = None
    compile_blocks: bool = False
    decoder: Decoder = "pyav"
    accept_truncated: bool = False
    accept_resize: bool = False
    min_frames: int = 1
    wait_seconds: float = 600.0
    scratch_bytes: int = ROOM


@dataclass(frozen=True)
class ExtractSummary:
    """What one call of :func:`extract_manifest` did.

    Attributes
    ----------
    written : int
        Clips that this call put into the cache.
    skipped : int
        Clips that were there already, or that another process put there meanwhile.
    failures : tuple of Failure
        Clips of the manifest that could not be done, now or (not tried again) before.
    rows, bytes_written : int
        Rows and bytes of this call.
    shorter : int
        Clips of this call that were shorter than a window, whose last frame was repeated.
    elsewhere : tuple of str
        Ids of clips that another process was still at when the waiting for it ended.
    profile : Profile
        Where the time went.
    notes : mapping
        What is odd about the videos of clips of this call, by clip id: it is in the cache's ``notes.csv``.
    """

    written: int
    skipped: int
    failures: tuple[Failure, ...]
    rows: int
    bytes_written: int
    shorter: int
    elsewhere: tuple[str, ...]
    profile: Profile
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def make_recipe(
    encoder: LoadedEncoder,
    *,
    sampling: Sampling | None = None,
    storage: Storage | None = None,
    num_views: int = 1,
    face_crop: FaceCrop | None = None,
    square_pixels: bool = False,
    interpolation: Interpolation = Preprocessing.interpolation,
) -> Recipe:
    """The recipe of an extraction with this encoder and its own preprocessing."""
    return Recipe(
        encoder=encoder.spec,
        sampling=sampling or Sampling(),
        preprocessing=dataclasses.replace(
            encoder.preprocessing,
            num_views=num_views,
            interpolation=interpolation,
            face_crop=face_crop,
            square_pixels=square_pixels,
        ),
        storage=storage or Storage(),
        precision=encoder.precision,
    )


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

    Raises
    ------
    RecipeMismatchError
        The cache was written with another recipe.
    CacheError
        The folder is something else, or cannot be written, or the disk is full; or a finished clip is another video by now.
    VjepaFerError
        The encoder does not fit into the device's memory, or no decode worker can be started.
    """
    encoders = [encoder] if isinstance(encoder, LoadedEncoder) else list(encoder)
    if settings is not None and settings.compile_blocks:
        for each in encoders:
            require_compiling(each)
    require_reference_pixels()
    require_decoder((settings or ExtractSettings()).decoder)
    if recipe.preprocessing.face_crop is not None:
        require_faces()
    root = Path(cache)
    with _disk_errors_explained(root):
        refuse_other_videos(root, manifest)
        union = prepare_cache(root, recipe, manifest)
    asked = {clip.clip_id for clip in manifest.clips}
    clips = [clip for clip in union.clips if clip.clip_id in asked]
    with progress_bar(len(clips), show=progress, unit="clip") as bar:
        return _Job(root, clips, encoders, recipe, settings or ExtractSettings(), bar, report, outlook).run()


class _Job:
    """One run of :func:`extract_manifest`: its threads, and what they have in common."""

    def __init__(
        self,
        root: Path,
        clips: list[Clip],
        encoders: list[LoadedEncoder],
        recipe: Recipe,
        settings: ExtractSettings,
        bar: Bar,
        report: Report | None,
        outlook: Outlook | None,
    ) -> None:
        self.root, self.clips, self.recipe, self.settings, self.bar = root, clips, recipe, settings, bar
        self.cache = open_cache(root)
        self.done = self.cache.done
        self.given_up, self.noted = GivenUp(root, bar.say), Noted(root, bar.say)
        self.outlook, self.finished, self.shorter = outlook, 0, 0
        self.clock, self.stop, self.lock = StageClock(), threading.Event(), threading.Lock()
        self.workers = default_workers() if settings.workers is None else settings.workers
        self.devices = [row_encoder(each, recipe, self.clock, batch_size=settings.batch_size) for each in encoders]
        if settings.compile_blocks:
            for device in self.devices:
                device.compile()
        self.claims = Claims(root)
        self.writer = BackgroundWriter(
            root,
            recipe,
            self.clock,
            shard_bytes=settings.shard_bytes,
            shard_seconds=settings.shard_seconds,
            report=report,
            is_ours=lambda clip_id: self.claims.holds(clip_id) and clip_id not in self.known,
        )
        self.known = DoneClips(self.cache, self.writer.writer_id)

    def run(self) -> ExtractSummary:
        turns = read_turns(self.root)
        accepts = self.settings.accept_truncated
        listed = set() if self.settings.retry_failed else given_up(read_failures(self.root), accept_truncated=accepts)
        todo = [clip for clip in self.clips if clip.clip_id not in self.done and clip.clip_id not in listed]
        self.bar.advance(len(self.clips) - len(todo))
        try:
            with _disk_errors_explained(self.root), ExitStack() as stack:
                stack.enter_context(self.claims)  # first in, last out: given up after the last shard
                stack.enter_context(self.writer)
                self._share(todo, turns)
        finally:
            with _disk_errors_explained(self.root):
                self.noted.close()
                self.given_up.close(self._all_done)
        remember_shards(self.root, self.recipe)
        return self._summary()

    def _share(self, todo: list[Clip], turns: Mapping[str, int]) -> None:
        """Do what no other process is at, over and over, until everything is done or nobody gets on."""
        patience = Patience(self.settings.wait_seconds)
        while todo:
            share = ClipShare(self.root, self.claims, self.known, turns)
            self._encode(share.claimed(todo, self.stop))
            self.bar.advance(len(share.found_done))
            lost, gone = self.writer.settle(), share.failed_meanwhile()
            todo = [clip for clip in todo if clip.clip_id in lost] + share.held_elsewhere
            todo = [clip for clip in todo if clip.clip_id not in gone and clip.clip_id not in self.known]
            if todo and not share.taken and not patience.wait(len(todo), self._tell_waiting):
                return

    def _tell_waiting(self, count: int) -> None:
        self.bar.say(f"waiting for {count:,} clips that other processes are at")

    def _all_done(self) -> frozenset[str]:
        return self.known.ids() | self.writer.durable

    def _encode(self, clips: Iterator[Clip]) -> None:
        """Decode and encode `clips` with one thread a device; on an error or a signal all of them are ended."""
        errors: list[BaseException] = []

        def serve(device: RowEncoder) -> None:
            try:
                views = self.recipe.preprocessing.num_views
                encode_clips(self._decoded(reads), device, views, self._finish)
            except BaseException as error:
                errors.append(error)
                self.stop.set()

        with self._reads(clips) as reads:
            threads = [Worker(partial(serve, device)) for device in self.devices]
            for thread in threads:
                thread.start()
            try:
                while not (all(thread.wait(0.1) for thread in threads) or errors):
                    self._show()
            finally:
                if not all(thread.wait(0) for thread in threads):  # stopped early
                    self.stop.set()
                    if isinstance(reads, DecodePool | Returned):
                        reads.close()
                for thread in threads:
                    thread.wait_surely()
        if errors:
            raise errors[0]

    @contextmanager
    def _reads(self, clips: Iterator[Clip]) -> Iterator[Iterable[ReadClip[Clip]]]:
        if not any(must_be_brought(clip.path) for clip in self.clips):
            with self._pool(clips, picture_rate) as reads:
                yield reads
            return
        with Ahead(clips, self.settings.scratch_bytes) as ahead, self._pool(ahead, ahead.rate) as brought:
            yield Returned(ahead, brought)

    @contextmanager
    def _pool(self, clips: Iterable[C], rate_of: Callable[[C], float | None]) -> Iterator[Iterable[ReadClip[C]]]:
        sampling, preprocessing = self.recipe.sampling, self.recipe.preprocessing
        if not self.workers and os.name == "nt":
            own = self.settings
            accepts = {"accept_truncated": own.accept_truncated, "accept_resize": own.accept_resize}
            yield _InTurns(
                read_in_line(clips, sampling, preprocessing, decoder=own.decoder, rate_of=rate_of, **accepts)
            )
            return
        settings = PoolSettings(
            workers=self.workers,
            timeout_seconds=self.settings.clip_timeout,
            memory_bytes=self.settings.memory_bytes or default_memory(),
            decoder=self.settings.decoder,
            accept_truncated=self.settings.accept_truncated,
            accept_resize=self.settings.accept_resize,
        )
        with DecodePool(clips, sampling, preprocessing, settings, rate_of=rate_of) as pool:
            yield pool

    def _decoded(self, reads: Iterable[ReadClip[Clip]]) -> Iterator[ReadClip[Clip]]:
        """Those of `reads` that have pixels; the others are listed."""
        iterator = iter(reads)
        while not self.stop.is_set():
            with self.clock.stage("wait for decode"):
                read = next(iterator, None)
            if read is None:
                return
            self.clock.add("decode", read.busy_seconds)
            error = read.error or self._too_short(read)
            if error is None:
                assert read.pixels is not None
                self.noted.add(read.clip.clip_id, read.clip.path, read.pixels.notes)
                yield read
            else:
                read.release()
                self._fail(Failure.from_error(read.clip.clip_id, read.clip.path, error))

    def _too_short(self, read: ReadClip[Clip]) -> VideoError | None:
        count, least = read.pixels.num_frames if read.pixels else 0, self.settings.min_frames
        if count >= least:
            return None
        return VideoError("too_short", read.clip.path, f"has {count} frames, fewer than the {least} of --min-frames")

    def _fail(self, failure: Failure) -> None:
        self.given_up.add(failure)
        self._count()

    def _finish(self, clip: Clip, rows: ClipRows) -> None:
        self.writer.put(rows)
        self._count(bool(rows.num_real_frames[0] < self.recipe.sampling.frames_of_whole))

    def _count(self, is_short: bool = False) -> None:
        with self.lock:
            self.finished += 1
            self.shorter += is_short
            self.bar.advance()

    def _show(self) -> None:
        rate = self.writer.rows / max(self.clock.wall_seconds, 1e-9)
        self.bar.note(f"{rate:.3g} windows/s, {self.writer.bytes_written / 1e9:.2f} GB written")
        if self.outlook and self.finished:
            self.outlook(self.finished, self.clock.wall_seconds)

    def _summary(self) -> ExtractSummary:
        done, ours = self._all_done(), self.writer.durable
        asked = [clip.clip_id for clip in self.clips]
        failures = self.given_up.among(asked, done)
        failed = {failure.clip_id for failure in failures}
        return ExtractSummary(
            written=len(ours),
            skipped=sum(clip_id in done and clip_id not in ours for clip_id in asked),
            failures=failures,
            rows=self.writer.rows,
            bytes_written=self.writer.bytes_written,
            shorter=self.shorter,
            elsewhere=tuple(clip_id for clip_id in asked if clip_id not in done and clip_id not in failed),
            profile=self.clock.profile(workers=self.workers, devices=len(self.devices)),
            notes=self.noted.notes,
        )


class _InTurns(Generic[C]):
    """An iterable that several threads may ask in turns."""

    def __init__(self, items: Iterator[ReadClip[C]]) -> None:
        self._items, self._lock = items, threading.Lock()

    def __iter__(self) -> Iterator[ReadClip[C]]:
        while True:
            with self._lock:
                item = next(self._items, None)
            if item is None:
                return
            yield item


@contextmanager
def _disk_errors_explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, VjepaFerError):
            raise
        raise CacheError(f"{root}: cannot be written ({error}); what was done before is safe") from error
