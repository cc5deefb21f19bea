"""How much faster is a step of the attentive classifier in the folded order of work than in the plain one?

    python benchmarks/bench_probes_attentive.py [--small] [128 1568]

By the number of tokens. Same data, same process, one thread, CPU seconds. Results go to ``bench_probes_attentive.json``.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import Part, cpu_seconds, run_parts

import sys
from pathlib import Path
from typing import Any

import numpy as np


def bench(num_tokens: int, batch: int, small: bool) -> dict[str, Any]:
    """One training step, forward, backward and AdamW, against the plain order of work; width 1280, 16 heads, float32."""
    import torch

    from vjepa_fer.probes.attentive.model import (
        attentive_logits,
        initial_parameters,
        parameter_shapes,
        token_statistics,
    )

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from test_probes_attentive import plain_logits

    torch.set_num_threads(1)
    dim = 64 if small else 1280
    tokens, labels = torch.randn(batch, num_tokens, dim), torch.arange(batch) % 8
    statistics = token_statistics(tokens)
    shapes = parameter_shapes(dim=dim, num_classes=8, depth=1, proj=True)
    result: dict[str, Any] = {}
    for name, steps in (("plain", 3), ("folded", 10)):
        p = {n: v.requires_grad_() for n, v in initial_parameters(shapes, 0).items()}
        adamw = torch.optim.AdamW(list(p.values()), fused=True)

        def step() -> None:
            adamw.zero_grad()  # noqa: B023
            if name == "plain":  # noqa: B023
                logits = plain_logits(p, tokens, 16, True)  # noqa: B023
            else:
                stacked = {n: v[None] for n, v in p.items()}  # noqa: B023
                logits = attentive_logits(stacked, tokens, statistics, num_heads=16, proj=True)[0]
            torch.nn.functional.cross_entropy(logits, labels).backward()
            adamw.step()  # noqa: B023

        step()
        result[name] = {"seconds": float(np.median([cpu_seconds(step)[0] for _ in range(steps)]))}
    return result | {"ratio": result["plain"]["seconds"] / result["folded"]["seconds"]}


PARTS: dict[str, Part] = {
    "128": lambda small: bench(128, 64, small),
    "1568": lambda small: bench(1568, 8, small),
}


if __name__ == "__main__":
    run_parts(__file__, PARTS)
