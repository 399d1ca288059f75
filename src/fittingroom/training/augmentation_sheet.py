"""A sheet that shows what a recipe's augmentation makes of images: each as it is, and as the first epochs see it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fittingroom.data.dataset import Dataset
from fittingroom.errors import DataError, RecipeError
from fittingroom.models.tensors import as_tensor
from fittingroom.recipes.own_names import with_own_code
from fittingroom.recipes.recipe import Recipe
from fittingroom.recipes.steps import shift_in_pixels
from fittingroom.rendering.contact_sheet import Row, contact_sheet
from fittingroom.training.augmentation import Augmentation

if TYPE_CHECKING:
    from PIL import Image

DRAWS = 9
MAX_IMAGES = 12
OFF = {"mirror": "none", "vertical_flip": "none", "augmentation": "none"}  # what the other keys call 0
KEYS = (
    *("mirror", "vertical_flip", "shift", "rotate", "scale", "brightness", "contrast", "saturation", "hue", "noise"),
    *("erase", "augmentation", "mixup", "cutmix"),
)


def in_words(recipe: Recipe, size: tuple[int, int]) -> str:
    """The augmentation that a recipe asks for, such as ``mirror random, shift 2 (border edge)``; empty for none.

    Args:
        recipe: any.
        size: of the images, (height, width) in pixels, by which a shift of ``auto`` goes.
    """
    recipe = replace(recipe, shift=shift_in_pixels(recipe.shift, size))
    asked = [(key, getattr(recipe, key)) for key in KEYS if getattr(recipe, key) != OFF.get(key, 0)]
    words = [f"{key} {value}" for key, value in asked]
    moves = {"shift", "rotate", "scale"} & {key for key, _ in asked}
    return ", ".join(words) + (f" (border {recipe.border})" if moves and recipe.border != "zero" else "")


def augmentation_sheet(dataset: Dataset, recipe: Recipe, *, draws: int = DRAWS) -> Image.Image:
    """Draw one image of each class in a row: first as it is, then as the first epochs of a training would see it.

    Images are mixed with others of the sheet, where the recipe mixes.

    Args:
        dataset: labelled.
        recipe: whose augmentation is shown; its seed decides the draws.
        draws: of each image, ≥ 1.

    Raises:
        DataError: the images have no labels.
        RecipeError: the recipe asks for no augmentation.

    Example:
        >>> import fittingroom as fr
        >>> recipe = fr.load_recipe("plain", overrides=["rotate=15", "noise=0.1"])
        >>> fr.augmentation_sheet(fr.open_dataset("sample").train, recipe).save("augmented.png")
    """
    recipe = with_own_code(recipe)
    if dataset.labels is None:
        raise DataError(f"{dataset.name}: labels expected, none found: an image of each class is shown")
    if not in_words(recipe, dataset.image_size):
        raise RecipeError(f"recipe {recipe.name}: it asks for no augmentation; its keys for that are {', '.join(KEYS)}")

    # The first image of each class; where there are few classes, more of each.
    each = max(1, MAX_IMAGES // 2 // max(1, dataset.num_classes))
    present = [np.flatnonzero(dataset.labels == label)[:each] for label in range(dataset.num_classes)]
    rows = np.concatenate(present)[:MAX_IMAGES]
    shown = dataset.subset(rows)
    assert shown.labels is not None
    images, labels_N = as_tensor(np.array(shown.images)), as_tensor(shown.labels)
    augmentation = Augmentation(
        recipe, len(shown), shown.image_size, shown.channels, shown.num_classes, torch.device("cpu")
    )

    # One batch an epoch, always in the same order: the columns are epochs, the rows stay.
    order, whole = torch.arange(len(shown)), slice(0, len(shown))
    made = [augmentation.examples(lambda at: images[at], labels_N, order, whole, epoch, 0) for epoch in range(draws)]
    pictures = [shown.images, *(_pixels(x_NCHW) for x_NCHW, _ in made)]
    sheet_rows = []
    for i, (row, label) in enumerate(zip(rows.tolist(), shown.labels.tolist(), strict=True)):
        captions: tuple[tuple[str, str], ...] = ()
        if augmentation.mixes:
            captions = ("as it is", ""), *(_parts(y[i], shown.classes) for _, y in made)
        sheet_rows.append(Row(shown.classes[label], f"row {row:,}", np.stack([each[i] for each in pictures]), captions))
    subtitle = f"{in_words(recipe, dataset.image_size)}. First each image as it is, then {draws} draws"
    return contact_sheet(
        sheet_rows, title=f"{dataset.name}, augmented by {recipe.name or 'the recipe'}", subtitle=subtitle
    )


def _pixels(x_NCHW: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Float images of 0–255 as pictures are kept: uint8 (N, H, W), or (N, H, W, 3)."""
    images = x_NCHW.round().clamp(0, 255).byte()
    return (images[:, 0] if images.shape[1] == 1 else images.permute(0, 2, 3, 1)).numpy()


def _parts(y_C: Tensor, classes: tuple[str, ...]) -> tuple[str, str]:
    """The two classes with the largest shares of a mixed label, each with its share; empty where it has none."""
    shares, labels = y_C.topk(min(2, len(y_C)))
    said = [
        f"{share:.0%} {classes[label]}" if share >= 0.005 else ""
        for share, label in zip(shares.tolist(), labels.tolist(), strict=True)
    ]
    return said[0], said[1] if len(said) > 1 else ""
