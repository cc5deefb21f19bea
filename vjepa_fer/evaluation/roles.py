"""A manifest goes in; what each of its columns is taken as comes out, in words: nobody should have to guess what was a vote."""

from __future__ import annotations

from collections.abc import Sequence

from vjepa_fer.evaluation.votes import SOURCES, vote_columns
from vjepa_fer.manifest import DAMAGED, Manifest, abridged

ROLES = {
    "clip_id": "the clip",
    "path": "its video",
    "label": "the label",
    "subject": "the person",
    "recording": "the recording, for the search for leaks",
    DAMAGED: "marks damaged files",
}
MOST_NAMED = 12


def manifest_roles(manifest: Manifest, *, folds: str = "", by: Sequence[str] = ()) -> tuple[str, ...]:
    """Lines: what every column is taken as, and which are not read.

    Parameters
    ----------
    manifest : Manifest
    folds : str
        As asked for: ``column:NAME`` reads a column.
    by : sequence of str
        Columns that figures are given by.
    """
    roles = {name: ROLES[name] for name in manifest.columns if name in ROLES}
    if folds.startswith("column:"):
        roles[folds.removeprefix("column:")] = "the folds"
    lines = [f"manifest: {', '.join(f'{name} is {role}' for name, role in roles.items())}"]
    taken = {*roles}
    for source, what in SOURCES.items():
        votes = vote_columns(manifest.clips, source)
        taken |= {*votes}
        lines += [f"votes of raters {what}: {', '.join(votes)}"] if votes else []
    groups = [name for name in by if name in manifest.columns]
    lines += [f"figures are given by: {', '.join(groups)}"] if groups else []
    rest = [name for name in manifest.columns if name not in taken and name not in groups]
    return (*lines, *([f"not read by a probe: {abridged(rest, MOST_NAMED)}"] if rest else []))
