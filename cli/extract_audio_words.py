"""What ``extract-audio`` plans and has done comes in; it is said to people, or printed for machines."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

from vjepa_fer.disk import bytes_for_people

from .extract_words import duration
from .terminal import print_json, print_words, say, warn

if TYPE_CHECKING:
    from vjepa_fer.extract import ExtractSummary
    from vjepa_fer.recipe import SoundRecipe
    from vjepa_fer.sound import SoundPlan

MOST_NAMED = 10


def about_sound(recipe: SoundRecipe) -> None:
    """What is computed, from what; and whose licence the numbers are bound by, where they are."""
    from vjepa_fer.licences import weights_licence

    levels = ", ".join(recipe.storage.levels)
    say(
        f"sound: {recipe.title}, {levels}, {recipe.dim:,} numbers each; the first track at {recipe.sampling_rate:,} Hz, its channels averaged"
    )
    if licence := weights_licence(recipe):
        say(f"licence: {licence}; it is noted in the cache")


def show_plan(plan: SoundPlan, cache: str, *, as_json: bool) -> None:
    """The plan to stdout; nothing was written."""
    if as_json:
        print_json(
            {"schema": "vjepa-fer/extract-audio-plan/1", "cache": cache, **dataclasses.asdict(plan)}
            | {"fits": plan.fits}
        )
        return
    print_words(f"to do: {plan.clips:,} clips, {duration(plan.seconds)} of sound, about {plan.rows:,} rows")
    print_words(f"on disk: about {bytes_for_people(plan.needed_bytes)}; {bytes_for_people(plan.free_bytes)} are free")
    if plan.unreadable:
        print_words(f"{_counted(plan.unreadable)} cannot be read; they will be listed")
    if not plan.fits:
        warn(f"{cache}: the disk is too small for it")


def show_summary(summary: ExtractSummary, cache: str, *, as_json: bool) -> None:
    """Say on stderr (as JSON: on stdout) what was done."""
    if as_json:
        print_json(_facts(summary, cache))
        return
    say(f"{cache}: {summary.written:,} clips written ({summary.rows:,} rows), {summary.skipped:,} were there already")
    if summary.written:
        took = f"{bytes_for_people(summary.bytes_written)} written in {duration(summary.profile.wall_seconds)}"
        say(f"  {took}; several processes may fill one cache")
    if summary.elsewhere:
        warn(
            f"{len(summary.elsewhere):,} clips are not done: other processes are still at them; run the same command again"
        )
    if summary.notes:
        say(f"  {len(summary.notes):,} clips have notes; all are in {cache}/notes.csv")
    for failure in summary.failures[:MOST_NAMED]:
        say(f"  failed: {failure.clip_id} ({failure.reason}): {failure.message}")
    if summary.failures:
        reasons = _counted(Counter(failure.reason for failure in summary.failures))
        warn(f"{reasons} failed; all are in {cache}/failed.csv, `--retry-failed` tries them again")


def _counted(reasons: dict[str, int]) -> str:
    """``"61 clips (60 no_audio, 1 missing)"``."""
    parts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items(), key=lambda one: -one[1]))
    count = sum(reasons.values())
    return f"{count:,} clip{'s' * (count != 1)} ({parts})"


def _facts(summary: ExtractSummary, cache: str) -> dict[str, object]:
    failed = [{"clip_id": f.clip_id, "reason": f.reason, "message": f.message} for f in summary.failures]
    return {
        "schema": "vjepa-fer/extract-audio/1",
        "cache": cache,
        "written": summary.written,
        "skipped": summary.skipped,
        "rows": summary.rows,
        "elsewhere": list(summary.elsewhere),
        "bytes_written": summary.bytes_written,
        "seconds": summary.profile.wall_seconds,
        "failed": failed,
        "notes": {clip_id: list(said) for clip_id, said in summary.notes.items()},
    }
