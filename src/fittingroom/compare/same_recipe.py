"""Is a model what its recipe gives? Judged by other seeds of the recipe, on the same images.

If it is, it is one more draw from where the other seeds were drawn, so that Student's prediction interval of one more
draw holds it. Two figures are asked: how many images it has right, and on how many it or another model is right and not
both (*discordant* images). Each gets half of 5%. ``benchmarks/verify_seeds.py`` has how often a
model of the very recipe is called foreign all the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
FEWEST = 3  # other models: from two, any spread could be called one of seeds


@dataclass(frozen=True, kw_only=True)
class AmongSeeds:
    """A model among others of one recipe.

    Attributes:
        accuracy: of the model.
        interval: of the accuracy of one more seed, 97.5%, in 0–1.
        discordant: images on which the model or another is right and not both, in the mean over the others.
        most_discordant: what one more seed has at most, 97.5%.
        models: the others.
        n: images.
    """

    accuracy: float
    interval: tuple[float, float]
    discordant: float
    most_discordant: float
    models: int
    n: int

    @property
    def is_within(self) -> bool:
        """Whether it may be one more seed of the recipe by both figures."""
        low, high = self.interval
        return low <= self.accuracy <= high and self.discordant <= self.most_discordant


def among_seeds(right_N: NDArray[np.bool_], others_MN: NDArray[np.bool_]) -> AmongSeeds:
    """Place a model among others.

    Args:
        right_N: whether the model has each image right.
        others_MN: the same of each of M ≥ 3 others.
    """
    models, n = others_MN.shape
    if models < FEWEST:
        raise ValueError(f"{FEWEST} models or more expected, {models} found")
    share = (1 - CONFIDENCE) / 2

    # Of two models that differ in d images each of these went one way or the other, as d coins would: so much of
    # the spread is known well. What seeds add to all images alike is known from the M models alone: Student's quantile.
    apart_MM = (others_MN[:, None] != others_MN[None]).sum(axis=2)
    apart_M = apart_MM.sum(axis=1) / (models - 1)
    of_coins = max(1.0, float(apart_M.mean())) / 2
    counts_M = others_MN.sum(axis=1)
    half = _half(counts_M, of_coins, share / 2)
    low, high = (float(counts_M.mean()) - half) / n, (float(counts_M.mean()) + half) / n
    most = float(apart_M.mean()) + _half(apart_M, of_coins, share)

    discordant = float((others_MN != right_N).sum(axis=1).mean())
    return AmongSeeds(
        accuracy=float(right_N.mean()),
        interval=(max(0.0, low), min(1.0, high)),
        discordant=discordant,
        most_discordant=most,
        models=models,
        n=n,
    )


def _half(values_M: NDArray[np.float64], of_coins: float, tail: float) -> float:
    """Half of the prediction interval of one more value, with ``tail`` (0–1) left out on a side."""
    from scipy import special  # a tenth of the time that scipy.stats takes to load

    models = len(values_M)
    # Few models often vary less than they would: half of what coins explain is left to the seeds (by simulation).
    of_seeds = max(0.0, float(values_M.var(ddof=1)) - of_coins / 2)
    coins = float(special.ndtri(1 - tail)) ** 2 * of_coins
    seeds = float(special.stdtrit(models - 1, 1 - tail)) ** 2 * of_seeds
    return math.sqrt((coins + seeds) * (1 + 1 / models))
