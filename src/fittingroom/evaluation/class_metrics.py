"""Scores in which every class counts the same, whatever its size: balanced accuracy, macro-F1, AUC, with intervals.

Balanced accuracy is the mean of the classes' recalls, macro-F1 that of their F1 scores, and the AUC is that of each
class against all others, averaged: the probability that an image of the class gets a higher probability for it than one
of another class (Hand and Till 2001 compare the ways to average). The intervals are percentiles of a bootstrap over
images or, where groups are known, over groups (Efron and Tibshirani 1993, chapter 13).

A bootstrap sees no more mistakes than there are: of five images that are all right it says that all always are. So
the spread is held to what four more images of each class leave open, two of them wrong (Agresti and Min 2002), and of
no mistake at all the lower end is that of Clopper and Pearson on the smallest class. Where a class has fewer than ten
images, both ends of balanced accuracy are at least as far off as the exact intervals of the recalls put them, joined by
Zou and Donner's rule (Statistics in Medicine 27 (2008) 1693-1702), and those of macro-F1 as far. Macro-F1, which is the
lower the fewer images a class has, is given as much room above as resamples lie below it.

Near 1 a few rare images tell hardly anything of how far an AUC varies: where none of them happens to be hard, resamples
lie close together. So its interval holds each area by which the images would come out so far away in 2.5% of cases or
more: Newcombe's way (Statistics in Medicine 25 (2006) 559-573), by the variance that Hanley and McNeil (Radiology 143
(1982) 29-36) give such an area, or by the resamples' where that is larger. benchmarks/class_metric_coverage.py says how
often all of these cover.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.evaluation.fold_interval import fold_factor
from fittingroom.evaluation.intervals import Z_95, clopper_pearson_interval, half_of_mean, in_groups

LOPSIDED = 3  # times the smallest class's images that the largest has, from which on these scores are given
RESAMPLES, FEWEST_RESAMPLES = 1000, 200
WORK = 5e7  # images × classes × resamples; of more, fewer resamples are drawn
CHUNK = 50  # resamples at once
FEW = 10  # images of the smallest class: of fewer the exact intervals of the recalls decide too
NAMES = ("balanced_accuracy", "macro_f1", "auc")
WORDS, FORMS = ("balanced accuracy", "macro-F1", "AUC"), (".1%", ".1%", ".3f")  # of each, for people

Floats = NDArray[np.float64]


def is_lopsided(labels_N: NDArray[np.int64]) -> bool:
    """Whether the largest class has three times the images of the smallest, of those that have any."""
    counts = np.bincount(labels_N)
    counts = counts[counts > 0]
    return len(counts) > 1 and bool(counts.max() >= LOPSIDED * counts.min())


def class_metrics(
    said: Sequence[tuple[NDArray[np.float32], NDArray[np.int64]]],
    labels_N: NDArray[np.int64],
    group_N: NDArray[np.int64] | None = None,
    folds: int | None = None,
) -> dict[str, dict[str, Any]]:
    """``balanced_accuracy``, ``macro_f1`` and ``auc``, each with ``value``, ``interval``, ``method`` and ``n``.

    Args:
        said: of each seed's model, probabilities float32 (N, C) and answers int64 (N,) for the same images; of several,
            the value is the mean, and the interval that of other seeds and other images.
        labels_N: the true classes, int64 (N,).
        group_N: the group of each image, from 0, where groups are known.
        folds: of the cross-validation whose models answered, by which the images count for fewer, as in
            :mod:`fittingroom.evaluation.fold_interval`; None for answers of one model.
    """
    n, classes = len(labels_N), np.unique(labels_N)
    seeds = [Scorer(probabilities, answers, labels_N, classes) for probabilities, answers in said]
    value_S3 = np.array([seed.scores(np.ones((1, n), np.float32))[0] for seed in seeds])
    value_3 = value_S3.mean(axis=0)

    # The same draws for all seeds, as they are judged on the same images. A seed of its own: no ambient generator.
    draw = np.random.default_rng(0)
    resamples = int(np.clip(WORK / (n * len(classes) * len(seeds)), FEWEST_RESAMPLES, RESAMPLES))
    drawn = []
    for start in range(0, resamples, CHUNK):
        weights_BN = _weights(draw, min(CHUNK, resamples - start), n, group_N)
        drawn.append(np.mean([seed.scores(weights_BN) for seed in seeds], axis=0))
    drawn_B3 = np.concatenate(drawn)

    of = "images" if group_N is None else in_groups(int(group_N.max()) + 1)
    over = ("over seeds and " if len(seeds) > 1 else "over ") + of + ("" if folds is None else f", {folds} folds")
    factor = 1.0 if folds is None else fold_factor(folds)
    room = _room_of_recalls(seeds, factor)
    found = {}
    for i, name in enumerate(NAMES):
        if name == "auc":
            ends, how = _interval_of_area(float(value_3[i]), drawn_B3[:, i], seeds[0], factor)
        else:
            ends, how = _interval(name, float(value_3[i]), drawn_B3[:, i], seeds[0], room, factor)
        found[name] = {
            "value": float(value_3[i]),
            "interval": list(_with_seeds(value_S3[:, i], *ends)),
            "method": f"{over}: {how}",
            "n": n,
        }
    return found


def in_words(scores: Mapping[str, Any]) -> str:
    """The three scores, their intervals and what these are over, in one line; empty where ``scores`` has none."""
    if not all(name in scores for name in NAMES):
        return ""
    said = []
    for name, word, form in zip(NAMES, WORDS, FORMS, strict=True):
        value, (low, high) = scores[name]["value"], scores[name]["interval"]
        said.append(f"{word} {value:{form}} ({low:{form}} to {high:{form}})")
    # What they are over is the same for all three; how each is made is in the file.
    over = scores[NAMES[0]]["method"].partition(":")[0]
    return f"{', '.join(said)}; 95% intervals {over}"


class Scorer:
    """What one model said, in the form that scores of many weightings of the images are quickly taken from."""

    def __init__(
        self,
        probabilities_NC: NDArray[np.float32],
        answers_N: NDArray[np.int64],
        labels_N: NDArray[np.int64],
        classes: NDArray[np.int64],
    ):
        self.is_class_NC = (labels_N[:, None] == classes).astype(np.float32)
        self.is_answer_NC = (answers_N[:, None] == classes).astype(np.float32)
        self.is_hit_NC = self.is_class_NC * self.is_answer_NC
        self.n_C = self.is_class_NC.sum(axis=0)
        self.smallest = int(self.n_C.min())

        # The area of one of two classes is that of the other, seen from behind.
        ranked = classes if len(classes) > 2 or probabilities_NC.shape[1] > 2 else classes[1:]
        self.rankings = [_Ranking(probabilities_NC[:, label], labels_N == label) for label in ranked]
        self.ranked_n = self.n_C[-len(ranked) :]

    def scores(self, weights_BN: NDArray[np.float32]) -> Floats:
        """The three scores of each weighting of the images, float64 (B, 3); classes without weight don't count."""
        hits_BC, n_BC, as_BC = (
            (weights_BN @ kind).astype(np.float64) for kind in (self.is_hit_NC, self.is_class_NC, self.is_answer_NC)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            recall_BC, f1_BC = hits_BC / n_BC, np.where(n_BC > 0, 2 * hits_BC / (n_BC + as_BC), np.nan)
        auc_BC = np.stack([ranking.areas(weights_BN) for ranking in self.rankings], axis=1)
        return np.stack([_mean(recall_BC), _mean(f1_BC), _mean(auc_BC)], axis=1)

    def least_spread(self) -> float:
        """The standard deviation of balanced accuracy that four more images of each class leave open."""
        hits_C = self.is_hit_NC.sum(axis=0).astype(np.float64)
        share_C = (hits_C + 2) / (self.n_C + 4)
        return math.sqrt(float((share_C * (1 - share_C) / (self.n_C + 4)).sum())) / len(self.n_C)

    def area_variance(self, area: float) -> float:
        """Variance of the mean area under the curve, by Hanley and McNeil, were each class's area that one."""
        of_class_R, others_R = self.ranked_n.astype(np.float64), len(self.is_class_NC) - self.ranked_n
        fewer_R, more_R = np.minimum(of_class_R, others_R), np.maximum(of_class_R, others_R)

        # The two covariances, of pairs that share an image; the larger one goes to the class of more images, as which
        # of the two classes it belongs to depends on how the scores are distributed.
        shared = sorted((area / (2 - area) - area**2, 2 * area**2 / (1 + area) - area**2))
        of_each_R = area * (1 - area) + (fewer_R - 1) * shared[0] + (more_R - 1) * shared[1]
        return float((of_each_R / (fewer_R * more_R)).sum()) / len(self.ranked_n) ** 2


class _Ranking:
    """Images in the order of one class's probability, for its area under the ROC curve."""

    def __init__(self, probability_N: NDArray[np.float32], is_class_N: NDArray[np.bool_]):
        self.order_N = np.argsort(probability_N, kind="stable")
        in_order_N = probability_N[self.order_N]
        self.is_class_N = is_class_N[self.order_N]
        places = np.flatnonzero(self.is_class_N)
        self.first_P = np.searchsorted(in_order_N, in_order_N[places], side="left")
        self.last_P = np.searchsorted(in_order_N, in_order_N[places], side="right")

    def areas(self, weights_BN: NDArray[np.float32]) -> Floats:
        """The area of each weighting, float64 (B,); a tie counts half. NaN where there is nothing to compare."""
        in_order_BN = weights_BN[:, self.order_N].astype(np.float64)
        of_class_BP = in_order_BN[:, self.is_class_N]
        others_BN = np.where(self.is_class_N, 0, in_order_BN)
        below_BN = np.concatenate([np.zeros((len(weights_BN), 1)), np.cumsum(others_BN, axis=1)], axis=1)
        won_B = (of_class_BP * (below_BN[:, self.first_P] + below_BN[:, self.last_P])).sum(axis=1) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(won_B / (of_class_BP.sum(axis=1) * below_BN[:, -1]))


def _weights(draw: np.random.Generator, count: int, n: int, group_N: NDArray[np.int64] | None) -> NDArray[np.float32]:
    """How often each image is drawn in each of ``count`` resamples, float32 (count, N)."""
    units = n if group_N is None else int(group_N.max()) + 1
    times_BU = np.stack([np.bincount(draw.integers(0, units, units), minlength=units) for _ in range(count)])
    return np.asarray((times_BU if group_N is None else times_BU[:, group_N]).astype(np.float32))


def _mean(score_BC: Floats) -> Floats:
    """The mean of each row over what isn't NaN; NaN where all is."""
    known_BC = ~np.isnan(score_BC)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(known_BC, score_BC, 0).sum(axis=1) / known_BC.sum(axis=1))


