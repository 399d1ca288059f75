"""Where each image lies on a map: t-SNE, then a grid on which none covers another.

t-SNE: van der Maaten and Hinton 2008, scikit-learn's, begun at the first two principal components. Its points are
then given the cells of a grid with the least sum of squared distances, as in an assignment problem, so that each
picture can be seen and pointed at without zooming.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.errors import DataError

PERPLEXITY = 30.0  # neighbours, about; fewer of few images
MIN_IMAGES = 5  # fewer are no map
FILLED = 0.62  # of the cells: more would press groups together that lie apart
CELL = 16  # units of the drawing, a thumbnail and the gap around it
LETTER = 0.6  # of the font's size, on average
FONT = 12.0  # units
LONGEST_NAME = 24  # letters of a class's name on the map
NEIGHBOURS = 10  # by which it is measured what the map kept


@dataclass(frozen=True)
class Label:
    """The name of a class, in cells that are kept free for it; ``text`` may be cut."""

    text: str
    column: int
    row: int
    width: int


@dataclass(frozen=True)
class Grid:
    """A map of N images.

    Attributes:
        columns, rows: of its cells.
        cells: int64 (N, 2), column and row of each image; no two are the same.
        labels: of classes.
        kept: of an image's ten nearest by the features, how many are among its ten nearest here, on average.
        neighbours: ten, or fewer where there are no more.
    """

    columns: int
    rows: int
    cells: NDArray[np.int64]
    labels: list[Label]
    kept: float
    neighbours: int


def lay_out(features_NF: NDArray[np.float32], names: Sequence[str], class_N: NDArray[np.int64]) -> Grid:
    """Lay N images out by their features, the same way each time.

    Args:
        features_NF: float32 (N, F), of length 1.
        names: of classes, of which each that occurs gets a label.
        class_N: int64 (N,): each image's class; -1 for one by which no label is placed.

    Raises:
        DataError: too few images, or all are the same to the network.
        ModuleNotFoundError: scikit-learn is not installed.
    """
    if len(features_NF) < MIN_IMAGES:
        raise DataError(f"a map of at least {MIN_IMAGES} images expected, {len(features_NF)} found")
    if not np.isfinite(features_NF).all() or float(features_NF.std(axis=0).max()) < 1e-6:
        raise DataError(
            "a map of images that differ to the network expected; its features are all the same, or no numbers"
        )
    points_N2 = _embedded(features_NF)

    # So many cells that labels and images fill them to the same share.
    present = [number for number in range(len(names)) if (class_N == number).any()]
    widths = {number: _width(_short(names[number])) for number in present}
    columns = max(math.ceil(math.sqrt((len(points_N2) + sum(widths.values())) / FILLED)), *widths.values(), 1)
    wanted_N2 = _scaled(points_N2) * (columns - 1)

    labels = _labels(wanted_N2, class_N, {number: _short(names[number]) for number in present}, widths, columns)
    cells_N2 = _assigned(wanted_N2, labels, columns)

    # Rows and columns at the edges that stayed empty are nothing to look at.
    low, high = cells_N2.min(axis=0), cells_N2.max(axis=0)
    for label in labels:
        low = np.minimum(low, (label.column, label.row))
        high = np.maximum(high, (label.column + label.width - 1, label.row))
    labels = [Label(each.text, each.column - int(low[0]), each.row - int(low[1]), each.width) for each in labels]
    cells_N2 = cells_N2 - low
    width, height = (high - low + 1).tolist()
    neighbours = min(NEIGHBOURS, len(features_NF) - 1)
    return Grid(width, height, cells_N2, labels, _kept(features_NF, cells_N2, neighbours), neighbours)


def _embedded(features_NF: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 (N, 2) by t-SNE."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # In one thread, as the order in which several add up is another each time.
    perplexity = min(PERPLEXITY, (len(features_NF) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=0)
        return np.asarray(tsne.fit_transform(features_NF), dtype=np.float64)


def _scaled(points_N2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each axis to 0–1."""
    low, high = points_N2.min(axis=0), points_N2.max(axis=0)
    return np.asarray((points_N2 - low) / np.maximum(high - low, 1e-12))


def _assigned(wanted_N2: NDArray[np.float64], labels: Sequence[Label], columns: int) -> NDArray[np.int64]:
    """A free cell for each image, (N, 2): with the least sum of squared distances from where they want to be."""
    from scipy.optimize import linear_sum_assignment

    is_free = np.ones((columns, columns), dtype=bool)  # by row and column
    for label in labels:
        is_free[label.row, label.column : label.column + label.width] = False
    free_M2 = np.argwhere(is_free)[:, ::-1]
    cost_NM = ((wanted_N2[:, None] - free_M2[None]) ** 2).sum(axis=2)
    _, chosen = linear_sum_assignment(cost_NM)
    return np.asarray(free_M2[chosen], dtype=np.int64)


def _labels(
    wanted_N2: NDArray[np.float64],
    class_N: NDArray[np.int64],
    texts: dict[int, str],
    widths: dict[int, int],
    columns: int,
) -> list[Label]:
    """The names of classes, each in the middle of its images or in the nearest place that no other name has."""
    taken = np.zeros((columns, columns), dtype=bool)
    labels = []
    for number, text in texts.items():
        width = widths[number]
        middle = np.median(wanted_N2[class_N == number], axis=0) - ((width - 1) / 2, 0)
        places = [(row, column) for row in range(columns) for column in range(columns - width + 1)]
        places.sort(key=lambda place: (place[1] - middle[0]) ** 2 + (place[0] - middle[1]) ** 2)
        free = next((place for place in places if not taken[place[0], place[1] : place[1] + width].any()), None)
        if free is None:
            continue
        row, column = free
        taken[row, column : column + width] = True
        labels.append(Label(text, column, row, width))
    return labels


def _kept(features_NF: NDArray[np.float32], cells_N2: NDArray[np.int64], neighbours: int) -> float:
    """How many of the nearest by the features are among the nearest cells, on average."""
    by_features = np.argsort(-(features_NF @ features_NF.T) + 4 * np.eye(len(features_NF)), axis=1, kind="stable")
    squares_NN = ((cells_N2[:, None] - cells_N2[None]) ** 2).sum(axis=2)
    by_cells = np.argsort(squares_NN + _beyond(cells_N2) * np.eye(len(cells_N2)), axis=1, kind="stable")
    pairs = zip(by_features[:, :neighbours].tolist(), by_cells[:, :neighbours].tolist(), strict=True)
    return float(np.mean([len(set(near) & set(here)) for near, here in pairs]))


def _beyond(cells_N2: NDArray[np.int64]) -> int:
    """More than any two cells lie apart, squared: puts an image itself behind all others."""
    return int(2 * (cells_N2.max() + 1) ** 2)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _width(text: str) -> int:
    """Cells that a text takes; letters of East Asian scripts are as wide as they are high."""
    letters = sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else LETTER for letter in text)
    return math.ceil((letters * FONT + 4) / CELL)
