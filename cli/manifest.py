"""``vjepa-fer manifest …``: say which clips a study has."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completion
from .options import ExcludeOption, JsonOption, UnifyOption, check_exclude, pairs
from .progress import progress_bar
from .terminal import print_json, print_table, say, warn

if TYPE_CHECKING:
    from vjepa_fer.manifest import Manifest, Verification

app = typer.Typer(no_args_is_help=True, help="Write the list of clips: file, label, subject, and what else is known.")

RootArgument = Annotated[Path, typer.Argument(metavar="ROOT", help="Folder with the videos.", show_default=False)]
MaybeRootArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[ROOT]",
        help="Folder with the download. Without it: the official list, for imported features.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", "-o", metavar="OUT.csv", help="The manifest to write.", show_default=False)
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COLUMN=VALUE",
        help="Keep only these clips, such as view=front; the same column twice: either.",
        show_default=False,
    ),
]
SubsetOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep only the clips on this list, as a corpus hands it out: a name a line, whatever else stands in it.",
        show_default=False,
    ),
]
PictureFpsOption = Annotated[
    float | None,
    typer.Option(help="Pictures a second of clips that are folders of pictures: the column fps.", show_default=False),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace OUT.csv if it is there.")]


@app.command()
def ravdess(
    out: OutOption,
    root: MaybeRootArgument = None,
    speech: Annotated[bool, typer.Option("--speech/--no-speech", help="The 1,440 spoken performances.")] = True,
    song: Annotated[bool, typer.Option("--song/--no-song", help="The 1,012 sung performances.")] = False,
    modality: Annotated[
        list[int] | None,
        typer.Option(
            help="1 with sound, 2 video-only (the same performances again); may be repeated.", show_default="1"
        ),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """RAVDESS: every factor from the file names."""
    from vjepa_fer.manifest import Manifest, ravdess_clips, ravdess_manifest

    channels = [name for name, wanted in (("speech", speech), ("song", song)) if wanted]
    choice: dict[str, Any] = {"channels": channels, "modalities": sorted(set(modality or [1]))}
    manifest = ravdess_manifest(root, **choice) if root else Manifest(tuple(ravdess_clips(**choice)))
    _finish(manifest, out, force=force, as_json=as_json)


@app.command("crema-d")
def crema_d(
    out: OutOption,
    root: MaybeRootArgument = None,
    exclude: ExcludeOption = None,
    where: WhereOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """CREMA-D: intended label, sentence, intensity, the actor's demographics and the crowd's votes."""
    from vjepa_fer.manifest import crema_d_clips, crema_d_manifest, without_damaged

    check_exclude(exclude)
    manifest = crema_d_manifest(root) if root else crema_d_clips()
    manifest = without_damaged(manifest) if exclude else manifest
    _finish(_chosen(manifest, where), out, force=force, as_json=as_json)


@app.command()
def corpus(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="afew, caer, ck+, dfew, enterface05, ferv39k, mafw, mead, meld, oulu-casia or savee.",
            autocompletion=completion.one_of(completion.corpora),
            show_default=False,
        ),
    ],
    root: RootArgument,
    out: OutOption,
    where: WhereOption = None,
    subset: SubsetOption = None,
    picture_fps: PictureFpsOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Another known corpus, in the layout it is handed out in, with its official split where it has one."""
    from vjepa_fer.manifest import corpus_manifest

    manifest = corpus_manifest(name, root, picture_fps=picture_fps)
    _finish(_chosen(manifest, where, subset), out, force=force, as_json=as_json)


@app.command()
def folder(
    root: RootArgument,
    out: OutOption,
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression over the path below ROOT; named groups label, subject and any further become columns.",
            show_default="the first folder is the label",
        ),
    ] = None,
    subset: SubsetOption = None,
    picture_fps: PictureFpsOption = None,
    unify_names: UnifyOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Class folders: `ROOT/happy/…`, or any layout that a pattern such as `(?P<subject>[^/]+)/(?P<label>[^/]+)/.+` tells."""
    from vjepa_fer.manifest import folder_manifest

    choice = {"pattern": pattern} if pattern else {}
    manifest = folder_manifest(root, picture_fps=picture_fps, unify_names=unify_names, **choice)
    _finish(_chosen(manifest, None, subset, unify_names=unify_names), out, force=force, as_json=as_json)


@app.command("csv")
def csv_(
    table: Annotated[Path, typer.Argument(metavar="TABLE.csv", help="One row a clip.", show_default=False)],
    out: OutOption,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="Such as label=emotion; may be repeated.", show_default="same names"),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Folder that relative paths start at.", show_default="the table's folder"),
    ] = None,
    subset: SubsetOption = None,
    unify_names: UnifyOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Any table with one row a clip; `--column` says which of its columns is what."""
    from vjepa_fer.manifest import csv_manifest

    columns = dict(pairs(column or [], "--column", "OURS=THEIRS, such as label=emotion"))
    manifest = csv_manifest(table, columns=columns, root=root, unify_names=unify_names)
    _finish(_chosen(manifest, None, subset, unify_names=unify_names), out, force=force, as_json=as_json)


