"""Fits of small, odd problems: none may crash, say NaN, or miss the tolerance that it promises without a warning.

Each logistic objective is compared with its minimum, found by Newton's method from zero in float64. That minimum is bounded from
below: the objective is strongly convex in the weights, so that it lies at most ``|gradient|² / (2 penalty)`` further down.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

import argparse
import collections
import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from measured import machine  # pins BLAS to one thread, so it comes before numpy

import numpy as np
from degenerate import KINDS, Drawn, draw_all
from numpy.typing import NDArray
from scipy.special import logsumexp

from vjepa_fer.probes import fit_probes, make_probe

GRID = tuple(10.0**power for power in range(-5, 4))
TOLERANCE = 5e-6
ROUNDING = 1e-8
OTHERS = ("mlp", "lightgbm", "svm", "knn", "centroid")


class Objective:
    """``Σ CE / N + |W|² / (2 C N)`` in coordinates that span the clips, with both derivatives, two classes with one row."""

    def __init__(self, X: NDArray, codes: NDArray, C: float) -> None:
        clips = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
        left, sizes, _ = np.linalg.svd(clips, full_matrices=False)
        keep = sizes > 1e-14 * max(sizes[0], 1e-300)
        self.clips = np.column_stack([left[:, keep] * sizes[keep], np.ones(len(X))])
        self.num_classes = int(codes.max()) + 1
        self.penalty = (2 if self.num_classes == 2 else 1) / (C * len(X))
        self.hits = np.eye(self.num_classes)[codes]
        self.penalties = np.tile(np.r_[np.full(keep.sum(), self.penalty), 0.0], self.num_classes)

    def value(self, w: NDArray) -> float:
        logits = self.clips @ w.reshape(self.num_classes, -1).T
        return float(
            (logsumexp(logits, axis=1) - (logits * self.hits).sum(1)).mean() + (self.penalties * w * w).sum() / 2
        )

    def _shares(self, w: NDArray) -> NDArray:
        logits = self.clips @ w.reshape(self.num_classes, -1).T
        return np.exp(logits - logsumexp(logits, axis=1, keepdims=True))

    def gradient(self, w: NDArray) -> NDArray:
        return ((self._shares(w) - self.hits).T @ self.clips / len(self.clips)).ravel() + self.penalties * w

    def second(self, w: NDArray) -> NDArray:
        shares = self._shares(w)
        each = shares[:, :, None] * np.eye(self.num_classes) - shares[:, :, None] * shares[:, None]
        whole = np.einsum("nij,na,nb->iajb", each, self.clips, self.clips, optimize=True) / len(self.clips)
        whole[:, -1, :, -1] += 1.0  # all intercepts alike are no direction, and the gradient has no part along it
        return whole.reshape(len(w), len(w)) + np.diag(self.penalties)

    def least(self) -> float:
        """No value lies below this one, and the smallest lies within :data:`ROUNDING` above it."""
        w = np.zeros(self.num_classes * self.clips.shape[1])
        for _ in range(500):
            gradient = self.gradient(w)
            below = float(np.square(gradient).sum()) / (2 * self.penalty)
            if below < ROUNDING / 10:
                break
            step, length, value = np.linalg.solve(self.second(w), gradient), 1.0, self.value(w)
            while self.value(w - length * step) > value + 1e-14 and length > 1e-12:
                length /= 2
            w = w - length * step
        return self.value(w) - below


def excess(probe: Any, drawn: Drawn) -> float:
    """How far above the exact minimum a fitted logistic probe's objective lies, in units of the mean loss."""
    X, codes = drawn.X.astype(np.float64), drawn.codes
    logits = (X - X.mean(0)) @ probe.coef_.T + (probe.intercept_ + X.mean(0) @ probe.coef_.T)
    exact = Objective(drawn.X, codes, probe.C)
    if logits.shape[1] == 1:
        logits = np.column_stack([-logits / 2, logits / 2])
    loss = (logsumexp(logits, axis=1) - logits[np.arange(len(X)), codes]).mean()
    return float(loss + np.square(probe.coef_).sum() / (2 * probe.C * len(X)) - exact.least())


def fit_one(name: str, params: list[dict[str, Any]], drawn: Drawn) -> tuple[list[Any], set[int], str]:
    """Probes, the numbers of those that warned, and what ended the fit, "" for nothing."""
    probes = [make_probe(name, one) for one in params]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            fit_probes(probes, drawn.X, drawn.codes)
            broken = "" if all(np.isfinite(p.predict_proba(drawn.X)).all() for p in probes) else "NaN"
        except Exception as error:  # whatever it is, it is what we look for
            return probes, set(), f"{type(error).__name__}: {error}"
    words = [str(one.message) for one in said]
    warned = {i for i, p in enumerate(probes) if any(f"C={getattr(p, 'C', 0):g} " in line for line in words)}
    alien = [line for line in words if "has not converged" not in line and name == "logreg"]
    return probes, warned, broken or (f"unasked-for warning: {alien[0]}" if alien else "")


def soak_logistic(problems: Iterable[Drawn], C: tuple[float, ...]) -> dict[str, Any]:
    """Counts over all, and the largest excess of those that did not warn."""
    counts: collections.Counter[str] = collections.Counter()
    worst, failures = 0.0, []
    for drawn in problems:
        counts["fits"] += 1
        probes, warned, broken = fit_one("logreg", [{"C": value} for value in C], drawn)
        if broken:
            counts["broken"] += 1
            failures.append(f"{drawn.kind} {drawn.X.shape} {drawn.X.dtype}: {broken}")
            continue
        counts["warned"] += len(warned)
        for number, probe in enumerate(probes):
            counts["objectives"] += 1
            over = excess(probe, drawn)
            if number not in warned and over > TOLERANCE + ROUNDING:
                counts["missed in silence"] += 1
                failures.append(f"{drawn.kind} {drawn.X.shape} {drawn.X.dtype} C={probe.C:g}: {over:.2e}")
            if number not in warned:
                worst = max(worst, over)
    names = ("fits", "objectives", "broken", "warned", "missed in silence")
    return {**{name: counts[name] for name in names}, "largest excess": worst, "failures": failures[:20]}


def soak_other(name: str, problems: Iterable[Drawn]) -> dict[str, Any]:
    done = broken = 0
    failures = []
    for drawn in problems:
        params = {"max_iter": 20} if name == "mlp" else {"n_neighbors": 1} if name == "knn" else {}
        what = fit_one(name, [params], drawn)[2]
        done, broken = done + 1, broken + bool(what)
        failures += [f"{drawn.kind} {drawn.X.shape}: {what}"] if what else []
    return {"fits": done, "broken": broken, "failures": failures[:20]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="see that it runs, and keep nothing")
    small = parser.parse_args().small
    odd = tuple(KINDS)[1:]
    result = {
        "single": soak_logistic(draw_all(range(1 if small else 12)), (1.0,)),
        "grid": soak_logistic(draw_all(range(1 if small else 3), odd), GRID),
        **{name: soak_other(name, draw_all(range(2, 3))) for name in OTHERS},
    }
    print(json.dumps(result, indent=1))
    if not small:
        text = json.dumps({"machine": machine(), "tolerance": TOLERANCE, **result}, indent=1)
        Path(__file__).with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    main()
