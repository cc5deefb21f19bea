"""The options of ``runs compare``, in the order of its help: how each is spelled, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN RUN …",
        help="Run folders, tables of predictions, or one folder that `probe --out` filled.",
        show_default=False,
    ),
]
IntersectOption = Annotated[
    bool, typer.Option("--intersect", help="Compare on the clips that all of them have, and count the others.")
]
ScoresOption = Annotated[
    bool, typer.Option("--scores", help="The tables' class columns are scores, not probabilities.")
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Compare all others with this one alone: its path or title. Of several encoders the one that the rest are held against.",
        show_default="each with each",
    ),
]
