"""Before minutes of training of large images their number is said, and saying it changes nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.events import Event, Hooks, TrainingStarted
from fittingroom.rendering.progress import _start_line
from fittingroom.training import expected_time
from fittingroom.training.fit import Fitted, fit


def recipe(*overrides: str) -> fr.Recipe:
    fixed = ("stages.0.epochs=3", "batch_size=16", "min_steps=0", "precision=float32", "validation=8")
    return fr.load_recipe("plain", overrides=[*fixed, *overrides])


def pictures(side: int) -> fr.Splits:
    draw_from = np.random.default_rng(0)
    images = draw_from.integers(0, 256, (40, side, side), dtype=np.uint8)
    return fr.Splits(fr.Dataset(images, np.arange(40) % 2, ("a", "b"), "noise"))


def started(side: int, *overrides: str) -> tuple[TrainingStarted, Fitted]:
    events: list[Event] = []
    fitted = fit(pictures(side), recipe(*overrides), device="cpu", hooks=Hooks(observe=events.append))
    (start,) = (event for event in events if isinstance(event, TrainingStarted))
    return start, fitted


def test_the_time_of_large_images_is_said_first_and_is_about_right() -> None:
    start, fitted = started(112)
    assert start.expected_seconds is not None
    assert 0.1 < start.expected_seconds / fitted.seconds < 10  # beside other programs it is off by some factor
    assert "on this machine" in _start_line(start)
    assert started(28)[0].expected_seconds is None


def test_measuring_it_changes_no_bit_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    _, measured = started(112)
    monkeypatch.setattr(expected_time, "LARGE", 10**9)
    start, alone = started(112)
    assert start.expected_seconds is None
    for name, tensor in measured.network.state_dict().items():
        assert tensor.equal(alone.network.state_dict()[name]), name


@pytest.mark.parametrize(
    ("seconds", "words"), [(42, "≈ 42 s on this machine"), (720, "≈ 12 min on"), (9_000, "≈ 2.5 h on this machine")]
)
def test_it_is_said_in_a_unit_that_one_can_read(seconds: float, words: str) -> None:
    start, _ = started(28)
    assert words in _start_line(dataclasses.replace(start, expected_seconds=seconds))
