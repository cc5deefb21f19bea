"""Numbers of one run or several go in; one HTML file that needs nothing else comes out.

Every word that is not ours (clip ids, labels, subjects, paths) passes through :func:`~vjepa_fer.doors.printable`, so that it reads as
what it is, and through Jinja's escaping; and a policy in the page's head lets the browser run our one script, known by its hash, and
fetch nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vjepa_fer import __version__
from vjepa_fer.disk import bytes_for_people, open_regular, write_durably
from vjepa_fer.doors import printable
from vjepa_fer.errors import RunError
from vjepa_fer.experiment import Choice, cell_titles
from vjepa_fer.extras import require_extra
from vjepa_fer.judging import Predictions
from vjepa_fer.report.checks import run_checks
from vjepa_fer.report.comparison import MOST_OPEN, compare_runs
from vjepa_fer.report.curves import curves_of
from vjepa_fer.report.grid import Grid
from vjepa_fer.report.numbers import RunNumbers, Source
from vjepa_fer.report.palette import LIGHT, shape, style
from vjepa_fer.report.planes import paths_of, planes_of
from vjepa_fer.report.ticks import places, scale, short, signed, ticks
from vjepa_fer.robustness import Robustness

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = "<!-- made by vjepa-fer report -->"
"""Second line of every page: one that has it may be replaced by a newer one."""

MOST_TESTED = 60
"""Names of a fold's subjects that are written out."""

FEW_CLIPS = 3
"""Wrong clips and doubtful labels of a run among many: five of each made a page of twenty runs more than ten thousand nodes."""


def render_page(
    runs: Sequence[RunNumbers],
    *,
    title: str = "vjepa-fer report",
    reference: str | None = None,
    robustness: Robustness | None = None,
) -> str:
    """The page as text.

    Parameters
    ----------
    runs : sequence of RunNumbers
    title : str
    reference : str, optional
        Path, folder name or title of the run that all others are compared with; see
        :func:`vjepa_fer.report.comparison.compare_runs`.
    robustness : Robustness, optional
        Drawn in a section of its own.

    Raises
    ------
    MissingExtraError
        Jinja2 is not installed.
    RunError
        The reference is none of the runs.
    """
    require_extra("report", ("jinja2",), "an HTML page")
    compared = compare_runs(runs, reference) if len(runs) > 1 else None
    views = [_view(number, numbers) for number, numbers in enumerate(runs)]
    many = len(runs) > MOST_OPEN
    return render_template(
        "page.html",
        title,
        runs=views,
        shared=[row for row in views[0]["protocol"] if all(row in view["protocol"] for view in views)] if many else [],
        robust=None if robustness is None else curves_of(robustness),
        unread=list(dict.fromkeys(why for numbers in runs for why in numbers.unread)),
        compared=compared,
        many=many,
        few=FEW_CLIPS,
        planes=planes_of(runs),
        sources=_shared_sources(runs),
        sweeps=_plain_sweeps(runs),
        all_classes=list(dict.fromkeys(label for numbers in runs for label in numbers.result["classes"])),
    )


