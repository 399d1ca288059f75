"""Which images of a training set validate it."""

from __future__ import annotations

from fittingroom.data.dataset import Dataset, Splits, stratified_split
from fittingroom.recipes.recipe import Recipe

HOLD_OUT = 5_000  # validation images where the recipe says nothing, if that is not more than a tenth
LARGEST_SHARE = 5  # a recipe's number of validation images is at most a fifth of the training set


def hold_out(splits: Splits, recipe: Recipe) -> tuple[Dataset, Dataset | None]:
    """Split off the validation set: the data's own if it has one, else a stratified part of train; None for none.

    The split depends on the recipe's ``split_seed`` and not on its seed, so all seeds are judged on the same images.
    """
    if splits.validation is not None:
        return splits.train, splits.validation
    size = len(splits.train)
    n = min(HOLD_OUT, size // 10) if recipe.validation is None else min(recipe.validation, size // LARGEST_SHARE)
    return stratified_split(splits.train, n, recipe.split_seed) if n else (splits.train, None)
