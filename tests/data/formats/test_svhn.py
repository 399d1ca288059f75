import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

import fittingroom as fr
from fittingroom.cli import main
from fittingroom.data.formats.svhn import read_svhn
from fittingroom.data.formats.table import is_data_file, read_blocks
from fittingroom.errors import DataError
from tests.data.formats.test_cifar import photos
from tests.support.same import assert_same

IMAGES = photos(20)
DIGITS = np.arange(20) % 10
TRAIN = fr.Dataset(IMAGES, DIGITS, tuple("0123456789"), "x")


def write(path: Path, images: Any = IMAGES, labels: Any = DIGITS, *, compressed: bool = True, **others: Any) -> Path:
    """As SVHN's files are: images beside each other in the last dimension, and 10 for the digit 0."""
    arrays: dict[str, Any] = {"X": images.transpose(1, 2, 3, 0)} if images is not None else {}
    if labels is not None:
        arrays["y"] = np.where(labels == 0, 10, labels)[:, None]
    savemat(path, arrays | others, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.int16])
def test_ten_is_the_digit_zero(tmp_path: Path, compressed: bool, dtype: Any) -> None:
    file = write(tmp_path / "train_32x32.mat", labels=DIGITS.astype(dtype), compressed=compressed)
    data = fr.open_dataset(file)
    assert_same(data.train, TRAIN)


def test_folder_is_train_and_test_without_the_extra_images(tmp_path: Path) -> None:
    write(tmp_path / "train_32x32.mat")
    write(tmp_path / "test_32x32.mat", IMAGES[::-1], DIGITS[::-1])
    write(tmp_path / "extra_32x32.mat")
    data = fr.open_dataset(tmp_path)
    assert_same(data.train, TRAIN)
    assert_same(data.test, fr.Dataset(IMAGES[::-1], DIGITS[::-1], TRAIN.classes, "x"))


def test_numbers_from_zero_stay_as_they_are_and_no_labels_are_none(tmp_path: Path) -> None:
    assert_same(read_svhn(write(tmp_path / "a.mat", labels=None)).train, fr.Dataset(IMAGES, None, (), "x"))
    savemat(tmp_path / "b.mat", {"X": IMAGES.transpose(1, 2, 3, 0), "y": DIGITS})
    with pytest.raises(DataError, match=r"y: one label an image, \(N,\), expected, \(1, 20\) found"):
        read_svhn(tmp_path / "b.mat")
    savemat(tmp_path / "b.mat", {"X": IMAGES.transpose(1, 2, 3, 0), "y": DIGITS[:, None]})
    assert_same(read_svhn(tmp_path / "b.mat").train, TRAIN)


def test_blocks_are_the_whole_in_order(tmp_path: Path) -> None:
    file = write(tmp_path / "test_32x32.mat")
    assert is_data_file(file)
    np.testing.assert_array_equal(np.concatenate(list(read_blocks(file, 7))), IMAGES)


def test_data_info_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(write(tmp_path / "train_32x32.mat"))]) == 0
    printed = capsys.readouterr().out
    for words in ("32×32", "20", "0", "9"):
        assert words in printed


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": None}, "SVHN's arrays X .* and y expected, found y: save other data as .npz"),
        ({"labels": np.append(DIGITS[:-1], 11)}, "y: the digits 1 to 10 expected, .* 1 to 11 found"),
        ({"labels": DIGITS[:-1]}, "20 labels expected, one an image, 19 found"),
        ({"labels": DIGITS + 0.5}, "y: whole numbers as labels expected"),
        ({"images": IMAGES[..., :2]}, r"X: images \(height, width, 3, N\) expected, an array \(32, 32, 2, 20\) found"),
        ({"images": IMAGES / 255}, "X: whole pixel values 0–255 expected"),
        ({"images": None, "X": np.array(["a", 2], object)}, "X: an array of numbers expected, cell found"),
        ({"images": None, "X": {"a": 1}}, "X: an array of numbers expected, struct found"),
        ({"images": None, "X": "text"}, "X: an array of numbers expected, char found"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"a\.mat: {message}|a\.mat train: {message}"):
        read_svhn(write(tmp_path / "a.mat", **arrays))


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, compressed: bool, share: float) -> None:
    file = write(tmp_path / "a.mat", compressed=compressed)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"a\.mat: "):
        read_svhn(file)


def test_a_file_of_another_kind_or_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(b"no matrix at all, but long enough for a header" * 20)
    with pytest.raises(DataError, match=r"a\.mat: "):
        read_svhn(tmp_path / "a.mat")
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError, match=r"version 7 or older expected, 7\.3 found: save it with -v7"):
        read_svhn(tmp_path / "a.mat")


def test_a_size_that_the_file_cannot_hold_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mat", labels=None, compressed=False)
    content = bytearray(file.read_bytes())
    place = content.index(struct.pack("<4i", 32, 32, 3, 20))
    content[place : place + 16] = struct.pack("<4i", 32, 32, 3, 500_000_000)
    file.write_bytes(bytes(content))
    start = time.perf_counter()
    with pytest.raises(DataError, match="X: claims 1,536,000,000,000 values, which the file can't hold of real data"):
        read_svhn(file)
    assert time.perf_counter() - start < 1


def test_without_scipy_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.mat")
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(DataError, match=r"SciPy expected, which reads \.mat files, not installed: pip install scipy"):
        read_svhn(file)
