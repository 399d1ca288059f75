"""What a study may say, and when: claims without cause stay rare over all looks and ideas."""

import numpy as np
import pytest

from fittingroom.ideas.decide import FIRST_LEVEL, LATER_LEVELS, LOOKS, judge, level_at
from tests.support.simulated_answers import Scene

EFFECT = 0.005


def answers_of(*accuracies: float, seeds: int = 3, images: int = 20_000) -> list[np.ndarray]:
    """Sides that get the first images right, each seed ten more than the last."""
    return [
        np.arange(images) < np.array([[round(share * images) + 10 * s] for s in range(seeds)]) for share in accuracies
    ]


def test_all_looks_together_spend_five_percent() -> None:
    assert sum(map(level_at, range(len(LOOKS)))) == pytest.approx(0.05) == FIRST_LEVEL + LATER_LEVELS


def test_a_large_difference_is_told_at_the_first_look_and_in_its_direction() -> None:
    base, up, down = answers_of(0.80, 0.85, 0.75)
    found = judge({"up": (base, up), "down": (base, down)}, 0, EFFECT)
    assert {name: judgement.verdict for name, judgement in found.items()} == {"up": "better", "down": "worse"}
    assert found["up"].interval[0] > 0 > found["down"].interval[1]
    assert found["up"].confidence == pytest.approx(1 - FIRST_LEVEL / 2)


def test_the_same_answers_are_smaller_than_the_effect() -> None:
    base, same = answers_of(0.9, 0.9)
    assert judge({"same": (base, same)}, 0, EFFECT)["same"].verdict == "smaller than the effect"


def test_a_study_ends_where_the_images_forbid_an_answer() -> None:
    generator = np.random.default_rng(0)
    base, other = Scene(first_sd=0, second_sd=0, taste=0.2).draw((12, 12), 300, generator)
    judgement = judge({"idea": (base, other)}, 4, EFFECT)["idea"]
    assert (judgement.verdict, judgement.reason) == ("cannot tell", "on these images")
    assert judgement.visible_at_best is not None
    assert judgement.visible_at_best > EFFECT


def test_on_fewer_than_200_images_nothing_is_said_of_what_any_number_of_seeds_would_show() -> None:
    generator = np.random.default_rng(0)
    for images in (30, 199, 200):
        base, other = Scene(first_sd=0, second_sd=0, taste=0.2).draw((12, 12), images, generator)
        assert (judge({"idea": (base, other)}, 4, EFFECT)["idea"].visible_at_best is None) == (images < 200)


def test_the_last_look_leaves_nothing_open() -> None:
    generator = np.random.default_rng(0)
    base, other = Scene(gain=0.5, first_sd=1.0, second_sd=1.0).draw((32, 32), 20_000, generator)
    judgement = judge({"idea": (base, other)}, len(LOOKS) - 1, EFFECT)["idea"]
    assert judgement.verdict is not None


def test_of_studies_without_cause_few_claim_one() -> None:
    """200 studies of three ideas that are as good as the baseline, all looks: at 5% at most, 10 are expected."""
    generator = np.random.default_rng(0)
    claimed = 0
    for _ in range(200):
        base, *others = Scene(first_sd=0.3, second_sd=0.3).draw_several(3, 12, 500, generator)
        still_open = {f"{number}": right_SN for number, right_SN in enumerate(others)}
        verdicts = set()
        for look, pairs in enumerate(LOOKS[:5]):
            found = judge(
                {name: (base[:pairs], right_SN[:pairs]) for name, right_SN in still_open.items()}, look, EFFECT
            )
            verdicts |= {judgement.verdict for judgement in found.values()}
            still_open = {name: still_open[name] for name, judgement in found.items() if judgement.verdict is None}
            if not still_open:
                break
        claimed += bool(verdicts & {"better", "worse"})
    assert claimed <= 18  # P(more | 5 %) is below 1 %


