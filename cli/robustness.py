"""``vjepa-fer robustness``: a probe of clean clips, judged on the same test clips perturbed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completion
from .options import JsonOption
from .terminal import print_json, print_table, say, warn

if TYPE_CHECKING:
    from vjepa_fer.experiment import Experiment


def robustness(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT",
            help="A TOML or JSON file (`probe --save` writes one), or the name of one that comes along: its cells and folds.",
            autocompletion=completion.one_of(completion.experiments),
            show_default=False,
        ),
    ],
    caches: Annotated[
        list[str],
        typer.Argument(
            metavar="CLEAN PERTURBED …",
            help="A cache of frames as they are, and caches of `extract --perturb` of the same clips, or their addresses; of several encoders, all of theirs.",
            show_default=False,
        ),
    ],
    augment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PERTURBED",
            help="One of these: train on its training clips too, never on its test clips, and say what that gains; may be repeated.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE.json", help="Keep all figures, for `report --robustness`.", show_default=False
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes, where cells have to be chosen.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Say what perturbed frames cost: fitted on clean training clips, tested on the same test clips clean and perturbed."""
    from vjepa_fer.robustness import robustness_of, write_robustness

    asked = _experiment(experiment)
    found = robustness_of(asked, caches, augment=augment or (), jobs=jobs, tell=say)
    if out is not None:
        write_robustness(found, out)
        say(f"kept in {out}; `vjepa-fer report RUN --robustness {out}` draws its curves")
    if as_json:
        print_json(found.to_dict())
        return
    for encoder in found.encoders:
        _print_encoder(encoder)
    if len(found.encoders) > 1:
        _print_beside(found.encoders)


def _experiment(name: str) -> Experiment:
    from vjepa_fer.doors import nearest
    from vjepa_fer.experiment import read_experiment, shipped_experiments, shipped_file

    path = Path(name)
    file = path if path.exists() else shipped_file(name)
    if file is None:
        near = nearest(name, shipped_experiments())
        raise typer.BadParameter(f"{name}: no such file, and no experiment of `vjepa-fer experiments list`{near}")
    return read_experiment(file)


def _print_encoder(encoder: Mapping[str, Any]) -> None:
    levels = list(encoder["correlation"])
    title = [f"{encoder['name']}: {', '.join(encoder['cells'])}, {encoder['folds']}, {encoder['n_clips']:,} clips"]
    title.append("%, all clips; change against clean, paired (* real: p < 0.05 by Holm), WAR's with 95 % over subjects")
    rows = [_row(one) for one in encoder["conditions"]]
    for leak in encoder["leaks"][:3]:
        warn(f"LEAKY, each of its figures is too high: {leak}")
    print_table(("frames", "WAR", "change", "95 %", "UAR", "change"), rows, title=title)
    rows = [(one["name"], *_drifts(one, levels)) for one in encoder["conditions"] if one["drift"]]
    print_table(
        ("frames", *levels), rows, title="drift of the features of each level: mean of 1 − cosine, clean and perturbed"
    )
    drops = encoder["relative_drop"]
    rows = [(name, *(_spread(one[figure]) for figure in ("war", "uar"))) for name, one in drops.items()]
    print_table(("perturbation", "WAR lost", "UAR lost"), rows, title="% of the clean figure, mean over severities")
    rows = [
        (level, *(_correlated(one[of]) for of in ("clips", "conditions")))
        for level, one in encoder["correlation"].items()
    ]
    print_table(("level", "clips", "conditions"), rows, title="correlation of drift with error, and 95 % over subjects")
    _print_hardest_classes(encoder)
    if encoder["flip_view"]:
        war = encoder["flip_view"]["war"]
        change, ends = _change(war["change"])
        say(
            f"a clip and its mirror image as two views: WAR {war['value']:.1f}, {change} against clean alone (95 %: {ends})"
        )
    if encoder["augmented"]:
        _print_augmented(encoder["augmented"])


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    war, uar = one["war"], one["uar"]
    cells = (f"{war['value']:.1f}", *_change(war["change"]), f"{uar['value']:.1f}", _change(uar["change"])[0])
    return (one["name"], *cells)


def _drifts(one: Mapping[str, Any], levels: Sequence[str]) -> Iterator[str]:
    return (f"{one['drift'][level]['value']:.4f}" for level in levels)


def _change(change: Mapping[str, Any] | None) -> tuple[str, str]:
    """The change with its star, and its interval."""
    if change is None:
        return "", ""
    return f"{change['value']:+.1f}{'*' if change['real'] else ''}", _ends(change["interval"])


def _ends(interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}"


def _spread(one: Mapping[str, Any]) -> str:
    if one["value"] is None:
        return "–"
    return f"{one['value']:.1f}" + (f" ({_ends(one['interval'])})" if one["interval"] else "")


def _correlated(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "–"
    ends = one["interval"]
    return f"{one['value']:.2f}" + (f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else "")


def _print_hardest_classes(encoder: Mapping[str, Any]) -> None:
    """Of each curve at its highest severity, what every class loses."""
    last = {names[-1] for names in encoder["curves"].values()}
    rows = [
        (one["name"], *(_points(one["classes"][label]["change"]) for label in encoder["classes"]))
        for one in encoder["conditions"]
        if one["name"] in last
    ]
    print_table(("frames", *encoder["classes"]), rows, title="recall against clean, in points, a class")


def _points(change: float | None) -> str:
    return "–" if change is None else f"{change:+.1f}"


def _print_augmented(augmented: Mapping[str, Any]) -> None:
    rows = [
        (one["name"], f"{one['war']['value']:.1f}", *_change(one["gain"]["war"])) for one in augmented["conditions"]
    ]
    title = f"trained on {', '.join(augmented['with'])} of the training clips too; gain against clean training alone"
    print_table(("frames", "WAR", "gain", "95 %"), rows, title=title)


def _print_beside(encoders: Sequence[Mapping[str, Any]]) -> None:
    """Several encoders, condition by condition."""
    names = list(dict.fromkeys(one["name"] for encoder in encoders for one in encoder["conditions"]))
    figures = [{one["name"]: one["war"]["value"] for one in encoder["conditions"]} for encoder in encoders]
    rows = [(name, *(f"{one[name]:.1f}" if name in one else "–" for one in figures)) for name in names]
    print_table(("frames", *(encoder["name"] for encoder in encoders)), rows, title="WAR, %, encoders side by side")
