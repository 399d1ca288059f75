"""Between which bounds an accuracy lies: of one model, and of the recipe that several models were trained by.

One model is judged on a sample of images, and only these are chance: its interval is Wilson's, and below 200 images
the exact one of Clopper and Pearson. Wilson's covers 93% or more where five mistakes or more are to be expected, and
may cover 84% where less than one is, however many the images.

A recipe is judged by the mean of S models on the same N images, so that two things are chance, the seeds and the
images, and they cross (Hillis 2014, "A marginal-mean ANOVA approach for analyzing multireader multicase radiological
imaging data", Statistics in Medicine 33: 330-360). The variance of the mean is the sum of two parts:

    seeds     variance between the seeds' accuracies / S
    images    variance of the images' difficulty / N, which stays however many seeds are trained

Half the interval is the root of (t(S - 1) x root of the first)^2 + (t(N - 1) x root of the second)^2, each part with
its own quantile of Student's t: the "MOVER" of Zou and Donner 2008 (Statistics in Medicine 27: 1693-1702). One t with
Satterthwaite's degrees of freedom covers 91% where two seeds happen to agree. benchmarks/interval_coverage.py records
how often these intervals cover.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054  # the 97.5 % quantile of the standard normal distribution
SMALL_SET = 200  # images; with fewer, intervals of single models are exact
OF_FOLDS = "Nadeau–Bengio"  # the interval of a cross-validation, see fold_interval
PSEUDO_IMAGES = 4  # two right and two wrong, each to the side of the other: Agresti and Coull's, Agresti and Min's


def wilson_interval(correct: float, n: float) -> tuple[float, float]:
    """The 95% interval of a share, each bound in 0–1: Wilson 1927.

    Args:
        correct: successes, 0 to ``n``.
        n: trials; no whole number where images of groups count for fewer than they are.
    """
    share, z2 = correct / n, Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def clopper_pearson_interval(correct: float, n: float, tail: float = 0.025) -> tuple[float, float]:
    """The exact interval of a share, which covers it in 95% of cases or more: Clopper and Pearson 1934.

    Args:
        correct: successes, 0 to ``n``.
        n: trials; no whole number where images of groups count for fewer than they are.
        tail: the share of cases in which the true one may lie below it, and above it.
    """
    from scipy import special

    low = float(special.betaincinv(correct, n - correct + 1, tail)) if correct > 0 else 0.0
    high = float(special.betaincinv(correct + 1, n - correct, 1 - tail)) if correct < n else 1.0
    return low, high


def model_interval(correct: int, n: int) -> tuple[float, float]:
    """The 95% interval of one model's accuracy: Wilson's; below 200 images Clopper and Pearson's.

    Args:
        correct: images that it got right, 0 to ``n``.
        n: images, ≥ 1.
    """
    return clopper_pearson_interval(correct, n) if n < SMALL_SET else wilson_interval(correct, n)


def least_of_several_interval(correct: float, n: float, of: int) -> tuple[float, float]:
    """The 95% interval of a share that was picked as the least of ``of`` such shares: exact, at 1 - 5% / ``of``.

    The least of ten classes is partly the one that chance was hardest on: an interval of its own would hold its true
    recall in some 80% of cases.

    Args:
        correct: images that it got right, 0 to ``n``.
        n: images of the class; no whole number where those of folds count for fewer than they are.
        of: classes that were compared, ≥ 1.
    """
    return clopper_pearson_interval(correct, n, 0.025 / of)


def model_interval_method(n: int) -> str:
    """What :func:`model_interval` is called: ``Wilson`` or ``Clopper–Pearson``."""
    return "Clopper–Pearson" if n < SMALL_SET else "Wilson"


def interval_method(scores: Mapping[str, Any], seeds: int = 1) -> str:
    """How the ``interval`` of one model's scores was made: a method's name, or ``150 images in 12 groups``.

    That of several seeds: ``seeds × images``, or ``seeds × 150 images in 12 groups``.
    """
    groups = scores.get("groups")
    if seeds > 1 and not groups:
        return "seeds × images"
    if folds := scores.get("folds"):
        method = f"{OF_FOLDS}, {folds} folds" + (f" of {in_groups(groups)}" if groups else "")
    else:
        method = f"{scores['n']:,} images in {in_groups(groups)}" if groups else model_interval_method(scores["n"])
    return f"seeds × {method}" if seeds > 1 else method


def in_groups(count: int) -> str:
    """``12 groups``, or ``1 group``."""
    return f"{count:,} group{'s' * (count != 1)}"


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


def seed_spread(right_SN: NDArray[np.bool_]) -> SeedSpread:
    """The spread of two seeds or more, from whether each (a row) got each image (a column) right."""
    seeds, n = right_SN.shape
    by_seed_S, by_image_N = right_SN.mean(axis=1), right_SN.mean(axis=0)

    # Sums of squares of a two-way layout with one answer a cell, each answer 0 or 1.
    total = right_SN.sum() - seeds * n * by_image_N.mean() ** 2
    of_seeds, of_images = n * seeds * by_seed_S.var(), seeds * n * by_image_N.var()
    rest = max(0.0, float(total - of_seeds - of_images)) / ((seeds - 1) * (n - 1))
    return SeedSpread(seeds, float(by_seed_S.var(ddof=1)), rest)


@dataclass(frozen=True)
class RecipeAccuracy:
    """The accuracy of a recipe, from several seeds on the same images.

    Attributes:
        mean: of the seeds' accuracies, 0–1.
        sd: their standard deviation (seeds - 1).
        interval: 95%, of the recipe's accuracy, seeds and images crossed; never of width 0, within 0–1.
        interval_of_seeds: 95%, of the mean over other seeds on these very images, by Student's t, within 0–1. None
            where all seeds happen to score the same, as that is no certainty.
        groups: of images, by which the interval is made; None where none are known.
    """

    mean: float
    sd: float
    interval: tuple[float, float]
    interval_of_seeds: tuple[float, float] | None
    groups: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The four figures, the seeds' interval once more by the name that 0.1 gave it, and groups if there are any."""
        interval_of_seeds = self.interval_of_seeds and list(self.interval_of_seeds)
        return {
            "mean": self.mean,
            "sd": self.sd,
            "interval": list(self.interval),
            "interval_of_seeds": interval_of_seeds,
            "interval_of_mean": interval_of_seeds,
        } | ({} if self.groups is None else {"groups": self.groups})


