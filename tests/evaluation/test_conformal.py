"""Sets hold the right class as often as was asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fittingroom.evaluation.conformal import MAX_IMAGES, ConformalScores, scores_of, sets_of
from fittingroom.evaluation.fold_interval import fold_interval
from fittingroom.evaluation.threshold import Threshold


def said(n: int, seed: int, *, classes: int = 10) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Of a model that is right in about 70% and more sure of itself than that."""
    rng = np.random.default_rng(seed)
    logits_NC = rng.normal(size=(n, classes)) * 2.5
    labels_N = (logits_NC + rng.gumbel(size=(n, classes))).argmax(axis=1)
    weights_NC = np.exp(1.7 * logits_NC)
    return (weights_NC / weights_NC.sum(axis=1, keepdims=True)).astype(np.float32), labels_N


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95, 0.99])
def test_coverage_is_nominal_in_the_mean_of_1000_cuts(coverage: float) -> None:
    """Between the nominal share and 1/(n + 1) more, as is proven; here within 0.2 points of it."""
    pool_NC, truth_N = said(60_000, 1)
    scores_N = scores_of(pool_NC)[np.arange(len(truth_N)), truth_N]
    rng, held = np.random.default_rng(2), []
    for _ in range(1_000):
        rows = rng.integers(len(truth_N), size=1_000)
        limit = ConformalScores.of(pool_NC[rows], truth_N[rows]).limit(coverage)
        held.append((scores_N <= np.float32(limit)).mean())
    assert np.mean(held) == pytest.approx(coverage, abs=0.002)


def test_a_set_has_the_classes_within_the_limit_and_the_first_answer_always() -> None:
    probabilities_NC = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.34, 0.33, 0.33]], np.float32)
    assert sets_of(probabilities_NC, 0.7) == [[0, 1], [2], [0, 1, 2]]
    assert sets_of(probabilities_NC, 0.67) == [[0], [2], [0, 1, 2]]
    assert sets_of(probabilities_NC, 0.0) == [[0], [2], [0]]


def test_what_is_said_of_the_validation_images_is_a_count() -> None:
    probabilities_NC, labels_N = said(2_000, 3)
    scores = ConformalScores.of(probabilities_NC, labels_N)
    limit = scores.limit(0.95)
    is_in_N = np.array(
        [label in found for label, found in zip(labels_N, sets_of(probabilities_NC, limit), strict=True)]
    )

    share, of_classes = scores.coverage_of(limit)
    assert share == is_in_N.mean() >= 0.95
    for label, of_class in enumerate(of_classes):
        assert of_class == pytest.approx(is_in_N[labels_N == label].mean())
    assert scores.coverage_of(0.0)[0] == (probabilities_NC.argmax(axis=1) == labels_N).mean()


def test_too_few_images_are_refused_with_the_number_that_it_takes() -> None:
    with pytest.raises(ValueError, match="100 or more validation images expected, 99 found"):
        ConformalScores.of(*said(99, 4)).limit(0.8)
    scores = ConformalScores.of(*said(150, 5))
    with pytest.raises(ValueError, match="199 or more validation images expected, 150 found"):
        scores.limit(0.995)
    assert math.isfinite(ConformalScores.of(*said(199, 6)).limit(0.995))


def test_of_many_images_as_many_are_kept_as_it_takes() -> None:
    scores = ConformalScores.of(*said(MAX_IMAGES + 1_000, 7))
    assert scores.n == MAX_IMAGES
    assert len(scores.encoded) < 27_000


@pytest.mark.parametrize(("n", "coverage"), [(100, 0.95), (120, 0.9), (2000, 0.95)])
def test_the_range_for_other_pictures_holds_19_times_of_20(n: int, coverage: float) -> None:
    uniform_N2 = np.linspace(1, 0.5, n + 1, endpoint=False, dtype=np.float32)[1:, None] - np.array([0, 0.5], np.float32)
    low, high = ConformalScores.of(1 - uniform_N2, np.zeros(n, np.int64)).coverage_elsewhere(coverage)
    place = math.ceil((n + 1) * coverage - 1e-9)
    assert (low, high) == pytest.approx(stats.beta.ppf([0.025, 0.975], place, n + 1 - place), abs=1e-6)

    # of uniform scores the limit itself is the share of others that lie below it
    limits = np.sort(np.random.default_rng(0).random((4000, n)), axis=1)[:, place - 1]
    assert np.mean((low <= limits) & (limits <= high)) == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize("accuracy", [0.93, 0.955, 0.994, 1.0])
