"""The geometry of the curves: what is drawn lies where the axes say, and no spike is lost."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

import fittingroom as fr
from fittingroom.rendering.axes import COLUMNS, thinned, ticks
from fittingroom.report.curves import accuracy_panel, history_of, loss_panel, rate_panel, smoothing_in_words
from fittingroom.runs.metrics_log import read_metrics
from tests.support import GOLDEN

RECORDED = GOLDEN / "diagnosis"
TOP, BOTTOM = 30.0, 230.0


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 5, 8, [0, 1, 2, 3, 4, 5]),
        (0, 18_800, 4, [0, 5_000, 10_000, 15_000]),
        (0.65, 1, 5, [0.7, 0.8, 0.9, 1]),
        (2, 2, 5, [2]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, count: int, expected: list[float]) -> None:
    assert ticks(low, high, count, least=0) == pytest.approx(expected)


def test_thinning_keeps_order_and_every_extreme() -> None:
    points = [(float(x), float((x * 7919) % 101)) for x in range(20_000)]
    points[12_345] = (12_345.0, 1e6)
    kept = thinned(points)
    assert len(kept) <= 2 * COLUMNS
    assert kept == sorted(kept)
    assert (12_345.0, 1e6) in kept
    assert set(kept) <= set(points)
    assert min(y for _, y in kept) == min(y for _, y in points)


def test_what_is_drawn_lies_where_the_axes_say() -> None:
    events = read_metrics(RECORDED / "over-fitting" / "metrics.jsonl")
    history = history_of(events)
    assert history is not None
    panel = loss_panel([history], [30], TOP, BOTTOM)
    y = {float(tick.label): tick.position for tick in panel.y_ticks}
    per_nat = (y[0.5] - y[0]) / 0.5
    x = {int(tick.label.replace(",", "")): tick.position for tick in panel.x_ticks}
    per_step = (x[400] - x[0]) / 400
    validation = next(line for line in panel.lines if line.kind == "validation")

    for epoch, (dot_x, dot_y, text) in zip(history.epochs, validation.dots, strict=True):
        assert dot_y == pytest.approx(y[0] + per_nat * epoch["validation_loss"], abs=0.02)
        assert dot_x == pytest.approx(x[0] + per_step * epoch["step"], abs=0.02)
        assert text == f"epoch {epoch['epoch'] + 1}, validation: {epoch['validation_loss']:.4f}"

    epoch_10 = next(tick for tick in panel.epoch_ticks if tick.label == "10")
    assert epoch_10.position == pytest.approx(validation.dots[9][0], abs=0.02)
    assert max(step["loss"] for step in history.steps) == pytest.approx(panel.above[1])


def test_the_end_of_a_stage_is_marked_at_its_last_step() -> None:
    history = history_of(read_metrics(RECORDED / "over-fitting" / "metrics.jsonl"))
    assert history is not None
    for panel in (f([history], [10, 15, 5], TOP, BOTTOM) for f in (loss_panel, accuracy_panel, rate_panel)):
        ends = [next(t.position for t in panel.epoch_ticks if t.label == label) for label in ("10", "25")]
        assert panel.borders == pytest.approx(ends, abs=0.02)


def test_a_loss_far_above_the_rest_is_counted_and_does_not_flatten_the_curve() -> None:
    events = [json.loads(json.dumps(event)) for event in read_metrics(RECORDED / "over-fitting" / "metrics.jsonl")]
    history = history_of(events)
    assert history is not None
    plain = loss_panel([history], [30], TOP, BOTTOM)
    history.steps[200]["loss"] = 1e6
    spoilt = loss_panel([history], [30], TOP, BOTTOM)

    assert [tick.label for tick in spoilt.y_ticks] == [tick.label for tick in plain.y_ticks]

    positions = [tick.position for tick in plain.y_ticks]
    assert [tick.position for tick in spoilt.y_ticks] == pytest.approx(positions, abs=10)

    y = {tick.label: tick.position for tick in spoilt.y_ticks}
    highest_drawn = (BOTTOM - TOP) / (y["0"] - y["1"])
    means = [epoch[key] for epoch in history.epochs for key in ("train_loss", "validation_loss")]
    drawn = [step["loss"] for step in history.steps] + means
    assert spoilt.above == (sum(loss > highest_drawn for loss in drawn), 1e6)


def test_of_several_seeds_the_frame_fits_what_is_drawn_of_them() -> None:
    history = history_of(read_metrics(RECORDED / "over-fitting" / "metrics.jsonl"))
    assert history is not None
    panel = loss_panel([history, history], [30], TOP, BOTTOM)
    assert {line.kind for line in panel.lines} == {"train", "validation"}

    means = [epoch[key] for epoch in history.epochs for key in ("train_loss", "validation_loss")]
    y = {tick.label: tick.position for tick in panel.y_ticks}
    label = next(label for label in y if float(label) > 0)
    highest_drawn = (BOTTOM - TOP) / (y["0"] - y[label]) * float(label)
    assert highest_drawn <= 1.05 * max(means)
    assert panel.above[0] == 2 * sum(mean > highest_drawn for mean in means)


def test_there_is_nothing_to_draw_before_the_first_step() -> None:
    assert history_of([{"event": "format", "format": 1}]) is None


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_no_answer_brings_the_smoothed_loss_below_what_the_key_says(share: float, classes: int) -> None:
    words = smoothing_in_words(fr.load_recipe("plain", overrides=[f"label_smoothing={share}"]), classes)
    said = float(words.split()[-2])

    # The loss as it is trained, at its least: where the answer is the smoothed target itself; mixed images have more.
    target = torch.full((classes,), share / classes, dtype=torch.float64)
    target[0] += 1 - share
    least = F.cross_entropy(target.log()[None], torch.tensor([0]), label_smoothing=share).item()
    assert said <= least < said + 0.01
    mixed = torch.zeros(1, classes, dtype=torch.float64)
    mixed[0, 0], mixed[0, 1] = 0.7, 0.3
    best = (mixed * (1 - share) + share / classes).log()
    assert F.cross_entropy(best, mixed, label_smoothing=share).item() >= said

    assert smoothing_in_words(fr.load_recipe("plain", overrides=["label_smoothing=0"]), classes) == ""
