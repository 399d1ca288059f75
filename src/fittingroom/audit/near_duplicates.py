"""Images that are the same picture but for a small shift, brightness, a mirror, or another encoding.

An index makes it quick: each image, put on its centre of mass and reduced to 14 × 14 fields, goes into the cells of its
nearest centres (k-means), and only images of one cell are compared, 1–3 % of all pairs. What is alike in that is then
compared pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.features import coarse

ALIKE = 0.992  # correlation of pixels from which on two images count as near-duplicates
ALIKE_REDUCED = 0.988  # of the 14 × 14 fields, which a shift by part of a pixel changes
FIELDS = 14
IMAGES_A_CELL = 150
FAINT = 0.08  # of an image's strongest pixel: so much counts for ground, as what JPEG leaves around edges does
PROBES = 3  # cells that an image is looked for in
ROUNDS = 6  # of k-means
SAMPLE = 20_000  # images that k-means looks at
BLOCK = 4_096  # images or pairs at a time
MOST_PAIRS = 200_000  # compared pixel by pixel, the most alike first

Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Pairs of rows (first < second): int64 (P, 2), most alike first; their correlation; whether one is mirrored.

    compared: the share of all pairs that the index compared.
    """

    pairs: NDArray[np.int64]
    correlation: NDArray[np.float32]
    mirrored: NDArray[np.bool_]
    compared: float


def near_duplicates(images_NHW: NDArray[np.uint8], threshold: float = ALIKE) -> NearDuplicates:
    """Find the pairs of images whose pixels correlate by `threshold` or more, as they are or mirrored.

    images_NHW: uint8 (N, H, W), N ≥ 1. Constant images have no correlation and are in no pair; equal images are.
    The same images give the same pairs.
    """
    centred = on_centre(images_NHW)
    plain, flipped = _directions(centred), _directions(centred[:, :, ::-1])
    centres = _centres(plain)
    home_N, near_NK = _nearest(plain, centres, PROBES)
    found, compared = [], 0
    for vectors, is_mirror in ((plain, False), (flipped, True)):
        probes_NK = near_NK if not is_mirror else _nearest(vectors, centres, PROBES)[1]
        for pairs, alike, count in _candidates(plain, vectors, home_N, probes_NK, len(centres)):
            compared += count
            found.append((pairs, alike, np.full(len(pairs), is_mirror)))
    pairs, alike, mirrored = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.lexsort((mirrored, -alike))[:MOST_PAIRS]
    pairs, mirrored = pairs[order], mirrored[order]
    correlation = _best_correlation(centred, pairs, mirrored)
    return _distinct(pairs, correlation, mirrored, threshold, compared / max(1, len(plain) * (len(plain) - 1)))


