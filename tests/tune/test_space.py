"""A search space is read key by key, and every problem of it is reported at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import fittingroom as fr
from fittingroom.tune.space import Choices, Range, apply, baseline_values, parse_space
from tests.tune.conftest import recipe


@pytest.mark.parametrize(
    "text",
    [
        'stages.0.lr = { low = 0.01, high = 0.1 }\nmodel_args = { widths = [[16], [32]] }\nshift = [0, 2]',
        '"stages.0.lr" = { low = 0.01, high = 0.1 }\n"model_args.widths" = [[16], [32]]\nshift = { choices = [0, 2] }',
        '[stages.0]\nlr = { low = 0.01, high = 0.1 }\n[model_args]\nwidths = [[16], [32]]\n[shift]\nchoices = [0, 2]',
    ],
)  # fmt: skip
def test_keys_may_be_written_as_toml_permits(text: str) -> None:
    space = parse_space(text, recipe())
    assert space == {
        "stages.0.lr": Range(low=0.01, high=0.1),
        "model_args.widths": Choices(([16], [32])),
        "shift": Choices((0, 2)),
    }


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("lr = { low = 1, high = 2 }", False),
        ("batch_size = { low = 8, high = 512, log = true }", True),
        ("model_args.depth = { low = 1, high = 2 }", True),
        ("model_args.dropout = { low = 0.0, high = 1.0 }", False),
    ],
)
def test_numbers_are_whole_where_the_recipe_has_whole_ones_or_the_space_says_so(text: str, whole: bool) -> None:
    (entry,) = parse_space(text, recipe()).values()
    assert isinstance(entry, Range)
    assert entry.whole == whole
    assert isinstance(entry.low, int if whole else float)


WRONG = """\
lr = { low = 0.1, high = 0.01 }
momentun = { low = 0.1, high = 0.9 }
seed = [1, 2]
mirror = ["none", "sideways"]
shift = { low = 0.5, high = 2 }

[stages.1]
lr = { low = 0.1, high = 0.2 }

[stages.0]
warmup = { low = 0.0, high = 1.0, log = true }
schedule = ["linear"]
"""


def test_every_problem_of_a_space_is_reported_at_once_with_its_line() -> None:
    with pytest.raises(fr.RecipeError) as failure:
        parse_space(WRONG, recipe(), where="space.toml")

    lines = str(failure.value).splitlines()
    expected = [
        r"space.toml, line 1: lr: low < high expected, 0.1 and 0.01 found",
        r"space.toml, line 2: momentun: the recipe has no such key; did you mean momentum?",
        r"space.toml, line 3: seed: not to be searched",
        r"space.toml, line 5: shift: a whole number expected for low, 0.5 found",
        r"space.toml, line 8: stages.1.lr: stages.0.lr expected",
        r"space.toml, line 11: stages.0.warmup: low > 0 expected with log, 0.0 found",
        r"space.toml, line 12: stages.0.schedule: two choices or more that differ expected",
        r"space.toml, line 4: mirror: none, random or alternating expected, 'sideways' found",
    ]
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one key to search expected"),
        ("lr = ", "not valid TOML"),
        ("lr = 0.1", "a range { low = …, high = … } or a list of choices expected, 0.1 found"),
        ("lr = { low = 0.1 }", "high missing"),
        ("lr = { low = 0.1, high = 1.0, step = 0.1, log = true }", "log or step expected"),
        ("lr = { low = 0.1, high = 1.0, log = 1 }", "true or false expected for log"),
        ("lr = { low = nan, high = 1.0 }", "a number expected for low, nan found"),
        (f"lr = {{ low = 0.1, high = 1{'0' * 400} }}", "a number expected for high, 1000"),
        ("lr = { low = 0.1, high = 1.0, steps = 3 }", "steps unknown"),
        ("shift = { low = 0, high = 2, step = 3 }", "a step above 0 and up to 2 expected"),
        ("lr = { low = -0.1, high = 0.1 }", "lr: > 0 and ≤ 1000 expected, -0.1 found"),
        ("validation = [100, 200]", "judged on the same validation images"),
        ("lr = [0.1, 0.2]\nstages.0.lr = [0.1, 0.2]", "leave one out"),
        ("shift = [1, 1]", "two choices or more that differ"),
        ("model_args = [1, 2]", "an argument of the model expected"),
    ],
)
def test_a_wrong_space_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(fr.RecipeError) as failure:
        parse_space(text, recipe())
    assert message in str(failure.value)


def test_a_value_that_goes_only_with_another_searched_key_is_no_problem() -> None:
    parse_space(
        "stages.0.warmup = [0.5, 3.5]\nstages.0.epochs = [3, 4]\nstages.0.schedule = ['linear', 'cosine']", recipe()
    )
    with pytest.raises(fr.RecipeError, match="one-cycle has its own warm-up"):
        parse_space("stages.0.warmup = [0.5, 1.0]", recipe())


def test_an_argument_that_the_model_does_not_take_is_refused_before_anything_is_trained(data: fr.Splits) -> None:
    with pytest.raises(fr.RecipeError, match=r"model_args.depth is not an argument of its constructor"):
        fr.tune_recipe(data, recipe(), "model_args.depth = [1, 2]", out="study")
    assert not Path("study").exists()


def test_lr_scales_all_stages_and_other_keys_are_set() -> None:
    two = replace(recipe(), stages=(fr.Stage(epochs=1, lr=0.1), fr.Stage(epochs=1, lr=0.02)))
    changed = apply(two, {"lr": 0.2, "stages.1.epochs": 3, "mirror": "none"})
    assert [(stage.epochs, stage.lr) for stage in changed.stages] == [(1, 0.2), (3, pytest.approx(0.04))]
    assert changed.mirror == "none"
    assert baseline_values(two, parse_space("lr = [0.1, 0.3]\nshift = [0, 1]", two)) == {"lr": 0.1, "shift": 0}
    assert baseline_values(two, parse_space("lr = [0.3, 0.4]", two)) is None


@pytest.mark.parametrize("key", ["size", "channels", "resize", "background", "photo"])
def test_what_becomes_of_pictures_is_not_searched(key: str) -> None:
    with pytest.raises(fr.RecipeError, match=f"{key}: not to be searched: all trials learn from the images as they"):
        parse_space(f"{key} = [16, 20]", recipe())
