"""Tokens of each clip come in; a head is trained on them, and answers: what all probes that look at tokens have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.extras import require_extra
from vjepa_fer.probes.base import Probe, TrainingSet
from vjepa_fer.probes.checks import check_choice, check_number, check_whole, seed_of

if TYPE_CHECKING:
    from vjepa_fer.probes.attentive.training import Model

TRAINING_BYTES = 2 * 2**30
"""Memory that heads trained side by side may take with gradients and moments; more heads go in several passes."""

SCHEDULES: dict[str, dict[str, Any]] = {
    # the paper's run (V-JEPA 1's recipe): decay falls with the rate, biases and norms are spared, gradients clipped
    "paper": {
        "lr": 1e-3,
        "weight_decay": 0.01,
        "final_weight_decay": 1e-6,
        "decay_biases": False,
        "clip_grad": 1.0,
        "epochs": 20,
        "batch_size": 256,
    },
    # V-JEPA 2's: constant decay on everything, no clipping; it tries 20 pairs of lr and weight_decay
    "vjepa2": {
        "lr": 1e-3,
        "weight_decay": 0.01,
        "final_weight_decay": None,
        "decay_biases": True,
        "clip_grad": None,
        "epochs": 20,
        "batch_size": 256,
    },
}
"""How two groups train a head on tokens."""


class TokenProbe(Probe):
    """A head on tokens.

    Takes tokens ``(N, T, D)``, or a flat ``(N, T·D)`` matrix with `embed_dim`; arrays, memory maps, and anything read by
    ``X[rows]`` are streamed batch by batch, in whatever precision they are stored. Rows may have different numbers of tokens, said by
    ``X.lengths``: those of a batch that have equally many are read together, and the gradient is summed. Float32 on the CPU.

    Parameters
    ----------
    embed_dim : int or None
        D, for flat features.
    lr, weight_decay, final_weight_decay : float
        AdamW's; the rate falls to 0 and the decay to `final_weight_decay` (None: it stays) along half a cosine.
    decay_biases : bool
        Whether biases and norms decay too.
    clip_grad : float or None
        Largest norm of the gradient.
    epochs, batch_size : int
        Passes over the clips, and clips a step.
    device : str
        "cpu", "cuda" or "mps".
    random_state : int or None
        Of first parameters and batches; None is 0.

    Attributes
    ----------
    parameters_ : dict of str to ndarray
        Float32, by their names.
    num_heads_ : int
        How many weights a token gets: :meth:`attention` gives them.
    """

    def __init__(
        self,
        *,
        embed_dim: int | None,
        lr: float,
        weight_decay: float,
        final_weight_decay: float | None,
        decay_biases: bool,
        clip_grad: float | None,
        epochs: int,
        batch_size: int,
        device: str,
        random_state: int | None,
    ) -> None:
        self.embed_dim = embed_dim
        self.lr = lr
        self.weight_decay = weight_decay
        self.final_weight_decay = final_weight_decay
        self.decay_biases = decay_biases
        self.clip_grad = clip_grad
        self.epochs = epochs
        self.batch_size = batch_size
        self.device = device
        self.random_state = random_state

    parameters_: dict[str, NDArray]
    num_heads_: int
    n_iter_: int

    apart = ("lr", "weight_decay")

    @abstractmethod
    def _model(self, num_heads: int) -> Model:
        """What is trained, with so many weights a token."""

    @abstractmethod
    def _heads_for(self, dim: int) -> int:
        """How many weights a token of `dim` numbers gets."""

    @property
    def embed_dim_(self) -> int:
        """Of a fitted probe: D, the width of the tokens that it takes."""
        return self.parameters_["linear.weight"].shape[1]

    def _learn_together(self, family: Sequence[Self], training: TrainingSet) -> None:
        require_extra("extract", ("torch",), "a probe on tokens")
        from vjepa_fer.probes.attentive.training import Head, Plan, Tokens, train_heads

        tokens = Tokens(training.X, self.embed_dim)
        num_heads = self._heads_for(tokens.dim)
        plan = Plan(
            model=self._model(num_heads),
            epochs=self.epochs,
            batch_size=self.batch_size,
            clip_grad=self.clip_grad,
            decay_biases=self.decay_biases,
            seed=seed_of(self.random_state),
            device=self.device,
        )
        heads = [
            Head(p.lr, p.weight_decay, p.weight_decay if p.final_weight_decay is None else p.final_weight_decay)
            for p in family
        ]
        at_once = self._at_once(plan.model, tokens.dim)
        for start in range(0, len(heads), at_once):
            some = slice(start, start + at_once)
            trained = train_heads(tokens, training.codes, len(self.classes_), heads[some], plan)
            for probe, parameters in zip(family[some], trained, strict=True):
                probe.parameters_, probe.num_heads_, probe.n_iter_ = parameters, num_heads, self.epochs

    def _at_once(self, model: Model, dim: int) -> int:
        """Heads that are trained side by side."""
        shapes = model.shapes(dim=dim, num_classes=len(self.classes_))
        numbers = sum(math.prod(shape) for shape in shapes.values())
        return max(1, TRAINING_BYTES // (4 * 4 * numbers))  # parameters, gradients, two moments; four bytes each

    def _check_clips(self, X: Any) -> Any:
        """Tokens are only measured here: they may lie on a disk, and are checked as they are read."""
        if getattr(X, "ndim", 2) <= 2:  # a feature matrix, checked as any other
            return super()._check_clips(X)
        self.n_features_in_ = math.prod(X.shape[1:])
        return X

    def _check_parameters(self) -> None:
        for name in ("epochs", "batch_size"):
            check_whole(name, getattr(self, name), least=1)
        if self.embed_dim is not None:
            check_whole("embed_dim", self.embed_dim, least=1)
        check_number("lr", self.lr, above=0)
        check_number("weight_decay", self.weight_decay, least=0)
        if self.final_weight_decay is not None:
            check_number("final_weight_decay", self.final_weight_decay, least=0)
        if self.clip_grad is not None:
            check_number("clip_grad", self.clip_grad, above=0)
        check_choice("decay_biases", self.decay_biases, (True, False))
        check_choice("device", str(self.device).partition(":")[0], ("cpu", "cuda", "mps"))

    def predict_proba(self, X: Any) -> NDArray:
        """Probabilities ``(N, K)`` of tokens ``(N, T, D)``; T may differ from that of training."""
        from vjepa_fer.probes.attentive.training import Tokens, predict_probabilities

        X, model = self._taken(X), self._model(self.num_heads_)
        return predict_probabilities(Tokens(X, self.embed_dim_), self.parameters_, model, device=self.device)

    def attention(self, X: Any) -> NDArray:
        """How much a query looks at each token ``(N, T, D)``: weights float32 ``(N, num_heads, T)`` that sum to 1 over T."""
        from vjepa_fer.probes.attentive.training import Tokens, query_weights

        X, model = self._taken(X), self._model(self.num_heads_)
        return query_weights(Tokens(X, self.embed_dim_), self.parameters_, model, device=self.device)

    def _taken(self, X: Any) -> Any:
        self._check_fitted()
        return self._check_known(X) if getattr(X, "ndim", 2) <= 2 else X

    def predict(self, X: Any) -> NDArray:
        """Predicted labels ``(N,)`` of tokens ``(N, T, D)``."""
        return self.answer(X)[1]

    def answer(self, X: Any) -> tuple[NDArray, NDArray]:
        """Probabilities ``(N, K)`` and predicted labels ``(N,)`` of tokens ``(N, T, D)``, which are read once."""
        probabilities = self.predict_proba(X)
        return probabilities, self.classes_[probabilities.argmax(axis=1)]

    def _least_features(self) -> NDArray:
        return np.zeros((1, 1, self.embed_dim_), np.float32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # on toy data: one token of two features leaves little to look at
        return tags
