"""The geometry of a training's curves: events in, positions out. The report's template draws them, and ``plots`` does.

Positions are in pixels of the drawing, y downwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fittingroom.recipes.recipe import Recipe
from fittingroom.rendering.axes import Point, Scale, Tick, svg_path, thinned, ticks
from fittingroom.rendering.share import share_text

WIDTH, LEFT, RIGHT = 440, 44, 8  # of the drawing, and its margins beside the frame
MAX_DOTS = 100  # on a line
TRAIN, VALIDATION, QUIET = "#4059ad", "#c53b4e", "#8d99ae"  # of loss.png: told apart by the colour-blind and in grey


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        kind: ``step``, ``train``, ``validation`` or ``lr``: decides colour and marker.
        points: x, y; drawn in order.
        dots: x, y, and the text that is shown when one points at it.
    """

    kind: str
    points: Sequence[Point]
    dots: Sequence[tuple[float, float, str]] = ()

    @property
    def path(self) -> str:
        """The ``d`` of an SVG path."""
        return svg_path(self.points)


@dataclass(frozen=True)
class Panel:
    """One frame with its curves.

    Attributes:
        title: what is drawn, with its unit.
        top, bottom: of the frame.
        x_ticks: steps, below the frame.
        epoch_ticks: epochs, above it.
        y_ticks: values.
        borders: where a stage ends.
        lines: drawn in order.
        above: how many points are higher than the frame, and the highest value of them.
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
    """What the curves of one training are drawn from.

    Attributes:
        name: tells apart several trainings in one drawing.
        steps, epochs: events of ``metrics.jsonl``; at least one step.
        steps_per_epoch: optimizer steps.
    """

    name: str
    steps: Sequence[dict[str, Any]]
    epochs: Sequence[dict[str, Any]]
    steps_per_epoch: int


def history_of(events: Sequence[dict[str, Any]], name: str = "") -> History | None:
    """Pick the steps and epochs among the events of ``metrics.jsonl``; None before the first step."""
    starts = [event for event in events if event["event"] == "start"]
    steps = [event for event in events if event["event"] == "step"]
    epochs = [event for event in events if event["event"] == "epoch"]
    if not starts or not steps:
        return None
    return History(name, steps, epochs, starts[-1]["steps_per_epoch"])


def loss_limit(steps: Sequence[float], means: Sequence[float]) -> float:
    """Choose where the axis of losses ends: a first batch, or a rare bad one, does not press the rest to the floor.

    Args:
        steps: losses of steps, in nats; may be empty.
        means: losses of epochs, in nats; may be empty.
    """
    losses = sorted(steps or means or [1.0])
    high = max(losses[int(0.98 * (len(losses) - 1))], sorted(means)[int(0.9 * (len(means) - 1))] if means else 0)
    return min(1.05 * max(losses[-1], *means, 0), 1.15 * high) or 1.0


def loss_panel(histories: Sequence[History], stage_epochs: Sequence[int], top: float, bottom: float) -> Panel:
    """Draw the loss in nats from 0: the means of epochs, and of a single training each step.

    Args:
        histories: one or more trainings.
        stage_epochs: epochs of each stage.
        top, bottom: of the frame.

    Returns:
        The panel; values that are rare and far higher are counted, not drawn.
    """
    means = [
        epoch[key]
        for history in histories
        for epoch in history.epochs
        for key in ("train_loss", "validation_loss")
        if epoch[key] is not None
    ]
    steps = [step["loss"] for step in histories[0].steps] if len(histories) == 1 else []
    high = loss_limit(steps, means)

    # The steps of several trainings on top of each other would be a cloud: there only the epochs are drawn.
    x, y = _x(histories), Scale(0, high, bottom, top)
    lines = []
    for history in histories:
        if len(histories) == 1:
            lines.append(Line("step", thinned([(x(s["step"]), y(s["loss"])) for s in history.steps])))
        lines += _epoch_lines(history, "loss", x, y, "{:.4f}".format)

    outside = [value for value in (*steps, *means) if value > high]
    marks = [Tick(y(value), f"{value:g}") for value in _rounded(ticks(0, high, 5))]
    above = (len(outside), max(outside, default=0.0))
    return _panel("loss", histories, stage_epochs, (top, bottom), marks, lines, above)


def accuracy_panel(histories: Sequence[History], stage_epochs: Sequence[int], top: float, bottom: float) -> Panel:
    """Draw accuracy by epoch; the axis ends at 100% and starts at a multiple of 5% below the lowest value.

    Args:
        histories: one or more trainings.
        stage_epochs: epochs of each stage.
        top, bottom: of the frame.
    """
    values = [
        epoch[key]
        for history in histories
        for epoch in history.epochs
        for key in ("train_accuracy", "validation_accuracy")
        if epoch[key] is not None
    ]

    low = max(0.0, math.floor(20 * (min(values, default=0) - 0.01)) / 20)
    x, y = _x(histories), Scale(low, 1, bottom, top)
    lines = [line for history in histories for line in _epoch_lines(history, "accuracy", x, y, share_text)]
    marks = [Tick(y(value), f"{value:.0%}") for value in ticks(low, 1, 5, least=0.01)]
    return _panel("accuracy", histories, stage_epochs, (top, bottom), marks, lines)


def rate_panel(histories: Sequence[History], stage_epochs: Sequence[int], top: float, bottom: float) -> Panel:
    """Draw the learning rate by step, from 0; it is the same for every seed.

    Args:
        histories: one or more trainings.
        stage_epochs: epochs of each stage.
        top, bottom: of the frame.
    """
    first = histories[0]
    peak = max(step["lr"] for step in first.steps)
    x, y = _x(histories), Scale(0, 1.08 * peak, bottom, top)
    line = Line("lr", thinned([(x(step["step"]), y(step["lr"])) for step in first.steps]))
    marks = [Tick(y(value), f"{value:g}") for value in (0, float(f"{peak:.2g}"))]
    return _panel("learning rate", histories, stage_epochs, (top, bottom), marks, [line])


def smoothing_in_words(recipe: Recipe, classes: int) -> str:
    """Say why the training loss may lie above validation's: ``with label smoothing 0.1, so never below 0.50 nats``.

    No answer brings the smoothed loss below the entropy of its targets, which are 1 − ε + ε/C for the label and ε/C for
    each other class; nor that of mixed images, whose targets have more.

    Args:
        recipe: of the training.
        classes: C, ≥ 2.

    Returns:
        Words that follow what is drawn; "" without smoothing.
    """
    share = recipe.label_smoothing
    if not share:
        return ""
    words = f"with label smoothing {share:g}"
    if recipe.loss != "cross_entropy" or recipe.class_weights != "none":  # weights scale each image's least loss
        return words

    other = share / classes
    label = 1 - share + other
    entropy = -label * math.log(label) - (classes - 1) * other * math.log(other)
    return f"{words}, so never below {math.floor(100 * entropy) / 100:.2f} nats"


def _x(histories: Sequence[History]) -> Scale:
    last = max(history.steps[-1]["step"] for history in histories)
    return Scale(0, last, LEFT, WIDTH - RIGHT)


def _epoch_lines(history: History, metric: str, x: Scale, y: Scale, text: Callable[[float], str]) -> list[Line]:
    """Draw training and validation by epoch, with a dot at each where they are not too many to be told apart."""
    lines = []
    for kind in ("train", "validation"):
        measured = [epoch for epoch in history.epochs if epoch[f"{kind}_{metric}"] is not None]
        points = [(x(epoch["step"]), y(epoch[f"{kind}_{metric}"])) for epoch in measured]
        texts = [
            f"{history.name} epoch {epoch['epoch'] + 1}, {kind}: {text(epoch[f'{kind}_{metric}'])}".strip()
            for epoch in measured
        ]
        if points:
            dots = [(*point, says) for point, says in zip(points, texts, strict=True)]
            lines.append(Line(kind, points, dots if len(points) <= MAX_DOTS else ()))
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

    # An axis of steps is easily taken for one of epochs: both are marked, steps below and epochs above.
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
    """Drop the last digits of binary fractions, which 3 × 0.1 shows."""
    return [float(f"{value:.6g}") for value in values]
