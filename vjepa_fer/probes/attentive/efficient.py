"""Efficient probing as a probe: tokens of each clip come in, a few learned queries decide which of them count."""

from __future__ import annotations

import math
from typing import Any

from vjepa_fer.errors import ProbeError
from vjepa_fer.extras import require_extra
from vjepa_fer.probes.attentive.efficient_model import EfficientModel
from vjepa_fer.probes.attentive.token_probe import SCHEDULES, TokenProbe
from vjepa_fer.probes.checks import check_whole
from vjepa_fer.probes.learnt import Held, Learnt

EFFICIENT_PRESETS: dict[str, dict[str, Any]] = {name: {"num_queries": 32, **plan} for name, plan in SCHEDULES.items()}
"""The authors' 32 queries, trained as the attentive probe's presets of the same names, so that the two differ in the head alone."""


class EfficientProbe(TokenProbe):
    """Learned queries score a clip's raw tokens; each has its slice of one value projection; a linear layer decides.

    With 32 queries and D = 1280 it has 1.7 million parameters, where the attentive probe has 18 to 20: for corpora of a thousand
    clips (Psomas et al., ICLR 2026, arXiv 2506.10178). Tokens and training are those of
    :class:`~vjepa_fer.probes.attentive.token_probe.TokenProbe`.

    Parameters
    ----------
    num_queries : int
        Where it does not divide D, the largest common divisor is used.
    embed_dim, lr, weight_decay, final_weight_decay, decay_biases, clip_grad, epochs, batch_size, device, random_state
        As there.

    Attributes
    ----------
    parameters_ : dict of str to ndarray
        ``queries`` (Q, D), ``value.weight`` (D, D), ``linear.weight`` (K, D) and ``linear.bias`` (K,), float32.
    """

    def __init__(
        self,
        *,
        num_queries: int = 32,
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
        self.num_queries = num_queries
        super().__init__(
            embed_dim=embed_dim,
            lr=lr,
            weight_decay=weight_decay,
            final_weight_decay=final_weight_decay,
            decay_biases=decay_biases,
            clip_grad=clip_grad,
            epochs=epochs,
            batch_size=batch_size,
            device=device,
            random_state=random_state,
        )

    def _model(self, num_heads: int) -> EfficientModel:
        return EfficientModel(num_heads)

    def _heads_for(self, dim: int) -> int:
        return math.gcd(self.num_queries, dim)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_whole("num_queries", self.num_queries, least=1)

    def _learnt(self) -> Learnt:
        return Learnt(dict(self.parameters_), {"n_iter": self.n_iter_})

    def _recall(self, held: Held) -> None:
        require_extra("extract", ("torch",), "the efficient probe")
        decides = held.floats("linear.weight", len(self.classes_), None, kinds=("float32",))
        dim = decides.shape[1]
        if self.n_features_in_ % dim:
            raise ProbeError(f"tokens of {dim} numbers do not go into {self.n_features_in_} features")
        self.num_heads_ = self._heads_for(dim)
        shapes = self._model(self.num_heads_).shapes(dim=dim, num_classes=len(self.classes_))
        rest = {
            name: held.floats(name, *shape, kinds=("float32",))
            for name, shape in shapes.items()
            if name != "linear.weight"
        }
        self.parameters_ = {**rest, "linear.weight": decides}
        self.n_iter_ = held.whole("n_iter")
