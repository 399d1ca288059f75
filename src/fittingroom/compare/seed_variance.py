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
its apparent uncertainty come out too small: intervals of 2 + 2 seeds then cover 90 to 98% instead of 95%. So

- a recipe's mean square is first drawn towards that of both recipes as if the latter had one degree of freedom, which
  is the moderated variance of Smyth 2004 (Stat. Appl. Genet. Mol. Biol. 3, no. 1) with a prior of one degree of
  freedom; it decides the degrees of freedom alone, never the variance;
- within the seeds' part Satterthwaite's formula (there it is Welch's) gives f; between seeds and images 1/f is
  interpolated in proportion to the shares, not to their squares.

A claim that is made at a level far below 5%, of one of several recipes, from 3 or 4 seeds each, is another matter: far
out, that interpolation is too hopeful where one recipe's seeds vary several times as much as the other's. ``cautious``
takes p for the average, weighted by the shares of the variance, of the normal tail for the images and of Student's t
for the seeds, with as many degrees of freedom as the side of fewest seeds has alone. It is the tail's form of
Cochran's approximation (Biometrics 20 (1964) 191-195), which weights the quantiles.

Where few seeds happen to agree closely, that interval comes out narrower than the one that these very models would have
on other images, though other seeds can only add to it. So p is at least that of these models, by the normal
distribution, and the interval is as wide as both: of simulated cases in which it is the wider one the other held 81 to
93%, and it 91 to 95%.

Where all seeds agree on every image of a few, nothing seems to vary. The variance of the images is therefore kept from
falling below what Agresti and Min's pseudo-images leave (Statistics in Medicine 24 (2005) 729-740), and with fewer than
200 images p is at least that of the exact McNemar test on what most seeds of each side answer; the interval is as wide
as both.

benchmarks/compare_calibration.py records how often these intervals cover, and where they don't: with 2 or 3 seeds each
if one recipe's seeds vary many times as much as the other's, and if one recipe has many more seeds than the other. The
seeds of two recipes count as independent; those that share initialisation and order are alike rather than opposed,
and the interval then is too wide rather than too short.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fittingroom.compare.mcnemar import exact_mcnemar, paired_interval
from fittingroom.evaluation.fold_interval import fold_factor
from fittingroom.evaluation.group_intervals import difference_factor
from fittingroom.evaluation.intervals import SMALL_SET, SeedSpread, seed_spread

POWER = 0.8  # with which a minimum effect is to be detected
MOST_SEEDS = 10_000  # that a plan may ask for
PSEUDO_IMAGES = 2  # half a one for each pair of right and wrong: Agresti and Min's
PLAN_TAIL = 0.1  # of what the measured variances leave open, on either side of a plan


@dataclass(frozen=True)
class CrossedDifference:
    """The difference of two mean accuracies, and what its uncertainty consists of.

    Attributes:
        difference: second less first, -1 to 1.
        n: images.
        image_variance: variance of the difference that more seeds can't take away.
        model_variance: variance that the very models at hand would have on other images; > 0.
        spreads: of the recipes that have two seeds or more; a side of one model has none, and is taken as that model.
        image_error: standard error of ``image_variance``.
        won: images that most seeds of one side get right and most of the other don't, by side; None with 200 images or
            more, where they aren't needed.
        won_of: of how many images, where these count for less than they are; 0: of all.
        cautious: p and interval hold far out in the tail too, whichever side's seeds vary more; they are wider.
    """

    difference: float
    n: int
    image_variance: float
    model_variance: float
    spreads: tuple[SeedSpread, ...]
    image_error: float = 0.0
    won: tuple[int, int] | None = None
    cautious: bool = False
    won_of: int = 0

    @property
    def variance(self) -> float:
        """Variance of the difference."""
        return self.image_variance + sum(spread.between / spread.seeds for spread in self.spreads)

    @property
    def degrees(self) -> float:
        """Degrees of freedom of Student's t for the difference over its standard error."""
        return self._degrees([spread.seeds for spread in self.spreads])

    @property
    def p_value(self) -> float:
        """Two-sided, of "equally good": 0 to 1."""
        from scipy import special

        of_models = 2 * float(special.ndtr(-abs(self.difference) / math.sqrt(self.model_variance)))
        p_value = max(of_models, self._beyond(abs(self.difference) / math.sqrt(self.variance)))
        if self.won is None:
            return p_value
        if (self.won[1] - self.won[0]) * self.difference <= 0:  # what most seeds say is no evidence for it
            return 1.0
        return max(p_value, exact_mcnemar(*self.won))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The difference's interval, in -1 to 1; it leaves out 0 just if ``p_value`` is below 1 - ``confidence``."""
        from scipy import special

        least = float(special.ndtri((1 + confidence) / 2)) * math.sqrt(self.model_variance)
        half = max(least, self._standard_errors(confidence) * math.sqrt(self.variance))
        low, high = self.difference - half, self.difference + half
        if self.won is not None:
            of_models = paired_interval(*self.won, self.won_of or self.n, confidence=confidence)
            low, high = min(low, of_models[0]), max(high, of_models[1])
        return max(-1.0, low), min(1.0, high)

    def power(self, difference: float, seeds: float, level: float = 0.05) -> float:
        """The probability, 0 to 1, that the test at ``level`` detects an effect.

        Args:
            difference: the effect, > 0.
            seeds: of each recipe, ≥ 2; ``math.inf`` is permitted.
            level: what p has to fall below.
        """
        from scipy import special

        # Seeds that happened to agree closely aren't expected to do so again: they are planned to vary at least as
        # much as chance over single images makes them.
        between = sum(max(spread.between, spread.rest / self.n) for spread in self.spreads)
        variance = self.image_variance + between / seeds

        # Student's t has no form for infinitely many degrees of freedom: there it is the normal distribution.
        shift = difference / math.sqrt(variance)
        if math.isinf(seeds):
            return float(special.ndtr(shift - special.ndtri(1 - level / 2)))
        degrees = self._degrees([seeds] * len(self.spreads))
        return 1 - float(special.nctdtr(degrees, shift, special.stdtrit(degrees, 1 - level / 2)))

    def seeds_needed(self, difference: float, level: float = 0.05) -> int | None:
        """The fewest seeds of each recipe that detect ``difference`` with a power of 80%, by the measured variance.

        Returns:
            None where no number of seeds can, because the images alone vary too much, or none up to 10,000.
        """
        if self.power(difference, math.inf, level) < POWER or self.power(difference, MOST_SEEDS, level) < POWER:
            return None

        low, high = 1, MOST_SEEDS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.power(difference, middle, level) >= POWER else (middle, high)
        return high

    def range_of_seeds_needed(self, difference: float, level: float = 0.05) -> tuple[int | None, int | None]:
        """:meth:`seeds_needed` for variances as small, and as large, as the measured ones leave open: 10% each way."""
        from scipy import special

        # A variance between seeds is known by so many degrees of freedom, that of the images by its standard error.
        plans = []
        freedom = sum(spread.seeds - 1 for spread in self.spreads)
        for tail in (PLAN_TAIL, 1 - PLAN_TAIL):
            factor = freedom / float(special.chdtri(freedom, tail))
            spreads = tuple(replace(spread, between=factor * spread.between) for spread in self.spreads)
            image_variance = self.image_variance + float(special.ndtri(tail)) * self.image_error
            image_variance = max(image_variance, 1 / (self.n + PSEUDO_IMAGES) ** 2)
            other = replace(self, spreads=spreads, image_variance=image_variance)
            plans.append(other.seeds_needed(difference, level))
        return plans[0], plans[1]

    def minimum_detectable_effect(self, level: float = 0.05) -> float:
        """The smallest difference that infinitely many seeds detect on these images with a power of 80%."""
        from scipy import special

        return float(special.ndtri(1 - level / 2) + special.ndtri(POWER)) * math.sqrt(self.image_variance)

    def _beyond(self, standard_errors: float) -> float:
        """The probability, 0 to 1, that the difference comes out so far from the true one, on either side."""
        from scipy import special

        if not self.cautious:
            return 2 * float(special.stdtr(self.degrees, -standard_errors))
        of_images = self.image_variance / self.variance
        fewest = min(spread.seeds for spread in self.spreads)
        tails = special.ndtr(-standard_errors), special.stdtr(fewest - 1, -standard_errors)
        return 2 * float(of_images * tails[0] + (1 - of_images) * tails[1])

    def _standard_errors(self, confidence: float) -> float:
        """Half an interval, in standard errors: beyond it lies 1 - ``confidence``."""
        from scipy import special

        if not self.cautious:
            return float(special.stdtrit(self.degrees, (1 + confidence) / 2))

        # Between the normal quantile and Student's, of which the one leaves out too much and the other too little.
        fewest = min(spread.seeds for spread in self.spreads)
        tail = (1 + confidence) / 2
        low, high = float(special.ndtri(tail)), float(special.stdtrit(fewest - 1, tail))
        while high - low > 1e-12 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self._beyond(middle) > 1 - confidence else (low, middle)
        return high

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


def crossed_difference(
    first_SN: NDArray[np.bool_],
    second_SN: NDArray[np.bool_],
    *,
    cautious: bool = False,
    folds: int | None = None,
    group_N: NDArray[np.int64] | None = None,
) -> CrossedDifference:
    """Compare the answers of two sides on the same images, with the components of the variance.

    Args:
        first_SN, second_SN: whether each seed (a row) got each image (a column) right; one side or both have two seeds
            or more, and there are two images or more.
        cautious: see :class:`CrossedDifference`.
        folds: of the cross-validation in which each seed's answers came about; None where all of them are of one model.
            Images of a fold are right or wrong together, as the model that judged them hadn't learned from them: so
            many images count for less, by Nadeau and Bengio's factor (:mod:`fittingroom.evaluation.fold_interval`).
        group_N: the group of each image, from 0: those of one are right or wrong together, and count for less
            (:mod:`fittingroom.evaluation.group_intervals`). None takes all for unrelated.
    """
    n = first_SN.shape[1]
    by_image_N = second_SN.mean(axis=0) - first_SN.mean(axis=0)
    of_groups = 1.0 if group_N is None else difference_factor(by_image_N, group_N)
    model_variance = of_groups * float(by_image_N.var(ddof=1)) / n
    spreads = tuple(seed_spread(right_SN) for right_SN in (first_SN, second_SN) if len(right_SN) > 1)

    # The estimate may fall below 0 where the recipes find the same images hard; a variance can't.
    of_rest = sum(spread.rest / (spread.seeds * n) for spread in spreads)
    more = 1.0 if folds is None else fold_factor(folds)
    image_variance = more * _floored(max(0.0, model_variance - of_rest), n / of_groups)

    deviations_N = (by_image_N - by_image_N.mean()) ** 2
    image_error = more * of_groups * float(deviations_N.std()) / n**1.5
    difference = float(by_image_N.mean())
    won, less = None, more * of_groups
    if n < SMALL_SET:
        won = int((by_image_N <= -0.5).sum() / less), int((by_image_N >= 0.5).sum() / less)
    variances = image_variance, more * _floored(model_variance, n / of_groups)
    return CrossedDifference(difference, n, *variances, spreads, image_error, won, cautious, max(1, int(n / less)))


def _floored(variance: float, n: float) -> float:
    """The variance of a mean over n images, with pseudo-images of which half are discordant, one to each side."""
    return max(variance, (n * n * variance + PSEUDO_IMAGES / 2) / (n + PSEUDO_IMAGES) ** 2)
