"""How much faster is a step of the probes on tokens in the folded order of work than in the plain one?

    python benchmarks/bench_probes_attentive.py [--small] [128 1568]

By the number of tokens: the attentive classifier and efficient probing (32 queries), each folded and plain (autograd, keys and values
of every token), one training step of forward, backward and AdamW; width 1280, float32. Same data, same process, one thread, CPU
seconds, the four in turn, five times. Results go to ``bench_probes_attentive.json``.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import Part, cpu_seconds, run_parts

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path[1:1] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1] / "tests" / "probes")]
READINGS = 5


def stepper(logits: Callable[..., Any], parameters: Mapping[str, Any], tokens: Any, labels: Any) -> Callable[[], None]:
    """One training step of a head that has these parameters and gives these logits."""
    import torch

    p = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    adamw = torch.optim.AdamW(list(p.values()), fused=True)

    def step() -> None:
        adamw.zero_grad()
        torch.nn.functional.cross_entropy(logits(p, tokens), labels).backward()
        adamw.step()

    return step


def heads(dim: int, tokens: Any, labels: Any) -> dict[str, Callable[[], None]]:
    """A step of each head, folded and plain."""
    import test_probes_attentive
    import test_probes_efficient
    from vjepa_fer.probes.attentive.efficient_model import EfficientModel
    from vjepa_fer.probes.attentive.model import OfficialModel, token_statistics

    plain = {
        "attentive": partial(test_probes_attentive.plain_logits, num_heads=16, proj=True),
        "efficient": test_probes_efficient.plain_logits,
    }
    statistics, steps = token_statistics(tokens), {}
    for name, model in {"attentive": OfficialModel(1, 16, True), "efficient": EfficientModel(32)}.items():
        parameters = model.initial(model.shapes(dim=dim, num_classes=8), 0)  # type: ignore[attr-defined]

        def folded(p: Mapping[str, Any], tokens: Any, model: Any = model) -> Any:
            return model.logits({n: v[None] for n, v in p.items()}, tokens, statistics)[0]

        steps[f"{name}, folded"] = stepper(folded, parameters, tokens, labels)
        steps[f"{name}, plain"] = stepper(plain[name], parameters, tokens, labels)
    return steps


def bench(num_tokens: int, batch: int, small: bool) -> dict[str, Any]:
    """Seconds a step and how many times the plain order takes of the folded one; the median, least and most of the readings."""
    import torch

    torch.set_num_threads(1)
    dim = 64 if small else 1280
    generator = torch.Generator().manual_seed(0)
    tokens, labels = torch.randn(batch, num_tokens, dim, generator=generator), torch.arange(batch) % 8
    steps = heads(dim, tokens, labels)
    for step in steps.values():
        step()
    seconds = {name: np.array([0.0] * READINGS) for name in steps}
    for reading in range(READINGS):
        for name, step in steps.items():
            seconds[name][reading] = cpu_seconds(step)[0]
    ratios = {name: seconds[f"{name}, plain"] / seconds[f"{name}, folded"] for name in ("attentive", "efficient")}
    ratios["attentive step of an efficient one"] = seconds["attentive, folded"] / seconds["efficient, folded"]
    spread = {name: [round(float(f(r)), 2) for f in (np.median, np.min, np.max)] for name, r in ratios.items()}
    medians = {name: round(float(np.median(s)), 4) for name, s in seconds.items()}
    return {"seconds": medians, "median, least, most": spread, "ratio": spread["attentive"][0]}


PARTS: dict[str, Part] = {
    "128": lambda small: bench(128, 64, small),
    "1568": lambda small: bench(1568, 8, small),
}


if __name__ == "__main__":
    run_parts(__file__, PARTS)
