"""Sets of classes that hold the right one as often as is asked for: split conformal prediction.

Vovk, Gammerman and Shafer 2005; with 1 − p as the score, Sadinle, Lei and Wasserman 2019. An image's set has every
class whose score is at most the ⌈(n + 1) · coverage⌉-th smallest of what the right classes of n validation images
scored. The first answer scores 0, so that it is in every set: a set is right as often as the answer is, or oftener.
"""

from __future__ import annotations

import binascii
import math
import re
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from fittingroom.files.records import Count, Form

MIN_IMAGES = 100  # of validation; fewer say too little
MAX_IMAGES = 5_000  # whose scores are kept: ±0.6 points at 95 %
BASE64 = Form(re.compile(r"[A-Za-z0-9+/]*={0,2}"), "scores in base64")
MIN_OF_CLASS = 20  # validation images of a class of which a share is given


@dataclass(frozen=True)
class ConformalScores:
    """What the right class of each validation image scored, in the form in which ``config.json`` keeps it.

    Attributes:
        counts: validation images of each class.
        encoded: their scores, float32 little-endian in base64: class by class, ascending. They are decoded when a set
            is asked for, and not before.
        folds: of the cross-validation in which they were judged; 0 where they were held out of a single training.
        groups: of which they are; 0 where no two are of one.
    """

    counts: tuple[Count, ...]
    encoded: Annotated[str, BASE64]
    folds: Count = 0
    groups: Count = 0

    @classmethod
    def of(
        cls,
        probabilities_NC: NDArray[np.float32],
        labels_N: NDArray[np.int64],
        folds: int | None = None,
        group_N: NDArray[np.int64] | None = None,
        predicted_N: NDArray[np.int64] | None = None,
    ) -> ConformalScores:
        """Score validation images; of more than 5,000, so many that are drawn from all of them.

        ``group_N`` has the group of each, where groups are known; ``predicted_N`` as for :func:`scores_of`.
        """
        scores_NC = scores_of(probabilities_NC, predicted_N)
        if len(labels_N) > MAX_IMAGES:
            rows = np.random.default_rng(0).permutation(len(labels_N))[:MAX_IMAGES]
            scores_NC, labels_N = scores_NC[rows], labels_N[rows]
            group_N = None if group_N is None else group_N[rows]
        scores_N = scores_NC[np.arange(len(labels_N)), labels_N]
        ordered_N = scores_N[np.lexsort((scores_N, labels_N))]
        counts = np.bincount(labels_N, minlength=probabilities_NC.shape[1])
        groups = 0 if group_N is None else len(np.unique(group_N))
        return cls(tuple(counts.tolist()), _text_of(ordered_N), folds or 0, groups)

    @property
    def is_whole(self) -> bool:
        """Whether there are so many scores as images are counted."""
        return len(self.encoded) == 4 * -(-4 * self.n // 3)

    @property
    def n(self) -> int:
        """Validation images."""
        return sum(self.counts)

    def limit(self, coverage: float) -> float:
        """The highest score that a class of a set has.

        Args:
            coverage: of all images, the share whose set is to hold the right class, 0–1.

        Raises:
            ValueError: the validation images are too few for it, and how many it takes.
        """
        place = self._place(coverage)
        if self.n < MIN_IMAGES or place > self.n:
            needed = max(MIN_IMAGES, math.ceil(coverage / (1 - coverage) - 1e-9))
            raise ValueError(f"{needed:,} or more validation images expected, {self.n:,} found")
        return float(np.partition(self._scores(), place - 1)[place - 1])

    def coverage_elsewhere(self, coverage: float) -> tuple[float, float]:
        """Between which shares of other pictures, from the same source, the sets hold the right class: 95 times of 100.

        With n validation images and the k-th lowest score as the limit it is distributed as Beta(k, n + 1 - k) over
        draws of validation images (Vovk 2012). A limit of 0 is no such one: more first answers are right than was asked
        for, each set is its first answer alone, and what is sought is the accuracy, by Clopper and Pearson's interval.
        Of folds either is wider, as their images count for fewer; and of groups, each of which counts for one image.
        """
        from fittingroom.evaluation.fold_interval import fold_factor

        # Images that folds judged count for fewer, as in an accuracy on them. Those of a group may all be alike.
        fewer = 1.0 if self.folds < 2 else 1 / fold_factor(self.folds)
        fewer *= min(1.0, self.groups / self.n) if self.groups else 1.0
        n = int(self.n * fewer)
        if self.limit(coverage) > 0:
            low = high = self._place(coverage) * fewer
        else:
            low = int((self._scores() <= 0).sum()) * fewer
            high = low + 1
        return _beta_quantile(math.floor(low), n, 0.025), _beta_quantile(math.ceil(high), n, 0.975)

    def coverage_of(self, limit: float) -> tuple[float, list[float | None]]:
        """The share of the validation images whose set holds the right class, and of each class where it has 20."""
        parts = np.split(self._scores() <= limit, np.cumsum(self.counts)[:-1])
        of_classes = [float(part.mean()) if len(part) >= MIN_OF_CLASS else None for part in parts]
        return float(np.concatenate(parts).mean()), of_classes

    def _place(self, coverage: float) -> int:
        """Which score, counted from 1 in rising order, is the limit; beyond n where the images are too few."""
        return math.ceil((self.n + 1) * coverage - 1e-9)

    def _scores(self) -> NDArray[np.float32]:
        return np.frombuffer(binascii.a2b_base64(self.encoded), dtype="<f4")


def _beta_quantile(k: int, n: int, probability: float) -> float:
    """The quantile of Beta(k, n + 1 - k), by halving; without SciPy, which an image that serves may lack.

    1 for k = n + 1, as no number lies above all.
    """
    if k > n:
        return 1.0
    logs = [math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1) for j in range(k, n + 1)]
    low, high = 0.0, 1.0
    for _ in range(40):
        x = (low + high) / 2
        up, down = math.log(x), math.log1p(-x)
        # that k of n uniform numbers or more lie below x
        below = sum(math.exp(log + j * up + (n - j) * down) for j, log in enumerate(logs, start=k))
        low, high = (x, high) if below < probability else (low, x)
    return (low + high) / 2


def _text_of(scores_N: NDArray[np.float32]) -> str:
    return binascii.b2a_base64(scores_N.astype("<f4").tobytes(), newline=False).decode("ascii")


def scores_of(
    probabilities_NC: NDArray[np.float32], predicted_N: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """1 − p of each class, and 0 of the answer: float32 (N, C).

    ``predicted_N`` has the answers where they aren't the most probable classes, as a threshold may say the other one.
    """
    scores_NC: NDArray[np.float32] = 1 - probabilities_NC
    answer_N = probabilities_NC.argmax(axis=1) if predicted_N is None else predicted_N
    scores_NC[np.arange(len(scores_NC)), answer_N] = 0
    return scores_NC


def sets_of(
    probabilities_NC: NDArray[np.float32], limit: float, predicted_N: NDArray[np.int64] | None = None
) -> list[list[int]]:
    """The classes of each image's set: the answer first, then the most probable; ``predicted_N`` as above."""
    scores_NC = scores_of(probabilities_NC, predicted_N)
    order_NC = np.argsort(scores_NC, axis=1, kind="stable")
    sizes_N = (scores_NC <= np.float32(limit)).sum(axis=1)
    return [order[:size] for order, size in zip(order_NC.tolist(), sizes_N.tolist(), strict=True)]
