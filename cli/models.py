"""``vjepa-fer models …``: the encoders that can be asked for by name, and their weights."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from . import completion
from .options import FormatOption, JsonOption, check_format
from .plugins import print_plugins
from .progress import byte_bar
from .terminal import print_json, print_labelled, print_line, print_sheet, say, screen_of_text, warn

if TYPE_CHECKING:
    from vjepa_fer.encoder.fetching.fetch import FetchedWeights

app = typer.Typer(no_args_is_help=True, help="The official V-JEPA encoders: names, sizes, files, licences.")

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name of `models list`.",
        autocompletion=completion.one_of(completion.models),
        show_default=False,
    ),
]

Source = Literal["meta", "huggingface"]

FILE = "official file"
WIDE = 118
"""Columns from which the list has the official files in its table."""


@app.command("list")
def list_(form: FormatOption = "table", as_json: JsonOption = False) -> None:
    """Every encoder that `extract --model` knows, with what it costs to run and to store."""
    from vjepa_fer.encoder.fetching.facts import all_facts, models_sheet
    from vjepa_fer.encoder.loading.plugin_class import plugin_encoders

    check_format(form, as_json)
    models, faults = all_facts()
    plugins = plugin_encoders()
    faults += plugins.refused.values()
    if as_json:
        added = [plugin.to_dict() for plugin in plugins.usable.values()]
        print_json({"schema": "vjepa-fer/models/1", "models": models, "plugins": added, "broken": faults})
    else:
        if form == "table":
            _print_models(models)
            print_plugins(plugins, "`models info {name}` says the rest")
        else:
            print_sheet(models_sheet(models), form)
        say("tokens of a window of 16 frames; MB a clip of two windows, by level; `models info MODEL` says the rest")
    for fault in faults:
        warn(f"left out: {fault}")


def _print_models(models: list[dict[str, Any]]) -> None:
    """The table, families apart; below it what has no room in it: licences and, on a narrow terminal, the official files."""
    from rich import box
    from rich.table import Table

    screen = screen_of_text()
    columns = _columns_within(screen.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in ("model", FILE) else "right", no_wrap=True)
    for number, model in enumerate(models):
        last_of_family = number + 1 == len(models) or _group(models[number + 1]) != _group(model)
        cells = _cells(model)
        table.add_row(*(cells[name] for name in columns), end_section=last_of_family)
    screen.print(table)
    print_line()
    if FILE not in columns:
        for model in models:
            print_line(f"{model['name']:<22} {_cells(model)[FILE]}")
        print_line()
    for family, licence in {m["family"]: m["licence"] for m in models if m["licence"]}.items():
        names = {"v1": "vjepa1-*", "v2": "vjepa2-*", "v21": "vjepa2.1-*"}[family]
        screen.print(f"{names:<10}  {licence}")


def _columns_within(width: int) -> list[str]:
    """As many columns as there is room for; those that nearly follow from others go first."""
    columns = ["model", "params", "pixels", "tokens", "mean", "frames", "grid:4", "all", "here", FILE]
    for needed, name in ((WIDE, FILE), (79, "mean"), (73, "frames"), (66, "grid:4"), (58, "pixels")):
        if width < needed:
            columns.remove(name)
    return columns


def _group(model: dict[str, Any]) -> str:
    """Official encoders by family, then those of users."""
    return str(model["family"]) if model["licence"] else "users"


def _cells(model: dict[str, Any]) -> dict[str, str]:
    """Column → text of one encoder."""
    megabytes = [f"{mb:.2f}" if mb < 1 else f"{mb:.1f}" for mb in model["megabytes_a_clip"].values()]
    return {
        "model": model["name"],
        "params": _short_count(model["parameters"]),
        "pixels": str(model["resolution"]),
        "tokens": f"{model['tokens']:,}",
        **dict(zip(("mean", "frames", "grid:4", "all"), megabytes, strict=True)),
        "here": _here(model),
        FILE: re.split(r"[/\\]", model["file"])[-1],
    }


def _here(model: dict[str, Any]) -> str:
    """Whether `extract` finds weights of this encoder: what it is known to refuse is not here."""
    usable = [source for source in model["here"] if source not in model["faults"]]
    if not usable:
        return "bad" if model["here"] else "–"
    return "hub" if usable == ["huggingface"] else "yes"


def _short_count(number: int) -> str:
    return f"{number / 1e9:.1f} B" if number >= 1e9 else f"{number / 1e6:.0f} M"


@app.command()
def info(
    name: NameArgument,
    state_key: Annotated[
        str | None,
        typer.Option(help="Which state dict of a weights file.", show_default="the one of its family"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Everything about one encoder: architecture, memory, file, its size, state-dict key, licence, citation."""
    from vjepa_fer.encoder.fetching.facts import encoder_facts

    facts = encoder_facts(name, state_key=state_key)
    if as_json:
        print_json(facts)
        return
    for label, line in _info_lines(facts).items():
        print_labelled(label, [line])
    print_labelled("here", _whereabouts(facts))


