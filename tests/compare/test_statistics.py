"""What a comparison promises of its test and interval: by simulation, against definitions, against each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fittingroom.compare.mcnemar import exact_mcnemar, images_needed, paired_interval
from fittingroom.compare.seed_variance import CrossedDifference, crossed_difference
from fittingroom.compare.verdict import holm
from fittingroom.evaluation.intervals import SeedSpread
from fittingroom.runs.compare_ledger import level_of_look
from tests.support.simulated_answers import Recipe, Scene, calibrate_models, calibrate_recipes

REPEATS = 3000
IMAGES = 1000
SAME = Scene(taste=0, first_sd=0, second_sd=0)  # one recipe against itself, whose seeds differ by chance over images
EQUAL = Scene(first_sd=0.3, second_sd=0.3)  # two recipes, equally good, that find other images hard
UNLIKE = Scene(first_sd=0.3, second_sd=0.6)  # the same, but the second's seeds vary twice as much
BETTER = Scene(gain=1.0, first_sd=0.3, second_sd=0.3)
SEEDS = [2, 10, *(pytest.param(seeds, marks=pytest.mark.nightly) for seeds in (3, 5))]


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("scene", [SAME, EQUAL, UNLIKE], ids=["same", "equal", "unlike"])
def test_recipes_without_a_difference_are_told_apart_in_6_percent_at_most(scene: Scene, seeds: int) -> None:
    calibration = calibrate_recipes(scene, (seeds, seeds), images=IMAGES, repeats=REPEATS, seed=seeds)
    assert scene.difference == pytest.approx(0, abs=1e-3)
    assert calibration.claimed <= 0.06

    # Two recipes that find the same images hard leave no variance of images but that of the pseudo-images. Where few
    # seeds happen to agree the interval is that of these very models: without, it held in 81 to 89% of such cases.
    assert 0.93 <= calibration.covered <= (0.99 if scene == SAME else 0.98)


@pytest.mark.parametrize("seeds", SEEDS)
def test_intervals_of_recipes_hold_the_true_difference(seeds: int) -> None:
    calibration = calibrate_recipes(BETTER, (seeds, seeds), images=IMAGES, repeats=REPEATS, seed=seeds)
    assert BETTER.difference > 0.009
    assert 0.93 <= calibration.covered <= 0.98
    assert calibration.claimed > (0.5 if seeds == 10 else 0.05)


@pytest.mark.parametrize("gain", [0.0, *(pytest.param(gain, marks=pytest.mark.nightly) for gain in (0.5, 3.0))])
def test_intervals_of_models_hold_the_true_difference(gain: float) -> None:
    scene = Scene(gain=gain, first_sd=0, second_sd=0)
    calibration = calibrate_models(scene, images=3000, repeats=600, seed=0)
    assert 0.93 <= calibration.covered <= 0.97
    if gain == 0:
        assert calibration.claimed <= 0.06


def test_satterthwaites_own_degrees_of_freedom_would_not_do() -> None:
    """Why there is a method of our own: at two seeds Satterthwaite's intervals miss too often."""
    generator, scene, missed = np.random.default_rng(0), Scene(first_sd=0, second_sd=1.5), 0
    for _ in range(REPEATS):
        crossed = crossed_difference(*scene.draw((2, 2), IMAGES, generator))
        parts = [(spread.between / spread.seeds, spread.seeds - 1) for spread in crossed.spreads]
        parts.append((crossed.image_variance, crossed.n - 1))
        degrees = crossed.variance**2 / sum(part**2 / f for part, f in parts)
        half = stats.t.ppf(0.975, degrees) * math.sqrt(crossed.variance)
        missed += abs(crossed.difference - scene.difference) > half

    assert missed / REPEATS > 0.07


def test_no_share_of_the_variance_is_counted_twice() -> None:
    """The estimate of the variance, over many repeats, is the variance that the difference has."""
    generator = np.random.default_rng(0)
    samples = [crossed_difference(*EQUAL.draw((3, 4), IMAGES, generator)) for _ in range(REPEATS)]
    true = np.var([sample.difference for sample in samples], ddof=1)
    assert np.mean([sample.variance for sample in samples]) == pytest.approx(true, rel=0.12)


