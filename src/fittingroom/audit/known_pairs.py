"""Pairs of near-duplicates that are known: shipped for the official data, searched for at once, or found before.

    audit/manifest/near-pairs.npz     order (S64): the fingerprint in file order of the training set; pairs int32 (P, 2)
    <cache>/near-duplicates/<key>/    pairs.npy: int64 (P, 2), of the set and the kind of search that the key names

scripts/make_near_pairs.py makes the first.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache as cached

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
    order, pairs = _shipped()
    return pairs if dataset.fingerprint.order == order else None


def searched_pairs(dataset: Dataset, *, cache: bool) -> Pairs | None:
    """Search a small set, or take what the same search found before; None for a set that would take long.

    Args:
        dataset: whose images are compared.
        cache: whether what was found before is used, and what is found is kept.
    """
    if len(dataset) > MAX_IMAGES or math.prod(dataset.images.shape) > MAX_VALUES:
        return None
    found = _read(dataset, "alone") if cache else None
    if found is None:
        found = near_duplicates(dataset.images).pairs
        if cache:
            _write(dataset, "alone", found)
    return found


def known_pairs(dataset: Dataset) -> Pairs | None:
    """The pairs that a data check found in this set and kept, int64 (P, 2); None where there was none."""
    return _read(dataset, "checked")


def keep_pairs(dataset: Dataset, pairs: Pairs) -> None:
    """Keep what a data check found within a set; a cache that can't be written costs only the time of a search."""
    _write(dataset, "checked", pairs)


@cached
def _shipped() -> tuple[str, Pairs]:
    with np.load(MANIFEST / "near-pairs.npz", allow_pickle=False) as file:
        return str(file["order"]), file["pairs"].astype(np.int64)


def _key(dataset: Dataset, search: str) -> str:
    """By everything that decides what is found: the images in their order, and the search."""
    decides = f"{SEARCH} {search} {dataset.fingerprint.order}"
    return f"{dataset.name.replace('/', '-')[:40]}-{hashlib.sha256(decides.encode()).hexdigest()[:16]}"


def _read(dataset: Dataset, search: str) -> Pairs | None:
    file = cache_dir() / NEAR_DUPLICATES / _key(dataset, search) / "pairs.npy"
    try:
        pairs: Pairs = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # not there, or damaged
    is_whole = pairs.dtype == np.int64 and pairs.ndim == 2 and pairs.shape[1] == 2
    return pairs if is_whole and (not len(pairs) or 0 <= pairs.min() <= pairs.max() < len(dataset)) else None


def _write(dataset: Dataset, search: str, pairs: Pairs) -> None:
    file = cache_dir() / NEAR_DUPLICATES / _key(dataset, search) / "pairs.npy"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as stream:
            np.save(stream, pairs.astype(np.int64, copy=False), allow_pickle=False)
    except OSError:
        return