def _info_lines(facts: dict[str, Any]) -> dict[str, str]:
    family = {"v1": "V-JEPA", "v2": "V-JEPA 2", "v21": "V-JEPA 2.1", "plugin": "a plug-in"}[facts["family"]]
    is_plugin = facts["family"] == "plugin"
    memory, stored = facts["memory_megabytes"], facts["megabytes_a_clip"]
    lines = {
        "model": f"{facts['name']}: {family} {facts['architecture']}"
        + (f", {facts['parameters']:,} parameters" if facts["parameters"] else ""),
        "shape": f"{facts['depth']} layers{'' if is_plugin else ' of ' + str(facts['heads']) + ' heads'}, {facts['embed_dim']} wide",
        "input": f"{facts['resolution']} × {facts['resolution']} pixels; trained on windows of up to "
        f"{facts['pretraining_frames']} frames",
        "output": f"{facts['tokens']:,} tokens a window of 16 frames",
        "memory": f"weights {memory['float32'] / 1e3:.1f} GB in float32, {memory['bfloat16'] / 1e3:.1f} GB in half precision; "
        f"up to {facts['megabytes_a_window']['float32'] / 1e3:.1f} or {facts['megabytes_a_window']['bfloat16'] / 1e3:.1f} GB more "
        "for each window that is encoded at once",
        "storage": ", ".join(f"{level} {mb:.2f}" for level, mb in stored.items()) + " MB a clip",
        "file": facts["file"],
    }
    if is_plugin:
        del lines["memory"]
    if facts["download_bytes"]:
        lines["download"] = f"about {facts['download_bytes'] / 1e9:.1f} GB; `models slim` keeps the encoder alone of it"
    lines["state key"] = facts["state_key"]
    if facts["huggingface"]:
        lines["hub"] = f"{facts['huggingface']} (another state dict: encoder)"
    if facts["citation"]:
        paper = f"{facts['citation']}, https://arxiv.org/abs/{facts['citation'].rpartition(':')[2]}"
        lines |= {"licence": facts["licence"], "citation": paper}
    return lines


def _whereabouts(facts: dict[str, Any]) -> list[str]:
    if not facts["here"] and not facts["licence"]:
        return ["no; the file that its registration names is not there"]
    if not facts["here"]:
        return [f"no; `vjepa-fer models fetch {facts['name']}` downloads it"]
    return [
        f"{path} (refused: {facts['faults'][source]})" if source in facts["faults"] else path
        for source, path in facts["here"].items()
    ]


