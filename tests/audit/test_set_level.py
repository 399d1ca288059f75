"""Faults of labels, classes and repeated images, planted in real data, are found under their names and counted."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fittingroom.audit.statistics import _p_text
from fittingroom.data.dataset import Dataset, concatenate
from fittingroom.data.splits import Splits
from tests.support.planted import both, checked, fast_errors, names, only, parts, replaced, write_folder

NUMBERS = tuple("0123456789")


def write(folder: Path, train: Dataset, test: Dataset | None = None) -> Path:
    return write_folder(folder / "data", train, test)


def with_labels(dataset: Dataset, change: Callable[[np.ndarray], object]) -> Dataset:
    assert dataset.labels is not None
    labels = dataset.labels.copy()
    change(labels)
    number = int(labels.max()) + 1
    classes = dataset.classes if number <= dataset.num_classes else tuple(map(str, range(number)))
    return Dataset(dataset.images, labels, classes, dataset.name)


def test_equal_images_are_counted_and_contradicting_labels_too(tmp_path: Path, sample: Splits) -> None:
    train = sample.train
    again = concatenate([train, train.subset(np.arange(20)), with_labels(train.subset(np.arange(5)), _next)], "twice")
    finding = only(checked(write(tmp_path, again)), "duplicates")
    assert (finding.figures["duplicates"], finding.figures["other_label"]) == (25, 5)
    assert finding.figures["n"] == 2_025


def of_classes(dataset: Dataset, classes: Sequence[int]) -> Dataset:
    assert dataset.labels is not None
    return dataset.subset(np.isin(dataset.labels, classes))


def _next(labels: np.ndarray) -> None:
    labels[:] = (labels + 1) % 10


@pytest.mark.parametrize(("shared", "severity"), [(1, "error"), (200, "error")])
def test_test_images_in_train_are_counted(shared: int, severity: str, tmp_path: Path, digits: Dataset) -> None:
    train, test = digits.subset(np.arange(250)), digits.subset(np.arange(250 - shared, 300))
    finding = only(checked(write(tmp_path, train, test)), "overlap")
    assert (finding.figures["overlap"], finding.severity) == (shared, severity)
    assert finding.where == "data test and data train"


def test_a_part_given_twice_is_only_a_note(tmp_path: Path, sample: Splits) -> None:
    report = checked(write(tmp_path / "a", sample.train), write(tmp_path / "b", sample.train))
    assert names(report, "error") == set()
    assert "overlap" in names(report, "note")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda labels: labels.__setitem__(slice(0, 3), 10), 3),
        (lambda labels: labels.__setitem__([5], 255), 1),
        (lambda labels: labels.__setitem__([5, 6], [17, 200]), 2),
    ],
)
def test_labels_out_of_range_are_named(
    change: Callable[[np.ndarray], object], wrong: int, tmp_path: Path, sample: Splits, digits: Dataset
) -> None:
    report = checked(write(tmp_path / "fashion", with_labels(sample.train, change)))
    assert names(report, "error") - {"label-noise"} == {"label-range"}
    finding = only(report, "label-range")
    assert finding.figures["wrong"] == wrong
    if wrong == 1:  # of data that aren't known, what lies far off
        assert names(checked(write(tmp_path / "digits", with_labels(digits, change))), "error") == {"label-range"}


def test_labels_from_1_on_are_named(tmp_path: Path, digits: Dataset) -> None:
    report = checked(write(tmp_path, with_labels(digits, lambda labels: labels.__iadd__(1))))
    finding = only(report, "label-range")
    assert (finding.figures, finding.severity) == ({"low": 1, "high": 10}, "warning")


def test_labels_beyond_the_names_are_named(tmp_path: Path, sample: Splits) -> None:
    folder = write(tmp_path, sample.train)
    (folder / "classes.txt").write_text("\n".join(f"class {number}" for number in range(8)))
    report = checked(folder)
    assert "label-range" in names(report, "error")
    assert only(report, "label-range").figures["wrong"] == 400


def test_missing_classes_are_listed(tmp_path: Path, sample: Splits) -> None:
    train = of_classes(sample.train, [0, 1, 3, 4, 5, 6, 8, 9])
    report = checked(write(tmp_path, train, both(sample)[1]))
    finding = only(report, "missing-class")
    assert finding.figures["missing"] == ["2", "7"]
    assert "train" in finding.where
    assert "label-range" not in names(report)
    assert finding.message == "2 of 10 classes have no image: 2, 7"
    assert finding.advice.startswith("Number the classes from 0 on without a gap")

    one = write(tmp_path / "one", of_classes(sample.train, list(range(9))), both(sample)[1])
    (one / "classes.txt").write_text("\n".join(f"class {number}" for number in range(10)))
    finding = only(checked(one), "missing-class")
    assert finding.message == "1 of 10 classes has no image: class 9"
    assert finding.advice == "Add images of them, or take the classes out of the list of names."


@pytest.mark.parametrize(("keep", "severity"), [(60, "note"), (10, "warning")])
def test_imbalance_is_measured(keep: int, severity: str, tmp_path: Path, sample: Splits) -> None:
    assert sample.train.labels is not None
    rare = np.flatnonzero(sample.train.labels == 3)[keep:]
    train = sample.train.subset(np.setdiff1d(np.arange(2_000), rare))
    finding = only(checked(write(tmp_path, train)), "imbalance")
    assert (finding.figures["most"], finding.figures["least"], finding.severity) == (200, keep, severity)


def test_a_share_that_is_nearly_all_or_hardly_anything_is_not_said_to_be_all_or_nothing(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6_000, 4, 4), np.uint8)
    rare = (np.arange(6_000) >= 5_998).astype(np.int64)
    train = Dataset(images, rare, ("common", "rare"), "t")
    test = Dataset(images[::-1][:1_000], 1 - rare[:1_000], train.classes, "t")
    report = checked(write(tmp_path, train, test))
    said = {finding.name: f"{finding.message} {finding.effect}" for finding in report.findings}
    assert "is right in 99.9% of the cases" in said["imbalance"]
    assert "0 is 99.9% of data train, 0.0% of data test" in said["split-shift"]


def test_class_shares_that_differ_between_parts_are_named(tmp_path: Path, sample: Splits) -> None:
    train, test = both(sample)
    assert test.labels is not None
    skewed = test.subset(np.flatnonzero((test.labels < 5) | (np.arange(1_000) % 4 == 0)))
    report = checked(write(tmp_path, train, skewed))

    finding = only(report, "split-shift")
    assert finding.severity == "warning"
    assert finding.figures["total_variation"] == pytest.approx(0.3, abs=0.02)


def test_copies_of_a_few_images_are_no_evidence_that_class_shares_differ(tmp_path: Path, sample: Splits) -> None:
    """30 test images of two classes, each there ten times: as 300 of their own they would all but rule chance out."""
    train, test = both(sample)
    assert test.labels is not None
    uneven = [(0, 5), (1, 25)]
    rows = np.concatenate([np.flatnonzero(test.labels == label)[:count] for label, count in uneven])
    even = train.subset(np.flatnonzero(train.labels < 2))  # type: ignore[operator]  # labelled
    copies = replaced(test.subset(np.repeat(rows, 10)), np.repeat(test.images[rows], 10, axis=0))
    assert not [finding for finding in checked(write(tmp_path, even, copies)).findings if "shares" in finding.message]


def test_brightness_that_differs_between_parts_or_halves_is_named(tmp_path: Path, sample: Splits) -> None:
    train, test = both(sample)
    dark = replaced(test, (test.images * 0.6).astype(np.uint8))

    between = only(checked(write(tmp_path / "a", train, dark)), "split-shift")
    assert between.where == "data train and data test"
    images = train.images.copy()
    images[1_000:] = (images[1_000:] * 0.6).astype(np.uint8)
    halves = only(checked(write(tmp_path / "b", replaced(train, images))), "split-shift")
    assert "halves" in halves.where
    assert halves.figures["standard_deviations"] > 0.25


def test_no_p_value_is_said_to_be_0() -> None:
    assert _p_text(0.0) == "p < 1e-100"
    assert _p_text(3.2e-12) == "p = 3e-12"


def test_the_order_of_classes_alone_is_no_shift(tmp_path: Path, sample: Splits) -> None:
    by_class = sample.train.subset(np.argsort(sample.train.labels, kind="stable"))  # type: ignore[arg-type]  # labelled
    assert "split-shift" not in names(checked(write(tmp_path, by_class)))


@pytest.mark.parametrize("value", [0, 255, 93])
def test_constant_images_are_counted(value: int, tmp_path: Path, sample: Splits) -> None:
    images = sample.train.images.copy()
    images[[3, 99, 1_500]] = value
    finding = only(checked(write(tmp_path, replaced(sample.train, images))), "constant-image")
    assert finding.figures == {"constant": 3, "n": 2_000}


@pytest.mark.parametrize(("row", "column"), [(0, 0), (27, 13), (14, 14)])
@pytest.mark.parametrize("size", [1, 2])
def test_a_pixel_that_tells_the_label_is_named(
    row: int, column: int, size: int, tmp_path: Path, sample: Splits
) -> None:
    assert sample.train.labels is not None
    images = sample.train.images.copy()
    images[:, row : row + size, column : column + size] = (sample.train.labels * 25).astype(np.uint8)[:, None, None]

    finding = only(checked(write(tmp_path, replaced(sample.train, images))), "leaky-pixel")
    assert (finding.severity, finding.figures["accuracy"]) == ("error", 1.0)
    assert abs(finding.figures["row"] - row) < size
    assert abs(finding.figures["column"] - column) < size


def test_classes_that_a_pixel_truly_tells_apart_are_no_leak(tmp_path: Path, sample: Splits, digits: Dataset) -> None:
    """Trousers have a gap where bags have none; a one has ink where a zero has a hole."""
    for name, dataset, classes in (("fashion", sample.train, (1, 8)), ("digits", digits, (0, 1))):
        two = of_classes(dataset, classes)
        assert two.labels is not None
        two = Dataset(two.images, (two.labels == classes[1]).astype(np.int64), ("a", "b"), name)
        assert "leaky-pixel" not in names(checked(write(tmp_path / name, two)))


@pytest.mark.parametrize("lag", [-8, -1, 1, 5, 8])
def test_labels_displaced_by_some_places_are_measured_and_moved_back(lag: int, tmp_path: Path, sample: Splits) -> None:
    assert sample.train.labels is not None
    wrong = with_labels(sample.train, lambda labels: labels.__setitem__(slice(None), np.roll(labels, lag)))
    report = checked(write(tmp_path, wrong))

    finding = only(report, "label-offset")
    assert (finding.figures["offset"], finding.severity) == (lag, "error")
    repaired = parts(report)["train"]
    kept = slice(0, 2_000 - lag) if lag > 0 else slice(-lag, None)
    np.testing.assert_array_equal(repaired.images, sample.train.images[kept])
    np.testing.assert_array_equal(repaired.labels, sample.train.labels[kept])


def test_labels_by_chance_are_not_displaced(tmp_path: Path, sample: Splits) -> None:
    random = np.random.default_rng(0)
    shuffled = with_labels(sample.train, random.shuffle)
    assert names(checked(write(tmp_path, shuffled)), "error") == {"label-noise"}


def test_the_fast_part_sees_what_is_worst(sample: Splits) -> None:
    train, test = both(sample)
    leaky = Splits(train, test=concatenate([test, train.subset(np.arange(50))], "test"))
    assert fast_errors(leaky) == {"resplit", "overlap"}
    shifted = replaced(train, np.roll(train.images.reshape(-1), 16).reshape(train.images.shape))
    assert "shifted" in fast_errors(Splits(shifted))


def test_train_is_told_of_one_stray_label_that_would_be_a_class(digits: Dataset) -> None:
    stray = with_labels(digits, lambda labels: labels.__setitem__([5], 200))
    assert stray.num_classes == 201
    assert fast_errors(Splits(stray)) == {"label-range"}
