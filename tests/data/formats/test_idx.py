import gzip
import struct
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.idx import (
    PART_FILES,
    IdxHeader,
    idx_blocks,
    read_idx,
    read_idx_dataset,
    read_idx_header,
    write_idx,
    write_idx_part,
)
from fittingroom.data.formats.idx_header import report_header
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from tests.support.same import assert_same


def write_set(folder: Path, data: Splits, suffix: str = "", prefixes: tuple[str, str] = ("train", "t10k")) -> None:
    for prefix, part in zip(prefixes, (data.train, data.test), strict=True):
        assert part is not None
        assert part.labels is not None
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", part.images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", part.labels.astype(np.uint8))


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (2, 3, 4), (2, 0, 4), (2, 1, 2, 1, 2)])
@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_every_type_and_rank_makes_the_round_trip(
    tmp_path: Path, dtype: str, shape: tuple[int, ...], name: str
) -> None:
    array = np.random.default_rng(0).normal(size=shape, scale=50).astype(dtype)
    write_idx(tmp_path / name, array)
    values = read_idx(tmp_path / name)
    assert values.dtype == array.dtype
    assert values.dtype.isnative
    np.testing.assert_array_equal(values, array, strict=True)


def test_bytes_are_those_of_the_format(tmp_path: Path) -> None:
    write_idx(tmp_path / "a", np.array([[1, -2]], np.int16))
    assert (tmp_path / "a").read_bytes() == bytes.fromhex("00000b02 00000001 00000002 0001 fffe")


def test_equal_arrays_give_equal_gzip_files(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.zeros((3, 2, 2), np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_type_that_idx_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="IDX has no type int64"):
        write_idx(tmp_path / "a", np.zeros(3, np.int64))
    assert list(tmp_path.iterdir()) == []


def test_content_decides_about_gzip_not_the_name(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    write_idx(tmp_path / "a.gz", array)
    (tmp_path / "a.gz").rename(tmp_path / "gzip-with-raw-name")
    write_idx(tmp_path / "b", array)
    (tmp_path / "b").rename(tmp_path / "raw-with-gzip-name.gz")
    for file in tmp_path.iterdir():
        np.testing.assert_array_equal(read_idx(file), array)


def test_two_gzip_members_are_one_file(tmp_path: Path) -> None:
    write_idx(tmp_path / "a", np.arange(24, dtype=np.uint8))
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "a.gz").write_bytes(gzip.compress(content[:10]) + gzip.compress(content[10:]))
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz"), np.arange(24))


def test_header_is_read_even_if_the_size_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(struct.pack(">HBB3I", 0, 8, 3, 60_000, 28, 28) + b"abc")
    header = read_idx_header(tmp_path / "a")
    assert header == IdxHeader(code=8, shape=(60_000, 28, 28))
    assert (str(header.dtype), header.size, header.file_size) == ("uint8", 16, 47_040_016)


IDX = struct.pack(">HBBI", 0, 8, 1, 4) + b"abcd"
packed = partial(gzip.compress, mtime=0)  # no time in it: what names a test is the same in every process


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an IDX header of 8 bytes or more expected, 0 bytes found"),
        (IDX[:3], "3 bytes found"),
        (IDX[:6], "a header of 8 bytes expected, 6 found: it is cut off"),
        (IDX[:-1], "12 bytes expected by its header, 11 found: it is cut off"),
        (IDX + b"e", "12 bytes expected by its header, 13 found: too long"),
        (b"\1" + IDX, "00 00 08 .uint8., 01 00 00 08 found"),
        (b"\0\0\7\1" + IDX[4:], "00 00 07 01 found"),
        (struct.pack("<II", 2051, 4), "03 08 00 00 found: its bytes are in the wrong order"),
        (b"<!doctype html>", "this is a web page"),
        (struct.pack(">I3I", 2051, 2**32 - 1, 28, 28), r"3,367,254,359,296 bytes expected by its header, 16 found"),
        (b"\0\0\x08\xff" + b"\xff" * 4 * 255, "bytes expected by its header, 1,024 found"),
        (packed(IDX[:-1]), "12 bytes expected by its header, 11 found: the file is cut off"),
        (packed(IDX + b"e"), "12 bytes expected by its header, more found"),
        (packed(IDX)[:-9], "whole gzip data expected, damaged found"),
        (packed(IDX)[:-4] + b"\0\0\0\0", "whole gzip data expected, damaged found"),
        (packed(IDX)[:10] + b"\xff" * 30, "whole gzip data expected, damaged found"),
        (packed(packed(IDX)), "1f 8b 08 00 found: it was compressed twice"),
        (packed(struct.pack(">I3I", 2051, 2**32 - 1, 28, 28)), "can't hold of real data: the header is wrong"),
    ],
)
def test_damaged_file_is_refused_with_both_sizes(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "train-labels-idx1-ubyte"
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"train-labels-idx1-ubyte: .*{message}"):
        read_idx(file)


