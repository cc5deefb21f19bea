"""LightGBM's text of a model comes in, believed in nothing; :class:`Trees` go out, or an error that names the line.

LightGBM's own reader trusts its text: of one with a changed digit it ends the process, or never comes back. A text from a file is
read here instead, line by line, and goes no further. Only what our own fits write is understood: splits of numbers, none missing.

::

    tree                      the header, a field a line
    num_class=3
    …

    Tree=0                    the first tree, one for each class a round
    num_leaves=3
    split_feature=1 2         column of each split
    left_child=1 -1           the number of a split, or from -1 down a leaf
    …

    end of trees
    …                         how it was fitted: of no account here
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes.boosting.trees import Trees

MOST_LEAVES = 131_072
"""Of a tree, in LightGBM too."""

_HEADER = (
    "tree", "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective",
    "feature_names", "feature_infos", "tree_sizes",
)  # fmt: skip
_TREE = (
    "Tree", "num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type", "left_child",
    "right_child", "leaf_value", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count",
    "is_linear", "shrinkage",
)  # fmt: skip
_END = "end of trees"
_NAMES = frozenset((*_HEADER, *_TREE, _END))
_NUMERICAL, _MISSING_GOES_LEFT = 0, 2
"""The kinds of split that are understood: where what is missing would go is all one, as nothing is."""

T = TypeVar("T", int, float)

_LINE = re.compile(r"(.*)\n")
# Python reads more as a number than LightGBM writes: nan, 1_000, the digits of other scripts
_WHOLES = re.compile(r"[0-9 -]*")
_NUMBERS = re.compile(r"[0-9.e+ -]*")


def read_trees(text: str, *, num_classes: int, num_features: int) -> Trees:
    """Read the text of a model that :class:`vjepa_fer.probes.boosting.probe.BoostingProbe` fitted.

    Raises
    ------
    ProbeError
        A line that is not as LightGBM writes it for such a probe, is missing or twice there; its number is named.
    """
    blocks = _blocks(text)
    _check_header(next(blocks, {}), num_classes, num_features)
    growing = _Growing()
    for block in blocks:
        if _END in block:
            break
        growing.add(block, num_features)
    else:
        raise ProbeError(f"model.txt: ends before {_END!r}")
    return growing.trees(num_classes)


@dataclass(frozen=True, slots=True)
class _Field:
    """A line ``name=value``, with its number."""

    line: int
    name: str
    value: str

    def refuse(self, expected: str) -> NoReturn:
        value = self.value if len(self.value) <= 60 else f"{self.value[:60]}…"
        raise ProbeError(f"model.txt, line {self.line}: {self.name} is {value!r}, expected {expected}")

    def check(self, expected: object) -> None:
        if self.value != str(expected):
            self.refuse(repr(str(expected)))

    def wholes(self, count: int, least: int, most: int) -> list[int]:
        """`count` whole numbers within bounds."""
        numbers = self._parsed(count, _WHOLES, int)
        if numbers is None or not all(least <= number <= most for number in numbers):
            self.refuse(_counted(count, "whole number", f" from {least} to {most}"))
        return numbers

    def numbers(self, count: int) -> list[float]:
        """`count` finite numbers."""
        numbers = self._parsed(count, _NUMBERS, float)
        if numbers is None or not all(map(math.isfinite, numbers)):
            self.refuse(_counted(count, "finite number"))
        return numbers

    def _parsed(self, count: int, characters: re.Pattern[str], kind: Callable[[str], T]) -> list[T] | None:
        """`count` numbers with a blank between them; a line that is too long is not taken apart."""
        blanks = self.value.count(" ") if self.value else -1
        if blanks != count - 1 or not characters.fullmatch(self.value):
            return None
        try:
            return list(map(kind, self.value.split(" "))) if count else []
        except ValueError:
            return None


_Block = dict[str, _Field]


def _blocks(text: str) -> Iterator[_Block]:
    """Lines without an empty one between them, by name."""
    block: _Block = {}
    for number, match in enumerate(_LINE.finditer(text), 1):
        name, _, value = match[1].partition("=")
        if name in block:
            block[name].refuse(f"no second {name!r} as there is in line {number}")
        if name and name not in _NAMES:
            raise ProbeError(f"model.txt, line {number}: {name[:60]!r} is nothing that a probe's trees have")
        if name:
            block[name] = _Field(number, name, value)
        elif block:
            yield block
            block = {}


def _check_names(block: _Block, names: tuple[str, ...]) -> None:
    where = f"model.txt, line {next(iter(block.values())).line}" if block else "model.txt"
    wrong = [f"{name!r} is missing" for name in names if name not in block]
    wrong += [f"{name!r} does not belong here" for name in block if name not in names]
    if wrong:
        raise ProbeError(f"{where}: {wrong[0]}; expected {', '.join(names)}")


def _check_header(block: _Block, num_classes: int, num_features: int) -> None:
    _check_names(block, _HEADER)
    expected = {
        "tree": "",
        "version": "v4",
        "num_class": num_classes,
        "num_tree_per_iteration": num_classes,
        "max_feature_idx": num_features - 1,
        "objective": f"multiclass num_class:{num_classes}",
    }
    for name, value in expected.items():
        block[name].check(value)
    if block["feature_infos"].value.count(" ") != num_features - 1:  # no model of so many features is so short
        block["feature_infos"].refuse(f"something of each of {num_features} features")


@dataclass
class _Growing:
    """Trees that were read, in arrays that grow; children are numbered as in the text."""

    num_splits: array[int] = field(default_factory=lambda: array("q"))
    features: array[int] = field(default_factory=lambda: array("q"))
    thresholds: array[float] = field(default_factory=lambda: array("d"))
    left: array[int] = field(default_factory=lambda: array("q"))
    right: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, block: _Block, num_features: int) -> None:
        """Check a tree, all of it, and take it."""
        _check_names(block, _TREE)
        for name, expected in (("Tree", len(self.num_splits)), ("num_cat", 0), ("is_linear", 0)):
            block[name].check(expected)
        (num_leaves,) = block["num_leaves"].wholes(1, 1, MOST_LEAVES)
        splits = num_leaves - 1
        if not set(block["decision_type"].wholes(splits, 0, 127)) <= {_NUMERICAL, _MISSING_GOES_LEFT}:
            block["decision_type"].refuse(
                f"{_NUMERICAL} or {_MISSING_GOES_LEFT} alone: splits of numbers, none missing"
            )
        left, right = (block[f"{side}_child"].wholes(splits, -num_leaves, splits - 1) for side in ("left", "right"))
        self.num_splits.append(splits)
        self.features.extend(block["split_feature"].wholes(splits, 0, num_features - 1))
        self.thresholds.extend(block["threshold"].numbers(splits))
        self.left.extend(left)
        self.right.extend(right)
        self.values.extend(block["leaf_value"].numbers(num_leaves))

    def trees(self, num_classes: int) -> Trees:
        """All of them, with one numbering."""
        if not self.num_splits or len(self.num_splits) % num_classes:
            raise ProbeError(
                f"model.txt: {len(self.num_splits)} trees do not make rounds of {num_classes}, one a class"
            )
        sizes = np.array(self.num_splits, np.int64)
        first_split, first_leaf = np.cumsum(sizes) - sizes, np.cumsum(sizes + 1) - sizes - 1 + sizes.sum()
        roots = np.where(sizes > 0, first_split, first_leaf)
        own = np.array([self.left, self.right], np.int64).T
        splits, leaves = np.repeat(first_split, sizes)[:, None], np.repeat(first_leaf, sizes)[:, None]
        children = np.where(own >= 0, splits + own, leaves + ~own)
        _check_children(children, roots, np.repeat(np.arange(len(sizes)), sizes))
        nothing, themselves = np.zeros(len(self.values), np.int64), np.arange(len(self.values)) + len(own)
        return Trees(
            num_classes=num_classes,
            roots=roots,
            features=np.concatenate([np.array(self.features, np.int64), nothing]),
            thresholds=np.concatenate([np.array(self.thresholds), nothing]),
            children=np.concatenate([children, np.stack([themselves, themselves], axis=1)]),
            values=np.array(self.values),
        )


def _check_children(children: NDArray[np.int64], roots: NDArray[np.int64], tree: NDArray[np.int64]) -> None:
    """Every node but the roots hangs once, and from a split with a smaller number: there is no way round in circles."""
    hung = np.bincount(children.ravel(), minlength=len(children) + len(children) + len(roots))
    hung[roots] += 1
    wrong = (children <= np.arange(len(children))[:, None]) | (hung[children] != 1)
    if wrong.any():
        number = tree[wrong.any(axis=1).argmax()]
        raise ProbeError(
            f"model.txt: Tree={number} is none: a leaf or split does not hang once, and from an earlier split"
        )


def _counted(count: int, what: str, bounds: str = "") -> str:
    return f"{count} {what}{'s' * (count > 1)}{bounds}" if count else "nothing"
