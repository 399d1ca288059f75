"""How often does `fittingroom try` claim what isn't so, and how soon does it see what is? Simulated answers.

Recipes whose true accuracies are known, about 92 %, whose seeds vary by 0.15 points beside what chance over images
makes of it (tests/support/simulated_answers.py). Studies of 1, 3 and 9 ideas, looked at after 3 to 32 pairs:

- ideas that make no difference: the share of studies that call any of them better or worse;
- ideas that are just as large as the effect: the share that call any of them smaller than it;
- one idea that is better by twice the standard deviation from seed to seed: the pairs until it is told.

    .venv/bin/python -m benchmarks.try_simulation [--repeats 2000] [--images 2000]

Writes benchmarks/try_simulation.csv; the same numbers each time.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.support.simulated_answers import Scene

from fittingroom.ideas.decide import LOOKS, judge

OUT = Path(__file__).with_suffix(".csv")
EFFECT = 0.005
IDEAS = (1, 3, 9)
SEEDS_SD = 0.15  # points


@dataclass
class Study:
    """What a simulated study came to: verdict and pairs of each idea."""

    verdicts: Sequence[str]
    pairs: Sequence[int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--images", type=int, default=2_000)
    args = parser.parse_args()

    rows = []
    for ideas in IDEAS:
        nothing = simulate(ideas, 0.0, args.images, args.repeats)
        false = sum(any(verdict in ("better", "worse") for verdict in study.verdicts) for study in nothing)
        rows.append(row(ideas, args.images, "no difference", "claims one", false, args.repeats, nothing))

        at_effect = simulate(ideas, 100 * EFFECT, args.images, args.repeats)
        false = sum("smaller than the effect" in study.verdicts or "worse" in study.verdicts for study in at_effect)
        rows.append(row(ideas, args.images, "the effect", "denies it", false, args.repeats, at_effect))
    for gain in (2 * observed_sd(args.images), 0.5, 1.0):
        better = simulate(1, gain, args.images, args.repeats)
        told = sum("better" in study.verdicts for study in better)
        rows.append(row(1, args.images, f"{gain:.2f} points better", "told", told, args.repeats, better))

    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    for entry in rows:
        print("  ".join(f"{value:>20}" for value in entry.values()))


def simulate(ideas: int, gain: float, images: int, repeats: int) -> list[Study]:
    """Studies of so many ideas, all of which are better by ``gain`` points."""
    generator = np.random.default_rng(0)
    return [one_study(ideas, gain, images, generator) for _ in range(repeats)]


def one_study(ideas: int, gain: float, images: int, generator: np.random.Generator) -> Study:
    """The answers of all pairs are drawn at once; the study sees as many of them as it asks for."""
    scene = Scene(gain=gain, first_sd=SEEDS_SD, second_sd=SEEDS_SD)
    baseline, *others = scene.draw_several(ideas, LOOKS[-1], images, generator)
    still_open = {f"idea {number}": right_SN for number, right_SN in enumerate(others)}
    verdicts, pairs = [], []
    for look, count in enumerate(LOOKS):
        answers = {name: (baseline[:count], right_SN[:count]) for name, right_SN in still_open.items()}
        for name, judgement in judge(answers, look, EFFECT).items():
            if judgement.verdict is not None:
                del still_open[name]
                verdicts.append(judgement.verdict)
                pairs.append(count)
        if not still_open:
            break
    return Study(verdicts, pairs)


def observed_sd(images: int) -> float:
    """Of one recipe's accuracy from seed to seed on the same images, in points."""
    generator = np.random.default_rng(1)
    first, _ = Scene(first_sd=SEEDS_SD, second_sd=SEEDS_SD).draw((200, 1), images, generator)
    return float(100 * first.mean(axis=1).std(ddof=1))


def row(
    ideas: int, images: int, truth: str, event: str, count: int, repeats: int, studies: list[Study]
) -> dict[str, object]:
    share = count / repeats
    pairs = [number for study in studies for number in study.pairs]
    return {
        "ideas": ideas,
        "images": images,
        "truth": truth,
        "event": event,
        "share": f"{share:.4f}",
        "standard error": f"{math.sqrt(share * (1 - share) / repeats):.4f}",
        "repeats": repeats,
        "median pairs": f"{np.median(pairs):g}",
    }


if __name__ == "__main__":
    main()
