"""What is asked of stage 2 comes in, as options, TOML, JSON or Python; one frozen value goes out, and the names that people call it by.

In reading order: `protocol` (cells, choices, how they are judged) · `grid` (what is typed becomes cells) · `params` (every parameter written
out) · `names` (of plans and their folders) · `experiment` (the whole, and its fingerprint) · `texts` (TOML and JSON, there and back) ·
`shipped` (those that come along). Needs neither numpy nor a cache.
"""

from __future__ import annotations

from vjepa_fer.experiment.experiment import Experiment
from vjepa_fer.experiment.grid import make_cells, parse_params
from vjepa_fer.experiment.names import cell_titles, folder_name, plan_title
from vjepa_fer.experiment.params import by_short_name, resolve
from vjepa_fer.experiment.protocol import (
    DECISIONS,
    JOINED_WINDOWS,
    MEAN_FEATURE,
    PLAN_WORDS,
    Cell,
    Choice,
    Nest,
    Plan,
    Protocol,
    Row,
    Selection,
    Statistics,
    plan_from_given,
    row_of,
    rule_of,
)
from vjepa_fer.experiment.shipped import shipped_experiments, shipped_file, summary_of
from vjepa_fer.experiment.texts import (
    GRID,
    LARGEST_EXPERIMENT,
    experiment_from_dict,
    experiment_from_json,
    experiment_from_toml,
    experiment_to_json,
    experiment_to_toml,
    read_experiment,
    write_experiment,
)

__all__ = [
    "DECISIONS",
    "GRID",
    "JOINED_WINDOWS",
    "LARGEST_EXPERIMENT",
    "MEAN_FEATURE",
    "PLAN_WORDS",
    "Cell",
    "Choice",
    "Experiment",
    "Nest",
    "Plan",
    "Protocol",
    "Row",
    "Selection",
    "Statistics",
    "by_short_name",
    "cell_titles",
    "experiment_from_dict",
    "experiment_from_json",
    "experiment_from_toml",
    "experiment_to_json",
    "experiment_to_toml",
    "folder_name",
    "make_cells",
    "parse_params",
    "plan_from_given",
    "plan_title",
    "read_experiment",
    "resolve",
    "row_of",
    "rule_of",
    "shipped_experiments",
    "shipped_file",
    "summary_of",
    "write_experiment",
]
