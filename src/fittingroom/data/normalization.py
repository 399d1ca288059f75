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
    """What a recipe's ``normalize`` (``none``, ``unit`` or ``standard``) means on this training set.

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
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(dataset), 10_000):  # in parts: bincount makes an int64 copy of what it is given
        counts += np.bincount(dataset.images[start : start + 10_000].reshape(-1), minlength=256)
    values = np.arange(256, dtype=np.int64)
    n, total, squares = int(counts.sum()), int(counts @ values), int(counts @ values**2)
    return total / n, (n * squares - total * total) ** 0.5 / n
