"""When a study of ideas may stop, and what it may say: looks at growing numbers of pairs, of several ideas at once.

Each idea is judged after 3, 4, 6, 8, 12, 16, 24 and 32 pairs of trainings. Looking eight times at the level of 5%
would find something without cause in more than 5% of studies. So the level is spent, by a union bound over the looks:
3% at the first one, 2% on all later ones together. At each look Holm's correction (1979, Scandinavian Journal of
Statistics 6: 65-70) goes over the ideas that are still open. That suffices: up to the first false claim of a study
nothing was claimed of an idea that makes no difference, so all of these are among those counted.

The test is that of ``compare``: seeds and images are crossed (:mod:`fittingroom.compare.seed_variance`). Both trainings
of a pair have one seed, and count as independent all the same, which errs on the safe side where they are alike.
From 3 and 4 pairs hardly anything is known of how much seeds vary, and the levels are far below 5%: there the test is
the cautious form of it, as the usual one claims too much of ideas whose seeds vary more than the baseline's.
Where images are judged by folds they count for less, as each fold's model learned from other images, and each pair has
another cut into folds. Where images come in groups, those of one are right or wrong together and count for less, too.
``benchmarks/try_simulation.py`` records how often a study claims what isn't so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fittingroom.compare.comparison import Verdict
from fittingroom.compare.seed_variance import CrossedDifference, crossed_difference
from fittingroom.evaluation.intervals import SMALL_SET

LOOKS = (3, 4, 6, 8, 12, 16, 24, 32)  # pairs at which each open idea is judged
FEW_PAIRS = 4  # up to here the usual interval is too short for an idea whose seeds vary more than the baseline's
FIRST_LEVEL, LATER_LEVELS = 0.03, 0.02  # 5 % in all

Reason = Literal["", "on these images", "after 32 pairs", "within the budget"]
Right = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is known of an idea at one look.

    Attributes:
        pairs: of trainings that it rests on.
        difference: of accuracies, the idea's less the baseline's; shares, -1 to 1.
        interval: at ``confidence``, so that those of all ideas that were open hold together at this look.
        confidence: 0 to 1.
        p_value: of "equally good", not corrected.
        level: what p has to fall below, with Holm's correction.
        verdict: None while it is open.
        reason: why a study ended without being able to tell.
        visible_at_best: the smallest difference that any number of seeds shows on these images with a power of 80%;
            None below 200 images, of which a variance is hardly known.
    """

    pairs: int
    difference: float
    interval: tuple[float, float]
    confidence: float
    p_value: float
    level: float
    verdict: Verdict | None
    reason: Reason = ""
    visible_at_best: float | None


def level_at(look: int) -> float:
    """What is spent at a look, from 0."""
    return FIRST_LEVEL if look == 0 else LATER_LEVELS / (len(LOOKS) - 1)


def judge(
    answers: Mapping[str, tuple[Right, Right]],
    look: int,
    effect: float,
    folds: int | None = None,
    group_N: NDArray[np.int64] | None = None,
) -> dict[str, Judgement]:
    """Judge the ideas that are open.

    Args:
        answers: by the idea's name, whether each seed (a row) of baseline and idea got each validation image right.
        look: from 0, see :data:`LOOKS`.
        effect: the smallest difference of accuracies that is of interest, > 0.
        folds: of the cross-validation by which each seed judged all images; None where some are held out.
        group_N: the group of each image, from 0; None where no two are of one.
    """
    cautious = LOOKS[look] <= FEW_PAIRS
    crossed = {
        name: crossed_difference(*both, cautious=cautious, folds=folds, group_N=group_N)
        for name, both in answers.items()
    }
    claimed = _claimed({name: found.p_value for name, found in crossed.items()}, level_at(look))

    # Bonferroni's, of all that are open: wider than Holm's test needs, and they hold together.
    confidence = 1 - level_at(look) / len(answers)
    judgements = {}
    for rank, name in enumerate(sorted(answers, key=lambda name: crossed[name].p_value)):
        found = crossed[name]
        interval = found.interval(confidence)
        verdict, reason = _verdict(found, interval, name in claimed, effect, confidence, look)
        can_plan = answers[name][0].shape[1] >= SMALL_SET
        judgements[name] = Judgement(
            pairs=len(answers[name][0]),
            difference=found.difference,
            interval=interval,
            confidence=confidence,
            p_value=found.p_value,
            level=level_at(look) / (len(answers) - rank),
            verdict=verdict,
            reason=reason,
            visible_at_best=found.minimum_detectable_effect(level_at(max(1, look)) / len(answers))
            if can_plan
            else None,
        )
    return {name: judgements[name] for name in answers}


def _claimed(p_values: Mapping[str, float], level: float) -> set[str]:
    """Those that Holm's correction rejects at the level."""
    claimed: set[str] = set()
    for name in sorted(p_values, key=p_values.__getitem__):
        if p_values[name] >= level / (len(p_values) - len(claimed)):
            break
        claimed.add(name)
    return claimed


def _verdict(
    found: CrossedDifference,
    interval: tuple[float, float],
    is_claimed: bool,
    effect: float,
    confidence: float,
    look: int,
) -> tuple[Verdict | None, Reason]:
    if is_claimed and found.difference:
        return ("better" if found.difference > 0 else "worse"), ""

    # An interval within the effect says no more than that, whichever side of 0 it is on.
    if max(map(abs, interval)) < effect:
        return "smaller than the effect", ""
    if _images_forbid(found, effect, confidence):
        return "cannot tell", "on these images"
    return ("cannot tell", "after 32 pairs") if look == len(LOOKS) - 1 else (None, "")


def _images_forbid(found: CrossedDifference, effect: float, confidence: float) -> bool:
    """Whether no number of seeds will decide, wherever within what the seeds leave open the difference settles."""
    from scipy import special

    of_images = float(special.ndtri((1 + confidence) / 2)) * math.sqrt(found.image_variance)
    of_seeds = float(special.stdtrit(found.degrees, (1 + confidence) / 2)) * math.sqrt(
        max(0.0, found.variance - found.image_variance)
    )
    largest, least = abs(found.difference) + of_seeds, max(0.0, abs(found.difference) - of_seeds)
    return largest <= of_images and least + of_images >= effect
