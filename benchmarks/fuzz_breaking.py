"""A text, a table, JSON or an archive goes in; what way it was broken comes out, and the broken bytes. For ``fuzz_inputs.py``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
NUMBERS = ("0", "-1", "1e999", "-1e999", "NaN", "Infinity", "9" * 400, "9" * 5000, "1e-400", "0.1", "-0", "2147483648", "9223372036854775808")  # fmt: skip
TEXTS = ("", " ", "x" * 2000, "x" * 200_000, "\ud800", "a\ud800b", "\u0000", "\n", "\r", "\u2028", "é" * 300, "../../etc/passwd", "/dev/zero", "=1+1",
         "'=1", "nan", "inf", "1,5", "٣", "²", "\x1b[31m", "\u202e", "con", ".", "..", "a/b", "[bold]", "{0}", "%s", "\ufeff", "None", "true", "🙂")  # fmt: skip
ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "cp037")


def pick(rng: Rng, values: Any) -> Any:
    """One of a sequence."""
    return values[int(rng.integers(len(values)))]


class Raw(str):
    """JSON that stands as it is."""


def any_value(rng: Rng, depth: int = 0) -> Any:
    """A value of any type."""
    kind = int(rng.integers(9 if depth < 3 else 7))
    plain = (None, True, False, 0, -1, 1.5, 2**63)
    return (
        pick(rng, plain) if kind < 2 else
        Raw(pick(rng, NUMBERS)) if kind < 4 else
        pick(rng, TEXTS) if kind < 6 else
        Raw("[" * 200 + "]" * 200) if kind == 6 and rng.random() < 0.3 else
        [any_value(rng, depth + 1) for _ in range(int(rng.integers(4)))] if kind < 8 else
        {pick(rng, TEXTS): any_value(rng, depth + 1) for _ in range(int(rng.integers(4)))}
    )  # fmt: skip


def written(value: Any) -> str:
    """JSON, also of what JSON has not."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {written(inside)}" for key, inside in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *places(value[key]))]


