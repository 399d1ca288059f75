"""The gradient of a batch: taken in parts, in micro-batches where memory is short, and summed over the processes."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from fittingroom.events import MicroBatchHalved
from fittingroom.parallel.process_group import ProcessGroup
from fittingroom.training.batch_parts import BatchParts
from fittingroom.training.context import TrainContext
from fittingroom.training.device import is_out_of_memory
from fittingroom.training.lone_image import lone_image
from fittingroom.training.seeds import derive_seed
from fittingroom.training.state import TrainState


def take_gradient(
    state: TrainState, parts: BatchParts, x_NCHW: Tensor, y_N: Tensor, examples: int, context: TrainContext
) -> tuple[float, int, bool]:
    """Leave in the model's parameters the gradient of the mean loss of the whole batch.

    Of a batch that several processes share, ``(x, y)`` is the shard of this one, and the gradients are summed.

    Args:
        x_NCHW: float32, this process's shard of the batch.
        y_N: int64 or, of mixed images, float32 (N, C).
        examples: of the whole batch, over all processes.

    Returns:
        The mean loss of the batch, how many of it were right, and whether any process was asked to stop.
    """
    # The buffers, such as batch norm's running statistics, move with each forward pass: kept from before it, they can
    # be put back where memory runs out, and averaged over the processes.
    buffers = [buffer.clone() for buffer in state.model.buffers()]
    loss_sum, correct = _backward(state, parts, x_NCHW, y_N, examples, buffers, context)
    stops = context.hooks.should_stop()
    if context.group.size > 1:
        figures = loss_sum, correct, stops
        loss_sum, correct, stops = _all_reduce(state, buffers, len(y_N) / examples, figures, context.group)
    return loss_sum / examples, correct, stops


def _backward(
    state: TrainState,
    parts: BatchParts,
    x_NCHW: Tensor,
    y_N: Tensor,
    examples: int,
    buffers: list[Tensor],
    context: TrainContext,
) -> tuple[float, int]:
    """Leave this process's share of the gradient in the parameters; its summed loss, and how many it had right.

    Where memory runs out the batch goes through in halves from then on, with the same gradient.

    Args:
        x_NCHW, y_N: float32 and int64 or, of mixed images, float32 (N, C), this process's shard of the batch.
        examples: of the whole batch, over all processes.
        buffers: the model's, before the step.
    """
    progress, model, rank = state.progress, state.model, context.group.rank
    # Each process drops other units: alike ones would drop the same units for all shards of the batch.
    dropout_seed = derive_seed(state.recipe.seed, "dropout", progress.epoch, progress.step, *([rank] if rank else []))
    while True:
        _seed(dropout_seed, x_NCHW.device)
        try:
            state.train_mode()
            return parts.each(partial(_accumulate_gradient, state, examples, context.precision), x_NCHW, y_N)
        except RuntimeError as error:
            micro_batch = min(progress.micro_batch, len(y_N))
            if not is_out_of_memory(error) or micro_batch == 1:
                raise

        # Parts may have gone through before memory ran out: undo what they left, and begin the batch again.
        state.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(before)
        if x_NCHW.is_cuda:
            torch.cuda.empty_cache()
        progress.micro_batch = (micro_batch + 1) // 2
        context.hooks.observe(MicroBatchHalved(epoch=progress.epoch, micro_batch=progress.micro_batch))


def _accumulate_gradient(
    state: TrainState, examples: int, precision: str, network: nn.Module, x_NCHW: Tensor, y_N: Tensor
) -> tuple[float, int]:
    """Send images through in micro-batches: the summed loss, and how many were right.

    Losses are summed, and divided once by the size of the whole batch: only batch-norm statistics see micro-batches.
    """
    micro_batch = state.progress.micro_batch
    loss_sum, correct = 0.0, 0
    if len(y_N) == 0:  # a short last batch has too few examples for every process
        return loss_sum, correct

    for x, y in zip(x_NCHW.split(micro_batch), y_N.split(micro_batch), strict=True):
        autocast = torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
        with autocast, lone_image(network, len(x)):
            logits_NC = network(x)
        # The loss is taken in float32: bf16 has 8 bits, and rounds a probability near 1 to 1, whose loss is 0.
        logits_NC = logits_NC.float()
        loss = state.loss(logits_NC, y)  # the sum over the images
        (loss / examples).backward()
        loss_sum += loss.item()
        # Of a mixture of two images, right is the class of the larger part.
        correct += int((logits_NC.argmax(dim=1) == (y if y.ndim == 1 else y.argmax(dim=1))).sum())
    return loss_sum, correct


def _all_reduce(
    state: TrainState, before: list[Tensor], share: float, figures: tuple[float, int, bool], group: ProcessGroup
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
    parameters = [p for p in state.model.parameters() if p.requires_grad]
    has_gradient = [p.grad is not None for p in parameters]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]

    # Where nothing changed exactly 0, also for what can't be subtracted from itself, such as the infinity of a mask.
    buffers = list(state.model.buffers())
    changes = [
        (now.float() - old.float()).where(now != old, 0.0) * share for now, old in zip(buffers, before, strict=True)
    ]

    *counts, loss_sum, correct, stops = group.all_reduce([*gradients, *changes], [*has_gradient, *figures])
    for p, gradient, count in zip(parameters, gradients, counts, strict=True):
        p.grad = gradient if count else None
    for buffer, old, change in zip(buffers, before, changes, strict=True):
        buffer.copy_(old + (change if buffer.is_floating_point() else change.round()))
    return loss_sum, round(correct), stops > 0


def _seed(seed: int, device: torch.device) -> None:
    """Seed the generator of a device, and no others: to note a seed for each kind of them takes PyTorch 0.3 ms."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
