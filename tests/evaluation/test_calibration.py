"""Calibration against scikit-learn, against a hand count, and against what it promises of a calibrated model."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr
from sklearn.metrics import brier_score_loss

from fittingroom.evaluation.calibration import calibration


def calibrated_sample(n: int, classes: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities, and labels drawn by just these."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.3), size=n).astype(np.float32)
    labels = (probabilities.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return probabilities, labels


def test_ece_is_the_weighted_distance_of_bins_of_equal_count() -> None:
    # 30 examples a bin: 0.6 sure and a third right, 0.8 sure and all right, certain and half right.
    confidence = np.repeat([0.6, 0.8, 1.0], 30)
    labels = np.repeat([0, 1, 0, 0, 1], [10, 20, 30, 15, 15])
    shuffled = np.random.default_rng(0).permutation(90)
    probabilities = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)[shuffled]
    found = calibration(probabilities, labels[shuffled], bins=3)
    assert found.groups == 3
    assert found.ece == pytest.approx((abs(1 / 3 - 0.6) + 0.2 + 0.5) / 3, abs=1e-6)


def test_equally_sure_examples_share_a_bin_whatever_their_order() -> None:
    probabilities = np.tile(np.array([[1.0, 0.0]], np.float32), (300, 1))
    found = calibration(probabilities, np.repeat([0, 1], [270, 30]))  # all mistakes at the end of the file
    assert found.groups == 1
    assert found.ece == pytest.approx(0.1)


def test_the_bins_to_draw_are_of_equal_width() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.35, 0.65]], np.float32)
    found = calibration(probabilities, np.array([0, 1, 0, 1]), bins=10)
    assert [(b.n, b.accuracy) for b in found.bins] == [(1, 1.0), (1, 1.0), (2, 0.5)]
    assert sum(b.n for b in found.bins) == found.n == 4


def test_brier_score_is_scikit_learns() -> None:
    probabilities, labels = calibrated_sample(2_000, 10, seed=0)
    found = calibration(probabilities, labels)

    rows = probabilities.astype(np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    theirs = sum(brier_score_loss(labels == label, rows[:, label]) for label in range(10))

    assert found.brier == pytest.approx(theirs, abs=1e-6)
    assert found.brier_interval is not None
    assert found.brier_interval[0] < found.brier < found.brier_interval[1]


def test_a_calibrated_model_shows_about_the_error_that_is_promised_by_chance() -> None:
    found = [calibration(*calibrated_sample(1_000, 10, seed)) for seed in range(100)]
    assert np.mean([c.ece for c in found]) == pytest.approx(np.mean([c.ece_by_chance for c in found]), rel=0.05)


def test_over_confidence_is_measured() -> None:
    probabilities, labels = calibrated_sample(5_000, 10, seed=1)
    sharper = probabilities**3
    sharper /= sharper.sum(axis=1, keepdims=True)

    found = calibration(sharper, labels)
    assert found.confidence > found.accuracy + 0.05
    assert found.ece > 5 * found.ece_by_chance


def test_a_single_certain_example_is_enough() -> None:
    found = calibration(np.array([[1.0, 0.0]], np.float32), np.array([0]))
    assert (found.ece, found.brier, found.brier_interval) == (0.0, 0.0, None)
    assert found.bins[0].high == 1.0


def test_of_answers_that_are_all_wrong_and_certain_the_brier_score_has_an_interval() -> None:
    found = calibration(np.array([[1, 0]] * 20, np.float32), np.ones(20, np.int64))
    assert found.brier == 2
    assert found.brier_interval == pytest.approx((2 * 0.025 ** (1 / 20), 2))


@pytest.mark.parametrize("n", [20, 60, 200])
def test_a_calibrated_model_is_hardly_ever_called_otherwise_however_few_the_examples(n: int) -> None:
    found = [calibration(*calibrated_sample(n, 10, seed)).verdict for seed in range(300)]
    assert found.count("calibrated") >= 0.9 * 300


def test_a_model_that_is_right_on_average_alone_is_called_uneven_and_neither_over_nor_under_confident() -> None:
    confidence_N = np.repeat([0.6, 0.9], 500).astype(np.float32)
    probabilities_NC = np.stack([confidence_N, 1 - confidence_N], axis=1)
    right_N = np.r_[np.arange(500) < 400, np.arange(500) < 350]  # 80% where it says 60, 70% where it says 90
    assert calibration(probabilities_NC, np.where(right_N, 0, 1)).verdict == "uneven"
    assert calibration(probabilities_NC, np.where(np.arange(1000) < 400, 0, 1)).verdict == "over-confident"
    assert calibration(probabilities_NC, np.zeros(1000, np.int64)).verdict == "under-confident"


@pytest.mark.parametrize("n", [6, 60, 500])
@pytest.mark.parametrize("accuracy", [0.7, 0.92, 0.98])
def test_the_interval_of_the_brier_score_holds_it_of_few_examples_and_few_mistakes_too(n: int, accuracy: float) -> None:
    def drawn(count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        right_N = rng.random(count) < accuracy
        sure_N = np.where(right_N, rng.beta(5 / (1 - accuracy) ** 0.5, 1, count), rng.beta(3, 1, count)) / 2 + 0.5
        return np.stack([sure_N, 1 - sure_N], axis=1).astype(np.float32), np.where(right_N, 0, 1)

    rng = np.random.default_rng(n)
    truth = calibration(*drawn(200_000)).brier
    held = 0
    for _ in range(300):
        found = calibration(*drawn(n))
        assert found.brier_interval is not None
        low, high = found.brier_interval
        assert 0 <= low <= found.brier <= high <= 2
        held += low <= truth <= high
    assert held >= 0.93 * 300


@pytest.mark.parametrize("n", [200, 1000])
def test_a_calibrated_model_that_is_sure_of_most_and_unsure_of_a_few_is_seldom_called_anything_else(n: int) -> None:
    """Nearly all of what chance gives lies in one group of the few, as if there were no other: it was 10% of cases."""
    random = np.random.default_rng(0)
    others = 0
    for _ in range(400):
        p_N = np.where(random.random(n) < 0.9, 0.9999, 0.6)
        truth_N = (random.random(n) >= p_N).astype(np.int64)
        others += calibration(np.stack([p_N, 1 - p_N], 1).astype(np.float32), truth_N).verdict != "calibrated"
    assert others <= 32  # 8 %: of 5 %, more come in fewer than one of a hundred such tests


def test_below_20_images_nothing_is_said_of_calibration() -> None:
    sure_NC = np.repeat([[0.99, 0.01]], 20, axis=0).astype(np.float32)
    wrong_N = np.ones(20, np.int64)
    assert calibration(sure_NC[:19], wrong_N[:19]).verdict == "too few"
    assert calibration(sure_NC, wrong_N).verdict == "over-confident"


@pytest.mark.parametrize(("groups", "size", "alike"), [(100, 5, 1.0), (400, 3, 1.0), (50, 20, 0.4)])
def test_a_calibrated_model_is_called_that_where_images_are_copies_or_of_groups(
    groups: int, size: int, alike: float
) -> None:
    # Copies are equally sure, and right together; images of a group are right together more often than others.
    rng = np.random.default_rng(0)
    group_N = np.repeat(np.arange(groups), size)
    called: dict[bool, int] = {True: 0, False: 0}
    covered, bars = {True: 0, False: 0}, {True: 0, False: 0}
    for _ in range(60):
        of_each = rng.beta(8, 1, groups)[group_N] if alike == 1 else rng.beta(8, 1, groups * size)
        confidence_N = 0.5 + of_each / 2
        luck_N = alike**0.5 * rng.normal(size=groups)[group_N] + (1 - alike) ** 0.5 * rng.normal(size=groups * size)
        labels_N = (ndtr(luck_N) >= confidence_N).astype(np.int64)
        probabilities = np.stack([confidence_N, 1 - confidence_N], axis=1).astype(np.float32)
        for knows_groups in called:
            found = calibration(probabilities, labels_N, group_N=group_N if knows_groups else None)
            called[knows_groups] += found.verdict == "calibrated"
            covered[knows_groups] += sum(bar.interval[0] <= bar.confidence <= bar.interval[1] for bar in found.bins)
            bars[knows_groups] += len(found.bins)
    assert called[True] >= 54
    assert called[False] < called[True]
    assert covered[True] / bars[True] >= 0.93
    assert covered[False] / bars[False] < covered[True] / bars[True]


def test_twenty_groups_at_least_judge_probabilities() -> None:
    probabilities, labels = calibrated_sample(190, 3, seed=0)
    found = calibration(probabilities, labels, group_N=np.repeat(np.arange(19), 10))
    assert found.verdict == "too few"
    assert found.examples == "190 images in 19 groups"
    assert found.brier_interval is not None
    one = calibration(probabilities, labels, group_N=np.zeros(190, np.int64))
    assert (one.verdict, one.brier_interval) == ("too few", None)
    alone = calibration(probabilities, labels, group_N=np.arange(190))
    assert alone == calibration(probabilities, labels)


def test_the_brier_scores_interval_holds_the_true_one_where_images_are_copies() -> None:
    held, rng = {True: 0, False: 0}, np.random.default_rng(1)
    group_N, true = np.repeat(np.arange(60), 8), 2 * float(np.mean([p * (1 - p) for p in (0.7, 0.9)]))
    for _ in range(200):
        confidence_N = rng.choice([0.7, 0.9], 60)[group_N]
        labels_N = (rng.random(60)[group_N] >= confidence_N).astype(np.int64)
        probabilities = np.stack([confidence_N, 1 - confidence_N], axis=1).astype(np.float32)
        for knows_groups in held:
            low, high = calibration(
                probabilities, labels_N, group_N=group_N if knows_groups else None
            ).brier_interval or (0, 2)
            held[knows_groups] += low <= true <= high
    assert held[True] >= 184
    assert held[False] < 120


def test_of_a_threshold_the_answers_are_judged_that_it_gives() -> None:
    rng = np.random.default_rng(0)
    rare_N = rng.beta(1, 8, 4_000).astype(np.float32)
    probabilities = np.stack([1 - rare_N, rare_N], axis=1)
    truth = (rng.random(4_000) < rare_N).astype(np.int64)
    answers = (rare_N > 0.08).astype(np.int64)
    found = calibration(probabilities, truth, predicted_N=answers)
    assert found.accuracy == pytest.approx((answers == truth).mean())
    assert found.confidence == pytest.approx(probabilities[np.arange(4_000), answers].mean())
    assert found.verdict == "calibrated"
