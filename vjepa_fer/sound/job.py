"""A manifest and an extractor go in; finished clips appear in the cache, and a summary says what was done and what failed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from vjepa_fer.cache.folder import prepare_cache, refuse_other_cache
from vjepa_fer.doors import Bar, progress_bar
from vjepa_fer.errors import RemoteError, VideoError
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.continuing import refuse_other_videos
from vjepa_fer.extract.rounds import in_rounds
from vjepa_fer.extract.settings import ExtractSettings, ExtractSummary
from vjepa_fer.extract.sharing import NOBODY, Others
from vjepa_fer.extract.taking import Taking, disk_errors_explained
from vjepa_fer.extract.writing import Report
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import SoundRecipe
from vjepa_fer.remote import brought
from vjepa_fer.sound.heard import Extractor, rows_of
from vjepa_fer.sound.reading import Sound, read_sound
from vjepa_fer.video.reading import source_sha256


def extract_sound(
    manifest: Manifest,
    cache: str | os.PathLike[str],
    extractor: Extractor,
    *,
    settings: ExtractSettings | None = None,
    progress: bool | None = None,
    report: Report | None = None,
    others: Others = NOBODY,
) -> ExtractSummary:
    """Take the numbers of every clip's sound that the cache lacks, as :func:`vjepa_fer.extract.extract_manifest` takes those of its pictures.

    Claims, shards, resuming, and the lists of failures and notes are the same; several processes may do this on one cache at once. A clip without
    a sound track is listed as ``no_audio``; nothing is put in its place.

    Parameters
    ----------
    manifest : Manifest
    cache : path
        The cache folder.
    extractor : Extractor
    settings : ExtractSettings, optional
        Of it count `retry_failed`, `shard_bytes`, `shard_seconds` and `wait_seconds`.
    progress : bool, optional
        Show a progress bar on stderr; by default only on a terminal.
    report : callable, optional
        Called, from another thread, with the ids of clips once they are safely on disk.
    others : Others
        Who fills the same cache elsewhere, as :meth:`~vjepa_fer.extract.Stage.extract` gives it.

    Raises
    ------
    RecipeMismatchError
        The cache was written with another recipe.
    CacheError
        The folder is something else, or cannot be written; or a finished clip is another file by now.
    """
    settings, root = settings or ExtractSettings(), Path(cache)
    with disk_errors_explained(root):
        refuse_other_cache(root, extractor.recipe)
        refuse_other_videos(root, manifest)
        union = prepare_cache(root, extractor.recipe, manifest)
    asked = {clip.clip_id for clip in manifest.clips}
    clips, clock = [clip for clip in union.clips if clip.clip_id in asked], StageClock()
    with progress_bar(len(clips), show=progress, unit="clip") as bar:
        taking = Taking(root, extractor.recipe, clips, settings, clock, bar, report, others)
        try:
            with taking:
                _Job(taking, extractor, clock, bar).run()
        finally:
            taking.close()
    return taking.summary(clock.profile(workers=0, devices=1))


class _Job:
    """One run of :func:`extract_sound`."""

    def __init__(self, taking: Taking[SoundRecipe], extractor: Extractor, clock: StageClock, bar: Bar) -> None:
        self.taking, self.extractor, self.clock, self.bar = taking, extractor, clock, bar

    def run(self) -> None:
        in_rounds(
            [self.taking],
            lambda: self._take(clip for clip in list(self.taking.todo.values()) if self.taking.takes(clip)),
            lambda _, clip: self._take([clip]),
            wait_seconds=self.taking.settings.wait_seconds,
            count=self.bar.advance,
            tell=lambda count: self.bar.say(f"waiting for {count:,} clips that other processes are at"),
        )

    def _take(self, clips: Iterable[Clip]) -> None:
        """Read `clips`, which are claimed, and encode them, as many at once as the extractor takes."""
        waiting: list[tuple[Clip, Sound, str]] = []
        for clip in clips:
            self.taking.begin(clip)
            try:
                waiting.append((clip, *self._read(clip)))
            except VideoError as error:
                self._fail(clip, error)
            if len(waiting) >= self.extractor.at_once:
                self._encode(waiting)
                waiting = []
        self._encode(waiting)

    def _read(self, clip: Clip) -> tuple[Sound, str]:
        """A clip's sound, which the extractor can make something of, and the hash of its file."""
        with self.clock.stage("decode"):
            try:
                with brought(clip.path) as path:
                    sound = read_sound(path, self.extractor.recipe.sampling_rate)
                    self.extractor.check(sound)
                    return sound, source_sha256(path)
            except VideoError as error:
                raise VideoError(error.reason, clip.path, error.message) from error
            except FileNotFoundError as error:
                raise VideoError("missing", clip.path, f"not there: {error.strerror}") from error
            except RemoteError as error:
                raise VideoError("unreadable", clip.path, f"cannot be brought: {error}") from error

    def _encode(self, waiting: list[tuple[Clip, Sound, str]]) -> None:
        try:
            with self.clock.stage("encode"):
                heard = self.extractor.hear([sound for _, sound, _ in waiting]) if waiting else []
        except VideoError as error:
            if len(waiting) == 1:
                self._fail(waiting[0][0], error)
                return
            for one in waiting:
                self._encode([one])
            return
        for (clip, sound, sha256), found in zip(waiting, heard, strict=True):
            self.taking.begin(clip, sound.notes)
            rows = rows_of(clip.clip_id, sha256, sound, found, is_over_time=self.taking.recipe.is_over_time)
            self.taking.keep(clip, rows)
            self.bar.advance()

    def _fail(self, clip: Clip, error: VideoError) -> None:
        self.taking.fail(clip, error)
        self.bar.advance()
