"""The training loop. It is handed a training set and perhaps a validation set, never a test set."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from fittingroom.data.dataset import Dataset
from fittingroom.data.normalization import Normalization
from fittingroom.errors import ArtifactError, Interrupted, RecipeError, TrainingDiverged
from fittingroom.events import CheckpointSaved, EpochDone, MicroBatchHalved, Observer, StepDone, TrainingStarted
from fittingroom.models import ModelSource
from fittingroom.models.summary import count_parameters
from fittingroom.parallel.process_group import ALONE, ProcessGroup
from fittingroom.recipes.recipe import Recipe, differences
from fittingroom.training.batches import Batches
from fittingroom.training.checkpoint import load_newest_checkpoint, save_checkpoint, tensors_to_bytes
from fittingroom.training.device import is_out_of_memory, keep_freed_memory
from fittingroom.training.inference import predict_dataset
from fittingroom.training.optimizer import lr_at, set_lr
from fittingroom.training.seeds import derive_seed
from fittingroom.training.state import TrainState


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where a training runs and whom it tells; what is learned is the recipe's alone.

    Attributes:
        device: such as ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bf16``, resolved.
        data: fingerprint of what the training set was cut from; a checkpoint of other data is refused.
        checkpoints: folder of the checkpoints, from the newest of which the training goes on; None for none.
        checkpoint_seconds: longest time between two of them.
        keep_checkpoints: how many stay on disk, ≥ 1.
        observe: receives the events of :mod:`fittingroom.events`.
        should_stop: asked in each step; true saves the state after it and raises :class:`Interrupted`.
        group: the processes that train together, each called with the same arguments. Only the writer is given
            ``checkpoints``, and an observer that is to be heard.
    """

    device: str = "cpu"
    precision: str = "float32"
    data: str = ""
    checkpoints: Path | None = None
    checkpoint_seconds: float = 60.0
    keep_checkpoints: int = 2
    observe: Observer = lambda _event: None
    should_stop: Callable[[], bool] = lambda: False
    group: ProcessGroup = ALONE


def train(
    train_set: Dataset,
    validation_set: Dataset | None,
    recipe: Recipe,
    source: ModelSource,
    normalization: Normalization,
    setting: Setting,
) -> TrainState:
    """Train to the end of the recipe, from the newest checkpoint if there is one.

    Returns:
        The trainee; its ``shipped`` network is in evaluation mode and has the weights that the recipe chooses.

    Raises:
        Interrupted: ``should_stop`` answered true; the state is saved.
        TrainingDiverged: an infinite or NaN loss or weight; the last good checkpoint is kept.
        PeerLost: another process of the group ended, or did not answer in time; the last checkpoint is kept.
        RecipeError: the recipe needs validation images and there are none.
    """
    if validation_set is None and (recipe.early_stop or recipe.keep == "best"):
        raise RecipeError("early_stop and keep = 'best' choose by validation images; none are held out")
    device = torch.device(setting.device)
    if device.type == "cpu":
        keep_freed_memory()
    with _seeded(recipe.seed, device):
        trainee = TrainState.start(recipe, source, train_set.num_classes, train_set.image_size, device)
        if setting.checkpoints and (newest := load_newest_checkpoint(setting.checkpoints)):
            _resume(trainee, *newest, setting)
        _start_from_writers_state(trainee, setting.group)
        batches = Batches(train_set, recipe, normalization, device, setting.group)
        _observe_start(trainee, batches, setting)
        at, total = trainee.progress, recipe.epochs * len(batches)
        started = time.perf_counter() - at.seconds
        saved = time.perf_counter()
        while at.epoch < recipe.epochs and not (recipe.early_stop and at.epochs_without_gain >= recipe.early_stop):
            stage, epoch_in_stage = trainee.enter_epoch()
            for x_NCHW, y_N in batches.epoch(at.epoch, at.step):
                step_in_stage = epoch_in_stage * len(batches) + at.step
                factor = lr_at(step_in_stage, stage.epochs * len(batches), stage, len(batches))
                set_lr(trainee.optimizer, stage, factor)
                examples = batches.examples_in(at.step)
                loss, correct, stops = _step(trainee, x_NCHW, y_N, examples, setting)
                at.step += 1
                at.examples += examples
                at.loss_sum += loss * examples
                at.correct += correct
                at.seconds = time.perf_counter() - started
                step = at.epoch * len(batches) + at.step
                trainee.update_average(step)
                setting.observe(StepDone(step=step, epoch=at.epoch, loss=loss, lr=stage.lr * factor, examples=examples))
                if at.step == len(batches):
                    _finish_epoch(trainee, validation_set, normalization, step, setting)
                    at.seconds = time.perf_counter() - started
                stops = stops and step < total
                if stops or at.step == 0 or time.perf_counter() - saved > setting.checkpoint_seconds:
                    _save(trainee, step, setting)
                    saved = time.perf_counter()
                if stops:
                    raise Interrupted(f"stopped after step {step:,} of {total:,}")
    if recipe.keep == "best":
        trainee.shipped.load_state_dict(trainee.best)
    trainee.shipped.eval()
    return trainee


