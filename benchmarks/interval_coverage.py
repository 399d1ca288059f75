"""How often does the interval of a recipe hold the recipe's accuracy? Simulated, where that accuracy is known.

Recipes of 60, 92 and 99 % with 2, 3, 5 and 20 seeds on 20 to 10,000 images, in three scenes: seeds that differ about as
much as those of `swift`, seeds that differ several times as much, and answers that are independent but for a little
luck of the seed (`tests/support/simulated_answers.py`, `Recipe`). Seeds and images are drawn anew each time.

    .venv/bin/python -m benchmarks.interval_coverage [--repeats 2000]

A few minutes on one quiet core. Writes benchmarks/interval_coverage.csv and prints the table that stands in
docs/explain/judging.md; the same numbers each time. Of 2,000 repeats a share of 95 % has an error of 0.5 points.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tests.support.simulated_answers import Recipe

from fittingroom.evaluation.intervals import recipe_accuracy

OUT = Path(__file__).with_suffix(".csv")
IMAGES, SEEDS, ACCURACIES = (20, 50, 100, 300, 1_000, 10_000), (2, 3, 5, 20), (0.60, 0.92, 0.99)
SCENES: dict[str, dict[str, Any]] = {
    "as swift": {"luck": 0.4},
    "seeds differ much": {"luck": 1.5},
    "independent answers": {"luck": 0.1, "hopeless": 0.0, "shared": 0.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000)
    args = parser.parse_args()
    started = time.perf_counter()

    rows: list[dict[str, Any]] = []
    for scene, options in SCENES.items():
        for n in IMAGES:
            for seeds in SEEDS:
                for accuracy in ACCURACIES:
                    recipe = Recipe(accuracy=accuracy, **options)
                    figures = coverage(recipe, n, seeds, args.repeats, seed=len(rows))
                    rows.append({"scene": scene, "n": n, "seeds": seeds, "accuracy": accuracy} | figures)
    pl.DataFrame(rows).write_csv(OUT)
    print(table(rows))
    print(f"\n{time.perf_counter() - started:.0f} s; {OUT}")


def coverage(recipe: Recipe, n: int, seeds: int, repeats: int, *, seed: int) -> dict[str, float]:
    """Shares of the repeats in which each interval held the true accuracy, and the recipe's mean width."""
    generator = np.random.default_rng(seed)
    held, held_by_seeds, width = 0, 0, 0.0
    for _ in range(repeats):
        found = recipe_accuracy(recipe.draw(seeds, n, generator))
        low, high = found.interval
        held += low <= recipe.accuracy <= high
        width += high - low
        if found.interval_of_seeds:
            held_by_seeds += found.interval_of_seeds[0] <= recipe.accuracy <= found.interval_of_seeds[1]
    return {
        "covered": round(held / repeats, 4),
        "covered_by_seeds_alone": round(held_by_seeds / repeats, 4),
        "mean_width": round(width / repeats, 5),
        "repeats": repeats,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: for each number of images and seeds, the least and the most over scenes and accuracies."""
    lines = ["| images | " + " | ".join(f"{seeds} seeds" for seeds in SEEDS) + " |", "| ---: |" + " --- |" * len(SEEDS)]
    for n in IMAGES:
        cells = []
        for seeds in SEEDS:
            shares = [100 * row["covered"] for row in rows if (row["n"], row["seeds"]) == (n, seeds)]
            cells.append(f"{min(shares):.1f} to {max(shares):.1f}")
        lines.append(f"| {n:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
