"""A batch in parts, which go through the network at once, each on threads of its own.

Threads that share a convolution wait for each other in each layer, some hundred times a step, by turning round and
round; where another program takes the processor of one of them, the others wait for as long as the system lets it. A
part for each thread waits once a step. Batch norm sees its own part alone, which is ghost batch norm (Hoffer, Hubara
and Soudry 2017, arXiv 1705.08741). Sums are taken in the order of the parts: whether one thread or two carry them out,
the bits are the same. ``benchmarks/log.md`` has what it gains.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Result = tuple[float, int]
Step = Callable[[nn.Module, Tensor, Tensor], Result]
"""From a network and a part's images and labels to its summed loss and how many were right; leaves gradients in it."""


class BatchParts:
    """Networks that share one network's weights, each with gradients and batch-norm statistics of its own.

    Args:
        model: the network that learns. Its weights stay where they are in memory for as long as this is in use.
        count: of parts, ≥ 1. A part has at least two images, so that few of them go through in fewer parts.
        threads: of the CPU for all parts together. With fewer than ``count`` they go through one after another; so they
            do where ``is_pure`` is false, each on all threads.
        is_pure: whether what is computed draws nothing from the process's generator, and nobody's own code is in it.

    Attributes:
        threads_each: threads of a part.
    """

    def __init__(self, model: nn.Module, count: int, *, threads: int, is_pure: bool):
        self.networks = [model, *(_sharing(model) for _ in range(count - 1))]
        self.threads = threads
        self._modules = [list(network.modules()) for network in self.networks]
        self._parameters = [list(network.parameters()) for network in self.networks]
        self._statistics = [_statistics(network) for network in self.networks]

        are_at_once = 1 < count <= threads and is_pure
        self.threads_each = threads // count if are_at_once else threads
        self._pool = None
        if are_at_once:
            self._pool = ThreadPoolExecutor(
                count - 1, "batch-part", initializer=torch.set_num_threads, initargs=(self.threads_each,)
            )

    def sharing_threads(self) -> AbstractContextManager[None]:
        """Compute on one part's threads in the block, all that a step does beside its parts included."""
        return _threads(self.threads_each, then=self.threads)

    def all_threads(self) -> AbstractContextManager[None]:
        """Within :meth:`sharing_threads`, compute on all of them again, as what is judged has no parts."""
        return _threads(self.threads, then=self.threads_each)

    def each(self, step: Step, x_NCHW: Tensor, y_N: Tensor) -> Result:
        """Take ``step`` with each part, and leave the sum of the gradients and the mean of the statistics in the model.

        Args:
            x_NCHW, y_N: the batch, of which each part is a stretch.

        Returns:
            The sums of what the steps returned.
        """
        count = max(1, min(len(self.networks), len(y_N) // 2))
        if count == 1:
            return step(self.networks[0], x_NCHW, y_N)

        # What the model is by now, the others are too, before they take the step.
        for i in range(1, count):
            self._follow(i)
        parts = list(zip(self.networks[:count], x_NCHW.tensor_split(count), y_N.tensor_split(count), strict=True))
        results = self._at_once(step, parts) if self._pool else [step(*part) for part in parts]

        for i in range(1, count):
            _add_gradients(self._parameters[i], self._parameters[0])
        _average(self._statistics[:count], [len(y) / len(y_N) for _, _, y in parts])
        return sum(loss for loss, _ in results), sum(correct for _, correct in results)

    def _follow(self, i: int) -> None:
        """Give network ``i`` the statistics of the model, and let learn in it what learns there."""
        for mine, its in zip(self._modules[i], self._modules[0], strict=True):
            if mine.training is not its.training:
                mine.training = its.training
        for p, of_model in zip(self._parameters[i], self._parameters[0], strict=True):
            p.grad = None
            if p.requires_grad is not of_model.requires_grad:
                p.requires_grad_(of_model.requires_grad)
        if self._statistics[0]:
            torch._foreach_copy_(self._statistics[i], self._statistics[0])

    def _at_once(self, step: Step, parts: Sequence[tuple[nn.Module, Tensor, Tensor]]) -> list[Result]:
        """The first part here, the others on threads of their own; none is still under way when this ends."""
        assert self._pool is not None
        others = [self._pool.submit(step, *part) for part in parts[1:]]
        try:
            first = step(*parts[0])
        finally:
            for other in others:
                other.exception()  # waits; whatever it raised comes below, or after what the first part raised
        return [first, *(other.result() for other in others)]


@contextmanager
def _threads(count: int, *, then: int) -> Iterator[None]:
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(then)


def _sharing(model: nn.Module) -> nn.Module:
    """A network with the same weights in the same memory, and gradients and batch-norm statistics of its own."""
    other = copy.deepcopy(model)
    own = {p: nn.Parameter(p.detach(), requires_grad=p.requires_grad) for p in model.parameters()}
    for mine, its in zip(other.modules(), model.modules(), strict=True):
        for name, p in its.named_parameters(recurse=False, remove_duplicate=False):
            mine.register_parameter(name, own[p])  # one for all layers that share it
        if not isinstance(its, _BatchNorm):
            for name, buffer in its.named_buffers(recurse=False):
                setattr(mine, name, buffer)
    return other


def _add_gradients(parameters: list[nn.Parameter], of_model: list[nn.Parameter]) -> None:
    """Add them to those of the model, where there are any: what is frozen has none in either."""
    sums = [p.grad for p in of_model if p.grad is not None]
    torch._foreach_add_(sums, [p.grad for p in parameters if p.grad is not None])


def _statistics(network: nn.Module) -> list[Tensor]:
    """The running means and variances of its batch norms; how many batches they have seen, the model's count alone."""
    return [
        buffer
        for module in network.modules()
        if isinstance(module, _BatchNorm)
        for buffer in module.buffers(recurse=False)
        if buffer.is_floating_point()
    ]


@torch.no_grad()
def _average(statistics: list[list[Tensor]], shares: Sequence[float]) -> None:
    """Make those of the first network the mean of all, weighted by their shares of the images."""
    first, *others = statistics
    if first:
        torch._foreach_mul_(first, shares[0])
        for own, share in zip(others, shares[1:], strict=True):
            torch._foreach_add_(first, own, alpha=share)
