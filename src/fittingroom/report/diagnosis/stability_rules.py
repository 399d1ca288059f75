"""Rules on whether it learns at all, and whether the rate is too high for it."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

from fittingroom.report.diagnosis.facts import LEAST_NATS, Facts, Verdict, rounded

TRAINING_JUMP, VALIDATION_JUMP = 0.10, 0.15  # rise from one epoch's mean loss to the next, as a share of it
JUMPS = 3  # as many in the window are no accident
SPIKE, SPIKE_SD = 4.0, 10.0  # a step's loss over the median of the epoch before, and in robust sd above it; it is also
# above the median of the first epoch: once the images are known by heart, a single hard one makes a tall step


def not_learning(facts: Facts) -> Verdict | None:
    """Whether it does no better than always naming the most frequent class."""
    scores, window = facts.scores, facts.window
    if scores is None:
        return None
    low, high = scores["interval"]
    most_frequent = max(row["n"] for row in scores["per_class"]) / scores["n"]
    if low > most_frequent:
        return None
    return Verdict(
        name="not-learning",
        sentence=f"It does no better than always naming the most frequent class: {scores['accuracy']:.1%} right (95 % "
        f"{low:.1%} to {high:.1%}, n = {scores['n']:,}), and {most_frequent:.1%} are of that class.",
        evidence={"accuracy": scores["accuracy"], "low": low, "high": high, "most frequent class": most_frequent},
        suggestion=f"Train at a much lower rate, such as --lr {rounded(window.lr / 100)}; if that doesn't help, check "
        "that the labels belong to the images: fittingroom data show.",
    )


def unstable(facts: Facts) -> Verdict | None:
    """Whether the loss jumps, spikes or rises: the learning rate is too high."""
    window, steps = facts.window, facts.steps
    losses: dict[int, list[float]] = defaultdict(list)
    for step in steps:
        losses[step["epoch"]].append(step["loss"])
    train_jumps = sum(_jumps(losses[a["epoch"]], losses[b["epoch"]]) for a, b in pairwise(window.epochs))
    validation_jumps = sum(
        b["validation_loss"] - a["validation_loss"] > max(VALIDATION_JUMP * a["validation_loss"], LEAST_NATS)
        for a, b in pairwise(window.epochs)
        if window.is_validated
    )
    spikes = _spikes(steps)
    train = window.train
    rises = train is not None and train.rises and train.slope * (len(window.epochs) - 1) >= LEAST_NATS
    if not rises and train_jumps + validation_jumps < JUMPS and len(spikes) < JUMPS:
        return None
    found = []
    for which, jumps, size in (
        ("training", train_jumps, TRAINING_JUMP),
        ("validation", validation_jumps, VALIDATION_JUMP),
    ):
        if jumps:
            times = {1: "once", 2: "twice"}.get(jumps, f"{jumps} times")
            found.append(
                f"the {which} loss rose by more than {size:.0%} in an epoch {times} in {window.span}, {window.rate}"
            )
    if spikes:
        found.append(
            f"{len(spikes):,} of {len(steps):,} steps had more than {SPIKE:.0f} times the loss usual before them, the "
            f"first at step {spikes[0]['step']:,} and a rate of {spikes[0]['lr']:.3g}"
        )
    if rises:
        found.append(f"the training loss rises ({train}, {window.span}), {window.rate}")
    return Verdict(
        name="unstable",
        sentence=f"The training is unstable: {'; '.join(found)}.",
        evidence=window.evidence()
        | {
            "training jumps": train_jumps,
            "validation jumps": validation_jumps,
            "spikes": len(spikes),
            "steps": len(steps),
        },
        suggestion=f"Lower the rate: --lr {rounded(facts.recipe.stages[0].lr / 3)}.",
    )


def _jumps(before: Sequence[float], losses: Sequence[float]) -> bool:
    """Whether an epoch's mean loss is higher by a tenth, and by more than four standard errors of the difference."""
    difference = statistics.fmean(losses) - statistics.fmean(before)
    if difference <= max(TRAINING_JUMP * statistics.fmean(before), LEAST_NATS) or min(len(before), len(losses)) < 2:
        return False
    return difference > 4 * math.sqrt(sum(statistics.variance(each) / len(each) for each in (before, losses)))


def _spikes(steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps whose loss stands out from the epoch before theirs, and from the first."""
    found: list[dict[str, Any]] = []
    before: list[float] = []
    first = 0.0
    for _, epoch in groupby(steps, key=lambda step: int(step["epoch"])):
        own = list(epoch)
        if before:
            usual = statistics.median(before)
            robust_sd = 1.4826 * statistics.median(abs(loss - usual) for loss in before)
            bound = max(SPIKE * usual, usual + SPIKE_SD * robust_sd, first)
            found += [step for step in own if step["loss"] > bound]
        before = [step["loss"] for step in own]
        first = first or statistics.median(before)
    return found
