"""Rules on whether it learned at all: the steps that it had, and its answers against one that never changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.recipes.recipe import Recipe
from fittingroom.rendering.share import share_text
from fittingroom.report.diagnosis.facts import Diagnosis, Facts, rounded

MIN_STEPS, ENOUGH_STEPS = 300, 500  # fewer are few for any network here; so many are worth a first look
KNOWN_BY_HEART = 0.99  # training accuracy at which more steps have nothing left to learn

MAX_P = 0.05  # of the evidence that it learned
MIN_OTHERS = 20  # images of other classes than the most frequent one; fewer couldn't show much

# About what such optimizers take in most recipes; a rate so many times as high is suspected first.
USUAL_LR, TOO_HIGH = {"adam": 0.001, "adamw": 0.003, "sgd": 0.05, "muon": 0.08}, 10


def usual_lr(recipe: Recipe) -> float:
    """The rate that its optimizer takes in most recipes; of one that isn't known, the recipe's own."""
    return USUAL_LR.get(recipe.optimizer, recipe.stages[0].lr)


def few_steps(facts: Facts) -> Diagnosis | None:
    """Whether the optimizer took so few steps that nothing else is worth asking."""
    last = facts.epochs[-1]
    steps, epochs = int(last["step"]), len(facts.epochs)
    if not _has_few_steps(facts):
        return None

    # More steps of a size that nothing can be learned by are no help.
    enough = math.ceil(ENOUGH_STEPS * epochs / steps)
    suggestion = f"Give it more: --epochs {enough} are about {enough * steps // epochs:,} steps."
    options = ("--epochs", str(enough))
    usual, lr = usual_lr(facts.recipe), facts.recipe.stages[0].lr
    if lr > TOO_HIGH * usual:
        suggestion, options = f"And their rate is high: --lr {rounded(usual)} first.", ("--lr", rounded(usual))
    return Diagnosis(
        name="few-steps",
        sentence=f"{steps:,} optimizer step{'s' * (steps != 1)} in all ({epochs:,} epoch{'s' * (epochs != 1)}): few "
        f"for a network to learn in. Training accuracy was {share_text(last['train_accuracy'], 1)} in the last epoch.",
        evidence={"steps": steps, "epochs": epochs, "training accuracy": last["train_accuracy"]},
        suggestion=suggestion,
        options=options,
    )


def not_learning(facts: Facts) -> Diagnosis | None:
    """Whether nothing on validation shows that its answers have to do with the images.

    Two exact tests, each at half of :data:`MAX_P`: McNemar's against always naming the most frequent class, one-sided,
    and Fisher's of whether the images that it gives another name to are more often of another class. The first sees a
    gain in accuracy, the second a rare class that is found at the price of as many false alarms.
    """
    scores = facts.scores
    if scores is None:
        return None
    confusion = np.array(scores["confusion"])
    frequent = int(confusion.sum(axis=1).argmax())
    others = int(confusion.sum() - confusion[frequent].sum())
    recipe = facts.recipe
    usual, lr = usual_lr(recipe), recipe.stages[0].lr
    if others < MIN_OTHERS or (_has_few_steps(facts) and lr <= TOO_HIGH * usual):
        return None

    p_mcnemar, p_fisher = _p_values(confusion, frequent)
    if min(p_mcnemar, p_fisher) <= MAX_P / 2:
        return None

    lower = usual if lr > TOO_HIGH * usual else lr / 10
    share = float(confusion[frequent].sum() / confusion.sum())
    return Diagnosis(
        name="not-learning",
        sentence="Nothing shows that it learned: accuracy on validation is "
        f"{share_text(scores['accuracy'], 1)} (n = {scores['n']:,}), and always naming "
        f"{scores['per_class'][frequent]['class']} gives {share_text(share, 1)} (exact McNemar test "
        f"p = {p_mcnemar:.2g}, Fisher's p = {p_fisher:.2g}).",
        evidence={"accuracy": scores["accuracy"], "most frequent class": share, "images of others": others}
        | {"p, McNemar": p_mcnemar, "p, Fisher": p_fisher},
        suggestion=f"Try a lower rate, --lr {rounded(lower)}; if that doesn't help, check that the labels belong to "
        "the images: fittingroom data show.",
        options=("--lr", rounded(lower)),
    )


def always_as_good(facts: Facts) -> dict[str, Any] | None:
    """The row of the most frequent class on validation, where nothing shows that naming it always is worse.

    It is by the tests of :func:`not_learning`, on however few images: those may be too few to show anything.
    """
    if facts.scores is None:
        return None
    confusion = np.array(facts.scores["confusion"])
    frequent = int(confusion.sum(axis=1).argmax())
    row: dict[str, Any] = facts.scores["per_class"][frequent]
    return None if min(_p_values(confusion, frequent)) <= MAX_P / 2 else row


def _has_few_steps(facts: Facts) -> bool:
    last = facts.epochs[-1]
    return int(last["step"]) < MIN_STEPS and last["train_accuracy"] < KNOWN_BY_HEART


def _p_values(confusion_CC: NDArray[np.int64], frequent: int) -> tuple[float, float]:
    """McNemar's and Fisher's, exact and one-sided, of answers against always naming class ``frequent``."""
    n, right = int(confusion_CC.sum()), int(confusion_CC.trace())
    of_frequent, named_frequent = int(confusion_CC[frequent].sum()), int(confusion_CC[:, frequent].sum())
    both = int(confusion_CC[frequent, frequent])

    # Discordant: right where the constant answer is wrong, and the other way round. So many gains or more, by tosses.
    gained, lost = right - both, of_frequent - both
    tosses = gained + lost
    p_mcnemar = sum(math.exp(_log_choose(tosses, k) - tosses * math.log(2)) for k in range(gained, tosses + 1))

    # The hypergeometric tail: so many of those that are named otherwise, or more, are of another class by chance.
    others, named_others = n - of_frequent, n - named_frequent
    all_draws = _log_choose(n, named_others)
    p_fisher = sum(
        math.exp(_log_choose(others, hits) + _log_choose(of_frequent, named_others - hits) - all_draws)
        for hits in range(named_others - lost, min(others, named_others) + 1)
    )
    return min(1.0, p_mcnemar), min(1.0, p_fisher)


def _log_choose(n: int, k: int) -> float:
    """The logarithm of n over k. By the standard library: SciPy takes longer to load than this to compute."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
