"""The order of a set that is larger than memory: shuffled so that near rows are read near in time.

How random is it? The rows are cut into blocks of 64 neighbours. The blocks are permuted, each order as probable as any
other; each next 1,024 or more of them are pooled, in pools of one size, and the rows of a pool, 65,536 or more, are
permuted in the same way. So every row comes once an epoch; which blocks meet in a pool, and the order in it, are drawn
anew for each epoch, independently of all others; and up to 131,072 rows are shuffled as by one permutation.

What is lost in a larger set: the 64 rows of a block always come in the same pool. In a set sorted by label a block has
one label, and the number of images of a class in a batch of N varies by up to 1 + (N - 1) / 1,024 times the variance
of a whole shuffle: for 256 by a quarter more, as if the batch were a little smaller. In a set in any other order it is
nearer to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

BLOCK = 64  # rows; 49 KiB of 28×28 pixels
POOL = 1024  # blocks, at least


def block_shuffle(
    count: int,
    epoch: int,
    first: int = 0,
    *,
    generator_for: Callable[..., torch.Generator],
    prefetch: Callable[[list[int], int], None] = lambda _starts, _rows: None,
) -> Iterator[Tensor]:
    """Yield the rows 0 to ``count`` - 1 in the order of an epoch, a pool at a time: int64 (up to 131,072,).

    Args:
        count: rows.
        epoch: gives the order, with ``generator_for``.
        first: rows of the order that are skipped.
        generator_for: a generator for a purpose, such as ``("blocks", epoch)``.
        prefetch: called with the first rows of the blocks of the pool after this one, and how many rows they have.
    """
    blocks = torch.randperm(-(-count // BLOCK), generator=generator_for("blocks", epoch))
    pools = blocks.tensor_split(max(1, len(blocks) // POOL))
    for number, pool in enumerate(pools):
        rows = (pool[:, None] * BLOCK + torch.arange(BLOCK)).flatten()
        rows = rows[rows < count]  # the last block of the set may be short
        if first >= len(rows):
            first -= len(rows)
            continue

        # The disk reads the next pool while this one is trained on.
        for coming in pools[number + 1 : number + 2]:
            prefetch((coming * BLOCK).tolist(), BLOCK)
        order = torch.randperm(len(rows), generator=generator_for("pool", epoch, number))
        yield rows[order][first:]
        first = 0


def in_batches(parts: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Yield the same rows in parts of ``size``; the last may be short."""
    rest = torch.empty(0, dtype=torch.int64)
    for part in parts:
        *whole, rest = torch.cat([rest, part]).split(size)
        yield from whole
    if len(rest):
        yield rest
