import io
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.npz import read_npz, write_npz
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from tests.support.same import assert_same

IMAGES = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
LABELS = np.array([0, 1, 2, 1])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.npz"


def test_keras_names(file: Path) -> None:
    np.savez(file, x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:2], y_test=LABELS[:2])
    data = read_npz(file)
    assert_same(data.train, Dataset(IMAGES, LABELS, ("0", "1", "2"), "x"))
    assert_same(data.test, Dataset(IMAGES[:2], LABELS[:2], ("0", "1", "2"), "x"))
    assert data.validation is None


def test_medmnist_names_and_label_columns(file: Path) -> None:
    arrays = {"train_images": IMAGES, "val_images": IMAGES[1:], "test_images": IMAGES[2:]}
    labels = {"train_labels": LABELS[:, None], "val_labels": LABELS[1:, None], "test_labels": LABELS[2:, None]}
    np.savez_compressed(file, **arrays, **labels)  # type: ignore[arg-type]
    data = read_npz(file)
    assert_same(data.train, Dataset(IMAGES, LABELS, ("0", "1", "2"), "x"))
    assert_same(data.validation, Dataset(IMAGES[1:], LABELS[1:], ("0", "1", "2"), "x"))
    assert_same(data.test, Dataset(IMAGES[2:], LABELS[2:], ("0", "1", "2"), "x"))


@pytest.mark.parametrize(
    "names",
    [
        ("X_train", "Y_train", "X_dev", "Y_dev", "X_test", "Y_test"),
        ("train_x", "train_y", "valid_x", "valid_y", "test_x", "test_y"),
        ("trainImages", "trainLabels", "validationImages", "validationLabels", "testImages", "testLabels"),
        ("data", "target", "data_val", "target_val", "test.data", "test.target"),
        ("x_train", "y_train", "valid_images", "valid_labels", "test-imgs", "test-targets"),
    ],
)
def test_parts_are_known_by_the_words_of_their_names(file: Path, names: tuple[str, ...]) -> None:
    """A validation set that is left out in silence would be chosen from the training images."""
    arrays = (IMAGES, LABELS, IMAGES[1:], LABELS[1:], IMAGES[2:], LABELS[2:])
    np.savez(file, **dict(zip(names, arrays, strict=True)))  # type: ignore[arg-type]
    data = read_npz(file)
    for part, first in ((data.train, 0), (data.validation, 1), (data.test, 2)):
        assert_same(part, Dataset(IMAGES[first:], LABELS[first:], ("0", "1", "2"), "x"))
    assert data.notes == ()


def test_arrays_that_are_not_read_are_named(file: Path) -> None:
    np.savez(file, x_train=IMAGES, y_train=LABELS, ids=LABELS, x_holdout=IMAGES)
    assert read_npz(file).notes == ("arrays of a.npz that are not read: ids, x_holdout",)
    np.savez(file, IMAGES, LABELS)
    with pytest.raises(DataError, match=r"found arr_0, arr_1: np\.savez\(path, x_train=…, y_train=…\)"):
        read_npz(file)


def test_a_word_of_another_script_is_no_mark_between_others(file: Path) -> None:
    """测试 is test, which nobody may learn from."""
    np.savez(file, 测试x=IMAGES, 测试y=LABELS)
    with pytest.raises(DataError, match=r"arrays called x_train and y_train, .* found 测试x, 测试y"):
        read_npz(file)


def test_yes_and_no_are_labels(file: Path) -> None:
    np.savez(file, x_train=IMAGES, y_train=LABELS == 1)
    assert_same(read_npz(file).train, Dataset(IMAGES, (LABELS == 1).astype(int), ("0", "1"), "x"))


