"""Clips and what counts as right go in; how well people do against it, and predictions against the votes, come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vjepa_fer.manifest import Clip, common_names

if TYPE_CHECKING:
    from vjepa_fer.judging import Predictions
from vjepa_fer.evaluation.reference import Reference
from vjepa_fer.evaluation.votes import Votes, find_votes


def human_ceiling(clips: Sequence[Clip], reference: Reference) -> dict[str, Any] | None:
    """How well people do against the reference, in percent; None where there are no votes on the silent video.

    Returns
    -------
    dict
        ``rater``: one rater drawn at random (against the votes: two raters who agree). ``majority``: the raters' most frequent
        answer; against the votes no fixed answer can score more. ``clips``: how many have votes.
    """
    votes = find_votes(reference.take(clips))
    return None if votes is None else _ceiling(votes, reference)


def _ceiling(votes: Votes, reference: Reference) -> dict[str, Any] | None:
    """:func:`human_ceiling` of clips whose votes are known."""
    if not votes.counts.any():
        return None
    voted = votes.counts.any(axis=1)
    right = _on_classes(reference, votes.classes)[voted]
    rater = (right * votes.shares[voted]).sum(axis=1)
    if reference.name.startswith("votes"):
        counts = votes.counts[voted]
        total = counts.sum(axis=1)
        rater = (counts * (counts - 1)).sum(axis=1) / np.maximum(total * (total - 1), 1)
    majority = (right * votes.majority[voted]).sum(axis=1)
    return {
        "rater": round(100 * float(rater.mean()), 4),
        "majority": round(100 * float(majority.mean()), 4),
        "clips": int(voted.sum()),
    }


def _on_classes(reference: Reference, classes: Sequence[str]) -> np.ndarray:
    """The reference's shares in other columns, matched by common names."""
    names, own = common_names(classes), common_names(reference.classes)
    same = np.array([[own[a] == names[b] for b in classes] for a in reference.classes], float)
    return reference.shares @ same


def against_votes(
    predictions: Predictions, clip_ids: Sequence[str], reference: Reference, votes: Votes | None
) -> dict[str, Any]:
    """What a hard label cannot say about predictions, for JSON; empty where there is nothing of the kind.

    ``agreement``: the mean share that the reference gives the predicted label, in percent; half of a clip whose two labels are
    tied, for example. ``vote_cross_entropy``: of the probabilities to the votes on the silent video, in nats; ``vote_entropy`` is
    the least that any probabilities can have.

    Parameters
    ----------
    predictions : Predictions
    clip_ids : sequence of str
        Of the clips that take part, which are those of `reference.shares` and `votes`.
    reference : Reference
    votes : Votes or None
    """
    row = {clip_id: number for number, clip_id in enumerate(clip_ids)}
    rows = np.array([row[str(clip_id)] for clip_id in predictions.clip_ids])
    answer: dict[str, Any] = {}
    if reference.targets is not None:
        number_of = {name: number for number, name in enumerate(reference.classes)}
        said = np.array([number_of.get(name, -1) for name in predictions.classes])
        column = said[predictions.predicted]
        share = np.where(column >= 0, reference.shares[rows, column], 0)
        answer["agreement"] = round(100 * float(share.mean()), 4)
    if votes is not None and votes.counts.any() and predictions.probabilities is not None:
        votes = Votes(votes.classes, votes.counts[rows])
        entropy = vote_cross_entropy(votes.classes, votes.shares, votes)
        answer["vote_cross_entropy"] = vote_cross_entropy(predictions.classes, predictions.probabilities, votes)
        answer["vote_entropy"] = entropy
    return answer


class VoteBook:
    """What raters said of a study's clips, looked up once; :meth:`beside` says it of any predictions.

    Parameters
    ----------
    clips : sequence of Clip
        Those that take part.
    reference : Reference
        What counts as right, for exactly these clips.
    """

    def __init__(self, clips: Sequence[Clip], reference: Reference) -> None:
        self.clips, self.reference, self.votes = clips, reference, find_votes(clips)
        self.row = {clip.clip_id: row for row, clip in enumerate(clips)}

    def beside(self, predictions: Predictions) -> dict[str, Any]:
        """``labels`` (what counted as right), ``human`` (:func:`human_ceiling` on these very clips) and :func:`against_votes`."""
        if self.votes is None and self.reference.targets is None:
            return {"labels": self.reference.name, "human": None}
        rows = np.array([self.row[str(clip_id)] for clip_id in predictions.clip_ids])
        clips = [self.clips[row] for row in rows]
        shares = self.reference.shares[rows]
        judged = dataclasses.replace(self.reference, kept=np.ones(len(rows), bool), shares=shares)
        votes = None if self.votes is None else Votes(self.votes.classes, self.votes.counts[rows])
        return {
            "labels": self.reference.name,
            "human": None if votes is None else _ceiling(votes, judged),
            **against_votes(predictions, [clip.clip_id for clip in clips], judged, votes),
        }


def vote_cross_entropy(classes: Sequence[str], probabilities: np.ndarray, votes: Votes) -> float | None:
    """Mean of −Σ share · ln p over the clips that have votes, in nats; None without any.

    Parameters
    ----------
    classes : sequence of str
        Of the columns of `probabilities`, float (num_clips, num_classes).
    votes : Votes
        Of the same clips. A vote for a class that the probe does not know meets p = 2⁻⁵².
    """
    voted = votes.counts.any(axis=1)
    if not voted.any():
        return None
    own, names = common_names(classes), common_names(votes.classes)
    same = np.array([[own[a] == names[b] for b in votes.classes] for a in classes], float)
    held = np.clip(probabilities[voted] @ same, np.finfo(np.float64).eps, 1)
    return float(-(votes.shares[voted] * np.log(held)).sum(axis=1).mean())
