"""Trying the user's own code before anything is trained or written: what is wrong with it is said at once."""

from __future__ import annotations

import torch

from fittingroom.data.dataset import Dataset
from fittingroom.recipes.recipe import Recipe
from fittingroom.training.loss import make_loss


def try_own_code(recipe: Recipe, train: Dataset, device: torch.device) -> None:
    """Call each piece of own code that a recipe names on a small batch; nothing for a recipe of the package.

    Args:
        recipe: with the code at hand.
        train: whose size and classes decide what it is called on.
        device: that is to train.

    Raises:
        RecipeError: with all that is wrong with it.
    """
    with torch.random.fork_rng([]):  # it may draw
        if recipe.loss != "cross_entropy":
            weights = torch.ones(train.num_classes, device=device) if recipe.class_weights != "none" else None
            make_loss(recipe, weights, train.num_classes, device)
