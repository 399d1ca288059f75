"""A small residual network for small grey images, shaped for processors: pooling comes before norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fittingroom.errors import RecipeError

NORM_MOMENTUM = 0.4  # a training of few steps has no time for the usual 0.1: running statistics would lag behind


class ResidualCNN(nn.Module):
    """A 3×3 stem at full size, groups of 3×3 convolutions, the maximum over what is left of the image, a linear layer.

    The stem and the first convolution of a group that pools halve the image right after convolving, so that batch norm
    and ReLU touch a quarter of the pixels. From the third convolution of a group on, the group is residual: what
    enters its second convolution is added before its last ReLU. PyTorch's default initialisation.

    Args:
        num_classes: size of the output, ≥ 2.
        image_size: (H, W) of the input in pixels. Any will do that the poolings don't use up; smaller ones raise
            :class:`RecipeError`.
        stem: filters of the first convolution.
        widths: filters of each group.
        depths: convolutions of each group, ≥ 1.
        pools: whether each group halves the image.
    """

    def __init__(
        self,
        num_classes: int = 10,
        image_size: tuple[int, int] = (28, 28),
        stem: int = 12,
        widths: Sequence[int] = (32, 64),
        depths: Sequence[int] = (1, 2),
        pools: Sequence[bool] = (True, True),
    ):
        super().__init__()
        smallest = 2 ** (1 + sum(pools))
        if min(image_size) < smallest:
            raise RecipeError(f"model residual: images of ≥ {smallest} pixels a side expected, {image_size} given")
        self.stem = _Convolution(1, stem, pool=True)
        groups, channels = [], stem
        for width, depth, pool in zip(widths, depths, pools, strict=True):
            groups.append(_Group(channels, width, depth, pool=pool))
            channels = width
        self.groups = nn.Sequential(*groups)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """float (N, 1, H, W) → logits (N, num_classes)."""
        x = self.groups(F.relu(self.stem(x_NCHW)))
        logits_NC: Tensor = self.head(torch.amax(x, dim=(2, 3)))
        return logits_NC


class _Convolution(nn.Module):
    """3×3 convolution, perhaps 2×2 max pooling, batch norm."""

    def __init__(self, channels_in: int, channels_out: int, *, pool: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.norm = nn.BatchNorm2d(channels_out, momentum=NORM_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        normalized: Tensor = self.norm(self.pool(self.conv(x)))
        return normalized


class _Group(nn.Module):
    """A convolution that widens and may pool, then a residual chain of the others."""

    def __init__(self, channels_in: int, width: int, depth: int, *, pool: bool):
        super().__init__()
        self.first = _Convolution(channels_in, width, pool=pool)
        self.others = nn.ModuleList(_Convolution(width, width) for _ in range(depth - 1))

    def forward(self, x: Tensor) -> Tensor:
        entered = x = F.relu(self.first(x))
        for i, convolution in enumerate(self.others):
            x = convolution(x)
            if i > 0 and i == len(self.others) - 1:
                x = x + entered
            x = F.relu(x)
        return x
