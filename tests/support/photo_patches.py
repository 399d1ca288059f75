"""Real colour images for tests: pieces of scikit-learn's two photographs."""

from __future__ import annotations

import numpy as np

from fittingroom.data.dataset import Dataset


def photo_patches(count: int = 400, side: int = 16, seed: int = 0) -> Dataset:
    """``count`` pieces of ``side`` × ``side`` pixels in colour, half of each photograph, which is the label; mixed."""
    from sklearn.datasets import load_sample_images

    photos = load_sample_images().images  # uint8 (427, 640, 3)
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 2)
    tops, lefts = random.integers(0, 427 - side, count), random.integers(0, 640 - side, count)
    pieces = [photos[i][y : y + side, x : x + side] for i, y, x in zip(labels, tops, lefts, strict=True)]
    return Dataset(np.stack(pieces), labels, ("temple", "flower"), "photographs")
