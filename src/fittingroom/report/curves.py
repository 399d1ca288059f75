"""The geometry of a training's curves: events in, positions and SVG paths out. The report's template draws them.

Positions are in pixels of the drawing, y downwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fittingroom.rendering.axes import Scale, Tick, svg_path, thinned, ticks

WIDTH, LEFT, RIGHT = 440, 44, 8  # of the drawing, and its margins beside the frame


@dataclass(frozen=True)
class Line:
    """One curve: ``kind`` decides its colour and marker (``step``, ``train``, ``validation``, ``lr``)."""

    kind: str
    path: str
    dots: Sequence[tuple[float, float, str]] = ()  # x, y, and what the dot says when asked


@dataclass(frozen=True)
class Panel:
    """One frame with its curves.

    Attributes:
        title: what is drawn, with its unit.
        top, bottom: of the frame.
        x_ticks: steps; epoch_ticks: epochs, above; y_ticks: values.
        borders: where a stage ends.
        lines: drawn in order.
        above: points that are higher than the frame, and the highest of them.
    """

    title: str
    top: float
    bottom: float
    x_ticks: Sequence[Tick]
    epoch_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    borders: Sequence[float]
    lines: Sequence[Line]
    above: tuple[int, float] = (0, 0.0)


@dataclass(frozen=True)
class History:
    """What the curves of one training are drawn from. ``name`` tells apart several trainings in one drawing."""

    name: str
    steps: Sequence[dict[str, Any]]
    epochs: Sequence[dict[str, Any]]
    steps_per_epoch: int
    planned_steps: int


def history_of(events: Sequence[dict[str, Any]], name: str = "") -> History | None:
    """The steps and epochs among the events of ``metrics.jsonl``; None before the first step."""
    starts = [event for event in events if event["event"] == "start"]
    steps = [event for event in events if event["event"] == "step"]
    epochs = [event for event in events if event["event"] == "epoch"]
    if not starts or not steps:
        return None
    per_epoch = starts[-1]["steps_per_epoch"]
    return History(name, steps, epochs, per_epoch, starts[-1]["epochs"] * per_epoch)


def loss_limit(steps: Sequence[float], means: Sequence[float]) -> float:
    """Where the axis of losses ends: a first batch, or a rare bad one, does not press the rest to the floor.

    Args:
        steps: losses of steps; may be empty.
        means: losses of epochs; may be empty.
    """
    losses = sorted(steps or means or [1.0])
    high = max(losses[int(0.98 * (len(losses) - 1))], sorted(means)[int(0.9 * (len(means) - 1))] if means else 0)
    return min(1.05 * max(losses[-1], *means, 0), 1.15 * high) or 1.0


def loss_panel(histories: Sequence[History], stage_epochs: Sequence[int], top: float, bottom: float) -> Panel:
    """Loss in nats from 0: the means of epochs, and of one training each step. Rare far higher ones are counted, not
    drawn."""
    means = [
        epoch[key]
        for history in histories
        for epoch in history.epochs
        for key in ("train_loss", "validation_loss")
        if epoch[key] is not None
    ]
    steps = [step["loss"] for step in histories[0].steps] if len(histories) == 1 else []
    high = loss_limit(steps, means)
    x, y = _x(histories), Scale(0, high, bottom, top)
    lines = []
    for history in histories:
        if len(histories) == 1:
            lines.append(Line("step", svg_path(thinned([(x(s["step"]), y(s["loss"])) for s in history.steps]))))
        lines += _epoch_lines(history, "loss", x, y, "{:.4f}")
    outside = [value for value in (*steps, *means) if value > high]
    marks = [Tick(y(value), f"{value:g}") for value in _rounded(ticks(0, high, 5))]
    above = (len(outside), max(outside, default=0.0))
    return _panel("loss (cross-entropy, nats)", histories, stage_epochs, (top, bottom), marks, lines, above)


def accuracy_panel(histories: Sequence[History], stage_epochs: Sequence[int], top: float, bottom: float) -> Panel:
    """Share of right answers by epoch. The axis ends at 100 % and starts below the lowest of the later values."""
    values = [
        epoch[key]
        for history in histories
        for epoch in history.epochs
        for key in ("train_accuracy", "validation_accuracy")
        if epoch[key] is not None
    ]
    low = max(0.0, math.floor(20 * (min(values, default=0) - 0.01)) / 20)
    x, y = _x(histories), Scale(low, 1, bottom, top)
    lines = [line for history in histories for line in _epoch_lines(history, "accuracy", x, y, "{:.2%}")]
    marks = [Tick(y(value), f"{value:.0%}") for value in ticks(low, 1, 5, least=0.01)]
    return _panel("accuracy", histories, stage_epochs, (top, bottom), marks, lines)


def rate_panel(histories: Sequence[History], stage_epochs: Sequence[int], top: float, bottom: float) -> Panel:
    """Learning rate by step, from 0; it is the same for every seed."""
    first = histories[0]
    peak = max(step["lr"] for step in first.steps)
    x, y = _x(histories), Scale(0, 1.08 * peak, bottom, top)
    line = Line("lr", svg_path(thinned([(x(step["step"]), y(step["lr"])) for step in first.steps])))
    marks = [Tick(y(value), f"{value:g}") for value in (0, float(f"{peak:.3g}"))]
    return _panel("learning rate", histories, stage_epochs, (top, bottom), marks, [line])


def _x(histories: Sequence[History]) -> Scale:
    last = max(history.steps[-1]["step"] for history in histories)
    return Scale(0, last, LEFT, WIDTH - RIGHT)


def _epoch_lines(history: History, what: str, x: Scale, y: Scale, form: str) -> list[Line]:
    """Training and validation by epoch, with a dot at each where they are not too many to be told apart."""
    lines = []
    for kind in ("train", "validation"):
        done = [epoch for epoch in history.epochs if epoch[f"{kind}_{what}"] is not None]
        points = [(x(epoch["step"]), y(epoch[f"{kind}_{what}"])) for epoch in done]
        names = [
            f"{history.name} epoch {epoch['epoch'] + 1}, {kind}: {form.format(epoch[f'{kind}_{what}'])}".strip()
            for epoch in done
        ]
        if points:
            dots = [(*point, name) for point, name in zip(points, names, strict=True)]
            lines.append(Line(kind, svg_path(points), dots if len(points) <= 100 else ()))
    return lines


def _panel(
    title: str,
    histories: Sequence[History],
    stage_epochs: Sequence[int],
    frame: tuple[float, float],
    y_ticks: Sequence[Tick],
    lines: Sequence[Line],
    above: tuple[int, float] = (0, 0.0),
) -> Panel:
    x, per_epoch = _x(histories), histories[0].steps_per_epoch
    ends = [sum(stage_epochs[:i]) * per_epoch for i in range(1, len(stage_epochs))]
    return Panel(
        title=title,
        top=frame[0],
        bottom=frame[1],
        x_ticks=[Tick(x(step), f"{step:,.0f}") for step in ticks(0, x.high, 4, least=1)],
        epoch_ticks=[Tick(x(e * per_epoch), f"{e:.0f}") for e in ticks(0, x.high / per_epoch, 8, least=1)],
        y_ticks=y_ticks,
        borders=[x(end) for end in ends if end < x.high],
        lines=lines,
        above=above,
    )


def _rounded(values: Sequence[float]) -> list[float]:
    """Without the last digits of binary fractions, which 3 × 0.1 shows."""
    return [float(f"{value:.6g}") for value in values]
