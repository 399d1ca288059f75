"""What a study tunes for: which way is better, its unit and its wording. An objective is its instance at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import numpy as np

from fittingroom.evaluation.metrics import judged_by
from fittingroom.events import EpochDone
from fittingroom.rendering.axes import Scale, Tick, ticks
from fittingroom.rendering.share import share_text

ObjectiveName = Literal["accuracy", "loss", "balanced_accuracy", "macro_f1"]
AXIS_ROOM = 0.08  # of what an axis holds, on either side of it
ROUNDING = 1e-9  # of a tick, whose value is a sum


@dataclass(frozen=True)
class Objective:
    """A score of a finished model on the validation images.

    Attributes:
        name: as plans, ``study.json`` and ``result.json`` spell it.
        word: its name for people.
        direction: which way is better, in Optuna's words.
        show: a value as text.
        show_difference: the size of a difference, such as a standard deviation, as text.
        show_tick: a round value as an axis labels it.
        after_epoch: the same score after an epoch; None where there are no validation images.
        largest: that there can be; 0 is the smallest of all.
        is_judge: whether it is what the ``judge`` of each trial's recipe names, so that all of a study goes by it.
    """

    name: ObjectiveName
    word: str
    direction: Literal["maximize", "minimize"]
    show: Callable[[float], str]
    show_difference: Callable[[float], str]
    show_tick: Callable[[float], str]
    after_epoch: Callable[[EpochDone], float | None]
    largest: float = math.inf
    is_judge: bool = False

    def of_scores(self, scores: dict[str, Any]) -> float:
        """The same score among those of ``result.json``. The loss is the uncalibrated one, as after an epoch."""
        if self.is_judge:
            return judged_by(self.name, scores)
        value: float = scores.get(f"{self.name}_uncalibrated", scores[self.name])  # before 0.2 no other loss was known
        return value

    def rank(self, value: float) -> float:
        """A key to sort values by, the best one first."""
        return -value if self.direction == "maximize" else value

    def quantile(self, values: Sequence[float], share: float) -> float:
        """The value that a ``share`` (0–1) of the values are worse than, or as good as."""
        return float(np.quantile(values, share if self.direction == "maximize" else 1 - share))

    def text(self, value: float | None) -> str:
        """A value as text; a dash for a trial that has none."""
        return "–" if value is None else self.show(value)

    def text_of_mean(self, fresh: Mapping[str, Any]) -> str:
        """The mean of several seeds with its standard deviation and 95% interval, from ``result.json``'s ``final``."""
        text = f"{self.show(fresh['mean'])}, sd {self.show_difference(fresh['sd'])}"
        interval = self.interval_of_mean(fresh)
        if interval is None:  # seeds that all come out alike are no certainty
            return text
        low, high = interval
        whose = "recipe: seeds × images" if is_of_recipe(fresh, self.name) else "seeds alone"
        return f"{text}, 95% interval {self.show(low)} to {self.show(high)} ({whose})"

    def interval_of_mean(self, fresh: Mapping[str, Any]) -> tuple[float, float] | None:
        """The recipe's interval where it is known; of losses, and in a study of 0.1, that over seeds alone."""
        interval = fresh.get("interval") or fresh["interval_of_mean"]
        return interval and (interval[0], interval[1])

    def axis(self, values: Sequence[float], *, worst: float, best: float) -> ObjectiveAxis:
        """An axis that holds the values with a little room.

        Args:
            values: at least one.
            worst, best: where the two ends of the axis lie, in units of the page.
        """
        room = AXIS_ROOM * (max(values) - min(values)) or 0.01
        low, high = min(values) - room, max(values) + room

        ends = (worst, best) if self.direction == "maximize" else (best, worst)
        scale = Scale(low, high, *ends)
        marks = [value for value in ticks(low, high, 5) if -ROUNDING <= value <= self.largest + ROUNDING]
        return ObjectiveAxis(scale, [Tick(scale(value), self.show_tick(value)) for value in marks])


@dataclass(frozen=True)
class ObjectiveAxis:
    """The axis of an objective. What lies outside, far worse than most, is drawn on its end."""

    scale: Scale
    marks: Sequence[Tick]

    def __call__(self, value: float) -> float:
        """The position of a value, in units of the page."""
        top, bottom = sorted((self.scale.start, self.scale.end))
        return min(bottom, max(top, self.scale(value)))

    def holds(self, value: float) -> bool:
        """Whether the value lies on the axis."""
        return self(value) == self.scale(value)


def is_of_recipe(fresh: Mapping[str, Any], name: ObjectiveName) -> bool:
    """Whether the interval of ``result.json``'s ``final`` is over seeds and images."""
    return bool(fresh.get("is_of_recipe", "interval" in fresh and name != "loss"))  # before 0.2 it was not said


def _share(name: ObjectiveName, word: str, after_epoch: str, *, is_judge: bool = False) -> Objective:
    """A score of 0–1 that is the better the larger it is; ``after_epoch`` is its name in the event."""
    return Objective(
        name=name,
        word=word,
        direction="maximize",
        show=share_text,
        show_difference=lambda difference: f"{100 * difference:.2f} points",
        show_tick=lambda value: f"{100 * value:.4g}%",
        after_epoch=attrgetter(after_epoch),
        largest=1.0,
        is_judge=is_judge,
    )


ACCURACY = _share("accuracy", "accuracy", "validation_accuracy")
BALANCED_ACCURACY = _share("balanced_accuracy", "balanced accuracy", "validation_judged", is_judge=True)
MACRO_F1 = _share("macro_f1", "macro-F1", "validation_judged", is_judge=True)
LOSS = Objective(
    name="loss",
    word="loss",
    direction="minimize",
    show="{:.4f}".format,
    show_difference="{:.4f}".format,
    show_tick="{:.4g}".format,
    after_epoch=attrgetter("validation_loss"),
)
OBJECTIVES: dict[ObjectiveName, Objective] = {
    objective.name: objective for objective in (ACCURACY, LOSS, BALANCED_ACCURACY, MACRO_F1)
}
