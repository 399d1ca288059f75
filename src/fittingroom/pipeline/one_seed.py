"""A run of one seed: train what is left of it, in whichever process, and write the outcome into its folder.

Weights, scores and predictions are written first, the result last: a folder with a result is finished, any other is
resumed.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from fittingroom.artifact.artifact import Artifact, save_artifact
from fittingroom.audit.leakage import near_in_test
from fittingroom.data.cut import groups_for_intervals
from fittingroom.data.splits import Splits
from fittingroom.evaluation.conformal import ConformalScores
from fittingroom.evaluation.predictions import JudgedPredictions, write_predictions
from fittingroom.evaluation.snapshot import FILE as SNAPSHOT
from fittingroom.evaluation.temperature import UNCALIBRATED, Temperature
from fittingroom.evaluation.threshold import MIN_OF_CLASS, Threshold
from fittingroom.events import NO_HOOKS, Event, Hooks, Observer, Working
from fittingroom.models import ModelSource, find_model
from fittingroom.models.summary import count_parameters
from fittingroom.parallel.process_group import ALONE, ProcessGroup
from fittingroom.pipeline.extras import UNMADE, draw_curve, ship
from fittingroom.recipes.recipe import Recipe
from fittingroom.runs.cut import bundles_of
from fittingroom.runs.environment_record import Environment
from fittingroom.runs.metrics_log import MetricsLog
from fittingroom.runs.one_writer import Place, one_writer
from fittingroom.runs.out_of_fold import OutOfFold, judge_out_of_fold, scores_of_folds
from fittingroom.runs.preprocessing import resolve_preprocessing
from fittingroom.runs.recorded import (
    recorded_code,
    recorded_environment,
    recorded_recipe,
    recorded_start,
    refuse_other_data,
)
from fittingroom.runs.result_record import write_result
from fittingroom.runs.run import Run
from fittingroom.runs.tracking import open_tracker
from fittingroom.training.checkpoint import Checkpoints
from fittingroom.training.device import pick_device, prepare_torch
from fittingroom.training.fit import Fitted, fit, judge_on_validation
from fittingroom.training.interrupt import saved_when_interrupted
from fittingroom.training.precision import refuse_without_bf16


def finish(
    run: Run,
    hooks: Hooks = NO_HOOKS,
    *,
    group: ProcessGroup = ALONE,
    trust_code: bool = False,
    watch: bool = False,
) -> None:
    """Train what is left of a run of one seed, in whichever process, and write its artifact and validation scores.

    Does nothing if that is done already. The report is not written.

    Args:
        run: the run.
        hooks: follow the training, and may end it.
        group: the processes that train together, each of which calls this.
        trust_code: permits executing the source of the user's own network that the run keeps.
        watch: store what the model says of a few validation images while it learns.

    Raises:
        ArtifactError: code that isn't trusted or was changed.
        Interrupted, TrainingDiverged: as for :func:`fittingroom.train`.
    """
    recipe, environment = recorded_recipe(run, group), recorded_environment(run, group)
    prepare_torch(environment.machine.threads, environment.options.deterministic)
    device = pick_device(environment.options.device)
    refuse_without_bf16(environment.precision, environment.bf16_emulated, device, str(run.path))
    recipe = recorded_code(run, recipe, group, trust_code=trust_code)
    model_source = find_model(recipe.model)
    with one_writer(run.path) if group.is_main else nullcontext():
        if group.broadcast(lambda: run.is_finished):
            return
        started = time.perf_counter()
        splits = run.open_data()
        if run.splits is None:  # opened here, by a worker that may be on another host
            refuse_other_data(run.path, splits, environment)
        splits = _with_bundles(environment, splits)
        training = _Training(run, recipe, model_source, environment, splits)

        # Somebody who takes this training for dead may remove its folder, and use it again.
        place = Place(run.path) if group.is_main else None
        if place is not None:
            hooks = _in_place(place, hooks)
        fitted, out_of_fold = _train(training, hooks, group, watch=watch)
        if place is not None:
            place.refuse_another()
            _write_outcome(training, fitted, out_of_fold, hooks, started)


@dataclass(frozen=True)
class _Training:
    """What is trained into a run's folder, as its record says, on data that is known to be the recorded data."""

    run: Run
    recipe: Recipe
    model_source: ModelSource
    environment: Environment
    splits: Splits


