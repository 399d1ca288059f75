"""Two numbers that make probabilities mean what they say: how far a logit lies below the largest is changed by them.

A logit that lies ``gap`` below the largest one is put ``(gap / temperature) ** exponent`` below it, before the softmax.
With an exponent of 1 that is temperature scaling (Guo, Pleiss, Sun and Weinberger 2017, arXiv 1706.04599, section 4.2),
which leaves an error where labels were smoothed, as that draws large gaps together. The two keep the order of the
classes (of such functions: Rahimi, Shaban, Cheng, Hartley and Boots 2020, arXiv 2003.06820), so no answer changes. Both
are fitted on images that were not trained on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_IMAGES = 200  # of validation; fewer say too little
COLDEST, HOTTEST = 0.05, 20.0  # temperatures that are fitted
EXPONENT_SD = 0.3  # of the exponent's logarithm, before anything is seen: 0.5 to 2 are within two and a half of it
FOLDS = 5  # of the cross-fitting
TINY = float(np.finfo(np.float32).tiny)  # the smallest probability whose logarithm is taken


@dataclass(frozen=True)
class Temperature:
    """What a logit's distance from the largest is divided by, and raised to, before the softmax.

    Attributes:
        value: 1 leaves distances as they are, less makes answers surer, more less sure.
        n: validation images that it was fitted on; 0 where it wasn't.
        exponent: 1 leaves distances as they are, more takes small ones for less, and large ones for more.

    Raises:
        ValueError: what somebody's file says is none, such as a text, 0 or NaN.
    """

    value: float = 1.0
    n: int = 0
    exponent: float = 1.0

    def __post_init__(self) -> None:
        numbers = self.value, self.exponent
        if not all(isinstance(number, int | float) and 0 < number < math.inf for number in numbers):
            raise ValueError(f"temperature: numbers above 0 expected, {self.value!r} and {self.exponent!r} found")
        if not isinstance(self.n, int) or self.n < 0:
            raise ValueError(f"temperature: a count of images expected, {self.n!r} found")

    def __str__(self) -> str:
        """Complete the sentence "these probabilities are …"."""
        return f"calibrated on {self.n:,} validation images" if self.n else "not calibrated"

    @classmethod
    def fitted(cls, probabilities_NC: NDArray[np.float32], labels_N: NDArray[np.int64]) -> Temperature:
        """See :func:`fit_temperature`; of fewer than 200 images, probabilities stay as they are."""
        return cls() if len(labels_N) < MIN_IMAGES else fit_temperature(probabilities_NC, labels_N)

    @property
    def changes(self) -> bool:
        """Whether anything is changed by it."""
        return (self.value, self.exponent) != (1, 1)

    def applied(self, probabilities_NC: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities by logits whose distances are changed, float32 (N, C)."""
        if not self.changes:
            return probabilities_NC
        with np.errstate(over="ignore"):  # by what a stranger's run says: so far below the largest is 0
            weights_NC = np.exp(-((_gaps(probabilities_NC) / self.value) ** self.exponent))
        calibrated_NC: NDArray[np.float32] = (weights_NC / weights_NC.sum(axis=1, keepdims=True)).astype(np.float32)
        return calibrated_NC


UNCALIBRATED = Temperature()


def fit_temperature(probabilities_NC: NDArray[np.float32], labels_N: NDArray[np.int64]) -> Temperature:
    """Find the temperature and exponent with the smallest log loss.

    One mistake is added to those that were made, spread over all images, each of which says its second class with a
    weight of 1/N (the rule of succession): a model that makes none on 200 images would be called certain of everything
    otherwise. The exponent stays near 1 as far as few images say nothing of it.

    Args:
        probabilities_NC: uncalibrated, float32 (N, C), N ≥ 1. Their logarithms serve as logits.
        labels_N: the true classes, int64 (N,).
    """
    gaps_NC, weights_NC = _gaps(probabilities_NC), np.zeros(probabilities_NC.shape)
    rows = np.arange(len(labels_N))
    weights_NC[rows, labels_N] = 1
    if probabilities_NC.shape[1] > 1:
        weights_NC[rows, np.argsort(gaps_NC, axis=1, kind="stable")[:, 1]] += 1 / len(labels_N)
    temperature, exponent = np.exp(_smallest_loss(gaps_NC, weights_NC))
    return Temperature(float(temperature), len(labels_N), float(exponent))


