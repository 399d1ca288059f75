"""A study of ideas on disk: the baseline and each idea are runs of as many seeds as they took.

    runs/swift-try-1/
      study.json          what is tried, against what; `"format": 1`
      baseline/seed-0 …   a run of several seeds, like any other; with folds, each seed is a run of its own
      idea-1/seed-0 …     for each idea
      result.json  report.html

What is known is in the runs: a study that was stopped or killed goes on by reading them.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fittingroom.compare.answers import Answers, pair, read_answers
from fittingroom.data.dataset import Splits
from fittingroom.errors import Interrupted
from fittingroom.evaluation.intervals import recipe_accuracy
from fittingroom.events import Event, Hooks, JobDone, JobEvent
from fittingroom.ideas.decide import LOOKS, Judgement, judge
from fittingroom.pipeline import add_seeds, resume, train
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs import environment_record
from fittingroom.runs.environment_record import Options
from fittingroom.runs.run import Run

STUDY = "study.json"
BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True)
class Idea:
    """A recipe that is tried against the baseline.

    Attributes:
        name: as it was asked for, such as ``mirror=random``.
        folder: of its run, within the study's.
        recipe: all of it.
        changes: what it changes in the baseline, a line each.
    """

    name: str
    folder: str
    recipe: Recipe
    changes: tuple[str, ...]


@dataclass(eq=False)
class Study:
    """A study that was started; see :func:`fittingroom.try_ideas`.

    Attributes:
        path: its folder.
        baseline: the recipe that all is compared with.
        ideas: what is tried.
        effect: the smallest difference of accuracies that is of interest, a share.
        budget: seconds of training, after which no more is trained; None for no limit.
        folds: of the cross-validation by which each seed judges all images; None where some are held out.
        options: of every training.
        splits: without a test set: nothing that decides is ever handed one.
        trust_code: permits executing the source that the runs keep of a network of the user's own.
        judged: the last judgement of each idea by its name; empty until the first look.
    """

    path: Path
    baseline: Recipe
    ideas: Sequence[Idea]
    effect: float
    budget: float | None
    folds: int | None
    options: Options
    splits: Splits = field(repr=False)
    trust_code: bool = False
    judged: dict[str, Judgement] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.path.resolve().name

    def search(self, hooks: Hooks) -> None:
        """Train pairs until each idea is decided, or the budget is spent.

        Raises:
            Interrupted: on request; the same call goes on.
        """
        still_open = list(self.ideas)
        for look, pairs in enumerate(LOOKS):
            try:
                for folder, recipe in [(BASELINE, self.baseline), *((idea.folder, idea.recipe) for idea in still_open)]:
                    self._train_up_to(pairs, folder, recipe, hooks)
            except BudgetSpent:
                self._close(still_open)
                return

            judgements = judge(dict(self._answers(still_open, pairs)), look, self.effect)
            self.judged |= judgements
            for idea in still_open:
                hooks.observe(JobDone(job=idea.name, outcome=judgement_text(judgements[idea.name], self.effect)))
            still_open = [idea for idea in still_open if judgements[idea.name].verdict is None]
            if not still_open:
                return

    def _train_up_to(self, seeds: int, folder: str, recipe: Recipe, hooks: Hooks) -> None:
        """Bring a side to so many seeds, one after another."""
        path = self.path / folder
        deadline = time.monotonic() + self._left()
        stopped = _Stop(hooks, deadline)
        arguments: dict[str, Any] = {
            "observe": partial(_under_name, hooks, folder if folder == BASELINE else self._name_of(folder)),
            "should_stop": stopped,
            "look_at_test": False,
        }
        try:
            if self.folds is not None:
                for number in range(seeds):
                    self._train_by_folds(path / f"seed-{recipe.seed + number}", recipe, number, deadline, arguments)
                return

            # A folder without its first file was killed before anything was in it.
            if not (path / environment_record.FILE).exists():
                shutil.rmtree(path, ignore_errors=True)
                own = range(recipe.seed, recipe.seed + seeds)
                train(self.splits, recipe, seeds=list(own), out=path, options=self.options, **arguments)
                return

            of_a_run: dict[str, Any] = {"data": self.splits, "trust_code": self.trust_code, **arguments}
            if not Run(path).is_finished:
                resume(path, **of_a_run)
            missing = seeds - len(Run(path).members)
            if missing > 0:
                if time.monotonic() >= deadline:
                    raise BudgetSpent
                add_seeds(path, missing, **of_a_run)
        except Interrupted:
            if stopped.by_budget:
                raise BudgetSpent from None
            raise Interrupted("stopped; what is trained is kept", self.resume_command) from None

    def _train_by_folds(
        self, path: Path, recipe: Recipe, number: int, deadline: float, arguments: Mapping[str, Any]
    ) -> None:
        """Train one seed of a side, which judges every image by models that have not learned from it."""
        if not (path / environment_record.FILE).exists():
            if number >= LOOKS[0] and time.monotonic() >= deadline:
                raise BudgetSpent
            shutil.rmtree(path, ignore_errors=True)
            seed = recipe.seed + number
            train(self.splits, recipe, seed=seed, folds=self.folds, out=path, options=self.options, **arguments)
        elif not Run(path).is_finished:
            resume(path, data=self.splits, trust_code=self.trust_code, **arguments)

    @property
    def resume_command(self) -> str:
        """What goes on with it."""
        from shlex import quote

        return f"fittingroom try --resume {quote(str(self.path))}"

    def _answers(self, ideas: Sequence[Idea], pairs: int) -> Iterator[tuple[str, tuple[Any, Any]]]:
        """By each idea's name, whether each of the first seeds of baseline and idea got each image right."""
        baseline = self._read(BASELINE, pairs)
        for idea in ideas:
            first, second = pair(baseline, self._read(idea.folder, pairs))
            yield idea.name, (first.correct, second.correct)

    def _read(self, folder: str, seeds: int) -> Answers:
        """What the first seeds of a side say of the validation images."""
        path, models = self.path / folder, self._models(folder)[:seeds]
        run = models[0] if self.folds is not None else Run(path, self.splits)
        return read_answers(run, folder, "validation", models=models)

    def _models(self, folder: str) -> list[Run]:
        """The runs of one seed that a side has by now, finished or not."""
        path = self.path / folder
        if self.folds is None:
            return list(Run(path, self.splits).members) if (path / environment_record.FILE).exists() else []
        seeds = sorted(int(found.parent.name[5:]) for found in path.glob(f"seed-*/{environment_record.FILE}"))
        return [Run(path / f"seed-{seed}", self.splits) for seed in seeds]

    def _left(self) -> float:
        """Seconds of the budget."""
        return math.inf if self.budget is None else self.budget - self.seconds

    @property
    def seconds(self) -> float:
        """That its trainings took so far, whichever process carried them out."""
        return sum(map(self._seconds_of, [BASELINE, *(idea.folder for idea in self.ideas)]))

    def _name_of(self, folder: str) -> str:
        return next(idea.name for idea in self.ideas if idea.folder == folder)

    def _close(self, ideas: Sequence[Idea]) -> None:
        """Say of what is still open that the budget didn't suffice."""
        for idea in ideas:
            if idea.name in self.judged:
                judgement = self.judged[idea.name]
                self.judged[idea.name] = dataclasses.replace(
                    judgement, verdict="cannot tell", reason="within the budget"
                )

    def result(self) -> dict[str, Any]:
        """What ``result.json`` says of what is known by now; shares, seconds."""
        pairs = {idea.folder: self.judged[idea.name].pairs for idea in self.ideas if idea.name in self.judged}
        if pairs:
            pairs[BASELINE] = max(pairs.values())
        sides = {folder: self._read(folder, count) for folder, count in pairs.items()}
        n = len(sides[BASELINE].images) if sides else None
        return {
            "effect": self.effect,
            "n": n,
            "seconds": self.seconds,
            "baseline": _side(sides.get(BASELINE)) | {"run": BASELINE},
            "ideas": [
                {"name": idea.name, "run": idea.folder, "changes": list(idea.changes)}
                | _side(sides.get(idea.folder))
                | _as_dict(self.judged.get(idea.name))
                | {"seconds": self._seconds_of(idea.folder)}
                for idea in self.ideas
            ],
        }

    def _seconds_of(self, folder: str) -> float:
        """That one side's trainings took."""
        return sum(float(run.result["total_seconds"]) for run in self._models(folder) if run.is_finished)