def test_missing_file_or_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: can't be read: No such file"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(DataError, match="can't be read: Is a directory"):
        read_idx(tmp_path)


def bomb(header: bytes) -> bytes:
    """1 GB of zeros behind the header, in 1 MB."""
    return gzip.compress(header) + gzip.compress(b"\0" * (64 << 20), 1) * 16


@pytest.mark.parametrize(
    "header",
    [struct.pack(">HBBI", 0, 8, 1, 1000), struct.pack(">HBB3I", 0, 8, 3, 2**20, 32, 32)],
    ids=["more than the header says", "as much as the header says"],
)
def test_gzip_bomb_is_refused_quickly_without_taking_memory(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(bomb(header))
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(DataError):
        read_idx(tmp_path / "a.gz")

    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 1
    assert peak < 8 << 20


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("prefixes", [("train", "t10k"), ("train", "test"), ("emnist-x-train", "emnist-x-test")])
def test_folder_of_four_files_is_a_train_and_a_test_part(
    tmp_path: Path, tiny: Splits, suffix: str, prefixes: tuple[str, str]
) -> None:
    write_set(tmp_path, tiny, suffix, prefixes)
    data = read_idx_dataset(tmp_path)
    assert_same(data.train, tiny.train)
    assert_same(data.test, tiny.test)
    assert data.validation is None


def test_names_with_a_dot_before_idx_are_known(tmp_path: Path, tiny: Splits) -> None:
    write_set(tmp_path, tiny)
    for file in list(tmp_path.iterdir()):
        file.rename(tmp_path / file.name.replace("-idx", ".idx"))
    assert_same(read_idx_dataset(tmp_path).test, tiny.test)


@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
def test_one_file_brings_its_pair_but_no_other_part(tmp_path: Path, tiny: Splits, kind: str) -> None:
    write_set(tmp_path, tiny)
    data = read_idx_dataset(tmp_path / f"t10k-{kind}-ubyte")
    assert_same(data.train, tiny.test)
    assert data.test is None


def test_images_without_labels_are_unlabelled_but_labels_need_images(tmp_path: Path, tiny: Splits) -> None:
    write_set(tmp_path, tiny)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert read_idx_dataset(tmp_path / "train-images-idx3-ubyte").train.labels is None
    with pytest.raises(DataError, match="train-labels is missing"):
        read_idx_dataset(tmp_path)

    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match="labels without images"):
        read_idx_dataset(tmp_path / "t10k-labels-idx1-ubyte")


def test_class_names_come_from_classes_txt(tmp_path: Path, tiny: Splits) -> None:
    write_set(tmp_path, tiny)
    (tmp_path / "classes.txt").write_text("Bag\nCoat\nT-shirt/top\n", "utf-8")
    assert read_idx_dataset(tmp_path).train.classes == ("Bag", "Coat", "T-shirt/top")
    (tmp_path / "classes.txt").write_text("Bag\nCoat\n", "utf-8")
    with pytest.raises(DataError, match="names of the labels 0 to 2, one a line, expected, 2 found"):
        read_idx_dataset(tmp_path)


def swap(folder: Path, one: str, other: str) -> None:
    (folder / one).rename(folder / "x")
    (folder / other).rename(folder / one)
    (folder / "x").rename(folder / other)


