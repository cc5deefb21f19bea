"""Imports point one way, and stage 2 stays light: read from the source, so that no test has to run into it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vjepa_fer"
ROOMS = [
    ("errors",),
    ("disk", "extras", "workers"),
    ("doors",),
    ("recipe",),
    ("licences",),
    ("manifest",),
    ("damage",),
    ("absent",),
    ("video",),
    ("encoder",),
    ("cache",),
    ("extract",),
    ("decisions",),
    ("features", "token_stream", "splits", "scaling", "metrics", "significance"),
    ("clip_folds", "leaks"),
    ("fold_sources",),
    ("label_names",),
    ("probes",),
    ("protocol",),
    ("predictions",),
    ("prediction_csv", "confusion_csv", "intervals", "predicted_clips", "fusion"),
    ("groups",),
    ("evaluate",),
    ("nested", "labels", "fitted"),
    ("study",),
    ("grid",),
    ("results",),
    ("runs",),
    ("sweep", "compare", "policies"),
    ("transfer", "refit", "judge_table"),
    ("report", "predict", "demo", "doctor"),
]
RANK = {name: rank for rank, names in enumerate(ROOMS) for name in names}
STAGE_1 = {"video", "encoder", "extract"}
HEAVY = {"torch", "av", "decord", "torchcodec", "transformers"}


def module_imports(path: Path, *, only_top: bool = False) -> set[str]:
    """Absolute names that a file imports; `only_top`: when it is itself imported, type checking aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if not only_top else [n for n in tree.body if not isinstance(n, ast.If)]
    names = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    return names | {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module and n.level == 0}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(p for p in PACKAGE.rglob("*.py") if room_of(p) != "__init__")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_before_it(path):
    here = room_of(path)
    assert here in RANK, f"give the room {here!r} a place in ROOMS"
    for name in module_imports(path):
        top, _, rest = name.partition(".")
        there = rest.split(".")[0]
        if top == "vjepa_fer" and there and there != here:
            assert there != "cli", f"{path} imports the command line"
            assert RANK[there] < RANK[here], f"{here} imports {there}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_stage_2_loads_neither_torch_nor_video(path):
    here = room_of(path)
    if here in STAGE_1:
        return
    names = module_imports(path, only_top=True)
    assert not {n.partition(".")[0] for n in names} & HEAVY
    rooms = {n.split(".")[1] for n in names if n.startswith("vjepa_fer.")}
    assert not rooms & STAGE_1 or here == "predict"
