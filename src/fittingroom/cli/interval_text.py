"""An interval of accuracy in words: whose it is, by which method, and what it covers on few images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FEW_IMAGES = 100  # with fewer, an interval of a recipe is a rougher one, and that is said


def show_interval(scores: Mapping[str, Any], n: int, *, seeds: int = 1) -> str:
    """``95% interval 91.49% to 92.55% (this model: Wilson)``, or ``(recipe: seeds × images)``.

    Where groups are known, ``(this model: 150 images in 12 groups)``, ``(recipe: seeds × 150 images in 12 groups)``.

    Args:
        scores: with ``interval``, ``groups`` where the interval is by these, and ``folds`` of a cross-validation.
        n: images.
        seeds: that were trained.
    """
    from fittingroom.evaluation.intervals import interval_method

    low, high = scores["interval"]
    groups = scores.get("groups")
    method = interval_method({"n": n, "groups": groups, "folds": scores.get("folds")}, seeds)
    whose = "recipe" if seeds > 1 else "this model"
    is_rough = seeds > 1 and n < FEW_IMAGES and not groups
    few = "; with so few images it held in 93% of simulations or more" if is_rough else ""
    return f"95% interval {low:.2%} to {high:.2%} ({whose}: {method}{few})"
