"""What the rules go by: the events of a training, its last epochs, the recipe, and its answers on validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fittingroom.evaluation.mistakes import SuspiciousLabels
from fittingroom.recipes.recipe import Recipe
from fittingroom.report.diagnosis.trend import Trend, fit_trend
from fittingroom.training.hold_out import held_out_of

MIN_EPOCHS = 4  # for a line with an interval that says anything
WINDOW = 8  # epochs that a trend is fitted to, where the last stage has them; half of a longer stage
FIRST_DROP = 0.75  # share of a loss's whole fall; until then it is the first drop, which says nothing of what follows
FEWEST_OF_FIVE_FOLDS = 20  # images: of fewer some fold may have none, or some class only one fold
FEW_VALIDATED = 100  # images: on fewer two trainings are hardly ever told apart, and folds judge all images
MIN_NATS = 0.001  # a loss that changes by less than this stays the same, however small it is


@dataclass(frozen=True)
class Window:
    """The last epochs of the last stage, after the loss's first drop: trends are fitted to them.

    Attributes:
        epochs: their events, at least one.
        stage_epochs: of the whole stage.
        lr: the highest learning rate in the window.
        last_lr: that of the very last step.
        peak_lr: the highest of the whole stage.
        train, validation: trends of the losses, in nats an epoch; None where the window is too short, or nothing was
            validated.
    """

    epochs: Sequence[dict[str, Any]]
    stage_epochs: int
    lr: float
    last_lr: float
    peak_lr: float
    train: Trend | None
    validation: Trend | None

    @property
    def last(self) -> dict[str, Any]:
        """The last epoch."""
        return self.epochs[-1]

    @property
    def is_validated(self) -> bool:
        """Whether there are validation images."""
        return self.last["validation_loss"] is not None

    @property
    def ran_down(self) -> bool:
        """Whether the rate had fallen to less than half of the stage's highest: then the loss falls by that alone."""
        return self.last_lr < self.peak_lr / 2

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
        for name, trend in (("training loss", self.train), ("validation loss", self.validation)):
            if trend is not None:
                figures |= {f"{name}: mean": trend.mean, f"{name}: slope": trend.slope}
                figures |= {f"{name}: slope, low": trend.low, f"{name}: slope, high": trend.high}
        return figures


@dataclass(frozen=True)
class Facts:
    """All that a rule may go by: training and validation, never test.

    Attributes:
        window: the last epochs.
        epochs, steps: events of ``metrics.jsonl``, at least one of each.
        recipe: that was trained.
        scores: of the model as it ships, on validation; None where nothing was held out.
        suspicious: of the validation images.
        official: whether it was trained on the official training set of Fashion-MNIST.
        images: that it learned from.
        own_validation: whether the data has validation images of its own.
    """

    window: Window
    epochs: Sequence[dict[str, Any]]
    steps: Sequence[dict[str, Any]]
    recipe: Recipe
    scores: dict[str, Any] | None = None
    suspicious: SuspiciousLabels | None = None
    official: bool = False
    images: int = 0
    own_validation: bool = False

    @property
    def validated(self) -> int:
        """Images that validate."""
        return 0 if self.scores is None else int(self.scores["n"])

    @property
    def has_folds(self) -> bool:
        """Whether these were judged by folds, and none was held out of the training."""
        return self.scores is not None and "folds" in self.scores

    @property
    def could_fold(self) -> bool:
        """Whether folds would take this recipe and this data, see :func:`fittingroom.runs.folds.for_folds`."""
        return not (self.own_validation or self.recipe.early_stop or self.recipe.keep == "best")

    @property
    def unseen_classes(self) -> int:
        """Classes without an image that validates: they may have one image alone."""
        return 0 if self.scores is None else sum(not row["n"] for row in self.scores["per_class"])

    @property
    def _what_folds_take(self) -> str:
        """What is to be said after an advice to take folds; "" where each class is seen to have several images."""
        if not self.unseen_classes:
            return ""
        return " Folds take two images or more of each class, not of one group."

    @property
    def to_hold_out(self) -> int:
        """How many images to hold out, where none are: as many as a recipe that says nothing does."""
        return max(1, held_out_of(self.images, replace(self.recipe, validation=None)))

    @property
    def option_to_judge(self) -> str:
        """What lets images judge where none do: some that are held out, or folds where these would be too few."""
        if self.to_hold_out >= FEW_VALIDATED or not self.could_fold:
            return f"--set validation={self.to_hold_out}"
        return f"--folds {5 if self.images >= FEWEST_OF_FIVE_FOLDS else 2}"

    @property
    def none_wrong(self) -> str:
        """What to do where all validation images are answered right: no other training could be seen to be better."""
        of_one = "The only validation image is answered right"
        of_all = f"All {self.validated:,} validation images are answered right"
        if self.has_folds:
            of_all = f"All {self.validated:,} images are answered right, each by a model of the other folds"
        words = f"{of_one if self.validated == 1 else of_all}: a longer training can't be seen to be better."
        if self.validated < FEW_VALIDATED and self.could_fold and not self.has_folds:
            words += f" To judge every image, train with --folds 5.{self._what_folds_take}"
        return words

    @property
    def compare_both(self) -> str:
        """How this training and another are compared, so that an answer can come of it."""
        how = "then fittingroom compare both with --split validation"
        if self.has_folds:
            return f"by as many folds, {how}."
        if not self.validated:
            return f"both with {self.option_to_judge}, as nothing is held out, {how}."
        if self.validated < FEW_VALIDATED:
            one = self.validated == 1
            few = f"{self.validated:,} validation image{'' if one else 's'} hardly tell{'s' if one else ''}"
            if not self.could_fold:
                return f"{how}, though {few}."
            return f"both with --folds 5, as {few}, {how}.{self._what_folds_take}"
        return f"{how}."


