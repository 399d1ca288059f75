"""An interval of accuracy in words: whose it is, by which method, and what it covers on few images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FEW_IMAGES = 100  # with fewer, an interval of a recipe is a rougher one, and that is said


def show_interval(scores: Mapping[str, Any], n: int, *, seeds: int = 1) -> str:
    """``95 % interval 91.49% to 92.55% (this model: Wilson)``, or ``(recipe: seeds × images)``.

    Args:
        scores: with ``interval``.
        n: images.
        seeds: that were trained.
    """
    from fittingroom.evaluation.intervals import model_interval_method

    low, high = scores["interval"]
    method = f"this model: {model_interval_method(n)}" if seeds == 1 else "recipe: seeds × images"
    few = "; with so few images it held in 93.7 % of simulations or more" if seeds > 1 and n < FEW_IMAGES else ""
    return f"95 % interval {low:.2%} to {high:.2%} ({method}{few})"
