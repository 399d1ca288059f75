"""The rule on where a training stands: improving, at a plateau, over-fitting, under-fitting, or too short to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fittingroom.recipes.recipe import Recipe
from fittingroom.report.diagnosis.facts import MIN_EPOCHS, MIN_NATS, WINDOW, Diagnosis, Facts, Window, rounded
from fittingroom.report.diagnosis.trend import fit_trend

# Changes of a loss over the window, as shares of it.
MIN_FALL = 0.01  # one that falls by less is at a plateau
MAX_UNSEEN_FALL = 0.2  # one that may be falling by more can't be called flat
MIN_GAP_GROWTH = 0.1  # of the gap between training and validation loss, as a share of the latter

# Training error as a share of validation error.
MAX_MEMORISED = 0.1
MIN_UNDER_FITTED = 0.8


def progress(facts: Facts) -> Diagnosis:
    """Where the training stands: exactly one of the states."""
    window, epochs, recipe = facts.window, facts.epochs, facts.recipe
    n, loss = len(window.epochs), window.validation or window.train

    # Improving or not is a question of the trend, and of whether the epochs are enough to tell it from chance.
    if loss is None:
        return _too_short(f"it takes {MIN_EPOCHS}, and the last stage has {n}", window, recipe)
    if loss.falls and -loss.slope * (n - 1) >= max(MIN_FALL * loss.mean, MIN_NATS):
        return _still_improving(window, recipe)
    if -loss.low * (n - 1) > max(MAX_UNSEEN_FALL * loss.mean, MIN_NATS):
        return _too_short(f"the {window.judge} loss changes by {loss}, {window.span}", window, recipe)

    # It no longer improves. What holds it is told by training and validation side by side, where there are both.
    if window.gap is not None:
        training_error, validation_error = (1 - window.last[f"{part}_accuracy"] for part in ("train", "validation"))
        grows = window.gap.rises and (loss.rises or window.gap.slope * (n - 1) >= MIN_GAP_GROWTH * loss.mean)
        if grows or training_error <= MAX_MEMORISED * validation_error:
            return _over_fitting(window, epochs, recipe)
        if training_error >= MIN_UNDER_FITTED * validation_error:
            return _under_fitting(window)

    return _plateau(window, epochs)


def _too_short(why: str, window: Window, recipe: Recipe) -> Diagnosis:
    return Diagnosis(
        name="too-short",
        sentence=f"The epochs are too few to tell a trend from chance: {why}.",
        evidence=window.evidence() | {"epochs": len(window.epochs), "needed": MIN_EPOCHS},
        suggestion=f"For a diagnosis train for longer, such as --epochs {max(WINDOW, 2 * recipe.epochs)}.",
    )


def _still_improving(window: Window, recipe: Recipe) -> Diagnosis:
    loss = window.validation or window.train
    sentence = f"The {window.judge} loss still falls ({loss}, {window.span}), {window.rate}."
    if window.last_lr <= window.lr / 2:
        sentence += " Part of that is owed to the falling rate itself."
    return Diagnosis(
        name="still-improving",
        sentence=sentence,
        evidence=window.evidence(),
        suggestion=f"Train longer: --epochs {2 * recipe.epochs}.",
    )


def _over_fitting(window: Window, epochs: Sequence[dict[str, Any]], recipe: Recipe) -> Diagnosis:
    best = min(epochs, key=lambda epoch: float(epoch["validation_loss"]))
    last = window.last

    movement = "rises" if window.validation and window.validation.rises else "no longer falls"
    sentence = (
        "What it still learns holds for the training images only: training accuracy "
        f"{last['train_accuracy']:.1%}, validation accuracy {last['validation_accuracy']:.1%}. "
        f"The validation loss {movement} "
        f"({window.validation}, {window.span}); the gap to the training loss changes by {window.gap}. "
        f"The lowest validation loss was {best['validation_loss']:.3f} in epoch {best['epoch'] + 1}, "
        f"the last is {last['validation_loss']:.3f}."
    )

    # Augmentation costs no accuracy; only where it is used already is there nothing to do but train for less.
    if _is_augmented(recipe):
        suggestion = f"Stop sooner: --epochs {best['epoch'] + 1}."
    else:
        suggestion = "Show it each image in more than one way: --set mirror=random --set shift=1."

    return Diagnosis(
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


def _under_fitting(window: Window) -> Diagnosis:
    last = window.last
    return Diagnosis(
        name="under-fitting",
        sentence="Even on the images that it learns from its accuracy is only "
        f"{last['train_accuracy']:.1%}, as measured while learning; validation accuracy "
        f"{last['validation_accuracy']:.1%}. The validation loss no longer falls ({window.validation}, "
        f"{window.span}), {window.rate}.",
        evidence=window.evidence()
        | {"training accuracy": last["train_accuracy"], "validation accuracy": last["validation_accuracy"]},
        suggestion="Take a larger model, or weaken what holds it back: augmentation, weight decay, label smoothing.",
    )


def _plateau(window: Window, epochs: Sequence[dict[str, Any]]) -> Diagnosis:
    # The window is only where it was noticed: the plateau began where a longer line has no trend either.
    key = "validation_loss" if window.is_validated else "train_loss"
    length = len(window.epochs)
    while length < window.stage_epochs:
        longer = fit_trend([epoch[key] for epoch in epochs[-length - 1 :]])
        if longer.falls or longer.rises:
            break
        length += 1

    since = epochs[-length]["epoch"] + 1
    trend = fit_trend([epoch[key] for epoch in epochs[-length:]])
    movement = "moves without a trend"
    if trend.falls or trend.rises:  # but not by enough to be improving, or over-fitting
        movement = "hardly falls" if trend.falls else "rises"

    # Steps that are too long jump about a minimum; where they have become short already, that isn't it.
    if window.last_lr > window.lr / 2:
        suggestion = f"Lower the rate for a last stage, to {rounded(window.lr / 10)} say, or change the model."
    else:
        suggestion = "The rate has run down, so more of the same won't help: change the model or the augmentation."

    return Diagnosis(
        name="plateau",
        sentence=f"The {window.judge} loss {movement} since epoch {since} ({trend}), {window.rate}.",
        evidence=window.evidence() | {"since epoch": since},
        suggestion=suggestion,
    )


def _is_augmented(recipe: Recipe) -> bool:
    return recipe.mirror != "none" or recipe.shift > 0 or recipe.erase > 0