@app.command()
def fetch(
    name: NameArgument,
    source: Annotated[
        Source, typer.Option(help="Meta's own file; or for V-JEPA 2 Hugging Face's, which holds another state dict.")
    ] = "meta",
    url: Annotated[
        str | None, typer.Option(help="Another address of Meta's file, such as a mirror.", show_default="Meta's")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Download an encoder's official weights, or check those that are here. Run it again to resume."""
    from vjepa_fer.encoder.fetching.fetch import fetch_weights
    from vjepa_fer.encoder.model.zoo import official_encoder

    official = official_encoder(name)
    say(f"{name}: the licence of its weights is {official.licence}; it is noted in every cache made with them")
    if source == "huggingface":
        if url:
            raise typer.BadParameter("--url is for Meta's files; leave it out with --source huggingface")
        from vjepa_fer.extras import require_extra

        require_extra("extract,hub", ("torch", "huggingface_hub"), "fetching from Hugging Face")
        from vjepa_fer.encoder.fetching.hub import fetch_from_hub

        fetched = fetch_from_hub(name)
    else:
        try:
            with byte_bar(name) as progress:
                fetched = fetch_weights(name, url=url, progress=progress)
        except KeyboardInterrupt:
            say("stopped: what came is kept; the same command goes on from there")
            raise typer.Exit(130) from None
    fetched = _looked_at(name, fetched)
    _show_fetched(name, fetched, as_json=as_json)
    if fetched.record.fault:
        warn(
            f"{fetched.record.fault}. `extract` will refuse it: delete the file and its .json, and fetch it from elsewhere"
        )
        raise typer.Exit(1)


def _looked_at(name: str, fetched: FetchedWeights) -> FetchedWeights:
    """What came, with what the loader would say of it in its record; where torch is here to ask it, and has not been asked."""
    from importlib.util import find_spec

    record = fetched.record
    if find_spec("torch") is None or not (fetched.is_new or fetched.is_first or record.fault):
        return fetched
    from vjepa_fer.encoder.files.records import record_fault
    from vjepa_fer.encoder.loading.verdict import why_refused

    fault = why_refused(name, fetched.path, state_key=record.state_key)
    record_fault(fetched.path, fault)
    return replace(fetched, record=replace(record, fault=fault))


def _show_fetched(name: str, fetched: FetchedWeights, *, as_json: bool) -> None:
    from vjepa_fer.encoder.files.home import HUB_STATE_KEY

    record = fetched.record
    if as_json:
        facts = {"model": name, "path": str(fetched.path), "is_new": fetched.is_new, **asdict(record)}
        print_json({"schema": "vjepa-fer/fetch/1", **facts})
        return
    print_line(str(fetched.path))
    if fetched.is_first:
        verdict = "recorded now, and compared from now on"
    else:
        verdict = f"as when it first came, on {record.fetched[:10]}"
    if record.state_key == HUB_STATE_KEY:
        say(f"it holds the online encoder, not its average: use it with `--state-key {HUB_STATE_KEY}`")
    say(f"{record.size / 1e9:.2f} GB, SHA-256 {record.sha256} ({verdict})")


@app.command()
def slim(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A training checkpoint.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new safetensors file.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            help="The encoder that it must be.",
            autocompletion=completion.one_of(completion.models),
            show_default="by the official file name",
        ),
    ] = None,
    state_key: Annotated[
        str | None, typer.Option(help="Which state dict of the file.", show_default="the one of its family")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the encoder alone of a training checkpoint: loads in a fraction of the time, and makes the same caches."""
    from vjepa_fer.extras import require_extra

    require_extra("extract", ("torch",), "vjepa-fer models slim")
    from vjepa_fer.encoder.loading.slim import SlimPlan, slim_checkpoint

    def tell(plan: SlimPlan) -> None:
        say(f"writing {plan.num_tensors} tensors, {plan.size / 1e9:.2f} GB ({plan.free / 1e9:.1f} GB free), to {out}")

    summary = slim_checkpoint(file, out, name=model, state_key=state_key, told=tell)
    if as_json:
        print_json({"schema": "vjepa-fer/slim/1", **asdict(summary), "path": str(summary.path)})
        return
    print_line(str(summary.path))
    share = f"{summary.size / 1e9:.2f} GB of {summary.origin_size / 1e9:.2f} GB"
    say(f"{summary.num_tensors} tensors, {share}; it stands for SHA-256 {summary.origin_sha256}")
