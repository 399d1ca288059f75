"""What the curves of a training say, in words: named rules, each with its figures and one suggestion.

The rules read what was measured in training and validation. They never look at test to say whether a model over-fits:
who acts on that would be tuning on test. A trend is a straight line, fitted by ordinary least squares to the means of
the last epochs; its 95 % interval is Student's, and takes the epochs' deviations from the line for independent.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from fittingroom.metrics import wilson_interval
from fittingroom.recipe import Recipe
from fittingroom.report.mistakes import SuspiciousLabels

LEAST_EPOCHS = 4  # for a line with an interval that says anything
WINDOW = 8  # epochs that a trend is fitted to, where the last stage has them; half of a longer stage
FALL = 0.01  # a loss that falls by less than this share of itself over the window is at a plateau
LEAST_NATS = 0.001  # and so is one that changes by less than this, however small it is
TRAINING_JUMP, VALIDATION_JUMP = 0.10, 0.15  # rise from one epoch's mean loss to the next, as a share of it
JUMPS = 3  # as many in the window are no accident
SPIKE, SPIKE_SD = 4.0, 10.0  # a step's loss over the median of the epoch before, and in robust sd above it; it is also
# above the median of the first epoch: once the images are known by heart, a single hard one makes a tall step
MEMORISED, UNDER_FITTED = 0.1, 0.8  # training error as a share of validation error
UNCLEAR = 0.2  # a loss that may be falling by this share of itself over the window can't be called flat
GAP = 0.1  # a gap between training and validation loss that grows by this share of the latter over the window
DOMINANT_PAIR, SUSPICIOUS = 0.2, 0.1  # share of all mistakes, lower bound of its interval


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one rule found.

    Attributes:
        name: of the rule: ``not-learning``, ``unstable``, ``over-fitting``, ``under-fitting``, ``plateau``,
            ``still-improving``, ``too-short``, ``no-validation``, ``confusable-pair`` or ``suspicious-labels``.
        sentence: what was found, with the figures that decide it.
        evidence: every figure that the rule went by; losses in nats, shares in 0–1, epochs from 1.
        suggestion: what to try, in one sentence.
    """

    name: str
    sentence: str
    evidence: dict[str, float]
    suggestion: str


@dataclass(frozen=True)
class Trend:
    """A line fitted to values of successive epochs: slope per epoch with its 95 % interval, mean of the values."""

    slope: float
    low: float
    high: float
    mean: float

    @property
    def falls(self) -> bool:
        """Whether the values go down beyond chance."""
        return self.high < 0

    @property
    def rises(self) -> bool:
        """Whether the values go up beyond chance."""
        return self.low > 0

    def __str__(self) -> str:
        return f"{_signed(self.slope)} an epoch, 95 % {_signed(self.low)} to {_signed(self.high)}"


def fit_trend(values: Sequence[float]) -> Trend:
    """Ordinary least squares of n ≥ 3 values at x = 0, 1, 2, …; the slope's interval by Student's t, n - 2 degrees."""
    from scipy.special import stdtrit  # a tenth of the time that scipy.stats takes to load

    n, mean = len(values), statistics.fmean(values)
    x_mean = (n - 1) / 2
    spread = sum((x - x_mean) ** 2 for x in range(n))
    slope = sum((x - x_mean) * (y - mean) for x, y in enumerate(values)) / spread
    squares = sum((y - mean - slope * (x - x_mean)) ** 2 for x, y in enumerate(values))
    half = float(stdtrit(n - 2, 0.975)) * math.sqrt(squares / (n - 2) / spread)
    return Trend(slope, slope - half, slope + half, mean)


