"""An evaluation goes into a folder, whole or not at all; a folder goes in, and every file of it is read back checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vjepa_fer.cache.description import library_versions
from vjepa_fer.disk import new_folder
from vjepa_fer.doors import Given, card, csv_text, printable
from vjepa_fer.errors import RunError, RunExistsError
from vjepa_fer.evaluation import Evaluation, FittedProbe, read_fitted, read_stacker
from vjepa_fer.experiment import (
    PLAN_WORDS,
    Choice,
    Experiment,
    Nest,
    Plan,
    Selection,
    Statistics,
    experiment_from_toml,
    experiment_to_toml,
    plan_from_given,
)
from vjepa_fer.folds import AnyFolds, folds_from_json, folds_to_json
from vjepa_fer.judging import Predictions, read_predictions, score, write_predictions
from vjepa_fer.manifest import Absent, Damage, read_table, require_column
from vjepa_fer.runs.beside import read_beside
from vjepa_fer.runs.columns import PREDICTIONS_NPZ, read_columns, write_columns
from vjepa_fer.runs.description import (
    ADVICE,
    EDITED,
    EXPERIMENT,
    FOLDS_JSON,
    GROUPS_CSV,
    PREDICTIONS_CSV,
    RUN_JSON,
    Description,
    read_description,
    require_no_link,
    write_description,
)
from vjepa_fer.runs.results import result_of
from vjepa_fer.runs.settings import digest, run_settings
from vjepa_fer.runs.sheets import PARTS, figures_in_words

FITTED = "fitted"


@dataclass(frozen=True, eq=False)
class Run:
    """A run folder, read.

    Attributes
    ----------
    path : pathlib.Path
    settings : mapping
        What decides the numbers; equal settings give equal predictions.
    evaluation : Evaluation
    cache : str
        The cache folder as it was given.
    created : str
        UTC, ISO 8601.
    versions : mapping of str to str
        Of the libraries that made it.
    experiment : Experiment or None
        What repeats it; None for a run that was kept without one, as runs of older versions.
    """

    path: Path
    settings: Mapping[str, Any]
    evaluation: Evaluation
    cache: str
    created: str
    versions: Mapping[str, str] = field(default_factory=dict)
    experiment: Experiment | None = None

    @property
    def repeats_a_cell(self) -> bool:
        """A choice among one cell: kept for its inner score, with the predictions of the cell's own run."""
        return isinstance(self.evaluation.cell, Nest) and len(self.evaluation.cell.cells) == 1

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.evaluation.in_words})"

    def _repr_html_(self) -> str:
        """The evaluation's card, with intervals."""
        shown, result = self.evaluation.to_card(), result_of(self.evaluation)
        figures = {f"{head}, %": text for head, text in figures_in_words(result).items()}
        notes = [*shown["notes"][:-1], "all clips pooled, and the interval over subjects", f"made {self.created}"]
        about = f"{self.path} · {self.evaluation.in_words}"
        return card("Run", about, **{**shown, "figures": figures, "notes": notes})

    def to_frame(self, part: str = "figures") -> Any:
        """A pandas DataFrame of one part of the run: the columns of ``runs show --format csv --part …``.

        Parameters
        ----------
        part : {"figures", "folds", "classes", "confusion", "groups"}
            One row; a row a fold, a class, a true class, or a group.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        return PARTS[part]([result_of(self.evaluation, str(self.path))]).to_frame()


def write_run(
    path: str | os.PathLike[str],
    evaluation: Evaluation,
    *,
    source: Mapping[str, str],
    cache: str = "",
    experiment: Experiment | None = None,
) -> Run:
    """Write a run folder, whole or not at all; with the experiment that repeats it, if it is given.

    Raises
    ------
    RunExistsError
        Something is there already, or another process was first.
    RunError
        The folder cannot be written.
    """
    folder, folds = Path(path), evaluation.folds
    settings = run_settings(
        evaluation.cell, folds_name=folds.name, folds_sha256=folds.sha256, seed=evaluation.seed, source=source
    )
    created = datetime.now(UTC).isoformat(timespec="seconds")
    versions = library_versions("vjepa-fer", "numpy", "scikit-learn", "lightgbm")
    run = Run(folder, settings, evaluation, printable(cache), created, versions, experiment)
    try:
        with new_folder(folder) as partial:
            _write_files(partial, run)
    except FileExistsError as error:
        raise RunExistsError(
            f"{folder} exists already; a run never replaces another: choose another --out, or remove it"
        ) from error
    except OSError as error:
        raise RunError(f"{folder}: the run cannot be written ({error}); choose another --out") from error
    return run


def _write_files(folder: Path, run: Run) -> None:
    write_predictions(folder / PREDICTIONS_CSV, run.evaluation.predictions)
    table_sha256 = digest((folder / PREDICTIONS_CSV).read_bytes())
    write_columns(folder / PREDICTIONS_NPZ, run.evaluation.predictions, table_sha256=table_sha256)
    (folder / FOLDS_JSON).write_text(folds_to_json(run.evaluation.folds), encoding="utf-8", newline="\n")
    if run.experiment is not None:
        (folder / EXPERIMENT).write_text(experiment_to_toml(run.experiment), encoding="utf-8", newline="\n")
    if run.evaluation.groups:
        (folder / GROUPS_CSV).write_text(_groups_csv(run.evaluation), encoding="utf-8", newline="")
    facts = {
        "created": run.created,
        "cache": run.cache,
        "settings": run.settings,
        "result": result_of(run.evaluation),
        "seconds": run.evaluation.seconds,
        "versions": run.versions,
    }
    write_description(folder, facts)


def _groups_csv(evaluation: Evaluation) -> str:
    clips, columns = map(str, evaluation.predictions.clip_ids), evaluation.groups.values()
    return csv_text(["clip_id", *evaluation.groups], ([clip, *(v.get(clip, "") for v in columns)] for clip in clips))


def read_run(path: str | os.PathLike[str]) -> Run:
    """Read a run folder back; figures are recomputed from its predictions.

    Raises
    ------
    RunError
        No run, one of a newer version, or a file of it that is missing, damaged or edited; the file is named.
    SplitError
        Its folds are none.
    """
    described = read_description(Path(path))
    said, result = described.said, described.said.object("result")
    settings, plan = _read_settings(said.object("settings"))
    folds, experiment = _read_folds(described, settings), _read_experiment(described, settings, plan)
    selection, among = _read_selection(result, plan)
    beside = read_beside(result)
    evaluation = Evaluation(
        cell=plan,
        folds=folds,
        seed=settings["seed"],
        predictions=read_checked_predictions(described),
        seconds=said.number("seconds"),
        choices=_read_choices(result, plan, len(folds)),
        leaks=result.texts("leaks", optional=True),
        groups=_read_groups(described),
        damage=Damage.from_given(result.object("damaged", optional=True)),
        absent=Absent.from_given(result.object("absent", optional=True)),
        selection=selection,
        among=among,
        statistics=experiment.statistics if experiment else Statistics(),
        beside=beside,
        settled=_read_settled(result, len(folds)),
        stackers=_read_stackers(result, len(folds), beside.get("fusion", {}).get("streams", [])),
    )
    facts = (said.text("cache", ""), said.text("created", ""), said.mapping("versions", optional=True))
    return Run(Path(path), settings, evaluation, *facts, experiment)


def read_plan(path: str | os.PathLike[str]) -> tuple[Mapping[str, Any], Plan]:
    """A run's settings and its plan, without a look at its other files.

    Raises
    ------
    RunError
        No run, or a damaged ``run.json``.
    """
    return _read_settings(read_description(Path(path)).said.object("settings"))


def check_run(path: str | os.PathLike[str]) -> None:
    """Raise :class:`RunError` unless ``run.json`` can be read and its files are all there, as they were written."""
    described = read_description(Path(path))
    for name in described.names:
        described.read(name)
    described.read_columns()


def _read_settings(said: Given) -> tuple[Mapping[str, Any], Plan]:
    plan = plan_from_given(said)
    said.whole("seed")
    for name in ("folds", "folds_sha256", *(set(said) - {"seed", *PLAN_WORDS})):
        said.text(name)
    return said.values, plan


def _read_folds(described: Description, settings: Mapping[str, Any]) -> AnyFolds:
    path = described.folder / FOLDS_JSON
    folds = folds_from_json(described.read(FOLDS_JSON), str(path))
    if (folds.name, folds.sha256) != (settings["folds"], settings["folds_sha256"]):
        raise RunError(f"{path} holds other folds than the run was made with; remove the folder and run again")
    return folds


def _read_experiment(described: Description, settings: Mapping[str, Any], plan: Plan) -> Experiment | None:
    """The experiment that repeats the run, if it was kept with one; it asks for this very plan."""
    if EXPERIMENT not in described.names:
        return None
    path = described.folder / EXPERIMENT
    asked = experiment_from_toml(described.read(EXPERIMENT), str(path))
    cells = plan.cells if isinstance(plan, Nest) else (plan,)
    if asked.cells != cells or asked.protocol.seed != settings["seed"]:
        raise RunError(f"{path}: asks for another run than {RUN_JSON} describes; {ADVICE}")
    return asked


def _read_selection(result: Given, plan: Plan) -> tuple[Selection, int]:
    """How the plan came about, as far as its own shape allows; a run of an older version says it by that alone."""
    least = len(plan.cells) if isinstance(plan, Nest) else 1
    among = result.whole("among", least, least=least)
    expected: Selection = "nested" if isinstance(plan, Nest) else "grid" if among > 1 else "fixed"
    said = result.text("selection", expected)
    if said != expected or (expected == "nested" and among != least):
        result.refuse(
            "selection", f"{expected!r}: the run is of {'a choice' if least > 1 else 'one cell'} among {among}"
        )
    return expected, among


def _read_choices(result: Given, plan: Plan, num_folds: int) -> tuple[Choice, ...]:
    """One a fold, of the cells chosen among; none where there was nothing to choose."""
    choices = tuple(map(Choice.from_given, result.objects("chosen", optional=True)))
    cells = plan.cells if isinstance(plan, Nest) else ()
    if len(choices) != (num_folds if cells else 0) or any(choice.cell not in cells for choice in choices):
        result.refuse("chosen", "one of the cells for each fold" if cells else "nothing: the run is of one cell")
    return choices


def _read_settled(result: Given, num_folds: int) -> tuple[Mapping[str, int | None], ...]:
    """What each fold made of parameters that are "auto"; empty where none was, and in runs of before."""
    said = result.objects("settled", optional=True)
    if said and len(said) != num_folds:
        result.refuse("settled", f"one entry for each of {num_folds} folds")
    return tuple({name: None if one.raw(name) is None else one.whole(name) for name in one} for one in said)


def _read_stackers(result: Given, num_folds: int, streams: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    """What each fold made of streams that were stacked; empty where none were."""
    said = result.objects("stackers", optional=True)
    if said and len(said) != num_folds:
        result.refuse("stackers", f"one entry for each of {num_folds} folds")
    return tuple(read_stacker(one, len(streams)) for one in said)


def read_checked_predictions(described: Description) -> Predictions:
    """A run's predictions, which make the figures that the run says.

    Raises
    ------
    RunError
        They are missing, damaged or edited.
    """
    path, result = described.folder / PREDICTIONS_CSV, described.said.object("result")
    predictions = _read_predictions(described, path)
    if "confusion" in result and result.raw("confusion") != predictions.confusion.tolist():
        war, said = 100 * score(predictions)["war"].pooled, result.object("war").number("pooled")
        raise RunError(
            f"{path}: its predictions show WAR {war:.2f} (and another confusion matrix) where {RUN_JSON} says {said:.2f}; {EDITED}"
        )
    return predictions


def _read_predictions(described: Description, path: Path) -> Predictions:
    """From the columns, if they are a copy of this very table; from the table otherwise."""
    table, columns = described.read(PREDICTIONS_CSV), described.read_columns()
    copied = columns and read_columns(columns, described.folder / PREDICTIONS_NPZ, table_sha256=digest(table))
    return copied or read_predictions(path, spelling="kept")


def _read_groups(described: Description) -> dict[str, dict[str, str]]:
    if GROUPS_CSV not in described.names:
        return {}
    described.read(GROUPS_CSV)
    table = read_table(described.folder / GROUPS_CSV)
    require_column(table, "clip_id")
    return {name: {row["clip_id"]: row[name] for _, row in table.rows} for name in table.header if name != "clip_id"}


def load_fitted(path: str | os.PathLike[str]) -> FittedProbe:
    """The probe that ``vjepa-fer probe … --refit`` left in a run folder, fitted on all clips.

    Raises
    ------
    RunError
        No run, no fitted probe in it, or a damaged one.
    ProbeError
        The probe's files were changed.
    """
    folder = Path(path)
    read_description(folder)
    require_no_link(folder / FITTED)
    if not (folder / FITTED).is_dir():
        raise RunError(f"{folder}: holds no fitted probe; `vjepa-fer probe … --out {folder.parent} --refit` leaves one")
    return read_fitted(folder / FITTED)
