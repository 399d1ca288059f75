"""Planted near-duplicates are found, images that are none aren't, and 100 of the official pairs were judged by eye."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fittingroom.audit import check
from fittingroom.audit.near_duplicates import MIN_CORRELATION, near_duplicates
from fittingroom.data.dataset import Dataset
from fittingroom.data.splits import Splits
from tests.support.jpeg import as_jpeg
from tests.support.planted import both, names, write_folder

JUDGED = Path(__file__).parent / "judged_pairs.csv"
Images = np.ndarray


def moved(images: Images, down: int, right: int) -> Images:
    """Shifted, with black coming in: what leaves the picture is lost."""
    result = np.roll(images, (down, right), axis=(1, 2))
    if down:
        result[:, :down] = 0
    if right:
        result[:, :, :right] = 0
    return result


PLANTED: dict[str, tuple[Callable[[Images], Images], float]] = {
    # what was done to the images: how, and the least share that must be found
    "darker": (lambda x: (x * 0.7).astype(np.uint8), 0.99),
    "mirrored": (lambda x: x[:, :, ::-1], 0.98),
    "encoded as JPEG of quality 90": (lambda x: as_jpeg(x, 90), 0.98),
    "encoded as JPEG of quality 75": (lambda x: as_jpeg(x, 75), 0.85),
    "one pixel to the right": (lambda x: moved(x, 0, 1), 0.85),
    "darker and mirrored": (lambda x: (x[:, :, ::-1] * 0.8 + 3).astype(np.uint8), 0.98),
}


@pytest.mark.parametrize("what", PLANTED)
def test_recall_of_planted_near_duplicates(what: str, sample: Splits) -> None:
    change, least = PLANTED[what]
    images = sample.train.images
    planted = change(images[:500])
    near = near_duplicates(np.concatenate([images, planted]))
    pairs = {tuple(pair) for pair in near.pairs.tolist()}

    recall = np.mean([(row, len(images) + row) in pairs for row in range(500)])
    assert recall >= least


def zoomed(images: Images, factor: float) -> Images:
    edge = 14 * (1 - 1 / factor)
    matrix = (1 / factor, 0, edge, 0, 1 / factor, edge)
    how = {"resample": Image.Resampling.BILINEAR}
    return each(images, lambda image: image.transform((28, 28), Image.Transform.AFFINE, matrix, **how))


def each(images: Images, alter: Callable[[Image.Image], Image.Image]) -> Images:
    return np.stack([np.asarray(alter(Image.fromarray(image))) for image in images])


ALTERED: dict[str, tuple[Callable[[Images], Images], float]] = {
    "resized and back": (lambda x: each(x, lambda image: image.resize((20, 20), 2).resize((28, 28), 2)), 0.9),
    "blurred": (lambda x: each(x, lambda image: image.filter(ImageFilter.GaussianBlur(0.7))), 0.95),
    "gamma 0.6": (lambda x: np.rint(255 * (x / 255) ** 0.6).astype(np.uint8), 0.9),
    "gamma 1.6": (lambda x: np.rint(255 * (x / 255) ** 1.6).astype(np.uint8), 0.9),
    "inverted": (lambda x: 255 - x, 0.98),
    "zoomed to 0.95": (lambda x: zoomed(x, 0.95), 0.75),
    "zoomed to 1.05": (lambda x: zoomed(x, 1.05), 0.75),
    "turned by 2°": (lambda x: each(x, lambda image: image.rotate(2, Image.Resampling.BILINEAR)), 0.9),
    "turned by 5°": (lambda x: each(x, lambda image: image.rotate(5, Image.Resampling.BILINEAR)), 0.95),
    "turned by −5°": (lambda x: each(x, lambda image: image.rotate(-5, Image.Resampling.BICUBIC)), 0.95),
    "mirrored, inverted, JPEG": (lambda x: as_jpeg(255 - x[:, :, ::-1], 75), 0.95),
}


@pytest.mark.parametrize("what", ALTERED)
def test_altered_copies_are_found(what: str, sample: Splits) -> None:
    """benchmarks/near_duplicates.py has the shares for 2,000 of 10,000 images."""
    change, least = ALTERED[what]
    images = sample.train.images
    near = near_duplicates(np.concatenate([images, np.ascontiguousarray(change(images[:500]))]))
    pairs = {tuple(pair) for pair in near.pairs.tolist()}
    assert np.mean([(row, len(images) + row) in pairs for row in range(500)]) >= least


def test_few_images_of_different_classes_are_called_copies(sample: Splits) -> None:
    labels = sample.train.labels
    assert labels is not None
    pairs = near_duplicates(sample.train.images).pairs
    assert (labels[pairs[:, 0]] != labels[pairs[:, 1]]).sum() <= 1


def test_false_alarms_among_random_pairs_are_rare(official: Splits) -> None:
    random = np.random.default_rng(0)
    one, other = (official.train.images[random.permutation(60_000)[:20_000]].reshape(20_000, -1) for _ in range(2))
    same = (one == other).all(axis=1)
    one, other = (x - x.mean(axis=1, keepdims=True) for x in (one.astype(np.float32), other.astype(np.float32)))
    correlation = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert (correlation[~same] < MIN_CORRELATION).all()


def test_equal_and_constant_images(sample: Splits) -> None:
    images = np.concatenate([sample.train.images[:300], sample.train.images[:3], np.zeros((5, 28, 28), np.uint8)])
    near = near_duplicates(images)
    assert {(0, 300), (1, 301), (2, 302)} <= {tuple(pair) for pair in near.pairs.tolist()}
    assert (near.pairs < 303).all()


@pytest.mark.parametrize("shape", [(1, 28, 28), (2, 5, 9), (40, 64, 48), (10, 1, 1)])
def test_any_number_and_size_of_images(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert near_duplicates(images).pairs.shape == (0, 2)


def test_the_same_images_give_the_same_pairs(sample: Splits) -> None:
    one, other = (near_duplicates(sample.train.images, threshold=0.97) for _ in range(2))
    assert len(one.pairs) > 10
    np.testing.assert_array_equal(one.pairs, other.pairs)


def test_planted_pairs_between_train_and_test_are_a_warning_with_a_sheet(tmp_path: Path, sample: Splits) -> None:
    train, test = both(sample)
    images = test.images.copy()
    images[:100] = (train.images[:100] * 0.8).astype(np.uint8)
    leaky = Dataset(images, test.labels, test.classes, "t")
    report = check([write_folder(tmp_path / "data", train, leaky)], cache=False)

    between = [finding for finding in report.findings if finding.name == "near-duplicates" and " and " in finding.where]
    assert between[0].severity == "warning"
    assert between[0].figures["images"] >= 100
    assert between[0].examples[0].images.shape == (12, 28, 28)
    assert "overlap" not in names(report)

    # Of such pairs of Fashion-MNIST three of four are merely alike (docs/data-check.md): none is called a copy.
    for finding in report.findings:
        if finding.name == "near-duplicates":
            assert "images that may be copies" in finding.message
            assert finding.effect.startswith("If they are copies, ")


@pytest.mark.nightly
def test_judgements_are_of_pairs_that_are_found(official: Splits) -> None:
    """100 pairs drawn by chance from those found, each looked at; docs/data-check.md has the result."""
    images = np.concatenate([part.images for part in both(official)])
    near = near_duplicates(images, altered=False)
    pairs = {tuple(pair) for pair in near.pairs.tolist()}
    with JUDGED.open() as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == 100
    assert {(int(row["first"]), int(row["second"])) for row in rows} <= pairs
    assert {row["judgement"] for row in rows} <= {"same picture", "same product", "alike"}
    between = (near.pairs[:, 0] < 60_000) & (near.pairs[:, 1] >= 60_000)
    assert (len(pairs), int(between.sum()), len(np.unique(near.pairs[between, 1]))) == (236, 60, 42)
    assert near.compared < 0.02
