"""Saved probes go in altered in many ways, their digests made right; what loading and asking them gives comes out, as JSON.

    python benchmarks/fuzz_probe.py --inputs 5000 --out benchmarks/fuzz_probe.json

Every kind of probe is saved once; then one of its files is altered (LightGBM's text, the description, the arrays), the digests are
computed anew, as somebody who means harm would, and the folder is loaded and asked about twenty clips. Each must end in one of
three ways: refused with an error of ours; the same answers as before; or other answers, all of them probabilities. Anything else is a
fault: another exception, NaN, a dead interpreter ("crash"), more than ``--memory`` MB, or more than ten seconds ("hang").

Without new digests, as damage leaves a folder, 300 bytes and 300 bits of every file of it (``recipe.json`` too) are altered one by
one; there, other answers are a fault.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from vjepa_fer.errors import VjepaFerError
from vjepa_fer.evaluation import FittedProbe, read_fitted, save_fitted
from vjepa_fer.features import fit_scaler
from vjepa_fer.probes import PROBES, make_probe
from vjepa_fer.probes.saving import SavedProbe
from vjepa_fer.recipe import ImportedRecipe, fingerprint

PARAMS: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": 5, "n_components": 4, "min_child_samples": 3},
    "mlp": {"hidden_layer_sizes": (8, 4), "max_iter": 5, "n_components": 4},
    "attentive": {"epochs": 1, "depth": 2, "num_heads": 2, "embed_dim": 4},
    "svm": {"class_weight": {"sad": 2.0}},
}
RECIPE = ImportedRecipe(source="drawn.csv", source_sha256="0" * 64, columns=tuple(f"f{n}" for n in range(12)))
FLIPS = 600
"""Of every file, without new digests: bytes and bits in turn."""

NUMBERS = ("-1", "0", "1", "-0", "7", "2147483647", "-2147483648", "4294967296", "9" * 30, "1e308", "-1e308", "1e999", "nan", "-nan",
           "inf", "-inf", "1e-320", "0x10", "1_0", "1.5", "٣", "", "é", "--1", "131072", "131073", "1e", "+1", ".", "1 1")  # fmt: skip
VALUES = (None, True, False, 0, -1, 1, 10**9, 2**63, 10**400, -0.5, 1e308, "", "x", "\ud800", "\u0000", "é" * 2000, [], [0], ["a", "a"], [[]],
          {}, {"pairs": 1}, {"pairs": [[1]]}, {"pairs": [[[], 1]]}, {"a": {"b": []}}, [1.5, "a"], [None], "nan", "../../x", "f" * 64)  # fmt: skip
DTYPES = ("float16", "float32", "float64", "int64", "int32", "uint8", "bool")


def draw() -> tuple[np.ndarray, np.ndarray]:
    """Features (60, 12) of three classes, and labels."""
    rng = np.random.default_rng(0)
    codes = np.arange(60) % 3
    X = rng.normal(size=(60, 12)) + 2 * rng.choice([-1, 1], size=(3, 12))[codes]
    return X.astype(np.float32), np.array(["sad", "angry", "happy"])[codes]


def write_seed(kind: str, folder: Path) -> np.ndarray:
    """Save a fitted probe of a kind; its answers about twenty clips."""
    X, y = draw()
    scaler = fit_scaler("standard", X)
    probe = make_probe(kind, PARAMS.get(kind), random_state=3).fit(scaler.apply(X), y)
    expects = {"level": "mean", "recipe": fingerprint(RECIPE)}
    save_fitted(folder, FittedProbe(SavedProbe(probe, scaler, expects), "mean", RECIPE))
    return ask(folder)[0]


def ask(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What a saved probe says of twenty clips: probabilities and numbers of classes."""
    fitted, X = read_fitted(folder), draw()[0][:20]
    return fitted.predict_proba(X, level="mean", recipe=RECIPE), fitted.predict(X, level="mean", recipe=RECIPE)


def pick(rng: np.random.Generator, values: Any) -> Any:
    """One of a sequence."""
    return values[int(rng.integers(len(values)))]


