"""The keys of a recipe as keyword arguments: as the options of the command, with an answer to a slip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.recipes.keywords import with_keys


def test_keys_are_what_overrides_are() -> None:
    by_keys = with_keys(fr.load_recipe("plain"), {"mirror": "random", "batch_size": 64, "size": (32, 24)})
    by_text = fr.load_recipe("plain", overrides=["mirror=random", "batch_size=64", "size=[32, 24]"])
    assert by_keys == by_text


def test_epochs_and_rate_are_shared_out_among_the_stages() -> None:
    recipe = with_keys(fr.load_recipe("tutorial"), {"epochs": 55, "lr": 0.02})
    assert [(stage.epochs, stage.lr) for stage in recipe.stages] == [(50, 0.02), (5, 0.002)]


def test_a_number_of_epochs_is_the_number_that_is_trained() -> None:
    plain = fr.load_recipe("plain")
    assert plain.min_steps > 0
    assert with_keys(plain, {"epochs": 1}).min_steps == 0
    assert with_keys(plain, {"stages": [fr.Stage(epochs=1, lr=0.01)]}).min_steps == 0
    assert with_keys(plain, {"lr": 0.01}).min_steps == plain.min_steps


def test_another_model_is_not_given_the_arguments_of_the_first() -> None:
    swift = fr.load_recipe("swift")
    assert swift.model_args
    assert with_keys(swift, {"model": "tutorial"}).model_args == {}
    assert with_keys(swift, {"mirror": "random"}).model_args == swift.model_args


def test_numbers_out_of_an_array_are_numbers() -> None:
    assert with_keys(fr.load_recipe("plain"), {"batch_size": np.int64(32)}).batch_size == 32


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"epoch": 1}, "epoch: unknown; did you mean epochs?"),
        ({"batchsize": 1}, "batchsize: unknown; did you mean batch_size?"),
        ({"thread": 1}, "thread: unknown; did you mean threads?"),
        ({"schedule": "cosine"}, r"schedule: a key of stages.*fr\.Stage"),
        ({"wobble": 1}, "wobble: unknown; a recipe has model, model_args, "),
        ({"epochs": 1.5}, "epochs: a whole number expected, 1.5 found"),
        ({"lr": "high"}, "lr: a number expected, 'high' found"),
        ({"mirror": "both", "ema": 2}, r"mirror: none, random or alternating expected.*\n.*ema: "),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(fr.RecipeError, match=message):
        with_keys(fr.load_recipe("plain"), keys, others=["threads"])
