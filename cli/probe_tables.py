"""How ``probe`` shows a sweep: what was chosen honestly first, then every cell, ranked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .terminal import print_table, say, warn

if TYPE_CHECKING:
    from vjepa_fer.evaluation import Evaluation
    from vjepa_fer.sweep import Swept, Transfer

TRANSFER_COLUMNS = ("probe", "policy", "WAR", "UAR", "clips scored")
AXES = ("features", "scale", "decision")
COLUMNS = ("probe", "WAR", "UAR", "macro-F1")
VOTES = "vote_cross_entropy"
VOTE_COLUMNS = (("agreement", "agreement"), ("votes", VOTES))
GRID_NOTE = "picked from these rows, a figure would be chosen on the test parts"


def print_sweep(swept: Swept) -> None:
    """Tables to stdout, notes and run folders to stderr."""
    results = sorted((one.to_dict() for one in swept.cells), key=lambda result: -result["war"]["mean"])
    if results:
        _print_results(swept, results)
        _print_groups((swept.chosen or swept.cells)[0].to_dict())
    for one in swept.chosen:
        say(f"chosen, {_chosen_words(one.to_dict(), ())}: {_choices_words(one.to_dict()['chosen'])}")
    _say_what_became(swept)


def _print_groups(result: dict[str, Any]) -> None:
    """The honest choice's figures by group; those of the first cell typed where nothing was chosen."""
    from .runs import print_groups

    if result["by"]:
        words = _chosen_words(result, ()) if "cells" in result else cell_words(result, ())
        print_groups(result["by"], title=f"{words}, by group; %, all folds pooled")


def _say_what_became(swept: Swept) -> None:
    for line in swept.lost:
        warn(f"lost: {line}")
    everything = [*swept.nested, *swept.cells]
    if everything:
        _warn_of_folds(everything[0].evaluation)
        if everything[0].evaluation.absent:
            warn(str(everything[0].evaluation.absent))
    resumed = sum(one.resumed for one in everything)
    if resumed:
        say(f"{resumed} of {len(everything)} runs were there already and were not fitted again")
    for run in (one.run for one in everything if one.run):
        say(f"run: {run}")


def print_transfer(done: Transfer) -> None:
    """A row a cell and policy with its coverage, then what each policy means."""
    from vjepa_fer.judging import POLICIES

    swept = done.swept
    nested = [result for one in swept.chosen for result in done.results(one)]
    grid = [result for one in swept.cells for result in done.results(one)]
    if grid:
        first = grid[0]
        title = [f"trained on all of one cache, tested on all of {done.test_on}", *_damage_words(first)]
        title.append(f"classes of both: {', '.join(first['shared'])}")
        for key, what in (("only_trained", "only trained on"), ("only_tested", "only tested")):
            title += [f"{what}: {', '.join(first[key])}"] if first[key] else []
        shared = [name for name in AXES if len({result[name] for result in grid}) == 1]
        if nested:
            rows = [(_chosen_words(result, shared), *_transfer_figures(result)) for result in nested]
            print_table(TRANSFER_COLUMNS, rows, title=[*title, "% chosen on inner folds of the training cache"])
            title = [f"% every cell; {GRID_NOTE}"]
        print_table(TRANSFER_COLUMNS, [(cell_words(r, shared), *_transfer_figures(r)) for r in grid], title=title)
    for policy in done.policies:
        say(f"{policy}: {POLICIES[policy].definition}")
    _say_what_became(swept)


def _transfer_figures(result: dict[str, Any]) -> tuple[str, ...]:
    figures = (f"{result[figure]['pooled']:.2f}" for figure in ("war", "uar"))
    return result["policy"], *figures, f"{result['coverage']['percent']:.1f} %"


def _warn_of_folds(evaluation: Evaluation) -> None:
    from vjepa_fer.manifest import PRESETS

    folds = evaluation.folds
    if folds.note:
        published = "; these are not the published protocol's figures" if folds.name in PRESETS else ""
        warn(f"{folds.name}: {folds.note}{published}")
    for leak in evaluation.leaks[:3]:
        warn(f"LEAKY: {leak}")


