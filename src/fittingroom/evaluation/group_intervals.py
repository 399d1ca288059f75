"""Intervals where images come in groups: many pictures of one person say less than as many of different persons.

Groups are what varies, so the accuracy is taken for a ratio of sums over them, whose variance beside that of unrelated
images is the design effect (Kish 1965). The images count for as many unrelated ones as have the same variance, less
what few groups leave unsure of that (Korn and Graubard 1998, "Confidence intervals for proportions with small expected
number of positive counts estimated from survey data", Survey Methodology 24: 193-201), and the interval is the exact
one on so many.

Where only a few groups hold an error the variance between groups is hardly known: the design effect is then drawn
towards the most that it can be, that of groups whose images are all right or all wrong, by the weight of two groups.
benchmarks/group_interval_coverage.py records how often these intervals cover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.evaluation.intervals import (
    Z_95,
    RecipeAccuracy,
    clopper_pearson_interval,
    half_of_mean,
    recipe_accuracy,
)

UNSURE_GROUPS = 2  # that count as all right or all wrong, beside those that hold both or the rarer of the two
FAR_OUT = 0.9985  # the quantile at which few groups are allowed for in a study of ideas
FEWEST_IMAGES = 1e-3  # that any images count for; with two groups the second of which says nothing of a third


def group_numbers(groups: Sequence[str | None] | None) -> NDArray[np.int64] | None:
    """A number for each image, the same for those of one group; an image in no group is one by itself.

    Returns:
        int64 (N,), from 0; None where no two images are of one group.
    """
    if groups is None:
        return None
    names = [group or f"\0{row}" for row, group in enumerate(groups)]  # no name in a table or a path has a NUL
    found, group_N = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    return None if len(found) == len(names) else group_N.reshape(-1).astype(np.int64)


def groups_among(group_N: NDArray[np.int64] | None, keep_N: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """The groups of some of the images, numbered anew; None where no two of these are of one."""
    if group_N is None:
        return None
    found, kept = np.unique(group_N[keep_N], return_inverse=True)
    return None if len(found) == len(kept) else kept.reshape(-1).astype(np.int64)


def effective_images(right_N: NDArray[Any], group_N: NDArray[np.int64]) -> float:
    """How many unrelated images these count as, > 0 and at most N.

    Args:
        right_N: the share of right answers to each image, 0–1: of one model 0 or 1, of several seeds their mean.
        group_N: the group of each image, from 0.
    """
    from scipy import special

    sizes_G, right_G = np.bincount(group_N), np.bincount(group_N, weights=right_N)
    n, groups = len(group_N), len(sizes_G)
    share = float(right_N.mean())
    of_images = share * (1 - share) / n
    largest = float((sizes_G.astype(np.float64) ** 2).sum()) / n  # the design effect of groups that are all or nothing
    if groups == 1:
        return FEWEST_IMAGES

    # Seen where there are answers of both kinds; drawn towards the worst case where few groups tell of it.
    effect = largest
    if of_images > 0:
        deviation_G = right_G - share * sizes_G
        of_groups = groups / (groups - 1) * float((deviation_G**2).sum()) / n**2
        seen = max(1.0, of_groups / of_images)
        telling = min(int((right_G < sizes_G).sum()), int((right_G > 0).sum()))
        effect = (telling * seen + UNSURE_GROUPS * max(largest, seen)) / (telling + UNSURE_GROUPS)

    unsure = (Z_95 / float(special.stdtrit(groups - 1, 0.975))) ** 2
    return min(float(n), max(FEWEST_IMAGES, n / effect * unsure))


def difference_factor(difference_N: NDArray[np.float64], group_N: NDArray[np.int64]) -> float:
    """The factor, ≥ 1, by which a mean difference varies more than on unrelated images, where these come in groups.

    As of an accuracy above, at the level of a study's later looks: few groups leave its tails more in doubt.

    Args:
        difference_N: of two sides' shares of right answers to each image, -1 to 1.
        group_N: the group of each image, from 0.
    """
    from scipy import special

    sizes_G, sums_G = np.bincount(group_N), np.bincount(group_N, weights=difference_N)
    n, groups = len(group_N), len(sizes_G)
    if groups == 1:
        return n / FEWEST_IMAGES

    effect = largest = float((sizes_G.astype(np.float64) ** 2).sum()) / n
    of_images = float(difference_N.var(ddof=1)) / n
    if of_images > 0:
        deviation_G = sums_G - float(difference_N.mean()) * sizes_G
        seen = max(1.0, groups / (groups - 1) * float((deviation_G**2).sum()) / n**2 / of_images)
        telling = int((np.bincount(group_N, weights=np.abs(difference_N)) > 0).sum())
        effect = (telling * seen + UNSURE_GROUPS * max(largest, seen)) / (telling + UNSURE_GROUPS)
    return effect * (float(special.stdtrit(groups - 1, FAR_OUT)) / float(special.ndtri(FAR_OUT))) ** 2


def model_interval_by_groups(right_N: NDArray[np.bool_], group_N: NDArray[np.int64]) -> tuple[float, float]:
    """The 95% interval of one model's accuracy on images of other groups like these.

    Args:
        right_N: whether each answer is right.
        group_N: the group of each image, from 0, see :func:`group_numbers`.
    """
    n = effective_images(right_N, group_N)
    return clopper_pearson_interval(float(right_N.mean()) * n, n)


def recipe_accuracy_by_groups(right_SN: NDArray[np.bool_], group_N: NDArray[np.int64]) -> RecipeAccuracy:
    """The accuracy of a recipe, with the interval over other seeds and other groups.

    Args:
        right_SN: whether each seed, of two or more, got each image right.
        group_N: the group of each image, from 0.
    """
    found = recipe_accuracy(right_SN)
    of_seeds = half_of_mean(found.sd, len(right_SN))
    n = effective_images(right_SN.mean(axis=0), group_N)
    low, high = clopper_pearson_interval(found.mean * n, n)

    # as for unrelated images, each with an interval of its own; here that of the groups has two sides
    below, above = (math.hypot(of_seeds, bound - found.mean) for bound in (low, high))
    return replace(found, interval=(max(0.0, found.mean - below), min(1.0, found.mean + above)))