def diagnose(
    events: Sequence[dict[str, Any]],
    recipe: Recipe,
    scores: dict[str, Any] | None = None,
    suspicious: SuspiciousLabels | None = None,
) -> list[Verdict]:
    """Apply every rule to a training; what matters most comes first.

    Args:
        events: of ``metrics.jsonl``, as :func:`fittingroom.metrics_log.read_metrics` gives them.
        recipe: that was trained.
        scores: of the model as it ships, for the rules on the data: those on test, if it was looked at.
        suspicious: of the same images.

    Returns:
        At least one verdict on the course of the training; empty if not one epoch was finished.
    """
    epochs = [event for event in events if event["event"] == "epoch"]
    if not epochs:
        return []
    steps = [event for event in events if event["event"] == "step"]
    window = _window(epochs, steps, recipe)
    lost = _not_learning(scores, window)
    if lost:  # then nothing else is worth a word
        return [lost]
    found = [
        _unstable(window, steps, recipe),
        _course(window, epochs, recipe),
        _no_validation(window),
        _confusable_pair(scores),
        _suspicious_labels(suspicious),
    ]
    return [verdict for verdict in found if verdict is not None]


@dataclass(frozen=True)
class _Window:
    """The last epochs of the last stage, to which trends are fitted.

    ``lr`` is the highest rate in it, ``last_lr`` that of the very last step; trends are None where the window is too
    short or nothing was validated.
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
        return self.epochs[-1]

    @property
    def is_validated(self) -> bool:
        return self.last["validation_loss"] is not None

    @property
    def judge(self) -> str:
        """Whose loss tells where the training stands."""
        return "validation" if self.is_validated else "training"

    @property
    def span(self) -> str:
        return f"epochs {self.epochs[0]['epoch'] + 1} to {self.last['epoch'] + 1}"

    @property
    def rate(self) -> str:
        return (
            f"at a rate of {self.lr:.3g}" if self.last_lr > self.lr / 2 else f"while the rate fell from {self.lr:.3g}"
        )

    def evidence(self) -> dict[str, float]:
        """First and last epoch, rates, and the trends' figures."""
        figures = {"first epoch": self.epochs[0]["epoch"] + 1, "last epoch": self.last["epoch"] + 1}
        figures |= {"highest rate": self.lr, "last rate": self.last_lr}
        for name, trend in (("training loss", self.train), ("validation loss", self.validation), ("gap", self.gap)):
            if trend is not None:
                figures |= {f"{name}: mean": trend.mean, f"{name}: slope": trend.slope}
                figures |= {f"{name}: slope, low": trend.low, f"{name}: slope, high": trend.high}
        return figures


def _window(epochs: Sequence[dict[str, Any]], steps: Sequence[dict[str, Any]], recipe: Recipe) -> _Window:
    stage_epochs = 1 + recipe.stage_at(epochs[-1]["epoch"])[1]
    recent = epochs[-min(stage_epochs, max(WINDOW, math.ceil(stage_epochs / 2))) :]
    rates = [step["lr"] for step in steps if step["epoch"] >= recent[0]["epoch"]]
    train = validation = gap = None
    if len(recent) >= LEAST_EPOCHS:
        train = fit_trend([epoch["train_loss"] for epoch in recent])
        if recent[-1]["validation_loss"] is not None:
            validation = fit_trend([epoch["validation_loss"] for epoch in recent])
            gap = fit_trend([epoch["validation_loss"] - epoch["train_loss"] for epoch in recent])
    return _Window(recent, stage_epochs, max(rates), rates[-1], train, validation, gap)


# The rules. Each returns a verdict or None.


def _not_learning(scores: dict[str, Any] | None, window: _Window) -> Verdict | None:
    if scores is None:
        return None
    low, high = scores["interval"]
    most_frequent = max(row["n"] for row in scores["per_class"]) / scores["n"]
    if low > most_frequent:
        return None
    return Verdict(
        name="not-learning",
        sentence=f"It does no better than always naming the most frequent class: {scores['accuracy']:.1%} right (95 % "
        f"{low:.1%} to {high:.1%}, n = {scores['n']:,}), and {most_frequent:.1%} are of that class.",
        evidence={"accuracy": scores["accuracy"], "low": low, "high": high, "most frequent class": most_frequent},
        suggestion=f"Train at a much lower rate, such as --lr {_round(window.lr / 100)}; if that doesn't help, check "
        "that the labels belong to the images: fittingroom data show.",
    )


