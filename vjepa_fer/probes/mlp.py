"""A multi-layer perceptron on features, alone or many side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes.base import ProbeWithGroups, TrainingSet, softmax
from vjepa_fer.probes.checks import check_choice, check_number, check_whole, seed_of, warn_of_budget
from vjepa_fer.probes.learnt import Held, Learnt
from vjepa_fer.probes.perceptron import Layers, Network, Training, forward, train_networks
from vjepa_fer.probes.reduction import Reduction, directions_of, fit_reduction, reduction_arrays, reduction_from
from vjepa_fer.probes.suited import AUTO, check_directions, network_reduction


class MLPProbe(ProbeWithGroups):
    """Hidden layers of rectified units, trained with Adam: scikit-learn's ``MLPClassifier`` in initial weights and rules.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int
        Units of each hidden layer.
    alpha : float
        Strength of the L2 penalty.
    learning_rate_init : float
        Adam's rate.
    batch_size : int or "auto"
        Clips a step; "auto" is 200, or all if there are fewer.
    max_iter : int
        Most epochs; using them up is a warning.
    tol, n_iter_no_change : float, int
        Training ends when the loss has not fallen by `tol` for so many epochs.
    early_stopping : bool
        Judge by the accuracy on clips held out of the training clips instead, and go back to the best epoch. With
        ``fit(…, groups=subjects)`` whole subjects are held out, else single clips.
    validation_fraction : float
        Which part of the subjects, or clips, is held out then.
    n_components : int, None or "auto"
        Learn on so many principal directions of the training clips, several times faster; None: on the features as they
        are, as when there are no more than that. "auto" is 256 where there are 1,024 training clips, and these
        directions hold 85 % of their variance; else None.
    random_state : int or None
        Of the initial weights; None is 0. Batches and held-out clips are the same for every seed, so that seeds can be
        trained side by side.
    """

    def __init__(
        self,
        hidden_layer_sizes: int | tuple[int, ...] = 128,
        *,
        alpha: float = 1e-4,
        learning_rate_init: float = 1e-3,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_components: int | str | None = AUTO,
        random_state: int | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.alpha = alpha
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_components = n_components
        self.random_state = random_state

    reduction_: Reduction | None
    layers_: Layers
    n_iter_: int

    apart = ("alpha", "learning_rate_init", "random_state")

    def _learn_together(self, family: Sequence[Self], training: TrainingSet) -> None:
        features, codes = training.X, training.codes
        train, held_out = self._hold_out(codes, training.groups)
        reduction = self._reduce(features[train])
        features = features if reduction is None else reduction.apply(features)
        hidden = self.hidden_layer_sizes
        plan = Training(
            hidden=(hidden,) if isinstance(hidden, int | np.integer) else tuple(hidden),
            batch_size=min(200, len(train)) if self.batch_size == "auto" else int(self.batch_size),
            max_iter=self.max_iter,
            tol=self.tol,
            patience=self.n_iter_no_change,
            train=train,
            held_out=held_out,
        )
        networks = [Network(p.alpha, p.learning_rate_init, seed_of(p.random_state)) for p in family]
        trained = train_networks(features, codes, len(self.classes_), networks, plan)
        for probe, (layers, epochs) in zip(family, trained, strict=True):
            probe.reduction_, probe.layers_, probe.n_iter_ = reduction, layers, epochs
        unfinished = sum(probe.n_iter_ == self.max_iter for probe in family)
        if unfinished:
            which = f"{unfinished} of {len(family)} perceptrons have" if len(family) > 1 else "the perceptron has"
            warn_of_budget(
                f"{which} used up max_iter={self.max_iter} epochs, and could go on: raise max_iter", stacklevel=4
            )

    def _reduce(self, features: NDArray) -> Reduction | None:
        if isinstance(self.n_components, str):  # "auto"; another was refused
            return network_reduction(features)
        return fit_reduction(features, self.n_components)

    @property
    def settled(self) -> dict[str, int | None]:
        return {"n_components": directions_of(self.reduction_)} if self.n_components == AUTO else {}

    def _hold_out(self, codes: NDArray[np.intp], groups: NDArray | None) -> tuple[NDArray, NDArray]:
        """Clips to train on and clips to judge by, without a subject in both."""
        rows = np.arange(len(codes))
        if not self.early_stopping:
            return rows, rows[:0]
        units = np.unique(rows if groups is None else groups, return_inverse=True)[1]
        order = np.random.default_rng(0).permutation(units.max() + 1)
        chosen = order[: max(1, round(self.validation_fraction * len(order)))]
        held = np.isin(units, chosen)
        if set(codes[~held]) != set(codes):
            what = "clips" if groups is None else "subjects"
            raise ProbeError(
                f"early_stopping holds out {len(chosen)} of {len(order)} {what}, which leaves some class without a "
                "training clip: use fewer, or early_stopping=False"
            )
        return rows[~held], rows[held]

    def _check_parameters(self) -> None:
        for name in ("learning_rate_init", "validation_fraction"):
            check_number(name, getattr(self, name), above=0)
        for name in ("max_iter", "n_iter_no_change"):
            check_whole(name, getattr(self, name), least=1)
        check_number("tol", self.tol, least=0)
        check_choice("early_stopping", self.early_stopping, (True, False))
        check_number("alpha", self.alpha, least=0)
        if not self.validation_fraction < 1:
            raise ProbeError(f"validation_fraction is {self.validation_fraction!r}, but must be below 1")
        if self.batch_size != "auto":
            check_whole("batch_size", self.batch_size, least=1)
        check_directions(self.n_components)
        for size in np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)):
            check_whole("hidden_layer_sizes", size, least=1)

    def _probabilities(self, X: NDArray) -> NDArray:
        features = X if self.reduction_ is None else self.reduction_.apply(X)
        return softmax(forward(self.layers_, features))

    def _learnt(self) -> Learnt:
        layers = {f"layer{number}": layer for number, layer in enumerate(self.layers_)}
        return Learnt(layers | reduction_arrays(self.reduction_), {"n_iter": self.n_iter_})

    def _recall(self, held: Held) -> None:
        self.reduction_ = reduction_from(held, self.n_features_in_)
        self.layers_ = []
        width = self.n_features_in_ if self.reduction_ is None else self.reduction_.num_directions
        while not self.layers_ or f"layer{len(self.layers_)}" in held:
            weights = held.floats(f"layer{len(self.layers_)}", width, None)
            width = weights.shape[1]
            self.layers_ += [weights, held.floats(f"layer{len(self.layers_) + 1}", 1, width)]
        if width != len(self.classes_):
            held.refuse(f"layer{len(self.layers_) - 1}", f"is the last, but not of {len(self.classes_)} classes")
        self.n_iter_ = held.whole("n_iter")
