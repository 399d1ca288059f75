"""The rule on where a training stands: improving, at a plateau, over-fitting, under-fitting, or too short to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fittingroom.recipes.recipe import Recipe
from fittingroom.report.diagnosis.facts import LEAST_EPOCHS, LEAST_NATS, WINDOW, Facts, Verdict, Window, rounded
from fittingroom.report.diagnosis.trend import fit_trend

FALL = 0.01  # a loss that falls by less than this share of itself over the window is at a plateau
UNCLEAR = 0.2  # a loss that may be falling by this share of itself over the window can't be called flat
GAP = 0.1  # a gap between training and validation loss that grows by this share of the latter over the window
MEMORISED, UNDER_FITTED = 0.1, 0.8  # training error as a share of validation error


def course(facts: Facts) -> Verdict:
    """Where the training stands: exactly one verdict."""
    window, epochs, recipe = facts.window, facts.epochs, facts.recipe
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


def _too_short(why: str, window: Window, recipe: Recipe) -> Verdict:
    return Verdict(
        name="too-short",
        sentence=f"The epochs are too few to tell a trend from chance: {why}.",
        evidence=window.evidence() | {"epochs": len(window.epochs), "needed": LEAST_EPOCHS},
        suggestion=f"For a diagnosis train for longer, such as --epochs {max(WINDOW, 2 * recipe.epochs)}.",
    )


def _still_improving(window: Window, recipe: Recipe) -> Verdict:
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


def _over_fitting(window: Window, epochs: Sequence[dict[str, Any]], recipe: Recipe) -> Verdict:
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


def _under_fitting(window: Window) -> Verdict:
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


def _plateau(window: Window, epochs: Sequence[dict[str, Any]]) -> Verdict:
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
        suggestion = f"Lower the rate for a last stage, to {rounded(window.lr / 10)} say, or change the model."
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


def _is_augmented(recipe: Recipe) -> bool:
    return recipe.mirror != "none" or recipe.shift > 0 or recipe.erase > 0