def break_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Flipped bits, other bytes, a part cut out, doubled or moved."""
    broken, size = bytearray(data), len(data)
    place, length = int(rng.integers(size)), int(rng.integers(1, 40))
    way = pick(rng, ("flip", "byte", "cut", "double", "end"))
    if way == "flip":
        for _ in range(int(rng.integers(1, 5))):
            broken[int(rng.integers(size))] ^= 1 << int(rng.integers(8))
    elif way == "byte":
        broken[place] = int(rng.integers(256))
    elif way == "cut":
        del broken[place : place + length]
    elif way == "double":
        broken[place:place] = broken[place : place + length]
    else:
        del broken[place:]
    return bytes(broken)


def break_text(data: bytes, rng: np.random.Generator) -> bytes:
    """LightGBM's text with a line gone, doubled or moved, or a number that should not be there."""
    lines = data.decode().split("\n")
    end = lines.index("end of trees")
    way = pick(rng, ("bytes", "delete", "double", "move", "number", "number", "number", "children", "field"))
    at = int(rng.integers(end + 1))
    if way == "bytes":
        return break_bytes(data[: data.index(b"end of trees") + 14], rng)
    if way == "delete":
        del lines[at : at + int(rng.integers(1, 4))]
    elif way == "double":
        lines.insert(int(rng.integers(end)), lines[at])
    elif way == "move":
        lines.insert(int(rng.integers(end)), lines.pop(at))
    elif way == "number":
        at = pick(rng, [i for i in range(end) if re.search(r"=.*\d", lines[i])])
        spans = [m.span() for m in re.finditer(r"(?<==)[^ ]+|(?<= )[^ ]+", lines[at])]
        first, last = pick(rng, spans)
        lines[at] = lines[at][:first] + pick(rng, NUMBERS) + lines[at][last:]
    elif way == "children":
        at = pick(rng, [i for i in range(end) if "_child=" in lines[i] and " " in lines[i]])
        name, _, value = lines[at].partition("=")
        children = value.split(" ")
        children[int(rng.integers(len(children)))] = str(int(rng.integers(-len(children) - 2, len(children) + 1)))
        lines[at] = f"{name}={' '.join(children)}"
    else:
        at = pick(rng, [i for i in range(end) if "=" in lines[i]])
        lines[at] = lines[at].partition("=")[0] + "=" + " ".join([pick(rng, NUMBERS)] * int(rng.integers(0, 20)))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def break_facts(facts: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """A value somewhere in the description replaced, taken away, doubled or given another name."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
        for key in keys:
            places.append((value, key))
            walk(value[key])

    walk(facts)
    holder, key = pick(rng, places)
    way = pick(rng, ("replace", "replace", "replace", "delete", "add", "rename", "swap"))
    if way == "replace":
        holder[key] = pick(rng, VALUES)
    elif way == "delete":
        del holder[key]
    elif way == "swap":
        other, there = pick(rng, places)
        holder[key] = json.loads(json.dumps(other[there])) if there in other or isinstance(other, list) else None
    elif isinstance(holder, list):
        holder.insert(key, pick(rng, VALUES))
    elif way == "rename":
        holder[str(pick(rng, ("x", "self", "preset", "k", "\u202e", "")))] = holder.pop(key)
    else:
        holder[str(rng.integers(100))] = pick(rng, VALUES)
    return facts


def break_arrays(data: bytes, rng: np.random.Generator) -> bytes:
    """An array of another shape, kind or content, one missing or surplus, or bytes that are none."""
    arrays = load(data)
    name = pick(rng, sorted(arrays))
    array, way = (
        arrays[name],
        pick(rng, ("bytes", "header", "shape", "kind", "value", "missing", "extra", "swap", "grow")),
    )
    if way == "bytes":
        return break_bytes(data, rng)
    if way == "header":
        size = int.from_bytes(data[:8], "little")
        header = break_bytes(data[8 : 8 + size], rng)
        return len(header).to_bytes(8, "little") + header + data[8 + size :]
    if way == "shape":
        shapes = (array.reshape(-1), array.reshape(array.shape[::-1]), array[None], array[..., None], array[:0], array[..., :0],
                  array.reshape(-1)[:1].reshape(()), array[:-1], array[..., :-1])  # fmt: skip
        arrays[name] = np.ascontiguousarray(pick(rng, shapes)) if array.ndim else array[None]
    elif way == "kind":
        with np.errstate(all="ignore"):
            arrays[name] = array.astype(pick(rng, DTYPES))
    elif way == "value":
        arrays[name] = array.copy()
        values = (np.nan, np.inf, -np.inf, 1e308, -1e308, 1e38, 1e-320, -1, 0, 2**62, -(2**62))
        with np.errstate(all="ignore"):
            arrays[name].reshape(-1)[int(rng.integers(array.size))] = np.asarray(pick(rng, values)).astype(array.dtype)
    elif way == "missing":
        del arrays[name]
    elif way == "extra":
        arrays[str(pick(rng, ("x", "scaler.offset", "directions", "layer9", "pooler.blocks.7.norm1.weight")))] = array
    elif way == "swap":
        other = pick(rng, sorted(arrays))
        arrays[name], arrays[other] = arrays[other], arrays[name]
    else:
        arrays[name] = np.concatenate([array] * 2) if array.ndim else array
    return save(arrays)


def digest(facts: dict[str, Any]) -> str:
    """The seal of a description."""
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def alter(folder: Path, rng: np.random.Generator) -> str:
    """Alter a saved probe and make its digests right; which file it was."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    facts = json.loads(files.pop("probe.json"))
    facts.pop("sha256")
    name = pick(rng, (*files, *(["model.txt"] * 2 if "model.txt" in files else []), "probe.json"))
    if name == "model.txt":
        files[name] = break_text(files[name], rng)
    elif name == "arrays.safetensors":
        files[name] = break_arrays(files[name], rng)
    for each, content in files.items():
        facts["files"][each] = hashlib.sha256(content).hexdigest()
    if name == "probe.json":
        facts = break_facts(facts, rng)
    text = json.dumps({**facts, "sha256": digest(facts)}, ensure_ascii=bool(rng.integers(2)))
    for each, content in {**files, "probe.json": text.encode("utf-8", "surrogatepass")}.items():
        (folder / each).write_bytes(content)
    return name


def flip(folder: Path, number: int, rng: np.random.Generator) -> str:
    """Alter one byte of a file, or one bit, as the number says; which file it was."""
    path = sorted(path for path in folder.rglob("*") if path.is_file())[number // FLIPS]
    content = bytearray(path.read_bytes())
    content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8)) if number % 2 else int(rng.integers(1, 256))
    path.write_bytes(content)
    return path.name


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__


