"""Does ``predict`` see what training saw? Asked at the end of a training, of pictures whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import Dataset
from fittingroom.data.picture_file import read_picture_file
from fittingroom.data.preprocessing import encode_png
from fittingroom.errors import ArtifactError, DataError
from fittingroom.evaluation.predictions import Predictions
from fittingroom.evaluation.threshold import is_a_tie
from fittingroom.predict.classifier import Classifier

MAX_PICTURES = 500
MAX_BYTES = 200_000_000  # of all files together: of photos of 12 megapixels it is some fifty, in a few seconds
BLOCK = 100  # images that are decoded before the model answers them
TOLERANCE = 1e-4  # in probability, as for what is exported


class PicturesDiffer(ArtifactError):
    """``predict`` would see other images than the training saw, or answer otherwise; the message has the first."""


def pictures_to_check(dataset: Dataset) -> Dataset:
    """Up to 500 images from all over a set."""
    rows = np.linspace(0, len(dataset) - 1, min(len(dataset), MAX_PICTURES)).astype(np.int64)
    return dataset.subset(rows)


def check_pictures(model: Classifier, dataset: Dataset, expected: Predictions, folder: Path | None) -> int:
    """Send pictures through ``predict``'s own path: it must see what training saw, and answer as evaluation does.

    Args:
        model: as ``predict`` opens it.
        dataset: images as the training had them.
        expected: what evaluation said of each.
        folder: that the set's files lie below. Where there are none, the arrays are written as PNG in memory.

    Returns:
        The pictures that were checked: all, or as many as come to 200 MB.

    Raises:
        PicturesDiffer: not all of them are seen and answered alike.
    """
    checked = size = differing = 0
    first = ""
    for start in range(0, len(dataset), BLOCK):
        images, names = [], []
        for row in range(start, min(start + BLOCK, len(dataset))):
            if size >= MAX_BYTES:
                break
            content, name = _content(dataset, row, folder)
            size += len(content)
            images.append(_seen(model, content, name))
            names.append(name)
        if not images:
            break

        rows = slice(start, start + len(images))
        is_alike_N = _are_alike(model, np.stack(images), dataset.images[rows], expected.subset(rows))
        if not is_alike_N.all():
            first = first or names[int(is_alike_N.argmin())]
            differing += int(np.count_nonzero(~is_alike_N))
        checked += len(images)

    if differing:
        raise PicturesDiffer(
            f"{model.artifact.path}: predict would not see what training saw: {differing:,} of {checked:,} pictures "
            f"come out otherwise, first {first}; were they changed since the data was opened?"
        )
    return checked


def _content(dataset: Dataset, row: int, folder: Path | None) -> tuple[bytes, str]:
    """The bytes of a picture's file, or of a PNG of its array; and what messages call it."""
    if dataset.files is not None and folder is not None:
        file = folder / dataset.files[row]
        if file.is_file():
            return read_picture_file(file), str(file)
    return encode_png(dataset.images[row]), f"image {row:,} of {dataset.name}, as PNG"


def _seen(model: Classifier, content: bytes, name: str) -> NDArray[np.uint8]:
    """What the model sees of a picture; nothing but black where it can't be read any more, which then differs."""
    try:
        return model.image_of(content, name)
    except DataError:
        return np.zeros(model.image_shape, dtype=np.uint8)


def _are_alike(
    model: Classifier, seen: NDArray[np.uint8], trained_on: NDArray[np.uint8], expected: Predictions
) -> NDArray[np.bool_]:
    """Whether each image is the one that training had, and the answer to it evaluation's: bool (N,)."""
    is_same_N = (seen == trained_on).reshape(len(seen), -1).all(axis=1)
    answer = model.classify(seen)

    # Where two classes are as probable as each other, rounding decides: either is right.
    near_N = np.abs(answer.probabilities - expected.probabilities).max(axis=1) <= TOLERANCE
    is_tie_N = is_a_tie(expected.probabilities, model.artifact.threshold, TOLERANCE)
    is_alike_N: NDArray[np.bool_] = is_same_N & near_N & ((answer.predicted == expected.predicted) | is_tie_N)
    return is_alike_N
