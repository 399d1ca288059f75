import hashlib
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fittingroom.data.cut import stratified_split
from fittingroom.data.dataset import Dataset, concatenate
from fittingroom.data.open import open_dataset
from fittingroom.data.splits import Splits
from fittingroom.errors import DataError

IMAGES = np.arange(6 * 2 * 3, dtype=np.uint8).reshape(6, 2, 3)
LABELS = np.array([0, 1, 2, 0, 1, 2])
CLASSES = ("bag", "coat", "shirt")


def made(**changes: Any) -> Dataset:
    return Dataset(**{"images": IMAGES, "labels": LABELS, "classes": CLASSES, "name": "six", **changes})


def test_properties() -> None:
    dataset = made()
    assert len(dataset) == 6
    assert dataset.image_size == (2, 3)
    assert dataset.channels == 1
    assert dataset.num_classes == 3
    assert dataset.class_counts().tolist() == [2, 2, 2]
    assert repr(dataset) == "Dataset('six': 6 images 2×3, 3 classes)"


def test_arrays_are_read_only_and_not_copied() -> None:
    images = IMAGES.copy()
    dataset = made(images=images)
    assert np.shares_memory(dataset.images, images)
    assert images.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        dataset.images[0, 0, 0] = 1
    assert dataset.labels is not None
    with pytest.raises(ValueError, match="read-only"):
        dataset.labels[0] = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": IMAGES.astype(np.float32)}, r"six: images uint8 \(N, H, W\) or .*, float32 \(6, 2, 3\) found"),
        ({"images": IMAGES[0]}, r"uint8 \(2, 3\) found"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "at least one image expected, none found"),
        ({"images": np.zeros((6, 2, 257), np.uint8)}, "1 to 256 pixels a side expected, 2×257 found"),
        ({"images": np.zeros((6, 0, 3), np.uint8)}, "0×3 found"),
        ({"labels": LABELS[:5]}, "6 labels expected, one an image, 5 found"),
        ({"labels": LABELS.astype(np.float64)}, r"integer labels \(N,\) expected, float64 \(6,\) found"),
        ({"labels": LABELS + 1}, "labels 0 to 2 expected, 1 to 3 found, first at image 2"),
        ({"labels": LABELS - 1}, "labels 0 to 2 expected, -1 to 1 found, first at image 0"),
        ({"classes": ("a", "b", "a")}, r"found more than once: \[a\]"),
        ({"classes": ("a", "", "c")}, "class 1 has an empty name"),
        ({"classes": ("a",), "labels": LABELS * 0}, "2 to 1,000 classes expected, 1 found"),
        ({"classes": tuple(map(str, range(1001)))}, "2 to 1,000 classes expected, 1,001 found"),
        ({"classes": ()}, "2 to 1,000 classes expected, 0 found"),
    ],
)
def test_what_is_no_data_set_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(**changes)


def test_fingerprint_ignores_row_order_but_order_does_not() -> None:
    one, other = made().fingerprint, made().subset([5, 4, 3, 2, 1, 0]).fingerprint
    assert (one.content, one.images) == (other.content, other.images)
    assert one.order != other.order


def test_fingerprint_goes_by_class_name_not_number() -> None:
    renumbered = made(labels=2 - LABELS, classes=CLASSES[::-1])
    assert renumbered.fingerprint == made().fingerprint
    renamed = made(classes=("x", "y", "z"))
    assert renamed.fingerprint.images == made().fingerprint.images
    assert renamed.fingerprint.content != made().fingerprint.content


@pytest.mark.parametrize(
    "changes",
    [{"images": IMAGES + 1}, {"images": IMAGES.reshape(6, 3, 2)}, {"images": IMAGES[:5], "labels": LABELS[:5]}],
)
def test_fingerprint_of_other_images_differs(changes: dict[str, Any]) -> None:
    assert made(**changes).fingerprint.images != made().fingerprint.images


def test_fingerprint_does_not_change_between_versions() -> None:
    """Runs on disk hold fingerprints: a change of these values would make every old run unrecognisable."""
    assert made().fingerprint.content == "76dcf4b6ecf264c4bd925804453ca1f3fe55a85c32477e9b953525986458c5c1"
    assert made().fingerprint.images == "90451c1bd9cfa93a68a7db853bb420e76b55726113132938674a6781271cc740"
    assert made().fingerprint.order == "e44403b24c45a78e3d52b6ff60b7b36bbc767e100ea0d9f636ad72e53fe15606"


def test_image_hashes_tell_equal_images() -> None:
    hashes = made().subset([0, 1, 0]).image_hashes()
    assert hashes[0] == hashes[2] != hashes[1]
    assert {len(digest) for digest in hashes} == {32}


def test_aligned_by_name_keeps_every_images_class() -> None:
    aligned = made().aligned_to(("shirt", "bag", "hat", "coat"))
    assert aligned.labels is not None
    assert [aligned.classes[label] for label in aligned.labels] == [CLASSES[label] for label in LABELS]
    assert aligned.fingerprint == made().fingerprint