def test_components_are_those_of_the_two_way_analysis_of_variance() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.random((3, 60)) < 0.8, generator.random((5, 60)) < 0.7
    crossed = crossed_difference(first, second)
    assert crossed.difference == pytest.approx(second.mean() - first.mean())

    for right, spread in zip((first, second), crossed.spreads, strict=True):
        residual = right - right.mean(axis=0) - right.mean(axis=1)[:, None] + right.mean()
        assert spread.rest == pytest.approx((residual**2).sum() / ((len(right) - 1) * 59))
        assert spread.between == pytest.approx(right.mean(axis=1).var(ddof=1))

    expected = np.var(second.mean(axis=0) - first.mean(axis=0), ddof=1) / 60
    expected -= sum(spread.rest / spread.seeds for spread in crossed.spreads) / 60
    expected = max(0, expected)
    with_pseudo_images = (60**2 * expected + 1) / 62**2
    assert crossed.image_variance == pytest.approx(with_pseudo_images)


def test_with_seeds_that_dominate_it_is_the_t_test_of_the_seeds() -> None:
    spreads = SeedSpread(5, 4e-4, 0.0), SeedSpread(5, 4e-4, 0.0)
    crossed = CrossedDifference(difference=0.02, n=10_000, image_variance=0.0, model_variance=1e-12, spreads=spreads)
    expected = stats.ttest_ind_from_stats(0.02, 0.02, 5, 0.0, 0.02, 5)
    assert crossed.degrees == pytest.approx(8)
    assert crossed.p_value == pytest.approx(expected.pvalue)


def test_with_images_that_dominate_it_is_the_normal_test_of_the_images() -> None:
    spreads = SeedSpread(5, 0.0, 0.0), SeedSpread(5, 0.0, 0.0)
    crossed = CrossedDifference(difference=0.002, n=10_000, image_variance=1e-6, model_variance=1e-6, spreads=spreads)
    assert crossed.p_value == pytest.approx(2 * stats.norm.sf(2), rel=1e-3)


def test_seeds_that_all_score_the_same_leave_the_variance_of_the_images() -> None:
    first = np.array([[1, 1, 0, 0, 1, 1], [1, 0, 1, 0, 1, 1]], dtype=bool)
    second = np.array([[0, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1]], dtype=bool)
    crossed = crossed_difference(first, second)
    assert all(spread.between == 0 for spread in crossed.spreads)
    low, high = crossed.interval()
    assert low < crossed.difference < high


def test_seeds_that_happen_to_agree_leave_what_these_very_models_would_have_on_other_images() -> None:
    # Each seed errs on images of its own, both of a side equally often: seeds seem not to vary, and images hardly.
    first, second = np.ones((2, 2, 1000), bool)
    first[0, :40] = first[1, 40:80] = False
    second[0, 80:100] = second[1, 100:120] = False
    crossed = crossed_difference(first, second)
    assert all(spread.between == 0 for spread in crossed.spreads)
    assert math.sqrt(crossed.variance) < 0.0011

    # The plain test of a mean over images.
    by_image = second.mean(axis=0) - first.mean(axis=0)
    error = by_image.std(ddof=1) / math.sqrt(1000)
    low, high = crossed.interval()
    assert (low, high) == pytest.approx((0.02 - 1.96 * error, 0.02 + 1.96 * error), rel=0.03)
    assert crossed.p_value == pytest.approx(2 * stats.norm.sf(0.02 / error), rel=0.3)


def test_the_same_answers_throughout_are_no_difference_but_no_certainty() -> None:
    right = np.tile(np.array([True, True, False, True]), (3, 1))
    crossed = crossed_difference(right, right)
    assert (crossed.difference, crossed.p_value) == (0, 1)
    low, high = crossed.interval()
    assert low < 0 < high
    assert high - low > 0.5  # four images


