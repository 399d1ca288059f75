"""Which weights of a network belong to its classes: the head, which another set of classes needs anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from fittingroom.models import ModelSource, build_model


def class_dimensions(
    model: nn.Module,
    model_source: ModelSource,
    *,
    num_classes: int,
    image_size: tuple[int, int],
    channels: int = 1,
    model_args: Mapping[str, Any] | None = None,
) -> dict[str, int]:
    """Find the tensors whose shape follows the number of classes, and the dimension in which it does.

    The same network is built for one class more, and held against this one: true of any network, whatever its author
    calls the last layer. PyTorch's ambient generator is as before when this is done.

    Args:
        model: built for ``num_classes``.
        model_source, num_classes, image_size, channels, model_args: what it was built from, see
            :func:`fittingroom.models.build_model`.

    Returns:
        Name in ``state_dict()`` → dimension, such as ``{"head.weight": 0, "head.bias": 0}``; empty for a network that
        has no weights of its classes.
    """
    with torch.random.fork_rng([]):
        larger = build_model(
            model_source, num_classes=num_classes + 1, image_size=image_size, channels=channels, model_args=model_args
        ).state_dict()

    dimensions = {}
    for name, tensor in model.state_dict().items():
        other = larger.get(name)
        if other is None or other.ndim != tensor.ndim:
            continue
        apart = [d for d in range(tensor.ndim) if tensor.shape[d] != other.shape[d]]
        if len(apart) == 1:
            dimensions[name] = apart[0]
    return dimensions
