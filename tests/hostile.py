"""A folder in which every name is a command to a terminal, as far as the doors let it in; for tests of what is shown."""

from __future__ import annotations

import dataclasses
import json
import os
import unicodedata
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from caches import small_recipe, small_rows
from test_evaluate import faces, judge
from vjepa_fer.cache import Features, ShardWriter
from vjepa_fer.cache.failures import Failure, write_failures
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.shard import read_shard_index
from vjepa_fer.cache.verify import shard_files
from vjepa_fer.manifest import Clip, Manifest, write_manifest
from vjepa_fer.runs import write_run

UNSEEN = "\u202e\u2066\u200f\u200b\ufeff\U000e0041"
OBEYED = "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b31m\x7f\rover\nerror: forged\u2028line"
MARKUP = " [bold red]x[/bold red] [/] :skull:"
EVIL = f"{OBEYED}{UNSEEN}{MARKUP}."
TAME = f"{UNSEEN}{MARKUP}.".replace("/", "")
"""What a manifest lets in: marks of direction are part of some languages' names."""
NAMED = "\\x1b]0;owned\\x07"
"""How the first command looks once it is only shown."""


def harm(text: str) -> set[str]:
    """The characters of `text` that a terminal would obey or nobody would see; line ends aside."""
    unseen = {"Cc", "Cf", "Zl", "Zp", "Cs"}
    return {character for character in text if unicodedata.category(character) in unseen} - {"\n"}


FORMULAS = st.tuples(
    st.text("'", max_size=2),
    st.sampled_from(["=", "+", "-", "@", "\t", "\r", "\n", "＝", "", "1", "-1"]),
    st.text(st.characters(codec="utf-8"), max_size=5),
).map("".join)
"""Texts such as spreadsheets take for formulas, and what looks like them."""


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would compute the cell; numbers are harmless."""
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return cell[:1] in set("=+-@\t\r\n＝＋－＠")
    return cell[:1] in set("\t\r\n")


def evil_features() -> Features:
    """Separable features of clips, labels and subjects with evil names."""
    plain = faces()
    named = (np.array([f"{name}{EVIL}" for name in names]) for names in (plain.y, plain.subjects, plain.clip_ids))
    return Features(plain.X, *named)


def write_evil_run(path: Path, seed: int = 0) -> None:
    """A run folder, every text in it evil, and probabilities in its table."""
    evaluation = judge(evil_features(), probe="knn", params={"k": 1 + 2 * seed})
    folds = dataclasses.replace(evaluation.folds, name=f"folds{EVIL}", note=f"note{EVIL}")
    groups = {f"column{EVIL}": {str(clip): f"value{EVIL}" for clip in evaluation.predictions.clip_ids}}
    beside = {"labels": f"labels{EVIL}"}
    evil = dataclasses.replace(evaluation, folds=folds, leaks=(f"leak{EVIL}",) * 5, groups=groups, beside=beside)
    write_run(path, evil, source={"fingerprint": f"print{EVIL}", "clips": EVIL}, cache=f"cache{EVIL}")


def write_evil_cache(root: Path) -> None:
    """A cache of an evil encoder, with done, missing and failed clips."""
    recipe = small_recipe()
    recipe = dataclasses.replace(recipe, encoder=dataclasses.replace(recipe.encoder, name=f"encoder{EVIL}"))
    clips = [
        Clip(f"c{n}{TAME}", f"/v/{n}{TAME}", f"{'ab'[n % 2]}{TAME}", f"s{n // 2}{TAME}", {f"x{EVIL}": f"{n}{EVIL}"})
        for n in range(10)
    ]
    manifest = Manifest(tuple(clips))
    prepare_cache(root, recipe, manifest)
    writer = ShardWriter(root, recipe)
    for clip in clips[:8]:
        writer.add(small_rows(clip.clip_id, recipe))
    writer.flush()
    write_failures(root, {clips[8].clip_id: Failure(clips[8].clip_id, f"/v/8{EVIL}", "missing", f"gone{EVIL}", "0")})
    write_manifest(manifest, root.parent / "clips.csv", force=True)


def bend(cache: Path) -> None:
    """Damage the rows of a clip, and put a file with a name beside the shards."""
    shard = shard_files(cache)[0]
    data = bytearray(shard.read_bytes())
    data[int(read_shard_index(shard).offsets["levels/tokens"][4])] ^= 1
    shard.write_bytes(data)
    (shard.parent / f"{OBEYED}.h5").write_bytes(b"no shard")


def quoted(text: str) -> str:
    """A cell of a CSV file, written by hand."""
    return '"' + text.replace('"', '""') + '"'


def in_toml(text: str) -> str:
    """A text of a TOML file."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def write_tables(root: Path) -> None:
    """Tables of other people."""
    a, b = quoted(f"a{EVIL}"), quoted(f"b{EVIL}")
    (root / "confusion.csv").write_text(f"true_label,{a},{b}\n{a},5,1\n{b},2,4\n", newline="")
    rows = "".join(f"{quoted(f'c{n}{EVIL}')},{(a, b)[n % 2]},{quoted(f's{n // 2}{EVIL}')},0.7,0.3\n" for n in range(8))
    (root / "predictions.csv").write_text(f"clip_id,true_label,subject,{a},{b}\n{rows}", newline="")
    (root / "map.csv").write_text(f"label,name\n{a},happy\n{b},sad\n", newline="")
    (root / "bad.csv").write_text(f"clip_id,true_label,{a},{b}\nc1,{quoted(f'other{EVIL}')},1,0\n", newline="")
    (root / "column.csv").write_text(f"clip_id,label,{a}\nc1,x,y\n", newline="")
    (root / "evil.csv").write_text(f"clip_id,path,label,subject\nc1,v.mp4,{a},s\n", newline="")
    (root / "key.toml").write_text(f"{in_toml(f'key{EVIL}')} = 1\n")
    (root / "value.toml").write_text(f"fusion = {in_toml(f'early{EVIL}')}\n")


def write_models(home: Path) -> None:
    """A registered encoder that can be read, and one that cannot."""
    (home / "models").mkdir(parents=True)
    text = f'like = "vjepa2.1-large-384"\nweights = {in_toml(f"w{EVIL}")}\nstate_key = {in_toml(f"key{EVIL}")}\n'
    (home / "models" / "mine.toml").write_text(text)
    (home / "models" / "broken.toml").write_text(f"{text}{in_toml(EVIL)} = 1\n")


def write_study(root: Path) -> None:
    """All of it: ``cache``, ``clips.csv``, ``runs``, ``home`` and tables."""
    write_evil_cache(root / "cache")
    for name in ("bent", "broken"):
        write_evil_cache(root / name)
        bend(root / name)
    write_evil_run(root / "runs" / "one")
    write_evil_run(root / "runs" / f"two{UNSEEN}{OBEYED}", seed=1)
    write_tables(root)
    write_models(root / "home")
    folder = root / "videos" / f"happy{TAME}"
    folder.mkdir(parents=True)
    (folder / f"{UNSEEN}.mp4").write_bytes(b"no video")
    os.symlink(root / "absent", root / "videos" / f"link{OBEYED}.mp4")
