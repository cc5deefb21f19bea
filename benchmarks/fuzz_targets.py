"""What a command reads: which file, broken in which way, its digests made right again. For ``fuzz_inputs.py``."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz_breaking import Rng, break_binary, break_json, break_table, written


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


def find(target: Target, folder: Path) -> Path:
    """The target's file; pieces have names of their own."""
    path = folder / target.file
    return path if path.name not in ("PIECE", "NOTE") else next(p for p in sorted(path.parent.iterdir()))
