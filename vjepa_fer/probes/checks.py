"""What a probe is given goes in: features, labels, weights, parameters; it comes out checked, or is refused by name."""

from __future__ import annotations

import numbers
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vjepa_fer.doors import nearest, not_one_of
from vjepa_fer.errors import ProbeError


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


def check_classes(y: ArrayLike, num_rows: int) -> tuple[NDArray, NDArray[np.intp]]:
    """Sorted classes ``(K,)`` and which of them each of the labels ``(N,)`` is, ``(N,)``.

    Raises
    ------
    ProbeError
        Another number of labels, one missing or a fraction, or all of them the same.
    """
    classes, codes = np.unique(_check_labels(y, num_rows), return_inverse=True)
    if len(classes) < 2:
        name = classes.tolist()[0]
        raise ProbeError(f"y holds one class only ({name!r}): a probe needs clips of at least two classes")
    return classes, codes


def _check_labels(y: ArrayLike, num_rows: int) -> NDArray:
    if y is None:
        raise ProbeError("fit requires y to be passed, but the target y is None")
    _check_present(y)
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        _warn_about_column()
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != num_rows:
        raise ProbeError(f"y has shape {labels.shape}, but X has {num_rows} rows: give one label a row")
    if labels.dtype.kind == "f":
        _check_whole(labels)
    return labels


def _check_present(y: ArrayLike) -> None:
    """Refuse labels that are None, NaN or pandas' NA, before NumPy makes a text of them; a missing number is seen later."""
    plain = isinstance(y, list | tuple)
    values = list(y) if plain else np.asarray(y).ravel().tolist() if np.asarray(y).dtype.kind == "O" else []  # type: ignore[arg-type]
    missing = [row for row, value in enumerate(values) if _is_missing(value)]
    if missing:
        raise ProbeError(
            f"y holds no label in {len(missing):,} of {len(values):,} rows, the first {values[missing[0]]!r} in row "
            f"{missing[0]}: a label is missing (NaN); leave these clips out, or give them one"
        )


def _is_missing(value: Any) -> bool:
    nan = isinstance(value, float | np.floating) and bool(np.isnan(value))
    return value is None or nan or type(value).__name__ in ("NAType", "NaTType")


def _check_whole(labels: NDArray) -> None:
    if not np.isfinite(labels).all():
        raise ProbeError("y holds NaN or infinity: a label is missing")
    if (labels != np.floor(labels)).any():
        raise ProbeError("Unknown label type: y holds fractions, but probes tell classes apart")


def column_names(X: Any) -> NDArray | None:
    """Names of the columns of a data frame ``(D,)``, where all of them are texts; None of anything else."""
    names = np.asarray(getattr(X, "columns", []), dtype=object)
    return names if len(names) and all(isinstance(name, str) for name in names) else None


def check_names(known: NDArray | None, given: NDArray | None, probe: str) -> None:
    """Refuse columns that are not those of the fit, in its order; where only one of both has names, say so.

    Raises
    ------
    ProbeError
    """
    if known is None and given is None:
        return
    if known is None:
        warnings.warn(f"X has feature names, but {probe} was fitted without feature names", stacklevel=4)
    elif given is None:
        warnings.warn(f"X does not have valid feature names, but {probe} was fitted with feature names", stacklevel=4)
    elif list(known) != list(given):
        raise ProbeError(
            f"The feature names should match those that were passed during fit.\n{_difference(known, given)}"
        )


def _difference(known: NDArray, given: NDArray) -> str:
    """As scikit-learn puts it, whose tools look for these words."""
    new, gone = sorted({*given} - {*known}), sorted({*known} - {*given})
    if not new and not gone:
        return "Feature names must be in the same order as they were in fit.\n"
    parts = (("Feature names unseen at fit time", new), ("Feature names seen at fit time, yet now missing", gone))
    lines = [
        f"{what}:\n" + "".join(f"- {name}\n" for name in names[:5]) + "- ...\n" * (len(names) > 5)
        for what, names in parts
        if names
    ]
    return "".join(lines)


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


def check_groups(groups: ArrayLike | None, num_rows: int) -> NDArray | None:
    """Subjects ``(N,)``, or None for none.

    Raises
    ------
    ProbeError
        Another shape.
    """
    if groups is None:
        return None
    subjects = np.asarray(groups)
    if subjects.shape != (num_rows,):
        raise ProbeError(f"groups has {subjects.size} entries, but X has {num_rows} rows: give one subject a row")
    return subjects


def check_probabilities(probabilities: NDArray, probe: str) -> None:
    """Refuse probabilities ``(N, K)`` that are none, naming the probe: they would make a run that nobody can read.

    Raises
    ------
    ProbeError
    """
    bad = ~np.isfinite(probabilities).all(axis=1)
    if bad.any():
        raise ProbeError(
            f"{probe} has no probabilities for {bad.sum():,} of {len(bad):,} clips, the first in row {bad.argmax()}: "
            "numbers have grown out of bounds; scale the features (--scale standard), or ask for less (smaller C or rate)"
        )


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
        raise ProbeError(not_one_of(name, value, choices))


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


def check_weighted_classes(class_weight: Any, classes: NDArray) -> None:
    """Refuse a weight for a class that no training clip has, naming it and those there are.

    Raises
    ------
    ProbeError
    """
    known = classes.tolist()
    unknown = [label for label in class_weight if label not in known] if isinstance(class_weight, Mapping) else []
    if unknown:
        raise ProbeError(
            f"class_weight names {', '.join(map(repr, unknown))}, which no training clip is; the classes are "
            f"{', '.join(map(repr, known))}{nearest(str(unknown[0]), map(str, known))}"
        )


def warn_of_budget(message: str, *, stacklevel: int) -> None:
    """Say that a fit has used up its steps, in scikit-learn's own kind of warning for whoever has it loaded."""
    category: type[Warning] = UserWarning
    if "sklearn" in sys.modules:
        from sklearn.exceptions import ConvergenceWarning

        category = ConvergenceWarning
    warnings.warn(message, category, stacklevel=stacklevel + 1)


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

        warnings.warn(message, DataConversionWarning, stacklevel=7)  # where fit was called
    else:
        warnings.warn(message, UserWarning, stacklevel=7)
