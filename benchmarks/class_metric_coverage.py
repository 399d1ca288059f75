"""How often the intervals of balanced accuracy, macro-F1 and AUC hold the true value, by simulation.

    python benchmarks/class_metric_coverage.py [--repeats 400] [--many | --few]

Two classes whose scores are normal, a distance apart, and those of the rare one vary as much as the others' or half as
much again; what is true is taken of 200,000 images. Then many classes, most
of them small, with normal scores of which that of the image's own class is higher. ``--few``: two classes of fixed
numbers of images, fewer than ten of the rarer one, by scores that miss most of it or hardly any. The resamples are 300
here, to get done.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fittingroom.evaluation import class_metrics as metrics
from fittingroom.evaluation.class_metrics import Floats, Scorer

Labels, Probabilities = NDArray[np.int64], NDArray[np.float32]
Draw = Callable[[], tuple[Labels, Probabilities]]

OF_TWO = ((200, 0.05), (400, 0.05), (1000, 0.05), (2000, 0.25))  # images, and the share of the rare class
TRUE_IMAGES = 200_000
OF_FEW = (  # images of the frequent class and of the rare one; how far apart the scores lie; the line between them
    *((38, 1, *scene) for scene in ((0.3, 1.8), (1, 1.5), (2, 1), (3, 1.5))),
    *((38, 2, *scene) for scene in ((0.3, 1.8), (1, 1.5), (2, 1), (4, 2))),
    *((57, 3, *scene) for scene in ((1, 1.5), (3, 1.5))),
    *((95, 5, *scene) for scene in ((0.3, 1.8), (1, 1.5), (2, 1), (3, 1.5))),
    *((200, *scene) for scene in ((7, 1, 1.8), (9, 0.5, 1.5), (9, 3, 1.5))),
)
OF_MANY = (  # images of each class, and by how much the score of an image's own class is higher
    ([50] * 3 + [5] * 9, 2.5),
    ([500] + [10] * 10, 2.5),
    ([500] + [10] * 10, 4),
    ([100, 50, 30, 10, 5, 3], 4),
)


def drawn(
    random: np.random.Generator, n: int, share: float, distance: float, spread: float
) -> tuple[Labels, Probabilities]:
    """Labels and probabilities of ``n`` images, ``share`` of which are of class 1."""
    labels = (random.random(n) < share).astype(np.int64)
    labels[:2] = 0, 1  # none without an image
    score = random.normal(size=n) * np.where(labels == 1, spread, 1) + np.where(labels == 1, distance, -distance)
    of_one = 1 / (1 + np.exp(-2 * score))
    return labels, np.stack([1 - of_one, of_one], 1).astype(np.float32)


def drawn_of_many(
    random: np.random.Generator, counts: Labels, shares: Labels, distance: float
) -> tuple[Labels, Probabilities]:
    """Labels and probabilities of so many images of each class, by a model that knows how frequent the classes are."""
    labels = np.repeat(np.arange(len(counts)), counts)
    scores = random.normal(size=(len(labels), len(counts))) + np.log(shares)
    scores[np.arange(len(labels)), labels] += distance
    of_each = np.exp(scores)
    return labels, (of_each / of_each.sum(axis=1, keepdims=True)).astype(np.float32)


def drawn_of_few(
    random: np.random.Generator, frequent: int, rare: int, distance: float, line: float
) -> tuple[Labels, Probabilities]:
    """Labels and probabilities of so many images; what scores above ``line`` is called rare."""
    labels = np.repeat([0, 1], [frequent, rare])
    of_one = 1 / (1 + np.exp(line - random.normal(size=len(labels)) - distance * labels))
    return labels, np.stack([1 - of_one, of_one], 1).astype(np.float32)


def true_scores(labels: Labels, said: Probabilities, weights: Floats) -> Floats:
    """The three scores, of images that count for as much as their weights."""
    scorer = Scorer(said, said.argmax(1), labels, np.unique(labels))
    found: Floats = scorer.scores(weights[None].astype(np.float32))[0]
    return found


def coverage(draw: Draw, true: Floats, repeats: int) -> str:
    """How often the interval of each score holds what is true, and that: the end of a row."""
    covered = np.zeros(3)
    for _ in range(repeats):
        labels, said = draw()
        found = metrics.class_metrics([(said, said.argmax(1))], labels)
        intervals = [found[name]["interval"] for name in metrics.NAMES]
        covered += [low <= value <= high for (low, high), value in zip(intervals, true, strict=True)]
    return "   ".join(f"{c:>10.1%} of {t:.3f}" for c, t in zip(covered / repeats, true, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--many", action="store_true", help="the scenes of many classes alone")
    parser.add_argument("--few", action="store_true", help="the scenes of a few images of a rare class alone")
    args = parser.parse_args()
    metrics.RESAMPLES = 300
    random = np.random.default_rng(0)
    print(f"{'images':>7}{'rare':>6}{'distance':>9}{'spread':>7}   " + "   ".join(f"{n:>18}" for n in metrics.NAMES))
    for n, share in () if args.many or args.few else OF_TWO:
        for distance, spread in ((0.5, 1), (1, 1), (1.5, 1), (1, 1.5), (1.5, 1.5), (2, 1.5)):
            true = true_scores(*drawn(random, TRUE_IMAGES, share, distance, spread), np.ones(TRUE_IMAGES))
            found = coverage(partial(drawn, random, n, share, distance, spread), true, args.repeats)
            print(f"{n:>7}{share:>6.0%}{distance:>9}{spread:>7}   {found}", flush=True)

    for frequent, rare, distance, line in OF_FEW if args.few else ():
        scale = TRUE_IMAGES // (frequent + rare)
        labels, said = drawn_of_few(random, frequent * scale, rare * scale, distance, line)
        true = true_scores(labels, said, np.ones(len(labels)))
        found = coverage(partial(drawn_of_few, random, frequent, rare, distance, line), true, args.repeats)
        print(f"{frequent:>4} and {rare}, {distance:>3} apart, line {line}   {found}", flush=True)

    for counts, distance in () if args.few else OF_MANY:
        each = np.array(counts)
        labels, said = drawn_of_many(random, np.full(len(each), 3_000), each, distance)
        true = true_scores(labels, said, (each / each.sum())[labels])
        found = coverage(partial(drawn_of_many, random, each, each, distance), true, args.repeats)
        of = f"{len(each)} classes of {each.max()} to {each.min()} images, distance {distance}"
        print(f"{of}   {found}", flush=True)


if __name__ == "__main__":
    main()
