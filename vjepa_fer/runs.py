"""An evaluation goes in; a run folder comes out that holds everything to recompute its numbers, and reads back equal.

::

    runs/first/logreg-mean/
      run.json           what was done, with what, and the figures
      folds.json         who was tested in which fold
      predictions.csv    one row a clip: truth, decision, probabilities
      fitted/            where it was asked for: the probe, fitted on all clips
      groups.csv         the manifest columns that figures are given by, if any

A folder appears whole or not at all, and never in place of another.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from vjepa_fer.damage import Damage
from vjepa_fer.disk import new_folder
from vjepa_fer.errors import RunError, SplitError
from vjepa_fer.evaluate import Evaluation
from vjepa_fer.fitted import FittedProbe, read_fitted
from vjepa_fer.fold_sources import folds_from_json, folds_to_json
from vjepa_fer.manifest import read_table
from vjepa_fer.manifest.tables import require_column
from vjepa_fer.prediction_csv import read_predictions, write_predictions
from vjepa_fer.protocol import Cell, Choice, Nest, Plan, plan_from_dict
from vjepa_fer.results import result_of

FORMAT = "vjepa-fer/run/1"
FITTED = "fitted"
BESIDE = ("labels", "human", "agreement", "vote_cross_entropy", "vote_entropy", "trained_classes")
"""What stands in a result beside the figures of its predictions, which do not tell it."""
RUN_JSON, FOLDS_JSON, PREDICTIONS_CSV, GROUPS_CSV = "run.json", "folds.json", "predictions.csv", "groups.csv"


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
    """

    path: Path
    settings: Mapping[str, Any]
    evaluation: Evaluation
    cache: str
    created: str

    @property
    def repeats_a_cell(self) -> bool:
        """A choice among one cell: kept for its inner score, with the predictions of the cell's own run."""
        return isinstance(self.evaluation.cell, Nest) and len(self.evaluation.cell.cells) == 1


def run_name(plan: Plan) -> str:
    """Folder name of a plan: probe and level, and a short hash of whatever else differs from the defaults."""
    name = f"{plan.probe}-{plan.level.replace(':', '')}"
    if isinstance(plan, Nest):
        name += "-nested"
    elif plan == Cell(probe=plan.probe, level=plan.level):
        return name
    return f"{name}-{_digest(_canonical(plan.to_dict()))[:8]}"


