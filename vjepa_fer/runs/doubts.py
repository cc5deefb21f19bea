"""A run goes in; the labels that its probe doubts come out, with what raters saw in these clips, where that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vjepa_fer.errors import RunError
from vjepa_fer.evaluation import CREMA_D, find_votes
from vjepa_fer.judging import LabelIssue, find_label_issues
from vjepa_fer.manifest import Clip
from vjepa_fer.runs.folder import Run


@dataclass(frozen=True)
class Doubt:
    """A doubtful label, and how many raters saw what on the silent video; no rater where that is not known."""

    issue: LabelIssue
    raters: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self.issue), "raters": dict(self.raters) or None}

    @property
    def raters_in_words(self) -> str:
        """``sad 6, neutral 3``, the most frequent first; a dash where nobody was asked."""
        most_first = sorted(self.raters.items(), key=lambda pair: (-pair[1], pair[0]))
        return ", ".join(f"{name} {count:g}" for name, count in most_first if count) or "–"


def doubts_of(run: Run, clips: Sequence[Clip] = ()) -> tuple[Doubt, ...]:
    """The labels that are most likely wrong, the most doubtful first; see :func:`vjepa_fer.judging.find_label_issues`.

    Parameters
    ----------
    run : Run
        Cross-validated: whoever has learnt a wrong label believes it.
    clips : sequence of Clip
        A manifest's, for the raters' votes in it; CREMA-D's are known by their ids.

    Raises
    ------
    RunError
        There are no probabilities, or the probe was tested on another corpus, some of whose classes it cannot know.
    ManifestError
        Votes that are none.
    """
    if run.evaluation.folds.name.startswith("test-on:"):
        raise RunError(
            f"{run.path}: tested on another corpus, some of whose classes the probe may not know; labels are doubted by a probe that "
            "was cross-validated on them"
        )
    issues = find_label_issues(run.evaluation.predictions)
    votes = _votes(issues, clips)
    return tuple(Doubt(issue, votes.get(issue.clip_id, {})) for issue in issues)


def _votes(issues: Sequence[LabelIssue], clips: Sequence[Clip]) -> dict[str, dict[str, float]]:
    known = {clip.clip_id: clip for clip in clips}
    official = {
        one.clip_id: Clip(one.clip_id, "", one.label, one.clip_id) for one in issues if CREMA_D.match(one.clip_id)
    }
    asked = [clip for one in issues if (clip := known.get(one.clip_id) or official.get(one.clip_id))]
    votes = find_votes(asked) if asked else None
    if votes is None:
        return {}
    rows = (dict(zip(votes.classes, counts, strict=True)) for counts in votes.counts.tolist())
    return {clip.clip_id: row for clip, row in zip(asked, rows, strict=True) if any(row.values())}
