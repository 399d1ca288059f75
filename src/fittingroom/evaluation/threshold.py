"""The probability from which on the rarer one of two classes is predicted, in place of a half.

Where one class has few images the more probable answer is nearly always the other one. A threshold that is chosen on
validation images, where the mean of both recalls is largest, predicts the rare class oftener; the probabilities stay as
they are, and mean what they meant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.evaluation.temperature import FOLDS
from fittingroom.files.records import Count, Positive, Share

MIN_OF_CLASS = 10  # validation images of the rarer class; of fewer no threshold is chosen


@dataclass(frozen=True)
class Threshold:
    """From which probability on a class is predicted, of two.

    Attributes:
        label: the class, 0 or 1.
        value: the probability, 0–1, a float32's.
        n: validation images that it was chosen on.
    """

    label: Count
    value: Share
    n: Positive

    @classmethod
    def fitted(cls, probabilities_N2: NDArray[np.float32], labels_N: NDArray[np.int64]) -> Threshold | None:
        """Choose it for the class with fewer images, where balanced accuracy is largest; of fewer than ten of it, none.

        Args:
            probabilities_N2: as the model ships them, float32 (N, 2).
            labels_N: the true classes, int64 (N,).
        """
        counts = np.bincount(labels_N, minlength=2)
        label = 0 if counts[0] < counts[1] else 1
        if counts.min() < MIN_OF_CLASS:
            return None

        # Each place between two probabilities in turn: how many of either class are at it or above.
        order = np.argsort(probabilities_N2[:, label], kind="stable")
        value_N, is_rare_N = probabilities_N2[order, label], labels_N[order] == label
        starts = np.flatnonzero(np.r_[True, value_N[1:] > value_N[:-1]])  # of runs of equal probabilities
        missed, rejected = (np.r_[0, np.cumsum(kind)][starts] for kind in (is_rare_N, ~is_rare_N))
        balanced = (1 - missed / counts[label] + rejected / counts[1 - label]) / 2

        # Several may be as good; the middle one of them is the farthest from being worse.
        best = np.flatnonzero(balanced >= balanced.max() - 1e-12)
        place = int(best[len(best) // 2])
        above = value_N[starts[place]]
        below = value_N[starts[place] - 1] if place else np.float32(0)
        middle = np.float32((float(below) + float(above)) / 2)
        return cls(label, float(middle if below < middle else above), len(labels_N))

    def applied(self, probabilities_N2: NDArray[np.float32]) -> NDArray[np.int64]:
        """The predicted class of each image: int64 (N,)."""
        is_label_N = probabilities_N2[:, self.label] >= np.float32(self.value)
        return np.where(is_label_N, self.label, 1 - self.label).astype(np.int64)

    def is_near(self, probabilities_N2: NDArray[np.float32], tolerance: float) -> NDArray[np.bool_]:
        """Whether rounding decides what is predicted: bool (N,)."""
        return np.asarray(np.abs(probabilities_N2[:, self.label] - self.value) < tolerance)

    def in_words(self, classes: tuple[str, ...]) -> str:
        """``Coat is predicted from probability 0.08 on, where balanced accuracy is largest on 2,000 validation …``."""
        return (
            f"{classes[self.label]} is predicted from probability {self.value:.3g} on, where balanced accuracy is "
            f"largest on {self.n:,} validation images"
        )


def is_a_tie(probabilities_NC: NDArray[np.float32], threshold: Threshold | None, tolerance: float) -> NDArray[np.bool_]:
    """Whether either of two answers is right, as rounding decides between them: bool (N,)."""
    if threshold is not None:
        return threshold.is_near(probabilities_NC, tolerance)
    ascending_NC = np.sort(probabilities_NC, axis=1)
    return np.asarray(ascending_NC[:, -1] - ascending_NC[:, -2] < tolerance)


def cross_fitted_answers(
    probabilities_N2: NDArray[np.float32], labels_N: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """What validation images are taken for by thresholds that none of them was used for, in five folds: int64 (N,).

    What is chosen on images looks better on them than on others; this doesn't. None where no threshold is chosen.
    """
    if Threshold.fitted(probabilities_N2, labels_N) is None:
        return None
    fold_N = np.random.default_rng(1).permutation(len(labels_N)) % FOLDS
    answers_N = np.asarray(probabilities_N2.argmax(axis=1))
    for fold in range(FOLDS):
        inside_N = fold_N == fold
        threshold = Threshold.fitted(probabilities_N2[~inside_N], labels_N[~inside_N])
        if threshold is not None:
            answers_N[inside_N] = threshold.applied(probabilities_N2[inside_N])
    return answers_N
