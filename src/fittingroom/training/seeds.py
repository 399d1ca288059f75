"""Seeds: everything random derives from the recipe's seed and what it is for, so that a resumed run draws the same."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Derive a seed of 63 bits for one purpose, such as ``("order", epoch)``; different purposes are independent."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Make a CPU generator started from :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, *purpose))
