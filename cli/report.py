"""``vjepa-fer report``: a page to look at, figures for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vjepa_fer.doors import not_one_of, progress_bar

from .options import SOME_FAILED, SeedOption
from .report_options import (
    FORMATS,
    ByOption,
    CacheOption,
    FiguresOption,
    FormatsOption,
    OutOption,
    ProjectionOption,
    ReferenceOption,
    RobustnessOption,
    RunsArgument,
    ThumbnailsOption,
    VideosOption,
)
from .terminal import say, warn

if TYPE_CHECKING:
    from vjepa_fer.report import ReportSettings, RunNumbers
    from vjepa_fer.robustness import Robustness


def report(
    runs: RunsArgument,
    out: OutOption = Path("report.html"),
    figures: FiguresOption = None,
    formats: FormatsOption = "pdf",
    cache: CacheOption = None,
    projection: ProjectionOption = "tsne",
    thumbnails: ThumbnailsOption = False,
    videos: VideosOption = None,
    by: ByOption = "",
    reference: ReferenceOption = None,
    robustness: RobustnessOption = None,
    seed: SeedOption = 0,
) -> None:
    """Write one HTML page about one run or several: figures, checks in plain words, what goes wrong and where. No network.

    A run of a folder that cannot be read is named on the page, and the exit status is 4 then.
    """
    _require(charts=figures is not None, thumbnails=thumbnails)
    from vjepa_fer.remote import place_of
    from vjepa_fer.report import ReportSettings, write_page
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
    numbers, page = _rendered(runs, settings, reference, curves)
    write_page(out, page)
    if figures:
        _draw(numbers, figures, wanted)
    say(f"{out}: {len(numbers)} {'run' if len(numbers) == 1 else 'runs'}, {out.stat().st_size / 1e6:.1f} MB")
    _warn_of_unread(numbers)


def _require(*, charts: bool, thumbnails: bool) -> None:
    """The packages that this page and these figures need, before anything is read."""
    from vjepa_fer.extras import require_extra

    require_extra("report", ("jinja2", "matplotlib") if charts else ("jinja2",), "vjepa-fer report")
    if thumbnails:
        require_extra("extract", ("av",), "--thumbnails")
        require_extra("report", ("PIL",), "--thumbnails")


def _formats(text: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    odd = [word for word in words if word not in FORMATS]
    if odd or not words:
        raise typer.BadParameter(not_one_of("", odd[0] if odd else "", FORMATS).lstrip(), param_hint="--format")
    return words


def _rendered(
    runs: Sequence[Path], settings: ReportSettings, reference: str | None, curves: Robustness | None
) -> tuple[tuple[RunNumbers, ...], str]:
    """The runs' numbers, and the page that shows them; a bar says what is being done."""
    from vjepa_fer.report import gather_numbers, render_page

    with progress_bar(None, "report", unit="step", leave=False) as bar:
        numbers = gather_numbers(runs, settings, progress=lambda word: bar.advance(word=word))
        bar.advance(word="the page")
        return numbers, render_page(numbers, reference=reference, robustness=curves)


def _draw(numbers: Sequence[RunNumbers], folder: Path, formats: tuple[str, ...]) -> None:
    """Every run's charts for print, under names that no two runs share."""
    from vjepa_fer.disk import unique_names
    from vjepa_fer.report.figures import write_figures

    names = unique_names(one.name for one in numbers)
    pairs = zip(numbers, names, strict=True)
    written = [path for one, name in pairs for path in write_figures(one, folder, formats=formats, name=name)]
    say(f"{folder}: {len(written)} figures")


def _warn_of_unread(numbers: Sequence[RunNumbers]) -> None:
    """Which runs are not on the page, each once; status 4 where there is one."""
    unread = dict.fromkeys(why for one in numbers for why in one.unread)
    for why in unread:
        warn(f"not on the page: {why}")
    if unread:
        raise typer.Exit(SOME_FAILED)
