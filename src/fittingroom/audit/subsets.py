"""Accuracy beside accuracy: on all images, without those that the training data hold too, without label issues.

None replaces the first. Which images are left out never depends on the model that is judged: near-duplicates come from
the images alone, label issues from a fixed reference model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.label_issues import LabelIssues
from fittingroom.audit.near_duplicates import MIN_CORRELATION, near_duplicates
from fittingroom.audit.reference import hashes_of
from fittingroom.data.dataset import Dataset
from fittingroom.evaluation.group_intervals import (
    groups_among,
    model_interval_by_groups,
    recipe_accuracy_by_groups,
)
from fittingroom.evaluation.intervals import model_interval, recipe_accuracy

LABEL_ISSUES_CAVEAT = (
    "Leaving label issues out flatters: a label is an issue where models disagree with it, so what is left is easier. "
    "The accuracy on all images is the result."
)


@dataclass(frozen=True, eq=False)
class Subset:
    """Some of the images that are judged.

    Attributes:
        name: ``all``, ``without near-duplicates`` or ``without suspects``.
        left_out: which images are left out, and by whose word: ``that are like …``; "" for none.
        keep: bool (N,).
    """

    name: str
    left_out: str
    keep: NDArray[np.bool_]


def make_subsets(judged: Dataset, train: Dataset | None, label_issues: LabelIssues | None) -> list[Subset]:
    """All images; those without a near-duplicate in ``train``; those without a label issue.

    Args:
        judged: what a model is to be judged on.
        train: what it was trained on; None, or images of another size, for no second subset.
        label_issues: of ``judged``; None for no third subset.
    """
    subsets = [Subset("all", "", np.ones(len(judged), dtype=bool))]

    if train is not None and train.images.shape[1:] == judged.images.shape[1:]:
        left_out = (
            f"that are like an image of {train.name}: pixels correlate by {MIN_CORRELATION} or more, mirrored or not"
        )
        subsets.append(Subset("without near-duplicates", left_out, ~_is_in(judged, train)))

    if label_issues is not None:
        left_out = f"whose label is an issue by a fixed reference: {label_issues.reference}"
        subsets.append(Subset("without suspects", left_out, ~label_issues.mask(judged)))  # a name that files hold

    return subsets


def score_subsets(
    subsets: Sequence[Subset], right_N: NDArray[np.bool_], group_N: NDArray[np.int64] | None = None
) -> list[dict[str, Any]]:
    """Accuracy and its 95% interval (this model's) on each subset; both null where nothing is left.

    ``group_N`` has the group of each image, where groups are known.
    """
    scores = []
    for subset in subsets:
        n, correct = int(subset.keep.sum()), int(right_N[subset.keep].sum())
        scores.append(
            {
                "name": subset.name,
                "left_out": subset.left_out,
                "n": n,
                "correct": correct,
                "accuracy": correct / n if n else None,
                "interval": list(_interval(right_N, subset.keep, group_N)) if n else None,
            }
        )
    return scores


def score_subsets_of_recipe(
    subsets: Sequence[Subset], right_SN: NDArray[np.bool_], group_N: NDArray[np.int64] | None = None
) -> list[dict[str, Any]]:
    """Mean accuracy of several seeds (rows) on each subset, and the recipe's 95% interval; null where it is empty."""
    means = []
    for subset in subsets:
        n = int(subset.keep.sum())

        # One seed says nothing of seeds: then the interval is that of this model.
        accuracy = interval = None
        if n and len(right_SN) > 1:
            groups = groups_among(group_N, subset.keep)
            right = right_SN[:, subset.keep]
            found = recipe_accuracy(right) if groups is None else recipe_accuracy_by_groups(right, groups)
            accuracy, interval = found.mean, list(found.interval)
        elif n:
            correct = int(right_SN[0, subset.keep].sum())
            accuracy, interval = correct / n, list(_interval(right_SN[0], subset.keep, group_N))

        shared = {"name": subset.name, "left_out": subset.left_out, "n": n}
        means.append(shared | {"accuracy": accuracy, "interval": interval})
    return means


def _interval(
    right_N: NDArray[np.bool_], keep_N: NDArray[np.bool_], group_N: NDArray[np.int64] | None
) -> tuple[float, float]:
    groups = groups_among(group_N, keep_N)
    if groups is None:
        return model_interval(int(right_N[keep_N].sum()), int(keep_N.sum()))
    return model_interval_by_groups(right_N[keep_N], groups)


def _is_in(judged: Dataset, train: Dataset) -> NDArray[np.bool_]:
    """bool (N,): the judged images that have a near-duplicate, or an equal, among the training images."""
    pairs = near_duplicates(np.concatenate([train.images, judged.images]), altered=False).pairs
    n_train = len(train)
    across = pairs[(pairs[:, 0] < n_train) & (pairs[:, 1] >= n_train)]
    mask = np.zeros(len(judged), dtype=bool)
    mask[across[:, 1] - n_train] = True
    return mask | np.isin(hashes_of(judged), hashes_of(train))  # equal ones: constant images correlate with nothing
