"""How often is `fittingroom compare` right about two models that folds judged? Real learners on real images.

100 to 800 images are drawn from Fashion-MNIST's 60,000 (14×14, for speed), and judged by 5 folds, by the learners of
benchmarks/fold_interval_coverage.py. Pairs of them that differ, and pairs that are equal: one learner on the white and
on the black squares of a chessboard (which differ by less than half a point), and regression on features that are drawn
at random anew each time it learns, as a network's first weights are, on either side (one recipe, whose models differ by
luck alone). The truth is the difference of their accuracies on 5,000 images of the official test set, which chooses
nothing here:

- of these models: both learners trained on all of the drawn images, which is what ships;
- of the recipes: the mean of that over all draws.

For both, how often the interval of `compare` misses it; and how often p < 0.05 claims a difference. Beside it the plain
test and interval, which take the answers for those of one model.

    .venv/bin/python -m benchmarks.fold_compare_coverage [--repeats 300]

Writes benchmarks/fold_compare_coverage.csv and prints the table of docs/explain/judging.md; the same numbers each time.
Of 300 repeats a share of 5% has an error of 1.3 points. Some five minutes on one core.
"""

from __future__ import annotations

import argparse
import time
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from benchmarks.fold_interval_coverage import (
    LEARNERS,
    Labelled,
    Learner,
    fashion_mnist,
    right_by_folds,
    true_accuracy,
)
from numpy.typing import NDArray

from fittingroom.compare.mcnemar import PairedDifference, paired_difference
from fittingroom.data.cut import stratified_folds

OUT = Path(__file__).with_suffix(".csv")
IMAGES, FOLDS, SIDE = (100, 300, 800), 5, 14
LEVEL = 0.05  # of p
WHITE = np.flatnonzero(np.indices((SIDE, SIDE)).sum(axis=0).ravel() % 2 == 0)
BLACK = np.setdiff1d(np.arange(SIDE * SIDE), WHITE)


def on_pixels(
    learner: Learner,
    pixels: NDArray[np.int64],
    x_ND: NDArray[np.float32],
    y_N: NDArray[np.int64],
    z_MD: NDArray[np.float32],
) -> NDArray[np.int64]:
    """What a learner answers that sees some of the pixels alone."""
    return learner(x_ND[:, pixels], y_N, z_MD[:, pixels])


class RandomFeatures:
    """Ridge regression on so many random features, each a ReLU of a random projection; new ones each time it learns."""

    def __init__(self, units: int, seed: int) -> None:
        self._units, self._random = units, np.random.default_rng(seed)

    def __call__(
        self, x_ND: NDArray[np.float32], y_N: NDArray[np.int64], z_MD: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        weights_DU = self._random.standard_normal((x_ND.shape[1], self._units), dtype=np.float32)
        mean = x_ND.mean(axis=0)
        features = (np.maximum((images - mean) @ weights_DU, 0) for images in (x_ND, z_MD))
        known, asked = features
        return LEARNERS["ridge"](known, y_N, asked)


EQUAL: dict[str, tuple[Learner, Learner]] = {
    f"chessboard, {name}": (partial(on_pixels, learner, WHITE), partial(on_pixels, learner, BLACK))
    for name, learner in LEARNERS.items()
} | {f"random features, {units}": (RandomFeatures(units, 1), RandomFeatures(units, 2)) for units in (30, 300)}
DIFFERENT = {f"{one}, {other}": (LEARNERS[one], LEARNERS[other]) for one, other in (
    ("nearest mean", "ridge"),
    ("ridge", "nearest image"),
    ("nearest mean", "nearest image"),
)}  # fmt: skip
PAIRS: dict[str, tuple[Learner, Learner]] = EQUAL | DIFFERENT

compared = cache(paired_difference)  # small counts come again and again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=300)
    args = parser.parse_args()
    started = time.process_time()

    pool, unseen = fashion_mnist()
    rows: list[dict[str, Any]] = []
    for n in IMAGES:
        for name, pair in PAIRS.items():
            random = np.random.default_rng(n)  # all pairs are judged on the same draws
            draws = [
                one_draw(pair, pool, random.choice(len(pool.labels), n, replace=False), repeat, unseen)
                for repeat in range(args.repeats)
            ]
            rows.append({"images": n, "pair": name, "equal": name in EQUAL} | figures_of(draws, n))
            print(n, name, *(rows[-1][key] for key in ("claimed", "missed_models", "missed_recipes")), flush=True)
    pl.DataFrame(rows).write_csv(OUT)
    print(table(rows))
    print(f"\n{time.process_time() - started:.0f} s of the processor; {OUT}")


def one_draw(
    pair: tuple[Learner, Learner], pool: Labelled, drawn: NDArray[np.int64], repeat: int, unseen: Labelled
) -> tuple[int, int, float]:
    """Images that one alone got right, judged by folds, for each learner; and the true difference of what ships."""
    x_ND, y_N = pool.images[drawn], pool.labels[drawn]
    fold_N = stratified_folds(y_N, FOLDS, repeat)
    first_N, second_N = (right_by_folds(learner, x_ND, y_N, fold_N) for learner in pair)
    first, second = (true_accuracy(learner, x_ND, y_N, unseen) for learner in pair)
    return int((first_N & ~second_N).sum()), int((second_N & ~first_N).sum()), second - first


def figures_of(draws: list[tuple[int, int, float]], n: int) -> dict[str, Any]:
    """Shares of the draws in which an interval misses the truth, and in which a difference is claimed."""
    of_models_R = np.array([true for _, _, true in draws])
    of_recipes = float(of_models_R.mean())
    figures: dict[str, Any] = {"of_recipes": of_recipes, "sd_of_models": float(of_models_R.std(ddof=1))}

    for name, folds in (("", FOLDS), ("plain_", None)):
        found = [compared(first_only, second_only, n, folds=folds) for first_only, second_only, _ in draws]
        figures |= {
            f"{name}missed_models": share(not holds(each, true) for each, true in zip(found, of_models_R, strict=True)),
            f"{name}missed_recipes": share(not holds(each, of_recipes) for each in found),
            f"{name}claimed": share(each.p_value < LEVEL for each in found),
        }
    return {key: round(value, 5) for key, value in figures.items()} | {"repeats": len(draws)}


def holds(found: PairedDifference, true: float) -> bool:
    return found.interval[0] <= true <= found.interval[1]


def share(values: Any) -> float:
    return float(np.mean(list(values)))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: for each number of images the most over the pairs."""
    lines = [
        "| images | equal: claimed | misses these models | misses the recipes | plain: claimed | misses these models | "
        "misses the recipes |",
        "| ---: |" + " ---: |" * 6,
    ]
    for n in IMAGES:
        these = [row for row in rows if row["images"] == n]
        cells = []
        for kind in ("", "plain_"):
            cells.append(max(row[f"{kind}claimed"] for row in these if row["equal"]))
            cells += [max(row[f"{kind}{what}"] for row in these) for what in ("missed_models", "missed_recipes")]
        lines.append(f"| {n} | " + " | ".join(f"{100 * cell:.1f}%" for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
