"""The scores of one model or of several seeds, as ``evaluate`` prints them."""

from __future__ import annotations

from typing import Any

from fittingroom.audit.subsets import LABEL_ISSUES_CAVEAT
from fittingroom.cli import console
from fittingroom.cli.interval_text import show_interval
from fittingroom.evaluation import class_metrics
from fittingroom.rendering.share import share_text

MOST_CLASSES = 20  # of a confusion matrix that is printed


def print_scores(scores: dict[str, Any]) -> None:
    """Print what :meth:`fittingroom.Run.evaluate` returned."""
    if "members" in scores:
        _print_mean(scores)
    else:
        _print_one(scores)


def _print_mean(scores: dict[str, Any]) -> None:
    out = console.stdout()
    members = scores["members"]
    what = f"mean accuracy of {len(members)} seed{'s' * (len(members) != 1)} on {scores['on']}"
    out.print(f"{what} {share_text(scores['mean'])}, {show_interval(scores, members[0]['n'], seeds=len(members))}")
    if len(members) > 1:
        out.print(f"sd {100 * scores['sd']:.2f} points from seed to seed")
    _print_subsets(scores)


def _print_one(scores: dict[str, Any]) -> None:
    """What one model reached: in all, on subsets, for each class, and which class it takes for which."""
    out = console.stdout()
    counts = f"{scores['correct']:,} of {scores['n']:,} images"
    out.print(f"accuracy         {share_text(scores['accuracy'])}: {counts}", style="bold")
    out.print(f"                 {show_interval(scores, scores['n'])}")
    if scores["loss"] is not None:  # of answers without probabilities there is neither
        if len(scores["per_class"]) > 2:  # of two classes the right one is always among the first two
            out.print(f"top-2 accuracy   {share_text(scores['top2'])}")
        out.print(f"loss             {scores['loss']:.4f}")
    if by_class := class_metrics.in_words(scores):
        out.print(by_class)
    _print_subsets(scores)

    # A class that is never predicted has no precision, and one without images no recall: a dash, not 0.
    out.print()
    numbers = ("n", "precision", "recall", "F1")
    classes = console.table("class", *numbers, right=numbers)
    for row in scores["per_class"]:
        shares = ("–" if row[key] is None else share_text(row[key], 1) for key in ("precision", "recall", "f1"))
        classes.add_row(row["class"], f"{row['n']:,}", *shares)
    out.print(classes)

    # A confusion matrix of more classes is wider than a terminal; JSON has it all the same.
    out.print()
    names = [row["class"] for row in scores["per_class"]]
    if len(names) <= MOST_CLASSES:
        predicted = [str(i) for i in range(len(names))]
        matrix = console.table("true \\ predicted", *predicted, right=predicted, skipped="·")
        for i, row in enumerate(scores["confusion"]):
            matrix.add_row(f"{i} {names[i]}", *(f"{count:,}" if count else "·" for count in row))
        out.print(matrix)


def _print_subsets(scores: dict[str, Any]) -> None:
    if "subsets" not in scores:
        return
    out = console.stdout()
    out.print()
    whose = "recipe" if len(scores.get("members", ())) > 1 else "this model"
    interval = f"95% interval ({whose})"
    table = console.table("images", "n", "accuracy", interval, right=("n", "accuracy"))
    for row in scores["subsets"]:
        low, high = row["interval"] or (0.0, 0.0)
        figures = (share_text(row["accuracy"]), f"{low:.2%} to {high:.2%}") if row["n"] else ("–", "–")
        table.add_row(row["name"], f"{row['n']:,}", *figures)
    out.print(table)

    # What is missing from a subset is said below the table, and that leaving images out flatters the model.
    for row in scores["subsets"]:
        if row["left_out"]:
            count = scores["subsets"][0]["n"] - row["n"]
            out.print(f"{row['name']}: {count:,} are left out {row['left_out']}", style="bright_black")
    if any(row["name"] == "without suspects" for row in scores["subsets"]):
        out.print(LABEL_ISSUES_CAVEAT)