class BudgetSpent(Exception):
    """No more is to be trained."""


class _Stop:
    """Asked after each step; remembers whether it was the budget."""

    def __init__(self, hooks: Hooks, deadline: float):
        self._hooks, self._deadline = hooks, deadline
        self.by_budget = False

    def __call__(self) -> bool:
        self.by_budget = time.monotonic() >= self._deadline
        return self.by_budget or self._hooks.should_stop()


def judgement_text(judgement: Judgement, effect: float) -> str:
    """One line of what a look found: ``+0.31 points (97% -0.10 to +0.72) after 4 pairs: better``."""
    low, high = judgement.interval
    verdict: str = judgement.verdict or "open"
    if judgement.verdict == "smaller than the effect":
        verdict = f"smaller than {100 * effect:g} points"
    if judgement.reason:
        verdict += f" {judgement.reason}"
    return (
        f"{100 * judgement.difference:+.2f} points ({100 * judgement.confidence:.4g} %: {100 * low:+.2f} to "
        f"{100 * high:+.2f}) after {judgement.pairs} pairs: {verdict}"
    ).replace("-", "−")


def _under_name(hooks: Hooks, name: str, event: Event) -> None:
    """Pass on what a side's training reports, with the side's name before the seed's."""
    if isinstance(event, JobEvent | JobDone):
        event = dataclasses.replace(event, job=f"{name} {event.job}")
    hooks.observe(event)


def _side(answers: Answers | None) -> dict[str, Any]:
    """The accuracies of a side's seeds, and of its recipe."""
    if answers is None:
        return {"seeds": 0, "accuracies": [], "mean": None, "sd": None, "interval_of_accuracy": None}
    accuracy = recipe_accuracy(np.asarray(answers.correct))
    return {
        "seeds": answers.seeds,
        "accuracies": answers.correct.mean(axis=1).tolist(),
        "mean": accuracy.mean,
        "sd": accuracy.sd,
        "interval_of_accuracy": list(accuracy.interval),
    }


def _as_dict(judgement: Judgement | None) -> dict[str, Any]:
    """The judgement's figures; without one, that there are none."""
    if judgement is None:
        names = [each.name for each in dataclasses.fields(Judgement)]
        return dict.fromkeys(names) | {"pairs": 0, "verdict": "cannot tell", "reason": "within the budget"}
    values = dataclasses.asdict(judgement)
    return values | {"interval": list(judgement.interval)}
