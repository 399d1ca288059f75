"""A part of the data, each of its images looked up among the official ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.features import dataset_in_grey
from fittingroom.audit.reference import TRAIN, hashes_of, manifest
from fittingroom.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the data, looked up in the official one.

    Attributes:
        role: ``train``, ``validation``, ``test``, or "" if nothing says.
        dataset: images and labels.
        hashes: uint64 (N,), of the images.
        rows: int64 (N,), the row of each image in the official data, -1 where it is none of them.
    """

    role: str
    dataset: Dataset
    hashes: NDArray[np.uint64]
    rows: NDArray[np.int64]

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.dataset.name

    @property
    def official(self) -> NDArray[np.bool_]:
        """bool (N,): whether an image is an official one."""
        return self.rows >= 0

    @property
    def counts(self) -> dict[str, int]:
        """How many of its images are official train images, official test images, and neither."""
        train, test = int(((self.rows >= 0) & (self.rows < TRAIN)).sum()), int((self.rows >= TRAIN).sum())
        return {"train": train, "test": test, "neither": len(self.rows) - train - test}


def part_of(role: str, dataset: Dataset) -> Part:
    """Look up every image of the set in the manifest; one in colour by what it is in grey."""
    hashes = hashes_of(dataset)
    if dataset.image_size == (28, 28):
        in_grey = hashes if dataset.channels == 1 else hashes_of(dataset_in_grey(dataset))
        return Part(role, dataset, hashes, manifest().rows_of(in_grey))
    return Part(role, dataset, hashes, np.full(len(dataset), -1))
