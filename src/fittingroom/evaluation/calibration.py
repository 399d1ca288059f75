"""Whether a classifier's probabilities mean what they say: reliability by bin, calibration error, Brier score.

Images of a group, or copies of one, are right or wrong together more often than unrelated ones. So wherever groups are
known, what chance does is that on as many unrelated images as these count for, bin by bin, as in an accuracy's interval
(:mod:`fittingroom.evaluation.group_intervals`); tests/evaluation/test_calibration.py simulates it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fittingroom.evaluation.group_intervals import effective_images, groups_among
from fittingroom.evaluation.intervals import Z_95, clopper_pearson_interval, in_groups, wilson_interval
from fittingroom.evaluation.predictions import JudgedPredictions
from fittingroom.rendering.share import counted

BINS = 15  # as in Guo et al. 2017
MIN_IN_BIN = 20  # of equal count; fewer examples have fewer bins

Verdict = Literal["too few", "calibrated", "uneven", "over-confident", "under-confident"]


@dataclass(frozen=True)
class Bin:
    """The examples the probability of whose answer lies in (low, high].

    Attributes:
        low, high: bounds of the bin, 0–1.
        n: examples in it, ≥ 1.
        confidence: mean of these probabilities.
        accuracy: share of them that were right.
        interval: 95% interval of ``accuracy``: Wilson's, on as many unrelated examples as these count for.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Calibration:
    """How far stated probabilities are from shares that came true.

    Attributes:
        n: examples judged.
        units: groups, and examples in none: what is unrelated among them.
        bins: of equal width, to draw; those that hold an example, from unsure to sure.
        groups: bins of equal count that the calibration error is taken over. Examples of one confidence share a bin.
        ece: expected calibration error (Guo et al. 2017) over bins of equal count (Nguyen and O'Connor 2015): mean
            |accuracy - confidence|, weighted by n; 0–1. Bins of equal width would put most examples into the last one.
        ece_by_chance: what a perfectly calibrated model with these confidences would be expected to show on so few
            examples, as the error of a bin's share is never 0: Σ n/N · √(2/π) · √(d Σ p (1 - p)) / n, where d is by
            how many times fewer unrelated examples those of the bin count for; 1 without groups.
        ece_sd_by_chance: the standard deviation of that over sets of so many examples.
        brier: multi-class Brier score, the mean over examples of Σ (p - truth)² over all classes; 0 (best) to 2.
        brier_interval: its 95% interval, that of Clopper and Pearson on as many examples of 0 or 2 as vary as much;
            None for a single example, or one group. The normal approximation of it holds in 12 to 90% of cases of a
            model that makes one mistake or none.
        confidence: mean probability of the answer.
        accuracy: share of right answers.
        sd_by_chance: of a perfectly calibrated model's accuracy around its confidence, on so few examples.
    """

    n: int
    units: int
    bins: tuple[Bin, ...]
    groups: int
    ece: float
    ece_by_chance: float
    ece_sd_by_chance: float
    brier: float
    brier_interval: tuple[float, float] | None
    confidence: float
    accuracy: float
    sd_by_chance: float

    @property
    def examples(self) -> str:
        """``500 images``, or ``500 images in 100 groups``."""
        return counted(self.n) + (f" in {in_groups(self.units)}" if self.units < self.n else "")

    @property
    def verdict(self) -> Verdict:
        """What the errors say beyond chance: of a model that is calibrated just that, in 93% or more of cases.

        ``uneven`` where it is sure enough on average, and not so at each confidence; ``too few`` below 20 examples, or
        groups of them, of which one or two that are wrong and sure decide.
        """
        if self.units < MIN_IN_BIN:
            return "too few"
        if self.ece <= self.ece_by_chance + 2 * self.ece_sd_by_chance:
            return "calibrated"
        if abs(over := self.confidence - self.accuracy) <= Z_95 * self.sd_by_chance:
            return "uneven"
        return "over-confident" if over > 0 else "under-confident"


