"""``vjepa-fer cache merge | subset | pool``: one new cache out of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vjepa_fer.recipe import Storage, TokenDtype

from .options import CacheArgument, say, warn

if TYPE_CHECKING:
    from vjepa_fer.cache import Cache
    from vjepa_fer.cache.anonymous import Anonymiser

Sources = Annotated[list[Path], typer.Argument(metavar="CACHE…", help="Cache folders.", show_default=False)]
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

    _say_made(merge_caches(sources, out, anonymiser=anonymiser(anonymise, key_file)))


def subset(
    cache: CacheArgument,
    out: Out,
    where: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN=VALUE[,VALUE…] of the manifest; may be repeated, all must hold.", show_default=False),
    ] = None,
    clips: Annotated[Path | None, typer.Option(help="A text file of clip ids, one a line.", show_default=False)] = None,
    anonymise: Anonymise = False,
    key_file: KeyFile = None,
) -> None:
    """Copy some clips of a cache to a new one."""
    from vjepa_fer.cache.choosing import chosen
    from vjepa_fer.cache.copying import subset_cache

    keep = chosen(cache, where or [], clips)
    _say_made(subset_cache(cache, out, keep, anonymiser=anonymiser(anonymise, key_file)))


def pool(
    cache: CacheArgument,
    out: Out,
    levels: Annotated[str, typer.Option(help="mean, frames, grid:G; with commas.")] = ",".join(Storage().levels),
    token_dtype: Annotated[
        TokenDtype | None, typer.Option(help="Of the level grid.", show_default="as the tokens")
    ] = None,
) -> None:
    """Pool stored tokens to smaller levels in a new cache: no video, no encoder, no GPU."""
    from vjepa_fer.cache.derive import pool_cache

    _say_made(pool_cache(cache, out, [v.strip() for v in levels.split(",")], token_dtype=token_dtype))


def _say_made(cache: Cache) -> None:
    say(f"{cache.root}: {len(cache):,} clips, levels {', '.join(cache.recipe.storage.levels)}")
    missing = len(cache.manifest.clips) - len(cache)
    if missing:
        warn(f"{missing:,} clips of its manifest have no rows, as in the caches that it was made from")
