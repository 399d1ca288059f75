"""Axes and lines of every drawing: scales, round ticks, thinned points, SVG paths. ``axes.html`` draws the axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS = 400  # a line of more points than twice this is thinned to the least and the greatest of each column

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """A linear map of [low, high] to pixels [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The position of a value, also of one outside."""
        span = self.high - self.low
        return round(self.start + (value - self.low) / (span or 1) * (self.end - self.start), 2)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its position in pixels, and its label."""

    position: float
    label: str


def ticks(low: float, high: float, count: int, *, least: float = 0.0) -> list[float]:
    """Choose round values for the ticks of an axis.

    Args:
        low, high: the ends of the axis; the values lie within.
        count: about how many.
        least: the values are at least so far apart.

    Returns:
        Values 1, 2 or 5 times a power of ten apart, or ``least`` where that is more.
    """
    if high <= low:
        return [low]

    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(least, next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999))

    # A hair of room at both ends, so that a rounding error doesn't cost the last tick.
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def thinned(points: Sequence[Point], columns: int = COLUMNS) -> list[Point]:
    """At most 2 points in each of ``columns`` stretches: its least and its greatest y, so that no spike is lost."""
    if len(points) <= 2 * columns:
        return list(points)
    kept: list[Point] = []
    for i in range(columns):
        stretch = points[i * len(points) // columns : (i + 1) * len(points) // columns]
        kept += sorted({min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])})
    return kept


def svg_path(points: Sequence[Point]) -> str:
    """The ``d`` of a path through the points: ``M1,2L3,4``."""
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points) if points else ""
