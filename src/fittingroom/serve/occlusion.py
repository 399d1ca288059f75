"""What mattered for an answer: how far its probability falls when a patch of the image is covered.

Occlusion sensitivity, Zeiler and Fergus 2014 (arXiv 1311.2901), all patches in one batch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from fittingroom.predict.classifier import Classified

PATCHES = 14  # to a side


async def occlusion_map(
    image: NDArray[np.uint8],
    label: int,
    background: int | tuple[int, int, int],
    classify: Callable[[NDArray[np.uint8]], Awaitable[Classified]],
) -> NDArray[np.float64]:
    """How far the probability of ``label`` falls when the surroundings of each place are covered with background.

    Args:
        image: uint8 (H, W) or, in colour, (H, W, 3).
        label: the class that is asked about.
        background: 0–255, what a patch is covered with; in colour (red, green, blue).
        classify: the model.

    Returns:
        float64 (14, 14), or the image's own size where that is smaller: 1 where covering takes the whole probability,
        negative where it adds some. Row and column as in the image.
    """
    height, width = image.shape[:2]
    rows, columns = (np.linspace(0, side - 1, min(side, PATCHES)).round().astype(int) for side in (height, width))
    reach_y, reach_x = max(1, height // 9), max(1, width // 9)

    # The image itself goes first, as what the others are compared with.
    covered = np.repeat(image[None], 1 + len(rows) * len(columns), axis=0)
    places = [(y, x) for y in rows for x in columns]
    for copy, (y, x) in zip(covered[1:], places, strict=True):
        copy[max(0, y - reach_y) : y + reach_y + 1, max(0, x - reach_x) : x + reach_x + 1] = background

    probabilities = (await classify(covered)).probabilities[:, label].astype(np.float64)
    fall: NDArray[np.float64] = probabilities[0] - probabilities[1:]
    return fall.reshape(len(rows), len(columns))
