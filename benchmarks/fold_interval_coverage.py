"""How often does the interval of a cross-validation hold the accuracy of the model trained on all images? On real ones.

50 to 800 images are drawn from Fashion-MNIST's 60,000 (14×14, for speed), by chance or in groups of four (a picture and
three copies of it, each shifted and with noise of its own), which stay in one fold. Three learners that overfit to
different degrees are judged by 5 and by 10 folds: the nearest class mean, ridge regression on the pixels (the label as
a target of -1 and 1), and the nearest image, which knows what it was shown by heart. The truth is how often the learner
trained on all the drawn images is right on 5,000 others, of the official test set, which the three learners are never
chosen by. Beside the interval that is given:

- plain: the interval of one model on as many images (Wilson, below 200 Clopper-Pearson; in groups, by groups);
- t: Nadeau and Bengio's own, from the K accuracies of the folds.

    .venv/bin/python -m benchmarks.fold_interval_coverage [--repeats 1000]

Writes benchmarks/fold_interval_coverage.csv and prints the table that stands in docs/how-to/few-images.md; the same
numbers each time. Of 1,000 repeats a share of 95 % has an error of 0.7 points.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from fittingroom.data.cut import stratified_folds
from fittingroom.data.open import open_dataset
from fittingroom.evaluation.fold_interval import fold_interval
from fittingroom.evaluation.group_intervals import model_interval_by_groups
from fittingroom.evaluation.intervals import model_interval

OUT = Path(__file__).with_suffix(".csv")
IMAGES, FOLDS, GROUP = (50, 100, 200, 400, 800), (5, 10), 4
CLASSES, TRUTH = 10, 5000
Learner = Callable[[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]], NDArray[np.int64]]


@dataclass(frozen=True)
class Labelled:
    """Small images, float32 (N, 196), 0–1, and their labels, int64 (N,)."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    args = parser.parse_args()
    started = time.perf_counter()

    pool, others = fashion_mnist()
    rows: list[dict[str, Any]] = []
    for n, folds, grouped, (name, learner) in itertools.product(IMAGES, FOLDS, (False, True), LEARNERS.items()):
        random = np.random.default_rng([n, folds, grouped])
        # New images are like those that were drawn: of groups, they are pictures and copies as well.
        unseen = others
        if grouped:
            first = slice(TRUTH // GROUP)
            unseen = Labelled(_copies(others.images[first], random), np.repeat(others.labels[first], GROUP))
        figures = coverage(learner, n, folds, grouped, args.repeats, pool, unseen, random)
        rows.append({"images": n, "folds": folds, "grouped": grouped, "learner": name} | figures)
    pl.DataFrame(rows).write_csv(OUT)
    print(table(rows))
    print(f"\n{time.perf_counter() - started:.0f} s; {OUT}")


def coverage(
    learner: Learner,
    n: int,
    folds: int,
    grouped: bool,
    repeats: int,
    pool: Labelled,
    others: Labelled,
    random: np.random.Generator,
) -> dict[str, Any]:
    """Shares of the repeats in which each interval held the accuracy on the others, and their mean widths."""
    held = dict.fromkeys(("given", "plain", "t"), 0)
    width = dict.fromkeys(held, 0.0)
    accuracies, biases = [], []
    for repeat in range(repeats):
        count = n // GROUP if grouped else n
        drawn = random.choice(len(pool.labels), count, replace=False)
        x_ND, y_N = pool.images[drawn], pool.labels[drawn]
        group_N = None
        if grouped:
            x_ND, y_N, group_N = _copies(x_ND, random), np.repeat(y_N, GROUP), np.repeat(np.arange(count), GROUP)

        fold_N = stratified_folds(y_N, folds, repeat, group_N)
        right_N = right_by_folds(learner, x_ND, y_N, fold_N)
        true = true_accuracy(learner, x_ND, y_N, others)

        of_folds = np.array([right_N[fold_N == fold].mean() for fold in range(folds)])
        half = float(special.stdtrit(folds - 1, 0.975)) * of_folds.std(ddof=1) * math.sqrt(1 / folds + 1 / (folds - 1))
        plain = (
            model_interval(int(right_N.sum()), len(right_N))
            if group_N is None
            else model_interval_by_groups(right_N, group_N)
        )
        intervals = {
            "given": fold_interval(right_N, folds, group_N),
            "plain": plain,
            "t": (float(of_folds.mean() - half), float(of_folds.mean() + half)),
        }
        for name, (low, high) in intervals.items():
            held[name] += low <= true <= high
            width[name] += min(1.0, high) - max(0.0, low)
        accuracies.append(true)
        biases.append(right_N.mean() - true)
    return {
        **{f"covered_{name}": round(count / repeats, 4) for name, count in held.items()},
        **{f"width_{name}": round(total / repeats, 4) for name, total in width.items()},
        "accuracy": round(float(np.mean(accuracies)), 4),
        "bias": round(float(np.mean(biases)), 4),
        "sd_of_error": round(float(np.std(biases)), 4),
        "repeats": repeats,
    }


def right_by_folds(
    learner: Learner, x_ND: NDArray[np.float32], y_N: NDArray[np.int64], fold_N: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which images a learner gets right that learned from the other folds."""
    right_N = np.zeros(len(y_N), bool)
    for fold in np.unique(fold_N):
        inside = fold_N == fold
        right_N[inside] = learner(x_ND[~inside], y_N[~inside], x_ND[inside]) == y_N[inside]
    return right_N


def true_accuracy(learner: Learner, x_ND: NDArray[np.float32], y_N: NDArray[np.int64], others: Labelled) -> float:
    """That on others of a learner that learned from all."""
    return float((learner(x_ND, y_N, others.images) == others.labels).mean())


def nearest_mean(x_ND: NDArray[np.float32], y_N: NDArray[np.int64], z_MD: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class whose mean is nearest."""
    present = np.unique(y_N)
    means = np.stack([x_ND[y_N == label].mean(axis=0) for label in present])
    return present[_distances(z_MD, means).argmin(axis=1)]


def ridge(x_ND: NDArray[np.float32], y_N: NDArray[np.int64], z_MD: NDArray[np.float32]) -> NDArray[np.int64]:
    """Regression on the pixels, in the dual, with a penalty of 1 % of the mean squared length."""
    mean = x_ND.mean(axis=0)
    x_ND, z_MD = x_ND - mean, z_MD - mean
    kernel = x_ND @ x_ND.T
    kernel[np.diag_indices_from(kernel)] += 0.01 * kernel.trace()  # of the sum: some 1 % of the mean times n
    targets = np.where(y_N[:, None] == np.arange(CLASSES), 1.0, -1.0).astype(np.float32)
    found: NDArray[np.int64] = (z_MD @ (x_ND.T @ np.linalg.solve(kernel, targets))).argmax(axis=1)
    return found


def nearest_image(x_ND: NDArray[np.float32], y_N: NDArray[np.int64], z_MD: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class of the nearest image."""
    return y_N[_distances(z_MD, x_ND).argmin(axis=1)]


LEARNERS: dict[str, Learner] = {"nearest mean": nearest_mean, "ridge": ridge, "nearest image": nearest_image}


def _distances(z_MD: NDArray[np.float32], x_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared, but for what is the same for all of a row."""
    squared: NDArray[np.float32] = (x_ND**2).sum(axis=1) - 2 * z_MD @ x_ND.T
    return squared


def fashion_mnist() -> tuple[Labelled, Labelled]:
    """The training images, and the test images that tell the truth."""
    data = open_dataset("fashion-mnist")
    assert data.test is not None
    assert data.train.labels is not None
    assert data.test.labels is not None
    pool = Labelled(_small(data.train.images), data.train.labels)
    return pool, Labelled(_small(data.test.images[:TRUTH]), data.test.labels[:TRUTH])


def _small(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Each pixel the mean of four."""
    return (images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4), dtype=np.float32) / 255).reshape(-1, 196)


def _copies(x_GD: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Each image and three copies, moved by up to a pixel and with noise of 5 %: (G · 4, D)."""
    copies = np.repeat(x_GD, GROUP, axis=0).reshape(-1, 14, 14)
    for row in range(len(copies)):
        if row % GROUP:
            copies[row] = np.roll(copies[row], random.integers(-1, 2, 2), (0, 1))
            copies[row] += random.normal(0, 0.05, (14, 14)).astype(np.float32)
    return copies.reshape(-1, 196)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: for each number of images, the least and the most coverage over learners and folds, and mean widths."""
    lines = [
        "| images | given: holds | ± points | plain: holds | ± points | t: holds | ± points |",
        "| ---: |" + " --- |" * 6,
    ]
    for n, grouped in itertools.product(IMAGES, (False, True)):
        these = [row for row in rows if row["images"] == n and row["grouped"] == grouped]
        cells = []
        for name in ("given", "plain", "t"):
            shares = [100 * row[f"covered_{name}"] for row in these]
            cells += [
                f"{min(shares):.0f}–{max(shares):.0f} %",
                f"{50 * np.mean([row[f'width_{name}'] for row in these]):.1f}",
            ]
        lines.append(f"| {n}{f', in groups of {GROUP}' * grouped} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
