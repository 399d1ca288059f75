import gzip
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fittingroom.data.cache import cache_entries
from fittingroom.data.dataset import Dataset
from fittingroom.data.formats.idx import write_idx
from fittingroom.data.formats.kaggle_csv import write_kaggle_csv
from fittingroom.data.formats.npz import write_npz
from fittingroom.data.formats.parquet import write_parquet
from fittingroom.data.formats.table import read_blocks
from fittingroom.data.open import open_dataset
from fittingroom.data.preprocessing import Preprocessing, resize_images
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from tests.support.same import assert_same

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def as_idx(folder: Path, data: Splits) -> None:
    for prefix, part in (("train", data.train), ("t10k", data.test)):
        assert part is not None
        assert part.labels is not None
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", part.images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", part.labels.astype(np.uint8))


def as_csv(folder: Path, data: Splits) -> None:
    assert data.test is not None
    write_kaggle_csv(folder / "my_train.csv", data.train)
    write_kaggle_csv(folder / "my_test.csv.gz", data.test)


def as_parquet(folder: Path, data: Splits) -> None:
    assert data.test is not None
    write_parquet(folder / "train-0.parquet", data.train)
    write_parquet(folder / "test-0.parquet", data.test)


def as_folder(folder: Path, data: Splits) -> None:
    for name, part in (("train", data.train), ("test", data.test)):
        assert part is not None
        assert part.labels is not None
        for number in range(len(part)):  # the labels of `tiny` go round: 0, 1, 2, 0, …
            file = folder / name / str(part.labels[number]) / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(part.images[number]).save(file)


def as_npz(folder: Path, data: Splits) -> None:
    write_npz(folder / "a.npz", data)


@pytest.mark.parametrize(
    ("write", "path"),
    [(as_idx, "."), (as_csv, "."), (as_parquet, "."), (as_folder, "."), (as_npz, "a.npz")],
)
@pytest.mark.parametrize("cache", [True, False])
def test_every_format_opens_to_the_same_set(
    tmp_path: Path, tiny: Splits, write: Callable[[Path, Splits], None], path: str, cache: bool
) -> None:
    write(tmp_path, tiny)
    for _ in range(2):
        data = open_dataset(tmp_path / path, cache=cache)
        assert tiny.test is not None
        assert data.test is not None
        assert data.train.classes == ("0", "1", "2")
        assert data.train.fingerprint.content == tiny.train.fingerprint.content
        assert data.test.fingerprint.content == tiny.test.fingerprint.content
        assert data.source == str(tmp_path / path)
    assert len(cache_entries()) == cache


@pytest.mark.parametrize(
    ("write", "path"),
    [
        (as_idx, "train-images-idx3-ubyte.gz"),
        (as_idx, "train-labels-idx1-ubyte.gz"),
        (as_csv, "my_train.csv"),
        (as_parquet, "train-0.parquet"),
        (as_folder, "train"),
    ],
)
def test_one_file_or_folder_is_the_train_part_alone(
    tmp_path: Path, tiny: Splits, write: Callable[[Path, Splits], None], path: str
) -> None:
    write(tmp_path, tiny)
    data = open_dataset(str(tmp_path / path))
    assert data.train.fingerprint.content == tiny.train.fingerprint.content
    assert data.test is None


def test_idx_under_any_name_is_known_by_its_content(tmp_path: Path, tiny: Splits) -> None:
    write_idx(tmp_path / "pictures.bin", tiny.train.images)
    train = open_dataset(tmp_path / "pictures.bin").train
    assert train.labels is None
    np.testing.assert_array_equal(train.images, tiny.train.images)


