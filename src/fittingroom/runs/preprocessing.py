"""How a picture becomes an image of a run's data: what the recipe asks for, and what comes of it with this data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fittingroom.audit.reference import hashes_of, manifest
from fittingroom.data.dataset import Dataset
from fittingroom.data.picture_file import WHITE
from fittingroom.data.preprocessing import Preprocessing, resize_images
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from fittingroom.recipes.recipe import Recipe

OFFICIAL_SIZE = (28, 28)
SAMPLED = 1_000  # training images that are looked up among the official ones
MIN_SAMPLED = 200
OFFICIAL_SHARE = 0.9


def preprocessing_of(recipe: Recipe) -> Preprocessing:
    """What a recipe's keys ask of pictures; what they don't name is left to the data."""
    return Preprocessing(
        size=recipe.size,
        channels=recipe.channels,
        resize=recipe.resize or "pad",
        background=recipe.background or WHITE,
        photo=recipe.photo,
    )


def resolve_preprocessing(splits: Splits, recipe: Recipe) -> Preprocessing:
    """The record that a run keeps: size and channels are those of the training images, and ``photo`` is decided.

    Product photos are converted by the set's own steps only where the training images are Fashion-MNIST's, or where
    the recipe says so: for any other data those steps would show the model what it was never trained on.
    """
    train = splits.train
    record = splits.preprocessing or preprocessing_of(recipe)
    photo = recipe.photo or record.photo or ("fashion-mnist" if is_fashion_mnist(train) else "none")
    return replace(record, size=train.image_size, channels=train.channels, photo=photo)


def is_fashion_mnist(dataset: Dataset) -> bool:
    """Whether at least 90% of 200 or more images, from all over the set, are official ones, in whatever order."""
    if dataset.channels != 1 or dataset.image_size != OFFICIAL_SIZE or len(dataset) < MIN_SAMPLED:
        return False

    rows = np.linspace(0, len(dataset) - 1, min(len(dataset), SAMPLED)).astype(np.int64)
    official_N = manifest().rows_of(hashes_of(dataset.subset(rows))) >= 0
    return bool(official_N.mean() >= OFFICIAL_SHARE)


def prepared(splits: Splits, wanted: Preprocessing) -> Splits:
    """Data that was given in memory, with the size and the channels that ``wanted`` names; the same where it has them.

    Raises:
        DataError: the data was read from files with another size or other channels. Made over from that, it would not
            be what ``predict`` makes of the same files.
    """
    train = splits.train
    size, channels = wanted.size or train.image_size, wanted.channels or train.channels
    if (size, channels) == (train.image_size, train.channels):
        return splits
    if splits.preprocessing is not None:
        asked = f"preprocessing=Preprocessing(size={size}, channels={channels})"
        again = (
            f"give its path instead, or open it by open_dataset(…, {asked})" if splits.source else f"give {asked} there"
        )
        raise DataError(
            f"{train.name}: {_words(size, channels)} asked for, but it was opened as {described(train)}: {again}"
        )

    return replace(
        splits,
        train=prepared_dataset(splits.train, wanted),
        validation=splits.validation and prepared_dataset(splits.validation, wanted),
        test=splits.test and prepared_dataset(splits.test, wanted),
    )


def prepared_dataset(dataset: Dataset, wanted: Preprocessing) -> Dataset:
    """A set of arrays, in the same way."""
    size, channels = wanted.size or dataset.image_size, wanted.channels or dataset.channels
    if (size, channels) == (dataset.image_size, dataset.channels):
        return dataset
    return replace(dataset, images=resize_images(dataset.images, wanted.resolved_for(size=size, channels=channels)))


def described(dataset: Dataset) -> str:
    """The size and the channels of a set's images, in words."""
    return _words(dataset.image_size, dataset.channels)


def _words(size: tuple[int, int], channels: int) -> str:
    return f"{'colour' if channels == 3 else 'grey'} images of {size[0]}×{size[1]} pixels"