def on_centre(images_NHW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move each image by whole pixels, around the edges, so that its centre of mass is the middle.

    Mass is the difference from the ground, which is the median of the border.
    """
    n, height, width = images_NHW.shape
    border = [images_NHW[:, 0], images_NHW[:, -1], images_NHW[:, :, 0], images_NHW[:, :, -1]]
    ground_N = np.median(np.concatenate(border, axis=1), axis=1).astype(np.int16)
    result = np.empty_like(images_NHW)
    for start in range(0, n, BLOCK):
        block = slice(start, start + BLOCK)
        mass = np.abs(images_NHW[block].astype(np.int16) - ground_N[block, None, None]).astype(np.float32)
        mass = np.maximum(mass - FAINT * mass.max(axis=(1, 2), keepdims=True), 0)
        total = np.maximum(mass.sum(axis=(1, 2)), 1e-6)
        down = np.rint((height - 1) / 2 - mass.sum(axis=2) @ np.arange(height, dtype=np.float32) / total)
        right = np.rint((width - 1) / 2 - mass.sum(axis=1) @ np.arange(width, dtype=np.float32) / total)
        moves = np.stack([down, right], axis=1).astype(int)
        for move in np.unique(moves, axis=0):
            members = start + np.flatnonzero((moves == move).all(axis=1))
            result[members] = np.roll(images_NHW[members], tuple(move), axis=(1, 2))
    return result


def _directions(images_NHW: NDArray[np.uint8]) -> Vectors:
    """Reduced images less their mean, of length 1; zeros for constant ones."""
    blocks = [coarse(images_NHW[start : start + BLOCK], FIELDS) for start in range(0, len(images_NHW), BLOCK)]
    vectors = np.concatenate(blocks)
    vectors -= vectors.mean(axis=1, keepdims=True)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(length < 1e-3, np.inf, length)
    return vectors


def _centres(vectors: Vectors) -> Vectors:
    random = np.random.default_rng(0)
    count = max(1, len(vectors) // IMAGES_A_CELL)
    sample = vectors[random.permutation(len(vectors))[: max(SAMPLE, count)]]
    centres = sample[:count].copy()
    for _ in range(ROUNDS):
        home, _ = _nearest(sample, centres, 1)
        order = np.argsort(home, kind="stable")
        used, first = np.unique(home[order], return_index=True)
        centres[used] = np.add.reduceat(sample[order], first, axis=0) / np.diff([*first, len(home)])[:, None]
    return centres


def _nearest(vectors: Vectors, centres: Vectors, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the nearest centre of each vector, (N,), and its `count` nearest, (N, count)."""
    count = min(count, len(centres))
    half_squares = (centres**2).sum(axis=1) / 2
    homes, near = [], []
    for start in range(0, len(vectors), BLOCK):
        closeness = vectors[start : start + BLOCK] @ centres.T - half_squares
        homes.append(closeness.argmax(axis=1))
        near.append(np.argpartition(-closeness, count - 1, axis=1)[:, :count])
    return np.concatenate(homes), np.concatenate(near)


def _candidates(
    plain: Vectors, vectors: Vectors, home_N: NDArray[np.int64], probes_NK: NDArray[np.int64], cells: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], int]]:
    """For each cell, compare the images at home in it with those looked for in it: (pairs, likeness, how many)."""
    of_cell = np.split(np.argsort(home_N, kind="stable"), np.cumsum(np.bincount(home_N, minlength=cells))[:-1])
    rows = np.repeat(np.arange(len(probes_NK)), probes_NK.shape[1])
    by_cell = rows[np.argsort(probes_NK.reshape(-1), kind="stable")]
    looked_for = np.split(by_cell, np.cumsum(np.bincount(probes_NK.reshape(-1), minlength=cells))[:-1])
    for home, others in zip(of_cell, looked_for, strict=True):
        for start in range(0, len(home), BLOCK):
            some = home[start : start + BLOCK]
            alike = plain[some] @ vectors[others].T
            one, other = np.nonzero(alike >= ALIKE_REDUCED)
            pairs = np.sort(np.stack([some[one], others[other]], axis=1), axis=1)
            is_pair = pairs[:, 0] != pairs[:, 1]
            yield pairs[is_pair], alike[one, other][is_pair], alike.size


def _best_correlation(
    images_NHW: NDArray[np.uint8], pairs: NDArray[np.int64], mirrored: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The correlation of each pair's pixels, the second image mirrored where `mirrored`, at the best of nine moves
    by at most one pixel: what rounding the centre may have cost."""
    result = np.zeros(len(pairs), np.float32)
    for start in range(0, len(pairs), BLOCK):
        block = slice(start, start + BLOCK)
        one = _unit(images_NHW[pairs[block, 0]])
        other = images_NHW[pairs[block, 1]]
        other = np.where(mirrored[block, None, None], other[:, :, ::-1], other)
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                moved = _unit(np.roll(other, (down, right), axis=(1, 2)))
                np.maximum(result[block], np.einsum("np,np->n", one, moved), out=result[block])
    return result


def _unit(images_NHW: NDArray[np.uint8]) -> Vectors:
    vectors = images_NHW.reshape(len(images_NHW), -1).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length < 1e-3, np.inf, length), np.float32)


def _distinct(
    pairs: NDArray[np.int64],
    correlation: NDArray[np.float32],
    mirrored: NDArray[np.bool_],
    threshold: float,
    compared: float,
) -> NearDuplicates:
    """Keep each pair once, in its better direction, if it is alike enough; most alike first."""
    good = correlation >= threshold
    pairs, correlation, mirrored = pairs[good], correlation[good], mirrored[good]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], mirrored, -correlation))
    pairs, correlation, mirrored = pairs[order], correlation[order], mirrored[order]
    _, first = np.unique(pairs, axis=0, return_index=True)
    first.sort()
    return NearDuplicates(pairs[first], correlation[first], mirrored[first], compared)
