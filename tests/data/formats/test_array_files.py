"""A folder of arrays in files of their own, as people save them one by one."""

from pathlib import Path

import numpy as np
import pytest

from fittingroom.data.open import open_dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError
from tests.support.same import assert_same

NAMES = [
    "x_train.npy y_train.npy x_test.npy y_test.npy",
    "k49-train-imgs.npz k49-train-labels.npz k49-test-imgs.npz k49-test-labels.npz",
]


@pytest.mark.parametrize("names", NAMES)
def test_arrays_in_files_of_their_own_are_one_set(tmp_path: Path, tiny: Splits, names: str) -> None:
    """Saved one by one, and Kuzushiji-MNIST's pairs of npz with a table of its letters beside them."""
    assert tiny.test is not None
    parts = [np.asarray(values) for part in (tiny.train, tiny.test) for values in (part.images, part.labels)]
    for name, values in zip(names.split(), parts, strict=True):
        save = np.savez if name.endswith("npz") else np.save
        save(tmp_path / name, values)
    (tmp_path / "classmap.csv").write_text("index,letter\n0,a\n")
    (tmp_path / "classes.txt").write_text("\n".join(tiny.train.classes))

    data = open_dataset(tmp_path, cache=False)
    assert data.test is not None
    assert_same(data.train, tiny.train)
    assert_same(data.test, tiny.test)


def test_what_is_wrong_with_an_array_of_its_own_is_told(tmp_path: Path) -> None:
    """Objects are not opened, a header isn't believed, two files of one thing aren't chosen from."""
    images, labels = tmp_path / "x.npy", tmp_path / "y.npy"
    np.save(labels, np.arange(4) % 2)
    np.save(images, np.array([[1], "a", None, 2], dtype=object))
    with pytest.raises(DataError, match=r"x\.npy: an array of numbers expected, Python objects found"):
        open_dataset(tmp_path, cache=False)

    np.save(images, np.zeros((4, 8, 8), np.uint8))
    content = images.read_bytes()
    for damaged in (content[:-1], content[:20], b"", b"hello"):
        images.write_bytes(damaged)
        with pytest.raises(DataError, match=r"x\.npy: .* expected"):
            open_dataset(tmp_path, cache=False)

    np.savez(tmp_path / "x.npz", np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(DataError, match=r"one file of train images expected, x\.npy and x\.npz found: keep those of"):
        open_dataset(tmp_path, cache=False)
    images.unlink()
    np.savez(tmp_path / "x.npz", np.zeros((4, 8, 8)), np.zeros(4))
    with pytest.raises(DataError, match=r"x\.npz: one array expected, found arr_0, arr_1: give each a file of its own"):
        open_dataset(tmp_path, cache=False)
