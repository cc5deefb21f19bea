"""Stage 1: a manifest and an encoder go in, a token cache comes out."""

from __future__ import annotations

from vjepa_fer.extract.asked_recipe import make_recipe
from vjepa_fer.extract.forecast import Fleet, Forecast, Plan, Rates
from vjepa_fer.extract.job import extract_manifest, extract_together
from vjepa_fer.extract.on_cluster import extract_on_cluster
from vjepa_fer.extract.order import Order
from vjepa_fer.extract.plan import (
    measure_rates,
    measure_seconds,
    plan_extraction,
    recipe_without_weights,
    with_weights_of,
)
from vjepa_fer.extract.precision import settle_precision
from vjepa_fer.extract.settings import ExtractSettings, ExtractSummary, Target
from vjepa_fer.extract.staging import Stage

__all__ = [
    "ExtractSettings",
    "ExtractSummary",
    "Fleet",
    "Forecast",
    "Order",
    "Plan",
    "Rates",
    "Stage",
    "Target",
    "extract_manifest",
    "extract_on_cluster",
    "extract_together",
    "make_recipe",
    "measure_rates",
    "measure_seconds",
    "plan_extraction",
    "recipe_without_weights",
    "settle_precision",
    "with_weights_of",
]
