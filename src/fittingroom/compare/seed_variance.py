"""Two recipes, each trained with several seeds, on the same images: both seeds and images vary, and they cross.

Whether seed s of recipe r gets image i right is, as in a two-way analysis of variance with seeds nested in recipes,

    recipe + image (its difficulty for this recipe) + seed (how good this training came out) + rest (seed x image)

and the variance of the difference of two recipes' mean accuracies is a sum over these components:

    images        Var(difficulty for the second - difficulty for the first) / images
    seeds         for each recipe (variance between its seeds + rest / images) / seeds

The first part stays however many seeds are trained. It is estimated without bias from the differences image by image,
less the rest that is in them; the second is the variance between the seeds' accuracies as it is measured. This is the
"multiple readers, multiple cases" design of medical imaging with readers nested in methods: Hillis 2014, "A
marginal-mean ANOVA approach for analyzing multireader multicase radiological imaging data", Statistics in Medicine 33:
330-360.

The difference over its standard error is compared with Student's t. Satterthwaite's degrees of freedom (Biometrics
Bulletin 2 (1946) 110-114) would be 1/f = sum of share^2 / f over the parts, with each part's estimated share of the
variance. With two or three seeds that is too hopeful, because where the seeds happen to agree both the variance and
its apparent uncertainty come out too small: intervals of 2 + 2 seeds then cover 90 to 98 % instead of 95 %. So

- a recipe's mean square is first drawn towards that of both recipes as if the latter had one degree of freedom, which
  is the moderated variance of Smyth 2004 (Stat. Appl. Genet. Mol. Biol. 3, no. 1) with a prior of one degree of
  freedom; it decides the degrees of freedom alone, never the variance;
- within the seeds' part Satterthwaite's formula (there it is Welch's) gives f; between seeds and images 1/f is
  interpolated in proportion to the shares, not to their squares.

benchmarks/compare_calibration.py records how often these intervals cover, and where they don't: with 2 or 3 seeds each
if one recipe's seeds vary many times as much as the other's, and if one recipe has many more seeds than the other. The
seeds of two recipes count as independent; those that share initialisation and order are alike rather than opposed,
and the interval then is too wide rather than too short.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POWER = 0.8
MOST_SEEDS = 10_000  # that a plan looks for


@dataclass(frozen=True)
class SeedSpread:
    """How the trainings of one recipe differ.

    Attributes:
        seeds: trained, ≥ 2.
        between: variance between the seeds' accuracies, with seeds - 1 degrees of freedom.
        rest: variance of what seed and image together decide, of one answer; divided by the number of images it is the
            part of ``between`` that would vanish on infinitely many images.
    """

    seeds: int
    between: float
    rest: float


@dataclass(frozen=True)
class Crossed:
    """The difference of two mean accuracies, and what its uncertainty consists of.

    Attributes:
        difference: second less first, -1 to 1.
        n: images.
        images: variance of the difference that more seeds can't take away.
        of_models: variance that the very models at hand would have on other images.
        spreads: of the recipes that have two seeds or more; a side of one model has none, and is taken as that model.
    """

    difference: float
    n: int
    images: float
    of_models: float
    spreads: tuple[SeedSpread, ...]

    @property
    def variance(self) -> float:
        """Of the difference. If all seeds of each recipe happen to score the same, that which these models have."""
        return self.images + sum(spread.between / spread.seeds for spread in self.spreads) or self.of_models

    @property
    def degrees(self) -> float:
        """Of freedom, of Student's t for the difference over its standard error."""
        return self._degrees([spread.seeds for spread in self.spreads])

    @property
    def p_value(self) -> float:
        """Two-sided, of "equally good": 0 to 1."""
        from scipy import special

        if self.variance == 0:
            return 1.0 if self.difference == 0 else 0.0
        return 2 * float(special.stdtr(self.degrees, -abs(self.difference) / math.sqrt(self.variance)))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Of the difference, within -1 to 1. It leaves out 0 exactly when ``p_value`` is below 1 - ``confidence``."""
        from scipy import special

        half = float(special.stdtrit(self.degrees, (1 + confidence) / 2)) * math.sqrt(self.variance)
        return max(-1.0, self.difference - half), min(1.0, self.difference + half)

    @property
    def doubt_of_images(self) -> float:
        """Half the 95 % interval that these very models would have, were they all that there is to know."""
        from scipy import special

        return float(special.ndtri(0.975)) * math.sqrt(self.of_models)

    @property
    def is_luckily_short(self) -> bool:
        """Whether the seeds agree so well that the interval is shorter than these very models leave on other images."""
        low, high = self.interval()
        return high - low < 2 * self.doubt_of_images

    def power(self, difference: float, seeds: float) -> float:
        """The probability that the 5 % test sees ``difference`` with so many seeds each; ``math.inf`` is permitted.

        Seeds that happened to agree closely aren't expected to do so again: they are planned to vary at least as much
        as chance over single images makes them.
        """
        from scipy import special

        between = sum(max(spread.between, spread.rest / self.n) for spread in self.spreads)
        variance = self.images + between / seeds
        if variance == 0:
            return 1.0
        shift = difference / math.sqrt(variance)
        if math.isinf(seeds):
            return float(special.ndtr(shift - special.ndtri(0.975)))
        degrees = self._degrees([seeds] * len(self.spreads))
        return 1 - float(special.nctdtr(degrees, shift, special.stdtrit(degrees, 0.975)))

    def seeds_needed(self, difference: float) -> int | None:
        """The fewest seeds each that see ``difference`` with a power of 80 %, by the measured variance.

        None where no number of seeds can, because the images alone leave too much doubt, or none up to 10,000.
        """
        if self.power(difference, math.inf) < POWER or self.power(difference, MOST_SEEDS) < POWER:
            return None
        low, high = 1, MOST_SEEDS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.power(difference, middle) >= POWER else (middle, high)
        return high

    @property
    def visible_at_best(self) -> float:
        """The smallest difference that infinitely many seeds would show on these images with a power of 80 %."""
        from scipy import special

        return float(special.ndtri(0.975) + special.ndtri(POWER)) * math.sqrt(self.images)

    def _degrees(self, seeds: list[int] | list[float]) -> float:
        """For so many seeds of each recipe, by the mean squares that were measured."""
        freedom = [spread.seeds - 1 for spread in self.spreads]
        pooled = sum(f * spread.between for f, spread in zip(freedom, self.spreads, strict=True)) / sum(freedom)
        moderated = [(f * spread.between + pooled) / (f + 1) for f, spread in zip(freedom, self.spreads, strict=True)]
        parts = [between / count for between, count in zip(moderated, seeds, strict=True)]
        if not sum(parts):
            return self.n - 1
        one_over_f = sum(part**2 / (count - 1) for part, count in zip(parts, seeds, strict=True)) / sum(parts) ** 2
        measured = sum(spread.between / count for spread, count in zip(self.spreads, seeds, strict=True))
        share = measured / (measured + self.images)
        return 1 / (share * one_over_f + (1 - share) / (self.n - 1))


def crossed_difference(first_SN: NDArray[np.bool_], second_SN: NDArray[np.bool_]) -> Crossed:
    """Compare the answers of two sides on the same images.

    Args:
        first_SN, second_SN: whether each seed (a row) got each image (a column) right; one side or both have two seeds
            or more, and there are two images or more.
    """
    n = first_SN.shape[1]
    by_image_N = second_SN.mean(axis=0) - first_SN.mean(axis=0)
    of_models = float(by_image_N.var(ddof=1)) / n
    spreads = tuple(_spread(right_SN) for right_SN in (first_SN, second_SN) if len(right_SN) > 1)
    images = of_models - sum(spread.rest / (spread.seeds * n) for spread in spreads)
    # The estimate may fall below 0 where the recipes find the same images hard; a variance can't.
    return Crossed(float(by_image_N.mean()), n, max(0.0, images), of_models, spreads)


def _spread(right_SN: NDArray[np.bool_]) -> SeedSpread:
    seeds, n = right_SN.shape
    by_seed_S, by_image_N = right_SN.mean(axis=1), right_SN.mean(axis=0)
    # Sums of squares of a two-way layout with one answer a cell, each answer 0 or 1.
    total = right_SN.sum() - seeds * n * by_image_N.mean() ** 2
    of_seeds, of_images = n * seeds * by_seed_S.var(), seeds * n * by_image_N.var()
    rest = max(0.0, float(total - of_seeds - of_images)) / ((seeds - 1) * (n - 1))
    return SeedSpread(seeds, float(by_seed_S.var(ddof=1)), rest)
