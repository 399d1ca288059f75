"""Trying the user's own code before anything is trained or written: what is wrong with it is said at once."""

from __future__ import annotations

import numpy as np
import torch

from fittingroom.data.dataset import Dataset
from fittingroom.models import build_model, find_model
from fittingroom.models.tensors import as_tensor, to_float
from fittingroom.own_code.name import is_own
from fittingroom.recipes.recipe import Recipe
from fittingroom.recipes.steps import steps_of
from fittingroom.training.loss import make_loss
from fittingroom.training.optimizer import make_optimizer
from fittingroom.training.own_augmentation import NONE, try_augmentation
from fittingroom.training.own_optimizer import try_optimizer
from fittingroom.training.own_schedule import try_schedule


def try_own_code(recipe: Recipe, train: Dataset, learned_from: int, device: torch.device) -> None:
    """Call each piece of own code that a recipe names on a small batch; nothing for a recipe of the package.

    Args:
        recipe: with the code at hand.
        train: whose size and classes decide what it is called on.
        learned_from: number of images, those left out for validation not counted.
        device: that is to train.

    Raises:
        RecipeError: with all that is wrong with it.
    """
    with torch.random.fork_rng([]):  # it may draw
        if recipe.loss != "cross_entropy":
            weights = torch.ones(train.num_classes, device=device) if recipe.class_weights != "none" else None
            make_loss(recipe, weights, train.num_classes, device)

        if recipe.augmentation != NONE:
            try_augmentation(recipe, to_float(as_tensor(np.array(train.images[:4]))).to(device))

        # Its state may follow the shapes of the weights, so it is tried on the network itself.
        if is_own(recipe.optimizer):
            network = build_model(
                find_model(recipe.model),
                num_classes=train.num_classes,
                image_size=train.image_size,
                channels=train.channels,
                model_args=recipe.model_args,
            )
            try_optimizer(recipe, network.to(device), make_optimizer)

        for stage in recipe.stages:
            if is_own(stage.schedule):
                try_schedule(stage, steps_of(learned_from, recipe.images_a_step, stage.epochs))
