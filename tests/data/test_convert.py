from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fittingroom.data.convert import convert
from fittingroom.data.dataset import Dataset
from fittingroom.data.open import open_dataset
from fittingroom.data.splits import Splits, parts_of
from fittingroom.errors import DataError

FOLDERS = ("idx", "csv", "parquet")
ALL = [("idx", "folder"), ("csv", "folder"), ("parquet", "folder"), ("npz", "all.npz")]
ONE_PART = [
    *ALL,
    ("csv", "one.csv"),
    ("csv", "one.csv.gz"),
    ("csv", "one.tsv"),
    ("csv", "one.tsv.gz"),
    ("parquet", "one.parquet"),
]


def small(
    *,
    seed: int = 0,
    size: tuple[int, int] = (6, 6),
    classes: tuple[str, ...] = ("blue café", "10", "2", "T-shirt/top"),
    parts: tuple[str, ...] = ("train", "validation", "test"),
    labelled: bool = True,
) -> Splits:
    """A set that is easy to get wrong: names that look like numbers or are not ASCII, a class without images."""
    generator = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    for number, part in enumerate(parts):
        images = generator.integers(0, 256, (11 + number, *size), np.uint8)
        labels = generator.integers(0, len(classes) - 1, len(images))
        made[part] = Dataset(images, labels if labelled else None, classes if labelled else (), part)
    return Splits(**made, source="made")


def assert_equal(left: Splits, right: Splits) -> None:
    """Pixels, labels, class names and order are all the same, whichever file they were read from."""
    assert parts_of(left).keys() == parts_of(right).keys()
    for one, other in zip(parts_of(left).values(), parts_of(right).values(), strict=True):
        assert one.classes == other.classes
        for of_arrays in ("content", "images", "order"):
            assert getattr(one.fingerprint, of_arrays) == getattr(other.fingerprint, of_arrays)
        assert np.array_equal(one.images, other.images)
        assert (one.labels is None) == (other.labels is None)
        if one.labels is not None and other.labels is not None:
            assert one.labels.tolist() == other.labels.tolist()


def opened(path: Path) -> Splits:
    return open_dataset(path, cache=False)


@pytest.mark.parametrize(("first", "second"), list(product(ALL, ALL)))
def test_round_trip_through_two_formats_is_exact(
    first: tuple[str, str], second: tuple[str, str], tmp_path: Path
) -> None:
    data = small()
    (tmp_path / "second").mkdir()
    convert(data, tmp_path / first[1], to=first[0])
    convert(opened(tmp_path / first[1]), tmp_path / "second" / second[1], to=second[0])
    assert_equal(opened(tmp_path / "second" / second[1]), data)


@pytest.mark.parametrize(("to", "name"), ONE_PART)
def test_single_part_is_exact_in_every_format(to: str, name: str, tmp_path: Path) -> None:
    data = small(parts=("train",))
    files = convert(data, tmp_path / name, to=to)
    assert files == sorted(files)
    assert all(file.is_file() for file in files)
    assert_equal(opened(tmp_path / name), data)


@pytest.mark.parametrize(("to", "name"), [target for target in ONE_PART if target[0] != "idx"])
def test_unlabelled_is_exact_wherever_it_can_be_held(to: str, name: str, tmp_path: Path) -> None:
    data = small(parts=("train",), labelled=False)
    convert(data, tmp_path / name, to=to)
    assert_equal(opened(tmp_path / name), data)


def test_unlabelled_is_refused_for_idx(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="labels expected"):
        convert(small(labelled=False), tmp_path / "folder", to="idx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("to", "name"), ALL)
def test_a_thousand_classes_are_exact(to: str, name: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1000, 4, 4), np.uint8)
    names = tuple(f"class {number}" for number in range(1000))
    data = Splits(Dataset(images, np.arange(999, -1, -1), names, "many"))
    convert(data, tmp_path / name, to=to)
    assert_equal(opened(tmp_path / name), data)


@pytest.mark.parametrize(("to", "name"), [target for target in ALL if target[0] != "csv"])
@pytest.mark.parametrize("size", [(1, 7), (256, 3)])
def test_images_that_are_not_square_are_exact(to: str, name: str, size: tuple[int, int], tmp_path: Path) -> None:
    data = small(size=size)
    convert(data, tmp_path / name, to=to)
    assert_equal(opened(tmp_path / name), data)