def _with_bundles(environment: Environment, splits: Splits) -> Splits:
    """The data, with what is kept on one side as groups where it is much: intervals of validation go by it."""
    bundle_N = bundles_of(environment, splits)
    if bundle_N is None:
        return splits
    groups = groups_for_intervals(splits.train, bundle_N)
    if groups is splits.train.groups:
        return splits
    return dataclasses.replace(splits, train=dataclasses.replace(splits.train, groups=groups))


def _train(training: _Training, hooks: Hooks, group: ProcessGroup, *, watch: bool) -> tuple[Fitted, OutOfFold | None]:
    """Train what is left of the folds, where there are any, and of the model that ships.

    Returns:
        The model, and what the folds say of the images: None without folds, and in processes other than the main one.
    """
    run, recipe, environment, splits = training.run, training.recipe, training.environment, training.splits
    weights = recorded_start(run, environment, group)

    # The folds first: what they say of the images is as much of the run as the model that is shipped.
    out_of_fold = None
    if environment.folds is not None:
        out_of_fold = judge_out_of_fold(
            run, recipe, training.model_source, environment, splits, hooks, start=weights, group=group
        )

    # All processes train; the main one alone keeps checkpoints, log and trackers, and writes what comes out.
    options, order = environment.options, environment.data.train.order
    checkpoints = Checkpoints(folder=run.path / "checkpoints", data=order, keep=options.keep)
    silent = Hooks(should_stop=hooks.should_stop)
    with (
        saved_when_interrupted(str(run.path), hooks) as stoppable,
        _recording(run, options.track, stoppable) if group.is_main else nullcontext(silent) as recording,
    ):
        fitted = fit(
            splits,
            recipe,
            device=options.device,
            precision=environment.precision,
            group_N=bundles_of(environment, splits),
            model_source=training.model_source,
            start=weights,
            checkpoints=checkpoints if group.is_main else None,
            hooks=recording,
            group=group,
            snapshot_file=run.path / SNAPSHOT if watch else None,
        )
    return fitted, out_of_fold


def _write_outcome(
    training: _Training, fitted: Fitted, out_of_fold: OutOfFold | None, hooks: Hooks, started: float
) -> None:
    """Write what came of a training that began at ``started``; the result last: a folder that has one is finished."""
    run, recipe, splits = training.run, training.recipe, training.splits
    judged = judge_on_validation(fitted) if out_of_fold is None else out_of_fold.judged(splits.train)
    honest = judged.cross_fitted(with_threshold=recipe.threshold != "none") if judged else None
    artifact = _write_artifact(training, fitted, judged, honest)
    if honest:
        write_predictions(run.predictions_file("validation"), honest)

    # Weights and predictions are safe by now. Whatever else fails is named in the result, and made up for later.
    failures: dict[str, str] = {}
    hooks.observe(Working(what="exporting, and checking what predict sees"))
    pictures = ship(
        artifact,
        fitted.network,
        fitted.train_set,
        fitted.validation_set,
        splits.source,
        device=fitted.device,
        threads=training.environment.machine.threads,
        failures=failures,
        held_out=None if out_of_fold is None else out_of_fold.said,
    )
    draw_curve(run, failures)
    result: dict[str, Any] = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "parameters": artifact.parameters,
        "train_seconds": fitted.seconds,
        "total_seconds": time.perf_counter() - started,
        "test": None,
        "validation": _validation_scores(honest, out_of_fold),
        "test_looks": [],
        "pictures_checked": pictures,
        **({} if out_of_fold is None else {"fold_seconds": out_of_fold.seconds}),
        **_near_in_test(splits, fitted, training.environment),
        **({UNMADE: failures} if failures else {}),
    }
    write_result(run.path, result)


def _in_place(place: Place, hooks: Hooks) -> Hooks:
    """Hooks that end the training when its folder was removed or replaced."""

    def observe(event: Event) -> None:
        place.refuse_another()
        hooks.observe(event)

    return dataclasses.replace(hooks, observe=observe)


