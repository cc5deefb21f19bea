"""Anyone's predictions go in; our figures for them come out.

In reading order: `predicted_clips` (which clips a table is about) · `judge` (what it is worth).
"""

from __future__ import annotations

from vjepa_fer.tables.judge import judge_confusion, judge_table

__all__ = ["judge_confusion", "judge_table"]
