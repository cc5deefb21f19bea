"""A probe: the nearest class mean by cosine."""

import numpy as np

from vjepa_fer.probes.base import Probe, softmax
from vjepa_fer.probes.learnt import Learnt


class PrototypeProbe(Probe):
    """Nearest class mean by cosine; `sharpness` sets how sure it is."""

    def __init__(self, *, sharpness: float = 5.0, random_state: int | None = None) -> None:
        self.sharpness = sharpness
        self.random_state = random_state

    def _learn(self, training):
        X, codes = training.X, training.codes
        self.means_ = np.stack([X[codes == code].mean(axis=0) for code in range(len(self.classes_))])

    def _probabilities(self, X):
        lengths = np.linalg.norm(X, axis=1)[:, None] * np.linalg.norm(self.means_, axis=1)
        return softmax(self.sharpness * (X @ self.means_.T) / np.maximum(lengths, 1e-12))

    def _learnt(self):
        return Learnt({"means": self.means_})

    def _recall(self, held):
        self.means_ = held.floats("means", len(self.classes_), self.n_features_in_)
