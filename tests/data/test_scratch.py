"""Room for what is read: memory, or a file that leaves nothing behind."""

from __future__ import annotations

import errno
import gzip
import io
import os
from typing import IO, cast

import numpy as np
import pytest

import fittingroom as fr
from fittingroom.data import large
from fittingroom.data.large import fill, room_for
from fittingroom.files.cache_dir import cache_dir


def test_a_small_array_is_in_memory() -> None:
    assert not isinstance(room_for((3, 4, 5), np.uint8), np.memmap)


def test_a_large_array_is_in_a_file_of_which_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LARGE", 100)
    before = set(cache_dir().rglob("*"))
    room = room_for((5, 5, 8), ">i2")
    assert isinstance(room, np.memmap)
    assert room.shape == (5, 5, 8)
    room[:] = 300
    assert (room == 300).all()
    assert set(cache_dir().rglob("*")) == before


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system can't promise room in a file")
def test_a_full_disk_is_said_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(large, "LARGE", 100)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        fr.DataError, match=r"1,000 bytes expected .*\(No space left on device\): set FITTINGROOM_CACHE"
    ):
        room_for((1_000,), np.uint8)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("cut", [0, 1])
def test_an_array_is_filled_as_far_as_the_file_goes(packed: bool, cut: int) -> None:
    values = np.arange(1_000, dtype=np.int64)
    content = values.tobytes()[: 8_000 - cut]
    room = np.zeros_like(values)
    with gzip.open(io.BytesIO(gzip.compress(content))) if packed else io.BytesIO(content) as file:
        assert fill(room, cast("IO[bytes]", file)) == 8_000 - cut
    assert (room == values)[: 1_000 - cut].all()