def _validation_scores(honest: JudgedPredictions | None, out_of_fold: OutOfFold | None) -> dict[str, Any] | None:
    if honest is None:
        return None
    return honest.scores() if out_of_fold is None else scores_of_folds(honest, out_of_fold.folds)


def _near_in_test(splits: Splits, fitted: Fitted, environment: Environment) -> dict[str, Any]:
    """How many test images are like ones that were trained on, where the model is to be judged by them."""
    if splits.test is None or not environment.look_at_test:
        return {}
    held_out = None if splits.validation is fitted.validation_set else fitted.validation_set
    try:
        counted = near_in_test(splits.train, splits.test, held_out, cache=environment.options.cache)
    except (MemoryError, OSError) as error:  # the weights are kept by now, and no figure beside them is worth the run
        warnings.warn(f"test images like ones that were trained on were not counted: {error}", stacklevel=2)
        return {}
    return {"near_in_test": dataclasses.asdict(counted)}


@contextmanager
def _recording(run: Run, trackers: Sequence[str], hooks: Hooks) -> Iterator[Hooks]:
    """Hooks by which the run's log and its trackers receive each event as well, for the length of the block."""
    log = MetricsLog(run.path / "metrics.jsonl")
    open_trackers = [open_tracker(name, run) for name in trackers]
    observers: list[Observer] = [log, *open_trackers, hooks.observe]

    def observe(event: Event) -> None:
        for observer in observers:
            observer(event)

    try:
        yield dataclasses.replace(hooks, observe=observe)
    finally:
        log.close()
        for tracker in open_trackers:
            tracker.close()


def _write_artifact(
    training: _Training, fitted: Fitted, judged: JudgedPredictions | None, honest: JudgedPredictions | None
) -> Artifact:
    """Write the weights, with all that reads them.

    Args:
        judged: the validation images, uncalibrated, by which temperature and threshold are fitted; None without any.
        honest: the same, each calibrated by the others.
    """
    run, recipe, environment, splits = training.run, training.recipe, training.environment, training.splits
    temperature = Temperature.fitted(judged.probabilities, judged.truth) if judged else UNCALIBRATED

    artifact = Artifact(
        path=run.path,
        model=recipe.model,
        model_args=dict(recipe.model_args),
        code_sha256=training.model_source.sha256,
        code=environment.code.get(recipe.model),
        classes=splits.train.classes,
        channels=splits.train.channels,
        image_size=splits.train.image_size,
        preprocessing=environment.preprocessing or resolve_preprocessing(splits, recipe),  # 0.1 recorded none
        normalization=fitted.normalization,
        parameters=count_parameters(fitted.network),
        versions=environment.versions,
        data=dataclasses.asdict(environment.data),
        temperature=temperature,
        threshold=_threshold(training, judged, temperature),
        conformal=None if honest is None else _conformal_scores(honest, environment.folds),
        start=None if environment.start is None else dataclasses.asdict(environment.start),
    )
    save_artifact(artifact, fitted.network.state_dict())
    return artifact


def _conformal_scores(honest: JudgedPredictions, folds: int | None) -> ConformalScores:
    return ConformalScores.of(honest.probabilities, honest.truth, folds, honest.group_numbers, honest.predicted)


def _threshold(training: _Training, judged: JudgedPredictions | None, temperature: Temperature) -> Threshold | None:
    """The threshold that the recipe asks for, chosen on validation; None, with a warning, where that has too few."""
    if training.recipe.threshold == "none":
        return None
    if judged is not None:
        # By the calibrated probabilities, as predict compares those with it.
        threshold = Threshold.fitted(temperature.applied(judged.probabilities), judged.truth)
        if threshold is not None:
            return threshold

    rare = int(np.bincount(judged.truth, minlength=2).min()) if judged else 0
    could_fold = training.environment.folds is None and training.splits.validation is None
    more = "; with `folds=5` every image validates" if could_fold else ""
    warnings.warn(
        f"{training.run.path}: no threshold is chosen: {MIN_OF_CLASS} validation images of the rarer class expected, "
        f"{rare} found; the more probable class is predicted{more}",
        stacklevel=3,
    )
    return None
