"""A small residual network for small images, shaped for processors: pooling comes before norm."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fittingroom.errors import RecipeError
from fittingroom.recipes.residual_args import (
    BLOCK_LAYERS,
    DEPTHS,
    FIXED_STEM,
    MIRROR_AVERAGE,
    POOLS,
    SHIFT_AVERAGE,
    WIDTHS,
)

NORM_MOMENTUM = 0.4  # a training of few steps has no time for the usual 0.1: running statistics would lag behind
MAX_WIDTH, MAX_DEPTH = 16_384, 256  # far beyond what small images need


class ResidualCNN(nn.Module):
    """Stages of 3×3 convolutions, the maximum over what is left of the image, a linear layer.

    A stage widens by one convolution, which may halve the image, and goes on with residual blocks. Pooling right after
    the convolution leaves batch norm and ReLU a quarter of the pixels. PyTorch's default initialisation.

    Args:
        num_classes: size of the output, ≥ 2.
        image_size: (H, W) of the input in pixels. Any will do that the poolings don't use up; smaller ones raise
            :class:`RecipeError`.
        in_channels: 1 for grey images, 3 for colour.
        widths: filters of each stage; multiples of 16 run fastest, pooling and batch norm go through them in blocks.
        depths: residual blocks of each stage.
        pools: whether each stage halves the image by a maximum over 2×2 pixels.
        strides: step of each stage's first convolution, 1 or 2; None for 1. A step of 2 is cheaper than pooling.
        block_layers: convolutions of each residual block.
        fixed_stem: the first stage is :class:`PatternExtremes`, which learns nothing, in place of a convolution. To
            learn that layer, which has the largest maps, takes a quarter of a small network's time, and a short
            training ends better without it (benchmarks/log.md). It needs an even first width up to 18, and pools.
        mirror_average: in evaluation, the features are the mean of those of the image and of its mirror image: an
            answer takes twice as long and is right more often, if the network has learned from mirrored images.
        shift_average: in evaluation, the features are the mean of those of the image and of it moved by a pixel up,
            down, left and right, its edges repeated: an answer takes five times as long, ten times with
            ``mirror_average``, and is right more often where the network is small (benchmarks/log.md).
    """

    def __init__(
        self,
        num_classes: int = 10,
        image_size: tuple[int, int] = (28, 28),
        in_channels: int = 1,
        widths: Sequence[int] = WIDTHS,
        depths: Sequence[int] = DEPTHS,
        pools: Sequence[bool] = POOLS,
        block_layers: int = BLOCK_LAYERS,
        fixed_stem: bool = FIXED_STEM,
        strides: Sequence[int] | None = None,
        mirror_average: bool = MIRROR_AVERAGE,
        shift_average: bool = SHIFT_AVERAGE,
    ):
        super().__init__()
        self.mirror_average = mirror_average
        self.shift_average = shift_average
        strides = [1] * len(widths) if strides is None else strides
        if not len(widths) == len(depths) == len(pools) == len(strides):
            raise RecipeError(
                "model residual: widths, depths, pools and strides of one length expected, "
                f"{widths}, {depths}, {pools}, {strides} found"
            )

        # A file may have come from anyone, and a number without bounds takes all memory before it is refused elsewhere.
        of_one_kind = ((widths, 1, MAX_WIDTH), ((*depths, block_layers), 0, MAX_DEPTH), (pools, 0, 1), (strides, 1, 64))
        if not all(isinstance(n, int) and low <= n <= high for numbers, low, high in of_one_kind for n in numbers):
            raise RecipeError(
                f"model residual: widths of 1 to {MAX_WIDTH:,}, depths and block_layers up to {MAX_DEPTH}, pools of "
                "true or false and strides of 1 to 64 expected, others found"
            )

        # Each pooling and each stride of 2 halves the image: a pixel has to be left.
        smallest = 2 ** sum(pools) * math.prod(strides)
        if min(image_size) < smallest:
            given = "×".join(map(str, image_size))
            raise RecipeError(
                f"model residual: images of ≥ {smallest} pixels a side expected, {given} given: "
                "`size` makes them larger"
            )

        stages: list[nn.Module] = []
        inputs = (in_channels, *widths)
        for channels_in, width, depth, pool, stride in zip(inputs, widths, depths, pools, strides, strict=False):
            stages.append(_convolution(channels_in, width, pool=pool, stride=stride))
            stages += [_Residual(width, block_layers) for _ in range(depth)]

        # In place of a convolution that was made: the draws of the stages after it are the same with and without.
        if fixed_stem:
            if not pools[0] or strides[0] != 1:
                raise RecipeError("model residual: fixed_stem pools: true as first of pools and 1 of strides expected")
            stages[0] = PatternExtremes(widths[0], in_channels)

        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(widths[-1], num_classes)

    @staticmethod
    def least_parameters(
        widths: Sequence[int] = WIDTHS,
        depths: Sequence[int] = DEPTHS,
        block_layers: int = BLOCK_LAYERS,
        **_others: object,
    ) -> int:
        """The numbers in its convolutions after the first, by the constructor's arguments, without making any."""
        between = sum(9 * before * after for before, after in pairwise(widths))
        return between + sum(9 * width**2 * depth * block_layers for width, depth in zip(widths, depths, strict=False))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map float (N, in_channels, H, W) to logits (N, num_classes)."""
        views = [x_NCHW] if self.training else self._views(x_NCHW)
        features_NF = self._features(views[0])
        if len(views) > 1:
            features_NF = sum(map(self._features, views[1:]), start=features_NF) / len(views)
        logits_NC: Tensor = self.head(features_NF)
        return logits_NC

    def _views(self, x_NCHW: Tensor) -> list[Tensor]:
        """The images, and as what else they are looked at for an answer, each (N, in_channels, H, W)."""
        views = [x_NCHW]
        if self.shift_average:
            height, width = x_NCHW.shape[2:]
            framed = F.pad(x_NCHW, (1, 1, 1, 1), mode="replicate")
            moves = ((0, 1), (2, 1), (1, 0), (1, 2))
            views += [framed[:, :, top : top + height, left : left + width] for top, left in moves]
        if self.mirror_average:
            views += [view.flip(3) for view in views]
        return views

    def _features(self, x_NCHW: Tensor) -> Tensor:
        return torch.amax(self.stages(x_NCHW), dim=(2, 3))


class _Residual(nn.Module):
    """What comes in, plus ``layers`` convolutions of it."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.body = nn.Sequential(*(part for _ in range(layers) for part in _convolution(width, width)))

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.body(x)
        return added


