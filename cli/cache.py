"""``vjepa-fer cache …``: look after a cache."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from .cache_copy import merge, mirror, pool, subset
from .cache_info import print_facts
from .cache_tables import export, import_
from .options import CacheArgument, FolderArgument, FormatOption, JsonOption, check_format
from .progress import progress_bar
from .quicklook import HtmlOption, write_look
from .terminal import print_json, print_line, print_sheet, say, warn

app = typer.Typer(no_args_is_help=True, help="Look after a cache: what is in it, is it whole; copy, import, export.")


Part = Literal["facts", "levels", "labels", "subjects", "absent"]  # the keys of vjepa_fer.cache.sheets.CACHE_PARTS


@app.command()
def info(
    cache: CacheArgument,
    html: HtmlOption = None,
    part: Annotated[
        Part | None,
        typer.Option(
            "--part",
            help="One table only, with a row for: each fact, stored level, label, subject, or clip that is not there (absent). "
            "With --format other than table it is facts where nothing else is said.",
            show_default=False,
        ),
    ] = None,
    form: FormatOption = "table",
    as_json: JsonOption = False,
) -> None:
    """Say what a cache holds: recipe, clips by class and subject, bytes by level, what is missing or failed."""
    from vjepa_fer.cache.care import cache_info
    from vjepa_fer.cache.sheets import CACHE_PARTS

    check_format(form, as_json)
    if html:
        write_look(cache, html)
        if not (as_json or part or form != "table"):
            return
    facts = cache_info(cache)
    if as_json:
        print_json(facts)
    elif part or form != "table":
        print_sheet(CACHE_PARTS[part or "facts"](facts), form)
    else:
        print_facts(facts)


@app.command()
def verify(cache: CacheArgument, as_json: JsonOption = False) -> None:
    """Read every byte and compare it with its checksums; exit status 1 if anything is wrong."""
    from vjepa_fer.cache.verify import shard_files, verify_cache
    from vjepa_fer.remote import place_of

    with progress_bar(len(shard_files(place_of(cache))), "verify") as advance:
        done = verify_cache(cache, progress=advance)
    if as_json:
        print_json({"schema": "vjepa-fer/cache-verify/1", "cache": str(cache), **asdict(done)})
    else:
        for problem in done.problems:
            print_line(str(problem))
        counts = f"{done.clips:,} clips, {done.rows:,} rows in {done.shards:,} shards, {_size(done.bytes_read)}"
        say(f"{cache}: {counts}: {f'{len(done.problems)} problems' if done.problems else 'all whole'}")
    if done.problems:
        warn(f"`vjepa-fer cache repair {cache}` takes out what is damaged; extract then does it again")
        raise typer.Exit(1)


@app.command()
def repair(cache: FolderArgument, as_json: JsonOption = False) -> None:
    """Take out what is damaged, so that extract does exactly that again; damaged shards are renamed, not deleted."""
    from vjepa_fer.cache.repair import repair_cache
    from vjepa_fer.cache.verify import shard_files
    from vjepa_fer.remote import place_of

    with progress_bar(len(shard_files(place_of(cache))), "repair") as advance:
        done = repair_cache(cache, progress=advance)
    if as_json:
        paths = {"set_aside": [str(p) for p in done.set_aside], "swept": [str(p) for p in done.swept]}
        print_json({"schema": "vjepa-fer/cache-repair/1", "cache": str(cache), **asdict(done), **paths})
        return
    for problem in done.problems:
        print_line(str(problem))
    say(f"{cache}: {len(done.problems)} problems, {len(done.rescued):,} clips kept out of damaged shards")
    for path in done.set_aside:
        warn(f"set aside as {path}; run extract again, then delete it")


app.command()(merge)
app.command()(subset)
app.command()(pool)
app.command()(mirror)


def _size(num_bytes: int) -> str:
    value, unit = float(num_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


app.command("import")(import_)
app.command("export")(export)
