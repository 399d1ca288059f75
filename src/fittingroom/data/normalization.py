"""How pixels become the numbers that a network is fed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fittingroom.data.dataset import Dataset
from fittingroom.errors import DataError


@dataclass(frozen=True)
class Normalization:
    """``(pixel - mean) / std``, with both on the scale of 0–255."""

    mean: float
    std: float


def normalization_of(kind: str, dataset: Dataset) -> Normalization:
    """What a recipe's ``normalize`` means on this training set.

    Args:
        kind: ``none``, ``unit`` (0–1) or ``standard`` (zero mean and unit variance of all pixels).
        dataset: the training set, read only for ``standard``.

    Raises:
        DataError: ``standard`` where all pixels are equal.
    """
    if kind == "none":
        return Normalization(0.0, 1.0)
    if kind == "unit":
        return Normalization(0.0, 255.0)
    mean, std = pixel_mean_std(dataset)
    if std == 0:
        raise DataError(f"{dataset.name}: pixels that differ expected, all are {mean:.0f}: nothing can be learned")
    return Normalization(mean, std)


def pixel_mean_std(dataset: Dataset) -> tuple[float, float]:
    """Mean and standard deviation of all pixels on the scale of 0–255, from exact integer sums."""
    total = squares = 0
    for start in range(0, len(dataset), 1_000):  # in parts that stay in the processor's cache
        pixels = dataset.images[start : start + 1_000]
        total += int(pixels.sum(dtype=np.uint64))
        squares += int(np.square(pixels, dtype=np.uint16).sum(dtype=np.uint64))  # 255² is below 2¹⁶
    n = dataset.images.size
    return total / n, (n * squares - total * total) ** 0.5 / n