def test_aligned_to_other_names_is_refused_with_both_lists() -> None:
    with pytest.raises(DataError, match=r"expected \[bag, hat\]; found \[bag, coat, shirt\]"):
        made().aligned_to(("bag", "hat"))


def test_numbers_with_zeros_before_them_are_the_same_classes_as_those_without() -> None:
    """German traffic signs are in folders 00000, 00001, …, and their test table numbers them 0, 1, …"""
    given = made(classes=("0", "1", "10"))
    aligned = given.aligned_to(("00000", "00010", "00001"))
    assert aligned.labels is not None
    assert aligned.labels.tolist() == np.array([0, 2, 1])[LABELS].tolist()
    for others in (("00", "000", "01", "10"), ("00", "01", "x"), ("00", "01", "02")):
        with pytest.raises(DataError, match="its classes differ"):
            given.aligned_to(others)


def test_concatenate_aligns_classes_by_name() -> None:
    both = concatenate([made(), made(labels=2 - LABELS, classes=CLASSES[::-1])], "both")
    assert both.labels is not None
    assert both.labels.tolist() == LABELS.tolist() * 2
    with pytest.raises(DataError, match="one has labels, the other has none"):
        concatenate([made(), made(labels=None, classes=())], "both")
    with pytest.raises(DataError, match="images of 2×3 expected, 3×2 found"):
        concatenate([made(), made(images=IMAGES.reshape(6, 3, 2))], "both")


