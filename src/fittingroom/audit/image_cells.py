"""An index of images: cells around centres by k-means, so that only images of near cells are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IMAGES_A_CELL = 150
ROUNDS = 6  # of k-means
SAMPLE_IMAGES = 20_000  # that k-means is run on
BLOCK = 4_096  # vectors at a time

Vectors = NDArray[np.float32]


def cell_centres(vectors: Vectors) -> Vectors:
    """The centres of the cells, by k-means on a sample; the same for the same vectors."""
    random = np.random.default_rng(0)
    count = max(1, len(vectors) // IMAGES_A_CELL)
    sample = vectors[random.permutation(len(vectors))[: max(SAMPLE_IMAGES, count)]]
    centres = sample[:count].copy()

    for _ in range(ROUNDS):
        home, _ = nearest_cells(sample, centres, 1)
        order = np.argsort(home, kind="stable")
        # a centre that no vector is nearest to stays where it is
        used, first = np.unique(home[order], return_index=True)
        centres[used] = np.add.reduceat(sample[order], first, axis=0) / np.diff([*first, len(home)])[:, None]
    return centres


def nearest_cells(vectors: Vectors, centres: Vectors, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nearest centre of each vector, int64 (N,), and its ``count`` nearest, int64 (N, count), in any order."""
    count = min(count, len(centres))
    half_squares = (centres**2).sum(axis=1) / 2  # |v - c|² is least where v·c - |c|² / 2 is greatest
    homes, near = [], []
    for start in range(0, len(vectors), BLOCK):
        closeness = vectors[start : start + BLOCK] @ centres.T - half_squares
        homes.append(closeness.argmax(axis=1))
        near.append(np.argpartition(-closeness, count - 1, axis=1)[:, :count])
    return np.concatenate(homes), np.concatenate(near)


def rows_by_cell(cell_N: NDArray[np.int64], cells: int, *, repeated: int = 1) -> list[NDArray[np.int64]]:
    """The rows of each cell; where ``cell_N`` has several cells of each image in a row, the image's row for each."""
    order = np.argsort(cell_N, kind="stable")
    return np.split(order // repeated, np.cumsum(np.bincount(cell_N, minlength=cells))[:-1])
