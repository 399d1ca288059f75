"""How often does `fittingroom compare` claim a difference without cause, with several runs, or looking again?

All recipes are equally good in truth; they find other images hard, and their seeds differ by about 0.3 points
(`tests/support/simulated_answers.py`, `Scene`). Once a baseline and 2, 4 or 9 recipes of 3 seeds each; once a pair that
gets one seed more on each side after each look, from 2 to 20. Beside each, what it would be without Holm's correction,
and without the levels of later looks.

    .venv/bin/python -m benchmarks.compare_multiplicity [--repeats 2000] [--images 2000]

A few minutes on one quiet core. Prints the table of docs/explain/judging.md; the same numbers each time. Of 2,000
repeats a share of 5 % has a standard error of 0.5 points.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from tests.support.simulated_answers import Scene

from fittingroom.compare.comparison import LEVEL
from fittingroom.compare.seed_variance import crossed_difference
from fittingroom.compare.verdict import holm
from fittingroom.runs.compare_ledger import level_of_look

SCENE = Scene(first_sd=0.3, second_sd=0.3)
LOOKS = range(2, 21)  # seeds of each side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--images", type=int, default=2000)
    args = parser.parse_args()
    started = time.perf_counter()

    print("| equal recipes | claims without cause | without the correction |\n| --- | ---: | ---: |")
    for recipes in (2, 4, 9):
        corrected, plain = family(recipes, 3, args.images, args.repeats)
        print(f"| baseline + {recipes}, 3 seeds each | {corrected:.1%} | {plain:.1%} |", flush=True)
    corrected, plain = looking_again(args.images, args.repeats)
    print(f"| a pair, looked at with 2, 3, … 20 seeds | {corrected:.1%} | {plain:.1%} |")
    print(f"\n{args.images:,} images, {args.repeats:,} repeats, {time.perf_counter() - started:.0f} s")


def family(recipes: int, seeds: int, images: int, repeats: int) -> tuple[float, float]:
    """Shares of the repeats in which any recipe is claimed to differ from the baseline: by Holm, and without."""
    generator = np.random.default_rng(recipes)
    smallest = []
    for _ in range(repeats):
        baseline, *others = SCENE.draw_several(recipes, seeds, images, generator)
        p_values = [crossed_difference(baseline, other).p_value for other in others]
        smallest.append((min(holm(p_values)), min(p_values)))
    corrected, plain = (np.array(smallest) < LEVEL).mean(axis=0)
    return float(corrected), float(plain)


def looking_again(images: int, repeats: int) -> tuple[float, float]:
    """Shares of the repeats in which any look at a growing pair claims a difference: by the levels, and without."""
    generator = np.random.default_rng(0)
    claims = []
    for _ in range(repeats):
        first, second = SCENE.draw_several(1, max(LOOKS), images, generator)
        p_values = [crossed_difference(first[:seeds], second[:seeds]).p_value for seeds in LOOKS]
        by_level = any(p_value < level_of_look(look) for look, p_value in enumerate(p_values, 1))
        claims.append((by_level, min(p_values) < LEVEL))
    corrected, plain = np.array(claims).mean(axis=0)
    return float(corrected), float(plain)


if __name__ == "__main__":
    main()
