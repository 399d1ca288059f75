"""What a comparison is: figures with all that they were decided by, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fittingroom.compare.balanced import BalancedDifference
from fittingroom.rendering.in_notebook import MOST_ROWS, notebook_view
from fittingroom.rendering.share import share_text

LEVEL = 0.05  # of the verdict at the first look, and of all classes together

Verdict = Literal["better", "worse", "smaller than the effect", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a verdict is reached by: how many runs are compared with the baseline, and how often one has looked.

    Attributes:
        runs: that are compared with one baseline.
        p_holm: the p-value corrected for as many (Holm); None for one run.
        look: at this pair, 1 for the first.
        level: what p has to fall below.
    """

    runs: int = 1
    p_holm: float | None = None
    look: int = 1
    level: float = LEVEL

    @property
    def confidence(self) -> float:
        """The confidence of the interval beside the verdict; Bonferroni's, so that those of all runs hold together."""
        return 1 - self.level / self.runs

    @property
    def interval_name(self) -> str:
        """``95%``, ``simultaneous 95%``, ``99.39%``: what the interval is called."""
        percent = confidence_text(1 - self.level)
        return f"simultaneous {percent}" if self.runs > 1 else percent


PLAIN = Decision()  # of one run at the first look


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The difference of accuracies, the second run's less the first's; shares, −1 to 1.

    Attributes:
        interval: by ``decision``; for one run at the first look it covers the true difference in 95% of comparisons.
        p_value: of "equally good", not corrected.
        n: images.
        decision: what the verdict goes by.
        minimum_effect: the smallest difference of interest, > 0.
        unadjusted_interval: 95%, as if this were the only run and the first look.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    n: int
    decision: Decision
    minimum_effect: float
    unadjusted_interval: tuple[float, float]

    @property
    def p_decisive(self) -> float:
        """The p-value that the verdict goes by."""
        return self.p_value if self.decision.p_holm is None else self.decision.p_holm

    @property
    def verdict(self) -> Verdict:
        """The verdict on the second run: by p; where that is open, whether the interval holds nothing of interest."""
        if self.p_decisive < self.decision.level and self.difference:
            return "better" if self.difference > 0 else "worse"
        if max(abs(bound) for bound in self.interval) < self.minimum_effect:
            return "smaller than the effect"
        return "cannot tell"

    @property
    def interval_disagrees(self) -> bool:
        """Whether p decides, while the simultaneous interval still holds 0: Holm's test is the sharper one."""
        return self.verdict in ("better", "worse") and self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True, kw_only=True)
