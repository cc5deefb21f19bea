"""Names as people and programs write them go in; which of them are one name spelled twice, and which spelling all may have, comes out.

Labels, subjects, clip ids and names of folds travel through spreadsheets, file systems and pandas, and come back as ``Happy`` and
``happy``, ``é`` in one character or two, ``07`` and ``7.0``. Compared byte for byte, a class is one too many, or a person stands on both
sides of a fold. So every reader compares by :func:`canonical`; whether two spellings are one name, the user says.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath, PureWindowsPath

from vjepa_fer.doors import without_unseen
from vjepa_fer.errors import ManifestError, VjepaFerError

UNIFY = "--unify-names"
ADVICE = (
    f"spell them alike, or, where they are really different, rename one; {UNIFY} (of extract or cache import once more, for what a cache "
    "says of its clips; of manifest csv, evaluate or runs compare) takes them for one name"
)

MISSING = frozenset(
    [
        "",
        "nan",
        "-nan",
        "na",
        "n/a",
        "#n/a",
        "#na",
        "#n/a n/a",
        "<na>",
        "nat",
        "none",
        "null",
        "(null)",
        "?",
        "-",
        "--",
        ".",
        "1.#ind",
        "-1.#ind",
        "1.#qnan",
        "-1.#qnan",
        "#null!",
        "#value!",
        "#ref!",
        "#div/0!",
        "#name?",
        "#num!",
    ]
)
"""What pandas, R, Weka, Excel and SQL write into a cell of which nothing is known, as :func:`canonical` has it."""

MOST_NUMERIC_CLASSES = 12
"""Distinct whole numbers that may still be codes of classes; no list of expressions that goes by numbers has more."""

_SUFFIX = re.compile(r"\.[0-9]?[A-Za-z][A-Za-z0-9]*")
_QUOTES = "\"'`´«»‹›„“”‟‚‘’‛ "
_ALIKE = str.maketrans({"\u2010": "-", "\u2212": "-", "\u2018": "'", "\u2019": "'", "\u02bc": "'"})
_WHOLE = re.compile(r"\+?(-?)0*([0-9]+)(?:\.0*|,00?)?")
_PADDING = re.compile(r"(?<![0-9.,])0+(?=[0-9])")
_BETWEEN = re.compile(r"(?<=[^\W\d_])[ _-]+(?=[^\W_])")
_MARK = re.compile(r"(\s*([*†‡§¶!?.✓✗✔✘\u00b9\u00b2\u00b3\u2070-\u2079]|[(\[][0-9a-z?*]{1,2}[)\]]))+\s*$")
_LONGEST_MARK = 12
_MOST_ROWS = 4


@lru_cache(maxsize=1 << 16)
def canonical(name: str) -> str:
    r"""What all spellings of a name have in common; to compare by, never to show or to store.

    Neither Unicode's form, characters that nobody sees, blanks, letter case and quotation marks around it tell names apart, nor do zeros
    before a number (not those behind a point: 1.05 is not 1.5) and a spreadsheet's ``.0`` behind a whole one.

    >>> canonical(" Happy\u200b"), canonical("very  sad"), canonical("'07'"), canonical("7.0"), canonical("Actor_07")
    ('happy', 'very sad', '7', '7', 'actor_7')
    """
    if not name.isascii():
        name = unicodedata.normalize("NFKC", without_unseen(name).translate(_ALIKE))
        name = without_unseen(unicodedata.normalize("NFKC", name.casefold()))
    name = " ".join(name.lower().split()).strip(_QUOTES)
    whole = _WHOLE.fullmatch(name)
    return whole[1] + whole[2] if whole else _PADDING.sub("", name)


def is_missing(name: str) -> bool:
    """Whether the name is a word for missing data, such as ``NaN``, ``N/A`` or nothing that can be seen."""
    return canonical(name) in MISSING


def spelled_twice(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that are one name in different spellings, together; in the order in which they come."""
    spelt: dict[str, dict[str, None]] = {}
    for name in names:
        spelt.setdefault(canonical(name), {})[name] = None
    return [tuple(spellings) for spellings in spelt.values() if len(spellings) > 1]


def one_spelling(names: Iterable[str]) -> dict[str, str]:
    """Each name that has several spellings → the most frequent of these, the first of equals; one that hides something only if all do.

    >>> one_spelling(["sad", "happy", "Happy", "happy"])
    {'happy': 'happy', 'Happy': 'happy'}
    """
    count = Counter(names)
    return {
        name: max(spellings, key=lambda spelling: (_is_plain(spelling), count[spelling]))
        for spellings in spelled_twice(count)
        for name in spellings
    }


def _is_plain(name: str) -> bool:
    """Whether nothing of the name is unseen, doubled or in parts."""
    return name == " ".join(unicodedata.normalize("NFC", without_unseen(name)).split()).strip(_QUOTES)


def respelled(theirs: Iterable[str], ours: Iterable[str]) -> dict[str, str]:
    """Those of their names that are none of ours but spelled otherwise → ours.

    >>> respelled(["s1", "S2", "x"], ["s01", "S2"])
    {'s1': 's01'}
    """
    known = dict.fromkeys(ours)
    of_form = {canonical(name): name for name in known}
    strangers = (name for name in dict.fromkeys(theirs) if name not in known)
    return {name: of_form[form] for name in strangers if (form := canonical(name)) in of_form}


def clip_of_path(name: str, known: Container[str]) -> str:
    """The known clip that a path of its file means, as many programs write it for an id (``/data/x.mp4``, ``x.wav``); else the name itself."""
    if name in known:
        return name
    file = PureWindowsPath(PurePosixPath(name).name)
    stem = file.stem if _SUFFIX.fullmatch(file.suffix) else file.name  # 7.0 is no file called 7
    return stem if stem in known else name


