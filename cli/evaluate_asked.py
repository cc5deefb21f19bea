"""What was asked of ``evaluate`` comes in, as typed; a result a policy goes out, or one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import typer

from .clips import read_clips
from .options import pairs, words

FUSIONS = ("mean", "stacked")
ROWS = ("true", "predicted")


class Table(NamedTuple):
    """How the class columns are read, as typed."""

    column: list[str] | None
    classes: str
    class_order: str
    logits: bool
    scores: bool | None


class Clips(NamedTuple):
    """Where clips are looked up, and which count, as typed."""

    manifest: Path | None
    exclude: str | None
    by: str
    unify_names: bool


class Matrix(NamedTuple):
    """Whether the table is a confusion matrix, and what is counted in it, as typed."""

    confusion: bool
    rows: str | None
    class_sizes: list[str] | None

    def sizes(self) -> list[dict[str, float]]:
        """How many clips each true class has, once a file; wrong usage where one is no number of clips."""
        return list(map(_sizes, self.class_sizes or []))


class Asked(NamedTuple):
    """All that was asked for, by what it is about."""

    predictions: list[Path]
    fusion: str | None
    policy: str
    label_map: Path | None
    table: Table
    clips: Clips
    matrix: Matrix

    def check_choices(self) -> None:
        """Wrong usage where a word is none of its list, or there is nothing to fuse."""
        for option, value, known in (("--fusion", self.fusion, FUSIONS), ("--rows", self.matrix.rows, ROWS)):
            if value not in (None, *known):
                raise typer.BadParameter(f"{value!r} is not {' or '.join(map(repr, known))}", param_hint=option)
        if self.fusion and len(self.predictions) < 2:
            raise typer.BadParameter("needs two tables or more", param_hint="--fusion")

    def check_together(self) -> None:
        """Wrong usage where one option needs another, or cannot go with it."""
        for is_wrong, why, option in self._clashes():
            if is_wrong:
                raise typer.BadParameter(why, param_hint=option)

    def _clashes(self) -> Iterator[tuple[object, str, str]]:
        """Whether it is so, why it cannot be, and which option to look at; the first that is so is said."""
        table, clips, matrix = self.table, self.clips, self.matrix
        names_clips = clips.manifest or clips.exclude or clips.unify_names
        needs_manifest, needs_confusion = clips.manifest is None, not matrix.confusion
        yield clips.by and needs_manifest, "needs --manifest: its columns are what figures can be given by", "--by"
        yield matrix.class_sizes and needs_confusion, "needs --confusion: predictions are counted", "--class-sizes"
        yield matrix.rows and needs_confusion, "needs --confusion: predictions are counted", "--rows"
        both = table.logits and table.scores is not None
        yield both, "class columns are logits, or scores, or neither", "--logits"
        yield table.class_order and table.classes, "names all class columns; leave --classes out", "--class-order"
        ordered = matrix.confusion and (table.class_order or table.logits)
        yield ordered, "a confusion matrix names its classes and holds counts", "--confusion"
        told = matrix.confusion and (names_clips or self.fusion or table.scores is not None)
        yield told, "a confusion matrix names no clips and no scores", "--confusion"

    def results(self) -> list[dict[str, Any]]:
        """What :mod:`vjepa_fer.tables` makes of it."""
        return self._of_matrices(**self._of_both()) if self.matrix.confusion else self._of_tables(**self._of_both())

    def _of_both(self) -> dict[str, Any]:
        from vjepa_fer.manifest import read_label_map

        return {
            "columns": dict(pairs(self.table.column or [], "--column", "OURS=THEIRS, such as clip_id=video")),
            "classes": words(self.table.classes),
            "policies": words(self.policy),
            "names": read_label_map(self.label_map) if self.label_map else None,
        }

    def _of_matrices(self, **of_both: Any) -> list[dict[str, Any]]:
        from vjepa_fer.tables import judge_confusion

        rows = cast('Literal["true", "predicted"] | None', self.matrix.rows)
        return judge_confusion(self.predictions, rows=rows, sizes=self.matrix.sizes(), **of_both)

    def _of_tables(self, **of_both: Any) -> list[dict[str, Any]]:
        from vjepa_fer.tables import judge_table

        table, clips = self.table, self.clips
        return judge_table(
            self.predictions,
            fusion=cast('Literal["mean", "stacked"] | None', self.fusion),
            scores=table.scores,
            class_order=words(table.class_order),
            logits=table.logits,
            manifest=read_clips(clips.manifest, unify_names=clips.unify_names) if clips.manifest else None,
            exclude=clips.exclude,
            by=words(clips.by),
            unify_names=clips.unify_names,
            **of_both,
        )


def _sizes(text: str) -> dict[str, float]:
    said = dict(pairs(words(text), "--class-sizes", "CLASS=CLIPS, such as happy=489,sad=379"))
    try:
        sizes = {name: float(number) for name, number in said.items()}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--class-sizes") from error
    if not all(0 < size < float("inf") for size in sizes.values()):
        raise typer.BadParameter("a class has one clip at least", param_hint="--class-sizes")
    return sizes
