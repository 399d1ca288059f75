"""A schedule of the user's own: the factor on the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from fittingroom.errors import RecipeError
from fittingroom.own_code.call import load_function
from fittingroom.recipes.recipe import Stage


class OwnSchedule:
    """A function of ``(step, total)``, both of a stage, or a class whose instance is one, that gives a factor ≥ 0."""

    def __init__(self, stage: Stage):
        self.name = stage.schedule
        self.function: Callable[..., float] = load_function(self.name, "schedule", stage.schedule_args, {})

    def __call__(self, step: int, total: int) -> float:
        """The factor at a 0-based step. Raises RecipeError for anything else than a finite number from 0 on."""
        try:
            value = float(self.function(step, total))
        except (Exception, SystemExit) as error:
            raise RecipeError(
                f"schedule {self.name}: a function of (step, total) that gives a number expected; at step {step} of "
                f"{total} it failed: {type(error).__name__}: {error}"
            ) from error
        if not math.isfinite(value) or value < 0:
            raise RecipeError(
                f"schedule {self.name}: a finite factor from 0 on expected, {value} found at step {step} of {total}"
            )
        return value


def try_schedule(stage: Stage, total: int) -> None:
    """Ask it for some steps of a stage, twice. Raises RecipeError with what is wrong."""
    schedule = OwnSchedule(stage)
    steps = sorted({0, 1, total // 2, total - 1} & set(range(total)))
    first = [schedule(step, total) for step in steps]
    again = [schedule(step, total) for step in reversed(steps)][::-1]
    if first != again:
        step = next(step for step, a, b in zip(steps, first, again, strict=True) if a != b)
        raise RecipeError(
            f"schedule {schedule.name}: a pure function of (step, total) expected; it gave two factors for step {step} "
            f"of {total}, so that a resume would be another training"
        )
