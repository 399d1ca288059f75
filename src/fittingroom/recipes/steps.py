"""How many steps a training takes: ``batch_size`` and ``min_steps``, and what becomes of them with few images."""

from __future__ import annotations

import math
import re
from typing import Any

AUTO = "auto"
LARGEST_BATCH = 1_000_000

SMALLEST_AUTO, LARGEST_AUTO = 8, 256  # images a step
STEPS_AN_EPOCH = 20  # at least, of ``auto``


def batch_size_problem(value: Any) -> str | None:
    """What is wrong with ``batch_size``: a whole number or ``auto`` expected; None for nothing."""
    if value == AUTO or (type(value) is int and 1 <= value <= LARGEST_BATCH):
        return None
    return f"{AUTO} or a whole number of 1–{LARGEST_BATCH:,} expected, {value!r} found"


def auto_batch_size(images: int) -> int:
    """What ``batch_size = "auto"`` comes to: the largest power of two that is at most a twentieth, within 8–256.

    Args:
        images: that are learned from, validation images left out.

    Example:
        >>> [auto_batch_size(images) for images in (90, 400, 1_800, 5_119, 5_120, 60_000)]
        [8, 16, 64, 128, 256, 256]
    """
    share = max(1, images // STEPS_AN_EPOCH)
    return min(max(1 << (share.bit_length() - 1), SMALLEST_AUTO), LARGEST_AUTO)


def steps_of(images: int, batch_size: int, epochs: int) -> int:
    """Steps of so many epochs; the last batch of each may be shorter."""
    return math.ceil(images / batch_size) * epochs


def sets_epochs(key: str) -> bool:
    """Whether a key of a recipe says how long it trains, as ``stages`` and ``stages.0.epochs`` do.

    Example:
        >>> [key for key in ("stages", "stages.0.epochs", "stages.0.lr", "batch_size") if sets_epochs(key)]
        ['stages', 'stages.0.epochs']
    """
    return re.fullmatch(r"stages(\.\d+(\.epochs)?)?", key) is not None
