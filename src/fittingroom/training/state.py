"""Everything that changes while a model is trained, and how it goes to a checkpoint and comes back bit for bit."""

from __future__ import annotations

import copy
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fittingroom.errors import ArtifactError
from fittingroom.files.records import Count, Positive, Seconds, brief, read_record
from fittingroom.models import ModelSource, build_model, check_output
from fittingroom.models.head import class_dimensions
from fittingroom.own_code.name import is_own
from fittingroom.recipes.recipe import Recipe, Stage
from fittingroom.training.loss import Loss, cross_entropy_sum
from fittingroom.training.optimizer import Optimizer, make_optimizer
from fittingroom.training.own_optimizer import PREFIX, load, pack
from fittingroom.training.own_schedule import OwnSchedule
from fittingroom.training.start_weights import (
    StartWeights,
    freeze_body,
    refuse_misfit,
    take_over,
    train_head_alone,
)

ADAM = {"exp_avg", "exp_avg_sq", "step"}  # what its state holds of each parameter, by PyTorch's names


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        epoch: epochs done.
        step: optimizer steps done in the epoch that is under way.
        micro_batch: examples that go through the network at once.
        seconds: of training so far, over all resumes.
        examples, loss_sum, correct: sums over the examples of the epoch so far.
        best_accuracy, best_loss, epochs_without_gain: by validation, of the epochs done; in place of the accuracy what
            the recipe's ``judge`` names.
    """

    micro_batch: Positive
    epoch: Count = 0
    step: Count = 0
    seconds: Seconds = 0.0
    examples: Count = 0
    loss_sum: float = 0.0
    correct: Count = 0
    best_accuracy: float = -1.0
    best_loss: float = sys.float_info.max
    epochs_without_gain: Count = 0

    def steps_done(self, steps_per_epoch: int) -> int:
        """Optimizer steps done since the training began."""
        return self.epoch * steps_per_epoch + self.step

    def next_epoch(self) -> None:
        """Count an epoch as done, and begin the sums of the next."""
        self.epoch += 1
        self.step, self.examples, self.loss_sum, self.correct = 0, 0, 0.0, 0


@dataclass
class TrainState:
    """A model in training, and whatever changes with it.

    Attributes:
        recipe: what is learned, and how.
        model: the network whose weights the optimizer moves.
        optimizer: with its own state, such as momentum.
        average: the moving average of the weights, where the recipe asks for one (``ema``).
        progress: how far the training is.
        best: the weights of the best epoch so far, where the recipe ships those (``keep = "best"``).
        loss: what is made small; see :data:`fittingroom.training.loss.Loss`.
        own_schedule: of the stage under way, where it is the user's own.
        head: names of the tensors that belong to the classes, where the training starts from weights; else empty.
    """

    recipe: Recipe
    model: nn.Module
    optimizer: Optimizer
    average: nn.Module | None
    progress: Progress
    best: dict[str, Tensor] = field(default_factory=dict)
    loss: Loss = cross_entropy_sum
    own_schedule: OwnSchedule | None = None
    head: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Note what learns when nothing is frozen."""
        self._scheduled: Stage | None = None
        self._learns = [p for p in self.model.parameters() if p.requires_grad]

    @classmethod
    def start(
        cls,
        recipe: Recipe,
        model_source: ModelSource,
        classes: Sequence[str],
        image_size: tuple[int, int],
        channels: int,
        device: torch.device,
        start: StartWeights | None = None,
    ) -> TrainState:
        """Make a new model on ``device``, initialised from PyTorch's ambient generator, or from given weights.

        Raises:
            RecipeError: the network can't be made, doesn't suit an image size that the recipe trains with, or isn't
                that of the weights.
        """
        arguments: dict[str, Any] = {
            "num_classes": len(classes),
            "image_size": image_size,
            "channels": channels,
            "model_args": recipe.model_args,
        }
        model = build_model(model_source, **arguments)

        # Still on the CPU, where the network has drawn its first weights, and where a file's are.
        head: dict[str, int] = {}
        if start is not None:
            head = class_dimensions(model, model_source, **arguments)
            refuse_misfit(start, model, head)
            take_over(start, model, head, classes)
        for _, side in recipe.image_sizes:
            check_output(model, model_source.name, len(classes), (side, side), channels)

        # Only now, as an optimizer's state lies where its parameters do.
        model.to(device)
        average = copy.deepcopy(model).requires_grad_(False) if recipe.ema else None
        optimizer = make_optimizer(model, recipe)
        return cls(recipe, model, optimizer, average, Progress(recipe.images_a_step), head=tuple(head))

    @property
    def shipped(self) -> nn.Module:
        """The network that would ship now: the moving average if there is one."""
        return self.average or self.model

    def enter_epoch(self) -> tuple[Stage, int]:
        """Give the stage of the epoch under way, and how many of its epochs are done. It may renew the optimizer."""
        progress = self.progress
        stage, epoch_in_stage = self.recipe.stage_at(progress.epoch)

        # The optimizer has all that ever learns: what is frozen has no gradient, and is skipped.
        for p in self._learns:
            p.requires_grad_(True)
        if progress.epoch > 0 and epoch_in_stage == 0 and progress.step == 0 and stage.fresh_optimizer:
            self.optimizer = make_optimizer(self.model, self.recipe)
        if stage.freeze == "body":
            freeze_body(self.model, self.head, self._learns)
        if self.own_schedule is None or stage is not self._scheduled:
            self.own_schedule = OwnSchedule(stage) if is_own(stage.schedule) else None
            self._scheduled = stage
        return stage, epoch_in_stage

    def train_mode(self) -> None:
        """Put the network into training mode: all of it, or the head alone where the stage freezes the body."""
        stage, _ = self.recipe.stage_at(self.progress.epoch)
        if stage.freeze == "body":
            train_head_alone(self.model, self.head)
        else:
            self.model.train()

    @property
    def stops_early(self) -> bool:
        """Whether validation has not gained for as many epochs as the recipe is patient; never without patience."""
        return bool(self.recipe.early_stop) and self.progress.epochs_without_gain >= self.recipe.early_stop

    def note_validation(self, loss: float, judged: float) -> None:
        """Keep the weights that would ship now if they are the best so far, and count the epochs without a gain.

        Weights are chosen by accuracy, patience is counted by the loss. With another ``judge`` both go by that: of
        lopsided classes, accuracy and loss are those of the large ones.

        Args:
            loss: on the validation images.
            judged: their accuracy, or what the recipe's ``judge`` names.
        """
        progress = self.progress
        is_best = judged > progress.best_accuracy
        is_gain = loss < progress.best_loss if self.recipe.judge == "accuracy" else is_best
        if self.recipe.keep == "best" and is_best:
            self.best = {name: tensor.clone() for name, tensor in self.shipped.state_dict().items()}

        progress.epochs_without_gain = 0 if is_gain else progress.epochs_without_gain + 1
        progress.best_accuracy = max(progress.best_accuracy, judged)
        progress.best_loss = min(progress.best_loss, loss)

    @torch.no_grad()
    def update_average(self, step: int) -> None:
        """Move the average towards the weights after ``step`` steps; at first faster than the recipe's decay says."""
        if self.average is None:
            return
        decay = min(self.recipe.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        for kept, buffer in zip(self.average.buffers(), self.model.buffers(), strict=True):
            moves = kept.is_floating_point() and bool(kept.isfinite().all())  # a mask may hold infinities
            kept.copy_(kept.lerp(buffer, 1 - decay) if moves else buffer)

    def tensors(self) -> dict[str, Tensor]:
        """Collect all tensors of the state, by names that :meth:`restore` knows."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        if is_own(self.recipe.optimizer):
            return tensors | pack(self.optimizer, self.recipe.optimizer)
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{key}": value for key, value in state.items()}
        return tensors

    def sha256(self) -> str:
        """The SHA-256 of all tensors with their names, whatever their memory layout; hexadecimal."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors().items()):
            plain = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def restore(self, tensors: dict[str, Tensor], progress: dict[str, Any], steps_per_epoch: int) -> None:
        """Take over what :meth:`tensors` and ``vars(progress)`` were in a state of the same recipe.

        Raises:
            ArtifactError: they aren't of this network and optimizer, or the progress can't be; nothing has changed.
        """
        kept = read_record(Progress, progress, "state.json: progress", advice="it was damaged or changed")
        fresh = make_optimizer(self.model, self.recipe)
        parameters = [p for group in fresh.param_groups for p in group["params"]]
        self._refuse_other_networks(tensors)
        _refuse_other_optimizers(_below("optimizer.", tensors), parameters)
        _refuse_impossible(kept, self.recipe.epochs, steps_per_epoch)

        if is_own(self.recipe.optimizer):
            packed = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
            load(fresh, packed, self.recipe.optimizer)
        self.progress = kept
        self.model.load_state_dict(_below("model.", tensors))
        if self.average is not None:
            self.average.load_state_dict(_below("average.", tensors))
        self.best = _below("best.", tensors)

        # A fresh optimizer has no state, so each value is put in its place by the number of its parameter.
        self.optimizer = fresh
        for name, value in _below("optimizer.", tensors).items():
            number, _, key = name.partition(".")
            p = parameters[int(number)]
            # In the parameter's own memory layout: a sum over another layout would round differently.
            self.optimizer.state[p][key] = torch.empty_like(p).copy_(value) if value.shape == p.shape else value

    def _refuse_other_networks(self, tensors: dict[str, Tensor]) -> None:
        """Raise ArtifactError for weights of another network."""
        expected = {name: tensor.shape for name, tensor in self.model.state_dict().items()}
        prefixes = ["model."]
        if self.average is not None:
            prefixes.append("average.")
        if _below("best.", tensors):
            prefixes.append("best.")
        for prefix in prefixes:
            if {name: tensor.shape for name, tensor in _below(prefix, tensors).items()} != expected:
                raise ArtifactError(f"tensors {prefix}… of the recipe's model expected, those of another one found")


def _refuse_other_optimizers(tensors: dict[str, Tensor], parameters: list[nn.Parameter]) -> None:
    """Raise ArtifactError for state that isn't that of the package's optimizers on these parameters."""
    kept: dict[int, set[str]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        if not number.isdecimal() or int(number) >= len(parameters):
            raise ArtifactError(f"state of {len(parameters)} parameters expected, optimizer.{brief(name)} found")
        shape = () if key == "step" else parameters[int(number)].shape
        if key in ADAM | {"momentum_buffer"} and (value.shape != shape or not value.is_floating_point()):
            raise ArtifactError(f"optimizer.{name} of shape {tuple(shape)} expected, {tuple(value.shape)} found")
        kept.setdefault(int(number), set()).add(key)

    if any(keys & ADAM and not keys >= ADAM for keys in kept.values()):
        raise ArtifactError(f"{', '.join(sorted(ADAM))} of each parameter expected, some are missing")


def _refuse_impossible(progress: Progress, epochs: int, steps_per_epoch: int) -> None:
    """Raise ArtifactError for a place that no training of so many epochs can be at."""
    is_over = progress.epoch == epochs and progress.step == 0
    is_within = progress.epoch < epochs and progress.step < steps_per_epoch
    if not (is_over or is_within) or (progress.step > 0) != (progress.examples > 0):
        raise ArtifactError(
            f"a place in {epochs:,} epochs of {steps_per_epoch:,} steps expected, epoch "
            f"{progress.epoch:,}, step {progress.step:,} with {progress.examples:,} examples found"
        )


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
