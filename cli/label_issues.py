"""``vjepa-fer runs issues``: the labels that a run doubts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import JsonOption, RunArgument
from .terminal import print_json, print_table, say, warn

SHOWN = 20


def issues(
    run: RunArgument,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            "-m",
            help="Where the raters' votes stand (face_happy …), to show beside; CREMA-D's are known.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many clips to show; --json prints all.")] = SHOWN,
    as_json: JsonOption = False,
) -> None:
    """List the clips whose label is most likely wrong: those that confidently look like another class, out of fold. `report` shows them."""
    from vjepa_fer.manifest import read_manifest
    from vjepa_fer.runs import doubts_of, read_run

    found = read_run(run)
    doubts = doubts_of(found, read_manifest(manifest).clips if manifest else ())
    num_clips = len(found.evaluation.predictions)
    if as_json:
        listed = [doubt.to_dict() for doubt in doubts]
        print_json({"schema": "vjepa-fer/issues/1", "run": str(run), "n_clips": num_clips, "issues": listed})
        return
    head = ("clip", "subject", "label", "looks like", "p(label)", "p(looks like)", "raters saw")
    rows = [
        (
            one.issue.clip_id,
            one.issue.subject or "–",
            one.issue.label,
            one.issue.suggested,
            f"{one.issue.probability_of_label:.2f}",
            f"{one.issue.probability_of_suggested:.2f}",
            one.raters_in_words,
        )
        for one in doubts[:top]
    ]
    rest = f"; the first {top}" if len(doubts) > top else ""
    print_table(head, rows, title=f"{len(doubts):,} of {num_clips:,} labels are doubtful{rest}")
    say(
        "a doubtful label is one to look at: the probe may be wrong too; `vjepa-fer report RUN --thumbnails` shows these clips"
    )
    if found.evaluation.leaks:
        warn("LEAKY: the probe knew some of these people from training, and believes labels that it has learnt")