def _unstable(window: _Window, steps: Sequence[dict[str, Any]], recipe: Recipe) -> Verdict | None:
    losses: dict[int, list[float]] = defaultdict(list)
    for step in steps:
        losses[step["epoch"]].append(step["loss"])
    train_jumps = sum(_jumps(losses[a["epoch"]], losses[b["epoch"]]) for a, b in pairwise(window.epochs))
    validation_jumps = sum(
        b["validation_loss"] - a["validation_loss"] > max(VALIDATION_JUMP * a["validation_loss"], LEAST_NATS)
        for a, b in pairwise(window.epochs)
        if window.is_validated
    )
    spikes = _spikes(steps)
    train = window.train
    rises = train is not None and train.rises and train.slope * (len(window.epochs) - 1) >= LEAST_NATS
    if not rises and train_jumps + validation_jumps < JUMPS and len(spikes) < JUMPS:
        return None
    found = []
    for which, jumps, size in (
        ("training", train_jumps, TRAINING_JUMP),
        ("validation", validation_jumps, VALIDATION_JUMP),
    ):
        if jumps:
            times = {1: "once", 2: "twice"}.get(jumps, f"{jumps} times")
            found.append(
                f"the {which} loss rose by more than {size:.0%} in an epoch {times} in {window.span}, {window.rate}"
            )
    if spikes:
        found.append(
            f"{len(spikes):,} of {len(steps):,} steps had more than {SPIKE:.0f} times the loss usual before them, the "
            f"first at step {spikes[0]['step']:,} and a rate of {spikes[0]['lr']:.3g}"
        )
    if rises:
        found.append(f"the training loss rises ({train}, {window.span}), {window.rate}")
    return Verdict(
        name="unstable",
        sentence=f"The training is unstable: {'; '.join(found)}.",
        evidence=window.evidence()
        | {
            "training jumps": train_jumps,
            "validation jumps": validation_jumps,
            "spikes": len(spikes),
            "steps": len(steps),
        },
        suggestion=f"Lower the rate: --lr {_round(recipe.stages[0].lr / 3)}.",
    )


def _jumps(before: Sequence[float], losses: Sequence[float]) -> bool:
    """Whether an epoch's mean loss is higher by a tenth, and by more than four standard errors of the difference."""
    difference = statistics.fmean(losses) - statistics.fmean(before)
    if difference <= max(TRAINING_JUMP * statistics.fmean(before), LEAST_NATS) or min(len(before), len(losses)) < 2:
        return False
    return difference > 4 * math.sqrt(sum(statistics.variance(each) / len(each) for each in (before, losses)))


