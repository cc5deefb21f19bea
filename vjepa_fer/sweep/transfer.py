"""Two caches go in, one to train on and one to test on; every cell's predictions of the second corpus come out, policy by policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache import Cache, CachedClip, Features, WindowFeatures
from vjepa_fer.doors import printable
from vjepa_fer.errors import RecipeMismatchError, SplitError
from vjepa_fer.experiment import Cell, Experiment, Protocol
from vjepa_fer.folds import ClipFolds, shortlist
from vjepa_fer.judging import Scored, apply_policy, find_policy, shared_classes
from vjepa_fer.manifest import Clip, Manifest, common_names, leave_out
from vjepa_fer.recipe import ImportedRecipe, recipe_differences, require_same_recipe
from vjepa_fer.runs import result_of
from vjepa_fer.sweep.asked import Judged
from vjepa_fer.sweep.loop import Progress, Swept, sweep
from vjepa_fer.sweep.sharing import Shared


class JoinedCache:
    """Two caches read as one study, under the labels' common names; what :func:`vjepa_fer.sweep.sweep` needs of a cache.

    Raises
    ------
    RecipeMismatchError
        The features were made differently (for imported ones: other columns).
    SplitError
        A clip is in both.
    """

    def __init__(self, train: Cache, test: Cache, names: Mapping[str, str] | None = None) -> None:
        _require_comparable(train, test)
        self.train, self.test, self.root, self.names = train, test, train.root, names
        self.caches = (train, test)
        known = common_names((clip.label for clip in (*train.clips, *test.clips)), names)
        sides = [[_renamed(clip, known) for clip in cache.clips] for cache in (train, test)]
        ids = [{clip.clip_id for clip in side} for side in sides]
        if ids[0] & ids[1]:
            both = ids[0] & ids[1]
            raise SplitError(f"{len(both)} clips are trained on and tested: {shortlist(both)}; test on another corpus")
        self.clips = (*sides[0], *sides[1])
        self.manifest = Manifest(clips=self.clips)
        self.fingerprint = f"{train.fingerprint}+{test.fingerprint}"
        self.known = frozenset(clip.label for clip in sides[0])
        self.folds = ClipFolds(f"test-on:{printable(test.root.name)}", (tuple(ids[0]),), (tuple(ids[1]),))

    def only(self, keep: Callable[[Clip], bool]) -> JoinedCache:
        """Both without some of their clips."""
        return JoinedCache(self.train.only(keep), self.test.only(keep), self.names)

    def __iter__(self) -> Iterator[CachedClip]:
        """The clips of both as they are cached, the training corpus first."""
        yield from self.train
        yield from self.test

    def features(self, level: str) -> Features:
        """The level of both, the training corpus first."""
        parts = [cache.features(level) for cache in (self.train, self.test)]
        columns = [np.concatenate([part[number] for part in parts]) for number in (0, 2, 3)]
        return Features(columns[0], np.array([clip.label for clip in self.clips]), columns[1], columns[2])

    def window_features(self, level: str) -> WindowFeatures:
        """The level of both by windows, the training corpus first."""
        first, second = (cache.window_features(level) for cache in (self.train, self.test))
        index = np.concatenate([first.clip_index, second.clip_index + len(self.train.clips)])
        multiplicity = np.concatenate([first.multiplicity, second.multiplicity])
        return WindowFeatures(np.concatenate([first.X, second.X]), index, multiplicity)


def _renamed(clip: Clip, names: Mapping[str, str]) -> Clip:
    return dataclasses.replace(clip, label=names[clip.label])


def _require_comparable(train: Cache, test: Cache) -> None:
    if isinstance(train.recipe, ImportedRecipe) and isinstance(test.recipe, ImportedRecipe):
        if train.recipe.columns != test.recipe.columns:
            difference = recipe_differences(test.recipe, train.recipe)["columns"]
            raise RecipeMismatchError(
                f"{test.root} holds other columns than {train.root}: {difference[0]} and {difference[1]}"
            )
        return
    require_same_recipe(test.recipe, train.recipe, str(test.root))


@dataclass(frozen=True, eq=False)
class Transfer:
    """A sweep trained on one corpus and tested on another.

    Attributes
    ----------
    swept : Swept
        Predictions of every tested clip, before any policy.
    known : frozenset of str
        Classes of the training corpus.
    policies : tuple of str
    test_on : str
    """

    swept: Swept
    known: frozenset[str]
    policies: tuple[str, ...]
    test_on: str

    def scored(self, judged: Judged) -> list[Scored]:
        """The predictions under each policy."""
        return [apply_policy(policy, judged.evaluation.predictions, self.known) for policy in self.policies]

    def results(self, judged: Judged) -> list[dict[str, Any]]:
        """One result a policy, in the words of ``probe --json``, with definition and coverage."""
        run = str(judged.run) if judged.run else None
        return [
            {
                **result_of(dataclasses.replace(judged.evaluation, predictions=one.predictions), run),
                "test_on": self.test_on,
                **one.to_dict(),
                **shared_classes(judged.evaluation.predictions, self.known),
            }
            for one in self.scored(judged)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The object that ``probe --test-on --json`` prints, without its schema."""
        swept = self.swept
        return {
            "results": [result for one in swept.cells for result in self.results(one)],
            "nested": [result for one in swept.nested for result in self.results(one)],
            "winner": self.results(swept.winner) if swept.winner else None,
            "lost": list(swept.lost),
        }


def run_transfer(
    train: Cache,
    test: Cache,
    cells: Sequence[Cell],
    protocol: Protocol,
    *,
    asked: Experiment | None = None,
    policies: Sequence[str] = ("strict",),
    names: Mapping[str, str] | None = None,
    out: Path | None = None,
    jobs: int = 1,
    progress: Progress = lambda total: nullcontext(lambda word: None),
    shared: Shared | None = None,
) -> Transfer:
    """Fit every cell on the whole of one corpus and predict the whole of another.

    Where there are several cells, the choice among them is made on subject-wise inner folds of the training corpus.

    Parameters
    ----------
    asked : Experiment, optional
        What `cells` and `protocol` are of, to be kept with each run.
    policies : sequence of str
        Names of :data:`vjepa_fer.judging.policies.POLICIES`.
    names : mapping, optional
        Label to common name, before the built-in ones; see :mod:`vjepa_fer.manifest.label_names`.

    Raises
    ------
    RecipeMismatchError, SplitError
        See :class:`JoinedCache`.
    RunError
        An unknown policy, or no class in common.
    """
    for policy in policies:
        find_policy(policy)
    train, test = (leave_out(cache, protocol.exclude) for cache in (train, test))
    joined = JoinedCache(train, test, names)
    options: dict[str, Any] = {"out": out, "jobs": jobs, "progress": progress, "shared": shared}
    swept = sweep(joined, cells, protocol, asked=asked, folds=joined.folds, **options)
    return Transfer(swept, joined.known, tuple(policies), str(test.root))