def recipe_accuracy(right_SN: NDArray[np.bool_]) -> RecipeAccuracy:
    """The accuracy of a recipe, from whether each seed (a row) got each image (a column) right.

    Args:
        right_SN: two seeds or more, one image or more.
    """
    seeds, n = right_SN.shape
    accuracies = right_SN.mean(axis=1).tolist()
    if n == 1:
        return _recipe_accuracy(*_mean_and_sd(accuracies), seeds, n, 0.0)

    # What the images' means vary by holds a share of what seed and image decide together, which more seeds take away.
    variance = float(right_SN.mean(axis=0).var(ddof=1)) - seed_spread(right_SN).rest / seeds
    return _recipe_accuracy(*_mean_and_sd(accuracies), seeds, n, max(0.0, variance))


def recipe_accuracy_of_scores(accuracies: Sequence[float], n: int) -> RecipeAccuracy:
    """The same where only each seed's accuracy is known: with the most that the images can vary by.

    Args:
        accuracies: of two seeds or more, 0–1.
        n: images that each was judged on, ≥ 1.
    """
    return recipe_accuracy_of_mean(*_mean_and_sd(accuracies), len(accuracies), n)


def recipe_accuracy_of_mean(mean: float, sd: float, seeds: int, n: int) -> RecipeAccuracy:
    """The same where only the mean of the seeds' accuracies and their standard deviation (seeds - 1) are known."""
    return _recipe_accuracy(mean, sd, seeds, n, mean * (1 - mean))


def _mean_and_sd(accuracies: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(accuracies)), float(np.std(accuracies, ddof=1))


def half_of_mean(sd: float, n: int) -> float:
    """Half the 95% interval of the mean of ``n`` values, n ≥ 2, whose standard deviation (n - 1) is ``sd``."""
    from scipy import special

    return float(special.stdtrit(n - 1, 0.975)) * sd / math.sqrt(n)


def _recipe_accuracy(mean: float, sd: float, seeds: int, n: int, variance_of_an_image: float) -> RecipeAccuracy:
    from scipy import special

    half_of_seeds = half_of_mean(sd, seeds)
    interval_of_seeds = _clipped(mean, half_of_seeds) if sd else None

    # Without an error, or a right answer, nothing varies: what is left is how many images that is true of.
    if n == 1 or mean in (0.0, 1.0):
        return RecipeAccuracy(mean, sd, clopper_pearson_interval(n * mean, n), interval_of_seeds)

    # A few images that all seeds agree on leave hardly any variance; the pseudo-images keep it from vanishing.
    sum_of_squares = n * variance_of_an_image
    floor = (sum_of_squares + PSEUDO_IMAGES / 4) / (n + PSEUDO_IMAGES) ** 2
    of_images = max(variance_of_an_image / n, floor)
    half_of_images = float(special.stdtrit(n - 1, 0.975)) * math.sqrt(of_images)
    return RecipeAccuracy(mean, sd, _clipped(mean, math.hypot(half_of_seeds, half_of_images)), interval_of_seeds)


def _clipped(mean: float, half: float) -> tuple[float, float]:
    return max(0.0, mean - half), min(1.0, mean + half)
