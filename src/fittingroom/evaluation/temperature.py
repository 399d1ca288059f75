"""One number that makes probabilities mean what they say: logits are divided by it before the softmax.

Guo, Pleiss, Sun and Weinberger 2017 (arXiv 1706.04599), section 4.2. It is fitted on images that were not trained on,
and it changes no answer: the largest logit stays the largest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_IMAGES = 200  # of validation; fewer say too little
COLDEST, HOTTEST = 0.05, 20.0  # temperatures that are fitted
FOLDS = 5  # of the cross-fitting
TINY = float(np.finfo(np.float32).tiny)  # the smallest probability whose logarithm is taken


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by before the softmax.

    Attributes:
        value: 1 leaves probabilities as they are, less makes them surer, more less sure.
        n: validation images that it was fitted on; 0 where it wasn't.

    Raises:
        ValueError: what somebody's file says is none, such as a text, 0 or NaN.
    """

    value: float = 1.0
    n: int = 0

    def __post_init__(self) -> None:
        is_number = isinstance(self.value, int | float) and isinstance(self.n, int)
        if not is_number or not 0 < self.value < math.inf or self.n < 0:
            raise ValueError(f"temperature: a number above 0 and a count expected, {self.value!r} and {self.n!r} found")

    def __str__(self) -> str:
        """Complete the sentence "these probabilities are …"."""
        return f"calibrated on {self.n:,} validation images" if self.n else "not calibrated"

    @classmethod
    def fitted(cls, probabilities_NC: NDArray[np.float32], labels_N: NDArray[np.int64]) -> Temperature:
        """Fit it on what a model says of validation images, uncalibrated; of fewer than 200, it stays 1."""
        if len(labels_N) < MIN_IMAGES:
            return cls()
        return cls(fit_temperature(probabilities_NC, labels_N), len(labels_N))

    def applied(self, probabilities_NC: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :func:`with_temperature`."""
        return probabilities_NC if self.value == 1 else with_temperature(probabilities_NC, self.value)


UNCALIBRATED = Temperature()


def fit_temperature(probabilities_NC: NDArray[np.float32], labels_N: NDArray[np.int64]) -> float:
    """Find the temperature with the smallest log loss, 0.05 to 20.

    One mistake is added to those that were made, spread over all images, each of which says its second class with a
    weight of 1/N (the rule of succession): a model that makes none on 200 images would be called certain of everything
    otherwise.

    Args:
        probabilities_NC: uncalibrated, float32 (N, C), N ≥ 1. Their logarithms serve as logits.
        labels_N: the true classes, int64 (N,).
    """
    logits_NC = _logarithms(probabilities_NC)
    of_truth_N = logits_NC[np.arange(len(labels_N)), labels_N]
    if logits_NC.shape[1] < 2:
        return 1.0
    of_second_N = np.partition(logits_NC, -2, axis=1)[:, -2]
    wanted = float(of_truth_N.sum() + of_second_N.mean()) / (len(labels_N) + 1)

    # The loss is convex in 1/T. Its slope, the mean logit expected minus the mean logit wanted, is 0 at the smallest.
    def slope(inverse: float) -> float:
        weights_NC = np.exp(logits_NC * inverse - (logits_NC * inverse).max(axis=1, keepdims=True))
        expected_N = (weights_NC * logits_NC).sum(axis=1) / weights_NC.sum(axis=1)
        return float(expected_N.mean()) - wanted

    # Halving the interval 40 times on the logarithmic scale leaves less than float32 can tell.
    low, high = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    for _ in range(40):
        middle = (low + high) / 2
        if slope(float(np.exp(middle))) < 0:
            low = middle
        else:
            high = middle
    return float(np.exp(-(low + high) / 2))


def with_temperature(probabilities_NC: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Probabilities as they are with their logits divided by ``temperature``: softmax(log p / T), float32 (N, C)."""
    scaled_NC = _logarithms(probabilities_NC) / temperature
    weights_NC = np.exp(scaled_NC - scaled_NC.max(axis=1, keepdims=True))
    calibrated_NC: NDArray[np.float32] = (weights_NC / weights_NC.sum(axis=1, keepdims=True)).astype(np.float32)
    return calibrated_NC


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
        calibrated_NC[inside_N] = with_temperature(probabilities_NC[inside_N], temperature)
    return calibrated_NC


def _logarithms(probabilities_NC: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities_NC.astype(np.float64), TINY))
