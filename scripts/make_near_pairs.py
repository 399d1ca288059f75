"""Make audit/manifest/near-pairs.npz: the near-duplicates, by pixels, among the official training images.

python scripts/make_near_pairs.py            # after a change of the search: half a minute, needs the official data
"""

from pathlib import Path

import numpy as np

from fittingroom.audit.near_duplicates import near_duplicates
from fittingroom.audit.reference import MANIFEST
from fittingroom.data.open import open_dataset


def make(path: Path = MANIFEST / "near-pairs.npz") -> int:
    """Search, write, and return the number of pairs."""
    train = open_dataset("fashion-mnist").train
    pairs = near_duplicates(train.images, altered=False).pairs
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    np.savez_compressed(path, order=np.array(train.fingerprint.order), pairs=pairs.astype(np.int32))
    return len(pairs)


if __name__ == "__main__":
    print(f"{make():,} pairs")
