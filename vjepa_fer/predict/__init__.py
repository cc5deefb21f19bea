"""A run with a fitted probe and a new video go in; class probabilities come out, for the clip or over time.

Both stages on one video: decode → encode → pool → probe, with the recipe that the probe was fitted on, down to the bytes of the weights.
"""

from __future__ import annotations

from vjepa_fer.predict.attention import Attention, write_attention
from vjepa_fer.predict.loading import load_predictor
from vjepa_fer.predict.plan import Plan
from vjepa_fer.predict.predictor import Prediction, Predictor
from vjepa_fer.predict.timeline import Timeline, write_timeline

__all__ = [
    "Attention",
    "Plan",
    "Prediction",
    "Predictor",
    "Timeline",
    "load_predictor",
    "write_attention",
    "write_timeline",
]
