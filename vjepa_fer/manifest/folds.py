"""Fold presets of the literature, as data: which subjects each published protocol tests in which fold.

Subjects are written as numbers, because the corpora's users spell them in many ways (``01``, ``1``, ``Actor_01``);
:func:`subject_number` reads them all.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from vjepa_fer.errors import SplitError


class FoldPreset(NamedTuple):
    """A published partition: the numbers of the subjects tested in each fold, and who published it."""

    test_subjects: tuple[tuple[int, ...], ...]
    source: str


def _spans(*firsts_and_lasts: tuple[int, int]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(range(first, last + 1)) for first, last in firsts_and_lasts)


PRESETS: dict[str, FoldPreset] = {
    "ravdess-5fold": FoldPreset(
        (
            (2, 5, 14, 15, 16),
            (3, 6, 7, 13, 18),
            (10, 11, 12, 19, 20),
            (8, 17, 21, 23, 24),
            (1, 4, 9, 22),
        ),
        "Luna-Jiménez et al. 2021, Applied Sciences 12(1):327; also the folds of Eing et al. 2026",
    ),
    "ravdess-6fold": FoldPreset(
        _spans((1, 4), (5, 8), (9, 12), (13, 16), (17, 20), (21, 24)),
        "MAE-DFER, SVFAP, HiCMAE, AVF-MAE++",
    ),
    "crema-d-5fold": FoldPreset(
        _spans((1001, 1018), (1019, 1036), (1037, 1054), (1055, 1072), (1073, 1091)),
        "MAE-DFER, SVFAP, HiCMAE, AVF-MAE++: the sorted actor ids, 18 a fold, the last 19",
    ),
    "crema-d-eing": FoldPreset(
        (
            (1002, 1003, 1008, 1010, 1014, 1016, 1022, 1032, 1051, 1054, 1060, 1066, 1068, 1070, 1072, 1077, 1078, 1086, 1088),
            (1004, 1011, 1012, 1013, 1019, 1030, 1033, 1035, 1039, 1040, 1048, 1049, 1053, 1057, 1067, 1071, 1073, 1081),
            (1005, 1006, 1017, 1026, 1028, 1034, 1042, 1044, 1050, 1059, 1064, 1069, 1082, 1083, 1084, 1087, 1090, 1091),
            (1007, 1009, 1015, 1021, 1023, 1029, 1036, 1037, 1038, 1041, 1045, 1052, 1055, 1058, 1061, 1062, 1074, 1076),
            (1001, 1018, 1020, 1024, 1025, 1027, 1031, 1043, 1046, 1047, 1056, 1063, 1065, 1075, 1079, 1080, 1085, 1089),
        ),
        "Eing et al. 2026 (arXiv 2601.09524): drawn at random there, read off the authors' logs",
    ),
}  # fmt: skip


def subject_number(subject: str) -> int:
    """The number at the end of a subject's name: 1 for ``01``, ``1`` and ``Actor_01``.

    Raises
    ------
    SplitError
        The name does not end in a number.
    """
    digits = re.search(r"([0-9]{1,9})$", subject)
    if digits is None:
        raise SplitError(
            f"subject {subject!r} does not end in a number, so no fold preset knows it; use subject-kfold:5"
        )
    return int(digits.group(1))
