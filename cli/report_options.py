"""The options of ``report``, in the order of its help: how each is spelled, what it says, and how the shell completes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from . import completion

FORMATS = ("pdf", "svg", "png")
Projection = Literal["tsne", "pca"]  # vjepa_fer.report.projection.Method, which --help must not load

RunsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN [RUN …]",
        help="Run folders, or one that `probe --out` filled; several are compared.",
        show_default=False,
    ),
]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="The page; an older report there is replaced.")]
FiguresOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Also draw the charts for print into this folder.", show_default=False),
]
FormatsOption = Annotated[
    str,
    typer.Option(
        "--format",
        help="With --figures: pdf, svg, png; several with commas.",
        autocompletion=completion.several_of(FORMATS),
    ),
]
CacheOption = Annotated[
    str | None,
    typer.Option(
        metavar="CACHE", help="The features, if they are not where the run says they were.", show_default=False
    ),
]
ProjectionOption = Annotated[
    Projection, typer.Option(help="How features are put into the plane: t-SNE takes some seconds, PCA none.")
]
ThumbnailsOption = Annotated[
    bool,
    typer.Option(
        "--thumbnails",
        help="Show frames of the clips most often wrong. The page then holds faces: share it as such.",
    ),
]
VideosOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="With --thumbnails: where the manifest's paths start from.", show_default="here"),
]
ByOption = Annotated[
    str, typer.Option(help="Manifest columns to give figures by, with commas: sex,intensity.", show_default=False)
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Compare all runs with this one: its path, folder or title. More than eight are always compared with one.",
        show_default="the figure to report",
    ),
]
RobustnessOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json",
        help="What `robustness --out` kept: its curves are on the page, too.",
        show_default=False,
    ),
]
