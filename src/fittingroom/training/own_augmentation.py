"""An augmentation of the user's own: a function of a batch and its random numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fittingroom.errors import RecipeError
from fittingroom.own_code.call import load_function
from fittingroom.recipes.recipe import Recipe

NONE = "none"


class OwnAugmentation:
    """A function of ``(x_NCHW, generator)``, or a class whose instance is one, that gives images of the same shape.

    Images are float32 of 0–255, on the device that trains; the generator is the CPU's, seeded from (seed, epoch, step).
    """

    def __init__(self, recipe: Recipe):
        self.name = recipe.augmentation
        function = load_function(self.name, "augmentation", recipe.augmentation_args, {})
        self.function: Callable[[Tensor, torch.Generator], Tensor] = function

    def __call__(self, x_NCHW: Tensor, draw: torch.Generator) -> Tensor:
        """The augmented batch, float32. Raises RecipeError for anything else than images of its shape."""
        before = tuple(x_NCHW.shape)
        made = self.function(x_NCHW, draw)
        if not isinstance(made, Tensor) or tuple(made.shape) != before:
            found = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise RecipeError(
                f"augmentation {self.name}: images of shape {before} (N, C, H, W) expected, {found} found"
            )
        return made.to(x_NCHW)


def own_augmentation(recipe: Recipe) -> OwnAugmentation | None:
    """The recipe's own augmentation, None for one that has none. Raises RecipeError where its code fails."""
    return None if recipe.augmentation == NONE else OwnAugmentation(recipe)


def try_augmentation(recipe: Recipe, images_NCHW: Tensor) -> None:
    """Call it on a few images, before anything is trained. Raises RecipeError with what is wrong.

    Args:
        recipe: that names one.
        images_NCHW: float32 of 0–255.
    """
    augment = OwnAugmentation(recipe)
    name = f"augmentation {recipe.augmentation}"

    made = []
    for other_seed in (1, 2):  # of PyTorch's ambient generator, from which it is not to draw
        torch.manual_seed(other_seed)
        try:
            made.append(augment(images_NCHW.clone(), torch.Generator().manual_seed(0)))
        except RecipeError:
            raise
        except (Exception, SystemExit) as error:
            raise RecipeError(
                f"{name}: a function of (x_NCHW, generator) expected; it failed on float32 images of 0–255 of shape "
                f"{tuple(images_NCHW.shape)}: {type(error).__name__}: {error}"
            ) from error

    if not made[0].isfinite().all():
        raise RecipeError(f"{name}: finite pixels expected, infinite ones or NaN found")
    if not torch.equal(*made):
        raise RecipeError(
            f"{name}: the same images for the same generator expected, others found: take each draw from the generator "
            "that it is given, as torch.rand(n, generator=generator), or a resume would see other images"
        )
