"""What the rules go by: the events of a training, its last epochs, the recipe, and what the finished model scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fittingroom.evaluation.mistakes import SuspiciousLabels
from fittingroom.recipes.recipe import Recipe
from fittingroom.report.diagnosis.trend import Trend, fit_trend

MIN_EPOCHS = 4  # for a line with an interval that says anything
WINDOW = 8  # epochs that a trend is fitted to, where the last stage has them; half of a longer stage
MIN_NATS = 0.001  # a loss that changes by less than this stays the same, however small it is


@dataclass(frozen=True)
class Window:
    """The last epochs of the last stage, to which trends are fitted.

    Attributes:
        epochs: their events, at least one.
        stage_epochs: of the whole stage.
        lr: the highest learning rate in the window.
        last_lr: that of the very last step.
        train, validation, gap: trends of the losses and of their difference, in nats an epoch; None where the window is
            too short, or nothing was validated.
    """

    epochs: Sequence[dict[str, Any]]
    stage_epochs: int
    lr: float
    last_lr: float
    train: Trend | None
    validation: Trend | None
    gap: Trend | None

    @property
    def last(self) -> dict[str, Any]:
        """The last epoch."""
        return self.epochs[-1]

    @property
    def is_validated(self) -> bool:
        """Whether there are validation images."""
        return self.last["validation_loss"] is not None

    @property
    def judge(self) -> str:
        """Whose loss tells where the training stands."""
        return "validation" if self.is_validated else "training"

    @property
    def span(self) -> str:
        """Its epochs, in words."""
        return f"epochs {self.epochs[0]['epoch'] + 1} to {self.last['epoch'] + 1}"

    @property
    def rate(self) -> str:
        """Its learning rate, in words."""
        return (
            f"at a rate of {self.lr:.3g}" if self.last_lr > self.lr / 2 else f"while the rate fell from {self.lr:.3g}"
        )

    def evidence(self) -> dict[str, float]:
        """First and last epoch, rates, and the trends' figures, by the names that the report shows."""
        figures = {"first epoch": self.epochs[0]["epoch"] + 1, "last epoch": self.last["epoch"] + 1}
        figures |= {"highest rate": self.lr, "last rate": self.last_lr}
        for name, trend in (("training loss", self.train), ("validation loss", self.validation), ("gap", self.gap)):
            if trend is not None:
                figures |= {f"{name}: mean": trend.mean, f"{name}: slope": trend.slope}
                figures |= {f"{name}: slope, low": trend.low, f"{name}: slope, high": trend.high}
        return figures


@dataclass(frozen=True)
class Facts:
    """All that a rule may go by.

    Attributes:
        window: the last epochs.
        epochs, steps: events of ``metrics.jsonl``, at least one of each.
        recipe: that was trained.
        scores: of the model as it ships, None where it was not judged.
        suspicious: of the same images.
    """

    window: Window
    epochs: Sequence[dict[str, Any]]
    steps: Sequence[dict[str, Any]]
    recipe: Recipe
    scores: dict[str, Any] | None
    suspicious: SuspiciousLabels | None


def window_of(epochs: Sequence[dict[str, Any]], steps: Sequence[dict[str, Any]], recipe: Recipe) -> Window:
    """Take the last epochs of the last stage: half of it, but at least :data:`WINDOW` where it has them.

    Args:
        epochs, steps: events of ``metrics.jsonl``, at least one of each.
        recipe: that was trained.
    """
    stage_epochs = 1 + recipe.stage_at(epochs[-1]["epoch"])[1]
    recent = epochs[-min(stage_epochs, max(WINDOW, math.ceil(stage_epochs / 2))) :]
    rates = [step["lr"] for step in steps if step["epoch"] >= recent[0]["epoch"]]

    # A line through fewer epochs has an interval that excludes nothing.
    train = validation = gap = None
    if len(recent) >= MIN_EPOCHS:
        train = fit_trend([epoch["train_loss"] for epoch in recent])
        if recent[-1]["validation_loss"] is not None:
            validation = fit_trend([epoch["validation_loss"] for epoch in recent])
            gap = fit_trend([epoch["validation_loss"] - epoch["train_loss"] for epoch in recent])

    return Window(recent, stage_epochs, max(rates), rates[-1], train, validation, gap)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What one rule says of a training.

    Attributes:
        name: of the rule: ``not-learning``, ``unstable``, ``over-fitting``, ``under-fitting``, ``plateau``,
            ``still-improving``, ``too-short``, ``no-validation``, ``confusable-pair`` or ``suspicious-labels``.
        sentence: what is the case, with the figures that decide it.
        evidence: every figure that the rule went by; losses in nats, shares in 0–1, epochs from 1.
        suggestion: what to try, in one sentence.
    """

    name: str
    sentence: str
    evidence: dict[str, float]
    suggestion: str


def rounded(rate: float) -> str:
    """Round to one significant digit, without an exponent where that is short."""
    return f"{float(f'{rate:.1g}'):g}"
