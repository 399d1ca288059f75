"""A comparison of two runs: figures, and the one sentence that says what they mean."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fittingroom.compare.answers import Answers
from fittingroom.compare.mcnemar import exact_mcnemar, images_needed, paired_interval
from fittingroom.compare.seed_variance import POWER, crossed_difference

LEVEL = 0.05  # of the verdict, and of all classes together

Verdict = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of accuracy, the second run's less the first's; shares, −1 to 1.

    Attributes:
        interval: covers the true difference in 95 % of comparisons.
        p_value: of "equally good"; below 0.05 exactly when the interval leaves out 0.
        n: images.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    n: int

    @property
    def verdict(self) -> Verdict:
        """On the second run."""
        if self.interval[0] > 0:
            return "better"
        return "worse" if self.interval[1] < 0 else "cannot tell"


@dataclass(frozen=True, kw_only=True)
class ClassDifference:
    """The difference on the images of one class.

    Attributes:
        interval: so wide that those of all classes hold together in 95 % of comparisons (Bonferroni).
        p_holm: the p-value corrected for as many tests as there are classes (Holm 1979); None for a single image.
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
            "method": self.method,
            "sentence": self.sentence,
            "scope": self.scope,
            "plan": self.plan,
            "accuracies": [list(side) for side in self.accuracies],
            "per_class": [asdict(row) for row in self.per_class],
            "notes": self.notes,
        }


def compare_answers(
    first: Answers, second: Answers, on: str, *, minimum_effect: float, warnings: list[str]
) -> Comparison:
    """Compare the answers of two runs on the same images, in the same order.

    Models (one seed each) are compared by the exact McNemar test. Where a side has several seeds, it is taken as a
    recipe, and seeds and images both count (:mod:`fittingroom.compare.seed_variance`).

    Args:
        first, second: baseline and run.
        on: what they were judged on, for words.
        minimum_effect: the smallest difference of interest, > 0. The plan says how many ``seeds`` each, or for two
            models how many ``images``, detect it with a probability of 80 %; null where no number of seeds can.
        warnings: are passed through, and others added.
    """
    overall = _difference(first, second, 1 - LEVEL)
    seeds = first.seeds, second.seeds
    plan: dict[str, Any] = {"difference": minimum_effect, "power": POWER}
    warnings = list(warnings)

    # Two models are all that there is to know of them, and only images vary. A recipe is more than its trainings.
    if max(seeds) == 1:
        method = "exact McNemar test; interval of Fay and Lumbard 2021"
        discordant_share = float((first.correct != second.correct).mean())
        plan["images"] = images_needed(minimum_effect, discordant_share)
        power_statement = _power_statement_for_models(plan, overall.n)
    else:
        crossed = crossed_difference(first.correct, second.correct)
        method = (
            "crossed variance components of seeds and images; Student's t with "
            f"{crossed.degrees:.1f} degrees of freedom"
        )
        plan["seeds"] = crossed.seeds_needed(minimum_effect)
        plan["visible_at_best"] = crossed.minimum_detectable_effect
        power_statement = _power_statement_for_recipes(plan, on, min(count for count in seeds if count > 1))
        if crossed.interval_is_too_narrow:
            warnings.append(
                "the seeds happen to agree so closely that this interval is narrower than the ± "
                f"{points(crossed.margin_from_images)} points that these very models would have on other images; take "
                "it as too narrow, or train more seeds"
            )

    # A key that was mistyped, or has no effect on this model, must not pass for "no difference".
    if first.predicted.shape == second.predicted.shape and (first.predicted == second.predicted).all():
        warnings.append("they give the same answer to every image: what differs in their recipes had no effect")

    return Comparison(
        baseline=first.name,
        run=second.name,
        on=on,
        overall=overall,
        seeds=seeds,
        accuracies=(first.correct.mean(axis=1).tolist(), second.correct.mean(axis=1).tolist()),
        method=method,
        plan=plan,
        sentence=_sentence(first, second, overall, power_statement),
        scope=_scope(first, second),
        per_class=_per_class(first, second),
        warnings=warnings,
        notes=_notes(first, second, on, overall.verdict),
    )


