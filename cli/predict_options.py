"""The options of ``predict``, in the order of its help: how each is spelled, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

VideosArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="VIDEO…", help="Video files, or folders of them (or of pictures) at any depth.", show_default=False
    ),
]
RunOption = Annotated[
    Path, typer.Option("--run", "-r", help="A run folder with a probe of `probe --refit`.", show_default=False)
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        help="The encoder's weights file; of one that transformers computes its folder, or hf:OWNER/NAME@COMMIT.",
        show_default="the one that models fetch brought",
    ),
]
TimelineOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Also write each video's probabilities over time: a CSV and a plot.", show_default=False
    ),
]
StrideOption = Annotated[int, typer.Option(min=1, help="With --timeline: frames from one window to the next.")]
MemoryOption = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        help="GB that a video may take beside the encoder's weights.",
        show_default="half of the machine's",
    ),
]
AttentionOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Also show where an attentive probe looked, laid over the frames.", show_default=False
    ),
]
FilmOption = Annotated[
    bool, typer.Option("--film", help="With --attention: a film (MP4) in place of a strip of pictures.")
]
HeadOption = Annotated[
    int | None,
    typer.Option(min=0, help="With --attention: one of the probe's heads.", show_default="the mean over all"),
]
FaceCropOption = Annotated[
    bool | None,
    typer.Option(
        "--face-crop/--no-face-crop",
        help="Follow the largest face, or use the whole frame.",
        show_default="as the run's clips were treated",
    ),
]