def window_of(epochs: Sequence[dict[str, Any]], steps: Sequence[dict[str, Any]], recipe: Recipe) -> Window:
    """Take the last epochs of the last stage: half of it, but at least :data:`WINDOW` where it has them after the drop.

    Args:
        epochs, steps: events of ``metrics.jsonl``, at least one of each.
        recipe: that was trained.
    """
    stage_epochs = 1 + recipe.stage_at(epochs[-1]["epoch"])[1]
    stage = epochs[-stage_epochs:]
    recent = stage[-max(WINDOW, math.ceil(len(stage) / 2)) :]

    # A line through the first drop falls however flat the rest is. A later stage begins where the drop is long over.
    key = "train_loss" if epochs[-1]["validation_loss"] is None else "validation_loss"
    losses = [epoch[key] for epoch in epochs]
    after_drop = losses[0] - FIRST_DROP * (losses[0] - min(losses))
    dropped = next(epoch["epoch"] for epoch, loss in zip(epochs, losses, strict=True) if loss <= after_drop)
    recent = [epoch for epoch in recent if epoch["epoch"] >= dropped]

    # A line through fewer epochs has an interval that excludes nothing.
    train = validation = None
    if len(recent) >= MIN_EPOCHS:
        train = fit_trend([epoch["train_loss"] for epoch in recent])
        if recent[-1]["validation_loss"] is not None:
            validation = fit_trend([epoch["validation_loss"] for epoch in recent])

    rates = [step["lr"] for step in steps if step["epoch"] >= recent[0]["epoch"]]
    peak_lr = max(step["lr"] for step in steps if step["epoch"] >= stage[0]["epoch"])
    return Window(recent, stage_epochs, max(rates), rates[-1], peak_lr, train, validation)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What one rule says of a training.

    Attributes:
        name: of the rule: ``not-learning``, ``few-steps``, ``unstable``, ``over-fitting``, ``under-fitting``,
            ``plateau``, ``still-improving``, ``finished``, ``too-short``, ``no-validation``, ``imbalance``,
            ``confusable-pair`` or ``suspicious-labels``.
        sentence: what is the case, with the figures that decide it.
        evidence: every figure that the rule went by; losses in nats, shares in 0–1, epochs from 1.
        suggestion: what to try, in one sentence; empty where there is nothing to advise.
        options: of ``fittingroom train`` that do what the suggestion says, where options can.
        muted: whether it is no finding: nothing to mend, or it can't be told. It belongs at the end.
    """

    name: str
    sentence: str
    evidence: dict[str, float]
    suggestion: str = ""
    options: tuple[str, ...] = ()
    muted: bool = False


def rounded(rate: float) -> str:
    """Round to one significant digit, without an exponent where that is short."""
    return f"{float(f'{rate:.1g}'):g}"
