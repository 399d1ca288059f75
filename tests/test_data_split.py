"""``split_dataset``: the shares hold in each class, and nothing of one part is seen again in another."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import fittingroom as fr
from fittingroom.data.dataset import Dataset
from fittingroom.data_split import PARTS, split_dataset
from fittingroom.errors import DataError


@pytest.fixture(scope="module")
def sample() -> Dataset:
    return fr.open_dataset("sample").train


def noise(count: int, classes: int, *, seed: int = 0) -> Dataset:
    """Images that all differ, of classes of different sizes."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 8, 8), np.uint8)
    labels = np.minimum(random.geometric(0.4, count) - 1, classes - 1)
    return Dataset(images, labels, tuple(f"class {label}" for label in range(classes)), "noise")


def sides(keys: list[str], part_N: NDArray[np.int64]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for key, part in zip(keys, part_N.tolist(), strict=True):
        found.setdefault(key, set()).add(part)
    return found


# ── shares ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_class_has_its_share_to_the_image(sample: Dataset) -> None:
    split = split_dataset(sample, test=0.2, validation=0.1)
    assert {name: len(rows) for name, rows in split.rows.items()} == {"train": 1400, "validation": 200, "test": 400}
    parts = split.of(sample)
    assert parts.test is not None
    assert parts.validation is not None
    assert parts.test.class_counts().tolist() == [40] * 10
    assert parts.validation.class_counts().tolist() == [20] * 10


def test_shares_that_do_not_divide_evenly_are_off_by_less_than_one_image_a_class() -> None:
    data = noise(997, 7)
    split = split_dataset(data, test=0.23, validation=0.11, near=False)
    assert data.labels is not None
    counts = data.class_counts()
    for name, share in (("test", 0.23), ("validation", 0.11)):
        rows = split.rows[name]
        assert len(rows) == round(997 * share)
        of_class = np.bincount(data.labels[rows], minlength=7)
        assert np.abs(of_class - share * counts).max() < 1


def test_a_class_of_one_image_is_trained_on() -> None:
    data = Dataset(np.arange(21 * 4, dtype=np.uint8).reshape(21, 2, 2), np.array([1] + [0] * 20), ("many", "one"), "d")
    split = split_dataset(data, test=0.5, near=False)
    assert PARTS[split.parts[0]] == "train"
    assert "no image in test of one" in split.notes


def test_the_same_seed_gives_the_same_split_and_another_seed_another(sample: Dataset) -> None:
    first, again, other = (split_dataset(sample, test=0.2, seed=seed, near=False).parts for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


# ── what stays together ──────────────────────────────────────────────────────────────────────────────────────


def test_no_group_lies_on_two_sides_and_the_shares_nearly_hold(sample: Dataset) -> None:
    random = np.random.default_rng(5)
    groups = [f"person {number}" for number in random.integers(0, 150, len(sample))]
    split = split_dataset(sample, test=0.2, validation=0.1, groups=groups, near=False)
    assert {len(parts) for parts in sides(groups, split.parts).values()} == {1}
    assert len(split.rows["test"]) == pytest.approx(400, abs=15)
    assert len(split.rows["validation"]) == pytest.approx(200, abs=15)
    parts = split.of(sample)
    assert parts.test is not None
    assert np.abs(parts.test.class_counts() - 40).max() <= 10
    assert "150 groups kept together" in split.notes


def test_images_in_no_group_are_not_one_group(sample: Dataset) -> None:
    groups = ["one", "one", *[None] * (len(sample) - 3), ""]
    split = split_dataset(sample, test=0.2, groups=groups, near=False)
    assert len(np.unique(split.bundles)) == len(sample) - 1
    assert "1 group kept together; 1,998 images are in none" in split.notes


def test_equal_images_lie_on_one_side_whatever_their_labels_and_groups() -> None:
    once = noise(200, 3)
    assert once.labels is not None
    rows = [*range(200), *range(60), *range(30)]
    labels = once.labels[rows].copy()
    labels[200:] = (labels[200:] + 1) % 3
    data = Dataset(once.images[rows], labels, once.classes, "twice")

    # The first images of groups a and b are equal: through them both groups are one.
    groups: list[str | None] = [None] * 290
    groups[0] = groups[100] = "a"
    groups[200] = groups[101] = "b"
    split = split_dataset(data, test=0.3, validation=0.2, groups=groups, near=False)
    assert {len(parts) for parts in sides([str(row) for row in rows], split.parts).values()} == {1}
    assert len({split.parts[row] for row in (0, 100, 101, 200)}) == 1
    assert "90 images equal to another: kept on its side" in split.notes


@pytest.mark.parametrize("in_colour", [False, True])
def test_near_duplicates_lie_on_one_side(sample: Dataset, in_colour: bool) -> None:
    assert sample.labels is not None
    moved = np.roll(sample.images[:100], 1, axis=2)
    images = np.concatenate([sample.images[:400], moved])
    if in_colour:
        images = np.stack([images, images // 2, 255 - images], axis=3)
    data = Dataset(images, np.concatenate([sample.labels[:400], sample.labels[:100]]), sample.classes, "moved")
    split = split_dataset(data, test=0.3)
    together = split.parts[:100] == split.parts[400:]
    assert together.mean() >= 0.95  # those moved off the edge are other pictures
    assert any("near-duplicates: kept together" in note for note in split.notes)

    apart = split_dataset(data, test=0.3, near=False)
    assert (apart.parts[:100] == apart.parts[400:]).mean() < 0.8


# ── what can't be ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("test", "validation"), [(0, 0), (1, 0), (0.6, 0.4), (-0.1, 0.2), (float("nan"), 0.1)])
def test_shares_that_can_not_be_are_refused(sample: Dataset, test: float, validation: float) -> None:
    with pytest.raises(DataError, match="shares of the images"):
        split_dataset(sample, test=test, validation=validation)


def test_one_group_of_all_can_not_be_split(sample: Dataset) -> None:
    with pytest.raises(DataError, match=r"no image for test: its 2,000 images are 1 that can be split"):
        split_dataset(sample, test=0.2, groups=["all"] * len(sample), near=False)


def test_a_set_without_labels_is_refused(sample: Dataset) -> None:
    with pytest.raises(DataError, match="labels expected"):
        split_dataset(Dataset(sample.images, None, (), "bare"), test=0.2)
