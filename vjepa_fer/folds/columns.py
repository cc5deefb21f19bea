"""A manifest column goes in; the folds that it spells out come out: a split into parts, or folds with names of their own.

A column with one of the words for a part (:data:`PARTS`) is a split, and all of its words must be known then: a word that is not would
otherwise make folds of the parts, each tested with the others, the official test part too, trained on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from vjepa_fer.doors import nearest
from vjepa_fer.errors import SplitError
from vjepa_fer.folds.clip_folds import ClipFolds
from vjepa_fer.manifest import (
    MOST_SHOWN,
    Manifest,
    abridged,
    canonical,
    is_missing,
    natural_order,
    refuse_parted_otherwise,
    refuse_spelled_twice,
)


def _bare(word: str) -> str:
    """As :data:`PARTS` has it: ``Private Test``, ``private_test`` and ``PrivateTest`` are one, and accents are left out."""
    plain = "".join(
        letter for letter in unicodedata.normalize("NFD", canonical(word)) if not unicodedata.combining(letter)
    )
    return re.sub(r"[ _\-./]", "", plain)


TRAIN = ("train", "training", "trainset", "trainingset", "trn", "trainval", "traindev", "learn", "learning")
VALIDATION = (
    *("val", "valid", "validation", "validate", "valset", "validset", "validationset", "publictest"),
    *("dev", "devel", "develop", "development", "devset", "developmentset"),
)
TEST = ("test", "testing", "testset", "testingset", "tst", "privatetest")
EITHER = ("eval", "evaluation", "evalset", "evaluationset", "evaluate", "holdout", "holdoutset", "heldout")
"""The part that is tested where no other is called test, and otherwise one more that is kept out."""

OTHER_LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "train": (
        *(
            "trainingsdaten",
            "trainingsset",
            "lerndaten",
            "entrainement",
            "apprentissage",
            "entrenamiento",
            "treino",
            "treinamento",
        ),
        *("addestramento", "trainen", "обучение", "обучающая", "训练", "训练集", "訓練", "学習", "학습", "훈련"),
    ),
    "validation": (
        *("validierung", "validierungsdaten", "validierungsset", "validacion", "validacao", "validazione", "validatie"),
        *("валидация", "验证", "验证集", "検証", "검증"),
    ),
    "test": (
        *("testdaten", "testsatz", "prueba", "teste", "prova", "essai", "testen", "тест", "тестовая"),
        *("测试", "测试集", "テスト", "테스트", "시험"),
    ),
}
"""Words for parts in the languages of people who write such tables, without accents."""

PARTS: Mapping[str, str] = {
    _bare(word): part
    for part, words in {"train": TRAIN, "validation": VALIDATION, "test": TEST, "either": EITHER}.items()
    for word in (*words, *OTHER_LANGUAGES.get(part, ()))
}

SHORT: Mapping[str, str] = {"tr": "train", "te": "test", "ts": "test", "va": "validation"}
"""Known beside ``tr`` only, where no other word is: alone they are languages, and these make good folds."""

NEVER_TESTED = "-1"
"""What scikit-learn's ``PredefinedSplit`` has for rows that are in every training part."""

TRUTHS = {"true", "false", "yes", "no", "t", "f", "y", "n"}
NUMBERED = ({"1", "2"}, {"0", "1", "2"}, {"1", "2", "3"})
"""Numbers that stand for train, validation and test in a column that is called like a split (CelebA's ``partition``), or for folds."""

SAYS_SPLIT = re.compile("train|test|split|partition|usage|hold ?out|(sub ?|data ?|the )?set|phase|stage|mode")
"""What a column is called that parts the clips into those for training and others; ``fold`` is none of these."""

MAX_FOLDS = 100


def column_folds(column: str, manifest: Manifest) -> ClipFolds:
    """Folds that a manifest column spells out.

    Words for parts (``train``, ``devel``, ``PrivateTest`` …) make one fold that trains on the training part and tests the test part; a
    validation part is on neither side. Where no clip is marked test (AFEW's test labels are secret), the validation part is tested.
    Any other values are fold names, each tested with everyone else trained on; clips of ``-1`` beside whole numbers are never tested. A
    clip without a value, or with a word for missing data, is on no side.

    Raises
    ------
    SplitError
        No such column, a word that is not known beside those for parts, names that differ only in spelling, or too few or too many.
    """
    name = f"column:{column}"
    if column not in manifest.columns:
        raise SplitError(
            f"folds {name!r}: the manifest has no such column; its columns are "
            f"{abridged(manifest.columns, MOST_SHOWN)}{nearest(column, manifest.columns)}"
        )
    marked: dict[str, list[str]] = {}
    for clip in manifest:
        if not is_missing(clip.value(column)):
            marked.setdefault(clip.value(column).strip(), []).append(clip.clip_id)
    words = {_bare(text) for text in marked}
    parts = {**PARTS, **SHORT} if "tr" in words <= {*PARTS, *SHORT} else PARTS
    if parts is not PARTS or any(map(_speaks_of_a_part, words)):
        return _split(name, marked, parts)
    refuse_spelled_twice("fold names", dict.fromkeys(marked, ""), f"folds {name!r}: ", error=SplitError)
    _refuse_unclear(column, marked)
    places = {word: f"{len(ids):,} clips" for word, ids in marked.items()}
    refuse_parted_otherwise("fold names", places, f"folds {name!r}: ", error=SplitError)
    return _named_folds(name, marked)