def test_the_planned_seeds_show_the_difference_in_four_of_five_comparisons() -> None:
    scene, images = Scene(gain=0.4, first_sd=0.3, second_sd=0.3), 20_000
    spreads = [crossed_difference(*scene.draw((10, 10), images, np.random.default_rng(seed))) for seed in range(20)]
    plans = [spread.seeds_needed(scene.difference) for spread in spreads]
    seeds = round(float(np.median([plan for plan in plans if plan is not None])))
    assert None not in plans
    assert 5 < seeds < 20
    assert 0.7 < calibrate_recipes(scene, (seeds, seeds), images=images, repeats=150, seed=0).claimed < 0.9


def test_no_number_of_seeds_makes_up_for_images() -> None:
    crossed = crossed_difference(*EQUAL.draw((5, 5), 1000, np.random.default_rng(0)))
    least = crossed.minimum_detectable_effect()
    assert crossed.seeds_needed(0.9 * least) is None

    needed = crossed.seeds_needed(1.5 * least)
    assert needed is not None
    assert crossed.power(1.5 * least, needed) >= 0.8 > crossed.power(1.5 * least, needed - 1)


COUNTS = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 5000)).filter(
    lambda counts: sum(counts) > 0
)


@given(COUNTS, st.sampled_from([0.9, 0.95, 0.995]))
def test_the_interval_leaves_out_zero_exactly_when_mcnemar_rejects(counts: tuple[int, int, int], level: float) -> None:
    first_only, second_only, rest = counts
    n = first_only + second_only + rest
    low, high = paired_interval(first_only, second_only, n, confidence=level)
    assert -1 <= low <= (second_only - first_only) / n <= high <= 1
    assert (low > 0 or high < 0) == (exact_mcnemar(first_only, second_only) < 1 - level)
    mirrored = paired_interval(second_only, first_only, n, confidence=level)
    assert mirrored == pytest.approx((-high, -low))


@pytest.mark.parametrize("counts", [(0, 0), (0, 1), (3, 9), (12, 12), (40, 75), (500, 300)])
def test_mcnemar_is_the_binomial_test(counts: tuple[int, int]) -> None:
    expected = stats.binomtest(counts[0], sum(counts)).pvalue if sum(counts) else 1.0
    assert exact_mcnemar(*counts) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("first_only", "second_only", "n"), [(10, 25, 200), (2, 9, 44), (250, 330, 10_000), (0, 5, 50)]
)
def test_the_interval_is_fay_and_lumbards_by_their_monte_carlo_definition(
    first_only: int, second_only: int, n: int
) -> None:
    generator, draws = np.random.default_rng(0), 400_000
    m = first_only + second_only
    shares = generator.beta(m, n - m + 1, draws), generator.beta(m + 1, n - m, draws)
    lower = generator.beta(second_only, first_only + 1, draws)
    upper = generator.beta(second_only + 1, first_only, draws) if first_only else np.ones(draws)
    expected = (
        min(np.quantile(share * (2 * lower - 1), 0.025) for share in shares),
        max(np.quantile(share * (2 * upper - 1), 0.975) for share in shares),
    )

    interval = paired_interval(first_only, second_only, n)
    assert interval == pytest.approx(expected, abs=0.01 * (expected[1] - expected[0]))


@pytest.mark.parametrize(("first_only", "second_only"), [(3, 0), (2, 1), (0, 3), (1, 2)])
def test_where_every_image_tells_them_apart_the_interval_stays_within_bounds(first_only: int, second_only: int) -> None:
    low, high = paired_interval(first_only, second_only, 3)
    assert -1 <= low < 0 < high <= 1


def test_as_many_images_as_planned_show_the_difference_in_four_of_five_comparisons() -> None:
    scene = Scene(gain=1.0, first_sd=0, second_sd=0)
    (first,), (second,) = scene.draw((1, 1), 400_000, np.random.default_rng(0))
    images = images_needed(scene.difference, float((first != second).mean()))
    claimed = calibrate_models(scene, images=images, repeats=400, seed=1).claimed
    assert 0.72 < claimed < 0.86


