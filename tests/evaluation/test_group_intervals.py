"""Intervals where images come in groups: they hold the accuracy on other groups, and are never too sure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fittingroom.evaluation.fold_interval import recall_interval
from fittingroom.evaluation.group_intervals import (
    effective_images,
    group_numbers,
    groups_among,
    model_interval_by_groups,
    recipe_accuracy_by_groups,
)
from fittingroom.evaluation.intervals import clopper_pearson_interval, model_interval
from fittingroom.evaluation.predictions import JudgedPredictions
from fittingroom.report.run_summary import weakest_classes, worst_mistakes


def test_images_in_no_group_stand_alone_and_groups_of_one_are_none() -> None:
    numbers = group_numbers(["a", None, "b", "a", "", None])
    assert numbers is not None
    assert numbers[0] == numbers[3]
    assert len(set(numbers.tolist())) == 5
    assert group_numbers(None) is None
    assert group_numbers(["a", "b", None]) is None
    assert groups_among(numbers, np.array([True, True, True, False, True, True])) is None
    kept = groups_among(numbers, np.array([True, False, True, True, False, False]))
    assert kept is not None
    assert sorted(kept.tolist()) == [0, 0, 1]


def test_by_hand_groups_that_are_all_right_or_all_wrong_count_as_one_image_each() -> None:
    """40 groups of 5 images, 30 of them right: the variance is that of 40 images, times 40/39, less Student's share."""
    group_N = np.repeat(np.arange(40), 5)
    right_N = group_N < 30
    t_39 = 2.0226909  # of a table
    expected = 40 * 39 / 40 * (1.959964 / t_39) ** 2
    assert effective_images(right_N, group_N) == pytest.approx(expected, rel=1e-5)
    expected_interval = clopper_pearson_interval(0.75 * expected, expected)
    assert model_interval_by_groups(right_N, group_N) == pytest.approx(expected_interval, rel=1e-5)
    low, high = model_interval(150, 200)
    assert expected_interval[0] < low
    assert expected_interval[1] > high


def test_unrelated_images_in_many_groups_count_nearly_all() -> None:
    random = np.random.default_rng(0)
    group_N = np.repeat(np.arange(500), 4)
    right_N = random.random(2_000) < 0.8
    assert 1_800 < effective_images(right_N, group_N) <= 2_000


@given(data=st.data())
def test_no_interval_is_without_width_or_beyond_the_ends_and_each_holds_the_share(data: st.DataObject) -> None:
    groups = data.draw(st.lists(st.integers(0, 5), min_size=2, max_size=60))
    right_N = np.array(data.draw(st.lists(st.booleans(), min_size=len(groups), max_size=len(groups))))
    group_N = np.unique(groups, return_inverse=True)[1]
    low, high = model_interval_by_groups(right_N, group_N)
    assert 0 <= low <= right_N.mean() <= high <= 1
    assert high - low > 0.01
    assert not math.isnan(low + high)
    alone = model_interval(int(right_N.sum()), len(right_N))
    assert high - low >= 0.8 * (alone[1] - alone[0])  # never much surer than of unrelated images

    right_SN = np.stack([right_N, ~right_N, right_N])
    low, high = recipe_accuracy_by_groups(right_SN, group_N).interval
    assert 0 <= low <= right_SN.mean() <= high <= 1
    assert high - low > 0.01


@pytest.mark.parametrize(("groups", "accuracy", "correlation"), [(10, 0.92, 0.4), (50, 0.6, 1.0), (200, 0.99, 0.4)])
def test_the_interval_holds_the_accuracy_on_other_groups(groups: int, accuracy: float, correlation: float) -> None:
    """benchmarks/group_interval_coverage.py does this with more scenes and repeats; there 93% and more."""
    random = np.random.default_rng(1)
    weight = (1 - correlation) / correlation
    held, held_of_recipe, held_unrelated = 0, 0, 0
    for _ in range(300):
        group_N = np.repeat(np.arange(groups), random.geometric(1 / 20, groups))
        if correlation == 1:
            share_G = (random.random(groups) < accuracy).astype(float)
        else:
            share_G = random.beta(accuracy * weight, (1 - accuracy) * weight, groups)
        right_SN = random.random((3, len(group_N))) < share_G[group_N]
        low, high = model_interval_by_groups(right_SN[0], group_N)
        held += low <= accuracy <= high
        low, high = recipe_accuracy_by_groups(right_SN, group_N).interval
        held_of_recipe += low <= accuracy <= high
        low, high = model_interval(int(right_SN[0].sum()), len(group_N))
        held_unrelated += low <= accuracy <= high
    assert min(held, held_of_recipe) >= 0.92 * 300
    assert held_unrelated < 0.8 * 300


def test_scores_say_in_how_many_groups_the_images_come() -> None:
    right_N = np.arange(60) % 10 != 0
    truth = np.arange(60) % 2
    predicted = np.where(right_N, truth, 1 - truth)
    probabilities = np.eye(2, dtype=np.float32)[predicted] * 0.8 + 0.1
    judged = JudgedPredictions(
        probabilities,
        predicted,
        classes=("a", "b"),
        truth=truth,
        images=tuple(f"{row:064x}" for row in range(60)),
        groups=tuple(f"g{row // 5}" for row in range(60)),
    )
    scores = judged.scores()
    assert scores["groups"] == 12
    assert tuple(scores["interval"]) == model_interval_by_groups(judged.is_right, np.arange(60) // 5)

    alone = JudgedPredictions(probabilities, predicted, classes=("a", "b"), truth=truth, images=judged.images).scores()
    assert "groups" not in alone
    assert not any("counts_for" in row for row in alone["per_class"])
    assert tuple(alone["interval"]) == model_interval(54, 60)


def test_a_recall_is_as_unsure_as_the_groups_of_its_class_make_it() -> None:
    """Frames of videos that are right or wrong together: a class of 14 of them counts for 14 images, not for 112."""
    group_N = np.repeat(np.arange(28), 8)
    truth, right_N = group_N // 14, group_N % 2 == 0
    predicted = np.where(right_N, truth, 1 - truth)
    scores = JudgedPredictions(
        np.eye(2, dtype=np.float32)[predicted],
        predicted,
        classes=("a", "b"),
        truth=truth,
        images=tuple(f"{row:064x}" for row in range(224)),
        groups=tuple(f"video {group}" for group in group_N),
    ).scores()
    expected = model_interval_by_groups(right_N[truth == 0], group_N[truth == 0])
    assert recall_interval(scores["per_class"][0]) == pytest.approx(expected)
    assert weakest_classes(scores)[0]["interval"] == pytest.approx(expected)
    assert expected[1] - expected[0] > 2 * np.diff(model_interval(56, 112))[0]

    # As the least of two, and by folds, it is wider still.
    worst = worst_mistakes(scores)
    assert worst is not None
    assert worst.weakest["interval"][0] < expected[0]
    assert recall_interval(scores["per_class"][0], 5)[0] < expected[0]
