"""``vjepa-fer report``: a page to look at, figures for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vjepa_fer.doors import not_one_of

from . import completion
from .options import SOME_FAILED, SeedOption
from .terminal import say, warn

FORMATS = ("pdf", "svg", "png")
Projection = Literal["tsne", "pca"]  # vjepa_fer.report.projection.Method, which --help must not load


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN [RUN …]",
            help="Run folders, or one that `probe --out` filled; several are compared.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page; an older report there is replaced.")] = Path(
        "report.html"
    ),
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also draw the charts for print into this folder.", show_default=False),
    ] = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="With --figures: pdf, svg, png; several with commas.",
            autocompletion=completion.several_of(FORMATS),
        ),
    ] = "pdf",
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="CACHE", help="The features, if they are not where the run says they were.", show_default=False
        ),
    ] = None,
    projection: Annotated[
        Projection, typer.Option(help="How features are put into the plane: t-SNE takes some seconds, PCA none.")
    ] = "tsne",
    thumbnails: Annotated[
        bool,
        typer.Option(
            "--thumbnails",
            help="Show frames of the clips most often wrong. The page then holds faces: share it as such.",
        ),
    ] = False,
    videos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="With --thumbnails: where the manifest's paths start from.", show_default="here"
        ),
    ] = None,
    by: Annotated[
        str, typer.Option(help="Manifest columns to give figures by, with commas: sex,intensity.", show_default=False)
    ] = "",
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Compare all runs with this one: its path, folder or title. More than eight are always compared with one.",
            show_default="the figure to report",
        ),
    ] = None,
    robustness: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="What `robustness --out` kept: its curves are on the page, too.",
            show_default=False,
        ),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Write one HTML page about one run or several: figures, checks in plain words, what goes wrong and where. No network.

    A run of a folder that cannot be read is named on the page, and the exit status is 4 then.
    """
    from vjepa_fer.extras import require_extra

    require_extra("report", ("jinja2", "matplotlib") if figures else ("jinja2",), "vjepa-fer report")
    if thumbnails:
        require_extra("extract", ("av",), "--thumbnails")
        require_extra("report", ("PIL",), "--thumbnails")
    from vjepa_fer.doors import progress_bar
    from vjepa_fer.remote import place_of
    from vjepa_fer.report import ReportSettings, gather_numbers, render_page, write_page
    from vjepa_fer.report.page import check_page
    from vjepa_fer.robustness import read_robustness

    curves = read_robustness(robustness) if robustness is not None else None
    wanted = _formats(formats)
    check_page(out)
    columns = tuple(word.strip() for word in by.split(",") if word.strip())
    settings = ReportSettings(
        cache=place_of(cache) if cache else None,
        method=projection,
        by=columns,
        seed=seed,
        thumbnails=thumbnails,
        videos=videos,
    )
    with progress_bar(None, "report", unit="step", leave=False) as bar:
        numbers = gather_numbers(runs, settings, progress=lambda word: bar.advance(word=word))
        bar.advance(word="the page")
        page = render_page(numbers, reference=reference, robustness=curves)
    write_page(out, page)
    if figures:
        from vjepa_fer.disk import unique_names
        from vjepa_fer.report.figures import write_figures

        names = unique_names(one.name for one in numbers)
        pairs = zip(numbers, names, strict=True)
        written = [path for one, name in pairs for path in write_figures(one, figures, formats=wanted, name=name)]
        say(f"{figures}: {len(written)} figures")
    say(f"{out}: {len(numbers)} {'run' if len(numbers) == 1 else 'runs'}, {out.stat().st_size / 1e6:.1f} MB")
    unread = dict.fromkeys(why for one in numbers for why in one.unread)
    for why in unread:
        warn(f"not on the page: {why}")
    if unread:
        raise typer.Exit(SOME_FAILED)


def _formats(text: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    odd = [word for word in words if word not in FORMATS]
    if odd or not words:
        raise typer.BadParameter(not_one_of("", odd[0] if odd else "", FORMATS).lstrip(), param_hint="--format")
    return words
