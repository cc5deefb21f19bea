"""Clips and what counts as right go in; how well people do against it, and predictions against the votes, come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vjepa_fer.manifest import Clip, common_names

if TYPE_CHECKING:
    from vjepa_fer.judging import Predictions
from vjepa_fer.evaluation.reference import Reference, perceived_shares
from vjepa_fer.evaluation.votes import Votes, find_votes


def human_ceiling(clips: Sequence[Clip], reference: Reference) -> dict[str, Any] | None:
    """How well people do against the reference, in percent; None where there are no votes.

    Against perceived labels each rater meets the others only: a majority that he is part of is half his own answer. The majority itself, which those
    labels are, has no figure there. The votes are those that the reference is made of; beside other labels, those on the silent video.

    Returns
    -------
    dict
        ``rater``: one rater drawn at random, right by the reference; by perceived labels, right by what the others saw; against the votes, two
        raters of a clip who agree. None where that takes the number of raters, and the votes are shares.
        ``majority``: the raters' most frequent answer, tied ones in equal parts; None against perceived labels. Against the votes it is the best
        answer that is one label a clip. ``clips``: how many have votes, of two raters where raters meet. ``votes``: ``face`` or ``av``.
        ``against``: what is right, one of :data:`AGAINST`.
    """
    votes = find_votes(reference.take(clips), reference.source)
    return None if votes is None else _ceiling(votes, reference)


AGAINST = ("labels", "others", "votes")
"""What people are compared with: the clips' labels, the majority of the other raters, all votes."""


def _ceiling(votes: Votes, reference: Reference) -> dict[str, Any] | None:
    """:func:`human_ceiling` of clips whose votes are known."""
    against = {"perceived": "others", "votes": "votes"}.get(reference.kind, "labels")
    met = votes.counts.sum(axis=1) >= 2 if against != "labels" and votes.counted else votes.counts.any(axis=1)
    if not met.any():
        return None
    votes, right = Votes(votes.classes, votes.counts[met]), _on_classes(reference, votes.classes)[met]
    rater = (right * votes.shares).sum(axis=1) if against == "labels" else _among_raters(votes, reference)
    majority = None if against == "others" else (right * votes.majority).sum(axis=1)
    return {
        "rater": _percent(rater),
        "majority": _percent(majority),
        "clips": int(met.sum()),
        "votes": reference.source,
        "against": against,
    }


def _percent(right: np.ndarray | None) -> float | None:
    return None if right is None else round(100 * float(right.mean()), 4)


def _among_raters(votes: Votes, reference: Reference) -> np.ndarray | None:
    """How much of each clip's raters is right by what the others saw, float64 (num_clips,); None where nobody knows how many they are."""
    if not votes.counted:
        return None
    right = np.zeros(votes.counts.shape)
    for number, counts in enumerate(votes.counts.T):
        others = votes.counts.copy()
        others[:, number] = np.maximum(counts - 1, 0)  # without one rater who gave this answer
        seen = Votes(votes.classes, others)
        right[:, number] = (seen.shares if reference.kind == "votes" else perceived_shares(seen, reference.ties))[
            :, number
        ]
    return (votes.shares * right).sum(axis=1)


def human_words(human: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Whose answers, against what, and the figure in percent; a line each, for every table and page."""
    votes = human.get("votes", "face")
    one, most = {
        "": (f"one rater ({votes})", f"raters' majority ({votes})"),  # of a run that an older version kept
        "labels": (f"one rater ({votes}) against labels", f"raters' majority ({votes}) against labels"),
        "others": (f"one rater ({votes}) against other raters' majority", ""),
        "votes": (f"two raters ({votes}) agree", f"best answer against {votes} votes"),
    }[human.get("against", "")]
    return [(words, human[key]) for words, key in ((one, "rater"), (most, "majority")) if human[key] is not None]


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
    tied, for example. ``vote_cross_entropy``: of the probabilities to the votes, in nats; ``vote_entropy`` is
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
        self.clips, self.reference, self.votes = clips, reference, find_votes(clips, reference.source)
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
