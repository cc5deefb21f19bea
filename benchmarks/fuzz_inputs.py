"""Texts and tables that commands read go in, broken in many ways; what the commands make of them comes out, as JSON.

    python benchmarks/fuzz_inputs.py --inputs 10000 --out benchmarks/fuzz_inputs.json

Every input is one file of a sound folder (a manifest, a corpus' list, a feature table, a cache, a run, folds, a table to judge …), changed by
structure (values of other types, keys and columns gone or doubled, nesting, numbers beyond all bounds, half Unicode pairs) or by bytes (bits,
ends, encodings, NUL, quotation marks, bombs); half of those that carry digests get right ones, as somebody who means harm would give
them. Then the command runs, as typed. It must end in success or with an error of ours. Anything else is a fault: a traceback, more than
thirty seconds of CPU for a command ("hang"), a dead interpreter, or more than a gigabyte of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gzip
import hashlib
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer
import typer.main

MOST_MEMORY_MB = 1000
MOST_SECONDS = 30
"""Of CPU, so that a busy machine finds no hang; for one command."""
LARGEST_INPUT = 16_000_000

Rng = np.random.Generator
CLIPS = 24

# Ways to break a text. -------------------------------------------------------------------------------------------------

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


# What is read, and by which command. -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A file of the seed folder, the commands that read it, and how its digests are made right.

    Attributes
    ----------
    file : str
        Below the seed folder.
    commands : tuple of str
        Blanks between words; ``OUT`` is a fresh path each time.
    structure : callable
    seal : callable, optional
        The path, the changed bytes → None: writes them with right digests.
    packed : bool
        Whether ``.gz`` is read as well.
    """

    file: str
    commands: tuple[str, ...]
    structure: Callable[[bytes, Rng], tuple[str, bytes]] = break_table
    seal: Callable[[Path, bytes], None] | None = None
    packed: bool = False


