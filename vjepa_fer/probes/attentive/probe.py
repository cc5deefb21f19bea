"""V-JEPA's attentive classifier as a probe: tokens of each clip come in, one learned query decides which of them count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.extras import require_extra
from vjepa_fer.probes.attentive.model import PROJ, QUERY, OfficialModel, depth_of, parameter_shapes
from vjepa_fer.probes.attentive.token_probe import SCHEDULES, TokenProbe
from vjepa_fer.probes.checks import check_choice, check_whole
from vjepa_fer.probes.learnt import Held, Learnt

ATTENTIVE_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"depth": 1, "proj": True, **SCHEDULES["paper"]},
    "vjepa2": {"depth": 4, "proj": False, **SCHEDULES["vjepa2"]},  # three blocks more
}
"""Parameters for ``make_probe("attentive", ATTENTIVE_PRESETS["paper"])``."""

VJEPA2_GRID = [
    {"lr": lr, "weight_decay": decay} for lr in (5e-3, 3e-3, 1e-3, 3e-4, 1e-4) for decay in (0.01, 0.1, 0.4, 0.8)
]
"""The 20 pairs that V-JEPA 2 trains side by side; :func:`vjepa_fer.probes.fit_probes` does so too."""


_WHOSE_PROJ = (
    "it holds the cross-attention's output projection, which gives other classes when applied: say proj=False for a classifier "
    "of V-JEPA's own code, which never applies it, or proj=True for one of the paper's code or of ours, which does"
)


class AttentiveProbe(TokenProbe):
    """One learned query attends to a clip's tokens; an MLP and a linear layer decide.

    Tokens and training are those of :class:`~vjepa_fer.probes.attentive.token_probe.TokenProbe`.

    Parameters
    ----------
    depth : int
        1: the query alone (V-JEPA). 4: three self-attention blocks first (V-JEPA 2).
    proj : bool or None
        Whether the cross-attention's output projection is applied: in the paper's code yes, in V-JEPA's own no. None: yes
        at depth 1, no otherwise.
    num_heads : int
        Attention heads, 16 in all published classifiers; where it does not divide D, the largest common divisor is used.
    embed_dim, lr, weight_decay, final_weight_decay, decay_biases, clip_grad, epochs, batch_size, device, random_state
        As there.

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

    def _model(self, num_heads: int) -> OfficialModel:
        return OfficialModel(self.depth, num_heads, self._applies_proj())

    def _heads_for(self, dim: int) -> int:
        return math.gcd(self.num_heads, dim)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("depth", "num_heads"):
            check_whole(name, getattr(self, name), least=1)
        check_choice("proj", self.proj, (True, False, None))

    def _applies_proj(self) -> bool:
        return self.depth == 1 if self.proj is None else self.proj

    @classmethod
    def from_parameters(
        cls, parameters: Mapping[str, NDArray], classes: Sequence[str], **params: Any
    ) -> AttentiveProbe:
        """A fitted probe from official parameters, such as :func:`read_official_probe` gives.

        Parameters
        ----------
        parameters : mapping of str to ndarray
        classes : sequence of str
            In the order of the classifier's outputs.
        **params
            Those of the probe. `proj` must be among them where the file holds that projection: the paper's code applies it and
            V-JEPA's own holds it without applying it, and nothing in the file tells them apart. `num_heads` is in no file either:
            all published classifiers have 16.

        Raises
        ------
        ProbeError
            Parameters missing, unexpected or of another shape (each is named), another number of classes, heads that do not divide
            the width, or a projection of which is not said whether it is applied.
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
        probe._check_parameters()
        if holds_proj and probe.proj is None:
            raise ProbeError(_WHOSE_PROJ)
        if query.shape[2] % probe.num_heads:
            raise ProbeError(
                f"tokens of {query.shape[2]} numbers do not go into {probe.num_heads} heads: give num_heads"
            )
        probe.parameters_ = {name: np.ascontiguousarray(parameters[name], np.float32) for name in shapes}
        probe.classes_, probe.num_heads_ = np.asarray(classes), probe.num_heads
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