def _convolution(channels_in: int, channels_out: int, *, pool: bool = False, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.MaxPool2d(2) if pool else nn.Identity(),
        nn.BatchNorm2d(channels_out, momentum=NORM_MOMENTUM),
        nn.ReLU(),
    )


class PatternExtremes(nn.Module):
    """How strongly patterns of 3×3 pixels appear in each 2×2 window, in either sense: their largest and least response.

    The patterns are the lowest of the discrete cosine transform, which are about the principal components of small
    patches of photographs. Their amplitude in an image falls with about the square of the frequency; multiplied by it,
    all maps have a standard deviation of about 1 if the pixels do, so no norm is needed. Of colour images the patterns
    are looked for in brightness and in two differences of colours, see :func:`colour_patterns`.

    Args:
        width: maps, even, ≤ 18: two for each pattern. Others raise :class:`RecipeError`.
        in_channels: 1 or 3; others raise it too.
    """

    responses: Tensor

    def __init__(self, width: int, in_channels: int = 1):
        super().__init__()
        if width % 2 or not 2 <= width <= 18:
            raise RecipeError(f"model residual: with fixed_stem, an even first width of 2–18 expected, {width} given")
        if in_channels not in (1, 3):
            raise RecipeError(
                f"model residual: with fixed_stem, 1 or 3 channels expected, {in_channels} given; "
                "set model_args.fixed_stem = false"
            )
        count = width // 2
        patterns_PC33 = cosine_patterns(count).unsqueeze(1) if in_channels == 1 else colour_patterns(count)
        # One strided convolution finds the responses at the four places of a window: without maps at full size it takes
        # half the time of convolution and pooling.
        places = [F.pad(patterns_PC33, (x, 1 - x, y, 1 - y)) for y in (0, 1) for x in (0, 1)]
        self.register_buffer("responses", torch.cat(places))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map float (N, in_channels, H, W) to (N, width, H // 2, W // 2): the largest responses, then the least."""
        if torch.onnx.is_in_onnx_export():
            return self.by_pooling(x_NCHW)
        at_places = F.conv2d(x_NCHW, self.responses, stride=2, padding=1)
        upper, lower = at_places.chunk(2, dim=1)
        largest, least = torch.maximum(upper, lower), torch.minimum(upper, lower)
        return torch.cat([torch.maximum(*largest.chunk(2, dim=1)), torch.minimum(*least.chunk(2, dim=1))], dim=1)

    def by_pooling(self, x_NCHW: Tensor) -> Tensor:
        """Compute the same as :meth:`forward`, up to rounding, in the operators that ONNX Runtime has fast kernels for.

        The least response to a pattern is the negated largest one to its negative.
        """
        patterns_PC33 = self.responses[: len(self.responses) // 4, :, :3, :3]  # those of the window's first place
        signs_W = torch.ones(2 * len(patterns_PC33)).to(x_NCHW)
        signs_W[len(patterns_PC33) :] = -1
        largest = F.max_pool2d(F.conv2d(x_NCHW, torch.cat([patterns_PC33, -patterns_PC33]), padding=1), 2)
        return F.conv2d(largest, signs_W.view(-1, 1, 1, 1), groups=len(signs_W))


def cosine_patterns(count: int) -> Tensor:
    """Make the lowest patterns of the 3×3 discrete cosine transform, times frequency²: float (count, 3, 3), count ≤ 9.

    The frequency counts from 1, that of the mean, and goes up with the half-waves in both directions; one third of its
    square is the factor.
    """
    waves = _waves()
    by_frequency = sorted(itertools.product(range(3), repeat=2), key=lambda ij: (sum(ij), abs(ij[0] - ij[1])))
    return torch.stack([torch.outer(waves[i], waves[j]) * (1 + i + j) ** 2 / 3 for i, j in by_frequency[:count]])


def colour_patterns(count: int) -> Tensor:
    """Make the lowest patterns of 3×3 colour pixels, times frequency²: float (count, 3, 3, 3), count ≤ 27.

    They are those of the cosine transform over the channels too: the mean of the three, and two differences of them,
    which are about the principal components of the colours of photographs. A difference of colours varies less than
    the brightness, about as a pattern of the next frequency does, and counts as one.
    """
    waves = _waves()
    triples = itertools.product(range(3), repeat=3)
    by_frequency = sorted(triples, key=lambda cij: (_frequency(*cij), cij[0], abs(cij[1] - cij[2])))
    return torch.stack(
        [
            torch.einsum("c,y,x->cyx", waves[c], waves[i], waves[j]) * _frequency(c, i, j) ** 2 / (3 * math.sqrt(3))
            for c, i, j in by_frequency[:count]
        ]
    )


def _frequency(colour: int, i: int, j: int) -> int:
    """From 1, that of the mean; either difference of colours counts as one half-wave more."""
    return 1 + (colour > 0) + i + j


def _waves() -> list[Tensor]:
    """The three waves of the cosine transform of three numbers: float (3,) of length 1, by their half-waves."""
    return [F.normalize(torch.cos(math.pi * k * (torch.arange(3) + 0.5) / 3), dim=0) for k in range(3)]
