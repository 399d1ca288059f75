"""What is compared, a row each: accuracy with its interval, and what differs from the baseline's recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fittingroom.compare.answers import Answers
from fittingroom.evaluation.group_intervals import group_numbers
from fittingroom.evaluation.intervals import interval_method
from fittingroom.recipes.changes import differences
from fittingroom.runs.recipe_accuracy import accuracy_of_answers, whose_interval
from fittingroom.runs.run import Run

OF_NO_EFFECT = ("name", "description", "seed")


@dataclass(frozen=True, kw_only=True)
class Side:
    """A run, or files of predictions, by itself.

    Attributes:
        name: of it.
        seeds: models.
        n: images.
        mean: accuracy, of several seeds their mean, 0–1.
        sd: from seed to seed; 0 for one.
        interval: 95% of the accuracy: of the recipe by seeds and images, of one model by images.
        whose: ``recipe`` or ``this model``, and by what the interval was made.
        by_seed: each one's accuracy.
        differs: what is other than in the baseline's recipe, such as ``mirror: none → random``; None where a recipe
            isn't known.
    """

    name: str
    seeds: int
    n: int
    mean: float
    sd: float
    interval: tuple[float, float]
    whose: str
    by_seed: list[float]
    differs: list[str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """What ``fittingroom compare --json`` prints of it."""
        return {
            "run": self.name,
            "seeds": self.seeds,
            "n": self.n,
            "accuracy": self.mean,
            "sd": self.sd if self.seeds > 1 else None,
            "interval": list(self.interval),
            "interval_of": self.whose,
            "differs": self.differs,
        }


def side_of(answers: Answers, baseline: Answers) -> Side:
    """Its accuracy on the images of ``answers``, and how its recipe differs from the baseline's."""
    group_N = group_numbers(answers.groups)
    found = accuracy_of_answers(answers.correct, group_N, answers.folds)
    scores = {"n": len(answers.images), "groups": found.groups, "folds": answers.folds}

    # Of what isn't a run nothing but the answers is known, and a baseline differs from itself in nothing.
    return Side(
        name=answers.name,
        seeds=answers.seeds,
        n=len(answers.images),
        mean=found.mean,
        sd=found.sd,
        interval=found.interval,
        whose=f"{whose_interval(answers.seeds)}: {interval_method(scores, answers.seeds)}",
        by_seed=answers.correct.mean(axis=1).tolist(),
        differs=None if baseline.run is None or answers.run is None else what_differs(baseline.run, answers.run),
    )


def what_differs(baseline: Run, run: Run) -> list[str]:
    """A line for each key on which two recipes differ, seed and name apart, and one for other code of their own."""
    old, new = (
        {key: value for key, value in each.recipe.as_dict().items() if key not in OF_NO_EFFECT}
        for each in (baseline, run)
    )
    lines = [line.replace("'", "") for line in differences(_flat(old), _flat(new))]

    # A file may have kept its name while what stands in it changed.
    codes = [{name: kept.sha256 for name, kept in each.environment.code.items()} for each in (baseline, run)]
    changed = [name for name in codes[0] if name in codes[1] and codes[0][name] != codes[1][name]]
    if not any(codes) and baseline.environment.code_sha256 != run.environment.code_sha256:
        changed = ["model"]
    return lines + [f"the code of {name}" for name in changed]


def _flat(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe with ``model_args.widths`` and the like in place of a dict."""
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        flat |= {f"{key}.{name}": inner for name, inner in value.items()} if isinstance(value, dict) else {key: value}
    return flat
