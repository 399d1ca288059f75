"""How long a training of large images will take, measured on a few of them before its first step."""

from __future__ import annotations

import copy
import math
import time
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fittingroom.models.tensors import normalize
from fittingroom.training.batches import Batches
from fittingroom.training.lone_image import lone_image
from fittingroom.training.start_weights import freeze_body, train_head_alone
from fittingroom.training.state import TrainState

LARGE = 96 * 96  # pixels of an image, from which on it is measured: smaller ones are through before one has waited
FEW = 8  # images that are measured at once

Pass = Literal["all", "body", "validation"]
"""What an image goes through: a step of the whole network, one with a frozen body, or a prediction."""


def expected_seconds(state: TrainState, batches: Batches, validated: int, precision: str) -> float | None:
    """Seconds that all epochs of a recipe take, as far as a few images tell; nothing that is trained is touched.

    Args:
        state: of its model, a copy is measured.
        batches: that it is to learn from.
        validated: images that are predicted after each epoch.
        precision: ``float32`` or ``bf16``.

    Returns:
        None for images that are too small for anybody to wait.
    """
    if math.prod(batches.images.shape[1:3]) < LARGE:
        return None
    recipe, normalization = state.recipe, batches.normalization
    x_NCHW = normalize(batches.images[:FEW], normalization.mean, normalization.std)

    seconds: dict[Pass, float] = {}
    kinds: list[Pass] = ["all", "validation"]
    if any(stage.freeze == "body" for stage in recipe.stages):
        kinds.append("body")
    with torch.random.fork_rng([]):
        for kind in kinds:
            seconds[kind] = _seconds_a_pass(kind, state, x_NCHW, precision) / len(x_NCHW)

    total = 0.0
    for stage in recipe.stages:
        learning = seconds["body" if stage.freeze == "body" else "all"]
        total += stage.epochs * (len(batches.images) * learning + validated * seconds["validation"])
    return total


def _seconds_a_pass(kind: Pass, state: TrainState, x_NCHW: Tensor, precision: str) -> float:
    """The time of one pass of these images through a copy of the network."""
    network = copy.deepcopy(state.model)
    learns = [p for p in network.parameters() if p.requires_grad]
    if kind == "body":
        freeze_body(network, state.head, learns)
        train_head_alone(network, state.head)
    else:
        network.train(kind == "all")

    # The second one counts: the first allocates memory and chooses kernels.
    y_N = torch.zeros(len(x_NCHW), dtype=torch.int64, device=x_NCHW.device)
    for _ in range(2):
        started = time.perf_counter()
        with torch.set_grad_enabled(kind != "validation"):
            autocast = torch.autocast(x_NCHW.device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
            with autocast, lone_image(network, len(x_NCHW)):
                logits_NC = network(x_NCHW)
            if kind != "validation":
                F.cross_entropy(logits_NC.float(), y_N).backward()
        seconds = time.perf_counter() - started
    return seconds