def test_an_idea_among_several_needs_more_than_one_alone_and_less_once_others_are_told() -> None:
    """Holm's correction: of m open ideas the surest is held to the level / m, the next one to the level / (m - 1)."""
    generator = np.random.default_rng(0)
    scene = Scene(gain=1.0, first_sd=0.3, second_sd=0.3)
    for _ in range(200):
        base, other = scene.draw((3, 3), 2_000, generator)
        alone = judge({"idea": (base, other)}, 0, EFFECT)["idea"]
        if 0.015 < alone.p_value < 0.03:
            break
    assert alone.verdict == "better"

    nothing = {f"{number}": (base, base.copy()) for number in range(8)}
    among = judge({"idea": (base, other), **nothing}, 0, EFFECT)["idea"]
    assert (among.p_value, among.verdict) == (alone.p_value, None)
    assert judge({"idea": (base, other), "0": nothing["0"]}, 0, EFFECT)["idea"].verdict is None
    surer = (base, np.ones_like(base))
    assert judge({"surer": surer, "idea": (base, other)}, 0, EFFECT)["idea"].verdict == "better"


def test_of_ideas_as_large_as_the_effect_few_are_called_smaller() -> None:
    """100 ideas, all looks up to 12 pairs: half of their differences are below the effect, and 5% are expected."""
    generator = np.random.default_rng(0)
    denied = 0
    for _ in range(100):
        base, other = Scene(gain=100 * EFFECT, first_sd=0.2, second_sd=0.2).draw((12, 12), 4_000, generator)
        for look, pairs in enumerate(LOOKS[:5]):
            verdict = judge({"idea": (base[:pairs], other[:pairs])}, look, EFFECT)["idea"].verdict
            if verdict is not None:
                denied += verdict == "smaller than the effect"
                break
    assert denied <= 11  # P(more | 5 %) is below 1 %


def test_ideas_whose_seeds_vary_far_more_than_the_baselines_are_claimed_as_rarely() -> None:
    """300 studies of nine ideas, at the first look, that spends 3 %: 9 are expected at most."""
    generator = np.random.default_rng(1)
    claimed = 0
    for _ in range(300):
        base, *others = Scene(first_sd=0.1, second_sd=1.0).draw_several(9, LOOKS[0], 10_000, generator)
        found = judge({f"{number}": (base, right_SN) for number, right_SN in enumerate(others)}, 0, EFFECT)
        claimed += any(judgement.verdict in ("better", "worse") for judgement in found.values())
    assert claimed <= 17  # P(more | 3 %) is below 1 %


def test_of_groups_it_is_these_that_tell() -> None:
    """Better on 15 groups of 20 images and worse on 10: by images that is plain, by groups it may well be chance."""
    group_N = np.repeat(np.arange(25), 20)
    base = np.tile(group_N >= 15, (3, 1))
    base[:, :10] ^= np.eye(3, 10, dtype=bool)  # seeds that aren't all alike
    sides = {"idea": (base, ~base)}
    assert judge(sides, 0, EFFECT)["idea"].verdict == "better"
    by_groups = judge(sides, 0, EFFECT, group_N=group_N)["idea"]
    assert by_groups.verdict != "better"
    assert by_groups.p_value > 0.2
    assert by_groups.interval[0] < 0 < by_groups.interval[1]

    # An idea that helps in each group is told by groups too, and groups of one image are no groups.
    some = np.tile(np.arange(500) % 20 < 14, (3, 1)) ^ np.eye(3, 500, dtype=bool)
    more = np.tile(np.arange(500) % 20 < 17, (3, 1)) ^ np.eye(3, 500, dtype=bool)
    assert judge({"idea": (some, more)}, 0, EFFECT, group_N=group_N)["idea"].verdict == "better"


def test_of_studies_on_groups_few_claim_without_cause() -> None:
    generator, claims = np.random.default_rng(0), 0
    group_N = np.repeat(np.arange(30), 20)
    for _ in range(60):
        # each side is as good over all groups that there could be, and not on each of these
        base, idea = (
            generator.random((6, 600)) < 0.1 * generator.random() + 0.9 * (generator.random(30) < 0.8)[group_N]
            for _ in "ab"
        )
        claims += judge({"idea": (base, idea)}, 2, EFFECT, group_N=group_N)["idea"].verdict in ("better", "worse")
    assert claims <= 3  # taken for unrelated images it is 34 of them
