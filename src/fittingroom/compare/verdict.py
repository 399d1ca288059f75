"""How two runs are compared: which test decides, and the one sentence that says what came of it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from fittingroom.compare.answers import Answers
from fittingroom.compare.balanced import BalancedDifference, balanced_difference
from fittingroom.compare.comparison import (
    LEVEL,
    PLAIN,
    ClassDifference,
    Comparison,
    Decision,
    Difference,
    Verdict,
    p_text,
    points,
)
from fittingroom.compare.mcnemar import images_needed, paired_difference, range_of_images_needed
from fittingroom.compare.seed_variance import POWER, crossed_difference
from fittingroom.evaluation.fold_interval import fold_factor
from fittingroom.evaluation.intervals import SMALL_SET
from fittingroom.rendering.share import share_text


def compare_answers(
    first: Answers,
    second: Answers,
    on: str,
    *,
    minimum_effect: float,
    warnings: list[str],
    decision: Decision = PLAIN,
) -> Comparison:
    """Compare the answers of two runs on the same images, in the same order.

    Models (one seed each) are compared by the exact McNemar test. Where a side has several seeds, it is taken as a
    recipe, and seeds and images both count (:mod:`fittingroom.compare.seed_variance`).

    Args:
        first, second: baseline and run.
        on: what they were judged on, for words.
        minimum_effect: the smallest difference of interest, > 0. The plan says how many ``seeds`` each, or for two
            models how many ``images``, detect it with a probability of 80%, and the range that the measured variances
            leave open; null where no number of seeds can, and where there are too few images to say.
        warnings: are passed through, and others added.
        decision: what the verdict goes by.
    """
    overall = _overall(first, second, minimum_effect, decision)
    balanced = balanced_difference(first, second, partial(_estimate, confidence=decision.confidence))
    method, plan, power_statement = _method_and_plan(first, second, on, overall.n, minimum_effect, decision)
    warnings = list(warnings)

    # A key that was mistyped, or has no effect on this model, must not pass for "no difference".
    if first.predicted.shape == second.predicted.shape and (first.predicted == second.predicted).all():
        warnings.append(
            "they give the same answer to every image: on these answers, what differs in their recipes had no effect"
        )

    return Comparison(
        baseline=first.name,
        run=second.name,
        on=on,
        overall=overall,
        seeds=(first.seeds, second.seeds),
        accuracies=(first.correct.mean(axis=1).tolist(), second.correct.mean(axis=1).tolist()),
        method=method,
        plan=plan,
        sentence=_sentence(first, second, overall, power_statement),
        balanced=balanced,
        scope=_scope(first, second),
        per_class=_per_class(first, second, decision.level),
        warnings=warnings,
        notes=[
            *_balanced_notes(balanced, overall),
            *_decision_notes(overall),
            *_fold_notes(first, second),
            *_notes(first, second, on, overall.verdict),
            *_foreign_notes(first, second),
        ],
    )


def _method_and_plan(
    first: Answers, second: Answers, on: str, n: int, minimum_effect: float, decision: Decision
) -> tuple[str, dict[str, Any], str]:
    """How two runs are compared on ``n`` images, what it would take to detect the minimum effect, and that in words."""
    # On so few images a variance is hardly known, and one image can be more than what is asked for. At another look, or
    # where images of folds count for less than they are, a plan by this level and these counts would be another one.
    folds = _folds_of(first, second)
    is_plain = decision.look == 1 and folds is None
    can_plan = n >= SMALL_SET and 1 / n <= minimum_effect and is_plain
    plan: dict[str, Any] = {"difference": minimum_effect, "power": POWER}
    power_statement = f"{n:,} images are too few to say what it would take" if is_plain else ""
    level = decision.level / decision.runs

    # Two models are all that there is to know of them, and only images vary. A recipe is more than its trainings.
    if max(first.seeds, second.seeds) == 1:
        method = "exact McNemar test; interval of Fay and Lumbard 2021"
        plan |= {"images": None, "images_range": None}
        if can_plan:
            discordant = int((first.correct != second.correct).sum())
            plan["images"] = images_needed(minimum_effect, discordant / n, level=level)
            plan["images_range"] = range_of_images_needed(minimum_effect, discordant, n, level=level)
            power_statement = _power_statement_for_models(plan, n)
        return method, plan, power_statement

    crossed = crossed_difference(first.correct, second.correct, folds=folds)
    method = (
        f"crossed variance components of seeds and images; Student's t with {crossed.degrees:.1f} degrees of freedom"
    )
    if crossed.won is not None:
        method += f"; below {SMALL_SET} images not without the exact McNemar test on what most seeds answer"
    plan |= {"seeds": None, "seeds_range": None, "visible_at_best": None}
    if can_plan:
        plan["seeds"] = crossed.seeds_needed(minimum_effect, level)
        plan["seeds_range"] = crossed.range_of_seeds_needed(minimum_effect, level)
        plan["visible_at_best"] = crossed.minimum_detectable_effect(level)
        seeds = min(count for count in (first.seeds, second.seeds) if count > 1)
        power_statement = _power_statement_for_recipes(plan, on, seeds)
    return method, plan, power_statement


def p_value_of(first: Answers, second: Answers) -> float:
    """The p-value of "equally good" for this pair alone: what :func:`holm` corrects where there are several."""
    return _estimate(first, second, 1 - LEVEL)[2]


def holm(p_values: list[float]) -> list[float]:
    """Enlarge p-values so that they hold for all tests at once: Holm 1979, Scand. J. Statistics 6: 65–70."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def _overall(first: Answers, second: Answers, minimum_effect: float, decision: Decision) -> Difference:
    difference, interval, p_value = _estimate(first, second, decision.confidence)
    adjusted = decision != PLAIN
    return Difference(
        difference=difference,
        interval=interval,
        p_value=p_value,
        n=len(first.images),
        decision=decision,
        minimum_effect=minimum_effect,
        unadjusted_interval=_estimate(first, second, 1 - LEVEL)[1] if adjusted else interval,
    )


