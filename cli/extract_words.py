"""What an extraction will take, how long is left of it and what it did go in; lines for people, or JSON, come out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vjepa_fer.disk import bytes_for_people

from .progress import say_beside_bar
from .terminal import print_json, print_table, print_words, say, warn

if TYPE_CHECKING:
    from vjepa_fer.extract import ExtractSettings, ExtractSummary, Forecast, Plan
    from vjepa_fer.recipe import Preprocessing

    from .extract_work import Tried

ON_FACE = ("mouth", "eyes", "half")
"""Perturbations whose place is the face's."""

SHORTER = "are shorter than a window, and repeat their last frame to fill it (--min-frames leaves such clips out)"

OUTLOOK_DUE = ((3, 0.0), (12, 60.0))  # clips after the first, seconds


class Outlook:
    """Says from the first clips of a run how long the rest will take, and once more later; where no bar is shown, every minute.

    Parameters
    ----------
    clips : int
        Of this run.
    shows_bar : bool
        Whether somebody sees a bar that moves.
    """

    EVERY_SECONDS = 60.0

    def __init__(self, clips: int, *, shows_bar: bool = True) -> None:
        self.clips, self.first = clips, (0, 0.0)
        self.due = list(OUTLOOK_DUE)
        self.next_line = math.inf if shows_bar else self.EVERY_SECONDS

    def __call__(self, done: int, seconds: float) -> None:
        """`done` clips are encoded or listed so many seconds after the run began."""
        if not self.first[0]:
            self.first = done, seconds  # decoders and kernels are loaded by now: what comes after is the rate
        more, since = done - self.first[0], seconds - self.first[1]
        if self.due and more >= self.due[0][0] and seconds >= self.due[0][1] and done < self.clips:
            self.due.pop(0)
            left = duration(since / more * (self.clips - done))
            say_beside_bar(
                f"time: about {left} left for {self.clips - done:,} clips, at the rate of the {done:,} so far"
            )
        if seconds >= self.next_line:
            self.next_line = seconds + self.EVERY_SECONDS
            say_beside_bar(self._state(done, more, since, seconds))

    def _state(self, done: int, more: int, since: float, seconds: float) -> str:
        """``"312 of 5,000 clips after 12 min, 0.43 a second, about 3.0 h left"``."""
        state = f"{done:,} of {self.clips:,} clips after {duration(seconds)}"
        if not more:
            return state
        return f"{state}, {more / since:.2g} a second, about {duration(since / more * (self.clips - done))} left"


