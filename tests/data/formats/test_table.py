"""A format is its row; a data set of any size is read a block at a time, with the same images as when read whole."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.convert import convert
from fittingroom.data.formats import table
from fittingroom.data.formats.idx import write_idx
from fittingroom.data.formats.splits import Images
from fittingroom.data.formats.table import FORMATS, WHAT_A_PATH_MAY_BE, Format, format_at, is_data_file, read_blocks
from fittingroom.data.preprocessing import Preprocessing
from tests.support import PATIENCE

KINDS = ["idx", "idx.gz", "csv", "csv.gz", "npz", "parquet"]


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return fr.open_dataset("sample").train.images[:250]


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_two_formats_have_a_name_or_a_suffix_in_common() -> None:
    assert len({kind.name for kind in FORMATS}) == len(FORMATS)
    suffixes = [suffix for kind in FORMATS for suffix in kind.suffixes]
    assert len(set(suffixes)) == len(suffixes)


def test_every_row_is_whole() -> None:
    for kind in FORMATS:
        is_one_file = bool(kind.suffixes or kind.sniff)
        assert is_one_file == (kind.blocks is not None), kind.name
        assert (kind.write_part is None) == (kind.part_files is None), kind.name


def test_a_new_format_is_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: NDArray[np.uint8]) -> None:
    def read(path: Path) -> fr.Splits:
        return fr.Splits(fr.Dataset(np.load(path), None, (), path.name))

    def blocks(path: Path, rows: int) -> Iterator[Images]:
        whole = np.load(path)
        yield from (whole[start : start + rows] for start in range(0, len(whole), rows))

    npy = Format(name="npy", suffixes=(".npy",), files=lambda path: [path], read=read, blocks=blocks)
    monkeypatch.setattr(table, "FORMATS", (*FORMATS, npy))
    file = tmp_path / "images.NPY"
    with file.open("wb") as stream:
        np.save(stream, images)

    assert format_at(file) == (npy, [file])
    assert (fr.open_dataset(file).train.images == images).all()
    assert is_data_file(file)
    assert len(list(read_blocks(file, 100))) == 3


def test_messages_list_every_format() -> None:
    assert WHAT_A_PATH_MAY_BE == (
        "a folder with IDX files, with arrays in files such as x_train.npy and y_train.npy, with CSV files, "
        "with Parquet files, with tables of picture files in JSON Lines, with CIFAR's binary files, "
        "with SVHN's .mat files, or with a folder of pictures for each class; "
        "or one file: IDX, CIFAR, .csv, .csv.gz, .tsv, .tsv.gz, .npz, .parquet, .jsonl, .jsonl.gz, "
        ".ndjson, .ndjson.gz, .tar.gz, .tgz or .mat"
    )


def test_the_help_lists_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    """It is written out there, as the table would load NumPy."""
    with pytest.raises(SystemExit):
        main(["data", "convert", "--help"])
    printed = capsys.readouterr().out

    for kind in FORMATS:
        assert kind.name in printed.lower(), kind.name
        for suffix in kind.suffixes:
            assert suffix in printed, suffix


def test_the_table_loads_nothing_that_fetches_decodes_or_parses() -> None:
    code = (
        "import sys, fittingroom.data.formats.table; print(*{'urllib.request', 'polars', 'PIL'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.strip() == ""


# ── blocks ───────────────────────────────────────────────────────────────────────────────────────────────────


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


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", KINDS)
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


def test_pictures_of_several_sizes_come_in_one(images: NDArray[np.uint8], tmp_path: Path) -> None:
    tables = []
    for name, pictures in (("large", images[:10]), ("small", images[:10, :8, :8])):
        (tmp_path / name).mkdir()
        tables.append(pl.read_parquet(written(pictures, tmp_path / name, "parquet")))
    pl.concat(tables).write_parquet(tmp_path / "mixed.parquet")
    assert [block.shape for block in read_blocks(tmp_path / "mixed.parquet", 10)] == [(10, 64, 64)] * 2
    asked = Preprocessing(size=(28, 28), channels=1)
    blocks = list(read_blocks(tmp_path / "mixed.parquet", 10, asked))
    assert (blocks[0] == images[:10]).all()
    assert blocks[1].shape == (10, 28, 28)


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz", "DATA.NPZ", "a.parquet"])
def test_a_data_file_is_told_by_its_name(name: str, tmp_path: Path) -> None:
    assert is_data_file(tmp_path / name)


def test_a_file_of_labels_is_no_file_of_images(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(5, np.uint8))
    assert not is_data_file(tmp_path / "train-labels-idx1-ubyte")
    with pytest.raises(fr.DataError, match="images"):
        list(read_blocks(tmp_path / "train-labels-idx1-ubyte"))
