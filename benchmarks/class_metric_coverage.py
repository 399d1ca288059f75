"""How often the intervals of balanced accuracy, macro-F1 and AUC hold the true value, by simulation.

    python benchmarks/class_metric_coverage.py [--repeats 400] [--many]

Two classes whose scores are normal, a distance apart; what is true is taken of 200,000 images. Then many classes, most
of them small, with normal scores of which that of the image's own class is higher. The resamples are 300 here, to get
done.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from fittingroom.evaluation import class_metrics as metrics

TRUE_IMAGES = 200_000
OF_MANY = (  # images of each class, and by how much the score of an image's own class is higher
    ([50] * 3 + [5] * 9, 2.5),
    ([500] + [10] * 10, 2.5),
    ([500] + [10] * 10, 4),
    ([100, 50, 30, 10, 5, 3], 4),
)


def drawn(random: np.random.Generator, n: int, share: float, distance: float) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
    """Labels and probabilities of ``n`` images, ``share`` of which are of class 1."""
    labels = (random.random(n) < share).astype(np.int64)
    labels[:2] = 0, 1  # none without an image
    score = random.normal(size=n) + np.where(labels == 1, distance, -distance)
    of_one = 1 / (1 + np.exp(-2 * score))
    return labels, np.stack([1 - of_one, of_one], 1).astype(np.float32)


def drawn_of_many(
    random: np.random.Generator,
    counts: NDArray,
    shares: NDArray,
    distance: float,  # type: ignore[type-arg]
) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
    """Labels and probabilities of so many images of each class, by a model that knows how frequent the classes are."""
    labels = np.repeat(np.arange(len(counts)), counts)
    scores = random.normal(size=(len(labels), len(counts))) + np.log(shares)
    scores[np.arange(len(labels)), labels] += distance
    of_each = np.exp(scores)
    return labels, (of_each / of_each.sum(axis=1, keepdims=True)).astype(np.float32)


def true_scores(labels: NDArray, said: NDArray, shares: NDArray) -> NDArray:  # type: ignore[type-arg]
    """The three scores where the classes are as frequent as that, by as many images of each."""
    classes = np.arange(len(shares))
    weights = (shares / shares.sum())[labels][None].astype(np.float32)
    scores: NDArray = metrics._Said(said, said.argmax(1), labels, classes).scores(weights)[0]  # type: ignore[type-arg]
    return scores


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--many", action="store_true", help="the scenes of many classes alone")
    args = parser.parse_args()
    repeats = args.repeats
    metrics.RESAMPLES = 300
    random = np.random.default_rng(0)
    print(f"{'images':>7}{'rare':>6}{'distance':>9}   " + "   ".join(f"{name:>18}" for name in metrics.NAMES))
    for n, share in () if args.many else ((200, 0.05), (400, 0.05), (1000, 0.05), (2000, 0.25)):
        for distance in (0.5, 1, 1.5):
            labels, said = drawn(random, TRUE_IMAGES, share, distance)
            single = metrics._Said(said, said.argmax(1), labels, np.array([0, 1]))
            true = single.scores(np.ones((1, TRUE_IMAGES), np.float32))[0]
            covered = np.zeros(3)
            for _ in range(repeats):
                labels, said = drawn(random, n, share, distance)
                found = metrics.class_metrics([(said, said.argmax(1))], labels)
                intervals = [found[name]["interval"] for name in metrics.NAMES]
                covered += [low <= value <= high for (low, high), value in zip(intervals, true, strict=True)]
            figures = "   ".join(f"{c:>10.1%} of {t:.3f}" for c, t in zip(covered / repeats, true, strict=True))
            print(f"{n:>7}{share:>6.0%}{distance:>9}   {figures}", flush=True)

    for counts, distance in OF_MANY:
        each = np.array(counts)
        labels, said = drawn_of_many(random, np.full(len(each), 3_000), each, distance)
        true, covered = true_scores(labels, said, each), np.zeros(3)
        for _ in range(repeats):
            labels, said = drawn_of_many(random, each, each, distance)
            found = metrics.class_metrics([(said, said.argmax(1))], labels)
            intervals = [found[name]["interval"] for name in metrics.NAMES]
            covered += [low <= value <= high for (low, high), value in zip(intervals, true, strict=True)]
        figures = "   ".join(f"{c:>10.1%} of {t:.3f}" for c, t in zip(covered / repeats, true, strict=True))
        print(
            f"{len(each)} classes of {each.max()} to {each.min()} images, distance {distance}   {figures}", flush=True
        )


if __name__ == "__main__":
    main()
