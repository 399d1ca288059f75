"""Draw the embedded sample from the official Fashion-MNIST files: the same bytes on each run.

    .venv/bin/python scripts/make_sample.py

2,000 train images (200 a class) from the official train file and 1,000 test images (100 a class) from the official
test file, drawn without replacement by one fixed seed, in the order in which they stand there.
"""

from pathlib import Path

import numpy as np

from fittingroom.data.fetch.known_sets import locate
from fittingroom.data.formats.idx import read_idx, write_idx

SEED = 20170825  # the day on which the data set's paper appeared
PER_CLASS = {"train": 200, "t10k": 100}
SAMPLE = Path(__file__).resolve().parent.parent / "src" / "fittingroom" / "data" / "sample"


def main() -> None:
    official = locate("fashion-mnist")
    generator = np.random.default_rng(SEED)
    for split, per_class in PER_CLASS.items():
        images, labels = f"{split}-images-idx3-ubyte.gz", f"{split}-labels-idx1-ubyte.gz"
        images_NHW, labels_N = read_idx(official / images), read_idx(official / labels)
        chosen = [generator.choice(np.flatnonzero(labels_N == label), per_class, replace=False) for label in range(10)]
        rows = np.sort(np.concatenate(chosen))
        write_idx(SAMPLE / images, images_NHW[rows])
        write_idx(SAMPLE / labels, labels_N[rows])


if __name__ == "__main__":
    main()
