"""How ``evaluate`` shows its results: the figures of one, or a row a policy, under what must be read before them."""

from __future__ import annotations

from typing import Any

from .evaluate_remarks import say_remarks
from .figures import print_figures, print_groups
from .probe_tables import no_mass_words
from .terminal import print_table, say, warn


def print_results(results: list[dict[str, Any]]) -> None:
    """Tables to stdout; to stderr what each column was taken as, and what is odd."""
    first = results[0]
    if len(results) == 1:
        print_figures(first, title=title_lines(first))
        _say_undecided(first)
        if first.get("by"):
            print_groups(first["by"])
    else:
        _print_policies(results)
    say(*_roles(first["columns"]))
    if first["reworded"]:
        say(f"labels in other words: {_reworded(first['reworded'])}")
    if "values" in first:
        say_remarks(first)


def _print_policies(results: list[dict[str, Any]]) -> None:
    """The means over models, as the literature has them, then all decisions pooled with each policy's coverage; then what each means."""
    from vjepa_fer.runs import shown

    figures, clips = ("war", "uar", "macro_f1"), _decisions_words(results[0])
    if results[0].get("n_models", 1) > 1:
        means = [(r["policy"], *(shown(r[figure]) for figure in figures)) for r in results]
        title = f"%, mean ± sd over {results[0]['n_models']} models, each a fold of the table"
        print_table(("mean over models", "WAR", "UAR", "macro-F1"), means, title=title)
    rows = [
        (r["policy"], *(f"{r[figure]['pooled']:.2f}" for figure in figures), *_coverage_cells(r["coverage"]))
        for r in results
    ]
    head = ("pooled", "WAR", "UAR", "macro-F1", "scored", "by truth", "by pred.")
    print_table(head, rows, title=f"%, pooled; {clips}, and how many each policy scores and leaves out by what")
    for result in results:
        say(f"{result['policy']}: {result['definition']}")
    for result in results:
        _say_undecided(result)
        if result.get("ties"):
            say(f"{result['policy']}: {result['notes'][0]}")


def _say_undecided(result: dict[str, Any]) -> None:
    if result.get("no_shared_mass"):
        warn(no_mass_words(result))


def title_lines(result: dict[str, Any]) -> list[str]:
    """What must be read before the figures: that they leak, or which clips they leave out."""
    lines = ["LEAKY, if each fold was trained on the others"] if result.get("leaky") else []
    if "fusion" in result:
        what = "mean of the probabilities" if result["fusion"] == "mean" else "stacker on the probabilities"
        lines.append(f"{what} of {len(result['fused'])} tables")
    if "policy" in result:
        kept = result["coverage"]
        left_out = (
            f"{kept['dropped_by_truth']:,} left out by true class, {kept['dropped_by_prediction']:,} by prediction"
        )
        lines.append(f"{result['policy']}: {kept['percent']:.1f} % of {_decisions_words(result)} scored; {left_out}")
        lines.append(result["definition"])
    return lines


def _decisions_words(result: dict[str, Any]) -> str:
    """``7,442 clips × 5 models = 37,210 decisions``; where a clip is judged once, clips."""
    decisions = result["coverage"]["clips"]
    clips, models = result.get("n_distinct_clips", decisions), result.get("n_models", 1)
    if decisions == clips:
        return f"{clips:,} clips"
    if decisions == clips * models:
        return f"{clips:,} clips × {models} models = {decisions:,} decisions"
    return f"{decisions:,} decisions on {clips:,} clips by {models} models"


def _coverage_cells(coverage: dict[str, Any]) -> tuple[str, str, str]:
    by_truth, by_prediction = (f"{coverage[f'dropped_by_{what}']:,}" for what in ("truth", "prediction"))
    return f"{coverage['percent']:.1f} %", by_truth, by_prediction


def _roles(columns: dict[str, list[str]]) -> list[str]:
    """What each column of the table was taken as."""
    from vjepa_fer.manifest import MOST_SHOWN, abridged

    heads = {
        "read": "columns",
        "classes": "classes",
        "left_out": "left out, being no class",
        "sizes": "class sizes",
        "rows": "rows",
    }
    return [f"{heads[what]} ({len(names)}): {abridged(names, MOST_SHOWN)}" for what, names in columns.items() if names]


def _reworded(pairs: list[list[str]]) -> str:
    from vjepa_fer.manifest import MOST_SHOWN, abridged

    return abridged((f"{label} is {known}" for label, known in pairs), MOST_SHOWN)