def duration(seconds: float) -> str:
    """``"3.4 h"``, ``"12 min"``, ``"40 s"``."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def about_room(plan: Plan, cache: Path) -> str:
    """What is needed and what there is."""
    return (
        f"{cache}: needs {bytes_for_people(plan.needed_bytes)}, its disk has {bytes_for_people(plan.free_bytes)} free"
    )


def plan_lines(plan: Plan) -> list[str]:
    """The plan in a few lines."""
    about = "" if plan.counted == plan.clips else f", from {plan.counted:,} clips"
    lines = [
        f"to do: {plan.clips:,} clips, {plan.windows:,} windows ({plan.rows:,} with views{about}), {plan.tokens:,} tokens"
    ]
    levels = ", ".join(f"{level} {bytes_for_people(size)}" for level, size in plan.level_bytes.items())
    lines.append(
        f"on disk: {bytes_for_people(plan.needed_bytes)} ({levels}); {bytes_for_people(plan.free_bytes)} are free"
    )
    if plan.unreadable:
        lines.append(f"{plan.unreadable:,} of the {plan.counted:,} clips looked at cannot be read; they will be listed")
    if plan.shorter:
        lines.append(f"{plan.shorter:,} of the {plan.counted:,} clips looked at {SHORTER}")
    if plan.window_seconds is not None and (differ := spans_differ(*plan.window_seconds)):
        lines.append(differ)
    if plan.seconds is not None:
        lines.append(f"time: about {duration(plan.seconds)}, at the rate of a few clips measured here")
    return lines


def spans_differ(shortest: float, longest: float) -> str:
    """A line where the spans of windows, in seconds, differ by more than a tenth; else ""."""
    if longest <= 1.1 * shortest:
        return ""
    return (
        f"windows span {shortest:.2f} to {longest:.2f} s, as frame rates differ: "
        "--fps or --window-seconds takes frames by time, so that all span the same"
    )


def about_decoding(settings: ExtractSettings, workers: int, memory_bytes: int) -> str:
    """Who decodes, and how much memory that may take; the defaults where the settings leave it open."""
    workers = workers if settings.workers is None else settings.workers
    if not workers:
        return "decoding: one clip at a time"
    room = bytes_for_people(settings.memory_bytes or memory_bytes)
    return f"decoding: {workers} process{'es' * (workers > 1)}, at most {room} of frames ahead and a clip in each"


def about_perturbation(preprocessing: Preprocessing) -> list[str]:
    """How frames are made worse, and, where the face matters, where it was taken to be."""
    asked = preprocessing.perturb
    if asked is None:
        return []
    lines = [f"perturbed before resizing: {asked.in_words}"]
    if any(name in ON_FACE for name, _ in asked.parsed):
        lines.append(f"placed {_place_of_face(preprocessing)}")
    return lines


def _place_of_face(preprocessing: Preprocessing) -> str:
    if preprocessing.face_crop is not None:
        return "on the face, in the square that follows it (--face-crop)"
    return (
        "in the middle of the whole frame, where a face of five eighths of its short side would be: --face-crop "
        "follows faces that are elsewhere"
    )


def forecast_lines(forecast: Forecast) -> list[str]:
    """Hours, what sets them, and what they cost."""
    rates, fleet = forecast.rates, forecast.fleet
    disk = f", the disk {bytes_for_people(rates.disk_bytes)}/s" if rates.disk_bytes else ""
    lines = [
        f"rates: a device {rates.rows:.3g} windows/s ({rates.source}), decoding {rates.clips:.3g} clips/s a machine{disk}",
        f"time: about {duration(forecast.seconds)} on {fleet}; {_stages(forecast)}; the {forecast.limit} is the limit",
    ]
    if forecast.machines_at_disk is not None:
        lines.append(
            f"from {forecast.machines_at_disk:,} machines on, if all write to one disk like this, the disk is the limit"
        )
    if forecast.cost is not None:
        hours = forecast.device_seconds / 3600
        lines.append(f"cost: {forecast.cost:,.2f} for {hours:,.3g} device hours at {fleet.price:g} each")
    return lines


def _stages(forecast: Forecast) -> str:
    return ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in forecast.stages.items())


def show_plans(tried: Sequence[Tried], *, as_json: bool, is_one: bool) -> None:
    """The plans to stdout; nothing was written. `is_one`: no list of them in JSON."""
    if as_json:
        facts = [_plan_facts(*one) for one in tried]
        print_json(facts[0] if is_one else {"schema": "vjepa-fer/extract-plan-into/1", "into": facts})
        return
    for one in tried:
        if not is_one:
            print_words(f"{one.cache}:")
        _show_plan(*one)
    if not is_one:
        say("each is reckoned by itself; in one pass the clips are decoded once for all of them")


def _plan_facts(cache: Path, plan: Plan, forecast: Forecast | None) -> dict[str, object]:
    totals = {"needed_bytes": plan.needed_bytes, "fits": plan.fits}
    told = {"forecast": forecast.to_dict() if forecast else None}
    plain = dataclasses.asdict(plan)
    return {"schema": "vjepa-fer/extract-plan/1", "cache": str(cache), **plain, **totals, **told}


def _show_plan(cache: Path, plan: Plan, forecast: Forecast | None) -> None:
    for line in plan_lines(dataclasses.replace(plan, seconds=None) if forecast else plan):
        print_words(line)
    if forecast is not None:
        for line in forecast_lines(forecast):
            print_words(line)
        _print_levels(forecast)
    elif plan.seconds is None:
        say("time: give --weights to have it measured on a few clips, or --rate if you know it")
    if not plan.fits:
        warn(about_room(plan, cache))


def _print_levels(forecast: Forecast) -> None:
    """What each level would take if it were the only one."""
    rows = [
        (
            one.level,
            bytes_for_people(one.num_bytes),
            duration(one.seconds),
            *([] if one.cost is None else [f"{one.cost:,.2f}"]),
        )
        for one in forecast.levels
    ]
    print_table(["level alone", "on disk", "time", *(["cost"] if forecast.cost is not None else [])], rows)


def show_summaries(
    summaries: Sequence[ExtractSummary], caches: Sequence[Path], *, as_json: bool, profile: bool, is_one: bool
) -> None:
    """Say on stderr (as JSON: on stdout) what an extraction did. `is_one`: no list in JSON."""
    if as_json:
        facts = [_summary_facts(one, cache) for one, cache in zip(summaries, caches, strict=True)]
        print_json(facts[0] if is_one else {"schema": "vjepa-fer/extract-into/1", "into": facts})
        return
    for number, (summary, cache) in enumerate(zip(summaries, caches, strict=True), start=1):
        _show_summary(summary, cache, profile=profile and number == len(caches), has_rate=number == len(caches))


def _summary_facts(summary: ExtractSummary, cache: Path) -> dict[str, object]:
    failed = [{"clip_id": f.clip_id, "reason": f.reason, "message": f.message} for f in summary.failures]
    counts: dict[str, object] = {"written": summary.written, "skipped": summary.skipped, "rows": summary.rows}
    counts["shorter_than_window"] = summary.shorter
    counts |= {"elsewhere": list(summary.elsewhere), "bytes_written": summary.bytes_written}
    notes = {clip_id: list(said) for clip_id, said in summary.notes.items()}
    times = dataclasses.asdict(summary.profile)
    return {
        "schema": "vjepa-fer/extract/1",
        "cache": str(cache),
        **counts,
        "profile": times,
        "failed": failed,
        "notes": notes,
    }


def _show_summary(summary: ExtractSummary, cache: Path, *, profile: bool, has_rate: bool) -> None:
    """`has_rate`: with the times, which are of the whole pass and said once."""
    say(f"{cache}: {summary.written:,} clips written ({summary.rows:,} rows), {summary.skipped:,} were there already")
    if summary.shorter:
        say(f"  {summary.shorter:,} of them {SHORTER}")
    if has_rate and (summary.written or profile):
        rate = summary.rows / max(summary.profile.wall_seconds, 1e-9)
        say(f"  {rate:.3g} windows/s, {bytes_for_people(summary.bytes_written)} written; {summary.profile}")
    if profile:
        stages = summary.profile
        rows = [
            (stage, f"{share:.0%}", f"{stages.waits[stage]:.0%}" if stage in stages.waits else "")
            for stage, share in stages.busy.items()
        ]
        print_table(("stage", "busy", "device waits for it"), rows, title=f"{duration(stages.wall_seconds)} in all")
    if summary.elsewhere:
        some = ", ".join(summary.elsewhere[:3]) + (" …" if len(summary.elsewhere) > 3 else "")
        warn(
            f"{len(summary.elsewhere):,} clips are not done: other processes are still at them ({some}); run the same command again"
        )
    if summary.notes:
        say(f"  {len(summary.notes):,} clips have notes; all are in {cache}/notes.csv")
    for failure in summary.failures[:10]:
        say(f"  failed: {failure.clip_id} ({failure.reason}): {failure.message}")
    if summary.failures:
        warn(f"{len(summary.failures)} clips failed; all are in {cache}/failed.csv, `--retry-failed` tries them again")
