"""Batch norm where one image is alone in its batch: the last one of an epoch, or of a process's shard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def lone_image(network: nn.Module, images: int) -> Iterator[None]:
    """Let an image that is alone go through a network in training mode.

    A layer that has one value a channel then, as behind pooling to 1×1, has no variance to learn from, and PyTorch
    refuses it: for this image it goes by its running statistics, as when it predicts.

    Args:
        images: that go through in the block; nothing is done for two or more.
    """
    if images != 1:
        yield
        return
    paused: list[nn.Module] = []

    def pause(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        x: Tensor = inputs[0]
        if module.training and x.numel() == x.shape[1]:
            module.training = False
            paused.append(module)

    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    handles = [norm.register_forward_pre_hook(pause) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in paused:
            module.training = True
