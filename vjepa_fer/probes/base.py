"""What every probe shares: one door to a fit, and the estimator that scikit-learn expects.

scikit-learn takes seconds to import, so nothing here needs it: a probe has the parameters, tags and messages that
scikit-learn's tools look for, and imports it only when one of them asks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vjepa_fer.doors import nearest
from vjepa_fer.errors import ProbeError
from vjepa_fer.probes.checks import (
    check_classes,
    check_every_class_counts,
    check_features,
    check_groups,
    check_names,
    check_weights,
    column_names,
)
from vjepa_fer.probes.learnt import Held, Learnt
from vjepa_fer.probes.threads import threads_for


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a probe is fitted on, checked.

    Attributes
    ----------
    X : ndarray (N, D), float32 or float64
        Features; or tokens ``(N, T, D)``, for a probe that reads them.
    codes : ndarray (N,) of int
        Places of the labels in the sorted ``classes_``; each class is there.
    weights : ndarray (N,) of float64, or None
        What each clip counts; each class has some weight.
    groups : ndarray (N,), or None
        Subjects.
    """

    X: Any
    codes: NDArray[np.intp]
    weights: NDArray[np.float64] | None
    groups: NDArray | None


class Probe:
    """A light classifier on features: ``fit(X, y)``, ``predict(X)``, ``predict_proba(X)``, ``classes_``.

    A subclass stores its parameters in ``__init__`` under their own names, learns in ``_learn`` and answers in
    ``_probabilities``; labels may be strings, and columns of ``predict_proba`` follow the sorted ``classes_``.
    """

    _estimator_type = "classifier"  # scikit-learn before 1.6 reads this instead of the tags

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """Names and defaults of the parameters, in the order of ``__init__``."""
        return dict(_parameters(cls.__init__))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters as they are now (`deep` is there for scikit-learn; a probe holds no other estimator)."""
        return {name: getattr(self, name) for name in self.parameters()}

    def set_params(self, /, **params: Any) -> Self:
        """Change parameters by name and return the probe.

        Raises
        ------
        ProbeError
            A name is not a parameter of this probe.
        """
        known = self.parameters()
        for name, value in params.items():
            if name not in known:
                raise ProbeError(
                    f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}{nearest(name, known)}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        changed = {k: v for k, v in self.get_params().items() if v is not self.parameters()[k]}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        target = TargetTags(required=True)
        return Tags(
            estimator_type="classifier",
            target_tags=target,
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(),
        )

    def predict(self, X: ArrayLike) -> NDArray:
        """Predicted labels ``(N,)`` of features ``(N, D)``; of equally probable classes the first in sorted order."""
        features = self._check_known(X)
        return self.classes_[self._decide(features)]

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """Probabilities ``(N, K)`` of features ``(N, D)``, columns in the order of ``classes_``."""
        return self._probabilities(self._check_known(X))

    def answer(self, X: ArrayLike) -> tuple[NDArray, NDArray]:
        """Probabilities ``(N, K)`` and predicted labels ``(N,)`` of features ``(N, D)``, in one pass where one tells both."""
        probabilities = self.predict_proba(X)
        if type(self).predict is Probe.predict and type(self)._decide is Probe._decide:
            return probabilities, self.classes_[probabilities.argmax(axis=1)]
        return probabilities, self.predict(X)

    @classmethod
    def answer_together(cls, probes: Sequence[Self], X: ArrayLike) -> list[tuple[NDArray, NDArray]]:
        """:meth:`answer` of many fitted probes of this class; a class that can share work between them does."""
        return [probe.answer(X) for probe in probes]

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Share of rows whose label is predicted, between 0 and 1."""
        hits = self.predict(X) == np.asarray(y)
        return float(np.average(hits, weights=check_weights(sample_weight, len(hits))))

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from features ``(N, D)`` and labels ``(N,)``; some probes also take weights, or subjects, ``(N,)``.

        Raises
        ------
        ProbeError
            Features, labels, weights, subjects or parameters that cannot be used.
        """
        self.fit_together([self], X, y)
        return self

    @classmethod
    def fit_together(
        cls,
        probes: Sequence[Self],
        X: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> None:
        """Fit many probes of this class on the same clips, ``(N, D)``; a class that can share work between them does.

        Everything is checked here, before anything is learnt: the parameters of all, then the clips, once.

        Raises
        ------
        ProbeError
            As :meth:`fit`; or `sample_weight` is given, but this probe cannot weigh clips.
        """
        if sample_weight is not None and "sample_weight" not in inspect.signature(cls.fit).parameters:
            raise ProbeError(f"{cls.__name__} cannot weigh clips: fit it without sample_weight")
        for probe in probes:
            probe._check_parameters()
        first, *others = probes
        training = first._check_training(X, y, sample_weight, groups)
        for probe in others:
            probe._copy_training(first)
        with threads_for(training.X):
            for family in _families(probes, but_for=cls.apart):
                family[0]._learn_together(family, training)

    apart: ClassVar[tuple[str, ...]] = ()
    """Parameters in which probes may differ and yet share the work of a fit."""

    classes_: NDArray
    n_features_in_: int

    @property
    def settled(self) -> Mapping[str, int | None]:
        """Of a fitted probe, what the training clips made of the parameters that are "auto"; None: features as they are."""
        return {}

    def _learn(self, training: TrainingSet) -> None:
        """Learn from clips that were checked; ``classes_`` and ``n_features_in_`` are there."""
        raise NotImplementedError

    def _learn_together(self, family: Sequence[Self], training: TrainingSet) -> None:
        """:meth:`_learn` of probes that differ from this one, the first of them, in :attr:`apart` alone."""
        for probe in family:
            probe._learn(training)

    def _learnt(self) -> Learnt:
        """What a file must hold beside parameters and classes."""
        raise NotImplementedError

    def _recall(self, held: Held) -> None:
        """The reverse of :meth:`_learnt`, once parameters, ``classes_`` and ``n_features_in_`` are there.

        The file may be anybody's: every piece is taken with the shape and kind that makes it fit these and the others.
        """
        raise NotImplementedError

    def _check_parameters(self) -> None:
        """Refuse parameters that cannot be used, naming the first, before a fit and after reading a file."""

    def _least_features(self) -> NDArray:
        """The least that a fitted probe can be asked about: one clip, all zeros."""
        return np.zeros((1, self.n_features_in_), np.float32)

    def _copy_training(self, other: Probe) -> None:
        """Take over what :meth:`_check_training` of another probe learnt from the same clips."""
        for name in ("classes_", "n_features_in_", "feature_names_in_"):
            learnt = other.__dict__.get(name)
            self.__dict__.pop(name, None)
            if learnt is not None:
                setattr(self, name, learnt)

    def _decide(self, X: NDArray) -> NDArray:
        return self._probabilities(X).argmax(axis=1)

    def _probabilities(self, X: NDArray) -> NDArray:
        raise NotImplementedError

    def _check_training(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, groups: ArrayLike | None
    ) -> TrainingSet:
        """Check what `fit` was given, and learn which classes there are."""
        features = self._check_clips(X)
        self.classes_, codes = check_classes(y, len(features))
        weights = check_weights(sample_weight, len(features))
        if weights is not None:
            check_every_class_counts(self.classes_, codes, weights)
        return TrainingSet(features, codes, weights, check_groups(groups, len(features)))

    def _check_clips(self, X: Any) -> Any:
        """Check what is to be learnt from, ``(N, D)``, and remember how wide it is."""
        features = check_features(X)
        self._remember_features(X, features)
        return features

    def _remember_features(self, X: Any, features: NDArray) -> None:
        self.n_features_in_ = features.shape[1]
        self.__dict__.pop("feature_names_in_", None)
        names = column_names(X)
        if names is not None:
            self.feature_names_in_ = names

    def _check_known(self, X: ArrayLike) -> NDArray:
        self._check_fitted()
        check_names(self.__dict__.get("feature_names_in_"), column_names(X), type(self).__name__)
        features = check_features(X)
        if features.shape[1] != self.n_features_in_:
            raise ProbeError(
                f"X has {features.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input: predict from the level and recipe that the probe was fitted on"
            )
        return features

    def _check_fitted(self) -> None:
        if not hasattr(self, "classes_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit(X, y) first")


class ProbeWithWeights(Probe):
    """A probe whose training clips may count differently."""

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from features ``(N, D)``, labels ``(N,)`` and what each clip counts ``(N,)``.

        Raises
        ------
        ProbeError
            Features, labels, weights or parameters that cannot be used, or a class without any weight.
        """
        self.fit_together([self], X, y, sample_weight=sample_weight)
        return self


class ProbeWithGroups(Probe):
    """A probe that may hold subjects out of its training clips."""

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn from features ``(N, D)``, labels ``(N,)`` and subjects ``(N,)``.

        Raises
        ------
        ProbeError
            Features, labels, subjects or parameters that cannot be used, or too few clips or subjects to hold some out.
        """
        self.fit_together([self], X, y, groups=groups)
        return self


@lru_cache
def _parameters(init: Callable) -> dict[str, Any]:
    """To read a signature takes as long as a step of a small fit, and every cell asks for it several times."""
    signature = inspect.signature(init).parameters.values()
    return {p.name: p.default for p in signature if p.name != "self"}


P = TypeVar("P", bound=Probe)


def _families(probes: Sequence[P], *, but_for: Sequence[str]) -> list[list[P]]:
    """Probes with the same parameters but for some, each in the order given."""
    families: dict[str, list[P]] = {}
    for probe in probes:
        shared = {name: value for name, value in probe.get_params().items() if name not in but_for}
        families.setdefault(repr(shared), []).append(probe)
    return list(families.values())


def softmax(scores: NDArray) -> NDArray:
    """Probabilities ``(N, K)`` of scores ``(N, K)``, safe for large scores; order is kept within each row."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
