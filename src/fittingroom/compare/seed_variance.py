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

POWER = 0.8  # with which a minimum effect is to be detected
MOST_SEEDS = 10_000  # that a plan may ask for


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
class CrossedDifference:
    """The difference of two mean accuracies, and what its uncertainty consists of.

    Attributes:
        difference: second less first, -1 to 1.
        n: images.
        image_variance: variance of the difference that more seeds can't take away.
        model_variance: variance that the very models at hand would have on other images.
        spreads: of the recipes that have two seeds or more; a side of one model has none, and is taken as that model.
    """

    difference: float
    n: int
    image_variance: float
    model_variance: float
    spreads: tuple[SeedSpread, ...]

    @property
    def variance(self) -> float:
        """Of the difference. If all seeds of each recipe happen to score the same, the variance of these models."""
        seed_variance = sum(spread.between / spread.seeds for spread in self.spreads)
        return self.image_variance + seed_variance or self.model_variance

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
    def margin_from_images(self) -> float:
        """Half the 95 % interval that these very models would have, were they all that there is to know."""
        from scipy import special

        return float(special.ndtri(0.975)) * math.sqrt(self.model_variance)

    @property
    def interval_is_too_narrow(self) -> bool:
        """Whether the seeds happen to agree so well that the interval is narrower than images alone leave it."""
        low, high = self.interval()
        return high - low < 2 * self.margin_from_images

    def power(self, difference: float, seeds: float) -> float:
        """Of the 5 % test: the probability, 0 to 1, that it detects an effect.

        Args:
            difference: the effect, > 0.
            seeds: of each recipe, ≥ 2; ``math.inf`` is permitted.
        """
        from scipy import special

        # Seeds that happened to agree closely aren't expected to do so again: they are planned to vary at least as
        # much as chance over single images makes them.
        between = sum(max(spread.between, spread.rest / self.n) for spread in self.spreads)
        variance = self.image_variance + between / seeds
        if variance == 0:
            return 1.0

        # Student's t has no form for infinitely many degrees of freedom: there it is the normal distribution.
        shift = difference / math.sqrt(variance)
        if math.isinf(seeds):
            return float(special.ndtr(shift - special.ndtri(0.975)))
        degrees = self._degrees([seeds] * len(self.spreads))
        return 1 - float(special.nctdtr(degrees, shift, special.stdtrit(degrees, 0.975)))

    def seeds_needed(self, difference: float) -> int | None:
        """The fewest seeds of each recipe that detect ``difference`` with a power of 80 %, by the measured variance.

        Returns:
            None where no number of seeds can, because the images alone vary too much, or none up to 10,000.
        """
        if self.power(difference, math.inf) < POWER or self.power(difference, MOST_SEEDS) < POWER:
            return None

        low, high = 1, MOST_SEEDS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.power(difference, middle) >= POWER else (middle, high)
        return high

    @property
    def minimum_detectable_effect(self) -> float:
        """The smallest difference that infinitely many seeds detect on these images with a power of 80 %."""
        from scipy import special

        return float(special.ndtri(0.975) + special.ndtri(POWER)) * math.sqrt(self.image_variance)

    def _degrees(self, seeds: list[int] | list[float]) -> float:
        """For so many seeds of each recipe, by the mean squares that were measured."""
        # Smyth's moderated variances: each is drawn towards the pooled one as if that had one degree of freedom.
        freedom = [spread.seeds - 1 for spread in self.spreads]
        pooled = sum(f * spread.between for f, spread in zip(freedom, self.spreads, strict=True)) / sum(freedom)
        moderated = [(f * spread.between + pooled) / (f + 1) for f, spread in zip(freedom, self.spreads, strict=True)]
        parts = [between / count for between, count in zip(moderated, seeds, strict=True)]
        if not sum(parts):
            return self.n - 1

        # Welch's formula within the seeds; between seeds and images 1/f goes by the shares, not by their squares.
        one_over_f = sum(part**2 / (count - 1) for part, count in zip(parts, seeds, strict=True)) / sum(parts) ** 2
        measured = sum(spread.between / count for spread, count in zip(self.spreads, seeds, strict=True))
        share = measured / (measured + self.image_variance)
        return 1 / (share * one_over_f + (1 - share) / (self.n - 1))


def crossed_difference(first_SN: NDArray[np.bool_], second_SN: NDArray[np.bool_]) -> CrossedDifference:
    """Compare the answers of two sides on the same images, with the components of the variance.

    Args:
        first_SN, second_SN: whether each seed (a row) got each image (a column) right; one side or both have two seeds
            or more, and there are two images or more.
    """
    n = first_SN.shape[1]
    by_image_N = second_SN.mean(axis=0) - first_SN.mean(axis=0)
    model_variance = float(by_image_N.var(ddof=1)) / n
    spreads = tuple(_spread(right_SN) for right_SN in (first_SN, second_SN) if len(right_SN) > 1)

    # The estimate may fall below 0 where the recipes find the same images hard; a variance can't.
    image_variance = max(0.0, model_variance - sum(spread.rest / (spread.seeds * n) for spread in spreads))
    return CrossedDifference(float(by_image_N.mean()), n, image_variance, model_variance, spreads)


def _spread(right_SN: NDArray[np.bool_]) -> SeedSpread:
    seeds, n = right_SN.shape
    by_seed_S, by_image_N = right_SN.mean(axis=1), right_SN.mean(axis=0)
    # Sums of squares of a two-way layout with one answer a cell, each answer 0 or 1.
    total = right_SN.sum() - seeds * n * by_image_N.mean() ** 2
    of_seeds, of_images = n * seeds * by_seed_S.var(), seeds * n * by_image_N.var()
    rest = max(0.0, float(total - of_seeds - of_images)) / ((seeds - 1) * (n - 1))
    return SeedSpread(seeds, float(by_seed_S.var(ddof=1)), rest)