def _spread(drawn_B: Floats) -> float:
    """How far resamples lie apart; 0 where none of them saw a mistake."""
    seen_B = drawn_B[~np.isnan(drawn_B)]
    return float(seen_B.std()) if len(seen_B) else 0.0


def _room_of_recalls(seeds: Sequence[Scorer], factor: float) -> tuple[float, float]:
    """How far below and above its value the exact intervals of the classes' recalls leave balanced accuracy room."""
    n_C = seeds[0].n_C / factor
    hits_C = np.mean([seed.is_hit_NC.sum(axis=0) for seed in seeds], axis=0) / factor
    ends_C2 = np.array([clopper_pearson_interval(float(hits), float(n)) for hits, n in zip(hits_C, n_C, strict=True)])
    below, above = (math.sqrt(float(((hits_C / n_C - end_C) ** 2).sum())) / len(n_C) for end_C in ends_C2.T)
    return below, above


def _interval(
    name: str,
    value: float,
    drawn_B: Floats,
    scorer: Scorer,
    room: tuple[float, float],
    factor: float,
) -> tuple[tuple[float, float], str]:
    """The 95% interval of balanced accuracy or macro-F1 on other images, and how it is made.

    The images' variance is ``factor`` times what resamples show.
    """
    smallest, spread, least = scorer.smallest, _spread(drawn_B), scorer.least_spread()
    drawn_B = drawn_B[~np.isnan(drawn_B)]
    if spread == 0:
        low, high = clopper_pearson_interval(value * smallest / factor, smallest / factor)
        how = f"Clopper and Pearson on the smallest class, n = {smallest:,}"
    else:
        low, high = (float(end) for end in np.percentile(drawn_B, [2.5, 97.5]))
        wider = max(1.0, least / spread)
        low, high = value - (value - low) * wider, value + (high - value) * wider

        # Of small classes the F1 of a resample is lower on average than that of the images, as theirs is than the true.
        if name == "macro_f1":
            high = max(high, value + max(0.0, value - float(drawn_B.mean())) + Z_95 * spread * wider)

        low, high = (value + (end - value) * math.sqrt(factor) for end in (low, high))
        how = f"bootstrap of {len(drawn_B):,} resamples" + (", widened for few images" if wider > 1 else "")
        how += ", or by the exact ones of the recalls where wider" if smallest / factor < FEW else ""
    if smallest / factor < FEW:
        low, high = min(low, value - room[0]), max(high, value + room[1])
    return (low, high), how


