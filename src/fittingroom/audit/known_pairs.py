"""Pairs of near-duplicates that are known: shipped for the official data, searched for at once, or found before.

Those within a training set decide which of its images are held out together. Those between a training set and a test
set decide nothing: they are counted beside the accuracy on test.

    audit/manifest/near-pairs.npz     order, test_order (S64): the fingerprints in file order of training and test set;
                                      pairs int32 (P, 2) within train, test_pairs int32 (P, 2) between train and test
    <cache>/near-duplicates/<key>/    pairs.npy: int64 (P, 2), of the sets and the kind of search that the key names

scripts/make_near_pairs.py makes the first.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache as cached
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.near_duplicates import SEARCH, near_duplicates
from fittingroom.audit.reference import MANIFEST
from fittingroom.data.cache import NEAR_DUPLICATES
from fittingroom.data.dataset import Dataset
from fittingroom.files.atomic import atomic_write
from fittingroom.files.cache_dir import cache_dir

# What is searched at once, without being asked for: by size and never by a clock, as it decides what a run validates
# by. Some 4 s on one core of 2023.
MAX_IMAGES = 10_000
MAX_VALUES = 40_000_000  # pixels times channels of all images

Pairs = NDArray[np.int64]


def pairs_at_hand(dataset: Dataset, *, cache: bool) -> tuple[str, Pairs]:
    """What is known of near-duplicates within a set without a long search.

    Args:
        dataset: whose images are compared.
        cache: whether what was found before is used, and what is found is kept.

    Returns:
        Where it is known from, ``package``, ``search`` or ``data check``, and the pairs, int64 (P, 2); "" and no pairs
        where nobody looked.
    """
    if (pairs := shipped_pairs(dataset)) is not None:
        return "package", pairs
    if (pairs := searched_pairs(dataset, cache=cache)) is not None:
        return "search", pairs
    if cache and (pairs := known_pairs(dataset)) is not None:
        return "data check", pairs
    return "", np.empty((0, 2), np.int64)


def shipped_pairs(dataset: Dataset) -> Pairs | None:
    """The pairs of the official training set of Fashion-MNIST, int64 (P, 2); None for any other set."""
    shipped = _shipped()
    return shipped.pairs if dataset.fingerprint.order == shipped.order else None


def searched_pairs(dataset: Dataset, *, cache: bool) -> Pairs | None:
    """Search a small set, or take what the same search found before; None for a set that would take long.

    Args:
        dataset: whose images are compared.
        cache: whether what was found before is used, and what is found is kept.
    """
    if not _is_quick(len(dataset), dataset.images.shape[1:]):
        return None
    found = _read((dataset,), "alone") if cache else None
    if found is None:
        found = near_duplicates(dataset.images).pairs
        if cache:
            _write((dataset,), "alone", found)
    return found


def known_pairs(dataset: Dataset) -> Pairs | None:
    """The pairs that a data check found in this set and kept, int64 (P, 2); None where there was none."""
    return _read((dataset,), "checked")


def keep_pairs(dataset: Dataset, pairs: Pairs) -> None:
    """Keep what a data check found within a set; a cache that can't be written costs only the time of a search."""
    _write((dataset,), "checked", pairs)


def pairs_between(train: Dataset, test: Dataset, *, cache: bool) -> tuple[str, Pairs]:
    """What is known of near-duplicates between two sets without a long search; equal images are among them.

    Args:
        train, test: whose images are compared.
        cache: as for :func:`pairs_at_hand`.

    Returns:
        As :func:`pairs_at_hand`: where it is known from, and pairs of a row of ``train`` and one of ``test``.
    """
    shipped = _shipped()
    if (train.fingerprint.order, test.fingerprint.order) == (shipped.order, shipped.test_order):
        return "package", shipped.test_pairs
    if train.images.shape[1:] != test.images.shape[1:]:
        return "", np.empty((0, 2), np.int64)

    if _is_quick(len(train) + len(test), train.images.shape[1:]):
        found = _read((train, test), "alone") if cache else None
        if found is None:
            found = across(near_duplicates(np.concatenate([train.images, test.images])).pairs, len(train))
            if cache:
                _write((train, test), "alone", found)
        return "search", found

    if cache:
        if (pairs := _read((train, test), "checked")) is not None:
            return "data check", pairs
        if (pairs := _read((test, train), "checked")) is not None:
            return "data check", pairs[:, ::-1]
    return "", np.empty((0, 2), np.int64)


def across(pairs: Pairs, count: int) -> Pairs:
    """The pairs between two sets, out of those of both put together; ``count`` is the length of the first."""
    between = pairs[(pairs[:, 0] < count) & (pairs[:, 1] >= count)]
    return np.stack([between[:, 0], between[:, 1] - count], axis=1)


def keep_pairs_between(first: Dataset, second: Dataset, pairs: Pairs) -> None:
    """Keep what a data check found between two sets, rows of the first beside rows of the second."""
    _write((first, second), "checked", pairs)


@dataclass(frozen=True, eq=False)
class _Shipped:
    """What near-pairs.npz holds."""

    order: str
    pairs: Pairs
    test_order: str
    test_pairs: Pairs


@cached
def _shipped() -> _Shipped:
    with np.load(MANIFEST / "near-pairs.npz", allow_pickle=False) as file:
        orders = [str(file[name]) for name in ("order", "test_order")]
        pairs = [file[name].astype(np.int64) for name in ("pairs", "test_pairs")]
    return _Shipped(order=orders[0], pairs=pairs[0], test_order=orders[1], test_pairs=pairs[1])


def _is_quick(count: int, shape: tuple[int, ...]) -> bool:
    """Whether a search of so many images takes a few seconds."""
    return count <= MAX_IMAGES and count * math.prod(shape) <= MAX_VALUES


def _file(datasets: tuple[Dataset, ...], search: str) -> Path:
    """A file named by everything that decides what is found: the images in their order, and the search."""
    decides = " ".join([str(SEARCH), search, *(dataset.fingerprint.order for dataset in datasets)])
    name = datasets[0].name.replace("/", "-")[:40]
    return cache_dir() / NEAR_DUPLICATES / f"{name}-{hashlib.sha256(decides.encode()).hexdigest()[:16]}" / "pairs.npy"


def _read(datasets: tuple[Dataset, ...], search: str) -> Pairs | None:
    try:
        pairs: Pairs = np.load(_file(datasets, search), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # not there, or damaged
    is_whole = pairs.dtype == np.int64 and pairs.ndim == 2 and pairs.shape[1] == 2
    ends = [len(datasets[0]), len(datasets[-1])]
    return pairs if is_whole and (pairs >= 0).all() and (pairs < ends).all() else None


def _write(datasets: tuple[Dataset, ...], search: str, pairs: Pairs) -> None:
    file = _file(datasets, search)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as stream:
            np.save(stream, pairs.astype(np.int64, copy=False), allow_pickle=False)
    except OSError:
        return
