"""How long a training of large images will take, measured on a few of them before its first step."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fittingroom.recipes.recipe import Recipe
from fittingroom.training.start_weights import freeze_body, train_head_alone

LARGE = 96 * 96  # pixels of an image, from which on it is measured: smaller ones are through before one has waited
FEW = 8  # images that are measured at once


def expected_seconds(
    model: nn.Module, head: Sequence[str], recipe: Recipe, x_NCHW: Tensor, images: int, validated: int, precision: str
) -> float:
    """Seconds that all epochs of a recipe take, as far as a few images tell; nothing that is trained is touched.

    The second pass is timed: the first one allocates memory and chooses kernels.

    Args:
        model: that is to be trained, of which a copy is measured.
        head: names of its tensors that go on learning where the body is frozen.
        recipe: its stages count.
        x_NCHW: float32, some of the images, on the model's device.
        images: that are learned from.
        validated: that are predicted after each epoch.
        precision: ``float32`` or ``bf16``.
    """
    y_N = torch.zeros(len(x_NCHW), dtype=torch.int64, device=x_NCHW.device)
    seconds: dict[str, float] = {}
    with torch.random.fork_rng([]):
        for kind in {"all", "validation", *("body" for stage in recipe.stages if stage.freeze == "body")}:
            network = copy.deepcopy(model)
            learns = [p for p in network.parameters() if p.requires_grad]
            if kind == "body":
                freeze_body(network, head, learns)
                train_head_alone(network, head)
            else:
                network.train(kind == "all")
            for _ in range(2):
                started = time.perf_counter()
                with torch.set_grad_enabled(kind != "validation"):
                    with torch.autocast(x_NCHW.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
                        logits_NC = network(x_NCHW)
                    if kind != "validation":
                        F.cross_entropy(logits_NC.float(), y_N).backward()
                seconds[kind] = (time.perf_counter() - started) / len(x_NCHW)

    total = 0.0
    for stage in recipe.stages:
        learning = seconds["body" if stage.freeze == "body" else "all"]
        total += stage.epochs * (images * learning + validated * seconds["validation"])
    return total
