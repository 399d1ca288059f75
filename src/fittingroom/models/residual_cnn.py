"""A small residual network for small grey images, shaped for processors: pooling comes before norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fittingroom.errors import RecipeError

NORM_MOMENTUM = 0.4  # a training of few steps has no time for the usual 0.1: running statistics would lag behind


class ResidualCNN(nn.Module):
    """Stages of 3×3 convolutions, the maximum over what is left of the image, a linear layer.

    A stage widens by one convolution, which may halve the image, and goes on with residual blocks. Pooling right after
    the convolution leaves batch norm and ReLU a quarter of the pixels. PyTorch's default initialisation.

    Args:
        num_classes: size of the output, ≥ 2.
        image_size: (H, W) of the input in pixels. Any will do that the poolings don't use up; smaller ones raise
            :class:`RecipeError`.
        widths: filters of each stage; multiples of 16 run fastest, pooling and batch norm go through them in blocks.
        depths: residual blocks of each stage.
        pools: whether each stage halves the image.
        block_layers: convolutions of each residual block.
    """

    def __init__(
        self,
        num_classes: int = 10,
        image_size: tuple[int, int] = (28, 28),
        widths: Sequence[int] = (16, 32, 64),
        depths: Sequence[int] = (0, 0, 1),
        pools: Sequence[bool] = (True, True, True),
        block_layers: int = 1,
    ):
        super().__init__()
        if not len(widths) == len(depths) == len(pools):
            raise RecipeError(
                f"model residual: widths, depths and pools of one length expected, {widths}, {depths}, {pools}"
            )
        smallest = 2 ** sum(pools)
        if min(image_size) < smallest:
            raise RecipeError(f"model residual: images of ≥ {smallest} pixels a side expected, {image_size} given")
        stages: list[nn.Module] = []
        for channels_in, width, depth, pool in zip((1, *widths), widths, depths, pools, strict=False):
            stages.append(_convolution(channels_in, width, pool=pool))
            stages += [_Residual(width, block_layers) for _ in range(depth)]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """float (N, 1, H, W) → logits (N, num_classes)."""
        logits_NC: Tensor = self.head(torch.amax(self.stages(x_NCHW), dim=(2, 3)))
        return logits_NC


class _Residual(nn.Module):
    """What comes in, plus ``layers`` convolutions of it."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.body = nn.Sequential(*(part for _ in range(layers) for part in _convolution(width, width, pool=False)))

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.body(x)
        return added


def _convolution(channels_in: int, channels_out: int, *, pool: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.MaxPool2d(2) if pool else nn.Identity(),
        nn.BatchNorm2d(channels_out, momentum=NORM_MOMENTUM),
        nn.ReLU(),
    )
