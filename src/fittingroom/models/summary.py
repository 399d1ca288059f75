"""What a network is made of: layers, output shapes, parameters, multiply–adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerRow:
    """One leaf module as it ran: its path, kind, output shape without N, parameters, multiply–adds an image."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def summarize(model: nn.Module, image_size: tuple[int, int], channels: int = 1) -> list[LayerRow]:
    """Run one image of so many channels through ``model`` and list its leaf modules in the order of their calls.

    Multiply–adds are those of convolutions and linear layers; what a module computes by bare functions is not seen.
    """
    # Hooks see the modules in the order in which they run, which the constructor doesn't tell.
    rows: list[LayerRow] = []
    hooks = [
        module.register_forward_hook(lambda module, _inputs, output, name=name: rows.append(_row(name, module, output)))
        for name, module in model.named_modules()
        if not any(module.children())
    ]

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, channels, *image_size))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return rows


def count_parameters(model: nn.Module) -> int:
    """Count the learned numbers, each once; buffers such as running statistics are not among them."""
    return sum(parameter.numel() for parameter in model.parameters())


def _row(name: str, module: nn.Module, output: Any) -> LayerRow:
    """The row of a module that has just run."""
    while isinstance(output, tuple | list):  # such as a GRU's (sequence, last state)
        output = output[0]
    parameters = sum(parameter.numel() for parameter in module.parameters(recurse=False))
    return LayerRow(name, type(module).__name__, tuple(output.shape[1:]), parameters, _multiply_adds(module, output))


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    """Multiply–adds for one image; 0 for modules that multiply no weights, and for those that aren't known here."""
    if isinstance(module, nn.Conv2d):
        per_output = module.weight[0].numel()
    elif isinstance(module, nn.Linear):
        per_output = module.in_features
    else:
        return 0
    return per_output * output[0].numel()