def _print_results(swept: Swept, results: Sequence[dict]) -> None:
    first = results[0]
    shared = [name for name in AXES if len({result[name] for result in results}) == 1]
    common = "".join(f"; {name} {first[name]}" for name in shared)
    title = [
        f"{'LEAKY, not comparable: ' if first['leaky'] else ''}{first['n_clips']:,} clips, {first['n_subjects']} subjects, {first['folds']}",
        f"%{_over(len(first['war']['folds']))}{common}",
        *_damage_words(first),
        *_label_words(first),
    ]
    head = (*COLUMNS, *(name for name, key in VOTE_COLUMNS if _shows(first, key)))
    if swept.chosen:
        rows = [(_chosen_words(one.to_dict(), shared), *_figures(one.to_dict())) for one in swept.chosen]
        print_table(head, rows, title=[*title, "% chosen on inner folds, which the test parts never saw"])
        title = [f"% every cell; {GRID_NOTE}"]
    elif len(results) > 1:
        title.append(f"% not nested; {GRID_NOTE}")
    print_table(
        head, [*((cell_words(r, shared), *_figures(r)) for r in results), *_people(first, len(head))], title=title
    )


def _people(result: dict[str, Any], num_columns: int) -> list[tuple[str, ...]]:
    """How well raters do on the very clips, as rows under the probes'."""
    human = result["human"]
    if human is None:
        return []
    asked = "" if human["clips"] == result["n_clips"] else f" ({human['clips']:,} clips)"
    rows = (("one rater", "rater"), ("raters' majority", "majority"))
    blank = ["–"] * (num_columns - 2)
    return [(f"{words}{asked}", f"{human[key]:.2f}", *blank) for words, key in rows]


def _label_words(result: dict[str, Any]) -> list[str]:
    """A line on what counts as right, where it is not the manifest's label."""
    if result["labels"] == "intended":
        return []
    least = (
        f"; votes: cross-entropy to them in nats, {result['vote_entropy']:.3f} at least"
        if _shows(result, VOTES)
        else ""
    )
    return [f"labels: {result['labels']}{least}"]


def _shows(result: dict[str, Any], key: str) -> bool:
    return result["labels"] != "intended" and key in result


def _over(num_folds: int) -> str:
    return ", one fold" if num_folds == 1 else f" mean ± sd over {num_folds} folds"


def _damage_words(result: dict[str, Any]) -> list[str]:
    """A line on damaged files, where any is known."""
    from vjepa_fer.manifest import Damage

    damage = Damage.from_dict(result["damaged"])
    return [str(damage)] if damage != Damage() else []


def _figures(result: dict[str, Any]) -> tuple[str, ...]:
    from vjepa_fer.runs import shown

    beside = (
        f"{result[key]:.{digits}f}"
        for (_, key), digits in zip(VOTE_COLUMNS, (2, 3), strict=True)
        if _shows(result, key)
    )
    return (*(shown(result[figure]) for figure in ("war", "uar", "macro_f1")), *beside)


def _chosen_words(result: dict[str, Any], shared: Sequence[str]) -> str:
    cells = f"{len(result['cells'])} cells"
    if "," in result["probe"] or "," in result["features"]:
        return f"best of {cells}"
    level = "" if "features" in shared else f" · {result['features']}"
    return f"{result['probe']} ({cells}){level}"


def _choices_words(chosen: Sequence[dict[str, Any]]) -> str:
    """``C=0.1 · standard in 4 folds, C=1.0 · none in 1``, the most frequent first."""
    shared = [name for name in ("features",) if len({choice[name] for choice in chosen}) == 1]
    counts = Counter(cell_words(choice, shared) for choice in chosen)
    return ", ".join(f"{words} in {count}" for words, count in counts.most_common()) + f" of {len(chosen)} folds"


def cell_words(result: dict[str, Any], shared: Sequence[str]) -> str:
    """``knn k=10``, and the level and scaling unless all rows share them."""
    params = "".join(f" {name}={value}" for name, value in result["params"].items())
    differing = (result[name] for name in AXES if name not in shared)
    return " · ".join([result["probe"] + params, *differing])
