"""A folder comes in; tiny models of transformers that have learnt nothing lie in it afterwards, to try a comparison on without a download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from vjepa_fer.encoder.baselines.known import quiet
from vjepa_fer.encoder.baselines.source import CONFIG
from vjepa_fer.encoder.loading.untrained import random_tensor

_SIDE = 64
_SHAPE = {"image_size": _SIDE, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
_SIZE = {"size": {"shortest_edge": 73}, "crop_size": {"height": _SIDE, "width": _SIDE}}

TINY: dict[str, tuple[str, dict[str, Any], str]] = {
    "videomae": ("VideoMAE", {**_SHAPE, "intermediate_size": 96, "num_frames": 16}, "VideoMAEImageProcessor"),
    "dinov2": ("Dinov2", {**_SHAPE, "patch_size": 16, "mlp_ratio": 2}, "BitImageProcessor"),
}


def write_tiny(folder: Path, name: str, seed: int) -> Path:
    """Write one of :data:`TINY` below `folder`, as ``save_pretrained`` does, with seeded random weights and its processor's file."""
    stem, shape, processor = TINY[name]
    path = folder / name
    with quiet(), torch.random.fork_rng(devices=[]):
        model = getattr(transformers, f"{stem}Model")(getattr(transformers, f"{stem}Config")(**shape))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for tensor_name, parameter in sorted(model.named_parameters()):
                parameter.copy_(random_tensor(tensor_name, tuple(parameter.shape), generator))
        model.save_pretrained(path)
    assert (path / CONFIG).is_file()
    (path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": processor, **_SIZE}, indent=2))
    return path
