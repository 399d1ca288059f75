"""What every user of a model does to pixels before it sees them."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


def as_tensor(array: object) -> Tensor:
    """Share memory with a NumPy array that may be read-only (a memory map): nothing here ever writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(array)


def normalize(images_NHW: Tensor, mean: float, std: float) -> Tensor:
    """Map uint8 (N, H, W), 0–255, to float32 (N, 1, H, W); ``mean`` and ``std`` are on the scale of 0–255."""
    return images_NHW[:, None].float().sub_(mean).div_(std)
