"""What is said of two runs where accuracy goes by a large class, and where images come in groups."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fittingroom.compare.answers import Answers, pair
from fittingroom.compare.comparison import Comparison
from fittingroom.compare.verdict import compare_answers
from fittingroom.rendering import languages


def _compared(right: tuple[tuple[int, int], tuple[int, int]], n: tuple[int, int], seeds: int = 1) -> Comparison:
    """Two runs of so many seeds, each of which gets so many of the n images of class a, and of b, right."""
    truth = np.repeat(["a", "b"], n)

    def answers(name: str, right_2: tuple[int, int]) -> Answers:
        is_right = np.concatenate([np.arange(count) < of for count, of in zip(n, right_2, strict=True)])
        predicted: NDArray[np.str_] = np.where(is_right, truth, np.where(truth == "a", "b", "a"))
        images = [(str(row), 0) for row in range(len(truth))]
        return Answers(name, None, images, ("a", "b"), truth, np.repeat(predicted[None], seeds, axis=0))

    sides = answers("base", right[0]), answers("other", right[1])
    return compare_answers(*sides, "validation", minimum_effect=0.002, warnings=[])


@pytest.mark.parametrize("seeds", [1, 3])
def test_where_accuracy_and_balanced_accuracy_differ_both_are_said(seeds: int) -> None:
    """Accuracy falls, as 40 of the 1,000 are lost, while the rare class is recognised three times as often."""
    compared = _compared(((1000, 25), (960, 75)), (1000, 100), seeds)
    balanced = compared.balanced
    assert balanced is not None
    assert (balanced.first, balanced.second) == pytest.approx((0.625, 0.855))
    low, high = balanced.interval
    assert 0.15 < low < balanced.difference < high < 0.3
    assert compared.as_dict()["balanced_accuracy"]["difference"] == pytest.approx(0.23)

    note = compared.notes[0]
    assert "balanced accuracy 62.5% and 85.5%, a difference of +23.00 points (95% " in note
    assert languages.translated(note, "compare")


def test_of_classes_of_like_sizes_nothing_is_added_and_of_one_image_hardly_anything_is_known() -> None:
    alike = _compared(((90, 90), (80, 95)), (100, 100))
    assert alike.balanced is None
    assert "balanced" not in " ".join(alike.notes)

    for seeds in (1, 2):
        single = _compared(((9, 0), (9, 1)), (10, 1), seeds).balanced
        assert single is not None
        assert single.interval[0] < 0 < single.interval[1]


def test_groups_that_one_side_knows_hold_for_both() -> None:
    """The images are the same ones, so that one of their accuracies can't be of images and the other of groups."""
    truth = np.repeat(["a", "b"], 10)
    images = [(str(row), 0) for row in range(20)]
    known = tuple(f"person {row // 4}" for row in range(20))
    first = Answers("first", None, images, ("a", "b"), truth, truth[None])
    second = Answers("second", None, images[::-1], ("a", "b"), truth[::-1], truth[None, ::-1], groups=known[::-1])
    for sides in (pair(first, second), pair(second, first)):
        assert sides[0].groups == sides[1].groups
        assert sides[0].groups in (known, known[::-1], list(known), list(known[::-1]))
