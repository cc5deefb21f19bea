"""A look at a cache goes in; one HTML file that needs nothing else comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vjepa_fer.report.outliers import FAR_TIMES, FENCE_IQRS, NEAR_SHARE, NUM_NEIGHBOURS
from vjepa_fer.report.page import render_template
from vjepa_fer.report.planes import drawn
from vjepa_fer.report.quicklook import CacheLook
from vjepa_fer.report.quicklook_checks import look_checks

MOST_LISTED = 50
"""Rows of a table; what is left out is counted."""
MOST_CELLS = 3000
"""Of the picture of subjects and classes; a larger one would say nothing on a screen."""


def render_look(look: CacheLook, *, title: str | None = None) -> str:
    """The page as text.

    Raises
    ------
    MissingExtraError
        Jinja2 is not installed.
    """
    facts = look.facts
    limits = {
        "near": NEAR_SHARE,
        "iqrs": FENCE_IQRS,
        "times": FAR_TIMES,
        "neighbours": min(NUM_NEIGHBOURS, look.num_compared - 1),
    }
    return render_template(
        "quicklook.html",
        title or f"Cache {Path(facts['cache']).name or facts['cache']}",
        look=look,
        facts=facts,
        checks=look_checks(look),
        counts=look.counts.tolist() if 0 < look.counts.size <= MOST_CELLS else [],
        points=_points(look),
        limits=limits,
        most=MOST_LISTED,
    )


def _points(look: CacheLook) -> dict[str, Any] | None:
    """The projection's points as small numbers, with the names that these stand for."""
    if look.projection is None:
        return None
    clips = [look.clips[row] for row in look.projection.rows.tolist()]
    subjects, labels = list(look.facts["subjects"]), list(look.facts["labels"])
    mark = {clip.clip_id: 1 for pair in look.pairs for clip in (pair.first, pair.second)}
    mark |= {one.clip.clip_id: 2 for one in look.far}
    number_of = ({name: n for n, name in enumerate(names)} for names in (labels, subjects))
    label_number, subject_number = number_of
    return {
        "classes": labels,
        "subjects": subjects,
        "clips": [clip.clip_id for clip in clips],
        "true": [label_number[clip.label] for clip in clips],
        "subject": [subject_number[clip.subject] for clip in clips],
        "mark": [mark.get(clip.clip_id, 0) for clip in clips],
        **drawn(look.projection.xy),
    }
