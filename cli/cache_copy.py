"""``vjepa-fer cache merge | subset | pool``: one new cache out of others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vjepa_fer.disk import bytes_for_people
from vjepa_fer.recipe import Storage, TokenDtype

from . import completion
from .options import CacheArgument, UnifyOption, warn_of_other_writers
from .progress import progress_bar
from .terminal import say, warn

if TYPE_CHECKING:
    from vjepa_fer.cache import Cache
    from vjepa_fer.cache.anonymous import Anonymiser

Sources = Annotated[
    list[str], typer.Argument(metavar="CACHE…", help="Cache folders, or addresses.", show_default=False)
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="NEW", help="The new cache folder.", show_default=False)]
Anonymise = Annotated[
    bool,
    typer.Option(
        "--anonymise",
        help="Replace paths by clip ids and subjects by a keyed hash; drop further columns and file hashes.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="Secret key of the hash; the same key gives a subject the same name.", show_default="random"),
]


def anonymiser(wanted: bool, key_file: Path | None) -> Anonymiser | None:
    """What ``--anonymise`` and ``--key-file`` ask for."""
    from vjepa_fer.cache.anonymous import Anonymiser, read_key

    if key_file is not None and not wanted:
        raise typer.BadParameter("--key-file is for --anonymise")
    if not wanted:
        return None
    return Anonymiser(read_key(key_file)) if key_file else Anonymiser()


def merge(sources: Sources, out: Out, anonymise: Anonymise = False, key_file: KeyFile = None) -> None:
    """Copy several caches of one recipe into a new one; refuses clips that they give different numbers or labels."""
    from vjepa_fer.cache.copying import merge_caches

    _say_made(merge_caches(sources, out, anonymiser=anonymiser(anonymise, key_file)), sources if anonymise else [])


def subset(
    cache: CacheArgument,
    out: Out,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="COLUMN=VALUE[,VALUE…] of the manifest; may be repeated, all must hold. A value with a comma stands alone, or in double quotation marks.",
            show_default=False,
        ),
    ] = None,
    clips: Annotated[Path | None, typer.Option(help="A text file of clip ids, one a line.", show_default=False)] = None,
    unify_names: UnifyOption = False,
    anonymise: Anonymise = False,
    key_file: KeyFile = None,
) -> None:
    """Copy some clips of a cache to a new one."""
    from vjepa_fer.cache.choosing import chosen
    from vjepa_fer.cache.copying import subset_cache

    keep = chosen(cache, where or [], clips, unify_names=unify_names)
    made = subset_cache(cache, out, keep, anonymiser=anonymiser(anonymise, key_file))
    _say_made(made, [cache] if anonymise else [])


def pool(
    cache: CacheArgument,
    out: Out,
    levels: Annotated[
        str,
        typer.Option(
            help="mean, frames, grid:G; with commas.", autocompletion=completion.several_of(completion.LEVELS[:-1])
        ),
    ] = ",".join(Storage().levels),
    token_dtype: Annotated[
        TokenDtype | None, typer.Option(help="Of the level grid.", show_default="as the tokens")
    ] = None,
    anonymise: Anonymise = False,
    key_file: KeyFile = None,
) -> None:
    """Pool stored tokens to smaller levels in a new cache: no video, no encoder, no GPU."""
    from vjepa_fer.cache.derive import pool_cache

    wanted, hidden = [v.strip() for v in levels.split(",")], anonymiser(anonymise, key_file)
    made = pool_cache(cache, out, wanted, token_dtype=token_dtype, anonymiser=hidden)
    _say_made(made, [cache] if anonymise else [])


def mirror(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A cache folder, or an address.", show_default=False)],
    target: Annotated[
        str,
        typer.Argument(
            metavar="DST", help="A new folder or address; or one that was mirrored before.", show_default=False
        ),
    ],
) -> None:
    """Copy a cache as it is between disks and addresses; run it again to resume, or to bring DST up to date.

    Every file is compared with its SHA-256. DST is a cache when all is there: nobody sees half of it. One process at a time writes to an address.
    """
    from vjepa_fer.cache.mirror import cache_files, mirror_cache
    from vjepa_fer.remote import place_of

    warn_of_other_writers(target)
    with progress_bar(len(cache_files(place_of(source))), "mirror") as advance:
        done = mirror_cache(source, target, progress=advance)
    there = f", {done.present:,} were there" if done.present else ""
    say(f"{target}: {done.files:,} files{there}, {bytes_for_people(done.num_bytes)} copied")


def _say_made(cache: Cache, hidden: Sequence[str]) -> None:
    """What was made; and what an anonymous copy of the caches `hidden` still tells."""
    say(f"{cache.root}: {len(cache):,} clips, levels {', '.join(cache.recipe.storage.levels)}")
    missing = len(cache.manifest.clips) - len(cache)
    if missing:
        warn(f"{missing:,} clips of its manifest have no rows, as in the caches that it was made from")
    if hidden:
        warn_of_telling_ids(hidden, cache.done)


def warn_of_telling_ids(sources: Sequence[str], clip_ids: Collection[str]) -> None:
    """Say which clip ids still name a subject: they stay, because everything is joined by them."""
    from vjepa_fer.cache.anonymous import telling_ids
    from vjepa_fer.cache.asked import read_cache_manifest
    from vjepa_fer.remote import place_of

    told = [i for source in sources for i in telling_ids(read_cache_manifest(place_of(source))) if i in clip_ids]
    if told:
        warn(
            f"{len(told):,} clip ids hold the name of their subject, such as {told[0]!r}, and ids stay as they are; "
            "if that tells too much, rename the clips in the manifest before extraction"
        )
