"""One trial of a study: what is known of it, and how it is carried out in whichever process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import optuna

from fittingroom.errors import Interrupted, RecipeError, TrainingDiverged
from fittingroom.events import EpochDone, Event, Observer
from fittingroom.pipeline import finish
from fittingroom.runs.run import Run
from fittingroom.tune.storage import open_storage

Objective = Literal["accuracy", "loss"]
Pruner = Literal["median", "hyperband", "none"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a study searches; kept in ``study.json``.

    Attributes:
        objective: of the finished model on the validation images: ``accuracy``, or ``loss`` (nats).
        pruner: what ends a trial early by its validation scores. ``median`` ends it after an epoch at which its best is
            worse than the median of the others at that epoch; ``hyperband`` keeps the best third at each of several
            epochs; both let the first trials be.
        seed: of the search and of each trial's training.
        trials: at which the study is complete, those of all processes together.
    """

    objective: Objective = "accuracy"
    pruner: Pruner = "median"
    seed: int = 0
    trials: int = 30


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: ``finished``, with the objective, ``pruned``, ``diverged`` or ``failed``, with the reason."""

    state: str
    value: float | None = None
    message: str = ""


@dataclass(frozen=True)
class Trial:
    """What is known of a trial.

    Attributes:
        number: from 0.
        state: ``finished``, ``pruned``, ``diverged``, ``failed`` or ``running``.
        value: the objective of the finished model, or at the last epoch of a pruned one.
        values: of the searched keys.
        curve: the objective after each epoch.
        seconds: from its beginning to its end; None while it runs.
        message: why it failed.
    """

    number: int
    state: str
    value: float | None
    values: Mapping[str, Any]
    curve: Sequence[tuple[int, float]]
    seconds: float | None
    message: str


def carry_out(
    run: Run,
    storage: str,
    name: str,
    number: int,
    plan: Plan,
    trust_code: bool,
    observe: Observer,
    should_stop: Callable[[], bool],
) -> Outcome:
    """Train a trial, in whichever process, and let the pruner judge each epoch. What was reported is not so again."""
    study = optuna.load_study(
        study_name=name, storage=open_storage(storage), pruner=make_pruner(plan.pruner, run.recipe.epochs)
    )
    trial, epochs = open_trial(study, number), run.recipe.epochs
    reported = set(study.get_trials(deepcopy=False)[number].intermediate_values)
    pruned = bool(reported) and max(reported) < epochs and trial.should_prune()

    def report(event: Event) -> None:
        nonlocal pruned
        if isinstance(event, EpochDone):
            value = event.validation_accuracy if plan.objective == "accuracy" else event.validation_loss
            if event.epoch + 1 not in reported and value is not None:
                trial.report(value, event.epoch + 1)
            pruned = event.epoch + 1 < epochs and trial.should_prune()
        observe(event)

    try:
        finish(run, report, lambda: pruned or should_stop(), trust_code=trust_code)
    except Interrupted:
        if pruned:
            return Outcome("pruned")
        raise
    except TrainingDiverged as error:
        return Outcome("diverged", None, str(error))
    except RecipeError as error:
        return Outcome("failed", None, str(error))
    return Outcome("finished", run.result["validation"][plan.objective])


def open_trial(study: optuna.Study, number: int) -> optuna.trial.Trial:
    """A trial that runs, to report to. Optuna has no public way from a number to it."""
    return optuna.trial.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def make_pruner(name: Pruner, epochs: int) -> optuna.pruners.BasePruner:
    """What ends trials of so many ``epochs`` early; see :class:`Plan`."""
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
    return optuna.pruners.NopPruner()