def test_known_name_goes_before_a_folder_called_so(
    tmp_path: Path, tiny: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample").mkdir()
    as_idx(tmp_path / "sample", tiny)
    monkeypatch.chdir(tmp_path)
    data = open_dataset("sample")

    assert data.test is not None
    assert (len(data.train), len(data.test)) == (2000, 1000)
    assert (data.train.name, data.test.name, data.source) == ("sample train", "sample test", "sample")
    assert data.train.classes == FASHION
    assert len(open_dataset("./sample").train) == 12
    assert len(open_dataset(Path("sample")).train) == 12


def test_test_set_elsewhere_is_aligned_by_class_name(tmp_path: Path, tiny: Splits) -> None:
    assert tiny.test is not None
    assert tiny.test.labels is not None
    write_npz(tmp_path / "a.npz", Splits(Dataset(tiny.train.images, tiny.train.labels, ("x", "y", "z"), "train")))
    write_npz(tmp_path / "b.npz", Splits(Dataset(tiny.test.images, tiny.test.labels, ("z", "x", "y"), "test")))
    data = open_dataset(tmp_path / "a.npz", test=tmp_path / "b.npz")

    assert data.test is not None
    assert data.test.labels is not None
    assert data.test.classes == ("x", "y", "z")
    assert data.test.labels.tolist() == [(label + 2) % 3 for label in tiny.test.labels]


def test_test_set_elsewhere_gives_its_test_part_if_it_has_one(tmp_path: Path, tiny: Splits) -> None:
    as_csv(tmp_path, tiny)
    assert_same(open_dataset(tmp_path / "my_train.csv", test=tmp_path).test, tiny.test)
    assert_same(open_dataset(tmp_path / "my_train.csv", test=tmp_path / "my_test.csv.gz").test, tiny.test)


def test_test_set_with_other_classes_or_size_is_refused(tmp_path: Path, tiny: Splits) -> None:
    as_npz(tmp_path, tiny)
    other = Dataset(tiny.train.images, tiny.train.labels, ("x", "y", "z"), "x")
    write_npz(tmp_path / "b.npz", Splits(other))
    with pytest.raises(DataError, match=r"expected \[0, 1, 2\]; found \[x, y, z\]"):
        open_dataset(tmp_path / "a.npz", test=tmp_path / "b.npz")

    write_npz(tmp_path / "c.npz", Splits(Dataset(tiny.train.images[:, 1:], tiny.train.labels, ("0", "1", "2"), "x")))
    with pytest.raises(DataError, match=r"images of 4×4 expected as in a\.npz train, 3×4 found"):
        open_dataset(tmp_path / "a.npz", test=tmp_path / "c.npz")


@pytest.mark.parametrize("folder", [False, True])
def test_kaggles_files_get_fashion_mnists_names(tmp_path: Path, folder: bool) -> None:
    part = open_dataset("sample").train.subset(range(100))
    numbered = Dataset(part.images, part.labels, tuple("0123456789"), "x")
    write_kaggle_csv(tmp_path / "fashion-mnist_train.csv", numbered)
    write_kaggle_csv(tmp_path / "fashion-mnist_test.csv", numbered)
    data = open_dataset(tmp_path if folder else tmp_path / "fashion-mnist_train.csv")

    assert data.train.classes == FASHION
    assert (data.test is not None) is folder
    assert data.train.fingerprint == part.fingerprint


def test_class_names_beside_the_data_are_taken_and_heeded_when_they_change(tmp_path: Path, tiny: Splits) -> None:
    as_csv(tmp_path, tiny)
    assert open_dataset(tmp_path).train.classes == ("0", "1", "2")
    (tmp_path / "classes.txt").write_text("x\ny\nz\n")
    assert open_dataset(tmp_path).train.classes == ("x", "y", "z")
    (tmp_path / "classes.txt").write_text("x\ny\nother\n")
    assert open_dataset(tmp_path).train.classes == ("x", "y", "other")


def test_unlabelled_test_part_stays_so(tmp_path: Path, tiny: Splits) -> None:
    assert tiny.test is not None
    write_kaggle_csv(tmp_path / "train.csv", tiny.train)
    write_kaggle_csv(tmp_path / "test.csv", Dataset(tiny.test.images, None, (), "x"))
    test = open_dataset(tmp_path).test
    assert test is not None
    assert test.labels is None


@pytest.mark.parametrize("given", ["no/such/path", "fashion_mnist", "", "a" * 5000, "a\0b", "~nobody-of-this-name/x"])
def test_what_is_not_there_is_refused_with_the_known_names(given: str) -> None:
    with pytest.raises(DataError, match=r"fashion-mnist, sample|can't be read"):
        open_dataset(given)


@pytest.mark.parametrize(
    ("given", "meant"), [("digit_train.csv", "digits_train.csv"), ("fashon-mnist", "fashion-mnist")]
)
def test_a_misspelt_name_is_told_what_is_like_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, meant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("digits_train.csv", "digits_test.csv"):
        Path(name).touch()
    with pytest.raises(DataError, match=f"{given}: no such file or folder.*; did you mean {meant}\\?"):
        open_dataset(given)


def test_what_lies_in_the_place_of_data_is_named_with_what_to_do(tmp_path: Path, tiny: Splits) -> None:
    """An archive, a file of another program, one file in a folder, pictures without folders of classes."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name, advice in (
        ("set.zip", "a file of another kind: unpack it, and give what comes out"),
        ("train.csv.bz2", "unpack it"),
        ("images.npy", r"give them to fittingroom\.Dataset\.from_arrays"),
        ("table.xlsx", "save it as CSV with commas"),
        ("train.p", r"give them to fittingroom\.Dataset\.from_arrays"),
        ("mnist.pkl.gz", r"give them to fittingroom\.Dataset\.from_arrays"),
        ("set.tfrecord-00000-of-00002", r"give them to fittingroom\.Dataset\.from_arrays"),
        ("photo.JPG", "pictures lie in a folder for each class"),
    ):
        (folder / name).write_bytes(b"PK\3\4")
        with pytest.raises(DataError, match=advice):
            open_dataset(folder / name)

    with pytest.raises(
        DataError, match=r"no data found in it, but pictures outside of .*: 1, such as photo\.JPG: lay those"
    ):
        open_dataset(folder)
    (folder / "photo.JPG").unlink()
    (folder / "train_X.bin").write_bytes(b"\0" * 99)  # beside small files of names, as STL-10's
    with pytest.raises(DataError, match=r"no data found in it, but train_X\.bin: load its arrays in Python"):
        open_dataset(folder)
    np.savez(folder / "digits.npz", x_train=tiny.train.images)
    with pytest.raises(DataError, match=r"no data found in it, but digits\.npz: give that file$"):
        open_dataset(folder)


def test_data_deeper_in_a_folder_are_named(tmp_path: Path, tiny: Splits) -> None:
    """Hugging Face's clones have them in ``data``, torchvision's folders in ``FashionMNIST/raw``."""
    images, labels = tiny.train.images[:4], np.arange(4, dtype=np.uint8) % 2
    raw = tmp_path / "root" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    write_idx(raw / "train-images-idx3-ubyte", images)
    write_idx(raw / "train-labels-idx1-ubyte", labels)
    with pytest.raises(
        DataError, match=rf"root: no data found in the folder itself, but in {re.escape(str(raw))}: give"
    ):
        open_dataset(tmp_path / "root")
    assert len(open_dataset(raw).train) == 4

    for part in ("test", "train"):
        (tmp_path / "hub" / "default" / part).mkdir(parents=True)
        write_idx(tmp_path / "hub" / "default" / part / "train-images-idx3-ubyte", images)
    with pytest.raises(
        DataError, match=r"but in .*hub.default.test, .*hub.default.train: give one .*`test` another as"
    ):
        open_dataset(tmp_path / "hub")

    (tmp_path / "saved" / "train").mkdir(parents=True)
    (tmp_path / "saved" / "train" / "data-00000-of-00001.arrow").write_bytes(b"")
    with pytest.raises(DataError, match=r"but 1 \.arrow: give what datasets\.load_from_disk makes of its folder to"):
        open_dataset(tmp_path / "saved")


def test_idx_files_of_other_names_are_told_how_to_be_called(tmp_path: Path, tiny: Splits) -> None:
    write_idx(tmp_path / "labels.idx", np.arange(4, dtype=np.uint8))
    write_idx(tmp_path / "images.idx", tiny.train.images[:4])
    with pytest.raises(
        DataError, match=r"but images\.idx, which is an IDX file by what it holds: call the images train-"
    ):
        open_dataset(tmp_path)


def fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.mkdir, "no data found in it; a path may be a folder with IDX files"),
        (lambda path: path.write_bytes(b""), "a file of another kind; a path may be"),
        (lambda path: path.write_bytes(b"hello"), "a file of another kind; a path may be"),
        (lambda path: path.write_bytes(gzip.compress(b"hello")), "a file of another kind; a path may be"),
        (lambda path: path.write_bytes(b"\x1f\x8b" + b"\xff" * 20), "whole gzip data expected"),
        (fifo, "a file or folder expected, a device or pipe found"),
        (lambda path: path.symlink_to(path), "no such file or folder|can't be read"),
    ],
)
def test_what_is_no_data_is_refused(tmp_path: Path, make: Callable[[Path], Any], message: str) -> None:
    make(tmp_path / "x")
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path / "x")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows read what others may not")
@pytest.mark.parametrize("path", [".", "a.npz"])
def test_what_may_not_be_read_is_refused(tmp_path: Path, tiny: Splits, path: str) -> None:
    as_npz(tmp_path, tiny)
    (tmp_path / path).chmod(0)
    with pytest.raises(DataError, match="can't be read: Permission denied"):
        open_dataset(tmp_path / path)
    (tmp_path / path).chmod(0o755)


@pytest.mark.parametrize("kind", ["npz", "idx"])
@pytest.mark.parametrize("is_colour", [False, True], ids=["grey", "colour"])
def test_arrays_too_large_for_a_model_are_resized_where_a_size_is_given(
    kind: str, is_colour: bool, tmp_path: Path
) -> None:
    shape = (6, 300, 280, 3) if is_colour else (6, 300, 280)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    labels = np.arange(6) % 2
    path = tmp_path / "large.npz"
    if kind == "npz":
        np.savez(path, x_train=images, y_train=labels)
    else:
        path = tmp_path / "large"
        path.mkdir()
        sizes = struct.pack(f">{images.ndim}I", *images.shape)
        (path / "train-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, images.ndim]) + sizes + images.tobytes())
        (path / "train-labels-idx1-ubyte").write_bytes(
            bytes([0, 0, 8, 1]) + struct.pack(">I", 6) + labels.astype(np.uint8).tobytes()
        )
    with pytest.raises(DataError, match=r"256 pixels a side expected, 300×280.* found: size = \[height, width\] makes"):
        open_dataset(path)

    wanted = Preprocessing(size=(30, 28))
    for size in ((30, 28), (15, 14), (30, 28)):  # each is kept by itself
        data = open_dataset(path, preprocessing=Preprocessing(size=size))
        assert (data.train.images == resize_images(images, Preprocessing(size=size))).all()
        assert data.preprocessing == Preprocessing(size=size, channels=3 if is_colour else 1)
    file = path if kind == "npz" else path / "train-images-idx3-ubyte"
    blocks = [resize_images(block, wanted) for block in read_blocks(file)]
    assert (np.concatenate(blocks) == open_dataset(path, preprocessing=wanted).train.images).all()
