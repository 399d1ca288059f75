"""What the training images decide: which recipe where none is named, images a step, and how often each is seen.

Every way to train goes by these functions: the command, :func:`fittingroom.train`, the estimator, folds and trials.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from fittingroom.recipes.default_names import FOR_ALL_OTHERS, FOR_LARGE_SETS
from fittingroom.recipes.reading import load_recipe
from fittingroom.recipes.recipe import Recipe
from fittingroom.recipes.steps import auto_batch_size, shift_in_pixels, steps_of

LARGE_SET = 20_000  # images, from which on Fashion-MNIST's own default is the default of all its kind
ITS_SIZE, ITS_CHANNELS = (28, 28), 1


@dataclass(frozen=True)
class Chosen:
    """The recipe for data for which none was named.

    Attributes:
        recipe: with the caller's overrides; not yet :func:`settled`.
        why: a sentence.
    """

    recipe: Recipe
    why: str


def default_recipe(images: int, size: tuple[int, int], channels: int, *, overrides: Sequence[str] = ()) -> Chosen:
    """Choose the recipe where nobody names one: ``swift`` for data of Fashion-MNIST's kind, else ``plain``.

    Args:
        images: for training, those included that will be held out of them.
        size: (height, width) in pixels.
        channels: 1 or 3.
        overrides: ``KEY=VALUE`` strings, as :func:`fittingroom.load_recipe` takes them.

    Raises:
        RecipeError: the overrides don't suit the recipe.

    Example:
        >>> default_recipe(60_000, (28, 28), 1).why
        'swift: 60,000 grey images of 28×28 pixels'
        >>> default_recipe(98, (64, 64), 3).why
        'plain: 98 colour images of 64×64 pixels; swift is for 20,000 and more that are grey, of 28×28'
    """
    is_large = images >= LARGE_SET and size == ITS_SIZE and channels == ITS_CHANNELS
    name = FOR_LARGE_SETS if is_large else FOR_ALL_OTHERS
    kind = {1: "grey", 3: "colour"}[channels]
    why = f"{name}: {images:,} {kind} images of {size[0]}×{size[1]} pixels"
    if not is_large:
        why += f"; {FOR_LARGE_SETS} is for {LARGE_SET:,} and more that are grey, of {ITS_SIZE[0]}×{ITS_SIZE[1]}"
    return Chosen(load_recipe(name, overrides=overrides), why)


def settled(recipe: Recipe, images: int, size: tuple[int, int] | None = None) -> Recipe:
    """Settle what the recipe leaves to the images: a batch size and a shift of ``auto``, and epochs for ``min_steps``.

    All stages are stretched by one factor, with their warm-up and the image sizes; what comes out is left as it is by a
    second call.

    Args:
        recipe: any.
        images: that are learned from, validation images left out.
        size: their (height, width) in pixels; None leaves the shift as it is.

    Example:
        >>> recipe = settled(load_recipe("swift", overrides=["batch_size=auto", "min_steps=300"]), 88)
        >>> recipe.batch_size, recipe.epochs, recipe.stages[0].warmup
        (8, 28, 5.6)
    """
    batch_size = auto_batch_size(images) if isinstance(recipe.batch_size, str) else recipe.batch_size
    shift = recipe.shift if size is None else shift_in_pixels(recipe.shift, size)
    if (batch_size, shift) != (recipe.batch_size, recipe.shift):
        recipe = dataclasses.replace(recipe, batch_size=batch_size, shift=shift)
    steps = steps_of(images, batch_size, recipe.epochs)
    if not 0 < steps < recipe.min_steps:
        return recipe

    factor = recipe.min_steps / steps
    stages = []
    for stage in recipe.stages:
        epochs = -(-stage.epochs * recipe.min_steps // steps)  # whole ones, and never too few
        stages.append(dataclasses.replace(stage, epochs=epochs, warmup=stage.warmup * epochs / stage.epochs))
    image_sizes = tuple((round(epoch * factor), side) for epoch, side in recipe.image_sizes)
    return dataclasses.replace(recipe, stages=tuple(stages), image_sizes=image_sizes)


def said_of(asked: Recipe, now: Recipe, images: int, *, about: bool = False) -> str:
    """One sentence on what :func:`settled` changed; "" where it changed nothing.

    Args:
        asked, now: before and after it.
        images: as many as it was given.
        about: whether the number is no more than nearly so, as images that stay together are held out together.

    Example:
        >>> asked = load_recipe("swift", overrides=["batch_size=auto", "min_steps=300"])
        >>> said_of(asked, settled(asked, 88), 88)
        '88 images to learn from: 8 a step, and 28 epochs in place of 2, which would be 22 steps; 300 are the least'
    """
    changes = []
    if asked.batch_size != now.batch_size:
        changes.append(f"{now.batch_size} a step")
    if asked.epochs != now.epochs:
        assert isinstance(now.batch_size, int)
        few = steps_of(images, now.batch_size, asked.epochs)
        changes.append(
            f"{now.epochs} epochs in place of {asked.epochs}, which would be {few:,} step{'s' * (few != 1)}; "
            f"{now.min_steps:,} are the least"
        )
    return f"{'about ' * about}{images:,} images to learn from: {', and '.join(changes)}" if changes else ""
