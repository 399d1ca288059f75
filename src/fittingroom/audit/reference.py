"""What is known of Fashion-MNIST and MNIST: each official image's hash and label, and each class's mean image.

    audit/manifest/fashion-mnist.npz   hashes (70,000,) uint64: the first 8 bytes of each image's SHA-256 (as
                                       ``Dataset.image_hashes`` makes it), official order, train before test;
                                       labels (35,000,) uint8: two in a byte, the first in the high half
    audit/manifest/means.npz           fashion-mnist, mnist: uint8 (10, 28, 28)

scripts/make_manifest.py makes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import Dataset

MANIFEST = Path(__file__).resolve().parent / "manifest"
TRAIN, TEST = 60_000, 10_000


@dataclass(frozen=True, eq=False)
class Manifest:
    """The 70,000 official images, train (0–59,999) before test.

    Attributes:
        hashes: uint64 (70000,).
        labels: uint8 (70000,), 0–9.
    """

    hashes: NDArray[np.uint64]
    labels: NDArray[np.uint8]

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self.hashes)

    def rows_of(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The official row of each hash, int64 (N,): 0–59,999 train, 60,000–69,999 test, -1 for an image that is none.

        By chance another image has one of these hashes once in 2.6 × 10^14 images.
        """
        order = self._order
        place = np.searchsorted(self.hashes, hashes, sorter=order)
        row = order[np.minimum(place, len(order) - 1)]
        return np.where(self.hashes[row] == hashes, row, -1)


@cache
def manifest() -> Manifest:
    """The official images' hashes and labels, loaded once."""
    with np.load(MANIFEST / "fashion-mnist.npz", allow_pickle=False) as file:
        hashes, packed = file["hashes"], file["labels"]
    return Manifest(hashes, np.stack([packed >> 4, packed & 15], axis=1).reshape(-1))


@cache
def class_means() -> dict[str, NDArray[np.float32]]:
    """The mean images of ``fashion-mnist`` (train) and ``mnist`` (a sample): float32 (10, 28, 28), 0–255, by class."""
    with np.load(MANIFEST / "means.npz", allow_pickle=False) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def hashes_of(dataset: Dataset) -> NDArray[np.uint64]:
    """The first 8 bytes of each image's SHA-256 as one number: uint64 (N,); 1 µs an image of 28×28."""
    digests = np.frombuffer(b"".join(dataset.image_hashes()), ">u8").reshape(-1, 4)
    return digests[:, 0].astype(np.uint64)
