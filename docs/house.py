"""The source goes in, the page about its rooms comes out: ``python docs/house.py > docs/reference/house.md``.

A test holds the page to this, and so to the imports.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "vjepa_fer"

HEAD = """# The house

How the code is parted, for whoever wants to change it. A room takes something and gives something; it imports the rooms above it in this
table, none below, and is entered by what its `__init__` exports. `tests/house/test_layering.py` holds both.

| room | what goes in, what comes out | imports |
| --- | --- | --- |
"""

TAIL = """
Loose beside the rooms lie {loose}, and nothing new joins them. `cli/` (installed as `vjepa_fer.cli`) parses, makes one library call and
shows; nobody imports it. `data_manifests/` holds the manifests, folds and experiments that come along.

## The way of one clip

1. `manifest/` finds its file, label and subject, and writes them as a row.
2. `extract/plan` says what an extraction will cost; `extract/job` claims the clip, so that no other process takes it.
3. `video/sampling` picks its frames, `video/decoding` decodes them in a process of its own, `video/transforms` makes pixels of them.
4. `extract/encode` sends the windows through `encoder/model/vit`; `extract/levels` pools the tokens to the levels of the recipe.
5. `cache/writer` writes a row a window into a shard, with its checksum; the shard appears when it is whole.
6. `cache/reader` finds the row again and compares it with its sum; `features/matrix` makes the clip a row of a matrix.
7. `folds/` puts its subject on one side of each fold; `evaluation/evaluate` fits a probe on the other subjects and predicts it.
8. `judging/` counts it with the others; `runs/folder` keeps its prediction as a row of `predictions.csv`; `report/` shows it if it was wrong.

## The way of one option

`vjepa-fer probe CACHE --param C=0.1,1`:

1. `cli/probe_asked` hands the text to `experiment/grid`, which makes a cell of each value, and puts the cells into an `Experiment`. A file and Python
   make the same value (`experiment/texts`).
2. `sweep/running` has every parameter written out (`experiment/params`), opens the caches, and looks whether they hold what the cells read.
3. `sweep/asked` looks on the disk for what is done already; `sweep/family` makes tasks of the rest.
4. `evaluation/tasks` has them done, `evaluation/evaluate` calls `probes/`, which fits both values of C on one path.
5. `evaluation/nested` chooses between them on inner folds, which `evaluation/race` lets those leave that are beaten; `runs/folder` keeps each cell and the choice, with the experiment that repeats it.
6. `cli/probe_tables` shows what `runs/results` says.
"""


def page() -> str:
    """The whole page."""
    rooms = {room: _about(room) for room in _in_order()}
    rows = [
        f"| `{room}` | {about} | {', '.join(f'`{one}`' for one in _arrows(room)) or '–'} |\n"
        for room, about in rooms.items()
    ]
    loose = ", ".join(f"`{path.stem}`" for path in sorted(PACKAGE.glob("*.py")) if path.stem != "__init__")
    return HEAD + "".join(rows) + TAIL.format(loose=loose)


def _in_order() -> list[str]:
    """The rooms, each after all that it imports; of several that could be next the first by name."""
    left = {path.parent.name: set(_arrows(path.parent.name)) for path in sorted(PACKAGE.glob("*/__init__.py"))}
    found: list[str] = []
    while left:
        found.append(min(room for room, needed in left.items() if not needed & set(left)))
        del left[found[-1]]
    return found


def _arrows(room: str) -> list[str]:
    """The other rooms whose names stand in a room's imports."""
    return sorted({name for path in (PACKAGE / room).rglob("*.py") for name in _imported(path)} - {room})


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        parts = [module.split(".") for module in modules if module.startswith("vjepa_fer.")]
        yield from (part[1] for part in parts if (PACKAGE / part[1]).is_dir())


def _about(room: str) -> str:
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    sys.stdout.write(page())
