"""What a rule answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one rule found.

    Attributes:
        name: of the rule: ``not-learning``, ``unstable``, ``over-fitting``, ``under-fitting``, ``plateau``,
            ``still-improving``, ``too-short``, ``no-validation``, ``confusable-pair`` or ``suspicious-labels``.
        sentence: what was found, with the figures that decide it.
        evidence: every figure that the rule went by; losses in nats, shares in 0–1, epochs from 1.
        suggestion: what to try, in one sentence.
    """

    name: str
    sentence: str
    evidence: dict[str, float]
    suggestion: str


def rounded(rate: float) -> str:
    """One significant digit, without an exponent where that is short."""
    return f"{float(f'{rate:.1g}'):g}"
