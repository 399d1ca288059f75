"""Many small images in one picture: each of its own would take a header and a compression of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.rendering.contact_sheet import png_uri, reduced

SIDE = 32  # pixels; larger images are reduced to it
MAX_COLUMNS = 30


@dataclass(frozen=True)
class Sprite:
    """Images of one size in a grid, in the order given.

    Attributes:
        source: a data URI.
        columns, rows: of its grid.
        aspect: width of an image over its height.
    """

    source: str
    columns: int
    rows: int
    aspect: float

    def place(self, number: int) -> tuple[float, float]:
        """Where an image lies, in percent of the free width and height, as ``background-position`` has it."""
        column, row = number % self.columns, number // self.columns
        return 100 * column / max(1, self.columns - 1), 100 * row / max(1, self.rows - 1)


def sprite_of(images: Sequence[NDArray[np.uint8]]) -> Sprite:
    """Put images of one size, one or more, into one picture; each no larger than :data:`SIDE`."""
    small = [reduced(image, SIDE) for image in images]
    grid, columns, rows = grid_of(small)
    height, width = small[0].shape[:2]
    return Sprite(png_uri(grid), columns, rows, width / height)


def grid_of(images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], int, int]:
    """Images of one size side by side; with the columns and rows of their grid."""
    columns = min(MAX_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    height, width, *colours = images[0].shape
    grid = np.zeros((rows * height, columns * width, *colours), np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * height, number % columns * width
        grid[top : top + height, left : left + width] = image
    return grid, columns, rows
