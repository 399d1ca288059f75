"""A study of ideas: baseline and ideas are trained with more and more seeds until each idea is told.

    runs/swift-try-1/
      study.json          what is tried, against what; see :mod:`fittingroom.ideas.record`
      baseline/seed-0 …   the runs, like any others; see :mod:`fittingroom.ideas.side`
      idea-1/seed-0 …     for each idea
      result.json  report.html
      test.json, test-baseline/ …   with ``--test``: the one look at test; see :mod:`fittingroom.ideas.on_test`

What is known is in the runs: a study that was stopped or killed goes on by reading them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.compare.answers import Answers, pair
from fittingroom.compare.comparison import confidence_text
from fittingroom.errors import Interrupted
from fittingroom.evaluation.group_intervals import group_numbers
from fittingroom.events import Hooks, JobDone
from fittingroom.ideas.decide import LOOKS, Judgement, judge
from fittingroom.ideas.side import Side
from fittingroom.ideas.table import points
from fittingroom.runs.recipe_accuracy import accuracy_of_answers

BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True)
class Idea(Side):
    """A recipe that is tried against the baseline.

    Attributes:
        changes: what it changes in the baseline, a line each.
    """

    changes: tuple[str, ...] = ()


@dataclass(eq=False)
class Study:
    """A study that was started; see :func:`fittingroom.try_ideas`.

    Attributes:
        path: its folder.
        baseline: what all is compared with.
        ideas: what is tried.
        effect: the smallest difference of accuracies that is of interest, a share.
        budget: seconds of training, after which none is begun; None for no limit.
        judged: the last judgement of each idea by its name; empty until the first look.
    """

    path: Path
    baseline: Side
    ideas: Sequence[Idea]
    effect: float
    budget: float | None
    judged: dict[str, Judgement] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.resolve().name

    @property
    def resume_command(self) -> str:
        """The command that resumes it."""
        return f"fittingroom try --resume {quote(str(self.path))}"

    def search(self, hooks: Hooks) -> None:
        """Train pairs until each idea is told, or the budget is spent.

        Raises:
            Interrupted: on request; the same call goes on.
        """
        still_open = list(self.ideas)

        # A study that goes on comes by here again: what is trained isn't trained anew, and each look finds the same.
        for look, pairs in enumerate(LOOKS):
            try:
                for side in [self.baseline, *still_open]:
                    side.train_up_to(pairs, hooks, first=LOOKS[0], may_begin=self._refuse_beyond_budget)
            except Interrupted:
                raise Interrupted("stopped; what is trained is kept", self.resume_command) from None
            except BudgetSpent:
                self._close(still_open)
                return

            answers = dict(self._answers(still_open, pairs))
            right = {name: (first.correct, second.correct) for name, (first, second) in answers.items()}
            group_N = group_numbers(answers[still_open[0].name][0].groups)  # all are about the same images
            judgements = judge(right, look, self.effect, self.baseline.folds, group_N)
            self.judged |= judgements
            for idea in still_open:
                hooks.observe(JobDone(job=idea.name, outcome=judgement_text(judgements[idea.name], self.effect)))
            still_open = [idea for idea in still_open if judgements[idea.name].verdict is None]
            if not still_open:
                return

    def _refuse_beyond_budget(self) -> None:
        if self.seconds >= (math.inf if self.budget is None else self.budget):
            raise BudgetSpent

    @property
    def seconds(self) -> float:
        """The seconds that its trainings took so far."""
        return sum(side.seconds for side in (self.baseline, *self.ideas))

    def _answers(self, ideas: Sequence[Idea], pairs: int) -> Iterator[tuple[str, tuple[Answers, Answers]]]:
        """What the first seeds of baseline and idea said of each image, by the idea's name."""
        baseline = self.baseline.answers(pairs)
        for idea in ideas:
            yield idea.name, pair(baseline, idea.answers(pairs))

    def _close(self, ideas: Sequence[Idea]) -> None:
        """Say of what is still open that the budget didn't suffice."""
        for idea in ideas:
            if judgement := self.judged.get(idea.name):
                self.judged[idea.name] = dataclasses.replace(
                    judgement, verdict="cannot tell", reason="within the budget"
                )

    def result(self) -> dict[str, Any]:
        """What ``result.json`` says of what is known by now; shares, seconds."""
        pairs = max((judgement.pairs for judgement in self.judged.values()), default=0)
        baseline = self.baseline.answers(pairs) if pairs else None
        return {
            "effect": self.effect,
            "n": None if baseline is None else len(baseline.images),
            "groups": None if baseline is None else _count_of(group_numbers(baseline.groups)),
            "folds": self.baseline.folds,
            "seconds": self.seconds,
            "baseline": {"run": self.baseline.path.name} | _accuracies(baseline),
            "ideas": [self._result_of(idea) for idea in self.ideas],
        }

    def _result_of(self, idea: Idea) -> dict[str, Any]:
        """The result of one idea; one that no look has judged has no figures."""
        judgement = self.judged.get(idea.name)
        of_seeds = _accuracies(None if judgement is None else idea.answers(judgement.pairs))
        whose = {"name": idea.name, "run": idea.path.name, "changes": list(idea.changes), "seconds": idea.seconds}
        if judgement is None:
            nothing = dict.fromkeys(known.name for known in dataclasses.fields(Judgement))
            return whose | of_seeds | nothing | {"pairs": 0, "verdict": "cannot tell", "reason": "within the budget"}
        return whose | of_seeds | dataclasses.asdict(judgement) | {"interval": list(judgement.interval)}


class BudgetSpent(Exception):
    """No more is to be trained."""


def judgement_text(judgement: Judgement, effect: float) -> str:
    """One line of what a look found: ``+0.31 points (97%: −0.10 to +0.72) after 4 pairs: better``."""
    low, high = judgement.interval
    verdict: str = judgement.verdict or "open"
    if judgement.verdict == "smaller than the effect":
        verdict = f"smaller than {100 * effect:g} points"
    if judgement.reason:
        verdict += f" {judgement.reason}"
    return (
        f"{points(judgement.difference)} points ({confidence_text(judgement.confidence)}: {points(low)} to "
        f"{points(high)}) after {judgement.pairs} pairs: {verdict}"
    )


def _count_of(group_N: NDArray[np.int64] | None) -> int | None:
    return None if group_N is None else int(group_N.max()) + 1


def _accuracies(answers: Answers | None) -> dict[str, Any]:
    """The figures of a side's seeds, and of its recipe."""
    if answers is None:
        return {"seeds": 0, "accuracies": [], "mean": None, "sd": None, "interval_of_accuracy": None}
    accuracy = accuracy_of_answers(answers.correct, group_numbers(answers.groups), answers.folds)
    return {
        "seeds": answers.seeds,
        "accuracies": answers.correct.mean(axis=1).tolist(),
        "mean": accuracy.mean,
        "sd": accuracy.sd,
        "interval_of_accuracy": list(accuracy.interval),
    }
