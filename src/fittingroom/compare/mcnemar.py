"""Two models on the same images: the exact McNemar test, and an interval that agrees with it.

Only the discordant images, those on which exactly one of the two is right, tell them apart. If the models are equally
good, each of those goes to either with probability 1/2, whatever else is true of models and images: that test is
exact. The interval is the one that Fay and Lumbard made for it ("Confidence intervals for difference in proportions
for matched pairs compatible with exact McNemar's or sign tests", Statistics in Medicine 40 (2021) 1147–1159): it leaves
out 0 exactly when the test says that the models differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fittingroom.evaluation.fold_interval import fold_factor
from fittingroom.evaluation.intervals import clopper_pearson_interval

NODES = 256  # of the quadrature: the limits are then right to better than 1e-6


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The second model's accuracy minus the first's, −1 to 1, with its interval and the p-value of "equally good"."""

    difference: float
    interval: tuple[float, float]
    p_value: float


def paired_difference(
    first_only: int, second_only: int, n: int, *, confidence: float = 0.95, folds: int | None = None
) -> PairedDifference:
    """Compare two models on the same images, by how many of these one alone gets right.

    Args:
        first_only, second_only: images on which the first, or the second, alone is right.
        n: images in all, ≥ 1.
        confidence: of the interval, 0–1.
        folds: of the cross-validation that either side's answers come of; None where all of a side's are of one model.
            Images then count for less, by Nadeau and Bengio's factor (:mod:`fittingroom.evaluation.fold_interval`);
            benchmarks/fold_compare_coverage.py records how often that holds.
    """
    difference = (second_only - first_only) / n

    # Folds leave fewer images of each kind to count, rounded down: rather too wide an interval than too narrow a one.
    if folds is not None:
        n, first_only, second_only = (int(count / fold_factor(folds)) for count in (n, first_only, second_only))
    return PairedDifference(
        difference=difference,
        interval=paired_interval(first_only, second_only, n, confidence=confidence),
        p_value=exact_mcnemar(first_only, second_only),
    )


def exact_mcnemar(first_only: int, second_only: int) -> float:
    """The two-sided p-value of "equally good" (0–1): twice the smaller tail of Binomial(m, 1/2), at most 1.

    Args:
        first_only, second_only: images on which the first, or the second, alone is right; m is their sum.
    """
    from scipy import special

    return min(1.0, 2 * float(special.bdtr(min(first_only, second_only), first_only + second_only, 0.5)))


def paired_interval(first_only: int, second_only: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of the second model's accuracy minus the first's, bounds in −1 to 1.

    The difference is T (2 θ − 1), with T the share of the images on which one alone is right, and θ the share of those
    that go to the second. The exact (Clopper–Pearson) limits of both, taken as distributions, are melded into one.

    Args:
        first_only, second_only: images on which the first, or the second, alone is right.
        n: images in all, ≥ 1.
        confidence: 0–1; the interval holds at least so often.
    """
    tail = (1 - confidence) / 2
    return _lower_limit(second_only, first_only, n, tail), -_lower_limit(first_only, second_only, n, tail)


def images_needed(difference: float, discordant_share: float, *, power: float = 0.8, level: float = 0.05) -> int:
    """How many images show a difference between two models to the test at ``level`` with probability ``power``.

    Connor 1987 (Biometrics 43: 207–211), by the normal distribution.

    Args:
        difference: of the accuracies, > 0.
        discordant_share: of the images, on which one alone is right; taken as at least ``difference``.
        power: 0–1.
        level: what p has to fall below.
    """
    from scipy import special

    share = max(discordant_share, difference)
    z_test, z_power = float(special.ndtri(1 - level / 2)), float(special.ndtri(power))
    root = z_test * math.sqrt(share) + z_power * math.sqrt(share - difference**2)
    return math.ceil((root / difference) ** 2)


def range_of_images_needed(
    difference: float, discordant: int, n: int, *, level: float = 0.05, tail: float = 0.1
) -> tuple[int, int]:
    """:func:`images_needed` for as few, and as many, discordant images as ``discordant`` of ``n`` leave open.

    Args:
        difference: of the accuracies, > 0.
        discordant, n: images on which one alone is right, of so many.
        level: what p has to fall below.
        tail: 0–1, what is left out on either side (Clopper and Pearson's limits).
    """
    low, high = clopper_pearson_interval(discordant, n, tail)
    return images_needed(difference, low, level=level), images_needed(difference, high, level=level)


def _lower_limit(wins: int, losses: int, n: int, tail: float) -> float:
    """The ``tail`` quantile of T (2 θ − 1), where θ ~ Beta(wins, losses + 1), for whichever T makes it smaller.

    That is T ~ Beta(m, n − m + 1) where the quantile is positive, and T ~ Beta(m + 1, n − m) where it is not.
    """
    from scipy import optimize, special

    # Where a distribution is a single point, the quantile is that of the other one alone.
    m = wins + losses
    if wins == 0:  # θ is 0
        return -float(special.betaincinv(m + 1, n - m, 1 - tail)) if m < n else -1.0
    below_half = float(special.betainc(wins, losses + 1, 0.5))  # P(θ ≤ 1/2): half the p-value where the wins lead
    positive = below_half < tail
    if m == n and not positive:  # T is 1
        return 2 * float(special.betaincinv(wins, losses + 1, tail)) - 1

    # The rest of the integral over θ: from or to 1/2, and within ten standard deviations of its mean, where all of its
    # mass is, so that the nodes of the quadrature aren't spent on nothing.
    mean = wins / (m + 1)
    reach = 10 * math.sqrt(mean * (1 - mean) / (m + 2))
    low, high = (max(0.5, mean - reach), min(1.0, mean + reach)) if positive else (max(0.0, mean - reach), 0.5)

    # The densities by their logarithms: with thousands of images, powers of θ run below the smallest float.
    x, weights = _gauss_legendre()
    theta = low + (high - low) * (x + 1) / 2
    log_density = special.xlogy(wins - 1, theta) + special.xlog1py(losses, -theta) - special.betaln(wins, losses + 1)
    masses = weights * (high - low) / 2 * np.exp(log_density)

    def excess(limit: float) -> float:
        """P(T (2 θ − 1) ≤ limit) − tail, for a limit on the side of 0 that the quantile is on."""
        share = np.clip(limit / (2 * theta - 1), 0, 1)
        if positive:
            return below_half + float(masses @ special.betainc(m, n - m + 1, share)) - tail
        return float(masses @ special.betaincc(m + 1, n - m, share)) - tail

    return float(optimize.brentq(excess, 0.0, 1.0 if positive else -1.0, xtol=1e-9))


@cache
def _gauss_legendre() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes in −1 to 1, and their weights."""
    return np.polynomial.legendre.leggauss(NODES)
