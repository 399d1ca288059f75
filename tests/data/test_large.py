"""Large sets stay in files: they are read into one, stay where they are when some are held out, and leave nothing."""

from __future__ import annotations

import errno
import gzip
import io
import os
from pathlib import Path
from typing import IO, cast

import numpy as np
import pytest
from numpy.typing import NDArray

import fittingroom as fr
from fittingroom.data import large
from fittingroom.data.cut import stratified_split
from fittingroom.data.large import allocate, fill, is_large, read_ahead, without
from fittingroom.files.cache_dir import cache_dir


def test_large_is_half_a_gibibyte() -> None:
    one_row = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), ((512 << 20), 1, 1), (0, 0, 0))
    assert is_large(one_row)
    assert not is_large(one_row[1:])


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_small_array_is_in_memory() -> None:
    assert not isinstance(allocate((3, 4, 5), np.uint8), np.memmap)


def test_a_large_array_is_in_a_file_of_which_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LARGE", 100)
    before = set(cache_dir().rglob("*"))
    room = allocate((5, 5, 8), ">i2")
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
        allocate((1_000,), np.uint8)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("cut", [0, 1])
def test_an_array_is_filled_as_far_as_the_file_goes(packed: bool, cut: int) -> None:
    values = np.arange(1_000, dtype=np.int64)
    content = values.tobytes()[: 8_000 - cut]
    room = np.zeros_like(values)
    with gzip.open(io.BytesIO(gzip.compress(content))) if packed else io.BytesIO(content) as file:
        assert fill(room, cast("IO[bytes]", file)) == 8_000 - cut
    assert (room == values)[: 1_000 - cut].all()


# ── using ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def array() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (1_000, 5, 7), dtype=np.uint8)


@pytest.fixture
def in_a_file(array: NDArray[np.uint8], tmp_path: Path) -> NDArray[np.uint8]:
    np.save(tmp_path / "array.npy", array)
    mapped: NDArray[np.uint8] = np.load(tmp_path / "array.npy", mmap_mode="r")
    return mapped


MASKS = {
    "none": np.zeros(1_000, bool),
    "the first": np.arange(1_000) == 0,
    "the last": np.arange(1_000) == 999,
    "the last half": np.arange(1_000) >= 500,
    "every other": np.arange(1_000) % 2 == 0,
    "some": np.random.default_rng(1).random(1_000) < 0.1,
}


@pytest.mark.parametrize("name", MASKS)
def test_what_is_left_out_is_gone_and_the_rest_is_all_there(
    array: NDArray[np.uint8], in_a_file: NDArray[np.uint8], name: str
) -> None:
    left_out = MASKS[name]
    rest = without(in_a_file, left_out)
    assert sorted(row.tobytes() for row in rest) == sorted(row.tobytes() for row in array[~left_out])
    np.testing.assert_array_equal(rest, without(array, left_out))  # the same order, wherever the array is
    np.testing.assert_array_equal(
        without(in_a_file[100:900], left_out[100:900]), without(array[100:900], left_out[100:900])
    )


def test_the_file_is_not_written_to_and_not_copied(in_a_file: NDArray[np.uint8], tmp_path: Path) -> None:
    before = (tmp_path / "array.npy").read_bytes()
    rest = without(in_a_file, MASKS["some"])
    assert isinstance(rest, np.memmap)
    rest[:] = 0
    assert (tmp_path / "array.npy").read_bytes() == before


@pytest.mark.parametrize("what", ["removed", "other rows", "shorter"])
def test_a_file_that_is_gone_or_another_by_now_is_not_mapped_anew(
    array: NDArray[np.uint8], in_a_file: NDArray[np.uint8], tmp_path: Path, what: str
) -> None:
    expected = without(array, MASKS["some"])
    (tmp_path / "array.npy").unlink()
    if what != "removed":
        np.save(tmp_path / "array.npy", array[::-1] if what == "other rows" else array[:10])
    np.testing.assert_array_equal(without(in_a_file, MASKS["some"]), expected)
    read_ahead(in_a_file, [0], 5)


def test_rows_can_be_left_out_of_the_rest_again(array: NDArray[np.uint8], in_a_file: NDArray[np.uint8]) -> None:
    once = without(in_a_file, MASKS["some"])
    again = without(once, MASKS["every other"][: len(once)])
    expected = without(without(array, MASKS["some"]), MASKS["every other"][: len(once)])
    np.testing.assert_array_equal(again, expected)


def test_what_is_held_out_of_a_large_set_is_what_is_held_out_of_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = fr.open_dataset("sample").train
    np.save(tmp_path / "images.npy", sample.images)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    rest, held_out = stratified_split(sample, 200, seed=3)
    monkeypatch.setattr(large, "LARGE", 0)
    large_rest, large_held_out = stratified_split(
        fr.Dataset(images, sample.labels, sample.classes, "large"), 200, seed=3
    )

    assert large_held_out.fingerprint == held_out.fingerprint
    assert large_rest.fingerprint.content == rest.fingerprint.content  # images with their labels, in any order


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no advice on files")
def test_the_rows_that_will_be_needed_are_those_fetched(
    array: NDArray[np.uint8], in_a_file: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, fetched = (tmp_path / "array.npy").read_bytes(), []

    def advise(_descriptor: int, offset: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_WILLNEED
        fetched.append(content[offset : offset + length])

    monkeypatch.setattr(os, "posix_fadvise", advise)
    read_ahead(in_a_file[50:], [0, 700], 3)
    assert fetched == [array[50:53].tobytes(), array[750:753].tobytes()]

    read_ahead(without(in_a_file, MASKS["the last"]), [2], 1)
    assert fetched[2] == array[2].tobytes()

    read_ahead(array, [0], 3)  # not in a file: nothing to do
    assert len(fetched) == 3