def test_holm_is_bonferroni_for_the_smallest_and_never_falls() -> None:
    assert holm([0.04, 0.001, 0.03, 0.005]) == pytest.approx([0.06, 0.004, 0.06, 0.015])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("n", "lost"), [(5, 5), (20, 4), (20, 1), (20, 0), (100, 0), (199, 3)])
def test_on_few_images_seeds_that_agree_are_no_more_sure_than_two_models(n: int, lost: int) -> None:
    first, second = np.ones((3, n), dtype=bool), np.ones((3, n), dtype=bool)
    second[:, :lost] = False
    crossed = crossed_difference(first, second)
    assert crossed.p_value >= exact_mcnemar(lost, 0)

    low, high = crossed.interval()
    of_models = paired_interval(lost, 0, n)
    assert -1 <= low <= of_models[0] <= of_models[1] <= high <= 1
    assert low < high


@pytest.mark.parametrize("n", [20, 100, 300])
@pytest.mark.parametrize("accuracy", [0.92, 0.99])
def test_intervals_of_recipes_on_few_images_hold_and_are_never_of_width_0(n: int, accuracy: float) -> None:
    """The second recipe is wrong on 1.2 points more: with 20 images 0.1 held that in 65% of cases."""
    generator, repeats, held, claimed = np.random.default_rng(n), 300, 0, 0
    for _ in range(repeats):
        first, second, equal = (
            Recipe(accuracy=share).draw(2, n, generator) for share in (accuracy, accuracy - 0.012, accuracy)
        )
        low, high = crossed_difference(first, second).interval()
        assert low < high
        held += low <= -0.012 <= high
        claimed += crossed_difference(first, equal).p_value < 0.05
    assert held / repeats >= 0.93
    assert claimed / repeats <= 0.06


def test_the_planned_range_of_seeds_holds_the_right_number() -> None:
    """With 3 + 3 seeds a single number is 4 times too small or too large in a fifth of cases: hence a range."""
    generator, scene, effect = np.random.default_rng(0), Scene(first_sd=0.25, second_sd=0.25), 0.01
    right = crossed_difference(*scene.draw((200, 200), 5000, generator)).seeds_needed(effect)
    assert right is not None
    held, repeats = 0, 100
    for _ in range(repeats):
        low, high = crossed_difference(*scene.draw((3, 3), 5000, generator)).range_of_seeds_needed(effect)
        held += low is not None and low <= right and (high is None or right <= high)
    assert held / repeats >= 0.8


def test_the_levels_of_all_looks_add_up_to_6_percent() -> None:
    levels = [level_of_look(look) for look in range(1, 100_000)]
    assert levels[:2] == [0.05, pytest.approx(0.006079, abs=1e-6)]
    assert levels == sorted(levels, reverse=True)
    assert 0.0599 < sum(levels) <= 0.06


def test_a_cautious_interval_leaves_out_0_exactly_where_its_p_says_so_and_is_the_wider_one() -> None:
    generator = np.random.default_rng(5)
    for _ in range(30):
        sides = Scene(gain=1.0, first_sd=0.1, second_sd=1.0).draw((3, 3), 400, generator)
        usual, cautious = crossed_difference(*sides), crossed_difference(*sides, cautious=True)
        assert cautious.p_value >= usual.p_value - 1e-12
        for confidence in (0.5, 0.95, 0.997):
            low, high = cautious.interval(confidence)
            assert (low > 0 or high < 0) == (cautious.p_value < 1 - confidence)
            assert high - low >= usual.interval(confidence)[1] - usual.interval(confidence)[0] - 1e-12


@pytest.mark.parametrize("images", [60, 1000])
def test_images_judged_by_folds_count_for_less(images: int) -> None:
    """Nadeau and Bengio's factor: at 5 folds 2.25 times the variance by images."""
    sides = Scene(gain=4.0).draw((4, 4), images, np.random.default_rng(2))
    usual, folded = crossed_difference(*sides), crossed_difference(*sides, folds=5)
    assert folded.image_variance == pytest.approx(2.25 * usual.image_variance)
    assert folded.p_value >= usual.p_value
    width = usual.interval()[1] - usual.interval()[0]
    assert folded.interval()[1] - folded.interval()[0] > width
