"""How often is a model called foreign to its own recipe by ``fittingroom verify``, and how soon is another one found?

Answers are simulated: each image has its own probability of being answered right, bimodal as those of real sets, and
each seed shifts all of them a little on the logit scale. A model of the same recipe is judged among M others; then one
whose probabilities are shifted for good, which stands for other weights than the training came to.

    python benchmarks/verify_seeds.py [--repeats 4000]

Takes half a minute. Last result (2026-11-30, 2,000 repeats each, so that a share of 5 % has an error of ± 1 point):
  a model of the very recipe is called foreign, by the sd of what seeds add to the logits and the number of others
    sd 0.05:  3 others 2.6–6.2 %   4 others 1.1–3.9 %   9 others 0.9–2.9 %
    sd 0.2:   3 others 3.5–7.4 %   4 others 2.2–5.6 %   9 others 1.2–3.4 %
  one whose logits are all lower by 0.5 is found, sd 0.05, 4 others
    60 images 8–9 %   200 images 13–23 %   2,000 images 57–90 %
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
from numpy.typing import NDArray

from fittingroom.compare.same_recipe import among_seeds

SPREADS = (0.05, 0.2)  # sd of what a seed adds to every logit; of the package's recipes about the first
WORSE = 0.5  # what the foreign model lacks in every logit


def logits(n: int, accuracy: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Of each image's being answered right: most are sure, some are hard, some are always wrong."""
    hard = 2 * (1 - accuracy)
    kind = rng.choice(3, n, p=[1 - 1.2 * hard, hard, 0.2 * hard])
    means = np.array([5.0, 0.8, -3.0])[kind]
    shifted: NDArray[np.float64] = means + rng.normal(0, 0.7, n)
    return shifted


def answers(logits_N: NDArray[np.float64], seeds: int, spread: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether each seed has each image right."""
    shifted = logits_N + rng.normal(0, spread, (seeds, 1))
    right: NDArray[np.bool_] = rng.random(shifted.shape) < 1 / (1 + np.exp(-shifted))
    return right


def main() -> None:
    """Simulate each setting and print its line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=4000)
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    print(f"{'spread':>6}{'images':>8}{'others':>8}{'accuracy':>10}{'same, called foreign':>23}{'other, found':>15}")
    settings = itertools.product(SPREADS, (60, 200, 2000), (3, 4, 9), (0.75, 0.92, 0.98))
    for spread, n, others, accuracy in settings:
        foreign = found = 0
        for _ in range(repeats):
            logits_N = logits(n, accuracy, rng)
            right_MN = answers(logits_N, others + 1, spread, rng)
            other = answers(logits_N - WORSE, 1, spread, rng)[0]
            foreign += not among_seeds(right_MN[0], right_MN[1:]).is_within
            found += not among_seeds(other, right_MN[1:]).is_within
        figures = f"{foreign / repeats:>23.1%}{found / repeats:>15.1%}"
        print(f"{spread:>6}{n:>8,}{others:>8}{accuracy:>10.0%}{figures}", flush=True)


if __name__ == "__main__":
    main()
