"""What the curves of a training say, in words: named rules, each with its figures and one suggestion.

The rules read what was measured in training and validation. Whether a model over-fits is never decided by test: who
acts on that would be tuning on test.

To add a rule: write a function of :class:`Facts` that returns a :class:`Diagnosis` or None, and name it in
:data:`RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fittingroom.evaluation.mistakes import SuspiciousLabels
from fittingroom.recipes.recipe import Recipe
from fittingroom.report.diagnosis.data_rules import confusable_pair, no_validation, suspicious_labels
from fittingroom.report.diagnosis.facts import Diagnosis, Facts, window_of
from fittingroom.report.diagnosis.progress_rules import progress
from fittingroom.report.diagnosis.stability_rules import not_learning, unstable
from fittingroom.report.diagnosis.trend import Trend, fit_trend

__all__ = ["RULES", "Diagnosis", "Facts", "Trend", "diagnose", "fit_trend"]

RULES: tuple[Callable[[Facts], Diagnosis | None], ...] = (
    unstable,
    progress,
    no_validation,
    confusable_pair,
    suspicious_labels,
)
"""In the order in which they are reported. Where ``not_learning`` holds, no other one is worth a word."""


def diagnose(
    events: Sequence[dict[str, Any]],
    recipe: Recipe,
    scores: dict[str, Any] | None = None,
    suspicious: SuspiciousLabels | None = None,
) -> list[Diagnosis]:
    """Apply every rule to a training; what matters most comes first.

    Args:
        events: of ``metrics.jsonl``, as :func:`fittingroom.runs.metrics_log.read_metrics` gives them.
        recipe: that was trained.
        scores: of the model as it ships, for the rules on the data: those on test, if it was evaluated on.
        suspicious: of the same images.

    Returns:
        At least one, on the progress of the training; empty if not one epoch was finished.
    """
    epochs = [event for event in events if event["event"] == "epoch"]
    if not epochs:
        return []
    steps = [event for event in events if event["event"] == "step"]
    facts = Facts(window_of(epochs, steps, recipe), epochs, steps, recipe, scores, suspicious)
    if hopeless := not_learning(facts):
        return [hopeless]
    return [diagnosis for rule in RULES if (diagnosis := rule(facts)) is not None]
