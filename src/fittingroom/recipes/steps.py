"""What the images settle in a recipe: ``batch_size`` and ``min_steps`` by their number, ``shift`` by their size."""

from __future__ import annotations

import math
import re
from typing import Any

from fittingroom.files.records import brief

AUTO = "auto"
LARGEST_BATCH = 1_000_000

SMALLEST_AUTO, LARGEST_AUTO = 8, 256  # images a step
STEPS_AN_EPOCH = 20  # at least, of ``auto``

LARGEST_SHIFT = 64  # pixels
AUTO_SHIFT = 16  # the part of a side, of ``auto``: 2 pixels of 28, which are too many of 8


def batch_size_problem(value: Any) -> str | None:
    """What is wrong with ``batch_size``: a whole number or ``auto`` expected; None for nothing."""
    if value == AUTO or (type(value) is int and 1 <= value <= LARGEST_BATCH):
        return None
    return f"{AUTO} or a whole number of 1–{LARGEST_BATCH:,} expected, {brief(value)} found"


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


def shift_problem(value: Any) -> str | None:
    """What is wrong with ``shift``: pixels or ``auto`` expected; None for nothing."""
    if value == AUTO or (type(value) is int and 0 <= value <= LARGEST_SHIFT):
        return None
    return f"{AUTO} or a whole number of 0–{LARGEST_SHIFT} expected, {value!r} found"


def shift_in_pixels(shift: int | str, size: tuple[int, int]) -> int:
    """What a ``shift`` comes to for images of this (height, width): ``auto`` is a sixteenth of the shorter side.

    Example:
        >>> [shift_in_pixels("auto", (side, side)) for side in (8, 16, 28, 48, 64)]
        [0, 1, 2, 3, 4]
    """
    return round(min(size) / AUTO_SHIFT) if isinstance(shift, str) else shift


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
