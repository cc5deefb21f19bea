"""A pickle of plain values comes in; the values go out, and what it would import and call stands among them as a description.

Nothing is imported, called or built: this reads the notation, as :mod:`pickletools` does. Python's and PyTorch's readers call functions
that they hold for harmless, and of 400 bytes such a call makes 9 GB.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LARGEST_PICKLE = 8 << 20
"""Bytes; that of a training checkpoint of ten thousand tensors has two million."""

MOST_STEPS = 2_000_000

_DAMAGE = (IndexError, KeyError, TypeError, AttributeError, RecursionError, MemoryError, Warning)
"""What steps of a pickle that nobody wrote end in; a warning, of a strange escape, where those are errors."""

_DICTIONARIES = {"collections.OrderedDict"}
_SCALARS = (str, int, float, bool, bytes, type(None))


class ForeignObjectError(ValueError):
    """It names something that the caller did not expect; the message is the name."""


@dataclass(frozen=True, slots=True)
class Named:
    """A function or a class, by module and name."""

    name: str


@dataclass(frozen=True, slots=True)
class Called:
    """What a call of `name` with `arguments` would make."""

    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class Outside:
    """Something that the writer kept elsewhere, by what it calls it."""

    key: Any


def read_pickle(data: bytes, *, is_expected: Callable[[str], bool]) -> Any:
    """The value of a pickle: None, bool, int, float, str, bytes, tuple, list, dict, and :class:`Named`, :class:`Called`, :class:`Outside`.

    Sets and other classes are :class:`Called`; an ordered dict is a dict. A value can occur in itself and often: look at what you
    expect, and never walk through everything.

    Parameters
    ----------
    data : bytes
    is_expected : callable
        Whether the pickle may name this function or class, such as ``collections.OrderedDict``.

    Raises
    ------
    ForeignObjectError
        It names another.
    ValueError
        Damaged, of a kind that is not needed for plain values, or too much.
    """
    if len(data) > LARGEST_PICKLE:
        raise ValueError(f"its description of what it holds has over {LARGEST_PICKLE:,} bytes")
    machine = _Machine(is_expected)
    try:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if steps >= MOST_STEPS:
                raise ValueError(f"its description of what it holds has over {MOST_STEPS:,} steps")
            machine.step(opcode.name, argument)
        if len(machine.stack) != 1 or machine.below:
            raise IndexError
        return machine.stack[0]
    except _DAMAGE as error:
        raise ValueError("its description of what it holds is damaged") from error


class _Machine:
    """The stack, the marked stacks below it, and what was put aside."""

    def __init__(self, is_expected: Callable[[str], bool]) -> None:
        self.is_expected = is_expected
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _PUSH:
            self.stack.append(argument)
        elif name in _MAKE:
            self.stack.append(_MAKE[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise ForeignObjectError(f"the step {name}")

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def put(self, number: int | None) -> None:
        self.memo[len(self.memo) if number is None else number] = self.stack[-1]

    def get(self, number: int) -> None:
        self.stack.append(self.memo[number])

    def short_tuple(self, length: int) -> None:
        if len(self.stack) < length:
            raise IndexError
        self.stack[-length:] = [tuple(self.stack[-length:])]

    def long_tuple(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append(tuple(items))

    def extend(self, items: list[Any]) -> None:
        there = self.stack[-1]
        if isinstance(there, list):
            there.extend(items)
        elif not isinstance(there, Called):  # a set, of which nothing is needed
            raise TypeError

    def set_items(self, items: list[Any]) -> None:
        there = self.stack[-1]
        if isinstance(there, dict):
            there.update(_pairs(items[::2], items[1::2]))
        elif not isinstance(there, Called):
            raise TypeError

    def last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def name(self, text: str) -> None:
        if not self.is_expected(text):
            raise ForeignObjectError(text)
        self.stack.append(Named(text))

    def name_from_stack(self, _: Any) -> None:
        module, name = self.last(2)
        self.name(f"{module}.{name}")

    def call(self, _: Any) -> None:
        function, arguments = self.last(2)
        if not isinstance(function, Named):
            raise TypeError
        self.stack.append(_called(function.name, arguments))

    def build(self, _: Any) -> None:
        """The attributes of an object: nothing that is a plain value has any."""
        self.last(1)
        if not isinstance(self.stack[-1], dict | Called):
            raise TypeError

    def outside(self, _: Any) -> None:
        self.stack.append(Outside(self.stack.pop()))


def _called(name: str, arguments: Any) -> Any:
    if name not in _DICTIONARIES:
        return Called(name, arguments)
    pairs = arguments[0] if arguments else []
    return _pairs([key for key, _ in pairs], [value for _, value in pairs])


def _pairs(keys: list[Any], values: list[Any]) -> dict[Any, Any]:
    """A dict whose keys are texts, numbers or tuples of such: deeper ones take for ever to hash."""
    for key in keys:
        if not all(isinstance(part, _SCALARS) for part in (key if isinstance(key, tuple) else (key,))):
            raise ValueError("it holds a key that is neither a text nor a number")
    return dict(zip(keys, values, strict=True))


_PUSH = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING", "SHORT_BINSTRING"),
}
_MAKE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": lambda: Called("builtins.set", ()),
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
    "TUPLE1": lambda machine, _: machine.short_tuple(1),
    "TUPLE2": lambda machine, _: machine.short_tuple(2),
    "TUPLE3": lambda machine, _: machine.short_tuple(3),
    "TUPLE": _Machine.long_tuple,
    "APPEND": lambda machine, _: machine.extend(machine.last(1)),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: machine.extend(machine.since_mark())),
    "SETITEM": lambda machine, _: machine.set_items(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "GLOBAL": lambda machine, text: machine.name(text.replace(" ", ".", 1)),
    "STACK_GLOBAL": _Machine.name_from_stack,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine.call),
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.outside,
}