def break_labels_by_images(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes((folder / "train-images-idx3-ubyte").read_bytes())


def break_images_by_labels(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte").write_bytes((folder / "train-labels-idx1-ubyte").read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_labels_by_images, "train-labels-idx1-ubyte: 20 bytes expected, 208 found: this is the image file; give"),
        (break_images_by_labels, "train-images-idx3-ubyte: images .* expected, 12 labels found: this is the label"),
        (
            lambda folder: swap(folder, "train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
            "train-images-idx3-ubyte: images .* expected, 12 labels found: this is the label file",
        ),
        (
            lambda folder: swap(folder, "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"),
            r"t10k-labels-idx1-ubyte: 14 bytes expected, one label for each image of t10k-.*, 20 found",
        ),
        (
            lambda folder: write_idx(folder / "train-images-idx3-ubyte", np.zeros((12, 300, 4), np.uint8)),
            "at most 256 pixels a side expected, 300×4 found",
        ),
        (
            lambda folder: write_idx(folder / "train-images-idx3-ubyte", np.full((12, 4, 4), 0.5, np.float32)),
            "whole pixel values 0–255 expected, float32 from 0.5 to 0.5 found",
        ),
        (
            lambda folder: write_idx(folder / "train-images-idx3-ubyte", np.zeros((0, 4, 4), np.uint8)),
            "12 found|8 bytes",
        ),
    ],
)
def test_swapped_or_foreign_files_are_refused(
    tmp_path: Path, tiny: Splits, damage: Callable[[Path], Any], message: str
) -> None:
    write_set(tmp_path, tiny)
    damage(tmp_path)
    with pytest.raises(DataError, match=message):
        read_idx_dataset(tmp_path)


def test_two_sets_in_one_folder_are_refused(tmp_path: Path, tiny: Splits) -> None:
    write_set(tmp_path, tiny)
    write_set(tmp_path, tiny, prefixes=("other-train", "other-test"))
    with pytest.raises(DataError, match=r"one set of test images expected, .* give the path of one of them"):
        read_idx_dataset(tmp_path)


def test_whole_numbers_of_any_type_are_taken_exactly(tmp_path: Path) -> None:
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    write_idx(tmp_path / "train-images-idx3-ubyte", images.astype(np.float64))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([0, 1, 2, 300], np.int32))
    train = read_idx_dataset(tmp_path).train
    np.testing.assert_array_equal(train.images, images)
    assert train.num_classes == 301


def test_qmnist_labels_are_the_first_of_eight_columns(tmp_path: Path, tiny: Splits) -> None:
    assert tiny.train.labels is not None
    columns = np.random.default_rng(0).integers(0, 5000, (12, 8)).astype(np.int32)
    columns[:, 0] = tiny.train.labels
    write_idx(tmp_path / "qmnist-train-images-idx3-ubyte.gz", tiny.train.images)
    write_idx(tmp_path / "qmnist-train-labels-idx2-int.gz", columns)
    assert_same(read_idx_dataset(tmp_path).train, tiny.train)

    report = report_header(tmp_path / "qmnist-train-labels-idx2-int.gz")
    assert report.what == "12 labels in 8 columns (int32), as QMNIST has them"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((12, 5), np.int32), "one label an image expected, 5 columns found: keep the column of the classes"),
        (np.zeros((11, 8), np.int32), "one label for each image of .*: the two don't belong together"),
        (np.zeros((12, 4, 4), np.int32), "this is the image file; give the labels file"),
        (np.full((12, 8), -1, np.int32), "labels 0 to 999 expected, -1 found at image 0"),
    ],
)
def test_other_columns_of_labels_are_refused(tmp_path: Path, tiny: Splits, labels: Any, message: str) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", tiny.train.images)
    write_idx(tmp_path / "train-labels-idx2-int", labels)
    with pytest.raises(DataError, match=message):
        read_idx_dataset(tmp_path)


def test_labels_under_the_name_of_images_are_no_images(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx2-int", np.zeros((12, 8), np.int32))
    with pytest.raises(DataError, match="12 rows of 8 found: these look like labels; give the image file"):
        read_idx_dataset(tmp_path / "train-images-idx2-int")


def test_colour_makes_the_round_trip(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 5, 3), dtype=np.uint8)
    data = Dataset(images, np.arange(12) % 3, ("0", "1", "2"), "x")
    write_idx_part(tmp_path, "train", data)

    file = tmp_path / "train-images-idx4-ubyte.gz"
    assert PART_FILES.fullmatch(file.name)
    assert_same(read_idx_dataset(tmp_path).train, data)
    assert (np.concatenate(list(idx_blocks(file, 5))) == images).all()
    assert report_header(file).what == "12 images of 4×5 in colour (uint8)"
    assert [field.meaning for field in report_header(file).fields][3:5] == [
        "columns, the width",
        "channels, red, green and blue",
    ]


def test_four_dimensions_of_another_kind_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx4-ubyte", np.zeros((12, 4, 5, 2), np.uint8))
    with pytest.raises(DataError, match=r"images .* expected, an array \(12, 4, 5, 2\) found"):
        read_idx_dataset(tmp_path / "train-images-idx4-ubyte")
    with pytest.raises(DataError, match="12×4×5×2 found"):
        list(idx_blocks(tmp_path / "train-images-idx4-ubyte", 5))


def test_official_files_are_read_right_and_fast(official_folder: Path) -> None:
    start = time.perf_counter()
    data = read_idx_dataset(official_folder)
    seconds = time.perf_counter() - start

    assert data.test is not None
    assert data.train.labels is not None
    assert data.train.images.shape == (60_000, 28, 28)
    assert data.test.images.shape == (10_000, 28, 28)
    assert data.train.class_counts().tolist() == [6000] * 10
    assert data.train.labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert seconds < 5  # 0.25 on two idle cores
