"""Whether a model is judged by images that it has seen: the same ones, or near-duplicates of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.known_pairs import across, pairs_between
from fittingroom.audit.near_duplicates import near_duplicates
from fittingroom.audit.reference import hashes_of
from fittingroom.data.dataset import Dataset
from fittingroom.rendering.share import share_text

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
        near = self.near if self.near is not None and self.near >= MIN_NEAR * self.n else 0
        told: list[str] = []

        def who() -> str:
            return "it" if told else "the model"

        def such(count: int) -> str:
            return f"{count:,} other{'s' * (count != 1)}" if told else f"{count:,} of these {self.n:,} images"

        if self.equal:
            told.append(f"the model was trained on {such(self.equal)}")
        if self.held_out:
            told.append(f"{who()} was validated by {such(self.held_out)}")
        if self.before:
            told.append(f"{self.before_in}, from which {who()} started, was trained on {such(self.before)}")
        if near:
            are = "is a near-duplicate" if near == 1 else "are near-duplicates"
            told.append(f"{such(near)} {are} of training images, as far as a search tells")

        # What only validated was not learned from, and what is alike may be another thing.
        expect_less = ": on new images expect less" if self.equal or self.before else ""
        if near and not expect_less:
            expect_less = f": {_if_copied(near)}"
        return "; ".join(told) + expect_less


@dataclass(frozen=True, kw_only=True)
class NearInTest:
    """How many test images have a near-duplicate, or an equal, among those that were trained on.

    Attributes:
        n: test images.
        near: those that have one, as far as a search tells; None where nobody has looked.
        searched_by: who looked, as :func:`fittingroom.audit.known_pairs.pairs_between` says; "" for nobody.
        equal: those that were trained on themselves, pixel for pixel; they count in ``near`` too.

    Example:
        >>> NearInTest(n=10_000, near=42, searched_by="package").sentence
        '42 of the 10,000 test images (0.42%) are near-duplicates of training images: copies, or things that look alike'
    """

    n: int
    near: int | None
    searched_by: str
    equal: int = 0

    @property
    def flatters(self) -> bool:
        """Whether the accuracy on test is, or may well be, higher by them: it is to be read with the sentence."""
        return bool(self.equal) or (self.near or 0) >= MIN_NEAR * self.n

    @property
    def sentence(self) -> str:
        """What is to be said of it; "" where nobody has looked, and none is equal."""
        if self.equal:
            of_all = f"{self.equal:,} of the {self.n:,} test images ({share_text(self.equal / self.n)})"
            trained = f"{of_all} {'is' if self.equal == 1 else 'are'} among those that it was trained on"
            others = (self.near or self.equal) - self.equal
            if others:
                are = "other is a near-duplicate" if others == 1 else "others are near-duplicates"
                trained += f", and {others:,} {are} of such"
            return f"{trained}: expect less on new images"
        if self.near is None:
            return ""
        if not self.near:
            return f"a search finds no near-duplicate of a training image among the {self.n:,} test images"
        are = "is a near-duplicate of a training image" if self.near == 1 else "are near-duplicates of training images"
        known = "a copy, or a thing that looks alike" if self.near == 1 else "copies, or things that look alike"
        if self.near >= MIN_NEAR * self.n:
            known = _if_copied(self.near)
        return f"{self.near:,} of the {self.n:,} test images ({share_text(self.near / self.n)}) {are}: {known}"


def _if_copied(near: int) -> str:
    return f"if {'it is a copy' if near == 1 else 'they are copies'}, expect less on new images"


def near_in_test(train: Dataset, test: Dataset, held_out: Dataset | None, *, cache: bool) -> NearInTest:
    """Count the test images that are near-duplicates of ones that were trained on, without a long search.

    Args:
        train: the whole training set, which images may have been held out of.
        test: what the model is judged on.
        held_out: what was held out.
        cache: whether what was found before is used, and what is found is kept.
    """
    searched_by, pairs = pairs_between(train, test, cache=cache)

    # No two of the official images are equal.
    equal_rows = np.empty(0, np.int64)
    if searched_by != "package":
        learned = hashes_of(train)
        if held_out is not None:
            learned = np.setdiff1d(learned, hashes_of(held_out))
        equal_rows = np.flatnonzero(np.isin(hashes_of(test), learned))
    if not searched_by:
        return NearInTest(n=len(test), near=None, searched_by="", equal=len(equal_rows))

    # A search passes over pictures without a pattern, as plain areas are all alike; equal ones are copies all the same.
    near = len(np.union1d(_learned(pairs, train, held_out)[:, 1], equal_rows))
    return NearInTest(n=len(test), near=near, searched_by=searched_by, equal=len(equal_rows))


def _learned(pairs: NDArray[np.int64], train: Dataset, held_out: Dataset | None) -> NDArray[np.int64]:
    """The pairs whose training image was learned from."""
    if held_out is None or not len(pairs):
        return pairs
    return pairs[~np.isin(hashes_of(train.subset(pairs[:, 0])), hashes_of(held_out))]


def find_leakage(
    judged: Dataset,
    train: Dataset,
    validation: Dataset | None = None,
    before_N: NDArray[np.bool_] | None = None,
    before_in: str = "",
    *,
    whole: Dataset | None = None,
    cache: bool = True,
) -> Leakage:
    """Look for the judged images, and for near-duplicates of them, among those of a training.

    Args:
        judged: what the model is judged by.
        train: what it was trained on.
        validation: what was held out of that, or given beside it.
        before_N: bool (N,), which of the judged images the weights were trained on that it started from; None for
            new weights.
        before_in: whose weights those were.
        whole: the training set as it was before images were held out, by which what is known of near-duplicates is
            found again; None for ``train``.
        cache: whether what was found before is used, and what is found is kept.
    """
    is_equal = _is_among(judged, train)
    is_held_out = np.zeros(len(judged), dtype=bool) if validation is None else _is_among(judged, validation) & ~is_equal
    is_before = np.zeros(len(judged), dtype=bool) if before_N is None else before_N & ~is_equal & ~is_held_out

    near_rows = None
    shape, total = judged.images.shape[1:], len(judged) + len(train)
    whole = train if whole is None else whole
    searched_by, pairs = pairs_between(whole, judged, cache=cache)
    if searched_by:
        near_rows = _learned(pairs, whole, validation)[:, 1]
    elif train.images.shape[1:] == shape and total <= MAX_IMAGES and total * math.prod(shape) <= MAX_VALUES:
        found = near_duplicates(np.concatenate([train.images, judged.images])).pairs
        near_rows = across(found, len(train))[:, 1]

    near = None
    if near_rows is not None:
        near = len(np.setdiff1d(near_rows, np.flatnonzero(is_equal | is_held_out | is_before)))
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
