"""Images that aren't whole, upright or white on black are named, measured by their own pixels, and put right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from fittingroom.audit.check import repair_images
from fittingroom.audit.layout import offset_of
from fittingroom.audit.orientation import TURNS
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from tests.support.planted import both, replaced


def displaced(dataset: Dataset, by: int) -> Dataset:
    """As if ``by`` bytes stood before the first pixel: what was there is no image, the end is cut off."""
    run = np.concatenate([np.zeros(by, np.uint8), dataset.images.reshape(-1)])[: dataset.images.size]
    return replaced(dataset, run.reshape(dataset.images.shape))


def found_in(dataset: Dataset) -> list[str]:
    return [finding.name for finding in repair_images(dataset)[0]]


@pytest.mark.parametrize("by", [1, 2, 8, 16, 27, 28, 29, 100, 391, 500, 768, 783])
def test_displaced_pixels_are_measured_to_the_byte_and_put_back(by: int, sample: Splits) -> None:
    (finding,), repaired = repair_images(displaced(sample.train, by))
    assert finding.name == "shifted"
    assert (finding.figures["offset"], finding.figures["rolled"]) == (by, False)
    assert sample.train.labels is not None
    np.testing.assert_array_equal(repaired.images, sample.train.images[:-1])
    np.testing.assert_array_equal(repaired.labels, sample.train.labels[:-1])


@pytest.mark.parametrize("by", [1, 16, 28, 400, 780])
def test_pixels_missing_at_the_start_cost_the_first_image_and_its_label(by: int, sample: Splits) -> None:
    run = np.concatenate([sample.train.images.reshape(-1)[by:], np.zeros(by, np.uint8)])
    (finding,), repaired = repair_images(replaced(sample.train, run.reshape(sample.train.images.shape)))
    assert finding.figures["offset"] == 784 - by
    assert sample.train.labels is not None
    np.testing.assert_array_equal(repaired.images, sample.train.images[1:])
    np.testing.assert_array_equal(repaired.labels, sample.train.labels[1:])


@pytest.mark.parametrize("by", [5, 16, 28, 300])
def test_images_rolled_one_by_one_are_all_put_back(by: int, sample: Splits) -> None:
    flat = np.roll(sample.train.images.reshape(len(sample.train), -1), by, axis=1)
    (finding,), repaired = repair_images(replaced(sample.train, flat.reshape(sample.train.images.shape)))
    assert (finding.figures["offset"], finding.figures["rolled"]) == (by, True)
    assert repaired.fingerprint == sample.train.fingerprint


@settings(max_examples=25)
@given(by=st.integers(1, 783), first=st.integers(0, 1_700))
def test_any_offset_is_measured_on_any_300_images(by: int, first: int, sample: Splits) -> None:
    some = sample.train.subset(np.arange(first, first + 300))
    offset = offset_of(displaced(some, by))
    assert offset is not None
    assert (offset.start, offset.is_exact) == (by, True)


def test_offset_of_digits_with_an_empty_border_is_given_as_a_range(digits: Dataset) -> None:
    (finding, *others), repaired = repair_images(displaced(digits, 40 * 28))
    assert not others
    assert finding.name == "shifted"
    assert finding.figures["lowest"] <= 12 * 28 <= finding.figures["highest"]
    assert finding.fix == ""
    assert len(repaired) == len(digits)


@pytest.mark.parametrize("shape", [(56, 14), (14, 56), (7, 112), (98, 8)])
def test_wrong_width_is_measured_and_put_right(shape: tuple[int, int], sample: Splits, digits: Dataset) -> None:
    for dataset in (sample.train, digits):
        wrong = Dataset(dataset.images.reshape(-1, *shape), dataset.labels, dataset.classes, dataset.name)
        (finding,), repaired = repair_images(wrong)
        assert (finding.name, finding.figures["true_width"]) == ("wrong-width", 28)
        assert repaired.fingerprint == dataset.fingerprint


@pytest.mark.parametrize("what", TURNS)
def test_turned_images_are_named_and_turned_back(what: str, sample: Splits, digits: Dataset) -> None:
    name, turn, _ = TURNS[what]
    for dataset in (sample.train, digits, replaced(sample.train, sample.train.images // 2)):
        (finding,), repaired = repair_images(replaced(dataset, turn(dataset.images)))
        assert (finding.name, finding.figures["what"]) == (name, what)
        assert repaired.fingerprint == dataset.fingerprint


def test_inverted_images_are_named_and_put_right(sample: Splits, digits: Dataset) -> None:
    for dataset in (sample.train, digits):
        (finding,), repaired = repair_images(replaced(dataset, 255 - dataset.images))
        assert (finding.name, finding.severity) == ("inverted", "error")
        assert repaired.fingerprint == dataset.fingerprint


def test_white_ground_of_unknown_images_is_a_note_and_left(sample: Splits) -> None:
    unknown = 255 - np.roll(sample.train.images[:, ::2, ::2], 1, axis=0)
    dataset = Dataset(np.ascontiguousarray(unknown), None, (), "unknown")
    (finding,), repaired = repair_images(dataset)
    assert (finding.name, finding.severity, finding.fix) == ("inverted", "note", "")
    assert repaired is dataset


def test_several_faults_at_once_are_all_undone(sample: Splits) -> None:
    transposed = replaced(sample.train, 255 - sample.train.images.transpose(0, 2, 1))
    wrong = displaced(transposed, 16)
    wrong = Dataset(wrong.images.reshape(-1, 56, 14), wrong.labels, wrong.classes, wrong.name)
    findings, repaired = repair_images(wrong)
    assert [finding.name for finding in findings] == ["wrong-width", "shifted", "transposed", "inverted"]
    np.testing.assert_array_equal(repaired.images, sample.train.images[:-1])


@pytest.mark.parametrize("size", [50, 150, 400])
@pytest.mark.parametrize("order", ["random", "sorted by class"])
def test_no_subset_of_sound_digits_is_moved(size: int, order: str) -> None:
    """8×8 in arrays, where rows in the middle are as unlike as strangers; benchmarks/false_alarms.py has 3,360 sets."""
    digits, random = load_digits(), np.random.default_rng(size)
    images, names = (digits.images * (255 / 16)).round().astype(np.uint8), tuple(map(str, range(10)))
    for classes in (2, 3, 5) * 8:
        rows = random.permutation(np.flatnonzero(np.isin(digits.target, random.permutation(10)[:classes])))[:size]
        if order != "random":
            rows = rows[np.argsort(digits.target[rows], kind="stable")]
        subset = Dataset(images[rows], digits.target[rows].astype(np.int64), names, "a subset")
        findings, repaired = repair_images(subset)
        assert not findings
        assert repaired is subset


def test_good_images_are_left_alone(sample: Splits, digits: Dataset) -> None:
    by_class = sample.train.subset(np.argsort(sample.train.labels, kind="stable"))  # type: ignore[arg-type]  # labelled
    noise = np.random.default_rng(0).integers(0, 256, (500, 28, 28), np.uint8)
    flat = np.full((500, 28, 28), 7, np.uint8)
    small = sample.train.images[:, ::4, ::4]
    unlabelled = [Dataset(images, None, (), "unlabelled") for images in (noise, flat, np.ascontiguousarray(small))]
    for dataset in (*both(sample), digits, by_class, *unlabelled):
        findings, same = repair_images(dataset)
        assert findings == []
        assert same is dataset


def test_official_images_are_left_alone(official: Splits) -> None:
    for dataset in both(official):
        assert found_in(dataset) == []
