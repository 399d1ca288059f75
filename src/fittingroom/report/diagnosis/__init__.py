"""What a training says of itself, in words: named rules, each with its figures and, where there is one, a suggestion.

The rules read what was measured in training and on validation, never test: who acts on a diagnosis of test tunes on it.

To add a rule: write a function of :class:`Facts` that returns a :class:`Diagnosis` or None, and name it in
:data:`RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fittingroom.evaluation.mistakes import SuspiciousLabels
from fittingroom.recipes.recipe import Recipe
from fittingroom.report.diagnosis.data_rules import confusable_pair, imbalance, no_validation, suspicious_labels
from fittingroom.report.diagnosis.facts import Diagnosis, Facts, window_of
from fittingroom.report.diagnosis.learning_rules import few_steps, not_learning
from fittingroom.report.diagnosis.progress_rules import progress
from fittingroom.report.diagnosis.stability_rules import unstable
from fittingroom.report.diagnosis.trend import Trend, fit_trend

__all__ = ["DECISIVE", "RULES", "Diagnosis", "Facts", "Trend", "diagnose", "fit_trend"]

DECISIVE: tuple[Callable[[Facts], Diagnosis | None], ...] = (not_learning, few_steps)
"""Where one of these holds, the curves say nothing beyond it."""

RULES: tuple[Callable[[Facts], Diagnosis | None], ...] = (
    unstable,
    progress,
    imbalance,
    confusable_pair,
    suspicious_labels,
    no_validation,
)
"""The rules in the order in which they are reported; what is muted comes last."""


def diagnose(
    events: Sequence[dict[str, Any]],
    recipe: Recipe,
    validation: dict[str, Any] | None = None,
    suspicious: SuspiciousLabels | None = None,
    *,
    official: bool = False,
    own_validation: bool = False,
) -> list[Diagnosis]:
    """Apply every rule to a training; what matters most comes first.

    Args:
        events: of ``metrics.jsonl``, as :func:`fittingroom.runs.metrics_log.read_metrics` gives them.
        recipe: that was trained.
        validation: scores of the model as it ships on the validation images, for the rules on the data.
        suspicious: of the same images.
        official: whether the training images are the official ones of Fashion-MNIST, of which it is known what the
            package's recipes reach.
        own_validation: whether the data has validation images of its own.

    Returns:
        At least one, on the progress of the training; empty if not one epoch was finished.
    """
    epochs = [event for event in events if event["event"] == "epoch"]
    if not epochs:
        return []
    steps = [event for event in events if event["event"] == "step"]
    images = next((event["images"] for event in events if event["event"] == "start"), 0)
    facts = Facts(
        window=window_of(epochs, steps, recipe),
        epochs=epochs,
        steps=steps,
        recipe=recipe,
        scores=validation,
        suspicious=suspicious,
        official=official,
        images=images,
        own_validation=own_validation,
    )

    for rule in DECISIVE:
        if decisive := rule(facts):
            rare = imbalance(facts)
            return [decisive, rare] if rare else [decisive]
    found = [diagnosis for rule in RULES if (diagnosis := rule(facts)) is not None]
    return sorted(found, key=lambda diagnosis: diagnosis.muted)