def seal_json(path: Path, data: bytes) -> None:
    """The digest of the whole, in it."""
    try:
        facts = json.loads(data)
        facts.pop("sha256", None)
        canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        facts["sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
        if isinstance(facts.get("recipe"), dict):
            recipe = json.dumps(facts["recipe"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            facts["fingerprint"] = hashlib.sha256(recipe.encode()).hexdigest()
            canonical = json.dumps(
                {k: v for k, v in facts.items() if k != "sha256"},
                sort_keys=True,
                separators=(",", ":"),
                ensure_ascii=False,
            )
            facts["sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
        path.write_text(json.dumps(facts), encoding="utf-8")
    except (ValueError, AttributeError, RecursionError, TypeError):
        path.write_bytes(data)


def seal_run(path: Path, data: bytes) -> None:
    """A file of a run, and its digest in ``run.json``."""
    path.write_bytes(data)
    run = path.parent / "run.json"
    facts = json.loads(run.read_text())
    facts["files"][path.name] = hashlib.sha256(data).hexdigest()
    seal_json(run, json.dumps(facts).encode())


def seal_piece(path: Path, data: bytes) -> None:
    """A piece of a cache's manifest, named by what it holds."""
    path.unlink()
    (path.parent / f"0000-{hashlib.sha256(data).hexdigest()[:32]}.csv").write_bytes(data)


def seal_failures(path: Path, data: bytes) -> None:
    """Rows of failures with right CRC-32."""
    head, *rows = data.split(b"\n")
    bodies = [row.rpartition(b",")[0] for row in rows if row]
    path.write_bytes(b"\n".join([head, *(b"%s,%08x" % (body, zlib.crc32(body)) for body in bodies)]) + b"\n")


def seal_folds(path: Path, data: bytes) -> None:
    """Folds without a digest, as people write them."""
    try:
        facts = json.loads(data)
        facts.pop("sha256", None)
        path.write_text(written(facts))
    except (ValueError, AttributeError, RecursionError, TypeError, UnicodeError):
        path.write_bytes(data)


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


TARGETS = {
    "manifest": Target("manifest.csv", ("manifest csv manifest.csv -o OUT.csv", "cache import features.csv OUT -m manifest.csv"), packed=True),
    "manifest columns": Target("manifest.csv", ("evaluate predictions.csv -m manifest.csv --by sex,age_band --exclude damaged",)),
    "folds by column": Target("manifest.csv", ("cache import features.csv OUT -m manifest.csv", "probe OUT --folds column:split --probe centroid --allow-leak")),
    "features": Target("features.csv", ("cache import features.csv OUT -m manifest.csv", "cache info OUT")),
    "npz": Target("features.npz", ("cache import features.npz OUT -m manifest.csv",), break_binary),
    "npy": Target("features.npy", ("cache import features.npy OUT -m manifest.csv --id-column ids.txt",), break_binary),
    "ids": Target("ids.txt", ("cache subset cache -o OUT --clips ids.txt", "cache import features.npy OUT2 -m manifest.csv --id-column ids.txt")),
    "cache.json": Target("cache/cache.json", ("cache info cache", "cache verify cache"), break_json, seal_json),
    "copying.json": Target("begun/copying.json", ("cache merge cache -o begun",), break_json),
    "manifest piece": Target("cache/manifest/PIECE", ("cache info cache", "cache verify cache", "cache repair cache"), break_table, seal_piece),
    "manifest copy": Target("cache/manifest.csv", ("cache info cache", "cache repair cache")),
    "failed piece": Target("cache/failed/PIECE", ("cache info cache", "cache merge cache -o OUT", "cache repair cache"), break_table, seal_failures),
    "cache.json 1": Target("cache1/cache.json", ("cache info cache1", "cache merge cache1 -o OUT"), break_json, seal_json),
    "manifest 1": Target("cache1/manifest.csv", ("cache info cache1",)),
    "failed 1": Target("cache1/failed.csv", ("cache info cache1", "cache merge cache1 -o OUT")),
    "run.json": Target("run/run.json", ("runs show run", "runs list run"), break_json, seal_json),
    "run.json compared": Target("run/run.json", ("runs compare run run2", "report run -o OUT.html"), break_json, seal_json),
    "nested run.json": Target("nested/run.json", ("runs show nested", "runs list nested"), break_json, seal_json),
    "folds.json": Target("run/folds.json", ("runs show run",), break_json, seal_run),
    "predictions.csv": Target("run/predictions.csv", ("runs show run", "evaluate run"), break_table, seal_run),
    "groups.csv": Target("run/groups.csv", ("runs show run", "report run -o OUT.html"), break_table, seal_run),
    "fitted recipe": Target("run/fitted/recipe.json", ("FITTED run",), break_json),
    "fitted probe": Target("run/fitted/probe/probe.json", ("FITTED run",), break_json, seal_json),
    "folds": Target("folds.json", ("probe cache --folds file:folds.json --probe centroid",), break_json, seal_folds),
    "judged": Target("predictions.csv", ("evaluate predictions.csv", "evaluate predictions.csv -m manifest.csv --by sex"), packed=True),
    "judged abroad": Target("predictions.csv", ("evaluate predictions.csv --policy strict,merge,drop-true",)),
    "compared": Target("predictions.csv", ("runs compare predictions.csv run --intersect",)),
    "confusion": Target("confusion.csv", ("evaluate confusion.csv --confusion", "evaluate confusion.csv --confusion --policy strict")),
    "label map": Target("map.csv", ("evaluate predictions.csv --policy merge --label-map map.csv",)),
    "settings": Target("study.toml", ("probe cache --config study.toml",)),
    "dfew": Target("dfew/test(single-labeled)/set_1.csv", ("manifest corpus dfew dfew -o OUT.csv",)),
    "mafw": Target("mafw/single/no_caption/set_1/test.txt", ("manifest corpus mafw mafw -o OUT.csv",)),
    "ferv39k": Target("ferv39k/All_scenes/test_All.csv", ("manifest corpus ferv39k ferv39k -o OUT.csv",)),
    "meld": Target("meld/test_sent_emo.csv", ("manifest corpus meld meld -o OUT.csv",)),
    "ck+": Target("ck/Emotion/S001/001/S001_001_00000014_emotion.txt", ("manifest corpus ck+ ck -o OUT.csv",)),
    "hashes": Target("home/hashes/NOTE", ("HASH weights.pt",), break_json),
    "registration": Target("home/models/mine.toml", ("models list", "models info mine")),
    "record": Target("home/weights/tiny.pt.json", ("RECORD home/weights/tiny.pt",), break_json),
}  # fmt: skip


def command_line(words: list[str]) -> str:
    """Run a command as typed; "done", "refused", or a fault."""
    from vjepa_fer.cli import main as program
    from vjepa_fer.errors import VjepaFerError

    sys.argv = ["vjepa-fer", *words]
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)  # what changed the input may have taken time of its own
    try:
        if words[0] == "FITTED":
            from vjepa_fer.evaluation import read_fitted

            read_fitted(Path(words[1]) / "fitted")
        elif words[0] == "HASH":
            from vjepa_fer.encoder.files.hashes import known_sha256

            known_sha256(words[1])
        elif words[0] == "RECORD":
            from vjepa_fer.encoder.files.records import read_record

            read_record(Path(words[1]))
        else:
            program.main()
    except SystemExit as end:
        return "done" if end.code in (None, 0, 4) else "refused"  # 4: done, but for some clips
    except VjepaFerError:
        return "refused"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"FAULT {type(error).__name__}: {str(error)[:200]} ({Path(last.filename).name}:{last.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "done"


# The sound folder. -------------------------------------------------------------------------------------------------------


def write_seeds(folder: Path) -> None:
    """Everything that a target stands in, made by the commands themselves; the working folder."""
    from vjepa_fer.cache.failures import Failure, write_failures
    from vjepa_fer.cache.folder import copied_cache
    from vjepa_fer.cache.reader import open_cache

    labels, ids = ("happy", "sad", "angry"), [f"c{n}" for n in range(CLIPS)]
    said = [labels[n % 3] for n in range(CLIPS)]
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    lines = [
        f"{i},v/{i}.mp4,{said[n]},s{n // 4},{'fm'[n % 2]},{20 + n},{('train', 'test')[n % 2]},{n % 4},{n % 3},{(n + 1) % 2}"
        for n, i in enumerate([*ids, "absent"] [:CLIPS])
    ]  # fmt: skip
    head = "clip_id,path,label,subject,sex,age,split,votes_happy,votes_sad,votes_angry\n"
    Path("manifest.csv").write_text(head + "\n".join(lines) + "\nabsent,v/absent.mp4,sad,s9,f,30,train,1,1,1\n")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(CLIPS, 4)) + 3 * np.eye(4)[[n % 3 for n in range(CLIPS)]]
    rows = (f"{i},{','.join(f'{x:.4f}' for x in row)}\n" for i, row in zip(ids, values, strict=True))
    Path("features.csv").write_text("clip_id,f0,f1,f2,f3\n" + "".join(rows))
    np.savez("features.npz", clip_id=np.array(ids), X=values, columns=np.array(["f0", "f1", "f2", "f3"]))
    np.save("features.npy", values)
    Path("ids.txt").write_text("\n".join(ids) + "\n")
    shares = ["0.7,0.2,0.1", "0.2,0.6,0.2", "0.25,0.25,0.5"]
    table = (f"{i},{said[n]},{said[n]},{n % 2},s{n // 4},{shares[n % 3]}\n" for n, i in enumerate(ids))
    Path("predictions.csv").write_text(
        "clip_id,true_label,predicted_label,fold,subject,happy,sad,angry\n" + "".join(table)
    )
    Path("confusion.csv").write_text("true_label,happy,sad,angry\nhappy,5,1,0\nsad,0,6,1\nangry,1,1,7\n")
    Path("map.csv").write_text("label,name\nhappy,joy\nsad,sadness\n")
    Path("study.toml").write_text(
        'seed = 1\njson = true\nprobe = "centroid"\nfolds = "subject-kfold:3"\n[param]\nmetric = "cosine"\n'
    )
    run("cache import features.csv cache -m manifest.csv")
    run("probe cache --probe centroid --folds subject-kfold:3 --by sex --out run --refit")
    run("probe cache --probe knn --folds subject-kfold:3 --out run2")
    run("probe cache --probe knn --param k=1,3 --folds subject-kfold:3 --out nested --nested")
    for name in ("run", "run2", "nested"):
        found = next(Path(name).rglob("run.json")).parent
        if found != Path(name):
            found.rename("moved"), shutil.rmtree(name), Path("moved").rename(name)
    shutil.copy("run/folds.json", "folds.json")
    cache = open_cache("cache")
    write_failures(Path("cache"), {"absent": Failure("absent", "v/absent.mp4", "missing", "no such file", "0" * 16)})
    with (
        contextlib.suppress(KeyboardInterrupt),
        copied_cache("begun", cache.recipe, cache.manifest, {}, source=str(folder.parent / "work" / "cache")),
    ):
        raise KeyboardInterrupt
    shutil.copytree("cache", "cache1")
    shutil.rmtree("cache1/manifest"), shutil.rmtree("cache1/failed")
    facts = json.loads(Path("cache1/cache.json").read_text()) | {"format_version": 1}
    seal_json(Path("cache1/cache.json"), json.dumps(facts).encode())
    write_corpora()
    write_home()


def write_corpora() -> None:
    """Official lists with a clip or two each."""

    def put(path: str, text: str = "") -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)

    for fold in range(1, 6):
        put(f"dfew/train(single-labeled)/set_{fold}.csv", "video_name,label\n99,1\n")
        put(f"dfew/test(single-labeled)/set_{fold}.csv", f"video_name,label\n{fold},{fold}\n{fold + 5},2\n")
        put(f"dfew/original/{fold}.mp4")
        put(f"mafw/single/no_caption/set_{fold}/train.txt", "09999.mp4 anger\n")
        put(f"mafw/single/no_caption/set_{fold}/test.txt", f"0000{fold}.mp4 fear\n")
        put(f"mafw/clips/0000{fold}.mp4")
    for split, number in (("train", 1), ("test", 2)):
        put(f"ferv39k/All_scenes/{split}_All.csv", f"Action/Happy/000{number} Happy\n")
        put(f"ferv39k/2_ClipsforFaceCrop/Action/Happy/000{number}.mp4")
    for short, place in (
        ("train", "train_splits"),
        ("dev", "dev_splits_complete"),
        ("test", "output_repeated_splits_test"),
    ):
        head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID"
        put(f"meld/{short}_sent_emo.csv", f"{head}\n1,Oh no,Ross,sadness,negative,0,0\n2,Yes,Rachel,joy,positive,0,1\n")
        put(f"meld/{place}/dia0_utt0.mp4")
    put("ck/Emotion/S001/001/S001_001_00000014_emotion.txt", "   3.0000000e+00\n")
    put("ck/cohn-kanade-images/S001/001/S001_001_00000001.png")


def write_home() -> None:
    """A home folder with a remembered hash, a registration and a record."""
    from vjepa_fer.encoder.files.hashes import known_sha256

    Path("weights.pt").write_bytes(b"weights")
    os.utime("weights.pt", (1e9, 1e9))
    time.sleep(2.1)
    known_sha256("weights.pt")
    for name in ("models", "weights"):
        Path("home", name).mkdir(parents=True, exist_ok=True)
    Path("home/models/mine.toml").write_text(
        'like = "vjepa2-large-256"\nweights = "mine.pt"\nstate_key = "target_encoder"\n'
    )
    Path("home/weights/tiny.pt").write_bytes(b"weights")
    record = dict.fromkeys(("url", "sha256", "state_key", "licence", "fetched"), "x") | {"size": 7}
    Path("home/weights/tiny.pt.json").write_text(json.dumps(record))


def run(line: str) -> None:
    """A command that must work."""
    end = command_line(line.split())
    if end != "done":
        raise SystemExit(f"`vjepa-fer {line}`: {end}")


def find(target: Target, folder: Path) -> Path:
    """The target's file; pieces have names of their own."""
    path = folder / target.file
    return path if path.name not in ("PIECE", "NOTE") else next(p for p in sorted(path.parent.iterdir()))


# The work. ---------------------------------------------------------------------------------------------------------------


def one_input(number: int, name: str, seeds: Path) -> tuple[str, str]:
    """Break one file of a copy of the seeds, and run its commands: the way, and the end."""
    target, rng = TARGETS[name], np.random.default_rng([20, number])
    work = seeds.parent / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(seeds, work, ignore=lambda folder, names: _unneeded(target, Path(folder), seeds, names))
    os.chdir(work)
    os.environ["VJEPA_FER_HOME"] = str(work / "home")
    path = find(target, work)
    way, broken = break_text(path.read_bytes(), rng, target.structure)
    broken, commands = broken[:LARGEST_INPUT], target.commands
    if target.packed and rng.random() < 0.1:
        packed = gzip.compress(broken * (1 if len(broken) > 10**5 else int(pick(rng, (1, 1, 2000)))), 1)
        path = path.with_name(path.name + ".gz")
        path.write_bytes(break_bytes(packed, rng)[1] if rng.random() < 0.5 else packed)
        way, commands = "gz " + way, tuple(line.replace(target.file, path.name) for line in commands)
    elif target.seal and rng.random() < 0.7:
        target.seal(path, broken)
        way = "sealed " + way
    else:
        path.write_bytes(broken)
    ends = []
    for line in commands:
        end = command_line(line.replace("OUT", "out").split())
        if end.startswith("FAULT"):
            return way, f"{end} in `{line}`"
        ends.append(end)
    return way, "done" if set(ends) == {"done"} else "refused"


def _unneeded(target: Target, folder: Path, seeds: Path, names: list[str]) -> list[str]:
    """Folders of the seeds that no command of a target names."""
    said = " ".join([target.file, *target.commands])
    if folder != seeds:
        return []
    return [name for name in names if (seeds / name).is_dir() and name not in said.replace("/", " ").split()]


def work(first: int, count: int, only: str | None, seeds: Path) -> None:
    """Run `count` inputs; the number of each goes to stdout before it starts and its end after, so that a crash has a name."""
    out = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1), os.dup2(null, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not (seeds / "manifest.csv").exists():
        os.environ["VJEPA_FER_HOME"] = str(seeds / "home")
        write_seeds(seeds)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    typer.main.get_command = functools.cache(typer.main.get_command)  # which takes longer than most commands
    names = [name for name in TARGETS if not only or only in name]
    for number in range(first, first + count):
        name = names[number % len(names)]
        print(json.dumps([number, name, "", None, 0]), file=out, flush=True)
        signal.alarm(10 * MOST_SECONDS)
        before = time.process_time()
        way, end = one_input(number, name, seeds)
        seconds = time.process_time() - before
        signal.alarm(0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        if peak > MOST_MEMORY_MB:
            end = f"FAULT {peak} MB of memory"
        print(json.dumps([number, name, way, end, peak, round(seconds, 3)]), file=out, flush=True)
        if peak > MOST_MEMORY_MB:
            return


def run_range(first: int, inputs: int, only: str | None) -> list[list[Any]]:
    """Number, target, way, end, MB and seconds of each input, in processes of 250; a dead one is a fault of the input that it was at."""
    found: list[list[Any]] = []
    number = first
    with tempfile.TemporaryDirectory() as folder:
        while number < first + inputs:
            count = min(250, first + inputs - number)
            command = [sys.executable, __file__, "--work", str(number), str(count), "--seeds", f"{folder}/seeds"]
            command += ["--only", only] if only else []
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            if not lines:
                raise SystemExit(f"the worker did not start:\n{done.stderr}")
            found += [line for line in lines if line[3] is not None]
            if done.returncode != 0:
                code = done.returncode
                how = (
                    "hang" if code in (-signal.SIGPROF, -signal.SIGALRM) else f"ended with {code}: {done.stderr[-300:]}"
                )
                found.append([*lines[-1][:2], "?", f"FAULT {how}", 0, 0])
            number = found[-1][0] + 1
            print(f"{number - first:,} of {inputs:,}", *(line for line in found if "FAULT" in line[3]), file=sys.stderr)
    return found


def fuzz(first: int, inputs: int, only: str | None, jobs: int) -> dict[str, Any]:
    """All inputs, and what became of them."""
    started, step = time.perf_counter(), -(-inputs // jobs)
    parts = [(begin, min(step, first + inputs - begin)) for begin in range(first, first + inputs, step)]
    with ThreadPoolExecutor(jobs) as threads:
        found = [line for part in threads.map(lambda part: run_range(*part, only), parts) for line in part]
    kinds = ["FAULT" if line[3].startswith("FAULT") else line[3] for line in found]
    of_target: dict[str, Counter[str]] = {}
    for line, kind in zip(found, kinds, strict=True):
        of_target.setdefault(line[1], Counter())[kind] += 1
    slowest = max(found, key=lambda line: line[5])
    return {
        "benchmark": "fuzz_inputs",
        "inputs": inputs,
        "first": first,
        "ends": Counter(kinds),
        "peak_memory_mb": max(line[4] for line in found),
        "slowest": {"input": slowest[:3], "cpu_seconds": slowest[5]},
        "targets": of_target,
        "ways": dict(sorted(Counter(line[2] for line in found).items())),
        "faults": [line[:4] for line, kind in zip(found, kinds, strict=True) if kind == "FAULT"],
        "seconds": round(time.perf_counter() - started, 1),
        "versions": {"numpy": np.__version__, "python": platform.python_version()},
    }


def main() -> None:
    """Run, print, and end with 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input: each is drawn by its own")
    parser.add_argument("--jobs", type=int, default=1, help="side by side")
    parser.add_argument("--only", help="targets whose name holds this")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work, options.only, options.seeds)
        return
    result = fuzz(options.first, options.inputs, options.only, options.jobs)
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    sys.exit(1 if result["faults"] else 0)


if __name__ == "__main__":
    main()
