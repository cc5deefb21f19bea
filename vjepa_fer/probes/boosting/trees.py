"""Boosted trees as plain arrays come in; what they say of features goes out, number for number what LightGBM would say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AS_ZERO = float(np.float32(1e-35))
"""LightGBM takes a feature that is no larger than this, up or down, for zero."""

PAIRS_AT_ONCE = 2**16
"""Pairs of a row and a tree that go down together: as many as a processor's cache has room for."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees of numerical splits, as many in each round as there are classes.

    Nodes of all trees are numbered together, splits before leaves, and a split before what hangs from it: whoever goes down gets
    to the end. A leaf hangs from itself.

    Attributes
    ----------
    num_classes : int
    roots : ndarray of int64, shape (num_trees,)
        Round by round, in each class by class; a tree that says the same of every row is a leaf.
    features : ndarray of int64, shape (num_nodes,)
        The column that a split looks at; 0 for leaves.
    thresholds : ndarray of float64, shape (num_nodes,)
        A row goes left where its column is no larger; 0 for leaves.
    children : ndarray of int64, shape (num_nodes, 2)
        Left and right.
    values : ndarray of float64, shape (num_leaves,)
        What each leaf adds to the score of its tree's class.
    """

    num_classes: int
    roots: NDArray[np.int64]
    features: NDArray[np.int64]
    thresholds: NDArray[np.float64]
    children: NDArray[np.int64]
    values: NDArray[np.float64]

    @property
    def num_splits(self) -> int:
        return len(self.features) - len(self.values)

    def scores(self, X: NDArray) -> NDArray[np.float64]:
        """Sums of leaves (num_rows, num_classes) for features (num_rows, dim), added up round by round."""
        scores = np.zeros((len(X), self.num_classes))
        step = max(1, PAIRS_AT_ONCE // len(self.roots))
        for start in range(0, len(X), step):
            rows = slice(start, start + step)
            leaves = self._leaves(X[rows]).reshape(-1, len(self.roots) // self.num_classes, self.num_classes)
            for number in range(leaves.shape[1]):
                scores[rows] += self.values[leaves[:, number] - self.num_splits]
        return scores

    def _leaves(self, X: NDArray) -> NDArray[np.int64]:
        """The leaf that each row (num_rows, dim) comes to in each tree, (num_rows, num_trees) in one long array."""
        columns = np.where(np.abs(X) > AS_ZERO, X, 0).astype(np.float64).ravel()
        row = np.repeat(np.arange(len(X)) * X.shape[1], len(self.roots))
        node, pair = np.tile(self.roots, len(X)), np.arange(len(row))
        found, children = np.empty_like(node), self.children.ravel()
        while len(pair):
            right = columns.take(row + self.features.take(node)) > self.thresholds.take(node)
            node = children.take(2 * node + right)
            under_way = node < self.num_splits
            if 2 * np.count_nonzero(under_way) <= len(pair):  # dropping those that are there costs as much as a step
                found[pair] = node
                row, node, pair = row[under_way], node[under_way], pair[under_way]
        return found
