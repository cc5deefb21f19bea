"""How ``probe`` shows a sweep: what was chosen honestly first, then every cell, ranked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .terminal import print_table, say, warn

if TYPE_CHECKING:
    from vjepa_fer.evaluation import Evaluation
    from vjepa_fer.experiment import Choice
    from vjepa_fer.sweep import Judged, Outcome, Repeated, Swept, Transfer

    from .options import Shape

TRANSFER_COLUMNS = ("probe", "policy", "WAR", "UAR", "clips scored")
AXES = ("features", "scale", "decision")
COLUMNS = ("probe", "WAR", "UAR", "macro-F1")
VOTES = "vote_cross_entropy"
VOTE_COLUMNS = (("agreement", "agreement"), ("votes", VOTES))
MOST_TIED = 3
"""Cells whose ties are told."""
GRID_NOTE = "picked from these rows, a figure would be chosen on the test parts: not the figure to report"
FAMILIES = ("the first row is the figure to report; to pick another row is to choose on the test parts",)


def print_sweep(swept: Swept) -> None:
    """Tables to stdout, notes and run folders to stderr."""
    ranked = sorted(swept.cells, key=lambda one: -one.to_dict()["war"]["mean"])
    if ranked:
        _print_results(swept, ranked)
        _print_groups((swept.chosen or swept.cells)[0])
    for one in swept.chosen:
        say(f"chosen, {one.title}: {_choices_words(one.evaluation.choices)}")
    _say_what_became(swept)


def print_pasted(outcome: Outcome, form: Shape) -> None:
    """The figure to report, what else was chosen, and every cell, as one table to paste; everything else to stderr."""
    from .figures import print_part

    results = outcome.results
    if results:
        print_part(results, "figures", form)
    _say_what_became(outcome.swept)


def _print_groups(one: Judged) -> None:
    """The honest choice's figures by group; those of the first cell typed where nothing was chosen."""
    from .figures import COVERED, print_groups

    if one.to_dict()["by"]:
        print_groups(one.to_dict()["by"], title=[f"{one.title}, by group; %, all folds pooled", *COVERED])


def _say_what_became(swept: Swept) -> None:
    from vjepa_fer.judging import ties_among

    for line in swept.lost:
        warn(f"lost: {line}")
    tied = [(one.title, ties) for one in swept.cells if (ties := ties_among(one.evaluation.predictions))]
    for title, ties in tied[:MOST_TIED]:
        say(f"{title}: {ties}")
    if len(tied) > MOST_TIED:
        say(f"{len(tied) - MOST_TIED} more cells have tied clips; --json says how many")
    everything = [*swept.nested, *swept.cells]
    if everything:
        _warn_of_folds(everything[0].evaluation)
        if everything[0].evaluation.absent:
            warn(str(everything[0].evaluation.absent))
        for line in everything[0].evaluation.beside.get("unaudited", ()):
            say(f"the search for leaks did not see {line}")
    resumed = sum(one.resumed for one in everything)
    if resumed:
        say(f"{resumed} of {len(everything)} runs were there already and were not fitted again")
    for run in (one.run for one in everything if one.run):
        say(f"run: {run}")


def print_repeats(repeated: Sequence[Repeated]) -> None:
    """A row a cell: how its figures moved from seed to seed."""
    if not repeated:
        return
    rows = [
        (
            one["name"],
            len(one["seeds"]),
            *(f"{one[key]['mean']:.2f} ± {one[key]['sd'] or 0:.2f}" for key in ("war", "uar", "macro_f1")),
        )
        for one in (row.to_dict() for row in repeated)
    ]
    title = (
        "% all clips, mean ± sd over seeded fold assignments of the same clips:",
        "what other folds and other training do, which no interval covers",
    )
    print_table(("probe", "repeats", "WAR", "UAR", "macro-F1"), rows, title=title)


def print_transfer(done: Transfer) -> None:
    """A row a cell and policy with its coverage, then what each policy means."""
    from vjepa_fer.judging import POLICIES

    swept = done.swept
    grid = [(one, result) for one in swept.cells for result in done.results(one)]
    if grid:
        first = grid[0][1]
        title = [f"trained on all of one cache, tested on all of {done.test_on}", *_damage_words(first)]
        title.append(f"classes of both: {', '.join(first['shared'])}")
        title.append("% one model, pooled over the tested clips")
        for key, what in (("only_trained", "only trained on"), ("only_tested", "only tested")):
            title += [f"{what}: {', '.join(first[key])}"] if first[key] else []
        if swept.chosen:
            rows = [(one.title, *_transfer_figures(r)) for one in swept.chosen for r in done.results(one)]
            print_table(TRANSFER_COLUMNS, rows, title=[*title, "% chosen on inner folds of the training cache"])
            title = [f"% every cell; {GRID_NOTE}"]
        names = cell_names(swept.cells, [])
        rows = [(names[id(one)], *_transfer_figures(result)) for one, result in grid]
        print_table(TRANSFER_COLUMNS, rows, title=title)
    for policy in done.policies:
        say(f"{policy}: {POLICIES[policy].definition}")
    for one, result in grid:
        if result["no_shared_mass"]:
            say(f"{one.title}, {no_mass_words(result)}")
    _say_what_became(swept)


