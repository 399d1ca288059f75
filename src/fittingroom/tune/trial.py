"""One trial of a study: what is known of it, and how it is carried out in whichever process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from fittingroom.errors import Interrupted, RecipeError, TrainingDiverged
from fittingroom.events import EpochDone, Event, Hooks
from fittingroom.files.records import Count
from fittingroom.pipeline.one_seed import finish
from fittingroom.runs.environment_record import Seed
from fittingroom.runs.run import Run
from fittingroom.tune.objective import OBJECTIVES, ObjectiveName
from fittingroom.tune.sampler_pruner import Pruner, make_pruner
from fittingroom.tune.storage import open_storage


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a study searches; kept in ``study.json``.

    Attributes:
        objective: of the finished model on the validation images: ``accuracy``, ``loss`` (nats), or one in which each
            class counts the same, ``balanced_accuracy`` or ``macro_f1``, which the recipe's ``judge`` then names too.
        pruner: what ends a trial early by its validation scores. ``median`` ends it after an epoch at which its best is
            worse than the median of the others at that epoch; ``hyperband`` keeps the best third at each of several
            epochs; both let the first trials be.
        seed: of the search and of each trial's training.
        trials: at which the study is complete, those of all processes together.
    """

    objective: ObjectiveName = "accuracy"
    pruner: Pruner = "median"
    seed: Seed = 0
    trials: Count = 30


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: ``finished``, ``pruned``, ``diverged`` or ``failed``.
        value: the objective of the finished model; None for any other state.
        message: why it diverged or failed.
    """

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
        seconds: from its beginning to its end by the clock; None while it runs, and where the clock was put back.
        message: why it diverged or failed.
    """

    number: int
    state: str
    value: float | None
    values: Mapping[str, Any]
    curve: Sequence[tuple[int, float]]
    seconds: float | None
    message: str


def run_trial(
    run: Run,
    storage: str,
    name: str,
    number: int,
    plan: Plan,
    trust_code: bool,
    hooks: Hooks,
) -> Outcome:
    """Train a trial, in whichever process, and let the pruner judge each epoch.

    Args:
        run: begun already; a trial that was stopped is resumed from its checkpoint.
        storage: the URL of Optuna's storage, which this process opens for itself.
        name: of the study in the storage.
        number: of the trial.
        plan: its objective and pruner.
        trust_code: permits executing the source of a network of the user's own.
        hooks: follow the training, and may end it.

    Raises:
        Interrupted: on request; the state is saved.
    """
    epochs = run.recipe.epochs
    objective = OBJECTIVES[plan.objective]
    pruner = make_pruner(plan.pruner, epochs)
    study = optuna.load_study(study_name=name, storage=open_storage(storage), pruner=pruner)
    trial = open_trial(study, number)

    # A trial that is resumed reports no epoch twice. It may have been stopped between its last report and the pruner's
    # word, so the pruner is asked again.
    reported = set(study.get_trials(deepcopy=False)[number].intermediate_values)
    pruned = bool(reported) and max(reported) < epochs and trial.should_prune()

    def report(event: Event) -> None:
        nonlocal pruned
        if isinstance(event, EpochDone):
            epoch, value = event.epoch + 1, objective.after_epoch(event)
            if epoch not in reported and value is not None:
                trial.report(value, epoch)
            pruned = epoch < epochs and trial.should_prune()  # after the last one nothing is left to save
        hooks.observe(event)

    # A pruned trial ends as an interrupted one does, with its checkpoint kept.
    try:
        finish(run, Hooks(observe=report, should_stop=lambda: pruned or hooks.should_stop()), trust_code=trust_code)
    except Interrupted:
        if pruned:
            return Outcome("pruned")
        raise
    except TrainingDiverged as error:
        return Outcome("diverged", None, str(error))
    except RecipeError as error:
        return Outcome("failed", None, str(error))

    return Outcome("finished", objective.of_scores(run.result["validation"]))


def open_trial(study: optuna.Study, number: int) -> optuna.trial.Trial:
    """A trial that runs, to report to. Optuna has no public way from a number to it."""
    return optuna.trial.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
