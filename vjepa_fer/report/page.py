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

from vjepa_fer import __version__
from vjepa_fer.disk import bytes_for_people, open_regular, write_durably
from vjepa_fer.doors import printable
from vjepa_fer.errors import RunError
from vjepa_fer.experiment import Choice, cell_titles
from vjepa_fer.extras import require_extra
from vjepa_fer.judging import Comparison, compare_predictions
from vjepa_fer.report.checks import run_checks
from vjepa_fer.report.numbers import RunNumbers

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = "<!-- made by vjepa-fer report -->"
"""Second line of every page: one that has it may be replaced by a newer one."""


def render_page(runs: Sequence[RunNumbers], *, title: str = "vjepa-fer report") -> str:
    """The page as text.

    Raises
    ------
    MissingExtraError
        Jinja2 is not installed.
    """
    comparison, why_not = _comparison(runs)
    views = [_view(number, numbers) for number, numbers in enumerate(runs)]
    unread = list(dict.fromkeys(why for numbers in runs for why in numbers.unread))
    all_classes = list(dict.fromkeys(label for numbers in runs for label in numbers.result["classes"]))
    return render_template(
        "page.html",
        title,
        runs=views,
        unread=unread,
        comparison=comparison,
        why_not=why_not,
        all_classes=all_classes,
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
            style=_own_text("style.css"),
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
    environment.filters["hue"] = lambda number: int(number * 137.508) % 360
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
    evaluation = numbers.run.evaluation
    return {
        "id": f"run{number}",
        "n": numbers,
        "result": numbers.result,
        "checks": run_checks(numbers),
        "rows": numbers.row_percent.tolist(),
        "folds": sorted(set(numbers.predictions.fold.tolist())),
        "fold_name": numbers.predictions.name_of_fold,
        "points": _points(numbers),
        "plan": _plan(numbers),
        "tested": [
            sorted(set(numbers.predictions.take(numbers.predictions.fold == fold).subjects.tolist()))
            for fold in sorted(set(numbers.predictions.fold.tolist()))
        ],
        "choices": _choices(evaluation.choices, evaluation.folds.fold_names),
    }


def _choices(choices: Sequence[Choice], folds: Sequence[str]) -> list[tuple[str, str, float]]:
    """Each fold, the cell that it chose, and its WAR on the inner folds in percent."""
    titles = cell_titles([choice.cell for choice in choices])
    return [(folds[number], title, 100 * choices[number].war) for number, title in enumerate(titles)]


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


def _points(numbers: RunNumbers) -> dict[str, Any] | None:
    """The projection's points as small numbers, with the names that these stand for."""
    shown, said = numbers.projection, numbers.predictions
    if shown is None:
        return None
    subjects = sorted(set(said.subjects.tolist()))
    number_of = {name: number for number, name in enumerate(subjects)}
    rows = shown.rows.tolist()
    return {
        "classes": list(said.classes),
        "subjects": subjects,
        "clips": said.clip_ids[shown.rows].tolist(),
        "true": said.truth[rows].tolist(),
        "predicted": said.predicted[rows].tolist(),
        "subject": [number_of[name] for name in said.subjects[rows].tolist()],
        "fold": said.fold[rows].tolist(),
        "folds": said.fold_names,
        "xy": shown.xy.round(4).tolist(),
    }


def _comparison(runs: Sequence[RunNumbers]) -> tuple[Comparison | None, str]:
    """The runs on their common clips; or why they cannot be compared."""
    if len(runs) < 2:
        return None, ""
    names = [numbers.title for numbers in runs]
    names = names if len(set(names)) == len(names) else [str(numbers.run.path) for numbers in runs]
    leaky = [name for name, numbers in zip(names, runs, strict=True) if numbers.result["leaky"]]
    try:
        predictions = {name: numbers.predictions for name, numbers in zip(names, runs, strict=True)}
        return compare_predictions(predictions, intersect=True, leaky=leaky), ""
    except RunError as error:
        return None, str(error)
