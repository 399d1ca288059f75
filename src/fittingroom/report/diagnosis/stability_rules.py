"""The rule on whether the learning rate is too high."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

from fittingroom.report.diagnosis.facts import MIN_NATS, Diagnosis, Facts, Window, rounded

TRAINING_JUMP, VALIDATION_JUMP = 0.10, 0.15  # rise from one epoch's mean loss to the next, as a share of it
MIN_JUMPS, MIN_SPIKES = 3, 3  # as many in the window are no accident
MIN_VALIDATED = 100  # images: of fewer, one that is hard moves the mean loss by more than a rate that is too high does
MIN_RISE = 10.0  # nats, summed over images, of a step or that validate: two that are wrong and sure make as many
SPIKE_SHARE = 0.01  # of a thousand steps of eight images a few hold a hard image or two: that many are

# A step's loss is a spike if it is so many times the median of the epoch before, and so many robust sd above it. It is
# also above the median of the first epoch, and above what two hard images add: once the others are known by heart, one
# of a rare class makes a tall step.
SPIKE_TIMES, SPIKE_SD = 4.0, 10.0


def unstable(facts: Facts) -> Diagnosis | None:
    """Whether the loss jumps, spikes or rises: the learning rate is too high."""
    window, steps = facts.window, facts.steps
    losses: dict[int, list[float]] = defaultdict(list)
    for step in steps:
        losses[step["epoch"]].append(step["loss"])

    # A rate that is too high shows in one of three ways: epochs that jump, steps that spike, a loss that rises.
    train_jumps = sum(_jumps(losses[a["epoch"]], losses[b["epoch"]]) for a, b in pairwise(window.epochs))
    has_many = window.is_validated and facts.validated >= MIN_VALIDATED
    validation_jumps = sum(
        b["validation_loss"] - a["validation_loss"]
        > max(VALIDATION_JUMP * a["validation_loss"], MIN_NATS, MIN_RISE / facts.validated)
        for a, b in pairwise(window.epochs)
        if has_many
    )

    spikes = _spikes(steps)
    has_spikes = len(spikes) >= max(MIN_SPIKES, SPIKE_SHARE * len(steps))
    train = window.train
    rises = train is not None and train.rises and train.slope * (len(window.epochs) - 1) >= MIN_NATS
    if not rises and train_jumps + validation_jumps < MIN_JUMPS and not has_spikes:
        return None

    symptoms = []
    if train_jumps:
        symptoms.append(_describe_jumps("training", train_jumps, TRAINING_JUMP, window))
    if validation_jumps:
        symptoms.append(_describe_jumps("validation", validation_jumps, VALIDATION_JUMP, window))
    if has_spikes:
        symptoms.append(
            f"{len(spikes):,} of {len(steps):,} steps had more than {SPIKE_TIMES:.0f} times the loss usual before "
            f"them, the first at step {spikes[0]['step']:,} and a rate of {spikes[0]['lr']:.3g}"
        )
    if rises:
        symptoms.append(f"the training loss rises ({train}, {window.span}), {window.rate}")

    return Diagnosis(
        name="unstable",
        sentence=f"The training is unstable: {'; '.join(symptoms)}.",
        evidence=window.evidence()
        | {
            "training jumps": train_jumps,
            "validation jumps": validation_jumps,
            "spikes": len(spikes),
            "steps": len(steps),
        },
        suggestion=f"Lower the rate: --lr {rounded(facts.recipe.stages[0].lr / 3)}.",
        options=("--lr", rounded(facts.recipe.stages[0].lr / 3)),
    )


def _describe_jumps(which: str, jumps: int, size: float, window: Window) -> str:
    times = {1: "once", 2: "twice"}.get(jumps, f"{jumps} times")
    return f"the {which} loss rose by more than {size:.0%} in an epoch {times} in {window.span}, {window.rate}"


def _jumps(before: Sequence[float], losses: Sequence[float]) -> bool:
    """Whether an epoch's mean loss is higher by a tenth, and by more than four standard errors of the difference.

    Args:
        before, losses: of the steps of two epochs in a row, in nats.
    """
    difference = statistics.fmean(losses) - statistics.fmean(before)
    if difference <= max(TRAINING_JUMP * statistics.fmean(before), MIN_NATS) or min(len(before), len(losses)) < 2:
        return False
    return difference > 4 * math.sqrt(sum(statistics.variance(epoch) / len(epoch) for epoch in (before, losses)))


def _spikes(steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps whose loss stands out from the epoch before theirs, and from the first.

    An epoch's last step is left out: it may be of two images, whose mean says little beside what is usual of eight.
    """
    spikes: list[dict[str, Any]] = []
    before: list[float] = []
    first = 0.0
    whole = max(step["examples"] for step in steps)
    for _, group in groupby((step for step in steps if step["examples"] == whole), key=lambda step: int(step["epoch"])):
        epoch = list(group)

        # Medians, as the spikes themselves must not decide what is usual.
        if before:
            usual = statistics.median(before)
            robust_sd = 1.4826 * statistics.median(abs(loss - usual) for loss in before)
            bound = max(SPIKE_TIMES * usual, usual + SPIKE_SD * robust_sd, first, usual + MIN_RISE / whole)
            spikes += [step for step in epoch if step["loss"] > bound]

        before = [step["loss"] for step in epoch]
        first = first or statistics.median(before)
    return spikes