def _speaks_of_a_part(word: str) -> bool:
    """Whether it is a word for a part, or holds one of those that nobody takes for the name of a fold."""
    return word in PARTS or any(part in word for part in ("train", "test", "valid", "devel", "holdout"))


def _split(name: str, marked: Mapping[str, list[str]], parts: Mapping[str, str]) -> ClipFolds:
    for word in marked:
        if _bare(word) not in parts:
            known = [*TRAIN, *VALIDATION, *TEST, *EITHER]
            raise SplitError(
                f"folds {name!r}: the column is a split into parts, and {word!r} ({len(marked[word]):,} clips, such as "
                f"{marked[word][0]}) is none that is known{nearest(_bare(word), known)}; the words are train, validation, test and "
                "others for these (dev, eval, holdout …); leave the cell empty for clips that belong to no part, and of several parts for "
                "testing (test1, test_seen) call that one test which is to be tested, and leave the others empty"
            )
    clips: dict[str, list[str]] = {"train": [], "validation": [], "test": [], "either": []}
    for word, ids in marked.items():
        clips[parts[_bare(word)]] += ids
    test = clips["test"] or clips["either"] or clips["validation"]
    return ClipFolds(name, (tuple(clips["train"]),), (tuple(test),), "; ".join(_notes(clips, test)))


def _notes(clips: Mapping[str, list[str]], test: list[str]) -> Iterator[str]:
    said = {"validation": "validation part", "either": "part kept for evaluation"}
    for part, words in said.items():
        if clips[part] and clips[part] is not test:
            yield f"the {words} ({len(clips[part])} clips) is neither trained on nor tested"
        elif clips[part]:
            yield f"no clip is marked test, so the {words} is tested"


def _refuse_unclear(column: str, marked: Mapping[str, list[str]]) -> None:
    """Yes and no, and in a column that is called a split two or three words or numbers of which nobody knows the part."""
    values = {canonical(word) for word in marked}
    called = re.sub("[_.-]", " ", canonical(column))
    named_so = re.search("train|test|val|split|part|usage|hold", called) and values == {"0", "1"}
    whole = all(re.fullmatch("-?[0-9]+", value) for value in values)
    as_split = SAYS_SPLIT.fullmatch(called) and len(values) in (2, 3) and (values in NUMBERED or not whole)
    if values and (values <= TRUTHS or named_so or as_split) and not _are_named_folds(values):
        folds = (
            "; where they are folds, each tested with the others trained on, call the column fold" if as_split else ""
        )
        raise SplitError(
            f"folds 'column:{column}': {' and '.join(map(repr, marked))} do not say which clips are trained on and which are tested; "
            f"write train and test into the column{folds}"
        )


def _are_named_folds(values: set[str]) -> bool:
    """Whether all are words with a number, or A, B, C: ``fold1``, ``set 2``."""
    numbered = all(re.fullmatch("(fold|part|split|set|cv|k)[ _-]*[0-9]+", value) for value in values)
    return numbered or values <= {"a", "b", "c"}


def _named_folds(name: str, marked: dict[str, list[str]]) -> ClipFolds:
    always = next((word for word in marked if canonical(word) == NEVER_TESTED), None)
    whole = all(re.fullmatch("[0-9]+", canonical(word)) for word in marked if word != always)
    untested = marked.pop(always) if always is not None and whole and len(marked) > 1 else []
    if not (2 - bool(untested)) <= len(marked) <= MAX_FOLDS:
        raise SplitError(f"folds {name!r}: {len(marked)} different values; 2 to {MAX_FOLDS} fold names are expected")
    names = natural_order(marked)
    train = tuple((*untested, *(c for other in names if other != fold for c in marked[other])) for fold in names)
    note = f"{len(untested)} clips of fold {always} are trained on and never tested" if untested else ""
    return ClipFolds(name, train, tuple(tuple(marked[fold]) for fold in names), note, tuple(names))