@given(counts=st.lists(st.integers(1, 30), min_size=2, max_size=6), share=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_stratified_split_is_exact_proportional_and_whole(counts: list[int], share: float, seed: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    total = len(labels)
    images = np.arange(total, dtype=np.uint8).reshape(-1, 1, 1)
    dataset = Dataset(images, labels, tuple(map(str, range(len(counts)))), "x")
    n = min(max(int(share * total), 1), total - 1)
    assume(total > len(counts))  # else no class has an image to spare

    rest, held_out = stratified_split(dataset, n, seed)

    expected = np.array(counts) * n / total
    assert len(held_out) == min(n, total - len(counts))
    assert (np.floor(expected) <= held_out.class_counts()).all()
    assert (held_out.class_counts() < counts).all()
    if (np.ceil(expected) < counts).all():
        assert np.abs(held_out.class_counts() - expected).max() < 1

    for part in (rest, held_out):
        assert (np.diff(part.images[:, 0, 0].astype(int)) > 0).all()  # file order
    assert sorted([*rest.images.flat, *held_out.images.flat]) == images.ravel().tolist()


def test_stratified_split_depends_on_the_seed_alone() -> None:
    cuts = [stratified_split(made(), 3, seed)[1].fingerprint.order for seed in (0, 0, 1, 2, 3, 4)]
    assert cuts[0] == cuts[1]
    assert len(set(cuts)) > 1


@pytest.mark.parametrize("n", [0, 6, -1])
def test_stratified_split_of_nothing_or_everything_is_refused(n: int) -> None:
    with pytest.raises(DataError, match="1 to 5 images to hold out expected"):
        stratified_split(made(), n, 0)


def test_splits_must_agree() -> None:
    with pytest.raises(DataError, match="images of 2×3 expected as in six, 3×2 found"):
        Splits(made(), test=made(images=IMAGES.reshape(6, 3, 2)))
    with pytest.raises(DataError, match=r"\[bag, coat, shirt\]; found \[shirt, coat, bag\]"):
        Splits(made(), test=made(classes=CLASSES[::-1]))
    assert Splits(made(), test=made(labels=None, classes=())).test is not None


def test_as_torch_gives_images_from_0_to_1_to_a_data_loader() -> None:
    import torch.utils.data

    dataset = made(images=IMAGES * 7)
    image, label = pickle.loads(pickle.dumps(dataset.as_torch()))[5]
    assert image.shape == (1, 2, 3)
    assert image.dtype == torch.float32
    assert label == 2

    images_N1HW, labels_N = next(iter(torch.utils.data.DataLoader(dataset.as_torch(), batch_size=6)))
    np.testing.assert_array_equal(images_N1HW[:, 0].numpy(), dataset.images.astype(np.float32) / 255)
    assert labels_N.tolist() == LABELS.tolist()
    with pytest.raises(DataError, match="labels expected, none found"):
        made(labels=None, classes=()).as_torch()


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, fittingroom.data; print({'numpy', 'polars', 'PIL', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_importing_open_loads_neither_torch_nor_what_a_format_needs() -> None:
    code = "import sys, fittingroom.data.open; print({'polars', 'PIL', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# ── colour, and the files that images come from ──────────────────────────────────────────────────────────────

COLOUR = np.arange(6 * 2 * 3 * 3, dtype=np.uint8).reshape(6, 2, 3, 3)
FILES = tuple(f"bag/{number}.png" for number in range(6))


def test_images_in_colour() -> None:
    dataset = made(images=COLOUR)
    assert (dataset.image_size, dataset.channels) == ((2, 3), 3)
    assert repr(dataset) == "Dataset('six': 6 images 2×3 colour, 3 classes)"
    assert (dataset.subset([5, 0]).images == COLOUR[[5, 0]]).all()


@pytest.mark.parametrize("shape", [(6, 2, 3, 1), (6, 3, 2, 3, 3), (6, 2, 3, 4), (6, 3, 4, 5)])
def test_other_numbers_of_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"six: images uint8 \(N, H, W\) or \(N, H, W, 3\) expected"):
        made(images=np.zeros(shape, np.uint8))


def test_hash_of_an_image_in_colour_is_that_of_its_shape_and_pixels() -> None:
    expected = [hashlib.sha256(b"2x3x3:" + image.tobytes()).digest() for image in COLOUR]
    assert made(images=COLOUR).image_hashes() == expected
    grey = np.repeat(IMAGES[..., None], 3, axis=3)
    assert made(images=grey).fingerprint.images != made().fingerprint.images


def test_grey_and_colour_are_not_put_together() -> None:
    colour, grey = made(images=COLOUR), made()
    with pytest.raises(DataError, match=r"images of 2×3 expected as in six, 2×3 colour found.* grey images, or all in"):
        Splits(grey, test=colour)
    with pytest.raises(DataError, match="images of 2×3 colour expected, 2×3 found"):
        concatenate([colour, grey], "both")
    assert concatenate([colour, colour], "both").images.shape == (12, 2, 3, 3)


def test_files_go_with_their_images() -> None:
    dataset = made(files=FILES)
    assert dataset.subset([3, 1]).files == (FILES[3], FILES[1])
    assert dataset.subset(np.array([True, False] * 3)).files == FILES[::2]
    assert dataset.aligned_to(("shirt", "coat", "bag")).files == FILES
    assert concatenate([dataset, dataset], "both").files == FILES + FILES
    assert concatenate([dataset, made()], "both").files is None
    for part in stratified_split(dataset, 3, seed=0):
        assert part.files == tuple(FILES[image.flat[0] // 6] for image in part.images)
    with pytest.raises(DataError, match="six: 6 files expected, one an image, 5 found"):
        made(files=FILES[:5])


def test_files_go_with_the_images_of_a_large_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fittingroom.data.large.LARGE", 1)
    for part in stratified_split(made(files=FILES), 3, seed=0):
        assert part.files == tuple(FILES[image.flat[0] // 6] for image in part.images)


def test_as_torch_gives_images_in_colour_with_channels_first() -> None:
    image, _ = made(images=COLOUR).as_torch()[1]
    assert image.shape == (3, 2, 3)
    np.testing.assert_array_equal(image.numpy(), COLOUR[1].transpose(2, 0, 1).astype(np.float32) / 255)


def test_a_set_is_read_like_a_sequence_of_pairs() -> None:
    images = np.arange(5 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4)
    data = Dataset(images, np.array([0, 1, 0, 1, 1]), ("a", "b"), "mine")
    image, label = data[-1]
    assert (label, type(label)) == (1, int)
    assert np.array_equal(image, images[4])
    assert [label for _, label in data] == [0, 1, 0, 1, 1]
    for part in (data[1:3], data[[1, 2]], data[np.array([False, True, True, False, False])]):
        assert np.array_equal(part.images, images[1:3])
    with pytest.raises(IndexError):
        data[5]
    assert Dataset(images, None, (), "mine")[0][1] is None


def test_splits_are_read_like_a_mapping_of_parts() -> None:
    sample = open_dataset("sample")
    assert (list(sample), len(sample), "test" in sample, "validation" in sample) == (["train", "test"], 2, True, False)
    assert sample["test"] is sample.test
    assert dict(sample) == {"train": sample.train, "test": sample.test}
    with pytest.raises(KeyError, match="validation"):
        sample["validation"]


def test_labels_may_be_lists_and_names() -> None:
    images = np.zeros((3, 4, 4), np.uint8)
    for labels in ([1, 0, 1], ["b", "a", "b"]):
        found = Dataset(images, labels, ("a", "b"), "mine").labels  # type: ignore[arg-type]
        assert found is not None
        assert found.tolist() == [1, 0, 1]
        assert found.dtype == np.int64
    with pytest.raises(DataError, match=r"labels among its classes, \[a, b\], expected, 'c' found first at image 1"):
        Dataset(images, ["a", "c", "b"], ("a", "b"), "mine")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (("0", "1"), "; a file classes.txt beside the data, a name a line, says what its numbers are called"),
        (("bag", "Shoe"), "; capital letters alone make them differ"),
        (("Bag", "boot"), "use the same names"),
    ],
)
def test_classes_of_other_names_are_told_what_makes_them_so(found: tuple[str, ...], words: str) -> None:
    data = Dataset(np.zeros((2, 8, 8), np.uint8), np.array([0, 1]), found, "other")
    with pytest.raises(DataError, match=f"{words}$"):
        data.aligned_to(("Bag", "Shoe"))