def _spikes(steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps whose loss stands out from the epoch before theirs, and from the first."""
    found: list[dict[str, Any]] = []
    before: list[float] = []
    first = 0.0
    for _, epoch in groupby(steps, key=lambda step: int(step["epoch"])):
        own = list(epoch)
        if before:
            usual = statistics.median(before)
            robust_sd = 1.4826 * statistics.median(abs(loss - usual) for loss in before)
            bound = max(SPIKE * usual, usual + SPIKE_SD * robust_sd, first)
            found += [step for step in own if step["loss"] > bound]
        before = [step["loss"] for step in own]
        first = first or statistics.median(before)
    return found


def _course(window: _Window, epochs: Sequence[dict[str, Any]], recipe: Recipe) -> Verdict:
    """Where the training stands: exactly one verdict."""
    n, loss = len(window.epochs), window.validation or window.train
    if loss is None:
        return _too_short(f"it takes {LEAST_EPOCHS}, and the last stage has {n}", window, recipe)
    if loss.falls and -loss.slope * (n - 1) >= max(FALL * loss.mean, LEAST_NATS):
        return _still_improving(window, recipe)
    if -loss.low * (n - 1) > max(UNCLEAR * loss.mean, LEAST_NATS):
        return _too_short(f"the {window.judge} loss changes by {loss}, {window.span}", window, recipe)
    if window.gap is not None:
        training_error, validation_error = (1 - window.last[f"{part}_accuracy"] for part in ("train", "validation"))
        grows = window.gap.rises and (loss.rises or window.gap.slope * (n - 1) >= GAP * loss.mean)
        if grows or training_error <= MEMORISED * validation_error:
            return _over_fitting(window, epochs, recipe)
        if training_error >= UNDER_FITTED * validation_error:
            return _under_fitting(window)
    return _plateau(window, epochs)


def _too_short(why: str, window: _Window, recipe: Recipe) -> Verdict:
    return Verdict(
        name="too-short",
        sentence=f"The epochs are too few to tell a trend from chance: {why}.",
        evidence=window.evidence() | {"epochs": len(window.epochs), "needed": LEAST_EPOCHS},
        suggestion=f"For a diagnosis train for longer, such as --epochs {max(WINDOW, 2 * recipe.epochs)}.",
    )


def _still_improving(window: _Window, recipe: Recipe) -> Verdict:
    loss = window.validation or window.train
    sentence = f"The {window.judge} loss still falls ({loss}, {window.span}), {window.rate}."
    if window.last_lr <= window.lr / 2:
        sentence += " Part of that is owed to the falling rate itself."
    return Verdict(
        name="still-improving",
        sentence=sentence,
        evidence=window.evidence(),
        suggestion=f"Train longer: --epochs {2 * recipe.epochs}.",
    )


def _over_fitting(window: _Window, epochs: Sequence[dict[str, Any]], recipe: Recipe) -> Verdict:
    best = min(epochs, key=lambda epoch: float(epoch["validation_loss"]))
    last = window.last
    movement = "rises" if window.validation and window.validation.rises else "no longer falls"
    sentence = (
        "What it still learns holds for the training images only: "
        f"{last['train_accuracy']:.1%} of them right, {last['validation_accuracy']:.1%} of the validation images. "
        f"The validation loss {movement} "
        f"({window.validation}, {window.span}); the gap to the training loss changes by {window.gap}. "
        f"The lowest validation loss was {best['validation_loss']:.3f} in epoch {best['epoch'] + 1}, "
        f"the last is {last['validation_loss']:.3f}."
    )
    if _is_augmented(recipe):
        suggestion = f"Stop sooner: --epochs {best['epoch'] + 1}."
    else:
        suggestion = "Show it each image in more than one way: --set mirror=random --set shift=1."
    return Verdict(
        name="over-fitting",
        sentence=sentence,
        evidence=window.evidence()
        | {
            "training accuracy": last["train_accuracy"],
            "validation accuracy": last["validation_accuracy"],
            "lowest validation loss": best["validation_loss"],
            "its epoch": best["epoch"] + 1,
            "last validation loss": last["validation_loss"],
        },
        suggestion=suggestion,
    )


def _under_fitting(window: _Window) -> Verdict:
    last = window.last
    return Verdict(
        name="under-fitting",
        sentence=f"It gets {1 - last['train_accuracy']:.1%} wrong even of the images that it learns from, as seen "
        f"while learning, and {1 - last['validation_accuracy']:.1%} of the validation images; and the validation loss "
        f"no longer falls ({window.validation}, {window.span}), {window.rate}.",
        evidence=window.evidence()
        | {"training accuracy": last["train_accuracy"], "validation accuracy": last["validation_accuracy"]},
        suggestion="Take a larger model, or weaken what holds it back: augmentation, weight decay, label smoothing.",
    )


def _plateau(window: _Window, epochs: Sequence[dict[str, Any]]) -> Verdict:
    key = "validation_loss" if window.is_validated else "train_loss"
    length = len(window.epochs)
    while length < window.stage_epochs:  # how far back it has been so
        longer = fit_trend([epoch[key] for epoch in epochs[-length - 1 :]])
        if longer.falls or longer.rises:
            break
        length += 1
    since = epochs[-length]["epoch"] + 1
    trend = fit_trend([epoch[key] for epoch in epochs[-length:]])
    if window.last_lr > window.lr / 2:
        suggestion = f"Lower the rate for a last stage, to {_round(window.lr / 10)} say, or change the model."
    else:
        suggestion = "The rate has run down, so more of the same won't help: change the model or the augmentation."
    movement = "moves without a trend"
    if trend.falls or trend.rises:  # but not by enough for another verdict
        movement = "hardly falls" if trend.falls else "rises"
    return Verdict(
        name="plateau",
        sentence=f"The {window.judge} loss {movement} since epoch {since} ({trend}), {window.rate}.",
        evidence=window.evidence() | {"since epoch": since},
        suggestion=suggestion,
    )


def _no_validation(window: _Window) -> Verdict | None:
    if window.is_validated:
        return None
    return Verdict(
        name="no-validation",
        sentence=f"It gets {window.last['train_accuracy']:.1%} of its training images right. No others are held out, "
        "so nobody can see whether it over-fits; who watches the test set instead tunes on it.",
        evidence={"validation images": 0, "training accuracy": window.last["train_accuracy"]},
        suggestion="Hold some out: --set validation=5000.",
    )


def _confusable_pair(scores: dict[str, Any] | None) -> Verdict | None:
    if scores is None:
        return None
    counts, n_classes = scores["confusion"], len(scores["confusion"])
    pairs = {(i, j): counts[i][j] + counts[j][i] for i in range(n_classes) for j in range(i)}
    mistakes = sum(pairs.values())
    (i, j), most = max(pairs.items(), key=lambda item: item[1])
    if not mistakes:
        return None
    low, high = wilson_interval(most, mistakes)
    if low < max(DOMINANT_PAIR, 3 / len(pairs)):  # three times an even share, where classes are few
        return None
    one, other = (scores["per_class"][k]["class"] for k in (j, i))
    return Verdict(
        name="confusable-pair",
        sentence=f"One of {len(pairs)} pairs makes {most / mistakes:.0%} of all mistakes (95 % {low:.0%} to "
        f"{high:.0%}): {one} and {other}, taken for each other {most:,} times of {mistakes:,}.",
        evidence={"mistakes of the pair": most, "mistakes": mistakes, "low": low, "high": high, "pairs": len(pairs)},
        suggestion="Look at them among the worst mistakes: where you can't tell them apart either, no training will; "
        "larger images or one class for both would.",
    )


def _suspicious_labels(suspicious: SuspiciousLabels | None) -> Verdict | None:
    if suspicious is None or not suspicious.rows:
        return None
    doubted, mistakes = len(suspicious.rows), suspicious.mistakes
    low, high = wilson_interval(doubted, mistakes)
    if low < SUSPICIOUS:
        return None
    share = suspicious.trusted_and_right / suspicious.trusted
    return Verdict(
        name="suspicious-labels",
        sentence=f"{doubted / mistakes:.0%} of the mistakes (95 % {low:.0%} to {high:.0%}, {doubted:,} of "
        f"{mistakes:,}) are among its {suspicious.trusted:,} surest answers, of which {share:.2%} are right: there the "
        "labels are more likely to be wrong.",
        evidence={"doubted": doubted, "mistakes": mistakes, "low": low, "high": high}
        | {"trusted": suspicious.trusted, "trusted and right": suspicious.trusted_and_right},
        suggestion="Check these labels by eye before you change the model.",
    )


def _is_augmented(recipe: Recipe) -> bool:
    return recipe.mirror != "none" or recipe.shift > 0 or recipe.erase > 0


def _signed(value: float) -> str:
    """Two significant digits, with a sign and without an exponent."""
    digits = max(0, 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:+.{digits}f}".replace("-", "−")


def _round(rate: float) -> str:
    """One significant digit, without an exponent where that is short."""
    return f"{float(f'{rate:.1g}'):g}"