def run_settings(
    plan: Plan, *, folds_name: str, folds_sha256: str, seed: int, source: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that decides a run's numbers, as plain JSON values.

    `source` names the features by content: the cache's ``fingerprint``, and ``clips`` (see :func:`digest_of_clips`).
    """
    folds = {"folds": folds_name, "folds_sha256": folds_sha256, "seed": seed}
    return json.loads(_canonical({**plan.to_dict(), **folds, **source}))


def digest_of_clips(*columns: Any) -> str:
    """SHA-256 of the clips evaluated: ids, labels and subjects, in order."""
    return _digest(_canonical([list(map(str, column)) for column in columns]))


def write_run(
    path: str | os.PathLike[str], evaluation: Evaluation, *, source: Mapping[str, str], cache: str = ""
) -> Run:
    """Write a run folder, whole or not at all.

    Raises
    ------
    RunError
        Something is there already, or the folder cannot be written.
    """
    folder = Path(path)
    folds = evaluation.folds
    settings = run_settings(
        evaluation.cell, folds_name=folds.name, folds_sha256=folds.sha256, seed=evaluation.seed, source=source
    )
    run = Run(folder, settings, evaluation, cache, datetime.now(UTC).isoformat(timespec="seconds"))
    try:
        with new_folder(folder) as partial:
            _write_files(partial, run)
    except FileExistsError as error:
        raise RunError(
            f"{folder} exists already; a run never replaces another: choose another --out, or remove it"
        ) from error
    except OSError as error:
        raise RunError(f"{folder}: the run cannot be written ({error}); choose another --out") from error
    return run


def _write_files(folder: Path, run: Run) -> None:
    write_predictions(folder / PREDICTIONS_CSV, run.evaluation.predictions)
    (folder / FOLDS_JSON).write_text(folds_to_json(run.evaluation.folds), encoding="utf-8")
    if run.evaluation.groups:
        _write_groups(folder / GROUPS_CSV, run.evaluation)
    description = {
        "format": FORMAT,
        "created": run.created,
        "cache": run.cache,
        "settings": run.settings,
        "result": result_of(run.evaluation),
        "seconds": run.evaluation.seconds,
        "versions": _versions("vjepa-fer", "numpy", "scikit-learn", "lightgbm"),
    }
    (folder / RUN_JSON).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_groups(path: Path, evaluation: Evaluation) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["clip_id", *evaluation.groups])
        for clip in map(str, evaluation.predictions.clip_ids):
            writer.writerow([clip, *(values.get(clip, "") for values in evaluation.groups.values())])


def _read_groups(path: Path) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    table = read_table(path)
    require_column(table, "clip_id")
    return {name: {row["clip_id"]: row[name] for _, row in table.rows} for name in table.header if name != "clip_id"}


def read_run(path: str | os.PathLike[str]) -> Run:
    """Read a run folder back; figures are recomputed from its predictions.

    Raises
    ------
    RunError
        No run, damaged, or written by a newer version.
    """
    folder = Path(path)
    description = _read_description(folder)
    try:
        settings, plan = description["settings"], plan_from_dict(description["settings"])
        folds = folds_from_json((folder / FOLDS_JSON).read_text(encoding="utf-8"), str(folder / FOLDS_JSON))
        seed, seconds = int(settings["seed"]), float(description["seconds"])
        choices = tuple(map(Choice.from_dict, description["result"].get("chosen", [])))
        leaks = tuple(map(str, description["result"].get("leaks", [])))
        damage = Damage.from_dict(description["result"].get("damaged", {}))
    except (KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, SplitError):
            raise
        raise RunError(f"{folder}: a damaged run ({error!r}); remove the folder and run again") from error
    if folds.sha256 != settings.get("folds_sha256"):
        raise RunError(
            f"{folder}: {FOLDS_JSON} holds other folds than the run was made with; remove the folder and run again"
        )
    predictions = read_predictions(folder / PREDICTIONS_CSV)
    evaluation = Evaluation(
        cell=plan,
        folds=folds,
        seed=seed,
        predictions=predictions,
        seconds=seconds,
        choices=choices,
        leaks=leaks,
        groups=_read_groups(folder / GROUPS_CSV),
        damage=damage,
        beside={name: description["result"][name] for name in BESIDE if name in description["result"]},
    )
    return Run(folder, settings, evaluation, str(description.get("cache", "")), str(description.get("created", "")))


def leaks_of_run(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """What a run's training and test parts share, by any file of its folder; () beside no run."""
    return _words_beside(path, "leaks")


def trained_classes_of_run(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Classes of the corpus that a run across corpora was trained on, by any file of its folder; () beside no such run."""
    return _words_beside(path, "trained_classes")


def _words_beside(path: str | os.PathLike[str], name: str) -> tuple[str, ...]:
    folder = Path(path).parent
    if not (folder / RUN_JSON).is_file():
        return ()
    result = _read_description(folder).get("result")
    words = result.get(name, []) if isinstance(result, dict) else []
    return tuple(map(str, words)) if isinstance(words, list) else ()


def _read_description(folder: Path) -> dict[str, Any]:
    try:
        description = json.loads((folder / RUN_JSON).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(
            f"{folder}: not a run folder (no {RUN_JSON} in it); `vjepa-fer probe CACHE --out DIR` makes them"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{folder / RUN_JSON}: cannot be read ({error})") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise RunError(
            f"{folder / RUN_JSON}: not the description of a run (no format {FORMAT!r}), or a newer version's"
        )
    return description


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
    _read_description(folder)
    if not (folder / FITTED).is_dir():
        raise RunError(f"{folder}: holds no fitted probe; `vjepa-fer probe … --out {folder.parent} --refit` leaves one")
    return read_fitted(folder / FITTED)


def finished_run(path: str | os.PathLike[str], settings: Mapping[str, Any]) -> Run | None:
    """The run at `path` if it is there and was made with exactly these settings; None if nothing is there.

    Raises
    ------
    RunError
        Another run is there; the settings that differ are named, both values each.
    """
    if not Path(path).exists():
        return None
    run = read_run(path)
    names = [n for n in {**run.settings, **settings} if run.settings.get(n) != settings.get(n)]
    if names:
        lines = [f"  {name}: {run.settings.get(name)!r} there, {settings.get(name)!r} asked for" for name in names]
        raise RunError(
            "\n".join([f"{path} holds another run:", *lines, "Choose another --out, or remove that folder."])
        )
    return run


def list_runs(root: str | os.PathLike[str]) -> list[Run]:
    """The runs in a folder, itself included, by path; folders that are not runs are passed over.

    Raises
    ------
    RunError
        No such folder, or a run in it is damaged.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder")
    found = sorted(p.parent for p in folder.rglob(RUN_JSON) if not p.parent.name.endswith(".partial"))
    return [read_run(path) for path in found]


def _versions(*packages: str) -> dict[str, str]:
    return {"python": platform.python_version()} | {p: metadata.version(p) for p in packages}


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