def test_csv_refuses_images_that_are_not_square_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="square"):
        convert(small(size=(4, 5)), tmp_path / "folder", to="csv")
    with pytest.raises(DataError, match="square"):
        convert(small(size=(4, 5), parts=("train",)), tmp_path / "one.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("to", "name"), ALL)
def test_sample_is_recognised_after_conversion(to: str, name: str, tmp_path: Path) -> None:
    sample = open_dataset("sample", cache=False)
    convert(sample, tmp_path / name, to=to)
    assert_equal(opened(tmp_path / name), sample)


def test_idx_folder_has_the_official_names(tmp_path: Path) -> None:
    files = convert(open_dataset("sample", cache=False), tmp_path / "folder", to="idx")
    assert [file.name for file in files] == [
        "classes.txt",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]


@pytest.mark.parametrize(("to", "name"), ONE_PART)
def test_what_is_there_is_replaced_by_force_only(to: str, name: str, tmp_path: Path) -> None:
    old, new = small(parts=("train",), seed=1), small(parts=("train",), seed=2)
    convert(old, tmp_path / name, to=to)
    with pytest.raises(DataError, match=r"is there already.*`force=True`"):
        convert(new, tmp_path / name, to=to)
    assert_equal(opened(tmp_path / name), old)
    convert(new, tmp_path / name, to=to, force=True)
    assert_equal(opened(tmp_path / name), new)


def test_force_never_removes_a_folder_that_holds_anything_else(tmp_path: Path) -> None:
    convert(small(), tmp_path / "folder", to="idx")
    (tmp_path / "folder" / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"thesis\.tex"):
        convert(small(), tmp_path / "folder", to="csv", force=True)
    assert (tmp_path / "folder" / "thesis.tex").exists()


@pytest.mark.parametrize("name", ["train_metadata.csv", "test_scores.csv", "training_log.csv", "train-notes.gz"])
def test_force_takes_no_file_of_another_for_its_own(name: str, tmp_path: Path) -> None:
    convert(small(), tmp_path / "folder", to="csv")
    (tmp_path / "folder" / name).write_text("years of work")
    with pytest.raises(DataError, match=f"holds more than a data set .*{name}"):
        convert(small(), tmp_path / "folder", to="csv", force=True)


def test_force_never_puts_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.npz").mkdir()
    with pytest.raises(DataError, match="a file expected"):
        convert(small(), tmp_path / "x.npz", force=True)


def test_class_names_of_other_data_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    convert(small(parts=("train",)), tmp_path / "one.csv")
    other = small(parts=("train",), classes=("left", "right", "none"))
    with pytest.raises(DataError, match=r"classes\.txt"):
        convert(other, tmp_path / "two.csv")
    assert not (tmp_path / "two.csv").exists()
    assert_equal(opened(tmp_path / "one.csv"), small(parts=("train",)))


@pytest.mark.parametrize(
    ("name", "to", "message"),
    [
        ("x.mat", None, "a name that ends in .csv, .csv.gz, .tsv, .tsv.gz, .npz, .parquet expected"),
        ("x.tar.gz", None, "a name that ends in .csv, .csv.gz, .tsv, .tsv.gz, .npz, .parquet expected"),
        ("folder", None, "`to` for a folder"),
        ("x.txt", None, "ends in"),
        ("folder", "hdf5", "one of idx, csv, npz, parquet expected"),
        ("folder", "npz", "npz is one file"),
        ("x.csv", "npz", "this one says csv"),
        ("x.csv", None, "holds one part"),
        ("x.parquet", None, "holds one part"),
    ],
)
def test_target_that_cannot_be_is_refused(name: str, to: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        convert(small(), tmp_path / name, to=to)
    assert list(tmp_path.iterdir()) == []


def test_class_name_of_two_lines_is_refused_where_names_are_lines(tmp_path: Path) -> None:
    data = small(classes=("one\ntwo", "three", "four"))
    with pytest.raises(DataError, match="one line expected"):
        convert(data, tmp_path / "folder", to="idx")
    convert(data, tmp_path / "x.npz")
    assert_equal(opened(tmp_path / "x.npz"), data)


def test_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="can't be written"):
        convert(small(), tmp_path / "file" / "x.npz")


def in_colour(*, parts: tuple[str, ...] = ("train", "validation", "test")) -> Splits:
    """The same sets, of images in colour."""
    data = small(parts=parts)
    random = np.random.default_rng(5)
    made: dict[str, Any] = {
        name: Dataset(random.integers(0, 256, (len(part), 6, 5, 3), np.uint8), part.labels, part.classes, name)
        for name, part in parts_of(data).items()
    }
    return Splits(**made, source="made")


@pytest.mark.parametrize(("to", "name"), [target for target in ALL if target[0] != "csv"])
def test_colour_is_exact_in_every_format_that_can_hold_it(to: str, name: str, tmp_path: Path) -> None:
    data = in_colour()
    convert(data, tmp_path / name, to=to)
    assert_equal(opened(tmp_path / name), data)


@pytest.mark.parametrize("name", ["folder", "one.csv"])
def test_colour_is_refused_for_csv_with_what_to_do(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="colour found: convert to npz or parquet"):
        convert(in_colour(parts=("train",)), tmp_path / name, to="csv")
    assert list(tmp_path.iterdir()) == []
