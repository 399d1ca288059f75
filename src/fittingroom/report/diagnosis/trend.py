"""A straight line through values of successive epochs, and how sure its slope is.

It is fitted by ordinary least squares; the slope's 95% interval is Student's, and takes the epochs' deviations from
the line for independent.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Trend:
    """A line fitted to values of successive epochs: slope per epoch with its 95% interval, mean of the values."""

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
        return f"{signed(self.slope)} an epoch, 95% {signed(self.low)} to {signed(self.high)}"


def fit_trend(values: Sequence[float]) -> Trend:
    """Fit a line to values at x = 0, 1, 2, … by ordinary least squares.

    Args:
        values: n ≥ 3.

    Returns:
        The line; its slope's interval is by Student's t with n - 2 degrees of freedom.
    """
    from scipy.special import stdtrit  # a tenth of the time that scipy.stats takes to load

    n, mean = len(values), statistics.fmean(values)
    x_mean = (n - 1) / 2
    spread = sum((x - x_mean) ** 2 for x in range(n))
    slope = sum((x - x_mean) * (y - mean) for x, y in enumerate(values)) / spread
    squares = sum((y - mean - slope * (x - x_mean)) ** 2 for x, y in enumerate(values))
    half = float(stdtrit(n - 2, 0.975)) * math.sqrt(squares / (n - 2) / spread)
    return Trend(slope, slope - half, slope + half, mean)


def signed(value: float) -> str:
    """Write a number with two significant digits, with a sign and without an exponent."""
    digits = max(0, 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:+.{digits}f}".replace("-", "−")
