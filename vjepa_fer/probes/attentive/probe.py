"""V-JEPA's attentive classifier as a probe: tokens of each clip come in, one learned query decides which of them count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.extras import require_extra
from vjepa_fer.probes.attentive.model import PROJ, QUERY, depth_of, parameter_shapes
from vjepa_fer.probes.base import Probe, TrainingSet
from vjepa_fer.probes.checks import check_choice, check_number, check_whole, seed_of
from vjepa_fer.probes.learnt import Held, Learnt

ATTENTIVE_PRESETS: dict[str, dict[str, Any]] = {
    # the paper's run (V-JEPA 1's recipe): decay falls with the rate, biases and norms are spared, gradients clipped
    "paper": {
        "depth": 1,
        "proj": True,
        "lr": 1e-3,
        "weight_decay": 0.01,
        "final_weight_decay": 1e-6,
        "decay_biases": False,
        "clip_grad": 1.0,
        "epochs": 20,
        "batch_size": 256,
    },
    # V-JEPA 2's: three blocks more, constant decay on everything, no clipping; it tries 20 pairs of lr and weight_decay
    "vjepa2": {
        "depth": 4,
        "proj": False,
        "lr": 1e-3,
        "weight_decay": 0.01,
        "final_weight_decay": None,
        "decay_biases": True,
        "clip_grad": None,
        "epochs": 20,
        "batch_size": 256,
    },
}
"""Parameters for ``make_probe("attentive", ATTENTIVE_PRESETS["paper"])``."""

VJEPA2_GRID = [
    {"lr": lr, "weight_decay": decay} for lr in (5e-3, 3e-3, 1e-3, 3e-4, 1e-4) for decay in (0.01, 0.1, 0.4, 0.8)
]
"""The 20 pairs that V-JEPA 2 trains side by side; :func:`vjepa_fer.probes.fit_probes` does so too."""

TRAINING_BYTES = 2 * 2**30
"""Memory that heads trained side by side may take with gradients and moments; more heads go in several passes."""


class AttentiveProbe(Probe):
    """One learned query attends to a clip's tokens; an MLP and a linear layer decide.

    Takes tokens ``(N, T, D)``, or a flat ``(N, T·D)`` matrix with `embed_dim`; arrays, memory maps, and anything read by
    ``X[rows]`` are streamed batch by batch, in whatever precision they are stored. Float32 on the CPU.

    Parameters
    ----------
    depth : int
        1: the query alone (V-JEPA). 4: three self-attention blocks first (V-JEPA 2).
    proj : bool or None
        Whether the cross-attention's output projection is applied: in the paper's code yes, in V-JEPA's own no. None: yes
        at depth 1, no otherwise.
    num_heads : int
        Attention heads, 16 in all published classifiers; where it does not divide D, the largest common divisor is used.
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
        Float32, under the official names.
    """

    def __init__(
        self,
        *,
        depth: int = 1,
        proj: bool | None = None,
        num_heads: int = 16,
        embed_dim: int | None = None,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        final_weight_decay: float | None = 1e-6,
        decay_biases: bool = False,
        clip_grad: float | None = 1.0,
        epochs: int = 20,
        batch_size: int = 32,
        device: str = "cpu",
        random_state: int | None = None,
    ) -> None:
        self.depth = depth
        self.proj = proj
        self.num_heads = num_heads
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

    def _learn_together(self, family: Sequence[Self], training: TrainingSet) -> None:
        require_extra("extract", ("torch",), "the attentive probe")
        from vjepa_fer.probes.attentive.training import Head, Plan, Tokens, train_heads

        tokens = Tokens(training.X, self.embed_dim)
        plan = Plan(
            depth=self.depth,
            num_heads=math.gcd(self.num_heads, tokens.shape[2]),
            proj=self._applies_proj(),
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
        at_once = self._heads_at_once(tokens.shape[2])
        for start in range(0, len(heads), at_once):
            some = slice(start, start + at_once)
            trained = train_heads(tokens, training.codes, len(self.classes_), heads[some], plan)
            for probe, parameters in zip(family[some], trained, strict=True):
                probe.parameters_, probe.num_heads_, probe.n_iter_ = parameters, plan.num_heads, self.epochs

    def _heads_at_once(self, dim: int) -> int:
        shapes = parameter_shapes(dim=dim, num_classes=len(self.classes_), depth=self.depth, proj=self._applies_proj())
        numbers = sum(math.prod(shape) for shape in shapes.values())
        return max(1, TRAINING_BYTES // (4 * 4 * numbers))  # parameters, gradients, two moments; four bytes each

    def _check_clips(self, X: Any) -> Any:
        """Tokens are only measured here: they may lie on a disk, and are checked as they are read."""
        if getattr(X, "ndim", 2) <= 2:  # a feature matrix, checked as any other
            return super()._check_clips(X)
        self.n_features_in_ = math.prod(X.shape[1:])
        return X

    def _check_parameters(self) -> None:
        for name in ("depth", "num_heads", "epochs", "batch_size"):
            check_whole(name, getattr(self, name), least=1)
        if self.embed_dim is not None:
            check_whole("embed_dim", self.embed_dim, least=1)
        check_number("lr", self.lr, above=0)
        check_number("weight_decay", self.weight_decay, least=0)
        if self.final_weight_decay is not None:
            check_number("final_weight_decay", self.final_weight_decay, least=0)
        if self.clip_grad is not None:
            check_number("clip_grad", self.clip_grad, above=0)
        check_choice("proj", self.proj, (True, False, None))
        check_choice("decay_biases", self.decay_biases, (True, False))
        check_choice("device", str(self.device).partition(":")[0], ("cpu", "cuda", "mps"))

    def _applies_proj(self) -> bool:
        return self.depth == 1 if self.proj is None else self.proj

    def predict_proba(self, X: Any) -> NDArray:
        """Probabilities ``(N, K)`` of tokens ``(N, T, D)``; T may differ from that of training."""
        from vjepa_fer.probes.attentive.training import Tokens, predict_probabilities

        self._check_fitted()
        dim = self.parameters_[QUERY].shape[2]
        if getattr(X, "ndim", 2) <= 2:
            X = self._check_known(X)
        tokens = Tokens(X, dim)
        return predict_probabilities(
            tokens, self.parameters_, num_heads=self.num_heads_, proj=self._applies_proj(), device=self.device
        )

    def attention(self, X: Any) -> NDArray:
        """How much the query looks at each token ``(N, T, D)``: weights float32 ``(N, num_heads, T)`` that sum to 1 over T."""
        from vjepa_fer.probes.attentive.training import Tokens, query_weights

        self._check_fitted()
        if getattr(X, "ndim", 2) <= 2:
            X = self._check_known(X)
        tokens = Tokens(X, self.parameters_[QUERY].shape[2])
        return query_weights(tokens, self.parameters_, num_heads=self.num_heads_, device=self.device)

    def predict(self, X: Any) -> NDArray:
        """Predicted labels ``(N,)`` of tokens ``(N, T, D)``."""
        return self.answer(X)[1]

    def answer(self, X: Any) -> tuple[NDArray, NDArray]:
        """Probabilities ``(N, K)`` and predicted labels ``(N,)`` of tokens ``(N, T, D)``, which are read once."""
        probabilities = self.predict_proba(X)
        return probabilities, self.classes_[probabilities.argmax(axis=1)]

    @classmethod
    def from_parameters(
        cls, parameters: Mapping[str, NDArray], classes: Sequence[str], **params: Any
    ) -> AttentiveProbe:
        """A fitted probe from official parameters, such as :func:`read_official_probe` gives.

        Raises
        ------
        ProbeError
            Parameters missing, unexpected or of another shape (each is named), or another number of classes.
        """
        probe = cls(**{"depth": depth_of(parameters), **params})
        query, bias = parameters.get(QUERY), parameters.get("linear.bias")
        if query is None or bias is None or query.ndim != 3 or bias.shape != (len(classes),):
            found = f"no {QUERY} or linear.bias" if query is None or bias is None else f"{len(bias)} classes"
            raise ProbeError(f"not an attentive classifier of {len(classes)} classes: found {found}")
        holds_proj = PROJ in parameters
        shapes = parameter_shapes(
            dim=query.shape[2], num_classes=len(classes), depth=probe.depth, proj=holds_proj or probe._applies_proj()
        )
        check_shapes(parameters, shapes)
        probe.parameters_ = {name: np.ascontiguousarray(parameters[name], np.float32) for name in shapes}
        probe.classes_, probe.num_heads_ = np.asarray(classes), math.gcd(probe.num_heads, query.shape[2])
        probe.n_features_in_, probe.n_iter_ = query.shape[2], probe.epochs
        return probe

    def _learnt(self) -> Learnt:
        return Learnt(dict(self.parameters_), {"num_heads": self.num_heads_, "n_iter": self.n_iter_})

    def _recall(self, held: Held) -> None:
        require_extra("extract", ("torch",), "the attentive probe")
        depth, proj = depth_of(held.names()), PROJ in held or self._applies_proj()
        if depth != self.depth:  # before anything is as long as a number in a file says
            raise ProbeError(f"depth is {self.depth}, but its arrays are those of depth {depth}")
        query = held.floats(QUERY, 1, 1, None, kinds=("float32",))
        dim = query.shape[2]
        shapes = parameter_shapes(dim=dim, num_classes=len(self.classes_), depth=depth, proj=proj)
        del shapes[QUERY]
        rest = {name: held.floats(name, *shape, kinds=("float32",)) for name, shape in shapes.items()}
        self.parameters_ = {QUERY: query, **rest}
        self.num_heads_, self.n_iter_ = held.whole("num_heads", least=1), held.whole("n_iter")
        if dim % self.num_heads_ or self.n_features_in_ % dim:
            raise ProbeError(
                f"tokens of {dim} numbers do not go into {self.num_heads_} heads and {self.n_features_in_} features"
            )

    def _least_features(self) -> NDArray:
        return np.zeros((1, 1, self.parameters_[QUERY].shape[2]), np.float32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # on toy data: the layer norm of one token of two features leaves a sign
        return tags


def check_shapes(parameters: Mapping[str, NDArray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse parameters that are not exactly those expected, naming each difference.

    Raises
    ------
    ProbeError
    """
    wrong = [f"{name} is missing" for name in shapes if name not in parameters]
    wrong += [f"{name} is unexpected" for name in parameters if name not in shapes]
    wrong += [
        f"{name} has shape {tuple(parameters[name].shape)}, not {shape}"
        for name, shape in shapes.items()
        if name in parameters and tuple(parameters[name].shape) != shape
    ]
    if wrong:
        raise ProbeError("not the attentive classifier expected: " + "; ".join(wrong[:8]))