def test_the_range_for_other_pictures_holds_where_the_first_answer_is_right_oftener_than_was_asked(
    accuracy: float,
) -> None:
    """Then a set is the first answer alone and holds the class as often as that is right, which isn't 95%."""
    rng, held = np.random.default_rng(8), 0
    for _ in range(200):
        is_right_N, sure_N = rng.random(500) < accuracy, rng.uniform(0.5, 1, 500)
        probabilities_N2 = np.stack([sure_N, 1 - sure_N], axis=1).astype(np.float32)
        scores = ConformalScores.of(probabilities_N2, np.where(is_right_N, 0, 1))
        low, high = scores.coverage_elsewhere(0.95)

        # of those that are wrong the right class is in the set where its score, a uniform number, is within the limit
        limit = scores.limit(0.95)
        elsewhere = accuracy + (1 - accuracy) * float(np.clip(2 * limit - 1, 0, 1))
        held += low <= elsewhere <= high
        assert 0 <= low <= scores.coverage_of(limit)[0] <= 1
        assert high <= 1
    assert held / 200 >= 0.92


def test_a_group_counts_for_one_image_in_the_range_elsewhere() -> None:
    """Of 100 images that are there three times the sets are no surer than of these 100."""
    probabilities_NC, labels_N = said(100, 9)
    thrice = np.repeat(probabilities_NC, 3, axis=0), np.repeat(labels_N, 3)
    once = ConformalScores.of(probabilities_NC, labels_N).coverage_elsewhere(0.8)
    grouped = ConformalScores.of(*thrice, group_N=np.repeat(np.arange(100), 3)).coverage_elsewhere(0.8)
    assert grouped == pytest.approx(once, abs=0.02)
    unrelated = ConformalScores.of(*thrice).coverage_elsewhere(0.8)
    assert grouped[0] < unrelated[0] < unrelated[1] < grouped[1]


def test_of_images_that_folds_judged_the_range_is_as_wide_as_that_of_their_accuracy() -> None:
    probabilities_NC, labels_N = said(480, 9)
    right_N = probabilities_NC.argmax(axis=1) == labels_N
    by_folds = ConformalScores.of(probabilities_NC, labels_N, 5)
    low, high = by_folds.coverage_elsewhere(0.5)  # less than the accuracy: the sets are the first answers
    assert by_folds.limit(0.5) == 0
    assert (low, high) == pytest.approx(fold_interval(right_N, 5), abs=0.006)
    assert low <= fold_interval(right_N, 5)[0]

    one = ConformalScores.of(probabilities_NC, labels_N).coverage_elsewhere(0.9)
    low, high = by_folds.coverage_elsewhere(0.9)
    assert low < one[0] < one[1] < high


def test_a_set_holds_the_answer_that_a_threshold_gives_and_the_right_class_as_often() -> None:
    rng = np.random.default_rng(0)
    rare_N = rng.beta(1, 8, 4_000).astype(np.float32)
    probabilities_N2 = np.stack([1 - rare_N, rare_N], axis=1)
    truth_N = (rng.random(4_000) < rare_N).astype(np.int64)
    predicted_N = Threshold(label=1, value=0.08, n=500).applied(probabilities_N2)

    scores = ConformalScores.of(probabilities_N2[:500], truth_N[:500], predicted_N=predicted_N[:500])
    sets = sets_of(probabilities_N2[500:], scores.limit(0.9), predicted_N[500:])
    assert [each[0] for each in sets] == predicted_N[500:].tolist()
    held = np.mean([truth in each for truth, each in zip(truth_N[500:], sets, strict=True)])
    assert 0.87 < held < 0.95