def _smallest_loss(gaps_NC: NDArray[np.float64], weights_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the logarithms of temperature and exponent with the smallest loss, by Levenberg's and Marquardt's steps.

    Args:
        gaps_NC: of the logits from the largest, ≥ 0.
        weights_NC: of each class's log loss.
    """
    of_image_N1 = weights_NC.sum(axis=1, keepdims=True)
    logarithms_NC = np.log(np.where(gaps_NC > 0, gaps_NC, 1))
    prior = np.array([0, EXPONENT_SD**-2])

    def loss_of(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """The loss, the changed gaps and the probabilities; what is so far below that it has none is cut off."""
        changed_NC = np.exp(np.minimum(np.exp(point[1]) * (logarithms_NC - point[0]), 90)) * (gaps_NC > 0)
        shares_NC = np.exp(-changed_NC)
        totals_N1 = shares_NC.sum(axis=1, keepdims=True)
        loss = float((of_image_N1 * np.log(totals_N1)).sum() + (weights_NC * changed_NC).sum())
        return loss + float(prior @ point**2) / 2, changed_NC, shares_NC / totals_N1

    point, damping = np.zeros(2), 1.0
    loss, changed_NC, shares_NC = loss_of(point)
    for _ in range(60):
        # How a logit, which is minus its changed gap, moves with either number; its variance is the curvature.
        moves = [np.exp(point[1]) * changed_NC]
        moves.append(-moves[0] * (logarithms_NC - point[0]))
        spread = [move - (shares_NC * move).sum(axis=1, keepdims=True) for move in moves]
        slope = np.array([((of_image_N1 * shares_NC - weights_NC) * move).sum() for move in moves]) + prior * point
        curvature = np.array([[(of_image_N1 * shares_NC * a * b).sum() for a in spread] for b in spread])

        # A step of at most e in either; where it doesn't go down it is made shorter.
        step = np.linalg.solve(curvature + np.diag(prior + damping), -slope).clip(-1, 1)
        ahead = (point + step).clip(np.log([COLDEST, 0.5]), np.log([HOTTEST, 2]))
        there = loss_of(ahead)
        if there[0] > loss:
            damping *= 10
        else:
            is_there = float(np.abs(ahead - point).max()) < 1e-6
            point, (loss, changed_NC, shares_NC), damping = ahead, there, damping / 10
            if is_there:
                break
    return point


def cross_fitted(probabilities_NC: NDArray[np.float32], labels_N: NDArray[np.int64]) -> NDArray[np.float32]:
    """Calibrate validation images by temperatures that none of them was used for, in five folds: float32 (N, C).

    What is fitted on images looks better on them than on others; this doesn't. Fewer than 200 images stay as they are.
    The folds depend on the number of images alone.
    """
    if len(labels_N) < MIN_IMAGES:
        return probabilities_NC
    fold_N = np.random.default_rng(0).permutation(len(labels_N)) % FOLDS
    calibrated_NC = np.empty_like(probabilities_NC)
    for fold in range(FOLDS):
        inside_N = fold_N == fold
        temperature = fit_temperature(probabilities_NC[~inside_N], labels_N[~inside_N])
        calibrated_NC[inside_N] = temperature.applied(probabilities_NC[inside_N])
    return calibrated_NC


def _gaps(probabilities_NC: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each logarithm lies below the largest of its row."""
    logarithms_NC = np.log(np.maximum(probabilities_NC.astype(np.float64), TINY))
    gaps_NC: NDArray[np.float64] = logarithms_NC.max(axis=1, keepdims=True) - logarithms_NC
    return gaps_NC