def holm(p_values: list[float]) -> list[float]:
    """Enlarge p-values so that they hold for all tests at once: Holm 1979, Scand. J. Statistics 6: 65–70."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


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
    """0.0312 → ``0.031``, or with its sign ``= 0.031``; what is smaller than 0.0001 is shown as ``< 0.0001``."""
    if p_value < 0.0001:
        return "< 0.0001"
    return ("= " if sign else "") + f"{p_value:.2g}"


def _difference(first: Answers, second: Answers, confidence: float) -> Difference:
    n = len(first.images)
    if max(first.seeds, second.seeds) > 1:
        crossed = crossed_difference(first.correct, second.correct)
        interval = crossed.interval(confidence)
        return Difference(difference=crossed.difference, interval=interval, p_value=crossed.p_value, n=n)

    first_only = int((first.correct & ~second.correct).sum())
    second_only = int((second.correct & ~first.correct).sum())
    return Difference(
        difference=(second_only - first_only) / n,
        interval=paired_interval(first_only, second_only, n, confidence=confidence),
        p_value=exact_mcnemar(first_only, second_only),
        n=n,
    )


def _per_class(first: Answers, second: Answers) -> list[ClassDifference]:
    rows_of = {name: np.flatnonzero(first.truth == name) for name in first.classes}
    judged = [name for name, rows in rows_of.items() if len(rows) > 1]

    # Among ten classes one differs by chance in 40 % of comparisons: intervals and p-values hold for all together.
    confidence = 1 - LEVEL / max(1, len(judged))
    differences = {
        name: _difference(first.subset(rows_of[name]), second.subset(rows_of[name]), confidence) for name in judged
    }
    corrected = dict(zip(judged, holm([differences[name].p_value for name in judged]), strict=True))

    # Shown with the rest, all the same: a class of a single image, which nothing can be said of.
    table = []
    for name, rows in rows_of.items():
        if not len(rows):
            continue
        shares = [float(side.correct[:, rows].mean()) for side in (first, second)]
        table.append(
            ClassDifference(
                name=name,
                n=len(rows),
                first=shares[0],
                second=shares[1],
                difference=shares[1] - shares[0],
                interval=differences[name].interval if name in differences else None,
                p_holm=corrected.get(name),
                differs=name in corrected and corrected[name] < LEVEL,
            )
        )
    return table


def _sentence(first: Answers, second: Answers, overall: Difference, power_statement: str) -> str:
    """The verdict; where the runs can't be told apart, with what could have been detected."""
    low, high = overall.interval
    seeds = f"{first.seeds} + {second.seeds} seeds"
    if max(first.seeds, second.seeds) == 1:
        seeds = f"one seed each, {overall.n:,} images"

    if overall.verdict == "cannot tell":
        amount = points(overall.difference, signed=True)
        return (
            f"can't tell {second.name} from {first.name}: {amount} points "
            f"(95 % {points(low)} to {points(high)}, {seeds}); {power_statement}"
        )

    # The bound next to 0 decides the digits of all three: rounded to 0.00 it would contradict the verdict.
    near, far = (low, high) if overall.verdict == "better" else (-high, -low)
    amounts = [points(share, nearest_zero=near) for share in (abs(overall.difference), near, far)]
    return (
        f"{second.name} is {overall.verdict} than {first.name} by {amounts[0]} points "
        f"(95 % {amounts[1]} to {amounts[2]}, {seeds})"
    )


def _power_statement_for_recipes(plan: dict[str, Any], on: str, seeds: int) -> str:
    amount, needed = f"{100 * plan['difference']:g}", plan["seeds"]
    if needed is None:
        return (
            f"no number of seeds can detect a difference of {amount} on this {on} set: its images alone hide any below "
            f"{points(plan['visible_at_best'])}"
        )
    if needed <= seeds:
        return f"a difference of {amount} would have been detected with a probability of {POWER:.0%} or more"
    return f"to detect a difference of {amount} you need about {_two_digits(needed):,} seeds each"


def _power_statement_for_models(plan: dict[str, Any], n: int) -> str:
    amount, needed = f"{100 * plan['difference']:g}", plan["images"]
    if needed <= n:
        return f"a difference of {amount} would have been detected with a probability of {POWER:.0%} or more"
    return f"to detect a difference of {amount} between two such models you need about {_two_digits(needed):,} images"


def _two_digits(count: int) -> int:
    """328 → 330: what rests on an estimated variance isn't known any better."""
    return round(count, min(0, 2 - len(str(count))))


def _scope(first: Answers, second: Answers) -> str:
    if first.seeds == second.seeds == 1:
        return "This is about these two models. With one seed each it can't speak for their recipes."
    for model, recipe in ((first, second), (second, first)):
        if model.seeds == 1:
            return (
                f"{model.name} has one seed: this is about that model against the recipe of {recipe.name}, and can't "
                f"speak for the recipe of {model.name}."
            )
    return ""


def _notes(first: Answers, second: Answers, on: str, verdict: Verdict) -> list[str]:
    if on != "test":
        return []
    winner = {"better": second.name, "worse": first.name}.get(verdict)
    if winner:
        return [
            f"This was a test-set evaluation. {winner}'s own accuracy on it is now a little too good: test chose it."
        ]
    return ["This was a test-set evaluation. Whichever you choose now, its own accuracy on it is a little too good."]
