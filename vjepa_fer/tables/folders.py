"""Paths that a person gave go in; the tables that each stands for come out: a file, a run's predictions, or all folds in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from vjepa_fer.errors import RunError
from vjepa_fer.manifest import natural_order
from vjepa_fer.runs import PREDICTIONS_CSV, RUN_JSON

TEST, TRAIN = "test", "train"
"""How the files of a folder begin that hold what was said of test and of training clips."""


class Given(NamedTuple):
    """One classifier's tables.

    Attributes
    ----------
    path : Path
        As it was given.
    tables : tuple of Path
        What was said of test clips; several are folds.
    train : tuple of Path
        By fold, what was said of training clips; () where the folder holds none.
    """

    path: Path
    tables: tuple[Path, ...]
    train: tuple[Path, ...] = ()


def find_tables(path: Path) -> Given:
    """The tables behind a path.

    A folder that is no run is one classifier's folds, a table each: ``test_fold0.csv`` …, with ``train_fold0.csv`` … for what was said
    of the training clips; or all tables in it, where none is called so.

    Raises
    ------
    RunError
        A folder without tables, one of training clips alone, or one whose tables of training clips do not go with those of test clips.
    """
    if not path.is_dir():
        return Given(path, (path,))
    if (path / RUN_JSON).exists() or (path / PREDICTIONS_CSV).exists():
        return Given(path, (path / PREDICTIONS_CSV,))
    names = natural_order({file.name for file in path.glob("*.csv") if file.is_file()})
    tested = [name for name in names if name.startswith(TEST)]
    if not names:
        raise RunError(f"{path}: a folder with neither a run nor a table (*.csv) in it; expected predictions")
    known = next((name for name in names if name.startswith(TRAIN)), None)
    if known and not tested:
        raise RunError(
            f"{path}: {known} says by its name that it is of training clips, and no table beside it is called {TEST}…; expected what was said of test clips"
        )
    return Given(path, tuple(path / name for name in tested or names), _training(path, tested, names))


def _training(path: Path, tested: list[str], names: list[str]) -> tuple[Path, ...]:
    there = [name for name in names if name.startswith(TRAIN)] if tested else []
    expected = [TRAIN + name.removeprefix(TEST) for name in tested]
    if there and sorted(there) != sorted(expected):
        odd = next(iter({*there} ^ {*expected}))
        raise RunError(
            f"{path}: {len(tested)} tables of test clips and {len(there)} of training clips; expected one each a fold, such as {odd}"
        )
    return tuple(path / name for name in expected) if there else ()
