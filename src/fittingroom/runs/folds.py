"""Which images of a training set make a fold of a cross-validation, and what recipes it takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.cut import stratified_folds
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError, RecipeError
from fittingroom.recipes.recipe import Recipe


def for_folds(recipe: Recipe, splits: Splits, folds: int, *, seeds: object = None) -> Recipe:
    """The recipe of a run with folds: it holds nothing out, as each image is judged by the folds.

    Raises:
        RecipeError: fewer than 2 folds or more than images, several seeds, or a recipe that chooses by validation
            images, of which the model that ships has none.
        DataError: the data has validation images of its own.
    """
    if not 2 <= folds <= len(splits.train):
        raise RecipeError(f"folds: 2 to {len(splits.train):,}, a fold an image, expected, {folds} found")

    if seeds is not None:
        raise RecipeError("folds: one seed expected, several found: the folds of each would be trained; give no seeds")
    if recipe.early_stop or recipe.keep == "best":
        raise RecipeError(
            "folds: a recipe that trains to its end expected, one that stops early or keeps the best epoch found: the "
            "model that ships learns from all images and has none left to choose by; set early_stop = 0, keep = 'last'"
        )

    if splits.validation is not None:
        raise DataError(
            f"{splits.validation.name}: with folds, every training image validates once, and the data has a validation "
            "set of its own: put its images among those of train, or give no folds"
        )
    return replace(recipe, validation=0)


def fold_numbers(train: Dataset, folds: int, seed: int, group_N: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The fold of each image, int64 (N,), from 0: classes spread evenly, what belongs together in one fold.

    Args:
        train: labelled.
        folds: ≥ 2.
        seed: of the draw, the recipe's ``split_seed``.
        group_N: int64 (N,), the same for images that are to be in one fold; None where nothing is tied.

    Raises:
        DataError: a class whose images are all in one fold, so that the models of the others can't know it; a fold
            without an image.
    """
    assert train.labels is not None
    fold_N = stratified_folds(train.labels, folds, seed, group_N)
    for label in np.unique(train.labels).tolist():
        if len(set(fold_N[train.labels == label].tolist())) < 2:
            raise DataError(
                f"{train.name}: images of each class in two folds or more expected, those of {train.classes[label]} "
                "are all in one, alone or of one group: no other fold could learn it; add images, or leave it out"
            )
    if len(np.unique(fold_N)) < folds:
        raise DataError(
            f"{train.name}: an image in each of {folds} folds expected; what belongs together makes fewer: give fewer "
            "folds"
        )
    return fold_N