def _step(trainee: TrainState, x_NCHW: Tensor, y_N: Tensor, examples: int, setting: Setting) -> tuple[float, int, bool]:
    """One optimizer step: the mean loss of the batch, how many of it were right, and whether to stop after it.

    Where memory runs out the batch goes through in halves from then on, with the same gradient. Of a batch that several
    processes share, ``x_NCHW`` is the part of this one; ``examples`` are those of the whole batch.
    """
    at, model, optimizer, rank = trainee.progress, trainee.model, trainee.optimizer, setting.group.rank
    buffers = [buffer.clone() for buffer in model.buffers()]
    # Each process drops other units: alike ones would drop the same units for all parts of the batch.
    dropout_seed = derive_seed(trainee.recipe.seed, "dropout", at.epoch, at.step, *([rank] if rank else []))
    while True:
        _seed(dropout_seed, x_NCHW.device)
        try:
            loss_sum, correct = _accumulate_gradient(trainee, x_NCHW, y_N, examples, setting.precision)
            break
        except RuntimeError as error:
            part = min(at.micro_batch, len(y_N))
            if not is_out_of_memory(error) or part == 1:
                raise
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(before)
        if x_NCHW.is_cuda:
            torch.cuda.empty_cache()
        at.micro_batch = (part + 1) // 2
        setting.observe(MicroBatchHalved(epoch=at.epoch, micro_batch=at.micro_batch))
    stops = setting.should_stop()
    if setting.group.size > 1:
        share = len(y_N) / examples
        loss_sum, correct, stops = _add_up(trainee, buffers, share, (loss_sum, correct, stops), setting.group)
    loss = loss_sum / examples
    if not math.isfinite(loss):
        raise _diverged(f"the loss became {loss}", trainee)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss, correct, stops


def _accumulate_gradient(
    trainee: TrainState, x_NCHW: Tensor, y_N: Tensor, examples: int, precision: str
) -> tuple[float, int]:
    """Add this process's share of the gradient of the batch's mean loss; return its summed loss and its right answers.

    The parts are summed and divided once by the size of the whole batch: only batch-norm statistics see the parts.
    """
    smoothing, micro_batch = trainee.recipe.label_smoothing, trainee.progress.micro_batch
    loss_sum, correct = 0.0, 0
    if len(y_N) == 0:
        return loss_sum, correct
    trainee.model.train()
    for x, y in zip(x_NCHW.split(micro_batch), y_N.split(micro_batch), strict=True):
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits_NC = trainee.model(x)
        logits_NC = logits_NC.float()
        loss = F.cross_entropy(logits_NC, y, label_smoothing=smoothing, reduction="sum")
        (loss / examples).backward()
        loss_sum += loss.item()
        correct += int((logits_NC.argmax(dim=1) == y).sum())
    return loss_sum, correct


def _add_up(
    trainee: TrainState, before: list[Tensor], share: float, figures: tuple[float, int, bool], group: ProcessGroup
) -> tuple[float, int, bool]:
    """Make gradients, buffers and figures those of the whole batch, in one message; return the figures.

    A parameter of which no process has a gradient keeps none, so that the optimizer passes it over as it does alone.
    The buffers, such as batch norm's running statistics, change by the mean, over all examples, of what their processes
    would change: all processes keep the same ones.

    Args:
        before: the model's buffers before the step.
        share: of the batch's examples, that this process has, 0–1.
        figures: summed loss, right answers, and whether this process is to stop; one is enough to stop all.
    """
    parameters = [p for p in trainee.model.parameters() if p.requires_grad]
    has_gradient = [p.grad is not None for p in parameters]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    buffers = list(trainee.model.buffers())
    # Where nothing changed exactly 0, also for what can't be subtracted from itself, such as the infinity of a mask.
    changes = [
        (now.float() - old.float()).where(now != old, 0.0) * share for now, old in zip(buffers, before, strict=True)
    ]
    *counts, loss_sum, correct, stops = group.all_reduce([*gradients, *changes], [*has_gradient, *figures])
    for p, gradient, count in zip(parameters, gradients, counts, strict=True):
        p.grad = gradient if count else None
    for buffer, old, change in zip(buffers, before, changes, strict=True):
        buffer.copy_(old + (change if buffer.is_floating_point() else change.round()))
    return loss_sum, round(correct), stops > 0


