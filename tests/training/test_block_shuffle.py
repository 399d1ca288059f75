"""The block shuffle is as random as it says, and gives every row once an epoch."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from fittingroom.training.block_shuffle import BLOCK, POOL, block_shuffle, in_batches
from fittingroom.training.seeds import generator

ROWS = BLOCK * POOL  # of a pool, at least
SEVERAL_POOLS = 3 * ROWS + 12_345
LARGER = SEVERAL_POOLS / (3 * ROWS)  # than that is one of these three
draw = partial(generator, 0)


def order(count: int, epoch: int = 0, first: int = 0, seed: int = 0) -> torch.Tensor:
    return torch.cat(list(block_shuffle(count, epoch, first, generator_for=partial(generator, seed))))


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, ROWS, 2 * ROWS - 1, 2 * ROWS, SEVERAL_POOLS])
def test_every_row_comes_once_an_epoch(count: int) -> None:
    for epoch in range(2):
        assert order(count, epoch).sort().values.equal(torch.arange(count))


@pytest.mark.parametrize("first", [0, 1, 69_631, 69_632, 69_633, 2 * ROWS + 77, SEVERAL_POOLS - 1])
def test_entered_in_the_middle_it_goes_on_as_if_never_left(first: int) -> None:
    assert order(SEVERAL_POOLS, first=first).equal(order(SEVERAL_POOLS)[first:])


def test_order_depends_on_seed_and_epoch_and_nothing_else() -> None:
    assert order(1_000).equal(order(1_000))
    assert not order(1_000).equal(order(1_000, epoch=1))
    assert not order(1_000).equal(order(1_000, seed=1))


def test_no_order_is_kept_between_epochs_or_from_the_file() -> None:
    """Places of the rows in two epochs are not correlated; with 3,265 blocks, chance gives 0.018 or less as a rule."""
    places = [order(SEVERAL_POOLS, epoch).argsort().double() for epoch in range(3)]
    found = torch.corrcoef(torch.stack([*places, torch.arange(SEVERAL_POOLS).double()]))
    assert (found - torch.eye(4)).abs().max() < 0.07


def test_rows_of_a_block_are_parted_within_their_pool() -> None:
    """Neighbours come as far from each other as two places in a pool drawn by chance: a third of it on average."""
    places = order(SEVERAL_POOLS).argsort()[: 3 * ROWS].view(-1, BLOCK)
    apart = (places[:, 1:] - places[:, :-1]).abs().double()
    assert apart.mean() == pytest.approx(LARGER * ROWS / 3, rel=0.02)
    assert apart.max() < LARGER * ROWS + BLOCK


def test_labels_mix_within_batches_of_a_set_that_is_sorted_by_label() -> None:
    """The counts of a class vary as is said: by 1 + (N - 1) / 1,024 times what a whole shuffle gives."""
    pools, size, classes = 30, 256, 10
    labels = torch.arange(pools * ROWS) * classes // (pools * ROWS)
    ratios = []
    for epoch in range(3):
        batches = in_batches(block_shuffle(len(labels), epoch, generator_for=draw), size)
        counts = np.stack([np.bincount(labels[rows], minlength=classes) for rows in batches])
        assert counts.min() > 0
        ratios.append(counts.var(axis=0).mean() / (size * (1 / classes) * (1 - 1 / classes)))
    assert np.mean(ratios) == pytest.approx(1 + (size - 1) / POOL, abs=0.08)


def test_a_set_of_one_pool_is_shuffled_as_a_whole() -> None:
    """Each of the 24 orders of 4 rows comes as often as the others."""
    found = [tuple(order(4, epoch).tolist()) for epoch in range(4_800)]
    counts = np.unique(found, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 200) ** 2 / 200).sum() < 50  # chi-square with 23 degrees of freedom: 1 in 1,000 is above 49.7


def test_the_next_pool_is_told_before_it_comes() -> None:
    told: list[set[int]] = []

    def soon(starts: list[int], rows: int) -> None:
        told.append({row for start in starts for row in range(start, min(start + rows, SEVERAL_POOLS))})

    pools = [set(pool.tolist()) for pool in block_shuffle(SEVERAL_POOLS, 0, generator_for=draw, prefetch=soon)]
    assert told == pools[1:]
    assert [len(pool) >= ROWS for pool in pools] == [True] * 3


@pytest.mark.parametrize("size", [1, 4, 5, 7, 100])
def test_batches_have_one_size_and_the_last_may_be_short(size: int) -> None:
    parts = [torch.arange(0, 5), torch.arange(5, 6), torch.arange(6, 20)]
    batches = list(in_batches(parts, size))
    assert all(len(batch) == size for batch in batches[:-1])
    assert 0 < len(batches[-1]) <= size
    assert torch.cat(batches).equal(torch.arange(20))
