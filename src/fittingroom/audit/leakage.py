"""Whether a model is judged by images that it was trained on: the same ones, or near-duplicates of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fittingroom.audit.near_duplicates import near_duplicates
from fittingroom.audit.reference import hashes_of
from fittingroom.data.dataset import Dataset

MAX_IMAGES = 20_000  # training images and judged ones together, in which near-duplicates are looked for at once
MIN_NEAR = 0.01  # of the images that are judged: fewer near-duplicates are those of any two parts of simple pictures
MAX_VALUES = 40_000_000  # pixels times channels of all of them


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """How many of the images that a model is judged by it has seen.

    Attributes:
        n: the images that it is judged by.
        equal: those that its training data hold, validation images included, by their pixels or by their files.
        near: those that are a near-duplicate of another training image, and not equal to one; None where they were not
            looked for: too many images, or images of another size.
    """

    n: int
    equal: int
    near: int | None

    @property
    def sentence(self) -> str:
        """What is to be said of it; "" where nothing is."""
        found = []
        if self.equal:
            found.append(f"{self.equal:,} of these {self.n:,} images are ones that the model was trained on")
        if self.near is not None and self.near >= MIN_NEAR * self.n:
            such = "others" if self.equal else f"of these {self.n:,} images"
            found.append(f"{self.near:,} {such} are near-duplicates of such ones, as far as a search tells")
        return "; ".join(found) + ": on new images expect less" if found else ""


def find_leakage(judged: Dataset, train: Dataset) -> Leakage:
    """Look for the judged images, and for near-duplicates of them, among the training data."""
    is_equal = np.isin(hashes_of(judged), hashes_of(train))
    if judged.sources is not None and train.sources is not None:
        files = set(train.sources)
        is_equal |= np.array([source in files for source in judged.sources], dtype=bool)

    near = None
    shape, total = judged.images.shape[1:], len(judged) + len(train)
    is_small = total <= MAX_IMAGES and total * math.prod(shape) <= MAX_VALUES
    if train.images.shape[1:] == shape and is_small:
        pairs = near_duplicates(np.concatenate([train.images, judged.images])).pairs
        across = pairs[(pairs[:, 0] < len(train)) & (pairs[:, 1] >= len(train)), 1] - len(train)
        near = len(np.setdiff1d(across, np.flatnonzero(is_equal)))
    return Leakage(n=len(judged), equal=int(is_equal.sum()), near=near)
