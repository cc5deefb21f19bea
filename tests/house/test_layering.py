"""Imports point one way, and stage 2 stays light: read from the source, so that no test has to run into it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "vjepa_fer"
ROOMS = [
    ("errors",),
    ("disk", "extras", "workers"),
    ("doors",),
    ("remote",),
    ("claims", "engines", "weights"),
    ("recipe",),
    ("licences",),
    ("manifest", "perturb"),
    ("video",),
    ("encoder",),
    ("cache",),
    ("extract",),
    ("sound",),
    ("features",),
    ("folds", "probes"),
    ("experiment",),
    ("judging",),
    ("evaluation",),
    ("runs",),
    ("sweep", "tables"),
    ("robustness",),
    ("report", "predict", "demo", "doctor", "testing"),
    ("__main__",),
]
LOOSE = {"errors", "extras", "licences", "demo", "doctor", "__main__"}
"""Modules that lie beside the rooms, and may: what belongs to a room lies in it."""
OPEN_ROOMS = (
    "remote",
    "claims",
    "engines",
    "manifest",
    "experiment",
    "features",
    "folds",
    "judging",
    "evaluation",
    "runs",
    "sweep",
    "tables",
)
"""Rooms that are entered by their door alone: what others may use is in its ``__init__``."""

RANK = {name: rank for rank, names in enumerate(ROOMS) for name in names}
STAGE_1 = {"perturb", "video", "encoder", "extract", "sound", "weights"}
HEAVY = {"torch", "av", "decord", "torchcodec", "transformers", "ray"}


@cache
def parsed(path: Path) -> ast.Module:
    """A file's statements; three promises look at each."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def module_imports(path: Path, *, only_top: bool = False) -> set[str]:
    """Absolute names that a file imports; `only_top`: when it is itself imported, type checking aside."""
    tree = parsed(path)
    nodes = list(ast.walk(tree)) if not only_top else [n for n in tree.body if not isinstance(n, ast.If)]
    names = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    return names | {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module and n.level == 0}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(p for p in PACKAGE.rglob("*.py") if room_of(p) != "__init__")


def test_a_room_imports_only_rooms_before_it():
    for path in FILES:
        here = room_of(path)
        assert here in RANK, f"give the room {here!r} a place in ROOMS"
        for name in module_imports(path):
            top, _, rest = name.partition(".")
            there = rest.split(".")[0]
            if top == "vjepa_fer" and there and there != here:
                assert there != "cli", f"{path} imports the command line"
                assert RANK[there] < RANK[here], f"{path}: {here} imports {there}"


def test_stage_2_loads_neither_torch_nor_video():
    for path in (path for path in FILES if room_of(path) not in STAGE_1):
        names = module_imports(path, only_top=True)
        assert not {n.partition(".")[0] for n in names} & HEAVY, path
        rooms = {n.split(".")[1] for n in names if n.startswith("vjepa_fer.")}
        assert not rooms & STAGE_1 or room_of(path) == "predict", path


def test_no_loose_file_lies_beside_the_rooms():
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} == LOOSE


def test_a_room_is_entered_by_its_door():
    for path, name in ((file, name) for file in FILES for name in module_imports(file)):
        top, _, rest = name.partition(".")
        there, _, inside = rest.partition(".")
        if top == "vjepa_fer" and there in OPEN_ROOMS and there != room_of(path):
            assert not inside, f"{path}: import from vjepa_fer.{there}, not from {name}"


def modules_and_what_they_import() -> dict[str, set[str]]:
    """Every module of the package, and which others its source imports, wherever in it."""
    named = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in FILES}
    modules = {name.removesuffix(".__init__"): path for name, path in named.items()}
    return {name: {one for one in _imported(path, set(modules)) if one != name} for name, path in modules.items()}


def _imported(path: Path, modules: set[str]) -> Iterator[str]:
    """``from room import file`` imports the file, ``from room import name`` the room's ``__init__``."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from modules & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from modules & (inner if inner <= modules else {*inner, str(node.module)})


def test_no_two_modules_import_each_other():
    imports = modules_and_what_they_import()
    while leaves := [name for name, needed in imports.items() if not needed & set(imports)]:
        for name in leaves:
            del imports[name]
    assert not imports, "these import each other in a circle, or import those that do"
