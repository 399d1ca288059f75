"""The interval of an accuracy that comes of cross-validation: each image judged by a model that didn't learn from it.

The answers are not as good as so many answers of one model: the models learned from largely the same images, so that
what misled one misled the others, and the model that ships is none of them. Nadeau and Bengio 2003 ("Inference for the
generalization error", Machine Learning 52: 239-281, equation 8) add to the variance of the mean over folds, which they
take for 1/K of that of a fold, the share of images tested to images learned from, 1/(K - 1) here. Of the variance by
images this makes 1 + K/(K - 1) times, so that n images count for n / (1 + K/(K - 1)): 44% of them at 5 folds. The
interval is the exact one on so many. That of Nadeau and Bengio itself takes the variance from the K folds, by a
t distribution of K - 1 degrees of freedom: as K figures say little of a variance, it is about as wide and holds less
evenly, in 87 to 100% of simulated trainings where this one holds in 97% or more, and the plain one in 82 to 96%.

That the plain interval is too narrow, and what else is done about it at many times the trainings, is in Bates, Hastie
and Tibshirani 2024 ("Cross-validation: what does it estimate and how well does it do it?", JASA 119: 1434-1445).
benchmarks/fold_interval_coverage.py records how often each interval holds the accuracy of the model that ships.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.evaluation.group_intervals import effective_images
from fittingroom.evaluation.intervals import (
    RecipeAccuracy,
    clopper_pearson_interval,
    half_of_mean,
    least_of_several_interval,
    model_interval,
    recipe_accuracy,
)

COUNTS_FOR = "counts_for"  # of a class whose images come in groups: as how many unrelated ones these count


def fold_factor(folds: int) -> float:
    """The factor by which the variance by images is greater where K ≥ 2 folds judged them: 1 + K/(K - 1)."""
    return 1 + folds / (folds - 1)


def recall_interval(row: Mapping[str, Any], folds: int | None = None, of: int = 1) -> tuple[float, float]:
    """The 95% interval of a class's recall, of one model or, with ``folds``, on new images of the model that ships.

    Args:
        row: of ``per_class``, with images. Where groups are known its ``counts_for`` says as how many unrelated
            images they count (:mod:`fittingroom.evaluation.group_intervals`).
        folds: K ≥ 2 of the cross-validation whose models answered; None for answers of one model.
        of: classes among which it was picked as the least, ≥ 1.
    """
    right = round(row["recall"] * row["n"])
    if folds is None and of == 1 and COUNTS_FOR not in row:
        return model_interval(right, row["n"])
    counted = row.get(COUNTS_FOR, row["n"]) / (1 if folds is None else fold_factor(folds))
    return least_of_several_interval(right / row["n"] * counted, counted, of)


def fold_interval(right_N: NDArray[Any], folds: int, group_N: NDArray[np.int64] | None = None) -> tuple[float, float]:
    """The 95% interval of the accuracy on new images of a model that is trained on all of these.

    Args:
        right_N: whether each image was classified right by the model of the folds that it isn't in; of several
            cross-validations, the share of them.
        folds: K ≥ 2.
        group_N: the group of each image, from 0, all of which are in one fold; None where no two are of one.

    Example:
        >>> right_N = np.array([True] * 90 + [False] * 10)
        >>> [round(end, 3) for end in fold_interval(right_N, 5)]
        [0.774, 0.968]
    """
    images = float(len(right_N)) if group_N is None else effective_images(right_N, group_N)
    n = images / fold_factor(folds)
    return clopper_pearson_interval(float(right_N.mean()) * n, n)


def recipe_accuracy_by_folds(
    right_SN: NDArray[np.bool_], folds: int, group_N: NDArray[np.int64] | None = None
) -> RecipeAccuracy:
    """The accuracy of a recipe of which each seed, of two or more, was cross-validated on the same images."""
    found = recipe_accuracy(right_SN)
    of_seeds = half_of_mean(found.sd, len(right_SN))
    low, high = fold_interval(right_SN.mean(axis=0), folds, group_N)

    # As for images in groups: the part of the images has two sides, and seeds add to each.
    below, above = (math.hypot(of_seeds, bound - found.mean) for bound in (low, high))
    return replace(found, interval=(max(0.0, found.mean - below), min(1.0, found.mean + above)))