def judge(folder: Path, original: np.ndarray) -> str:
    """What became of an altered probe."""
    try:
        probabilities, decided = ask(folder)
    except VjepaFerError as error:
        if any(isinstance(cause, MemoryError) for cause in causes(error)):
            return "FAULT memory"
        return "refused by the last net" if "holds no probe that can be read" in str(error) else "refused"
    except Exception as error:
        return f"FAULT {type(error).__name__}: {str(error)[:200]}"
    whole = np.isfinite(probabilities).all() and np.allclose(probabilities.sum(axis=1), 1, atol=1e-3)
    if not whole or len(decided) != len(original):
        return "FAULT no probabilities"
    return "unchanged" if np.array_equal(probabilities, original) else "changed"


def work(kind: str, how: str, first: int, count: int, memory_mb: int) -> None:
    """Judge `count` inputs; prints the number of each before it starts and its end after, so that a crash has a name."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    root = Path(tempfile.mkdtemp())
    try:
        original = write_seed(kind, root / "seed")
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
        for number in range(first, first + count):
            rng, folder = np.random.default_rng([number, list(PROBES).index(kind)]), root / str(number)
            shutil.copytree(root / "seed", folder)
            name = flip(folder, number, rng) if how == "flip" else alter(folder / "probe", rng)
            print(json.dumps([number, name, None]), flush=True)
            signal.alarm(10)  # ends the process, wherever it is
            end = judge(folder, original)
            signal.alarm(0)
            end = "FAULT changed in silence" if how == "flip" and end == "changed" else end
            print(json.dumps([number, name, end]), flush=True)
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(root)


Ends = Counter[tuple[str, str, str, str]]
"""How many, by (altered or flipped, kind of probe, file, end)."""


def run_kind(kind: str, how: str, inputs: int, memory_mb: int) -> tuple[Ends, list[list]]:
    """All inputs of a kind, in processes of 500; a dead process is a fault of the input that it was at, and the next goes on."""
    ends: Ends = Counter()
    faults: list[list] = []
    number = 0
    while number < inputs:
        share = [kind, how, str(number), str(min(500, inputs - number))]
        command = [sys.executable, __file__, "--work", *share, "--memory", str(memory_mb)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines() if re.match(r"\[\d", line)]
        if done.returncode != 0:
            if not lines:
                raise SystemExit(f"the worker did not start:\n{done.stderr}")
            how_ended = (
                f"crash {done.returncode}: {done.stderr[-300:]}" if done.returncode != -signal.SIGALRM else "hang"
            )
            lines.append([*lines[-1][:2], f"FAULT {how_ended}"])
        for at, name, end in lines:
            if end is not None:
                ends[how, kind, name, end.partition(" ")[0] if end.startswith("FAULT") else end] += 1
                faults += [[how, kind, at, name, end]] if end.startswith("FAULT") else []
                number = at + 1
    return ends, faults


def run(inputs: int, memory_mb: int, kinds: list[str], flips: bool) -> dict[str, Any]:
    """So many inputs, shared among the kinds of probe; half of them are LightGBM's, whose text has most to go wrong."""
    shares = {kind: max(1, len(kinds) - 1) if kind == "lightgbm" else 1 for kind in kinds}
    started, ends, faults = time.perf_counter(), Ends(), []
    for kind, share in shares.items():
        tasks = [("alter", round(inputs * share / sum(shares.values())))]
        tasks += [("flip", FLIPS * (4 if kind == "lightgbm" else 3))] if flips else []
        for how, count in tasks:
            own, bad = run_kind(kind, how, count, memory_mb)
            ends, faults = ends + own, faults + bad
    return {
        "benchmark": "fuzz_probe",
        "memory_limit_mb": memory_mb,
        "altered": counted(ends, "alter"),
        "flipped": counted(ends, "flip"),
        "crashes": sum("crash" in fault[-1] for fault in faults),
        "hangs": sum("hang" in fault[-1] for fault in faults),
        "faults": faults,
        "seconds": round(time.perf_counter() - started, 1),
        "versions": {"python": platform.python_version()}
        | {p: metadata.version(p) for p in ("numpy", "safetensors", "lightgbm")},
    }


def counted(ends: Ends, how: str) -> dict[str, Any]:
    """Inputs altered this way: how many, how they ended in all, and by kind of probe and file."""
    own = {(f"{kind}/{name}", end): count for (way, kind, name, end), count in ends.items() if way == how}
    totals: Counter[str] = Counter()
    by_file: dict[str, dict[str, int]] = {}
    for (place, end), count in sorted(own.items()):
        totals[end] += count
        by_file.setdefault(place, {})[end] = count
    return {"inputs": sum(totals.values()), "ends": dict(totals), "by_file": by_file}


def main() -> None:
    """Run, print, and end with 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=5000)
    parser.add_argument("--kinds", default=",".join(PROBES), help="of probes, with commas")
    parser.add_argument("--memory", type=int, default=4000, help="MB of address space")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--no-flips", action="store_true", help="without the ones that keep their digests")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        kind, how, first, count = options.work
        work(kind, how, int(first), int(count), options.memory)
        return
    result = run(options.inputs, options.memory, options.kinds.split(","), not options.no_flips)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    sys.exit(1 if result["faults"] else 0)


if __name__ == "__main__":
    main()