def natural_order(names: Iterable[str]) -> list[str]:
    """The names, the numbers in them by size: fold9 before fold10, -1 before 0.

    >>> natural_order(["10", "fold 10", "9", "fold 9", "-1"])
    ['-1', '9', '10', 'fold 9', 'fold 10']
    """
    return sorted(
        names, key=lambda name: (name[:1] != "-", [_by_size(part) for part in re.split(r"([0-9]+)", name)], name)
    )


def _by_size(part: str) -> tuple[int, str]:
    """Digits by the number that they are, however many; other text by itself."""
    digits = part.lstrip("0") if part.isdecimal() else ""
    return len(digits), digits or part


def shown(spellings: Sequence[str]) -> list[str]:
    """The spellings in quotation marks, characters written out where they would look alike."""
    composed = {unicodedata.normalize("NFC", repr(name)) for name in spellings}
    return [repr(name) if len(composed) == len(spellings) else ascii(name) for name in spellings]


def refuse_spelled_twice(
    kind: str, names: Mapping[str, str], where: str = "", *, error: type[VjepaFerError] = ManifestError
) -> None:
    """Raise where two of the names are one in different spellings.

    Parameters
    ----------
    kind : str
        What they are, in the plural: ``labels``.
    names : mapping of str to str
        Each name and the place where it stands, which may be "": ``rows 2, 3``.
    where : str
        The file, for the beginning of the message.
    error : type of VjepaFerError

    Raises
    ------
    VjepaFerError
        `error`, with every spelling of the first such name and their places.
    """
    twice = spelled_twice(names)
    if not twice:
        return
    places = [names[name] for name in twice[0]]
    said = [f"{text} ({place})" if place else text for text, place in zip(shown(twice[0]), places, strict=True)]
    more = f", and {len(twice) - 1} more such names" if len(twice) > 1 else ""
    raise error(f"{where}{kind} {' and '.join(said)} differ only in spelling{more}; {ADVICE}")


def refuse_parted_otherwise(
    kind: str, names: Mapping[str, str], where: str = "", *, error: type[VjepaFerError] = ManifestError
) -> None:
    """Raise where two names differ only in what stands between their words, ``very sad``, ``very_sad``, ``Fold 1``, ``fold1``; parameters
    as of :func:`refuse_spelled_twice`."""
    first: dict[str, str] = {}
    for name in names:
        form = _BETWEEN.sub("", canonical(name))
        other = first.setdefault(form, name)
        if other != name and canonical(other) != canonical(name):
            said = " and ".join(f"{one!r} ({names[one]})" if names[one] else repr(one) for one in (other, name))
            raise error(
                f"{where}{kind} {said} differ only in what stands between their words; spell them alike, or, where they are really "
                "different, rename one"
            )


def refuse_marked(
    kind: str, names: Mapping[str, str], where: str = "", *, error: type[VjepaFerError] = ManifestError
) -> None:
    """Raise where two names differ only in a mark at the end, as of a footnote or a doubt: ``angry``, ``angry*``, ``angry (?)``; parameters as
    of :func:`refuse_spelled_twice`."""
    known = {canonical(name): name for name in names}
    for name in names:
        plain = known.get(canonical(name[:-_LONGEST_MARK] + _MARK.sub("", name[-_LONGEST_MARK:])))
        if plain is not None and canonical(plain) != canonical(name):
            said = " and ".join(f"{one!r} ({names[one]})" if names[one] else repr(one) for one in (plain, name))
            raise error(
                f"{where}{kind} {said} differ only in a mark at the end; take it away, or, where they are really different, write what it "
                "means as a word"
            )


def rows_of(numbered: Iterable[tuple[int, str]]) -> dict[str, str]:
    """Each name → the rows in which it stands, the first few of them: ``row 7``, ``rows 2, 3, 4, 5 and 8 more``."""
    found: dict[str, list[int]] = {}
    for number, name in numbered:
        found.setdefault(name, []).append(number)
    return {name: _said_rows(rows) for name, rows in found.items()}


def _said_rows(rows: Sequence[int]) -> str:
    listed = ", ".join(map(str, rows[:_MOST_ROWS]))
    more = f" and {len(rows) - _MOST_ROWS:,} more" if len(rows) > _MOST_ROWS else ""
    return f"row{'s' if len(rows) > 1 else ''} {listed}{more}"


def refuse_missing(
    kind: str, names: Mapping[str, str], where: str = "", *, error: type[VjepaFerError] = ManifestError
) -> None:
    """Raise where one of the names is a word for missing data; parameters as of :func:`refuse_spelled_twice`, `kind` in the singular."""
    for name, place in names.items():
        if is_missing(name):
            said = f"{where.removesuffix(': ')}, {place}: ".removeprefix(", ") if place else where
            raise error(
                f"{said}{kind} {name!r} is a word for missing data, and every clip needs one; "
                "fill it in or take the clips out; where it is a real name, write another (no_expression)"
            )


def refuse_measurements(labels: Sequence[str], where: str = "", *, error: type[VjepaFerError] = ManifestError) -> None:
    """Raise where labels are numbers that measure something, such as valence: fractions, or too many to be codes of classes."""
    values = [_number(label) for label in labels]
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(labels) or not numbers:
        return
    fractions = any(value != round(value) for value in numbers)
    if fractions or len(set(numbers)) > MOST_NUMERIC_CLASSES:
        raise error(
            f"{where}{len(labels):,} labels that are numbers, from {min(numbers):g} to {max(numbers):g}: these look like measurements; "
            "expected class names. Where they are classes, name them (low, high …)"
        )


def _number(label: str) -> float | None:
    try:
        value = float(canonical(label).replace(",", ".", 1))
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None
