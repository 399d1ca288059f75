"""Between which bounds an accuracy lies: against definitions, at the edges, and how often it is true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import stats

from fittingroom.evaluation.intervals import (
    clopper_pearson_interval,
    least_of_several_interval,
    model_interval,
    model_interval_method,
    recipe_accuracy,
    recipe_accuracy_of_scores,
    seed_spread,
    wilson_interval,
)
from tests.support.simulated_answers import Recipe

# ── one model ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("correct", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (1, 20), (9163, 10_000), (10_000, 10_000), (5, 10)]
)
def test_wilson_interval_is_scipys(correct: int, n: int) -> None:
    expected = stats.binomtest(correct, n).proportion_ci(method="wilson")
    assert wilson_interval(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(1, 10**7), st.floats(0, 1))
def test_wilson_interval_holds_the_share_and_stays_within_0_and_1(n: int, share: float) -> None:
    correct = round(share * n)
    low, high = wilson_interval(correct, n)
    assert 0 <= low <= correct / n + 1e-12
    assert correct / n - 1e-12 <= high <= 1


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (19, 20), (97, 100), (5, 10)])
def test_clopper_pearson_is_scipys(correct: int, n: int) -> None:
    expected = stats.binomtest(correct, n).proportion_ci(method="exact")
    assert clopper_pearson_interval(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_below_200_images_the_interval_of_a_model_is_exact() -> None:
    assert (model_interval(190, 199), model_interval_method(199)) == (
        clopper_pearson_interval(190, 199),
        "Clopper–Pearson",
    )
    assert (model_interval(190, 200), model_interval_method(200)) == (wilson_interval(190, 200), "Wilson")


@pytest.mark.parametrize("n", [20, 50, 100, 199])
def test_the_interval_of_a_model_on_few_images_covers_95_percent_whatever_its_accuracy(n: int) -> None:
    """Wilson's falls to 84% at 20 images and 99.1%: by the whole binomial distribution, no simulation."""
    truths = np.linspace(0.5, 0.999, 200)
    bounds = np.array([model_interval(correct, n) for correct in range(n + 1)])
    holds = (bounds[:, :1] <= truths) & (truths <= bounds[:, 1:])
    assert (stats.binom.pmf(np.arange(n + 1)[:, None], n, truths) * holds).sum(axis=0).min() >= 0.95


# ── a recipe ─────────────────────────────────────────────────────────────────────────────────────────────────

ANSWERS = arrays.arrays(bool, st.tuples(st.integers(2, 6), st.integers(1, 40)))


@given(ANSWERS)
def test_the_interval_of_a_recipe_holds_its_mean_within_0_and_1_and_is_never_of_width_0(
    right: NDArray[np.bool_],
) -> None:
    found = recipe_accuracy(right)
    low, high = found.interval
    assert 0 <= low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= high <= 1
    assert high - low > 0
    if found.interval_of_seeds:
        assert 0 <= found.interval_of_seeds[0] < found.interval_of_seeds[1] <= 1


def test_seeds_that_make_no_error_leave_what_so_many_images_can_tell() -> None:
    found = recipe_accuracy(np.ones((3, 20), dtype=bool))
    assert found.interval == clopper_pearson_interval(20, 20)
    assert found.interval_of_seeds is None


def test_two_seeds_on_twenty_images_stay_within_bounds() -> None:
    right = np.ones((2, 20), dtype=bool)
    right[0, :6] = right[1, :2] = False
    low, high = recipe_accuracy(right).interval
    assert (low, high) == (0.0, 1.0)  # two seeds, 20 points apart, tell next to nothing, and this says so


def test_the_parts_are_those_of_the_two_way_analysis_of_variance() -> None:
    right = np.random.default_rng(0).random((4, 300)) < np.linspace(0.6, 1.0, 300)
    residual = right - right.mean(axis=0) - right.mean(axis=1)[:, None] + right.mean()
    rest = (residual**2).sum() / (3 * 299)
    assert seed_spread(right).rest == pytest.approx(rest)

    images = right.mean(axis=0).var(ddof=1) - rest / 4
    of_images = max(images / 300, (300 * images + 1) / 304**2)
    halves = [
        stats.t.ppf(0.975, 3) * right.mean(axis=1).std(ddof=1) / 2,
        stats.t.ppf(0.975, 299) * np.sqrt(of_images),
    ]
    assert np.diff(recipe_accuracy(right).interval)[0] / 2 == pytest.approx(np.hypot(*halves))


def test_without_the_answers_to_each_image_the_interval_is_the_wider_one() -> None:
    right = Recipe(accuracy=0.92).draw(5, 1000, np.random.default_rng(0))
    known, unknown = recipe_accuracy(right), recipe_accuracy_of_scores(right.mean(axis=1).tolist(), 1000)
    assert (known.mean, known.sd) == pytest.approx((unknown.mean, unknown.sd))
    assert unknown.interval[0] < known.interval[0] < known.interval[1] < unknown.interval[1]


@pytest.mark.parametrize("accuracy", [0.6, 0.92, 0.99])
@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("n", [100, 1000])
def test_the_interval_of_a_recipe_holds_its_accuracy_in_93_percent_of_cases(
    n: int, seeds: int, accuracy: float
) -> None:
    """The whole table, with 10,000 images and other kinds of seeds, is made by benchmarks/interval_coverage.py."""
    recipe, generator, repeats = Recipe(accuracy=accuracy), np.random.default_rng(n + seeds), 600
    covered = 0
    for _ in range(repeats):
        low, high = recipe_accuracy(recipe.draw(seeds, n, generator)).interval
        covered += low <= accuracy <= high
    assert covered / repeats > 0.93 - 2 * 0.009  # of 600 repeats a share of 95 % has a standard error of 0.9 points


def test_an_interval_of_seeds_alone_would_not_do() -> None:
    """Why images count too: 20 seeds on 1,000 images, and what 0.1 printed as the interval of the mean."""
    recipe, generator = Recipe(accuracy=0.92), np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = recipe_accuracy(recipe.draw(20, 1000, generator)).interval_of_seeds or (0, 0)
        covered += low <= 0.92 <= high
    assert covered / 200 < 0.5


@pytest.mark.parametrize(("classes", "n", "recall"), [(10, 10, 0.74), (10, 100, 0.9), (10, 1000, 0.92), (3, 30, 0.7)])
def test_the_interval_of_the_weakest_class_allows_for_its_having_been_picked(
    classes: int, n: int, recall: float
) -> None:
    least = np.random.default_rng(0).binomial(n, recall, (2000, classes)).min(axis=1)
    bounds = [least_of_several_interval(int(right), n, classes) for right in least]
    assert np.mean([low <= recall <= high for low, high in bounds]) >= 0.95
    assert least_of_several_interval(7, 10, 1) == pytest.approx(clopper_pearson_interval(7, 10))
