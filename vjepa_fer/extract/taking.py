"""One cache that a job of stage 1 fills: what it lacks, what of that is this process's to do, and what became of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from vjepa_fer.cache import open_cache
from vjepa_fer.cache.failures import Failure, read_failures, read_turns
from vjepa_fer.cache.index import remember_shards
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.claims import MOST_DEATHS, Claims
from vjepa_fer.doors import Bar
from vjepa_fer.errors import CacheError, VideoError, VjepaFerError
from vjepa_fer.extract.clock import Profile, StageClock
from vjepa_fer.extract.listed import GivenUp, Noted
from vjepa_fer.extract.plan import given_up
from vjepa_fer.extract.settings import ExtractSettings, ExtractSummary
from vjepa_fer.extract.sharing import NOBODY, ClipShare, DoneClips, Others
from vjepa_fer.extract.writing import BackgroundWriter, Report
from vjepa_fer.manifest import Clip
from vjepa_fer.recipe import AnyRecipe

R = TypeVar("R", bound=AnyRecipe)


class Taking(Generic[R]):
    """A cache within a job, whatever its rows are of. A context manager: on leaving, its open shard is written, and its claims are given up.

    Parameters
    ----------
    root : Path
        The cache folder, which is one of `recipe` already.
    recipe : AnyRecipe
    clips : sequence of Clip
        That were asked for, in order.
    settings, clock, bar, report
        The job's.
    others : Others
        Who fills the same cache elsewhere.

    Attributes
    ----------
    todo : dict
        Clips that are still to be done, by id.
    finished : int
        Clips that are encoded or given up.
    """

    def __init__(
        self,
        root: Path,
        recipe: R,
        clips: Sequence[Clip],
        settings: ExtractSettings,
        clock: StageClock,
        bar: Bar,
        report: Report | None,
        others: Others = NOBODY,
    ) -> None:
        self.root, self.recipe, self.clips, self.settings, self.bar = root, recipe, clips, settings, bar
        cache = open_cache(self.root)
        self.done = cache.done
        self.given_up, self.noted = GivenUp(self.root, bar.say), Noted(self.root, bar.say)
        self.finished, self.shorter, self._lock = 0, 0, threading.Lock()
        self.claims, self.others = Claims(self.root), others
        self.writer = BackgroundWriter(
            self.root,
            self.recipe,
            clock,
            shard_bytes=settings.shard_bytes,
            shard_seconds=settings.shard_seconds,
            report=report,
            is_ours=self._is_ours,
        )
        self.known = DoneClips(cache, self.writer.writer_id, others)
        self.turns = read_turns(self.root)
        self.todo = {clip.clip_id: clip for clip in clips if clip.clip_id not in self.done | self._listed()}
        self.share, self._lost = self._new_share(), set[str]()
        self._open = ExitStack()

    def _is_ours(self, clip_id: str) -> bool:
        """Whether a clip that is encoded is still to be written by this process."""
        return self.claims.holds(clip_id) and self.others.holds(clip_id) and clip_id not in self.known

    def _new_share(self) -> ClipShare:
        return ClipShare(self.root, self.claims, self.known, self.turns, self.others)

    def _listed(self) -> set[str]:
        """Clips that are not tried again."""
        if self.settings.retry_failed:
            return set()
        return given_up(read_failures(self.root), accept_truncated=self.settings.accept_truncated)

    def __enter__(self) -> Taking[R]:
        with disk_errors_explained(self.root):
            self._open.enter_context(self.claims)  # first in, last out: given up after the last shard
            self._open.enter_context(self.writer)
        self.bar.advance(len(self.clips) - len(self.todo))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with disk_errors_explained(self.root):
            self._open.__exit__(kind, error, traceback)

    def close(self) -> None:
        """Bring the lists of failures and notes, and the index of shards, up to date."""
        with disk_errors_explained(self.root):
            self.noted.close()
            self.given_up.close(self._all_done)

    def begin_share(self) -> None:
        """Look anew who is at which clip."""
        self.share, self._lost = self._new_share(), set()

    def takes(self, clip: Clip) -> bool:
        """Claim a clip, if it is still to be done here, nobody else is at it, and it is no suspect."""
        with disk_errors_explained(self.root):
            return clip.clip_id in self.todo and self.share.take(clip)

    def settle(self) -> None:
        """Wait until all that was done is on disk."""
        with disk_errors_explained(self.root):
            self._lost |= self.writer.settle()

    def gives_up(self, clip: Clip) -> bool:
        """List a suspect that was the death of several processes; False of one that is to be tried again."""
        deaths = self.claims.deaths(clip.clip_id)
        if deaths < MOST_DEATHS:
            return False
        message = f"{deaths} processes died while they encoded it; too little memory? --retry-failed tries it again"
        self.fail(clip, VideoError("worker_died", clip.path, message))
        return True

    def end_share(self) -> int:
        """Wait until all that was done is on disk, and keep what is left to do; how many clips were taken."""
        self.settle()
        with disk_errors_explained(self.root):
            self.bar.advance(len(self.share.found_done))
            gone, held = self.share.failed_meanwhile(), {clip.clip_id for clip in self.share.held_elsewhere}
            left = [clip for key, clip in self.todo.items() if key in self._lost] + [
                clip for key, clip in self.todo.items() if key in held
            ]
            self.todo = {c.clip_id: c for c in left if c.clip_id not in gone and c.clip_id not in self.known}
        return self.share.taken

    def begin(self, clip: Clip, notes: Sequence[str] = ()) -> None:
        """A clip is about to be encoded; what is odd about its file is noted."""
        self.noted.add(clip.clip_id, clip.path, notes)
        self.claims.begin(clip.clip_id)

    def keep(self, clip: Clip, rows: ClipRows, *, is_short: bool = False) -> None:
        """A clip that was begun is encoded."""
        self.claims.end(clip.clip_id)
        self.writer.put(rows)
        self._count(is_short)

    def fail(self, clip: Clip, error: VideoError) -> None:
        """List a clip that cannot be done."""
        self.claims.end(clip.clip_id)
        self.given_up.add(Failure.from_error(clip.clip_id, clip.path, error))
        self._count()

    def _count(self, is_short: bool = False) -> None:
        with self._lock:
            self.finished += 1
            self.shorter += is_short

    def _all_done(self) -> frozenset[str]:
        return self.known.ids() | self.writer.durable

    def summary(self, profile: Profile) -> ExtractSummary:
        """What was done."""
        remember_shards(self.root, self.recipe)
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
            profile=profile,
            notes=self.noted.notes,
        )


@contextmanager
def disk_errors_explained(root: Path) -> Iterator[None]:
    """Say of an error of the disk which cache it struck."""
    try:
        yield
    except OSError as error:
        if isinstance(error, VjepaFerError):
            raise
        raise CacheError(f"{root}: cannot be written ({error}); what was done before is safe") from error
