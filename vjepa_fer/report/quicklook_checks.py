"""A look at a cache goes in; what a careful colleague would say before anyone probes it comes out, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vjepa_fer.folds import shortlist
from vjepa_fer.manifest import is_damaged
from vjepa_fer.report.checks import Check, sort_checks
from vjepa_fer.report.quicklook import CacheLook

RARE_SHARE = 0.1
CROSSINGS = {
    "subject": "A fold may test on what it was trained on: is this one person under two names?",
    "label": "One of the two labels may be wrong.",
}
"""What it means if a pair does not share it."""


def look_checks(look: CacheLook) -> tuple[Check, ...]:
    """Every check that applies, the warnings first."""
    return sort_checks(check for one in CHECKS for check in one(look))


def _whole(look: CacheLook) -> Iterator[Check]:
    facts = look.facts
    if look.unreadable:
        names = _names(look.unreadable)
        yield Check("bad", f"Damaged, NaN or infinite: {names}. Run `cache repair`, then extract again.")
    if facts["clips_failed"]:
        yield Check(
            "look", f"{facts['clips_failed']:,} of {facts['clips_asked']:,} clips failed; the reasons are below."
        )
    if facts["missing"]:
        yield Check("look", f"Not extracted yet: {_names(facts['missing'])}. Run the same extract command again.")
    if not facts["clips_failed"] and not facts["missing"] and look.clips:
        yield Check("good", f"All {facts['clips_asked']:,} clips that were asked for are here.")
    damaged = [clip.clip_id for clip in look.clips if is_damaged(clip)]
    if damaged:
        yield Check("look", f"Files known to be damaged are included: {_names(damaged)}.")


def _subjects(look: CacheLook) -> Iterator[Check]:
    unknown = look.facts["subjects"].get("", 0)
    if unknown:
        yield Check("look", f"{unknown:,} clips have no subject, so folds cannot keep a person's clips together.")
    elif _own_subjects(look):
        yield Check("look", "Every clip is a subject of its own: are the subjects known?")


def _own_subjects(look: CacheLook) -> bool:
    return len(look.clips) > 1 and len(look.facts["subjects"]) == len(look.clips)


def _classes(look: CacheLook) -> Iterator[Check]:
    labels = look.facts["labels"]
    if not labels:
        return
    if len(labels) == 1:
        yield Check("look", f"Only one class, “{next(iter(labels))}”: there is nothing to tell apart.")
    most = max(labels.values())
    rare = [f"{label} ({count:,})" for label, count in labels.items() if count < RARE_SHARE * most]
    if rare:
        yield Check("look", f"Rare beside the largest class ({most:,} clips): {', '.join(rare)}.")


def _near(look: CacheLook) -> Iterator[Check]:
    rest = list(look.pairs)
    for name, why in CROSSINGS.items():
        crossing = [pair for pair in look.pairs if name in pair.differs_in]
        if crossing and not (name == "subject" and _own_subjects(look)):
            yield Check("bad", f"Near-duplicates with different {name}s: {_count(crossing)}. {why}")
            rest = [pair for pair in rest if name not in pair.differs_in]
    if rest:
        yield Check("look", f"Near-duplicates: {_count(rest)}. They count twice.")
    if look.num_compared > 1 and not look.pairs:
        yield Check("good", "No two clips are nearly the same.")


def _far(look: CacheLook) -> Iterator[Check]:
    if look.far:
        names = _names([one.clip.clip_id for one in look.far])
        yield Check("look", f"Far from all other clips: {names}. Watch them: wrong crop, black picture, another scene?")


def _names(clip_ids: list[str] | tuple[str, ...]) -> str:
    return f"{len(clip_ids):,} {'clip' if len(clip_ids) == 1 else 'clips'} ({shortlist(list(clip_ids), 3)})"


def _count(pairs: list) -> str:
    first = pairs[0]
    most = f"{first.first.clip_id} and {first.second.clip_id}"
    return f"{len(pairs):,} {'pair' if len(pairs) == 1 else 'pairs'}, closest {most}"


CHECKS: tuple[Callable[[CacheLook], Iterator[Check]], ...] = (_whole, _subjects, _classes, _near, _far)
