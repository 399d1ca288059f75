"""Few numbers for each image: pixels averaged to fields, and how much of their variance tells classes apart.

Of colour images each channel is averaged by itself, so that what differs in colour alone differs here too.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import Dataset

BLOCK = 4_096  # images at a time


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


def coarse(images: NDArray[Any], side: int) -> NDArray[np.float32]:
    """Average the pixels to at most ``side`` × ``side`` fields.

    Args:
        images: uint8 or float32 (N, H, W), or (N, H, W, 3).
        side: in fields.

    Returns:
        float32 (N, F); of colour images, all fields of the first channel before those of the next.
    """
    height, width = images.shape[1:3]
    rows_RH, columns_CW = _averaging(height, side), _averaging(width, side)
    planes = images if images.ndim == 3 else np.moveaxis(images, 3, 1)
    fields: NDArray[np.float32] = np.matmul(rows_RH, planes.astype(np.float32)) @ columns_CW.T
    return fields.reshape(len(images), math.prod(fields.shape[1:]))


def in_grey(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images as grey ones, uint8 (N, H, W): grey as they are, colour by Pillow's weights for its mode ``L``."""
    if images.ndim == 3:
        return images

    # block by block, for whole numbers of 32 bits take four times the room
    grey_NHW = np.empty(images.shape[:3], np.uint8)
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK].astype(np.uint32)
        weighted = block[..., 0] * 19_595 + block[..., 1] * 38_470 + block[..., 2] * 7_471
        grey_NHW[start : start + BLOCK] = (weighted + 0x8000) >> 16
    return grey_NHW


def dataset_in_grey(dataset: Dataset) -> Dataset:
    """The set with its images in grey; itself where they are."""
    return dataset if dataset.channels == 1 else replace(dataset, images=in_grey(dataset.images))


def _averaging(size: int, fields: int) -> NDArray[np.float32]:
    """Weights (fields, size) that average neighbours; each pixel counts in the fields that it lies in."""
    edges = np.linspace(0, size, min(fields, size) + 1)
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    weights = np.maximum(overlap, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