@pytest.mark.parametrize(
    "images",
    [
        IMAGES.astype(np.int64),
        IMAGES.astype(np.float32),
        IMAGES.astype(">u2"),
        np.asfortranarray(IMAGES),
        IMAGES[..., None],
        IMAGES[:, None],
        np.repeat(IMAGES[..., None], 3, axis=3),
    ],
)
@pytest.mark.parametrize("labels", [LABELS, LABELS.astype(np.uint8), LABELS.astype(np.float64), LABELS.astype(">i8")])
def test_what_is_exactly_grey_and_whole_is_taken(file: Path, images: Any, labels: Any) -> None:
    np.savez(file, x_train=images, y_train=labels)
    assert_same(read_npz(file).train, Dataset(IMAGES, LABELS, ("0", "1", "2"), "x"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": IMAGES / 255}, r"from 0 to 0\.0901961 found: where white is 1, np\.round\(images \* 255\)"),
        ({"x_train": IMAGES.astype(int) - 1}, "x_train: whole pixel values 0–255 expected, int64 from -1 to 22 found"),
        ({"x_train": IMAGES.astype(int) * 20}, "int64 from 0 to 460 found"),
        (
            {"x_train": np.full((4, 2, 3), np.nan)},
            "whole pixel values 0–255 expected, nan found in image 0: leave such",
        ),
        (
            {"x_train": IMAGES > 3},
            r"x_train: pixels 0–255 expected, values of type bool found: astype\(np\.uint8\) \* 255",
        ),
        ({"x_train": np.full((4, 2, 3), "a")}, "values of type <U1 found"),
        (
            {"x_train": np.zeros((4, 784), np.uint8)},
            r"array \(4, 784\) found: of square ones, reshape\(-1, 28, 28\) makes",
        ),
        ({"x_train": IMAGES[0]}, r"images \(N, height, width\) or .* expected, an array \(2, 3\) found"),
        (
            {"x_train": np.zeros((4, 2, 3, 4), np.uint8)},
            "x_train: 1 or 3 channels expected, 4 found: put the pictures on",
        ),
        ({"x_train": np.zeros((4, 2, 3, 5), np.uint8)}, r"x_train: images .* expected, an array \(4, 2, 3, 5\) found"),
        ({"x_train": np.zeros((4, 300, 2), np.uint8)}, "1 to 256 pixels a side expected, 300×2 found"),
        ({"x_train": IMAGES[:0], "y_train": LABELS[:0]}, "at least one image expected, none found"),
        ({"y_train": LABELS[:3]}, "4 labels expected, one an image, 3 found"),
        ({"y_train": LABELS + 0.5}, "y_train: whole numbers as labels expected, others found"),
        (
            {"y_train": np.array(["a", "", "c", "d"])},
            "a class's name as the label of each image expected, none found at",
        ),
        ({"y_train": np.array([b"a", b"\xff", b"c", b"d"])}, "y_train: text in UTF-8 expected, other bytes found"),
        ({"y_train": np.array([["a", "b"]] * 4)}, r"y_train: text \(N,\) expected, <U1 \(4, 2\) found"),
        (
            {"y_train": np.array(["a", "b", "c", "d"]), "x_test": IMAGES, "y_test": LABELS},
            r"y_test: text \(N,\) expected",
        ),
        ({"y_train": LABELS * 1j}, r"y_train: whole numbers as labels expected, others found \(complex128\)"),
        ({"y_train": np.array([0, 1, np.nan, 1])}, "y_train: whole numbers .* nan at image 2"),
        ({"y_train": LABELS - 1}, "y_train: labels 0 to 999 expected, -1 found at image 0"),
        ({"y_train": np.array([0, 1, 2**62, 1])}, "y_train: labels 0 to 999 expected, .* found at image 2"),
        ({"y_train": np.eye(4)}, r"y_train: one label an image, \(N,\), expected, \(4, 4\) found"),
        ({"y_train": IMAGES}, r"y_train: one label an image, \(N,\), expected, \(4, 2, 3\) found"),
        ({"y_train": np.array([0, 1, None, "x"])}, "y_train: .* Python objects found, which could run code"),
        ({"classes": np.array(["a", "b", None])}, "classes: .* Python objects found"),
        ({"classes": np.array(["a", "b"])}, "labels 0 to 1 expected, 0 to 2 found, first at image 2"),
        ({"classes": np.array(["a", "b", "a"])}, "found more than once"),
        ({"classes": np.arange(3)}, r"classes: text \(N,\) expected"),
    ],
)
def test_anything_else_is_refused(file: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(file, **({"x_train": IMAGES, "y_train": LABELS} | arrays))
    with pytest.raises(DataError, match=message):
        read_npz(file)


COLOUR = np.random.default_rng(0).integers(0, 256, (4, 2, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("names", [("x_train", "y_train"), ("train_images", "train_labels"), ("X", "y")])
@pytest.mark.parametrize(
    "images", [COLOUR, COLOUR.astype(np.int64), np.asfortranarray(COLOUR), COLOUR.transpose(0, 3, 1, 2)]
)
def test_colour_is_taken_as_it_is(file: Path, names: tuple[str, str], images: Any) -> None:
    np.savez(file, **{names[0]: images, names[1]: LABELS})
    assert_same(read_npz(file).train, Dataset(COLOUR, LABELS, ("0", "1", "2"), "x"))


def test_a_grey_looking_part_of_a_colour_set_stays_in_colour(file: Path) -> None:
    grey = np.repeat(COLOUR[..., :1], 3, axis=3)
    np.savez(file, x_train=COLOUR, y_train=LABELS, x_test=grey, y_test=LABELS)
    data = read_npz(file)
    assert data.test is not None
    np.testing.assert_array_equal(data.test.images, grey)


@pytest.mark.parametrize("names", ["classes", "class_names", "label_names"])
def test_names_of_the_classes(file: Path, names: str) -> None:
    arrays: dict[str, Any] = {"x_train": IMAGES, "y_train": LABELS, names: np.array(["hat", "bag", "cap"])}
    np.savez(file, **arrays)
    assert read_npz(file).train.classes == ("hat", "bag", "cap")


@pytest.mark.parametrize("labels", [np.array(["b9", "b10", "a", "b10"]), np.array([b"b9", b"b10", b"a", b"b10"])])
def test_labels_that_are_names_are_numbered_in_natural_order(file: Path, labels: Any) -> None:
    np.savez(file, x_train=IMAGES, y_train=labels[:, None], x_test=IMAGES[:2], y_test=labels[:2])
    data = read_npz(file)
    assert_same(data.train, Dataset(IMAGES, np.array([1, 2, 0, 2]), ("a", "b9", "b10"), "x"))
    assert_same(data.test, Dataset(IMAGES[:2], np.array([1, 2]), ("a", "b9", "b10"), "x"))

    np.savez(file, x_train=IMAGES, y_train=labels, classes=np.array(["b10", "c", "b9", "a"]))
    assert_same(read_npz(file).train, Dataset(IMAGES, np.array([2, 0, 3, 0]), ("b10", "c", "b9", "a"), "x"))


def test_a_class_that_train_lacks_is_refused(file: Path) -> None:
    np.savez(file, x_train=IMAGES, y_train=np.array(list("abca")), x_test=IMAGES[:2], y_test=np.array(["a", "z"]))
    with pytest.raises(DataError, match=r"classes of train expected in test \(a, b, c\), 'z' found"):
        read_npz(file)


def test_unknown_names_are_listed(file: Path) -> None:
    np.savez(file, pictures=IMAGES, answers=LABELS)
    with pytest.raises(DataError, match=r"x_train and y_train, .* expected; found answers, pictures"):
        read_npz(file)


def archive_with(content: bytes) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", content)
    return memory.getvalue()


def header(shape: str, descr: str = "'|u1'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()


GOOD = archive_with(header("(1, 2, 2)") + b"abcd")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"not a zip at all",
        GOOD[: len(GOOD) // 2],
        GOOD[:-10],
        GOOD[:60] + b"\xff" * 10 + GOOD[70:],
        archive_with(b""),
        archive_with(b"\x93NUMPY"),
        archive_with(b"\x93NUMPZ\1\0" + GOOD),
        archive_with(header("(1, 2, 2)") + b"abc"),
        archive_with(header("(1, 2, 2)") + b"abcde"),
        archive_with(header("(4294967296, 28, 28)") + b"abcd"),
        archive_with(header("(-1, -2, 2)") + b"abcd"),
        archive_with(header("('a',)") + b"abcd"),
        archive_with(header("((1, 2, 2)") + b"abcd"),
        archive_with(header("(1, 2, 2)", "'O'") + b"abcd"),
        archive_with(header("(1, 2, 2)", "'x7'") + b"abcd"),
        archive_with(header("(1, 2, 2)", "__import__('os')") + b"abcd"),
        archive_with(header("(1073741824, 1, 1)") + b"\0" * (128 << 20)),
    ],
    ids=range(19),  # an archive holds the time of its making: as a name it would differ between processes
)
def test_damaged_or_hostile_file_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(DataError, match=r"a\.npz"):
        read_npz(file)
    assert time.perf_counter() - start < 2


def test_written_file_reads_back_the_same(file: Path, tiny: Splits) -> None:
    assert tiny.test is not None
    names = ("T-shirt/top", "Hose", "Stiefel – hoch")
    train, test = (Dataset(part.images, part.labels, names, "x") for part in (tiny.train, tiny.test))
    write_npz(file, Splits(train, validation=test, test=Dataset(test.images, None, (), "x")))
    data = read_npz(file)

    assert_same(data.train, train)
    assert_same(data.validation, test)
    assert_same(data.test, Dataset(test.images, None, (), "x"))
