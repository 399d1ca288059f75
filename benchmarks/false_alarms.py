"""Does ``data check`` leave sound sets alone? Random subsets of sound images, sorted by class and not, in arrays.

Arrays, for only what is a run of bytes can be displaced. Each subset goes through all that ``--fix`` would undo of
images and labels: width, offset, turns, inversion, displaced labels. Sources: scikit-learn's digits as they are (8×8)
and enlarged, Fashion-MNIST as it is and halved, pieces of scikit-learn's two photographs in colour and in grey.

    python benchmarks/false_alarms.py [--quick]

Counts, so nothing depends on the machine. --quick takes one subset of each kind and records nothing.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np
import record
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

import fittingroom as fr
from fittingroom.audit.check import repair_images
from fittingroom.audit.labels import labels_displaced

SIZES, CLASSES, REPEATS = (50, 100, 150, 300, 1_000), (2, 3, 5, 10), 14
Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    tried, accused, touched = Counter[str](), Counter[str](), Counter[str]()
    for source, subset in subsets(1 if args.quick else REPEATS):
        image_findings, repaired = repair_images(subset)
        label_findings, _ = labels_displaced(repaired)
        findings = [finding for finding in (*image_findings, *label_findings) if finding.severity != "note"]
        tried[source] += 1
        accused[source] += any(finding.severity == "error" for finding in findings)
        touched[source] += any(finding.fix for finding in findings)
        for finding in findings:
            print(f"{source}, {len(subset)} images: {finding.severity} {finding.name}: {finding.message}")

    figures = []
    for source, n in (*tried.items(), ("all", tried.total())):
        for metric, counts in (("called wrong", accused), ("changed by --fix", touched)):
            hits = counts.total() if source == "all" else counts[source]
            figures.append(record.figure(source, metric, [1.0] * hits + [0.0] * (n - hits)))
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


def subsets(repeats: int) -> Iterator[tuple[str, fr.Dataset]]:
    """Subsets of every source, size and number of classes, each once in random order and once sorted by class."""
    random = np.random.default_rng(0)
    for source, (images, labels) in sources().items():
        present = np.unique(labels)
        for size in SIZES:
            for count in sorted({min(count, len(present)) for count in CLASSES}):
                for _ in range(repeats):
                    rows = np.flatnonzero(np.isin(labels, random.permutation(present)[:count]))
                    rows = random.permutation(rows)[:size]
                    for order in (rows, rows[np.argsort(labels[rows], kind="stable")]):
                        names = tuple(map(str, range(int(present.max()) + 1)))
                        yield source, fr.Dataset(images[order], labels[order], names, source)


def sources() -> dict[str, Labelled]:
    """Sound images, and the class of each."""
    digits, fashion = load_digits(), fr.open_dataset("fashion-mnist").train
    assert fashion.labels is not None
    small = (digits.images * (255 / 16)).round().astype(np.uint8)
    large = np.stack([np.asarray(Image.fromarray(image).resize((28, 28))) for image in small])
    halved = fashion.images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).astype(np.uint8)
    pieces, of_photograph = crops(4_000)
    grey = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in pieces])
    number = digits.target.astype(np.int64)
    return {
        "digits 8×8": (small, number),
        "digits 28×28": (large, number),
        "Fashion-MNIST": (fashion.images, fashion.labels),
        "Fashion-MNIST 14×14": (halved, fashion.labels),
        "photographs": (pieces, of_photograph),
        "photographs, grey": (grey, of_photograph),
    }


def crops(count: int, side: int = 24) -> Labelled:
    """Square pieces of the two photographs, of random place and size; the class is a quarter of a photograph."""
    random = np.random.default_rng(1)
    images, labels = np.empty((count, side, side, 3), np.uint8), np.empty(count, np.int64)
    photographs = load_sample_images().images
    for row in range(count):
        photograph = photographs[row % 2]
        size = int(random.integers(side, 100))
        top, left = (int(random.integers(0, length - size + 1)) for length in photograph.shape[:2])
        piece = Image.fromarray(photograph[top : top + size, left : left + size])
        images[row] = np.asarray(piece.resize((side, side), Image.Resampling.LANCZOS))
        half = [
            int(2 * (start + size / 2) > length) for start, length in zip((top, left), photograph.shape, strict=False)
        ]
        labels[row] = 4 * (row % 2) + 2 * half[0] + half[1]
    return images, labels


if __name__ == "__main__":
    main()
