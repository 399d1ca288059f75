"""Which images of a training set validate it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.cut import has_class_to_share, stratified_split
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.recipes.recipe import Recipe

HOLD_OUT = 5_000  # validation images where the recipe says nothing, if that is not more than a tenth
LARGEST_SHARE = 5  # a recipe's number of validation images is at most a fifth of the training set


def hold_out(
    splits: Splits, recipe: Recipe, group_N: NDArray[np.int64] | None = None
) -> tuple[Dataset, Dataset | None]:
    """Split off the validation set: the data's own if it has one, else a stratified part of train; None for none.

    The split depends on the recipe's ``split_seed`` and not on its seed, so all seeds are judged on the same images.

    Args:
        splits: a labelled training set of N images, and its validation set if it has one.
        recipe: says how many.
        group_N: int64 (N,), the same for training images that are to stay on one side; None where nothing is tied.

    Raises:
        DataError: bundles so large that none can be held out.
    """
    n = held_out_count(splits, recipe)
    if n is None:
        return splits.train, splits.validation

    # Each class one bundle, such as copies of one image: of the class of what is held out nothing would be learned.
    if n and not has_class_to_share(splits.train, group_N):
        return splits.train, None
    return stratified_split(splits.train, n, recipe.split_seed, group_N) if n else (splits.train, None)


def learned_from_count(splits: Splits, recipe: Recipe) -> int:
    """How many training images are left to learn from; where some are tied together, about so many."""
    return len(splits.train) - (held_out_count(splits, recipe) or 0)


def held_out_count(splits: Splits, recipe: Recipe) -> int | None:
    """How many images are to be held out of train, 0 for none; None where the data has a validation set of its own."""
    if splits.validation is not None:
        return None
    return held_out_of(len(splits.train), recipe)


def said_of_cut(splits: Splits, recipe: Recipe) -> str:
    """A clause on fewer validation images than the recipe asks for, or none at all; "" where nothing is to be said."""
    held_out, images = held_out_count(splits, recipe), len(splits.train)
    if held_out is None or recipe.validation == 0:
        return ""
    if recipe.validation is None:
        return "" if held_out else f"none of {images:,} held out for validation, as a tenth of them is none"
    if held_out == recipe.validation:
        return ""
    number = f"{held_out:,} image{'s' * (held_out != 1)}"
    return f"{number} held out for validation in place of {recipe.validation:,}, at most a fifth of {images:,}"


def held_out_of(images: int, recipe: Recipe) -> int:
    """How many of so many training images a recipe holds out, where the data has no validation set of its own."""
    if recipe.validation is None:
        return min(HOLD_OUT, images // 10)
    return min(recipe.validation, images // LARGEST_SHARE)
