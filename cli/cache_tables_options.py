"""The options of ``cache import`` and then of ``cache export``, in the order of their help: how each is spelled, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from . import completion

FeaturesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FEATURES",
        help="CSV, NPZ, NPY, HDF5, safetensors or Parquet with one row a clip; HDF5, NPZ or safetensors with one array a clip; a "
        "folder of NPY files, one a clip; or, with one row a frame, a CSV, a folder of CSV files, one a clip, or arrays over time.",
        show_default=False,
    ),
]
ManifestOption = Annotated[
    Path, typer.Option("--manifest", "-m", help="Which clips, with label and subject.", show_default=False)
]
IdColumnOption = Annotated[
    str,
    typer.Option(help="Column, array or dataset that holds the clip ids; for NPY a text file of them, one a line."),
]
ValuesOption = Annotated[
    str,
    typer.Option(
        help="Array, dataset or tensor that holds the features; for a folder the names of its files, * being the clip id: "
        "'*_rgb.npy'."
    ),
]
ColumnsOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Feature columns, a name or a pattern such as 'AU*'; may be repeated. What a pattern takes is looked at: row "
        "numbers, and columns that tell the label or the subject, are left out and listed.",
        show_default="all others",
    ),
]
LevelOption = Annotated[
    Literal["mean", "frames"] | None,
    typer.Option(
        help="mean: one row a clip; arrays over time are averaged. frames: one row a frame, told apart by a column such as frame or "
        "timestamp; or arrays (clips, times, features), with an array lengths or mask where clips are padded, or (times, "
        "features) a clip. Frames without a face (success 0, or an empty or NaN feature) are left out, not filled.",
        show_default="frames where the file has a row a frame",
    ),
]
FpsOption = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        max=1000,
        help="Frames a second, where a source counts frames and says no times.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path,
    typer.Option("--out", "-o", help="A name ending in .npz, .safetensors, .csv or .parquet.", show_default=False),
]
StoredLevelOption = Annotated[
    str,
    typer.Option(
        "--features", "-f", help="Stored level: mean, frames, grid:4 ….", autocompletion=completion.stored_levels
    ),
]
WindowsOption = Annotated[bool, typer.Option("--windows", help="One row a window, not their mean a clip.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")]
