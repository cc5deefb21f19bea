"""What came of a disturbed job comes in, and what an undisturbed one made; what is otherwise goes out, in words."""

from __future__ import annotations

import collections
import json
from pathlib import Path

from vjepa_fer.cache import open_cache
from vjepa_fer.cache.verify import verify_cache
from vjepa_fer.errors import VjepaFerError


def faults_of(kind: str, target: Path, whole: Path) -> list[str]:
    """What is otherwise than in an undisturbed run, in words."""
    try:
        return clip_faults(target, whole) if kind == "extract" else run_faults(target, whole)
    except VjepaFerError as error:
        return [f"unreadable: {error}"]


def clip_faults(target: Path, whole: Path) -> list[str]:
    cache, right = open_cache(target), open_cache(whole)
    stored = collections.Counter(clip_id for shard in cache.shards for clip_id, _ in shard.clip_runs)
    faults = [str(problem) for problem in verify_cache(target).problems]
    faults += [f"{one.clip.clip_id} {stored[one.clip.clip_id]} times" for one in right if stored[one.clip.clip_id] != 1]
    truth = {one.clip.clip_id: one.level("mean").tobytes() for one in right}
    faults += [
        f"{c.clip.clip_id} has other numbers" for c in cache if c.level("mean").tobytes() != truth[c.clip.clip_id]
    ]
    return faults + [f"{clip_id} is listed as failed" for clip_id in cache.failures]


def run_faults(target: Path, whole: Path) -> list[str]:
    found, right = contents(target), contents(whole)
    return [
        f"{name}: {'other than it is' if name in found else 'not there'}"
        for name in right.keys() | found.keys()
        if found.get(name) != right.get(name)
    ]


def contents(folder: Path) -> dict[str, str]:
    """Of each file of the runs its text, of ``run.json`` the figures; what is not for readers (partial files, who was at what) aside."""
    told = {}
    for path in sorted(folder.rglob("*.*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.startswith("unfinished") and path.suffix in (".csv", ".json", ".toml"):
            told[name] = path.read_text()
            if path.name == "run.json":
                values = json.loads(told[name])
                told[name] = json.dumps([values["result"]["confusion"], values["result"]["war"]])
    return told
