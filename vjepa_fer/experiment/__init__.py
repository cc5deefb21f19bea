"""What is asked of stage 2, as values: cells, how they are judged, and a whole experiment. Needs neither numpy nor a cache."""

from __future__ import annotations

from vjepa_fer.experiment.protocol import MEAN_FEATURE, PLAN_WORDS, Cell, Choice, Nest, Plan, Protocol, plan_from_given

__all__ = ["MEAN_FEATURE", "PLAN_WORDS", "Cell", "Choice", "Nest", "Plan", "Protocol", "plan_from_given"]
