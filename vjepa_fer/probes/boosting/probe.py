"""Gradient-boosted trees on the leading principal directions of the training features: LightGBM grows them, we ask them."""

from __future__ import annotations

import warnings
from typing import Any

from numpy.typing import NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.extras import import_undisturbed
from vjepa_fer.probes.base import ProbeWithWeights, TrainingSet, softmax
from vjepa_fer.probes.boosting.text import read_trees
from vjepa_fer.probes.boosting.trees import Trees
from vjepa_fer.probes.checks import check_number, check_whole, seed_of
from vjepa_fer.probes.learnt import Held, Learnt
from vjepa_fer.probes.reduction import Reduction, directions_of, fit_reduction, reduction_arrays, reduction_from
from vjepa_fer.probes.suited import AUTO, check_directions, smallest_leaf, tree_reduction


class BoostingProbe(ProbeWithWeights):
    """Gradient-boosted decision trees, deterministic.

    An embedding spreads what it knows over all its dimensions, and a tree reads one at a time: on principal directions,
    learnt from the training clips, trees are both faster and better (``benchmarks/bench_probes_boosting.json`` has the comparison
    that the defaults come from). Of a table of measures each column is something by itself, and is left as it is. Features are
    binned from the training clips of each fit.

    Parameters
    ----------
    n_estimators : int
        Rounds; each grows one tree a class.
    learning_rate, num_leaves, colsample_bytree, max_bin
        LightGBM's, under the names of its scikit-learn interface.
    min_child_samples : int or "auto"
        Training clips that a leaf must hold; "auto" is a tenth of them, and at most LightGBM's 20.
    n_components : int, None or "auto"
        How many principal directions the trees see; None: the features as they are, as when there are no more than that. "auto"
        is 128 where these tell the training clips' classes apart better than columns do, else None.
    n_jobs : int
        Threads of the fit; the numbers do not depend on it.
    random_state : int or None
        Of the columns drawn for each tree; None is 0.
    """

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        learning_rate: float = 0.1,
        num_leaves: int = 15,
        min_child_samples: int | str = AUTO,
        colsample_bytree: float = 0.3,
        max_bin: int = 63,
        n_components: int | str | None = AUTO,
        n_jobs: int = 1,
        random_state: int | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.colsample_bytree = colsample_bytree
        self.max_bin = max_bin
        self.n_components = n_components
        self.n_jobs = n_jobs
        self.random_state = random_state

    reduction_: Reduction | None
    leaf_: int
    trees_: Trees
    model_text_: str

    def _learn(self, training: TrainingSet) -> None:
        lightgbm = import_undisturbed("lightgbm")
        features, codes, weights = training.X, training.codes, training.weights
        if weights is not None:
            features, codes, weights = features[weights > 0], codes[weights > 0], weights[weights > 0]
        asked, leaf = self.n_components, self.min_child_samples  # a text is "auto"; another was refused
        self.reduction_ = tree_reduction(features, codes) if isinstance(asked, str) else fit_reduction(features, asked)
        self.leaf_ = smallest_leaf(len(features)) if isinstance(leaf, str) else leaf
        data = lightgbm.Dataset(self._reduced(features), codes, weight=weights)
        model = lightgbm.train(self._settings(), data, num_boost_round=self.n_estimators)
        self._take(model.model_to_string())
        if self.trees_.num_splits == 0:
            warnings.warn(
                f"no tree has split {len(features):,} training clips, so every clip is decided alike: columns are constant, or "
                f"min_child_samples={self.leaf_} is too many for so few clips",
                stacklevel=5,
            )

    @property
    def settled(self) -> dict[str, int | None]:
        became = {"n_components": directions_of(self.reduction_)}
        if "leaf_" in self.__dict__:  # a probe from a file has grown its trees
            became["min_child_samples"] = self.leaf_
        return {name: value for name, value in became.items() if getattr(self, name) == AUTO}

    def _take(self, text: str) -> None:
        """Trees from LightGBM's text: the same way after a fit and from a file, so that both answer alike."""
        width = self.n_features_in_ if self.reduction_ is None else self.reduction_.num_directions
        self.n_iter_ = self.n_estimators
        self.trees_ = read_trees(text, num_classes=len(self.classes_), num_features=width)
        self.model_text_ = text

    def _check_parameters(self) -> None:
        check_number("learning_rate", self.learning_rate, above=0)
        check_number("colsample_bytree", self.colsample_bytree, above=0)
        if self.colsample_bytree > 1:
            raise ProbeError(f"colsample_bytree is {self.colsample_bytree!r}, but must be at most 1")
        least = {"n_estimators": 1, "num_leaves": 2, "max_bin": 2, "n_jobs": 1}
        for name, bound in least.items():
            check_whole(name, getattr(self, name), least=bound)
        if self.min_child_samples != AUTO:
            check_whole("min_child_samples", self.min_child_samples, least=0)
        check_directions(self.n_components)

    def _reduced(self, features: NDArray) -> NDArray:
        return features if self.reduction_ is None else self.reduction_.apply(features)

    def _settings(self) -> dict[str, Any]:
        return {
            "objective": "multiclass",
            "num_class": len(self.classes_),
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.leaf_,
            "feature_fraction": self.colsample_bytree,
            "max_bin": self.max_bin,
            "num_threads": self.n_jobs,
            "seed": seed_of(self.random_state),
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }

    def _probabilities(self, X: NDArray) -> NDArray:
        return softmax(self.trees_.scores(self._reduced(X)))

    def _learnt(self) -> Learnt:
        return Learnt(reduction_arrays(self.reduction_), texts={"model": self.model_text_})

    def _recall(self, held: Held) -> None:
        self.reduction_ = reduction_from(held, self.n_features_in_)
        self._take(held.text("model"))
