"""Make audit/manifest/near-pairs.npz: the near-duplicates, by pixels, within official train and between train and test.

python scripts/make_near_pairs.py            # after a change of the search: half a minute, needs the official data
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.known_pairs import across
from fittingroom.audit.near_duplicates import near_duplicates
from fittingroom.audit.reference import MANIFEST
from fittingroom.data.open import open_dataset


def make(path: Path = MANIFEST / "near-pairs.npz") -> int:
    """Search, write, and return the number of pairs."""
    data = open_dataset("fashion-mnist")
    train, test = data.train, data.test
    assert test is not None
    # Train by itself for the cut, which nothing of test may decide.
    pairs = near_duplicates(train.images, altered=False).pairs
    both = near_duplicates(np.concatenate([train.images, test.images]), altered=False).pairs
    test_pairs = across(both, len(train))

    np.savez_compressed(
        path,
        order=np.array(train.fingerprint.order),
        pairs=_sorted(pairs),
        test_order=np.array(test.fingerprint.order),
        test_pairs=_sorted(test_pairs),
    )
    return len(pairs) + len(test_pairs)


def _sorted(pairs: NDArray[np.int64]) -> NDArray[np.int32]:
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].astype(np.int32)


if __name__ == "__main__":
    print(f"{make():,} pairs")
