"""One side of a study, the baseline or an idea: its recipe, and the runs of as many seeds as it took.

Many images: one run of several seeds, to which seeds are added. Few: with folds, each seed is a run of its own, with a
cut into folds of its own. What a recipe owes to just the images that a fold's model learned from would else be the same
in every pair, and pass for a difference of the recipes; so it is part of what seeds vary by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fittingroom.compare.answers import Answers, read_answers
from fittingroom.data.splits import Splits
from fittingroom.events import Event, Hooks, JobDone, JobEvent
from fittingroom.pipeline import add_seeds, resume
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.create import start_anew
from fittingroom.runs.environment_record import Options, holds_run
from fittingroom.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Side:
    """What is trained, and where.

    Attributes:
        name: as it was asked for, such as ``mirror=random``.
        path: the folder of its runs.
        recipe: all of it; its seed is the first.
        folds: of the cross-validation by which each seed judges all images; None where some are held out.
        options: of every training.
        splits: what it is trained on.
        trust_code: permits executing the code of the user's own that its runs keep.
    """

    name: str
    path: Path
    recipe: Recipe
    folds: int | None
    options: Options
    splits: Splits = field(repr=False)
    trust_code: bool = False

    def train_up_to(self, count: int, hooks: Hooks, *, first: int, may_begin: Callable[[], None]) -> None:
        """Train what is missing of so many seeds, one after another; what was stopped or killed goes on.

        Args:
            count: seeds that there are to be.
            hooks: follow the trainings under the side's name, and may end them.
            first: how many are begun at once; the others one by one.
            may_begin: asked before each beginning; it raises where nothing more is to be trained.

        Raises:
            Interrupted: on request; what is trained is kept.
        """
        seeds = [self.recipe.seed + number for number in range(count)]
        if self.folds is not None:
            for number, seed in enumerate(seeds):
                path, named = self.path / f"seed-{seed}", _named(hooks, f"{self.name} seed-{seed}")
                recipe = dataclasses.replace(self.recipe, split_seed=self.recipe.split_seed + number)
                self._train(recipe, path, named, may_begin, seed=seed, folds=self.folds)
            return

        named = _named(hooks, self.name)
        self._train(self.recipe, self.path, named, may_begin, seeds=seeds[:first])
        while len(self.models) < count:
            may_begin()
            add_seeds(self.path, 1, look_at_test=False, **self._how(named))

    def _train(self, recipe: Recipe, path: Path, hooks: Hooks, may_begin: Callable[[], None], **which: Any) -> None:
        """Begin a run where there is none, and bring it to its end."""
        if not holds_run(path):
            may_begin()
            start_anew(self.splits, recipe, path, options=self.options, **which)
        if not Run(path).is_finished:
            resume(path, look_at_test=False, **self._how(hooks))

    def _how(self, hooks: Hooks) -> dict[str, Any]:
        return {
            "data": self.splits,
            "trust_code": self.trust_code,
            "observe": hooks.observe,
            "should_stop": hooks.should_stop,
        }

    @property
    def models(self) -> list[Run]:
        """The runs of one seed so far, finished or not."""
        if self.folds is None:
            return list(Run(self.path, self.splits).members) if holds_run(self.path) else []
        # A copy that somebody put beside them, seed-0-old, is no member.
        numbered = {path.name.removeprefix("seed-"): path for path in self.path.glob("seed-*") if holds_run(path)}
        return [Run(numbered[seed], self.splits) for seed in sorted(filter(str.isdecimal, numbered), key=int)]

    def answers(self, count: int) -> Answers:
        """What the first ``count`` seeds say of the images that judge them."""
        models = self.models[:count]
        run = models[0] if self.folds is not None else Run(self.path, self.splits)
        return read_answers(run, self.path.name, "validation", models=models)

    @property
    def seconds(self) -> float:
        """The seconds that its finished trainings took, whichever process carried them out."""
        return sum(float(model.result["total_seconds"]) for model in self.models if model.is_finished)


def _named(hooks: Hooks, name: str) -> Hooks:
    """Hooks that pass on what a training reports as that of ``name``."""
    return dataclasses.replace(hooks, observe=partial(_under_name, hooks, name))


def _under_name(hooks: Hooks, name: str, event: Event) -> None:
    if isinstance(event, JobEvent | JobDone):
        hooks.observe(dataclasses.replace(event, job=f"{name} {event.job}"))
    else:
        hooks.observe(JobEvent(job=name, event=event))
