"""A product photo becomes what the model knows: the conversion by which Fashion-MNIST itself was made.

Its steps are those of section 2 of the data set's paper, Xiao, Rasul and Vollgraf 2017 (arXiv 1708.07747): trim the
border, bring the longer edge to 28 pixels by leaving out rows and columns, sharpen along outlines, centre, negate,
8-bit grey. :func:`fittingroom.data.preprocessing.read_picture` goes through it where a model's preprocessing says so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLOSENESS = 0.05  # of the largest distance between two colours: as near to the corner's colour, a pixel is border


def convert_photo(rgb_HW3: NDArray[np.uint8], image_size: tuple[int, int] = (28, 28)) -> NDArray[np.uint8]:
    """One thing on a plain background, uint8 (H, W, 3) → grey uint8 of ``image_size``, bright on black.

    The paper negates, as its photos are taken on white. Here the background becomes 0 and what is farthest from it
    255, which is the same on white, and lets a photo on grey or on black come out as the model knows it too.
    """
    corner_3 = np.median(_corners(rgb_HW3), axis=0)
    small_HW3 = _subsample(_trim(rgb_HW3, corner_3), image_size)
    grey_HW = _luma(_sharpen(small_HW3.astype(np.float32)))

    # in place of negation: the paper's grey to 0, the far end of the scale to 255
    paper = float(_luma(corner_3))
    farthest = 0 if paper >= 128 else 255
    bright_HW = 255 * (grey_HW - paper) / (farthest - paper)

    canvas_HW = np.zeros(image_size, dtype=np.uint8)
    # what is left over of an odd border lies above and to the left, as in 99 % of the set's own images
    top, left = ((have - need + 1) // 2 for have, need in zip(image_size, bright_HW.shape, strict=True))
    height, width = bright_HW.shape
    canvas_HW[top : top + height, left : left + width] = bright_HW.round().clip(0, 255)
    return canvas_HW


def _trim(rgb_HW3: NDArray[np.uint8], corner_3: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Without the rows and columns at the edges whose pixels are all close to the corner's colour."""
    is_thing_HW = np.empty(rgb_HW3.shape[:2], dtype=bool)
    limit = (CLOSENESS * 255) ** 2 * 3
    for row, pixels_W3 in enumerate(rgb_HW3):  # row by row: the differences of a large photo fill memory
        is_thing_HW[row] = ((pixels_W3 - corner_3.astype(np.float32)) ** 2).sum(axis=1) > limit
    rows, columns = np.flatnonzero(is_thing_HW.any(axis=1)), np.flatnonzero(is_thing_HW.any(axis=0))
    if len(rows) == 0:  # a blank sheet stays one
        return rgb_HW3
    return rgb_HW3[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _subsample(rgb_HW3: NDArray[np.uint8], image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Every n-th row and column, so that the picture just fits into ``image_size``; a smaller one is enlarged."""
    shape = rgb_HW3.shape[:2]
    scale = min(there / here for there, here in zip(image_size, shape, strict=True))
    sizes = [max(1, round(side * scale)) for side in shape]
    rows, columns = ((np.arange(new) * 2 + 1) * old // (2 * new) for old, new in zip(shape, sizes, strict=True))
    return rgb_HW3[np.ix_(rows, columns)]


def _sharpen(rgb_HW3: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add the difference from a 3×3 Gaussian blur (radius 1, sd 1) in full at the strongest outline, elsewhere less."""
    padded = np.pad(rgb_HW3, ((1, 1), (1, 1), (0, 0)), mode="edge")
    # (H, W, 3, 3, 3): the neighbourhood of each pixel, rows and columns last
    neighbours = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))

    bell = np.exp(-np.array([1, 0, 1], dtype=np.float32) / 2)
    gaussian = np.outer(bell, bell) / bell.sum() ** 2
    sobel = np.outer([1, 2, 1], [-1, 0, 1]).astype(np.float32)
    blurred, across, down = (np.tensordot(neighbours, kernel, 2) for kernel in (gaussian, sobel, sobel.T))

    # by the outline's strength: noise on a plain background stays as it is
    outline_HW = np.hypot(_luma(across), _luma(down))
    share_HW = outline_HW / max(float(outline_HW.max()), 1e-6)
    sharpened: NDArray[np.float32] = rgb_HW3 + share_HW[..., None] * (rgb_HW3 - blurred)
    return sharpened


def _corners(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image[[0, 0, -1, -1], [0, -1, 0, -1]]


def _luma(rgb: NDArray[np.floating]) -> NDArray[np.floating]:
    """Grey of (…, 3) by ITU-R 601, as Pillow does it."""
    grey: NDArray[np.floating] = rgb @ np.array([0.299, 0.587, 0.114], dtype=rgb.dtype)
    return grey