def _finish_epoch(
    trainee: TrainState, validation_set: Dataset | None, normalization: Normalization, step: int, setting: Setting
) -> None:
    """Validate, note whether it was the best epoch so far, tell the observer, and move on to the next epoch."""
    at = trainee.progress
    loss = accuracy = None
    if validation_set is not None:
        device = torch.device(setting.device)
        predictions = predict_dataset(
            trainee.shipped, validation_set, normalization, device=device, group=setting.group
        )
        scores = predictions.scores()
        loss, accuracy = scores["loss"], scores["accuracy"]
        if trainee.recipe.keep == "best" and accuracy > at.best_accuracy:
            trainee.best = {name: tensor.clone() for name, tensor in trainee.shipped.state_dict().items()}
        at.epochs_without_gain = 0 if loss < at.best_loss else at.epochs_without_gain + 1
        at.best_accuracy, at.best_loss = max(at.best_accuracy, accuracy), min(at.best_loss, loss)
    setting.observe(
        EpochDone(
            step=step,
            epoch=at.epoch,
            train_loss=at.loss_sum / at.examples,
            train_accuracy=at.correct / at.examples,
            validation_loss=loss,
            validation_accuracy=accuracy,
            seconds=at.seconds,
        )
    )
    at.epoch, at.step, at.examples, at.loss_sum, at.correct = at.epoch + 1, 0, 0, 0.0, 0


def _save(trainee: TrainState, step: int, setting: Setting) -> None:
    if not all(bool(p.isfinite().all()) for p in trainee.model.parameters()):
        raise _diverged("a weight became infinite or NaN", trainee)
    if setting.checkpoints is not None:
        state = _identity(trainee, setting) | {"progress": dict(vars(trainee.progress))}
        path = save_checkpoint(setting.checkpoints, step, trainee.tensors(), state, keep=setting.keep_checkpoints)
        setting.observe(CheckpointSaved(step=step, path=str(path)))


def _resume(trainee: TrainState, tensors: dict[str, Tensor], state: dict[str, Any], setting: Setting) -> None:
    progress = state.pop("progress")
    here = _identity(trainee, setting)
    changes = differences(state.pop("recipe"), here.pop("recipe")) + differences(state, here)
    if changes:
        raise ArtifactError(
            f"{setting.checkpoints}: a checkpoint can be resumed only with the recipe, data and precision that it was "
            "made with; these differ (checkpoint → now):\n  " + "\n  ".join(changes)
        )
    trainee.restore(tensors, progress)


def _start_from_writers_state(trainee: TrainState, group: ProcessGroup) -> None:
    """Begin in every process with the state of the writer, which alone reads checkpoints."""
    if group.size == 1:
        return
    tensors = group.broadcast_bytes(lambda: tensors_to_bytes(trainee.tensors()))
    progress = group.broadcast(lambda: dict(vars(trainee.progress)))
    if not group.is_main:
        trainee.restore(safetensors.torch.load(tensors), progress)


def _identity(trainee: TrainState, setting: Setting) -> dict[str, Any]:
    """What must be the same for a checkpoint to be resumed."""
    return {"recipe": trainee.recipe.as_dict(), "data": setting.data, "precision": setting.precision}


def _observe_start(trainee: TrainState, batches: Batches, setting: Setting) -> None:
    at = trainee.progress
    setting.observe(
        TrainingStarted(
            epochs=trainee.recipe.epochs,
            steps_per_epoch=len(batches),
            steps_done=at.epoch * len(batches) + at.step,
            parameters=count_parameters(trainee.model),
            device=setting.device,
            precision=setting.precision,
            images=len(batches.images_NHW),
            processes=setting.group.size,
        )
    )


def _diverged(what: str, trainee: TrainState) -> TrainingDiverged:
    at = trainee.progress
    return TrainingDiverged(
        f"training diverged: {what} in epoch {at.epoch + 1}, step {at.step + 1}. "
        "What usually helps: a lower learning rate (--lr), a warm-up (--set stages.0.warmup=1), "
        "or --set precision=float32. The last good checkpoint is kept"
    )


def _seed(seed: int, device: torch.device) -> None:
    """Seed the generator of a device, and no others: to note a seed for each kind of them takes PyTorch 0.3 ms."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the ambient generators, from which initialisation and dropout draw, and give them back as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "init"))
        yield