def _estimate(first: Answers, second: Answers, confidence: float) -> tuple[float, tuple[float, float], float]:
    """The difference, its interval, and p."""
    folds = _folds_of(first, second)
    if max(first.seeds, second.seeds) > 1:
        crossed = crossed_difference(first.correct, second.correct, folds=folds)
        return crossed.difference, crossed.interval(confidence), crossed.p_value

    n = len(first.images)
    first_only = int((first.correct & ~second.correct).sum())
    second_only = int((second.correct & ~first.correct).sum())
    paired = paired_difference(first_only, second_only, n, confidence=confidence, folds=folds)
    return paired.difference, paired.interval, paired.p_value


def _folds_of(first: Answers, second: Answers) -> int | None:
    """The folds of the cross-validation of either side; the fewer, whose factor is the larger."""
    return min((side.folds for side in (first, second) if side.folds is not None), default=None)


def _per_class(first: Answers, second: Answers, level: float) -> list[ClassDifference]:
    rows_of = {name: np.flatnonzero(first.truth == name) for name in first.classes}
    rows_of = {name: rows for name, rows in rows_of.items() if len(rows)}

    # A class says something if its images could: were one side alone right on all of them, p would be 2 / 2^n, and has
    # to fall below the level for as many tests. With ten classes that takes nine images.
    folds = _folds_of(first, second)
    least = math.log2(2 * len(rows_of) / level) * (1.0 if folds is None else fold_factor(folds))
    judged = [name for name, rows in rows_of.items() if len(rows) > least]

    # Among ten classes one differs by chance in 40 % of comparisons: intervals and p-values hold for all together.
    confidence = 1 - level / max(1, len(judged))
    estimates = {
        name: _estimate(first.subset(rows_of[name]), second.subset(rows_of[name]), confidence) for name in judged
    }
    corrected = dict(zip(judged, holm([estimates[name][2] for name in judged]), strict=True))

    table = []
    for name, rows in rows_of.items():
        shares = [float(side.correct[:, rows].mean()) for side in (first, second)]
        table.append(
            ClassDifference(
                name=name,
                n=len(rows),
                first=shares[0],
                second=shares[1],
                difference=shares[1] - shares[0],
                interval=estimates[name][1] if name in estimates else None,
                p_holm=corrected.get(name),
                differs=name in corrected and corrected[name] < level,
            )
        )
    return table


def _sentence(first: Answers, second: Answers, overall: Difference, power_statement: str) -> str:
    """The verdict; where the runs can't be told apart, with what could have been detected."""
    low, high = overall.interval
    name = overall.decision.interval_name
    seeds = f"{first.seeds} + {second.seeds} seeds"
    if max(first.seeds, second.seeds) == 1:
        seeds = f"one seed each, {overall.n:,} images"

    if overall.verdict in ("cannot tell", "smaller than the effect"):
        amount = points(overall.difference, signed=True)
        figures = f"{amount} points ({name} {points(low)} to {points(high)}, {seeds})"
        if overall.verdict == "smaller than the effect":
            effect = f"{100 * overall.minimum_effect:g}"
            return f"{second.name} and {first.name} differ by less than {effect} points: {figures}"
        what_it_takes = f"; {power_statement}" if power_statement else ""
        return f"can't tell {second.name} from {first.name}: {figures}{what_it_takes}"

    # The bound next to 0 decides the digits of all three: rounded to 0.00 it would contradict the verdict.
    near, far = (low, high) if overall.verdict == "better" else (-high, -low)
    amounts = [points(share, nearest_zero=near) for share in (abs(overall.difference), near, far)]
    return (
        f"{second.name} is {overall.verdict} than {first.name} by {amounts[0]} points "
        f"({name} {amounts[1]} to {amounts[2]}, {seeds})"
    )


