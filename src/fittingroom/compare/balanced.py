"""Two runs on classes of very different sizes, where accuracy goes by the largest: how their balanced accuracy differs.

Balanced accuracy is the mean of the classes' recalls. Its difference is the mean of theirs, and its interval is made
of theirs by the rule of Zou and Donner (Statistics in Medicine 27 (2008) 1693-1702).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fittingroom.compare.answers import Answers
from fittingroom.evaluation.class_metrics import is_lopsided

Estimate = tuple[float, tuple[float, float], float]  # the difference, its interval, and p


@dataclass(frozen=True, kw_only=True)
class BalancedDifference:
    """How the balanced accuracy of two runs differs.

    Attributes:
        first, second: that of each, the mean over seeds, 0–1.
        difference: the second's less the first's.
        interval: of the difference, at the confidence of the comparison's.
    """

    first: float
    second: float
    difference: float
    interval: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """What ``fittingroom compare --json`` prints of it."""
        return asdict(self) | {"interval": list(self.interval)}


def balanced_difference(
    first: Answers, second: Answers, estimate: Callable[[Answers, Answers], Estimate]
) -> BalancedDifference | None:
    """The difference where the largest class has three times the images of the smallest; else None.

    Args:
        first, second: baseline and run, on the same images.
        estimate: compares the answers to images of one class.
    """
    names, truth_N = np.unique(first.truth, return_inverse=True)
    if not is_lopsided(truth_N):
        return None

    recalls, ends = [], []
    for label in range(len(names)):
        rows = np.flatnonzero(truth_N == label)
        pair = float(first.correct[:, rows].mean()), float(second.correct[:, rows].mean())
        recalls.append(pair)
        if len(rows) == 1 and max(first.seeds, second.seeds) > 1:  # of one image nothing is known of how others vary
            ends.append((-1.0, 1.0))
        else:
            ends.append(estimate(first.subset(rows), second.subset(rows))[1])

    of_first, of_second = (float(side) for side in np.mean(recalls, axis=0))
    difference_C = np.subtract(*np.transpose(recalls)[::-1])
    below, above = (math.sqrt(float(((difference_C - end_C) ** 2).sum())) / len(names) for end_C in np.transpose(ends))
    difference = of_second - of_first
    interval = max(-1.0, difference - below), min(1.0, difference + above)
    return BalancedDifference(first=of_first, second=of_second, difference=difference, interval=interval)