@app.command()
def verify(
    root: Annotated[
        str, typer.Argument(metavar="ROOT", help="Folder with the videos, or its address.", show_default=False)
    ],
    corpus: Annotated[
        str | None,
        typer.Option(
            help="ravdess or crema-d.",
            autocompletion=completion.one_of(("ravdess", "crema-d")),
            show_default="recognised by the file names",
        ),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Compare sizes only, do not read the files.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare a download with the official list: missing, cut short, Git-LFS stubs, changed content. Exit status 1 if any."""
    from vjepa_fer.manifest import verify_download

    with progress_bar(0, "files") as advance:
        result = verify_download(root, corpus=corpus, fast=fast, on_file=advance)  # type: ignore[arg-type]
    for note in result.notes:
        warn(note)
    if as_json:
        print_json(_verification_facts(result))
    else:
        _print_verification(result)
    if result.faults:
        raise typer.Exit(1)


def _verification_facts(result: Verification) -> dict[str, Any]:
    return {
        "schema": "vjepa-fer/verification/1",
        "corpus": result.corpus,
        "compared": result.compared,
        "n_expected": result.num_expected,
        "n_good": result.num_expected - len(result.faults),
        "counts": result.counts,
        "faults": [{"path": f.path, "fault": f.fault, "detail": f.detail} for f in result.faults],
        "notes": list(result.notes),
    }


def _print_verification(result: Verification) -> None:
    from vjepa_fer.manifest import FAULTS

    good = result.num_expected - len(result.faults)
    print_table(
        (f"{result.corpus}, compared by {result.compared}", "files"), [("good", f"{good:,}"), *result.counts.items()]
    )
    for fault, count in result.counts.items():
        say(f"{count:,} {FAULTS[fault]}:")
        for bad in [f for f in result.faults if f.fault == fault][:5]:
            say(f"  {bad.path}  {bad.detail}".rstrip())
    if len(result.faults) > 5:
        say("--json lists every file")


def _chosen(
    manifest: Manifest, where: list[str] | None, subset: Path | None = None, *, unify_names: bool = False
) -> Manifest:
    from vjepa_fer.manifest import only_where, subset_of

    wanted: dict[str, list[str]] = {}
    for column, value in pairs(where or [], "--where", "COLUMN=VALUE, such as view=front"):
        wanted.setdefault(column, []).append(value)
    for column, values in wanted.items():
        manifest = only_where(manifest, column, values)
    return manifest if subset is None else subset_of(manifest, subset, unify_names=unify_names)


def _finish(manifest: Manifest, out: Path, *, force: bool, as_json: bool) -> None:
    """Write the manifest, then show what is in it."""
    from vjepa_fer.judging import subjects_in_words
    from vjepa_fer.manifest import write_manifest

    for note in manifest.notes:
        warn(note)
    write_manifest(manifest, out, force=force)
    if as_json:
        print_json(_facts(manifest, out))
    else:
        _print_summary(manifest)
    subjects = subjects_in_words(len(manifest.subjects), len(manifest))
    say(f"{out}: {len(manifest):,} clips, {subjects}, {len(manifest.labels)} labels")


def _facts(manifest: Manifest, out: Path) -> dict[str, Any]:
    return {
        "schema": "vjepa-fer/manifest/1",
        "manifest": str(out),
        "n_clips": len(manifest),
        "n_subjects": len(manifest.subjects),
        "labels": dict(sorted(Counter(clip.label for clip in manifest).items())),
        "notes": list(manifest.notes),
    }


def _print_summary(manifest: Manifest) -> None:
    clips = Counter(clip.label for clip in manifest)
    subjects = Counter(label for label, _ in {(clip.label, clip.subject) for clip in manifest})
    print_table(
        ("label", "clips", "subjects"),
        [(label, f"{clips[label]:,}", f"{subjects[label]:,}") for label in manifest.labels],
    )
