"""Millions of images: Fashion-MNIST's 70,000, over and over, each time moved by up to 2 pixels, lighter or darker.

The same number gives the same images. They are made a part at a time, in the memory of one part.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import official
from numpy.typing import NDArray

from fittingroom.data.convert import convert
from fittingroom.data.dataset import Dataset, concatenate
from fittingroom.data.formats.splits import CLASSES_FILE
from fittingroom.data.splits import Splits

PART = 50_000
SHIFT, BRIGHTNESS = 2, 0.15  # up to so many pixels and this share


def parts(images: int, *, quick: bool = False) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """``images`` images uint8 (N, 28, 28) and labels int64 (N,), 50,000 at a time, all classes mixed."""
    pictures, known, _ = _known(quick=quick)
    for start in range(0, images, PART):
        draw = np.random.default_rng(start)
        rows = np.arange(start, min(start + PART, images)) % len(pictures)
        padded = np.pad(pictures[rows], ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, pictures.shape[1:], axis=(1, 2))
        down, right = draw.integers(0, 2 * SHIFT + 1, (2, len(rows)))
        moved = windows[np.arange(len(rows)), down, right]
        light = draw.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS, (len(rows), 1, 1)).astype(np.float32)
        yield np.minimum(moved * light, 255).astype(np.uint8), known[rows]


def write_idx_pair(folder: Path, images: int, *, quick: bool = False) -> None:
    """As IDX, raw, sorted by label: the worst order for a shuffle that doesn't reach far."""
    folder.mkdir(parents=True, exist_ok=True)
    _, known, classes = _known(quick=quick)
    counts = np.bincount(known[np.arange(images) % len(known)], minlength=len(classes))
    places = np.concatenate([[0], np.cumsum(counts)[:-1]])
    pixels = folder / "train-images-idx3-ubyte"
    with pixels.open("wb") as file:
        file.write(bytes([0, 0, 8, 3]) + np.array([images, 28, 28], ">u4").tobytes())
    sorted_images = np.memmap(pixels, np.uint8, mode="r+", offset=16, shape=(images, 28, 28))
    for part, labels in parts(images, quick=quick):
        for label in np.unique(labels):
            mine = part[labels == label]
            sorted_images[places[label] : places[label] + len(mine)] = mine
            places[label] += len(mine)
    sorted_images.flush()
    with (folder / "train-labels-idx1-ubyte").open("wb") as file:
        file.write(bytes([0, 0, 8, 1]) + np.array([images], ">u4").tobytes())
        file.write(np.repeat(np.arange(len(classes)), counts).astype(np.uint8).tobytes())
    (folder / CLASSES_FILE).write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")


def write_parquet_shards(folder: Path, images: int, *, quick: bool = False) -> None:
    """As Parquet, a file for each 50,000, called train-00000-of-00100.parquet and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    *_, classes = _known(quick=quick)
    files = -(-images // PART)
    for number, (part, labels) in enumerate(parts(images, quick=quick)):
        shard = Dataset(part, labels, classes, "shard")
        convert(Splits(shard), folder / f"train-{number:05}-of-{files:05}.parquet")


def _known(*, quick: bool) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Train and test together: images, labels and the classes' names."""
    data = official.splits(quick=quick)
    assert data.test is not None
    everything = concatenate([data.train, data.test], "train and test")
    assert everything.labels is not None
    return everything.images, everything.labels, everything.classes