class ClassDifference:
    """The difference on the images of one class.

    Attributes:
        interval: so wide that those of all classes hold together in 95% of comparisons (Bonferroni).
        p_holm: the p-value corrected for as many tests as there are classes (Holm 1979); None where the class has so
            few images that no answers to them could tell.
        differs: whether ``p_holm`` is below 0.05.
    """

    name: str
    n: int
    first: float
    second: float
    difference: float
    interval: tuple[float, float] | None
    p_holm: float | None
    differs: bool

    @property
    def says_something(self) -> bool:
        """Whether the interval leaves out any difference that the baseline's recall allows."""
        return self.interval is not None and (self.interval[0] > -self.first or self.interval[1] < 1 - self.first)

    @property
    def interval_disagrees(self) -> bool:
        """Whether p decides, while the simultaneous interval still holds 0."""
        return self.differs and self.interval is not None and self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One run against the baseline.

    Attributes:
        baseline, run: names.
        on: ``test`` or ``validation``.
        overall: on all images.
        seeds: models of the baseline and of the run.
        accuracies: of each model of the baseline, and of the run.
        method: which test and interval decided.
        plan: what would show a difference of the size asked for; see :func:`compare_answers`.
        sentence: the verdict in words, with the interval and the numbers behind it.
        scope: what the verdict is about, where that is not two recipes; may be empty.
        per_class: in the order of the classes.
        warnings: what is wrong with the comparison, the worst first.
        notes: what to keep in mind all the same.
        balanced: of balanced accuracy, where the classes are of very different sizes; else None.
    """

    baseline: str
    run: str
    on: str
    overall: Difference
    seeds: tuple[int, int]
    accuracies: tuple[list[float], list[float]]
    method: str
    plan: dict[str, Any]
    sentence: str
    scope: str
    per_class: list[ClassDifference]
    warnings: list[str]
    notes: list[str]
    balanced: BalancedDifference | None = None

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        return view_of_comparisons(self.baseline, [self])

    def as_dict(self) -> dict[str, Any]:
        """What ``fittingroom compare --json`` prints of it."""
        return {
            # The keys that programs are promised, then those that say more.
            "run": self.run,
            "difference": self.overall.difference,
            "interval": list(self.overall.interval),
            "seeds": list(self.seeds),
            "n": self.overall.n,
            "verdict": self.overall.verdict,
            "warnings": self.warnings,
            "on": self.on,
            "p_value": self.overall.p_value,
            "p_holm": self.overall.decision.p_holm,
            "runs": self.overall.decision.runs,
            "look": self.overall.decision.look,
            "level": self.overall.decision.level,
            "interval_name": self.overall.decision.interval_name,
            "interval_unadjusted": list(self.overall.unadjusted_interval),
            "method": self.method,
            "sentence": self.sentence,
            "scope": self.scope,
            "plan": self.plan,
            "balanced_accuracy": self.balanced and self.balanced.as_dict(),
            "accuracies": [list(side) for side in self.accuracies],
            "per_class": [asdict(row) | {"says_something": row.says_something} for row in self.per_class],
            "notes": self.notes,
        }


def view_of_comparisons(baseline: str, comparisons: Sequence[Comparison]) -> str:
    """What a notebook shows of runs compared with a baseline: a row and a sentence each."""
    rows = []
    for each in comparisons:
        low, high = (points(bound, signed=True) for bound in each.overall.interval)
        first, second = (share_text(float(np.mean(side))) for side in each.accuracies)
        difference = f"{points(each.overall.difference, signed=True)} points ({low} to {high})"
        rows.append([each.run, first, second, difference, each.overall.verdict])

    header = ("run", f"accuracy of {baseline}", "accuracy", "difference (interval)", "verdict")
    notes = [note for each in comparisons for note in (each.sentence, *each.warnings)][:MOST_ROWS]
    about = f"on {comparisons[0].on}, {comparisons[0].overall.n:,} images" if comparisons else ""
    return notebook_view(f"Compared with {baseline}", about, header=header, rows=rows, notes=notes)


def points(share: float, *, nearest_zero: float = 1.0, signed: bool = False) -> str:
    """0.0042 → ``0.42``: a share in points, with more than two digits where ``nearest_zero`` would else be 0.00."""
    digits = 2
    while round(100 * abs(nearest_zero), digits) == 0 and digits < 6:
        digits += 1
    text = f"{100 * abs(share):.{digits}f}"
    if share < 0 and float(text):
        return "−" + text
    return "+" + text if signed and float(text) else text


def p_text(p_value: float, *, sign: bool = False) -> str:
    """0.0312 → ``0.031``, or with its sign ``= 0.031``; what is smaller than 0.0001 is shown as ``< 0.0001``.

    What is below 0.05 stays below it: 0.0496 → ``0.0496``.
    """
    if p_value < 0.0001:
        return "< 0.0001"
    digits = 2
    while p_value < LEVEL <= float(f"{p_value:.{digits}g}") and digits < 6:
        digits += 1
    return ("= " if sign else "") + f"{p_value:.{digits}g}"


def confidence_text(confidence: float) -> str:
    """0.95 → ``95%``, 0.99392 → ``99.39%``, 0.999958 → ``99.9958%``: never 100%, which no interval holds in."""
    digits = 4
    while confidence < 1 and float(f"{100 * confidence:.{digits}g}") >= 100 and digits < 15:
        digits += 1
    return f"{100 * confidence:.{digits}g}%"
