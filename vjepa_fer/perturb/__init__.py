"""A clip's frames and the steps of a recipe go in; the same frames, made worse in a known way, come out.

Every perturbation is a pure function of frames, severity (1, hardly, to 5, most) and seed; what is drawn is drawn by whole numbers, so that
every machine has the same pixels, but for ``jpeg`` and ``h264``, whose pixels are libavcodec's. One idea a module: `light`, `occlusion`,
`blur`, `noise`, `codecs`, `order` (of pixels and frames); `draws` is chance, `steps` does several in order.
"""

from __future__ import annotations

from vjepa_fer.perturb.steps import FACE, perturb, perturbation

__all__ = ["FACE", "perturb", "perturbation"]
