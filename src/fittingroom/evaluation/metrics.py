"""Scores of a classifier from its predicted probabilities, every example counted once, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.evaluation.intervals import half_of_mean, model_interval


def mean_interval(values: Sequence[float]) -> tuple[float, float, tuple[float, float] | None]:
    """Mean, standard deviation (n - 1) and 95% interval of the mean by Student's t, of values of any kind.

    The interval is None for a single value, and for equal ones, which are no certainty. It knows nothing of the images
    behind the values: a recipe's accuracy has that of :func:`fittingroom.evaluation.intervals.recipe_accuracy`.
    """
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return mean, 0.0, None
    sd = float(np.std(values, ddof=1))
    if not sd:
        return mean, sd, None
    half = half_of_mean(sd, n)
    return mean, sd, (mean - half, mean + half)


def confusion_matrix(labels_N: NDArray[np.int64], predicted_N: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts (C, C): row = true class, column = predicted class."""
    counts = np.bincount(labels_N * classes + predicted_N, minlength=classes * classes)
    return counts.reshape(classes, classes)


def log_loss(probabilities_NC: NDArray[np.float32], labels_N: NDArray[np.int64]) -> float:
    """The mean negative log of the probability given to the true class, which is clipped at 1e-12; in nats."""
    of_truth = probabilities_NC[np.arange(len(labels_N)), labels_N].astype(np.float64)
    return max(0.0, float(-np.log(np.maximum(of_truth, 1e-12)).sum() / len(labels_N)))  # never a rounded -0


def score(
    probabilities_NC: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    classes: Sequence[str],
    predicted_N: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Everything ``result.json`` says of one data set; shares in 0–1, loss in nats.

    ``loss`` is :func:`log_loss`. Precision is null for a class that was never predicted, recall for one that has no
    example, and F1 where both counts are 0. ``predicted_N`` are the answers where they are known otherwise than as the
    largest probabilities, which a temperature may have rounded to the same number.
    """
    n = len(labels_N)
    if predicted_N is None:
        predicted_N = np.asarray(probabilities_NC.argmax(axis=1))
    matrix = confusion_matrix(labels_N, predicted_N, len(classes))
    correct = int(np.trace(matrix))

    # The true class is among the first two if less than two classes are ahead of it. Of equal ones the first counts.
    of_truth_N1 = probabilities_NC[np.arange(n), labels_N][:, None]
    tied_before = (probabilities_NC == of_truth_N1) & (np.arange(len(classes)) < labels_N[:, None])
    ahead_N = ((probabilities_NC > of_truth_N1) | tied_before).sum(axis=1)

    low, high = model_interval(correct, n)
    return {
        "accuracy": correct / n,
        "interval": [low, high],
        "correct": correct,
        "n": n,
        "loss": log_loss(probabilities_NC, labels_N),
        "top2": int((ahead_N < 2).sum()) / n,
        "per_class": [_class_scores(name, matrix, i) for i, name in enumerate(classes)],
        "confusion": matrix.tolist(),
    }


def judged_by(judge: str, scores: Mapping[str, Any]) -> float:
    """What decides which epoch is the best, 0–1: ``accuracy``, ``balanced_accuracy`` or ``macro_f1`` of :func:`score`.

    Classes without an example don't count.
    """
    if judge == "accuracy":
        return float(scores["accuracy"])
    key = {"balanced_accuracy": "recall", "macro_f1": "f1"}[judge]
    return float(np.mean([each[key] for each in scores["per_class"] if each["n"]]))


def _class_scores(name: str, matrix: NDArray[np.int64], i: int) -> dict[str, Any]:
    hit, of_class, as_class = int(matrix[i, i]), int(matrix[i].sum()), int(matrix[:, i].sum())
    return {
        "class": name,
        "n": of_class,
        "precision": hit / as_class if as_class else None,
        "recall": hit / of_class if of_class else None,
        "f1": 2 * hit / (of_class + as_class) if of_class + as_class else None,
    }
