"""Augmentation: pure functions on a batch of images, grey (N, H, W) or colour (N, H, W, 3), each draw passed in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def mirror(images: Tensor, flip_N: Tensor) -> Tensor:
    """Images of any dtype, left and right exchanged where the bool ``flip_N`` is true."""
    return torch.where(flip_N.view(-1, *[1] * (images.ndim - 1)), images.flip(2), images)


def shift(images: Tensor, offsets_N2: Tensor, limit: int) -> Tensor:
    """Images moved down by ``offsets_N2[:, 0]`` and right by ``offsets_N2[:, 1]`` pixels, the uncovered border 0.

    Args:
        images: any dtype.
        offsets_N2: int64, each within ±``limit``.
        limit: the largest shift in pixels.
    """
    height, width = images.shape[1:3]
    is_colour = images.ndim == 4
    padded = F.pad(images, (*[0, 0] * is_colour, limit, limit, limit, limit))
    windows = padded.unfold(1, height, 1).unfold(2, width, 1)  # (N, 2·limit+1, 2·limit+1, [3,] H, W), a view
    if is_colour:
        windows = windows.movedim(3, -1)
    rows = torch.arange(len(images), device=images.device)
    return windows[rows, limit - offsets_N2[:, 0], limit - offsets_N2[:, 1]]


def erase(images: Tensor, centres_N2: Tensor, side: int) -> Tensor:
    """Images with a square of ``side`` pixels around (row, column) ``centres_N2`` set to 0, cut off at the border.

    Cutout, DeVries and Taylor 2017 (arXiv 1708.04552).
    """
    height, width = images.shape[1:3]
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    top, left = (centres_N2 - side // 2).unbind(1)
    in_rows = (rows >= top[:, None]) & (rows < top[:, None] + side)  # (N, H)
    in_columns = (columns >= left[:, None]) & (columns < left[:, None] + side)  # (N, W)
    is_erased = in_rows[:, :, None] & in_columns[:, None, :]  # (N, H, W)
    return images.masked_fill(is_erased if images.ndim == 3 else is_erased[..., None], 0)


def resize(x_NCHW: Tensor, side: int) -> Tensor:
    """Float images bilinearly resized to ``side`` × ``side`` pixels; as they are if they have that size."""
    if x_NCHW.shape[2:] == (side, side):
        return x_NCHW
    return F.interpolate(x_NCHW, (side, side), mode="bilinear", antialias=True)
