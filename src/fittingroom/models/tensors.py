"""What every user of a model does to pixels before it sees them, and to logits before they are probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor


def as_tensor(array: object) -> Tensor:
    """Share memory with a NumPy array that may be read-only (a memory map): nothing here ever writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.as_tensor(array)


def normalize(images: Tensor, mean: float | Sequence[float], std: float | Sequence[float]) -> Tensor:
    """Map uint8 pixels of 0–255 to the float32 that a network is fed: ``(pixel - mean) / std``.

    Args:
        images: grey (N, H, W), or colour (N, H, W, 3).
        mean, std: on the scale of 0–255; one number for all pixels, or one for each channel.

    Returns:
        (N, 1, H, W) or (N, 3, H, W), contiguous.
    """
    return standardize_(to_float(images), mean, std)


def to_float(images: Tensor) -> Tensor:
    """Copy uint8 (N, H, W) or (N, H, W, 3) to contiguous float32 (N, 1, H, W) or (N, 3, H, W), still of 0–255."""
    if images.ndim == 3:
        return images[:, None].float()
    # PyTorch's usual layout, which any network takes: somebody's own may call ``.view`` on it. That convolutions are
    # faster on NHWC is up to their filters' layout.
    return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)


def standardize_(x_NCHW: Tensor, mean: float | Sequence[float], std: float | Sequence[float]) -> Tensor:
    """Change ``x_NCHW`` in place to ``(x - mean) / std``, and return it."""
    return x_NCHW.sub_(_by_channel(mean, x_NCHW)).div_(_by_channel(std, x_NCHW))


def change_gaps(logits_NC: Tensor, temperature: float, exponent: float) -> Tensor:
    """Logits whose distances from the largest are divided by ``temperature`` and raised to ``exponent``, float (N, C).

    What :class:`fittingroom.evaluation.temperature.Temperature` does to probabilities.
    """
    if exponent == 1:
        return logits_NC if temperature == 1 else logits_NC * (1 / temperature)
    gaps_NC = (logits_NC.amax(dim=1, keepdim=True) - logits_NC) * (1 / temperature)
    # Not quite 0, at which the slope of an exponent below 1 is infinite, for whoever trains the model further.
    return -gaps_NC.clamp_min(torch.finfo(gaps_NC.dtype).tiny).pow(exponent)


def _by_channel(value: float | Sequence[float], x_NCHW: Tensor) -> float | Tensor:
    """One number as it is; one for each channel as a tensor (C, 1, 1) beside ``x_NCHW``."""
    if isinstance(value, int | float):
        return value
    return torch.tensor(value, dtype=x_NCHW.dtype, device=x_NCHW.device).view(-1, 1, 1)
