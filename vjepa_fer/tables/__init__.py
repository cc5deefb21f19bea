"""Anyone's predictions go in; our figures for them come out.

In reading order: `folders` (the tables behind a path) · `predicted_clips` (which clips a table is about) · `several`, `stacked` (tables that are one) · `judge` (what they are worth) ·
`counted`, `confusions` (the same of bare confusion matrices).
"""

from __future__ import annotations

from vjepa_fer.tables.confusions import judge_confusion
from vjepa_fer.tables.judge import judge_table

__all__ = ["judge_confusion", "judge_table"]
