"""What a model got wrong, and which of it the label may have got wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.evaluation.intervals import wilson_interval
from fittingroom.evaluation.predictions import JudgedPredictions

TRUSTED = 0.995


@dataclass(frozen=True, eq=False)
class SuspiciousLabels:
    """Mistakes at which the label is doubted rather than the model.

    A model is trusted in its surest answers: in the most of them of which, with 95% certainty, at least
    :data:`TRUSTED` are right (lower bound of Wilson's interval; a little optimistic, as their number is chosen by it).
    The labels that disagree with one of these answers are suspicious. How sure the model says it is doesn't matter, so
    that one that is over-confident accuses no more labels than another.

    Attributes:
        rows: of the suspicious labels, the surest answer first.
        trusted: answers in which the model is trusted; 0 if none can be.
        trusted_and_right: those of them that agree with the label.
        confidence: the lowest probability among them; 1 where there are none.
        mistakes: all of the model's mistakes.
    """

    rows: tuple[int, ...]
    trusted: int
    trusted_and_right: int
    confidence: float
    mistakes: int


def find_mistakes(predictions: JudgedPredictions) -> NDArray[np.int64]:
    """The rows (M,) that were predicted wrongly, the most confident first; file order among equals."""
    wrong = np.flatnonzero(~predictions.is_right)
    return wrong[np.argsort(-predictions.confidence[wrong], kind="stable")]


def find_suspicious_labels(predictions: JudgedPredictions) -> SuspiciousLabels:
    """The mistakes that :class:`SuspiciousLabels` describes."""
    surest_first = np.argsort(-predictions.confidence, kind="stable")
    is_wrong = ~predictions.is_right[surest_first]

    # From all answers down, until those that are left are right often enough.
    wrong_so_far = is_wrong.cumsum()
    trusted = len(predictions)
    while trusted and wilson_interval(trusted - int(wrong_so_far[trusted - 1]), trusted)[0] < TRUSTED:
        trusted -= 1

    rows = surest_first[:trusted][is_wrong[:trusted]]
    return SuspiciousLabels(
        rows=tuple(rows.tolist()),
        trusted=trusted,
        trusted_and_right=trusted - len(rows),
        confidence=float(predictions.confidence[surest_first[trusted - 1]]) if trusted else 1.0,
        mistakes=int(is_wrong.sum()),
    )


def right_answers(predictions: JudgedPredictions, label: int, n: int) -> NDArray[np.int64]:
    """Up to ``n`` rows of class ``label`` that were predicted rightly, evenly from the surest to the least sure."""
    right = np.flatnonzero((predictions.truth == label) & predictions.is_right)
    right = right[np.argsort(-predictions.confidence[right], kind="stable")]
    return right[np.unique(np.linspace(0, len(right) - 1, n).round().astype(int))] if len(right) else right
