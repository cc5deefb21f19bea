"""What every probe shares: arrays are checked at the door, and scikit-learn finds the estimator it expects.

scikit-learn takes seconds to import, so nothing here needs it: a probe has the parameters, tags and messages that
scikit-learn's tools look for, and imports it only when one of them asks.
"""

from __future__ import annotations

import inspect
import numbers
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes.learnt import Held, Learnt


class Probe:
    """A light classifier on features: ``fit(X, y)``, ``predict(X)``, ``predict_proba(X)``, ``classes_``.

    A subclass stores its parameters in ``__init__`` under their own names, learns in ``fit`` and answers in
    ``_probabilities``; labels may be strings, and columns of ``predict_proba`` follow the sorted ``classes_``.
    """

    _estimator_type = "classifier"  # scikit-learn before 1.6 reads this instead of the tags

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """Names and defaults of the parameters, in the order of ``__init__``."""
        signature = inspect.signature(cls.__init__).parameters.values()
        return {p.name: p.default for p in signature if p.name != "self"}

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
                raise ProbeError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}")
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
    def answer_together(cls, probes: Sequence[Probe], X: ArrayLike) -> list[tuple[NDArray, NDArray]]:
        """:meth:`answer` of many fitted probes of this class; a class that can share work between them does."""
        return [probe.answer(X) for probe in probes]

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Share of rows whose label is predicted, between 0 and 1."""
        hits = self.predict(X) == np.asarray(y)
        return float(np.average(hits, weights=check_weights(sample_weight, len(hits))))

    @classmethod
    def fit_together(
        cls,
        probes: Sequence[Probe],
        X: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> None:
        """Fit many probes of this class on the same clips, ``(N, D)``; a class that can share work between them does.

        Raises
        ------
        ProbeError
            `sample_weight` is given, but this probe cannot weigh clips.
        """
        wanted = {"sample_weight": sample_weight, "groups": groups}
        known = inspect.signature(cls.fit).parameters
        if sample_weight is not None and "sample_weight" not in known:
            raise ProbeError(f"{cls.__name__} cannot weigh clips: fit it without sample_weight")
        passed = {name: value for name, value in wanted.items() if name in known}
        for probe in probes:
            probe.fit(X, y, **passed)

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from features ``(N, D)`` and labels ``(N,)``; some probes also take weights or groups ``(N,)``."""
        raise NotImplementedError

    classes_: NDArray
    n_features_in_: int

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

    def _check_training(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray[np.intp]]:
        """Check what `fit` was given; return features ``(N, D)`` and class codes ``(N,)`` of the sorted ``classes_``."""
        features = check_features(X)
        codes = self._learn_classes(y, len(features))
        self._remember_features(X, features)
        return features, codes

    def _learn_classes(self, y: ArrayLike, num_rows: int) -> NDArray[np.intp]:
        classes, codes = np.unique(_check_labels(y, num_rows), return_inverse=True)
        if len(classes) < 2:
            name = classes.tolist()[0]
            raise ProbeError(f"y holds one class only ({name!r}): a probe needs clips of at least two classes")
        self.classes_ = classes
        return codes

    def _remember_features(self, X: Any, features: NDArray) -> None:
        self.n_features_in_ = features.shape[1]
        self.__dict__.pop("feature_names_in_", None)
        names = np.asarray(getattr(X, "columns", []), dtype=object)
        if len(names) and all(isinstance(name, str) for name in names):
            self.feature_names_in_ = names

    def _check_known(self, X: ArrayLike) -> NDArray:
        self._check_fitted()
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


def check_features(X: ArrayLike) -> NDArray:
    """Feature matrix ``(N, D)``, finite, float32 or float64 (other numbers become float64); copied only to convert.

    Raises
    ------
    ProbeError
        Not two-dimensional, empty, sparse, complex, or with NaN or infinity; the message gives row and column.
    """
    if hasattr(X, "tocsr"):
        raise ProbeError("X is a sparse matrix, which probes do not take: pass a dense array, X.toarray()")
    features = np.asarray(X)
    if features.dtype.kind == "c":
        raise ProbeError("Complex data not supported: X must hold real numbers")
    if features.dtype not in (np.float32, np.float64):
        features = features.astype(np.float64)
    if features.ndim != 2:
        raise ProbeError(
            f"X has shape {features.shape}, but probes take (clips, features). Reshape your data: "
            "X.reshape(1, -1) for one clip, X.reshape(-1, 1) for one feature"
        )
    if features.shape[0] == 0:
        raise ProbeError(f"Found array with 0 sample(s) (shape={features.shape}) while a minimum of 1 is required.")
    if features.shape[1] == 0:
        raise ProbeError(f"Found array with 0 feature(s) (shape={features.shape}) while a minimum of 1 is required.")
    _check_finite(features)
    return features