def _interval_of_area(value: float, drawn_B: Floats, scorer: Scorer, factor: float) -> tuple[tuple[float, float], str]:
    """The 95% interval of the AUC on other images, and how it is made: see above.

    The images' variance is ``factor`` times what resamples show, or the formula says.
    """
    by_formula, seen = scorer.area_variance(value), _spread(drawn_B) ** 2
    times = factor * max(1.0, seen / by_formula if by_formula else 1.0)

    ends = []
    for bound in (0.0, 1.0):
        inside, outside = value, bound
        while abs(outside - inside) > 1e-9:
            middle = (inside + outside) / 2
            if (value - middle) ** 2 <= Z_95**2 * times * scorer.area_variance(middle):
                inside = middle
            else:
                outside = middle
        ends.append(outside)
    how = "Hanley and McNeil's variance" if seen <= by_formula else "the variance of a bootstrap"
    return (ends[0], ends[1]), f"score interval by {how}"


def _with_seeds(value_S: Floats, low: float, high: float) -> tuple[float, float]:
    """The interval of the mean over seeds: that over images, and how the seeds differ, within 0–1."""
    value = float(value_S.mean())
    of_seeds = half_of_mean(float(value_S.std(ddof=1)), len(value_S)) if len(value_S) > 1 else 0.0
    below, above = (math.hypot(max(0.0, side), of_seeds) for side in (value - low, high - value))
    return max(0.0, value - below), min(1.0, value + above)