def calibration(
    probabilities_NC: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    bins: int = BINS,
    group_N: NDArray[np.int64] | None = None,
    predicted_N: NDArray[np.int64] | None = None,
) -> Calibration:
    """Judge the probabilities of N ≥ 1 examples, in ``bins`` bins of equal width and up to as many of equal count.

    Args:
        probabilities_NC: float32 (N, C).
        labels_N: the true classes.
        bins: of either kind, at most.
        group_N: the group of each example, from 0, where groups are known.
        predicted_N: the answers where they aren't the most probable classes, as a threshold may say the other one.
    """
    p_NC = probabilities_NC.astype(np.float64)
    n = len(labels_N)
    if predicted_N is None:
        predicted_N = p_NC.argmax(axis=1)
    confidence_N, right_N = p_NC[np.arange(n), predicted_N], predicted_N == labels_N
    units = n if group_N is None else len(np.unique(group_N))

    def unrelated(inside_N: NDArray[np.bool_]) -> float:
        """As how many unrelated examples these count."""
        groups_I = groups_among(group_N, inside_N)
        return float(inside_N.sum()) if groups_I is None else effective_images(right_N[inside_N], groups_I)

    def variance_by_chance(inside_N: NDArray[np.bool_]) -> float:
        """The variance of the share of right answers to these, were the model calibrated."""
        p, count = confidence_N[inside_N], int(inside_N.sum())
        groups_I = groups_among(group_N, inside_N)

        # No group is more than all right or all wrong; that few groups leave it unsure is the interval's to say.
        most = 1.0 if groups_I is None else float((np.bincount(groups_I) ** 2).sum()) / count
        return min(most, count / unrelated(inside_N)) * float((p * (1 - p)).sum()) / count**2

    # Empty bins have no accuracy, and count nothing.
    bin_N = np.clip(np.ceil(confidence_N * bins).astype(int) - 1, 0, bins - 1)
    filled = []
    for i in np.unique(bin_N):
        inside = bin_N == i
        count, correct = int(inside.sum()), int(right_N[inside].sum())
        mean, counts_for = float(confidence_N[inside].mean()), unrelated(inside)
        interval = wilson_interval(correct / count * counts_for, counts_for)
        filled.append(Bin(i / bins, (i + 1) / bins, count, mean, correct / count, interval))

    # What is equally sure goes together, so that the order of the examples decides nothing.
    wanted = max(1, min(bins, units // MIN_IN_BIN))
    last_of_each = np.arange(1, wanted) * n // wanted - 1
    bin_N = np.searchsorted(np.unique(np.sort(confidence_N)[last_of_each]), confidence_N)
    error = by_chance = variance_of_error = 0.0
    for i in np.unique(bin_N):
        inside = bin_N == i
        error += abs(float(right_N[inside].sum() - confidence_N[inside].sum())) / n
        variance = variance_by_chance(inside) * (inside.sum() / n) ** 2
        by_chance += math.sqrt(2 / math.pi * variance)
        variance_of_error += (1 - 2 / math.pi) * variance  # that of the absolute value of a normal error

    # Σ (p - truth)² without the one-hot matrix: truth is 1 in a single place.
    squares_N = (p_NC**2).sum(axis=1) - 2 * p_NC[np.arange(n), labels_N] + 1
    brier = float(squares_N.mean())

    return Calibration(
        n=n,
        units=units,
        bins=tuple(filled),
        groups=len(np.unique(bin_N)),
        ece=error,
        ece_by_chance=by_chance,
        ece_sd_by_chance=math.sqrt(variance_of_error),
        brier=brier,
        brier_interval=_brier_interval(squares_N, np.arange(n) if group_N is None else group_N) if units > 1 else None,
        confidence=float(confidence_N.mean()),
        accuracy=float(right_N.mean()),
        sd_by_chance=math.sqrt(variance_by_chance(np.ones(n, bool))),
    )


def calibration_of(said: JudgedPredictions) -> Calibration:
    """The calibration of what a model said of labelled images: of the answers that it gave, by their groups."""
    return calibration(said.probabilities, said.truth, group_N=said.group_numbers, predicted_N=said.predicted)


def _brier_interval(squares_N: NDArray[np.float64], group_N: NDArray[np.int64]) -> tuple[float, float]:
    """The 95% interval of a mean of numbers of 0–2, of two groups or more."""
    n, share = len(np.unique(group_N)), min(1.0, float(squares_N.mean()) / 2)

    # No number of this range varies more than those at its ends, so n examples count for n at the least. How much less
    # they vary is not known where large ones are rare: half a one more is taken to have been seen.
    beside_G = np.bincount(group_N, weights=squares_N - squares_N.mean()) * n / len(squares_N)
    variance = float((beside_G**2).sum()) / (n - 1) / 4 + (1 - share) ** 2 / (2 * n)
    counted = n * max(1.0, share * (1 - share) / variance) if share < 1 else n
    low, high = clopper_pearson_interval(share * counted, counted)
    return 2 * low, 2 * high