def _balanced_notes(balanced: BalancedDifference | None, overall: Difference) -> list[str]:
    """What accuracy hides where the classes are of very different sizes."""
    if balanced is None:
        return []
    low, high = balanced.interval
    return [
        "That is of accuracy, which goes by the large classes. If each class counts the same: balanced accuracy "
        f"{share_text(balanced.first, 1)} and {share_text(balanced.second, 1)}, a difference of "
        f"{points(balanced.difference, signed=True)} points ({overall.decision.interval_name} {points(low)} to "
        f"{points(high)})."
    ]


def _decision_notes(overall: Difference) -> list[str]:
    """What the verdict goes by where that isn't plain: several runs, another look; and the figures without it."""
    # Whoever reads p and the interval has to know what they were held to.
    decision, notes = overall.decision, []
    if decision.look > 1:
        notes.append(
            f"Look {decision.look} at this pair: p has to be below {decision.level:.4g}, so that looking again doesn't "
            "find what isn't there."
        )
    if decision.runs > 1:
        notes.append(
            f"{decision.runs} runs against one baseline: decided by Holm's p {p_text(overall.p_decisive, sign=True)}; "
            "the interval is simultaneous (Bonferroni)."
        )

    # Holm is sharper than Bonferroni, so that the two may disagree: that is said before somebody finds it.
    if overall.interval_disagrees:
        notes.append(
            "p and the interval disagree: the interval holds 0; it is decided by p, as Holm's test is sharper."
        )

    if decision != PLAIN:
        low, high = overall.unadjusted_interval
        notes.append(
            f"Unadjusted: 95% {points(low)} to {points(high)}, p {p_text(overall.p_value, sign=True)}, as if this "
            "were the only comparison."
        )
    return notes


def _power_statement_for_recipes(plan: dict[str, Any], on: str, seeds: int) -> str:
    amount, (low, high) = f"{100 * plan['difference']:g}", plan["seeds_range"]
    if low is None:
        return (
            f"no number of seeds can detect a difference of {amount} on this {on} set: its images alone hide any below "
            f"about {points(plan['visible_at_best'])}"
        )
    if high is None:
        return f"to detect a difference of {amount} you need {_two_digits(low):,} seeds each or more, or more images"
    if high <= seeds:
        return f"a difference of {amount} would have been detected with a probability of {POWER:.0%} or more"
    return f"to detect a difference of {amount} you need about {_span(low, high)} seeds each"


def _power_statement_for_models(plan: dict[str, Any], n: int) -> str:
    amount, (low, high) = f"{100 * plan['difference']:g}", plan["images_range"]
    if high <= n:
        return f"a difference of {amount} would have been detected with a probability of {POWER:.0%} or more"
    return f"to detect a difference of {amount} between two such models you need about {_span(low, high)} images"


def _span(low: int, high: int) -> str:
    """``19 to 130``, or one number where both ends are the same."""
    ends = list(dict.fromkeys(f"{_two_digits(end):,}" for end in (low, high)))
    return " to ".join(ends)


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


def _fold_notes(first: Answers, second: Answers) -> list[str]:
    folds = _folds_of(first, second)
    if folds is None:
        return []
    crossed = " and ".join(side.name for side in (first, second) if side.folds is not None)
    n = len(first.images)
    return [
        f"The answers of {crossed} are of several models, one a fold, that learned from largely the same images: "
        f"{n:,} images count as {int(n / fold_factor(folds)):,} (Nadeau and Bengio 2003)."
    ]


def _foreign_notes(first: Answers, second: Answers) -> list[str]:
    """How files of predictions were understood, and what can't be known of them."""
    unknown = [
        f"Nothing is known of {side.name} but its answers: whether it learned from these images, or was chosen by "
        "them, can't be told."
        for side in (first, second)
        if side.run is None
    ]
    return [*dict.fromkeys([*first.notes, *second.notes]), *unknown]


def _notes(first: Answers, second: Answers, on: str, verdict: Verdict) -> list[str]:
    if on != "test":
        return []
    if first.run is None and second.run is None:
        whose = "If these are test images: whichever you choose now, its own accuracy on them"
        return [f"{whose} tends to be a little too good."]
    winner = {"better": second.name, "worse": first.name}.get(verdict)
    if winner:
        whose, why = f"{winner}'s own accuracy on it now", ": test chose it"
    else:
        whose, why = "Whichever you choose now, its own accuracy on it", ""
    return [f"This was a test-set evaluation. {whose} tends to be a little too good{why}."]
