"""Classes of very different sizes: as many draws of each, or losses that weigh as much."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced_order(labels_N: Tensor, draw: torch.Generator) -> Tensor:
    """Draw as many rows as there are, of each class as many, give or take one: int64 (N,), mixed.

    No row of a class comes twice before all of them came once: of a large class a part is drawn, of a small one all
    come about equally often.

    Args:
        labels_N: int64.
        draw: gives the order, on the CPU.
    """
    labels_N = labels_N.cpu()
    classes = labels_N.unique()
    least, longer = divmod(len(labels_N), len(classes))

    # The classes that get one more are drawn too, or the first ones would have it in every epoch.
    places = torch.randperm(len(classes), generator=draw)
    parts = []
    for label, place in zip(classes.tolist(), places.tolist(), strict=True):
        rows = (labels_N == label).nonzero()[:, 0]
        wanted = least + (place < longer)

        # Round after round of the whole class, the last one cut off; of fewer images than classes some want none.
        rounds = [rows[torch.randperm(len(rows), generator=draw)] for _ in range(-(-wanted // len(rows)))]
        parts.append(torch.cat([*rounds, rows[:0]])[:wanted])
    drawn = torch.cat(parts)
    return drawn[torch.randperm(len(drawn), generator=draw)]


def balanced_weights(labels_N: Tensor, num_classes: int) -> Tensor:
    """The weight of each class's loss, float32 (C,): N / (classes that occur × images of the class).

    Their mean over the images is 1, so that a learning rate keeps its meaning. A class without images has 1.
    """
    counts_C = torch.bincount(labels_N, minlength=num_classes).double()
    weights_C = len(labels_N) / (int((counts_C > 0).sum()) * counts_C)
    return torch.where(counts_C > 0, weights_C, torch.ones_like(weights_C)).float()
