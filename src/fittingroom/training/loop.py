"""The training loop. It is handed a training set and perhaps a validation set, never a test set.

:func:`fit_network` begins and ends a training; :func:`_train` is the loop, a step from the learning rate to the
checkpoint. What they call stands below them in the order of the calls.
:func:`fittingroom.training.fit.fit` decides what the loop is given.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.errors import Interrupted, RecipeError, TrainingDiverged
from fittingroom.evaluation.metrics import judged_by
from fittingroom.events import EpochDone, StepDone, TrainingStarted
from fittingroom.models import MODELS, ModelSource
from fittingroom.models.summary import count_parameters
from fittingroom.recipes.recipe import Recipe
from fittingroom.training.balance import balanced_weights
from fittingroom.training.batch_parts import BatchParts
from fittingroom.training.batches import Batches
from fittingroom.training.checkpoint import CHECKPOINT_SECONDS
from fittingroom.training.context import TrainContext
from fittingroom.training.device import keep_freed_memory
from fittingroom.training.expected_time import expected_seconds
from fittingroom.training.gradient import take_gradient
from fittingroom.training.loss import make_loss
from fittingroom.training.optimizer import lr_at, set_lr
from fittingroom.training.resume import resume_state, save_state
from fittingroom.training.seeds import derive_seed
from fittingroom.training.start_weights import StartWeights
from fittingroom.training.state import TrainState
from fittingroom.training.validation import Validation


def fit_network(
    train_set: Dataset,
    validation_set: Dataset | None,
    recipe: Recipe,
    model_source: ModelSource,
    normalization: Normalization,
    context: TrainContext,
    start: StartWeights | None = None,
) -> TrainState:
    """Train to the end of the recipe, from the newest checkpoint if there is one, else from ``start`` if that is given.

    Returns:
        The final state; its ``shipped`` network is in evaluation mode and has the weights that the recipe chooses.

    Raises:
        Interrupted: asked to stop; the state is saved.
        TrainingDiverged: an infinite or NaN loss or weight; the last good checkpoint is kept.
        PeerLost: another process of the group ended, or did not answer in time; the last checkpoint is kept.
        RecipeError: the recipe needs validation images and there are none, or weights to start from; weights that
            don't fit the network.
    """
    if validation_set is None and (recipe.early_stop or recipe.keep == "best"):
        raise RecipeError("early_stop and keep = 'best' choose by validation images; none are held out")

    device = torch.device(context.device)
    if device.type == "cpu":
        keep_freed_memory()

    # All that is random derives from the recipe's seed, and the caller's generators are as before when this is done.
    with _seeded(recipe.seed, device):
        state = TrainState.start(
            recipe, model_source, train_set.classes, train_set.image_size, train_set.channels, device, start
        )
        batches = Batches(train_set, recipe, normalization, device, context.group)
        validation = None if validation_set is None else Validation(validation_set, normalization, context)

        class_weights = None
        if recipe.class_weights == "balanced":
            class_weights = balanced_weights(batches.labels_N, train_set.num_classes).to(device)
        state.loss = make_loss(recipe, class_weights, train_set.num_classes, device)

        resume_state(state, len(batches), context)
        parts = _batch_parts(state, model_source)
        _report_start(state, batches, validation, context, start)
        with parts.sharing_threads():
            _train(state, batches, parts, validation, context)

    if recipe.keep == "best":
        state.shipped.load_state_dict(state.best)
    state.shipped.eval()
    return state


def _train(
    state: TrainState, batches: Batches, parts: BatchParts, validation: Validation | None, context: TrainContext
) -> None:
    """Take the steps that are left of the recipe."""
    progress, hooks, steps_per_epoch = state.progress, context.hooks, len(batches)
    steps_in_all = state.recipe.epochs * steps_per_epoch
    started = time.perf_counter() - progress.seconds  # as if it had begun so much earlier than it was resumed
    saved = time.perf_counter()
    if validation is not None:
        validation.take_snapshot(state.shipped, progress.steps_done(steps_per_epoch))

    while progress.epoch < state.recipe.epochs and not state.stops_early:
        stage, epoch_in_stage = state.enter_epoch()

        # A resumed epoch begins in its middle: order and augmentation derive from seed, epoch and step alone.
        for x_NCHW, y_N in batches.epoch(progress.epoch, progress.step):
            # Learning rate: the schedule gives a factor in 0–1 on the stage's peak rates.
            step_in_stage = epoch_in_stage * steps_per_epoch + progress.step
            steps_of_stage = stage.epochs * steps_per_epoch
            lr_factor = lr_at(step_in_stage, steps_of_stage, stage, steps_per_epoch, state.own_schedule)
            set_lr(state.optimizer, stage, lr_factor)

            # Forward and backward.
            examples = batches.examples_in(progress.step)
            loss, correct, stops = take_gradient(state, parts, x_NCHW, y_N, examples, context)

            # Update, unless it would spoil weights that are good: the last checkpoint stays the last good one.
            if not math.isfinite(loss):
                raise _diverged(f"the loss became {loss}", state)
            state.optimizer.step()
            state.optimizer.zero_grad(set_to_none=True)

            # Bookkeeping. The moving average follows the weights, and is what ships where the recipe has one.
            progress.step += 1
            progress.examples += examples
            progress.loss_sum += loss * examples
            progress.correct += correct
            progress.seconds = time.perf_counter() - started
            step = progress.steps_done(steps_per_epoch)
            state.update_average(step)
            hooks.observe(
                StepDone(step=step, epoch=progress.epoch, loss=loss, lr=stage.lr * lr_factor, examples=examples)
            )

            # The last step of an epoch validates, and moves progress on to step 0 of the next.
            if progress.step == steps_per_epoch:
                with parts.all_threads():
                    _finish_epoch(state, validation, step, context)
                progress.seconds = time.perf_counter() - started
            elif validation is not None:
                validation.take_snapshot(state.shipped, step)

            # Checkpoint after each epoch, each minute, and before stopping: a kill costs no more than that.
            stops = stops and step < steps_in_all
            if stops or progress.step == 0 or time.perf_counter() - saved > CHECKPOINT_SECONDS:
                _save(state, step, context)
                saved = time.perf_counter()
            if stops:
                raise Interrupted(f"stopped after step {step:,} of {steps_in_all:,}")


def _report_start(
    state: TrainState,
    batches: Batches,
    validation: Validation | None,
    context: TrainContext,
    start: StartWeights | None,
) -> None:
    steps_done = state.progress.steps_done(len(batches))

    # Whoever has to wait for minutes is told so at the start.
    expected = None
    if context.device == "cpu" and context.group.is_main and not steps_done:
        validated = 0 if validation is None else len(validation)
        expected = expected_seconds(state, batches, validated, context.precision)
    context.hooks.observe(
        TrainingStarted(
            epochs=state.recipe.epochs,
            steps_per_epoch=len(batches),
            steps_done=steps_done,
            parameters=count_parameters(state.model),
            device=context.device,
            precision=context.precision,
            images=len(batches.images),
            processes=context.group.size,
            origin=start.sentence if start else "",
            expected_seconds=expected,
            stage_epochs=tuple(stage.epochs for stage in state.recipe.stages),
        )
    )


def _batch_parts(state: TrainState, model_source: ModelSource) -> BatchParts:
    """The recipe's parts. A user's own network may draw random numbers, in an order that threads would change."""
    is_pure = model_source.name in MODELS and state.recipe.loss == "cross_entropy"
    is_on_cpu = next(state.model.parameters()).device.type == "cpu"
    threads = torch.get_num_threads()
    return BatchParts(state.model, state.recipe.batch_parts, threads=threads, is_pure=is_pure and is_on_cpu)


def _finish_epoch(state: TrainState, validation: Validation | None, step: int, context: TrainContext) -> None:
    """Validate, note whether it was the best epoch so far, report it, and move on to the next epoch."""
    progress, loss, accuracy, judged = state.progress, None, None, None
    if validation is not None:
        # What would ship now is judged: the moving average where there is one.
        predictions, scores = validation.judge(state.shipped)
        loss, accuracy = scores["loss"], scores["accuracy"]
        judged = judged_by(state.recipe.judge, scores)
        state.note_validation(loss, judged)
        is_last = progress.epoch + 1 == state.recipe.epochs or state.stops_early
        validation.take_snapshot_of(predictions, step, is_last=is_last)

    context.hooks.observe(
        EpochDone(
            step=step,
            epoch=progress.epoch,
            train_loss=progress.loss_sum / progress.examples,
            train_accuracy=progress.correct / progress.examples,
            validation_loss=loss,
            validation_accuracy=accuracy,
            validation_judged=None if state.recipe.judge == "accuracy" else judged,
            seconds=progress.seconds,
            state_sha256=state.sha256() if context.group.is_main else "",
        )
    )
    progress.next_epoch()


def _save(state: TrainState, step: int, context: TrainContext) -> None:
    """Write a checkpoint, if any are kept; never one with weights that are spoilt."""
    if not all(bool(p.isfinite().all()) for p in state.model.parameters()):
        raise _diverged("a weight became infinite or NaN", state)
    save_state(state, step, context)


def _diverged(what: str, state: TrainState) -> TrainingDiverged:
    progress = state.progress
    return TrainingDiverged(
        f"training diverged: {what} in epoch {progress.epoch + 1}, step {progress.step + 1}. "
        "What usually helps, in the recipe: a lower learning rate (lr), a warm-up (stages.0.warmup=1), or "
        "precision=float32. The last good checkpoint is kept"
    )


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the ambient generators, from which initialisation and dropout draw, and give them back as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "init"))
        yield
