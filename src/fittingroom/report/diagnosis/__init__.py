"""What the curves of a training say, in words: named rules, each with its figures and one suggestion.

The rules read what was measured in training and validation. They never look at test to say whether a model over-fits:
who acts on that would be tuning on test.

To add a rule: write a function of :class:`Facts` that returns a :class:`Verdict` or None, and name it in :data:`RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fittingroom.evaluation.mistakes import SuspiciousLabels
from fittingroom.recipes.recipe import Recipe
from fittingroom.report.diagnosis.data_rules import confusable_pair, no_validation, suspicious_labels
from fittingroom.report.diagnosis.facts import Facts, Verdict, window_of
from fittingroom.report.diagnosis.progress_rules import course
from fittingroom.report.diagnosis.stability_rules import not_learning, unstable
from fittingroom.report.diagnosis.trend import Trend, fit_trend

__all__ = ["RULES", "Facts", "Trend", "Verdict", "diagnose", "fit_trend"]

RULES: tuple[Callable[[Facts], Verdict | None], ...] = (
    unstable,
    course,
    no_validation,
    confusable_pair,
    suspicious_labels,
)
"""In the order in which verdicts are told. Where ``not_learning`` speaks, nothing else is worth a word."""


def diagnose(
    events: Sequence[dict[str, Any]],
    recipe: Recipe,
    scores: dict[str, Any] | None = None,
    suspicious: SuspiciousLabels | None = None,
) -> list[Verdict]:
    """Apply every rule to a training; what matters most comes first.

    Args:
        events: of ``metrics.jsonl``, as :func:`fittingroom.runs.metrics_log.read_metrics` gives them.
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
    facts = Facts(window_of(epochs, steps, recipe), epochs, steps, recipe, scores, suspicious)
    if lost := not_learning(facts):
        return [lost]
    return [verdict for rule in RULES if (verdict := rule(facts)) is not None]
