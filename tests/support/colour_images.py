"""Images in colour that need no download: crops of scikit-learn's two photographs, and drawn flags."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from fittingroom.data.dataset import Dataset

Images = NDArray[np.uint8]

# Three stripes each, from top to bottom; these differ from each other in nothing but colour.
FLAGS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "Austria": ((200, 16, 46), (255, 255, 255), (200, 16, 46)),
    "Bulgaria": ((255, 255, 255), (0, 150, 110), (214, 38, 18)),
    "Estonia": ((0, 114, 206), (0, 0, 0), (255, 255, 255)),
    "Germany": ((0, 0, 0), (221, 0, 0), (255, 206, 0)),
    "Hungary": ((206, 41, 57), (255, 255, 255), (71, 112, 80)),
    "Lithuania": ((253, 185, 19), (0, 106, 68), (193, 39, 45)),
    "Luxembourg": ((239, 51, 64), (255, 255, 255), (0, 163, 224)),
    "Netherlands": ((174, 28, 40), (255, 255, 255), (33, 70, 139)),
    "Russia": ((255, 255, 255), (0, 57, 166), (213, 43, 30)),
    "Yemen": ((206, 17, 38), (255, 255, 255), (0, 0, 0)),
}


def flags(side: int = 32) -> Images:
    """The flags in the order of :data:`FLAGS`, uint8 (N, side, side, 3)."""
    stripe = np.arange(side) * 3 // side
    return np.stack([np.repeat(np.array(colours, np.uint8)[stripe][:, None], side, 1) for colours in FLAGS.values()])


def crops(count: int, side: int = 32, seed: int = 0) -> Images:
    """Square pieces of the two photographs, in turn, of random place and size: uint8 (N, side, side, 3)."""
    photographs = load_sample_images().images
    random = np.random.default_rng(seed)
    result = np.empty((count, side, side, 3), np.uint8)
    for row in range(count):
        photograph = photographs[row % 2]
        size = int(random.integers(side, min(4 * side, 400)))
        top, left = (int(random.integers(0, length - size + 1)) for length in photograph.shape[:2])
        piece = Image.fromarray(photograph[top : top + size, left : left + size])
        result[row] = np.asarray(piece.resize((side, side), Image.Resampling.LANCZOS))
    return result


def photographs(count: int, side: int = 32, seed: int = 0) -> Dataset:
    """A set of crops, mixed: of a temple, and of a flower."""
    order = np.random.default_rng(seed).permutation(count)
    return Dataset(crops(count, side, seed)[order], order % 2, ("temple", "flower"), "photographs")


def write_pictures(folder: Path, dataset: Dataset) -> Path:
    """Write each image as a PNG into the folder of its class; the folder."""
    assert dataset.labels is not None
    for row, (image, label) in enumerate(zip(dataset.images, dataset.labels.tolist(), strict=True)):
        file = folder / dataset.classes[label] / f"{row:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return folder
