"""A data set of any size is read a block at a time, with the same images as when it is read whole."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import fittingroom as fr
from fittingroom.data.convert import convert
from fittingroom.data.formats.idx import write_idx
from fittingroom.data.formats.table import is_data_file, read_blocks

FORMATS = ["idx", "idx.gz", "csv", "csv.gz", "npz", "parquet"]


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return fr.open_dataset("sample").train.images[:250]


def written(images: NDArray[np.uint8], folder: Path, kind: str) -> Path:
    data = fr.Splits(fr.Dataset(images, np.arange(len(images)) % 2, ("even", "odd"), "some"))
    suffix = kind.removesuffix(".gz")
    if suffix == "idx":
        file = folder / ("train-images-idx3-ubyte" + kind.removeprefix("idx"))
        write_idx(file, images)
        return file
    file = folder / f"images.{suffix}"
    convert(data, file)
    if kind.endswith(".gz"):
        packed = file.with_name(file.name + ".gz")
        packed.write_bytes(gzip.compress(file.read_bytes()))
        return packed
    return file


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("rows", [1, 100, 125, 250, 1000])
def test_the_blocks_are_the_whole_in_order(images: NDArray[np.uint8], kind: str, rows: int, tmp_path: Path) -> None:
    if rows == 1:
        images = images[:3]
    file = written(images, tmp_path, kind)
    assert is_data_file(file)
    blocks = list(read_blocks(file, rows))
    assert all(len(block) == rows for block in blocks[:-1])
    assert all(block.dtype == np.uint8 for block in blocks)
    assert (np.concatenate(blocks) == images).all()


@pytest.mark.parametrize("kind", ["idx", "idx.gz", "csv", "npz"])
def test_memory_is_that_of_a_block(images: NDArray[np.uint8], kind: str, tmp_path: Path) -> None:
    """Of what Python and NumPy take; a file of 20,000 images is 16 MB of pixels. Parquet's memory is Polars'."""
    file = written(np.tile(images, (20 if kind == "csv" else 80, 1, 1)), tmp_path, kind)
    tracemalloc.start()
    count = sum(len(block) for block in read_blocks(file, 500))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == (5_000 if kind == "csv" else 20_000)
    assert peak < 5 << 20


def test_an_npz_gives_the_images_of_every_part(images: NDArray[np.uint8], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=images[:5], y_train=np.zeros(5), x_test=images[5:8], y_test=np.zeros(3))
    assert (np.concatenate(list(read_blocks(tmp_path / "a.npz"))) == images[:8]).all()


def test_an_npz_stored_by_columns_is_read_right(images: NDArray[np.uint8], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.asfortranarray(images))
    assert (np.concatenate(list(read_blocks(tmp_path / "a.npz", 99))) == images).all()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_is_cut_off_is_named(images: NDArray[np.uint8], kind: str, tmp_path: Path) -> None:
    file = written(images, tmp_path, kind)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(fr.DataError, match=str(file)):
        list(read_blocks(file, 10))


def test_a_bad_cell_in_a_late_block_is_named_by_the_line_of_the_file(images: NDArray[np.uint8], tmp_path: Path) -> None:
    file = written(images, tmp_path, "csv")
    lines = file.read_text().splitlines()
    cells = lines[150].split(",")
    cells[3] = "256"
    lines[150] = ",".join(cells)
    file.write_text("\n".join(lines))
    blocks = read_blocks(file, 100)
    assert len(next(blocks)) == 100
    with pytest.raises(fr.DataError, match="row 151, column pixel3: a whole number 0–255 expected, '256' found"):
        next(blocks)


def test_a_picture_of_another_size_in_a_late_block_is_named(images: NDArray[np.uint8], tmp_path: Path) -> None:
    tables = []
    for name, each in (("large", images[:10]), ("small", images[:10, :8, :8])):
        (tmp_path / name).mkdir()
        tables.append(pl.read_parquet(written(each, tmp_path / name, "parquet")))
    pl.concat(tables).write_parquet(tmp_path / "mixed.parquet")
    with pytest.raises(fr.DataError, match="row 11: 28×28 pixels expected as in row 1, 8×8 found"):
        list(read_blocks(tmp_path / "mixed.parquet", 10))


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz", "DATA.NPZ", "a.parquet"])
def test_a_data_file_is_told_by_its_name(name: str, tmp_path: Path) -> None:
    assert is_data_file(tmp_path / name)


def test_a_file_of_labels_is_no_file_of_images(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(5, np.uint8))
    assert not is_data_file(tmp_path / "train-labels-idx1-ubyte")
    with pytest.raises(fr.DataError, match="images"):
        list(read_blocks(tmp_path / "train-labels-idx1-ubyte"))