def no_mass_words(result: dict[str, Any]) -> str:
    """How many predictions could not be taken anew."""
    return (
        f"{result['policy']}: {result['no_shared_mass']:,} of {result['n_clips']:,} decisions have no probability on any shared class; "
        "each is an error, of the foreign class that it keeps"
    )


def _transfer_figures(result: dict[str, Any]) -> tuple[str, ...]:
    figures = (f"{result[figure]['pooled']:.2f}" for figure in ("war", "uar"))
    return result["policy"], *figures, f"{result['coverage']['percent']:.1f} %"


def _warn_of_folds(evaluation: Evaluation) -> None:
    from vjepa_fer.judging import notes_on
    from vjepa_fer.manifest import PRESETS

    folds = evaluation.folds
    if folds.note:
        published = "; these are not the published protocol's figures" if folds.name in PRESETS else ""
        warn(f"{folds.name}: {folds.note}{published}")
    for leak in evaluation.leaks[:3]:
        warn(f"LEAKY: {leak}")
    if not evaluation.predictions.subjects_known:
        for note in notes_on(evaluation.predictions)[-1:]:
            warn(note)


def _print_results(swept: Swept, ranked: Sequence[Judged]) -> None:
    first = ranked[0].to_dict()
    shared = [name for name in AXES if len({one.to_dict()[name] for one in ranked}) == 1]
    common = "".join(f"; {name} {first[name]}" for name in shared)
    title = [
        f"{'LEAKY, not comparable: ' if first['leaky'] else ''}{first['n_clips']:,} clips, {_subjects(first)}, {first['folds']}",
        f"%{_over(len(first['war']['folds']))}{common}",
        *_damage_words(first),
        *_label_words(first),
        *_settled_words(ranked),
    ]
    head = (*COLUMNS, *(name for name, key in VOTE_COLUMNS if _shows(first, key)))
    if swept.chosen:
        rows = [(one.title, *_figures(one.to_dict())) for one in swept.chosen]
        print_table(
            head,
            rows,
            title=[*title, "% chosen on inner folds, which the test parts never saw", *FAMILIES[: len(rows) > 1]],
        )
        title = [f"% every cell; {GRID_NOTE}"]
    elif len(ranked) > 1:
        title.append(f"% not nested; {GRID_NOTE}")
    names = cell_names(ranked, shared)
    rows = [(names[id(one)], *_figures(one.to_dict())) for one in ranked]
    print_table(head, [*rows, *_people(first, head)], title=title)


def _subjects(result: dict[str, Any]) -> str:
    from vjepa_fer.judging import subjects_in_words

    return subjects_in_words(result["n_subjects"], result["n_clips"])


def cell_names(cells: Sequence[Judged], shared: Sequence[str]) -> dict[int, str]:
    """Each cell in words, by its identity; what all rows share is left out."""
    from vjepa_fer.experiment import cell_titles

    titles = cell_titles([one.cell for one in cells], leave_out=shared)
    return {id(one): title for one, title in zip(cells, titles, strict=True)}


def _people(result: dict[str, Any], head: Sequence[str]) -> list[tuple[str, ...]]:
    """How well raters do on the very clips, as rows under the probes', in the column that asks the same: shares of a label have their own."""
    from vjepa_fer.evaluation import human_words

    human = result["human"]
    if human is None:
        return []
    asked = "" if human["clips"] == result["n_clips"] else f", {human['clips']:,} clips"
    column = "agreement" if "agreement" in head else "WAR"
    return [
        (f"{words}{asked}", *(f"{value:.2f}" if name == column else "–" for name in head[1:]))
        for words, value in human_words(human)
    ]


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


def _settled_words(cells: Sequence[Judged]) -> list[str]:
    """A line a probe on what its training parts made of parameters that are "auto"."""
    from vjepa_fer.runs import settled_words

    said = ((one.to_dict()["probe"], settled_words(one.evaluation.settled)) for one in cells)
    return list(dict.fromkeys(f"{probe}, auto: {words}" for probe, words in said if words))


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


def _choices_words(choices: Sequence[Choice]) -> str:
    """``C=0.1 · standard in 4 folds, C=1.0 · none in 1``, the most frequent first."""
    from vjepa_fer.experiment import cell_titles

    shared = ["features"] if len({choice.cell.level for choice in choices}) == 1 else []
    counts = Counter(cell_titles([choice.cell for choice in choices], leave_out=shared))
    return ", ".join(f"{words} in {count}" for words, count in counts.most_common()) + f" of {len(choices)} folds"
