"""Anyone's predictions in; our figures for them out."""

from __future__ import annotations

from vjepa_fer.tables.judge import judge_confusion, judge_table

__all__ = ["judge_confusion", "judge_table"]