def _check_finite(features: NDArray) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(features.sum(dtype=np.float64)):  # one pass, no copy: NaN and infinity both survive a sum
            return
    bad = np.argwhere(~np.isfinite(features))
    if len(bad) == 0:
        return
    row, column = bad[0]
    value = "NaN" if np.isnan(features[row, column]) else "infinity"
    raise ProbeError(
        f"X holds NaN or infinity in {len(bad)} places, the first {value} at row {row}, column {column}: "
        "leave these clips out, or extract or import them again"
    )


def _check_labels(y: ArrayLike, num_rows: int) -> NDArray:
    if y is None:
        raise ProbeError("fit requires y to be passed, but the target y is None")
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        _warn_about_column()
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != num_rows:
        raise ProbeError(f"y has shape {labels.shape}, but X has {num_rows} rows: give one label a row")
    if labels.dtype.kind == "f":
        _check_whole(labels)
    return labels


def _check_whole(labels: NDArray) -> None:
    if not np.isfinite(labels).all():
        raise ProbeError("y holds NaN or infinity: a label is missing")
    if (labels != np.floor(labels)).any():
        raise ProbeError("Unknown label type: y holds fractions, but probes tell classes apart")


def check_weights(sample_weight: ArrayLike | None, num_rows: int) -> NDArray[np.float64] | None:
    """Weights ``(N,)`` as float64, or None for none.

    Raises
    ------
    ProbeError
        Another shape, a weight negative or not finite, or all of them zero.
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim == 0:
        return np.full(num_rows, float(weights))
    if weights.shape != (num_rows,):
        raise ProbeError(f"sample_weight has shape {weights.shape}, but X has {num_rows} rows: give one weight a row")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ProbeError("sample_weight must be finite and at least 0")
    if not weights.any():
        raise ProbeError("sample_weight is zero everywhere: no clip counts")
    return weights


def check_every_class_counts(classes: NDArray, codes: NDArray[np.intp], weights: NDArray) -> None:
    """Refuse weights ``(N,)`` under which a class of `classes` has no weight left, naming it.

    Raises
    ------
    ProbeError
    """
    totals = np.bincount(codes, weights=weights, minlength=len(classes))
    if not totals.all():
        raise ProbeError(f"class {classes.tolist()[totals.argmin()]!r} has no weight: leave its clips out")


def check_number(name: str, value: Any, *, above: float | None = None, least: float | None = None) -> None:
    """Refuse a parameter that is not a finite number above a bound, or not at `least` as large as one, naming it.

    Raises
    ------
    ProbeError
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool) and np.isfinite(float(value))
    if not number or (above is not None and value <= above) or (least is not None and value < least):
        bound = f"above {above}" if least is None else f"of at least {least}"
        raise ProbeError(f"{name} is {value!r}, but must be a number {bound}")


def check_whole(name: str, value: Any, *, least: int) -> None:
    """Refuse a parameter that is not a whole number of at least `least`, naming it.

    Raises
    ------
    ProbeError
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ProbeError(f"{name} is {value!r}, but must be a whole number of at least {least}")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Refuse a parameter that is none of its choices, naming it and them.

    Raises
    ------
    ProbeError
    """
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        raise ProbeError(f"{name} {value!r} is not one of {', '.join(map(str, choices))}")


def check_class_weight(value: Any) -> None:
    """Refuse what is no class weight: None, "balanced", or a number of at least 0 by label.

    Raises
    ------
    ProbeError
    """
    if isinstance(value, Mapping):
        for label, weight in value.items():
            check_number(f"class_weight of {label!r}", weight, least=0)
    else:
        check_choice("class_weight", value, (None, "balanced"))


def softmax(scores: NDArray) -> NDArray:
    """Probabilities ``(N, K)`` of scores ``(N, K)``, safe for large scores; order is kept within each row."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def seed_of(random_state: int | None) -> int:
    """The seed of a probe: without a `random_state` it is 0, so that a run can be repeated without having said so.

    Raises
    ------
    ProbeError
        Not a whole number.
    """
    if random_state is not None:
        check_whole("random_state", random_state, least=0)
    return 0 if random_state is None else random_state


def _warn_about_column() -> None:
    message = "A column-vector y was passed when a 1d array was expected: pass y.ravel()"
    if "sklearn" in sys.modules:
        from sklearn.exceptions import DataConversionWarning

        warnings.warn(message, DataConversionWarning, stacklevel=4)
    else:
        warnings.warn(message, UserWarning, stacklevel=4)
