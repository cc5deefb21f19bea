"""What is odd about the predictions that ``evaluate`` was given comes in, as a result says it; lines on stderr come out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .options import taken_for_one_name
from .terminal import say, warn

if TYPE_CHECKING:
    from vjepa_fer.judging import OrderAgreement


def say_remarks(result: dict[str, Any]) -> None:
    """Names and folds, how values were read, what was weighed, labels that contradict each other, and clips that are damaged or missing."""
    _warn_of_names_and_leaks(result)
    _say_how_it_was_read(result)
    _say_stackers(result)
    _say_class_order(result)
    if result["values"] == "sums":
        warn("rows add up to more than one: read as probabilities summed over windows (--no-scores refuses them)")
    _warn_of_labels(result)
    _warn_of_shift(result)
    _say_what_is_missing(result)


def _warn_of_names_and_leaks(result: dict[str, Any]) -> None:
    if result.get("united"):
        warn(taken_for_one_name(dict(result["united"])))
    for leak in result["leaks"][:3]:
        warn(f"LEAKY, if each fold was trained on the others: {leak}")


def _say_how_it_was_read(result: dict[str, Any]) -> None:
    if result["values"] == "logits":
        say("the class columns are logits: softmax made probabilities of them")
    if result.get("matched_by") == "recording":
        warn("clips go by other names in each table; they were matched as one RAVDESS recording with and without sound")


def _say_stackers(result: dict[str, Any]) -> None:
    if "stackers" in result:
        for name, share in zip(result["fused"], _shares(result), strict=True):
            say(f"{name} makes up {share:.0f} % of what moves the stacked decision")
        warn(result["caution"])


def _shares(result: dict[str, Any]) -> list[float]:
    """How much each classifier counts, in percent, the mean over folds."""
    folds = [one["shares"] for one in result["stackers"]]
    return [100 * sum(own) / len(folds) for own in zip(*folds, strict=True)]


def _say_class_order(result: dict[str, Any]) -> None:
    """How well the order that was told agrees with the true labels; and which does better."""
    from vjepa_fer.judging import OrderAgreement

    told = result.get("class_order")
    if not told:
        return
    names = result.get("fused") or ["--class-order"]
    for name, one in zip(names, told["tables"], strict=True):
        found = OrderAgreement(one["agree"], one["best"], tuple(one["best_order"]))
        _say_agreement(name, ",".join(told["told"]), found)


def _say_agreement(name: str, told: str, found: OrderAgreement) -> None:
    line = f"{name}: the largest of {told} is the true label in {found.agree:.2f} %"
    if found.is_doubtful:
        better = f"in the order {','.join(found.best_order)} it would be in {found.best:.2f} %"
        warn(f"{line}; {better}: is --class-order right?")
        return
    gain = found.best - found.agree
    say(f"{line}; " + (f"another order gains {gain:.2f} points at most" if gain > 0 else "no other order does better"))


def _warn_of_labels(result: dict[str, Any]) -> None:
    from vjepa_fer.folds import shortlist

    total = f"of {result['n_clips']:,} clips"
    if result["n_contradicted"]:
        warn(
            f"{result['n_contradicted']:,} {total} have a predicted_label that is not the class with the largest value; the label counts: "
            f"{shortlist(result['contradicted'], 3)}"
        )
    if result.get("n_relabelled"):
        clip, here, there = result["relabelled"][0]
        warn(
            f"{result['n_relabelled']:,} {total} have another true label in the manifest, such as {clip}: {here!r} here, {there!r} "
            "there; the table's counts"
        )


def _warn_of_shift(result: dict[str, Any]) -> None:
    """Codes of labels that begin at another number than those of the classes."""
    if "shifted" not in result:
        return
    unseen, agree = result["shifted"]["unseen"], result["shifted"]["agree"]
    other = "less" if unseen == min(result["classes"], key=int) else "more"
    warn(
        f"no clip is of class {unseen}, and with true labels that count from one number {other} WAR would be {agree:.2f}: do labels and "
        "classes count from the same number?"
    )


def _say_what_is_missing(result: dict[str, Any]) -> None:
    from vjepa_fer.folds import shortlist
    from vjepa_fer.manifest import Damage

    damage = Damage.from_dict(result["damaged"])
    if damage != Damage():
        say(str(damage))
    if result.get("n_missing"):
        total = result["n_missing"] + result["n_clips"]
        warn(
            f"{result['n_missing']:,} of the manifest's {total:,} clips have no prediction: {shortlist(result['missing'], 3)}"
        )