def render_template(name: str, title: str, **values: Any) -> str:
    """A page of this folder's templates, with the style, the script and the policy that all of them share."""
    require_extra("report", ("jinja2",), "an HTML page")
    script = _own_text("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template(name)
        .render(
            **values,
            title=title,
            mark=MARK,
            style=_own_text("style.css") + style(),
            script=script,
            script_hash=f"sha256-{digest}",
            version=__version__,
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )


def write_page(path: str | os.PathLike[str], html: str, *, option: str = "-o") -> None:
    """Write the page whole or not at all; an older page of ours is replaced, anything else is refused.

    Parameters
    ----------
    path
        The file.
    html : str
    option : str
        How the caller's user gave the path, for messages.

    Raises
    ------
    RunError
        Something else is there, or it cannot be written.
    """
    file = Path(path)
    check_page(file, option=option)
    try:
        write_durably(file, html)
    except OSError as error:
        raise RunError(_UNWRITABLE.format(file, error.strerror, option)) from error


def check_page(path: str | os.PathLike[str], *, option: str = "-o") -> None:
    """Refuse a place where :func:`write_page` could not write: before the work, not after it; parameters are its own.

    Raises
    ------
    RunError
    """
    file = Path(path)
    try:
        if file.exists():
            with open(open_regular(file), encoding="utf-8", errors="replace") as page:
                if MARK not in page.read(200):
                    raise RunError(f"{file}: is there already and no report; choose another {option}, or remove it")
        elif not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
            reason = "no permission" if file.parent.is_dir() else f"there is no folder {file.parent}"
            raise RunError(_UNWRITABLE.format(file, reason, option))
    except OSError as error:
        raise RunError(_UNWRITABLE.format(file, error.strerror, option)) from error


_UNWRITABLE = "{}: the report cannot be written ({}); choose another {}"


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("vjepa_fer.report"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_function"] = lambda value, **how: json.dumps(_all_shown(value), **how)
    environment.filters["bytes"] = bytes_for_people
    environment.filters["px"] = lambda value: f"{float(value):.1f}".removesuffix(".0")
    environment.filters["ours"] = Markup  # the style and the script beside this file, nothing else
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    environment.filters["signed"] = signed
    environment.filters["short"] = short
    environment.globals |= {"shape": lambda number: shape(number).path, "num_colours": len(LIGHT), "paths_of": paths_of}
    environment.globals |= {"ticks": ticks, "places": places, "scale": scale}
    return environment


def _shown(value: Any) -> Any:
    """What a page says of a value: text only. What is HTML by now was made of such."""
    return value if hasattr(value, "__html__") else printable(str(value))


def _all_shown(value: Any) -> Any:
    """A value for our script, with every text in it as a page says it."""
    if isinstance(value, dict):
        return {name: _all_shown(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_all_shown(one) for one in value]
    return _shown(value) if isinstance(value, str) else value


def _own_text(name: str) -> str:
    return (resources.files("vjepa_fer.report") / "templates" / name).read_text(encoding="utf-8")


def _view(number: int, numbers: RunNumbers) -> dict[str, Any]:
    """What the template needs of a run, by name."""
    evaluation, predictions = numbers.run.evaluation, numbers.predictions
    folds = np.unique(predictions.fold).tolist()
    return {
        "id": f"run{number}",
        "n": numbers,
        "result": numbers.result,
        "checks": run_checks(numbers),
        "rows": numbers.row_percent.tolist(),
        "folds": folds,
        "fold_name": predictions.name_of_fold,
        "protocol": [*_plan(numbers), *_tested(predictions, folds), *numbers.versions.items()],
        "choices": _choices(evaluation.choices, evaluation.folds.fold_names),
    }


def _tested(predictions: Predictions, folds: Sequence[int]) -> list[tuple[str, str]]:
    """Who was tested in which fold; the first few of many."""
    rows = []
    for fold in folds:
        who = np.unique(predictions.subjects[predictions.fold == fold]).tolist()
        rest = f" … {len(who)} subjects" if len(who) > MOST_TESTED else ""
        rows.append((f"tested in fold {predictions.name_of_fold(fold)}", ", ".join(who[:MOST_TESTED]) + rest))
    return rows


def _shared_sources(runs: Sequence[RunNumbers]) -> list[Source]:
    """The caches that several runs rest on: said once. What only one run rests on stands with it."""
    sources = [numbers.source for numbers in runs if numbers.source is not None]
    return [one for number, one in enumerate(sources) if sources.count(one) > 1 and one not in sources[:number]]


def _plain_sweeps(runs: Sequence[RunNumbers]) -> list[Grid]:
    """The sweeps of the runs that are cells of one, each once: all cells of a sweep show the same."""
    grids = [numbers.grid for numbers in runs if numbers.grid is not None and not numbers.grid.nested]
    return list({tuple((point.words, point.war) for point in grid.points): grid for grid in grids}.values())


def _choices(choices: Sequence[Choice], folds: Sequence[str]) -> list[tuple[str, str, float, int]]:
    """Each fold, the cell that it chose, its WAR on the inner folds in percent, and of how many clips."""
    titles = cell_titles([choice.cell for choice in choices])
    chosen = zip(titles, choices, strict=True)
    return [(folds[n], title, 100 * choice.war, choice.num_clips) for n, (title, choice) in enumerate(chosen)]


def _plan(numbers: RunNumbers) -> list[tuple[str, str]]:
    """Settings as rows of two words; the cells of a sweep are counted, not listed."""
    settings = {**numbers.run.settings}
    cells = settings.pop("cells", None)
    if cells is not None:
        settings["cells"] = f"{len(cells)}, chosen among on inner folds"
    return [(name, _said(value)) for name, value in settings.items()]


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_said(one)}" for name, one in value.items()) or "defaults"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
