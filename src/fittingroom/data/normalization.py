"""How pixels become the numbers that a network is fed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fittingroom.errors import DataError

if TYPE_CHECKING:
    from fittingroom.data.dataset import Dataset

Scale = float | tuple[float, float, float]


@dataclass(frozen=True)
class Normalization:
    """``(pixel - mean) / std``, on the scale of 0–255: a number each for grey, one for each channel for colour."""

    mean: Scale
    std: Scale

    def __post_init__(self) -> None:
        """Take the lists, which JSON has in the place of tuples."""
        for name in ("mean", "std"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))


def normalization_of(kind: str, dataset: Dataset) -> Normalization:
    """What a recipe's ``normalize`` means on this training set.

    Args:
        kind: ``none``, ``unit`` (0–1) or ``standard`` (zero mean and unit variance of all pixels, in colour of each
            channel; a channel whose pixels are all equal is only made zero).
        dataset: the training set, whose pixels are read only for ``standard``.

    Raises:
        DataError: ``standard`` where all pixels are equal.
    """
    if kind == "none":
        return _same_for_all(0.0, 1.0, dataset.channels)
    if kind == "unit":
        return _same_for_all(0.0, 255.0, dataset.channels)

    scales = channel_mean_std(dataset)
    if all(std == 0 for _, std in scales):
        values = " ".join(f"{mean:.0f}" for mean, _ in scales)
        raise DataError(f"{dataset.name}: pixels that differ expected, all are {values}: nothing can be learned")
    if len(scales) == 1:
        return Normalization(*scales[0])
    red, green, blue = ((mean, std or 1.0) for mean, std in scales)
    return Normalization((red[0], green[0], blue[0]), (red[1], green[1], blue[1]))


def pixel_mean_std(dataset: Dataset) -> tuple[float, float]:
    """Mean and standard deviation of all values of all pixels on the scale of 0–255, from exact integer sums."""
    total, squares, n = (sum(sums) for sums in zip(*_channel_sums(dataset), strict=True))
    return _mean_std(total, squares, n)


def channel_mean_std(dataset: Dataset) -> list[tuple[float, float]]:
    """Mean and standard deviation of each channel on the scale of 0–255, from exact integer sums."""
    return [_mean_std(*sums) for sums in _channel_sums(dataset)]


def _same_for_all(mean: float, std: float, channels: int) -> Normalization:
    return Normalization(mean, std) if channels == 1 else Normalization((mean,) * 3, (std,) * 3)


def _mean_std(total: int, squares: int, n: int) -> tuple[float, float]:
    return total / n, (n * squares - total * total) ** 0.5 / n


def _channel_sums(dataset: Dataset) -> list[tuple[int, int, int]]:
    """The sum of each channel's values, that of their squares, and how many they are."""
    totals, squares = [0] * dataset.channels, [0] * dataset.channels
    for start in range(0, len(dataset), 1_000):  # in parts that stay in the processor's cache
        block = dataset.images[start : start + 1_000]
        for channel in range(dataset.channels):
            pixels = block if dataset.channels == 1 else block[..., channel]
            totals[channel] += int(pixels.sum(dtype=np.uint64))
            squares[channel] += int(np.square(pixels, dtype=np.uint16).sum(dtype=np.uint64))  # 255² is below 2¹⁶
    n = dataset.images.size // dataset.channels
    return [(total, square, n) for total, square in zip(totals, squares, strict=True)]
