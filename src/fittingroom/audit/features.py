"""Few numbers for each image: pixels averaged to fields, and how much of their variance tells classes apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import Dataset


def coherence(part: Dataset) -> float:
    """The share of the images' variance that lies between classes, 0–1, of pixels averaged to 7×7 or so.

    It is high where labels belong to their images, and near 0 where they don't.
    """
    assert part.labels is not None
    features_NF = coarse(part.images, 7).astype(np.float64)

    counts_C = part.class_counts()
    sums_CF = np.zeros((part.num_classes, features_NF.shape[1]))
    np.add.at(sums_CF, part.labels, features_NF)

    mean_F = features_NF.mean(axis=0)
    means_CF = sums_CF[counts_C > 0] / counts_C[counts_C > 0, None]
    between = float((counts_C[counts_C > 0, None] * (means_CF - mean_F) ** 2).sum())
    return between / max(float(((features_NF - mean_F) ** 2).sum()), 1e-12)


def coarse(images_NHW: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Average the pixels to at most ``side`` × ``side`` fields: float32 (N, F)."""
    height, width = images_NHW.shape[1:]
    rows_RH, columns_CW = _averaging(height, side), _averaging(width, side)
    fields: NDArray[np.float32] = np.matmul(rows_RH, images_NHW.astype(np.float32)) @ columns_CW.T
    return fields.reshape(len(images_NHW), -1)


def _averaging(size: int, fields: int) -> NDArray[np.float32]:
    """Weights (fields, size) that average neighbours; each pixel counts in the fields that it lies in."""
    edges = np.linspace(0, size, min(fields, size) + 1)
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    weights = np.maximum(overlap, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
