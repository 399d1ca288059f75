"""Whether a model is judged by images that it has seen: the same ones, or near-duplicates of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
        equal: those that it was trained on, by their pixels or by their files.
        held_out: those that it was validated by, and not trained on.
        near: those that are a near-duplicate of an image that it was trained on, and none of the above; None where they
            were not looked for: too many images, or images of another size.
        before: those that the weights were trained on which the training started from, and none of the above.
        before_in: whose weights those were.
    """

    n: int
    equal: int
    held_out: int
    near: int | None
    before: int = 0
    before_in: str = ""

    @property
    def sentence(self) -> str:
        """What is to be said of it; "" where nothing is."""
        found = []
        if self.equal:
            found.append(f"{self.equal:,} of these {self.n:,} images are ones that the model was trained on")
        if self.held_out:
            such = "others" if found else f"of these {self.n:,} images"
            found.append(f"{self.held_out:,} {such} are ones that it was validated by")
        if self.before:
            such = "others" if found else f"of these {self.n:,} images"
            found.append(f"{self.before:,} {such} are ones that {self.before_in} was trained on, from which it started")
        if self.near is not None and self.near >= MIN_NEAR * self.n:
            such = "others" if found else f"of these {self.n:,} images"
            found.append(
                f"{self.near:,} {such} are near-duplicates of ones it was trained on, as far as a search tells"
            )
        expect_less = ": on new images expect less" if found[int(self.held_out > 0) :] or self.equal else ""
        return "; ".join(found) + expect_less


def find_leakage(
    judged: Dataset,
    train: Dataset,
    validation: Dataset | None = None,
    before_N: NDArray[np.bool_] | None = None,
    before_in: str = "",
) -> Leakage:
    """Look for the judged images, and for near-duplicates of them, among those of a training.

    Args:
        judged: what the model is judged by.
        train: what it was trained on.
        validation: what was held out of that, or given beside it.
        before_N: bool (N,), which of the judged images the weights were trained on that it started from; None for
            new weights.
        before_in: whose weights those were.
    """
    is_equal = _is_among(judged, train)
    is_held_out = np.zeros(len(judged), dtype=bool) if validation is None else _is_among(judged, validation) & ~is_equal
    is_before = np.zeros(len(judged), dtype=bool) if before_N is None else before_N & ~is_equal & ~is_held_out

    near = None
    shape, total = judged.images.shape[1:], len(judged) + len(train)
    is_small = total <= MAX_IMAGES and total * math.prod(shape) <= MAX_VALUES
    if train.images.shape[1:] == shape and is_small:
        pairs = near_duplicates(np.concatenate([train.images, judged.images])).pairs
        across = pairs[(pairs[:, 0] < len(train)) & (pairs[:, 1] >= len(train)), 1] - len(train)
        near = len(np.setdiff1d(across, np.flatnonzero(is_equal | is_held_out | is_before)))
    return Leakage(
        n=len(judged),
        equal=int(is_equal.sum()),
        held_out=int(is_held_out.sum()),
        near=near,
        before=int(is_before.sum()),
        before_in=before_in,
    )


def _is_among(judged: Dataset, others: Dataset) -> NDArray[np.bool_]:
    """Whether each image is one of others, by its pixels or by its file: bool (N,)."""
    is_among_N = np.isin(hashes_of(judged), hashes_of(others))
    if judged.sources is not None and others.sources is not None:
        files = set(others.sources)
        is_among_N |= np.array([source in files for source in judged.sources], dtype=bool)
    return is_among_N