def break_json(data: bytes, rng: Rng) -> tuple[str, bytes]:
    """Another value, a key gone, renamed or doubled, nesting, another top."""
    value = json.loads(data)
    for _ in range(1 + int(rng.random() < 0.3)):
        inside, key = pick(rng, places(value) or [([value], 0)])
        way = pick(rng, ("value", "value", "value", "text", "delete", "rename", "wrap", "many", "sibling"))
        if way == "value":
            inside[key] = any_value(rng)
        elif way == "text":
            inside[key] = pick(rng, TEXTS)
        elif way == "delete":
            del inside[key]
        elif way == "rename" and isinstance(inside, dict):
            inside[pick(rng, TEXTS)] = inside.pop(key)
        elif way == "wrap":
            inside[key] = [inside[key]] if rng.random() < 0.5 else {"x": inside[key]}
        elif way == "many":
            inside[key] = [inside[key]] * int(min(rng.integers(2, 3000), 10**6 // len(written(inside[key])) + 2))
        else:
            other, there = pick(rng, places(value))
            inside[key] = json.loads(json.dumps(other[there])) if not isinstance(other[there], Raw) else None
    text = written(value)
    top = rng.random()
    if top < 0.03:
        text = "[" * 100_000 + text
    elif top < 0.05:
        text = '{"a":' * 50_000 + text + "}" * 50_000
    elif top < 0.08:
        text = pick(
            rng,
            (
                "[]",
                "null",
                "3",
                '"x"',
                "{}",
                "",
                "NaN",
                f"[{text}]",
                text + text,
                text.replace("{", '{"x": 1, "x": 2, ', 1),
            ),
        )
    return f"json {way}", text.encode("utf-8", "surrogatepass")


def break_table(data: bytes, rng: Rng) -> tuple[str, bytes]:
    """Cells, rows and columns gone, doubled, moved or odd."""
    text = data.decode()
    mark = "," if "," in text else " "
    rows = [line.split(mark) for line in text.splitlines()]
    for _ in range(1 + int(rng.random() < 0.3)):
        way = pick(
            rng,
            (
                "cell",
                "cell",
                "cell",
                "header",
                "row gone",
                "row twice",
                "column gone",
                "column twice",
                "short",
                "long",
                "column",
            ),
        )
        row = int(rng.integers(len(rows))) if rows else 0
        column = int(rng.integers(len(rows[0]))) if rows and rows[0] else 0
        odd = pick(rng, TEXTS + NUMBERS)
        many = 5000 if len(odd) < 100 else 3
        if not rows or column >= len(rows[row]):
            continue
        if way == "cell":
            rows[row][column] = odd
        elif way == "header":
            rows[0][column] = odd
        elif way == "row gone":
            del rows[row]
        elif way == "row twice":
            rows[row:row] = [list(rows[row])] * int(pick(rng, (1, 1, 3, 3000)))
        elif way in ("column gone", "column twice", "column"):
            for line in rows:
                if column < len(line):
                    line[column : column + 1] = (
                        [] if way == "column gone" else [line[column]] * 2 if way == "column twice" else [odd]
                    )
        elif way == "short":
            rows[row].pop()
        else:
            rows[row] += [odd] * int(pick(rng, (1, 2, many)))
    end = pick(rng, ("\n", "\n", "\n", "\r\n", "\r", "\n\n"))
    mark = pick(rng, (mark, mark, mark, mark, ";", "\t"))
    return f"table {way}", (end.join(mark.join(row) for row in rows) + end).encode("utf-8", "surrogatepass")


def break_bytes(data: bytes, rng: Rng) -> tuple[str, bytes]:
    """Flipped bits, a part cut out, doubled or moved, odd bytes, another encoding."""
    broken, size = bytearray(data), max(len(data), 1)
    place, length = int(rng.integers(size)), int(rng.integers(1, 200))
    way = pick(rng, ("flip", "byte", "cut", "double", "end", "insert", "encoding", "quote", "nothing"))
    if way == "flip":
        for _ in range(int(rng.integers(1, 8))):
            if broken:
                broken[int(rng.integers(len(broken)))] ^= 1 << int(rng.integers(8))
    elif way == "byte":
        broken[place : place + 1] = bytes([int(rng.integers(256))])
    elif way == "cut":
        del broken[place : place + length]
    elif way == "double":
        broken[place:place] = broken[place : place + length] * int(pick(rng, (1, 2, 500)))
    elif way == "end":
        del broken[place:]
    elif way == "insert":
        broken[place:place] = pick(
            rng, (b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b"\0" * 5000, b"\x1b[2J", rng.bytes(50))
        )
    elif way == "encoding":
        with contextlib.suppress(UnicodeError):
            broken = bytearray(data.decode().encode(pick(rng, ENCODINGS)))
    elif way == "quote":
        broken[place:place] = pick(rng, (b'"', b"'", b'""', b'"\n"', b"\\", b'",'))
    else:
        broken.clear()
    return f"bytes {way}", bytes(broken)


def bomb(data: bytes, rng: Rng) -> tuple[str, bytes]:
    """Much of little."""
    first = data.splitlines()[0] if data else b""
    mark = pick(rng, (b",", b"\n", b'"', b"[", b"a,", b"\0", b" ", b"1\n", b'"\n', b'{"":', first + b"\n"))
    much = mark * (int(pick(rng, (1, 4, 8))) * 1_000_000 // len(mark))
    return "bomb", pick(rng, (much, data + much, first + b"\n" + much))


def break_text(data: bytes, rng: Rng, structure: Callable[[bytes, Rng], tuple[str, bytes]]) -> tuple[str, bytes]:
    """One of the ways."""
    chance = rng.random()
    if chance < 0.02:
        return bomb(data, rng)
    return (break_bytes if chance < 0.35 else structure)(data, rng)


def break_binary(data: bytes, rng: Rng) -> tuple[str, bytes]:
    """Numbers of an archive's directory and of an array's header."""
    broken = bytearray(data)
    marks = [
        i
        for mark in (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"NUMPY", b"shape", b"descr")
        for i in range(len(data))
        if data.startswith(mark, i)
    ]
    place = int(pick(rng, marks)) + int(rng.integers(50))
    width = int(pick(rng, (1, 2, 4, 8)))
    broken[place : place + width] = int(
        pick(rng, (0, 1, 255, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1)) % 256**width
    ).to_bytes(width, "little")
    if rng.random() < 0.3:
        place = data.index(b"(", data.index(b"shape"))
        broken[place : place + 8] = pick(rng, (b"(9999999", b"(-1, 3) ", b"(0, 3),}", b"((3), 3)", b"(1e9, 3)"))
    return "binary", bytes(broken)
