"""Arrays of any type to uint8 images and int64 labels: exactly, or not at all."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.checks import MAX_CLASSES
from fittingroom.errors import DataError

BLOCK_BYTES = 256 << 20  # of images that are read at once
BLOCK = 1 << 22  # values that are looked at at once


def as_images(array: NDArray[Any], where: str) -> NDArray[np.uint8]:
    """An array of images as uint8 (N, H, W), or (N, H, W, 3) in colour, exactly: nothing is scaled or rounded.

    Args:
        array: whole numbers 0–255 of any type: (N, H, W), (N, H, W, 1) or (N, 1, H, W) in grey, (N, H, W, 3) or
            (N, 3, H, W) in colour. Colour with R = G = B in every pixel is grey.
        where: what an error message calls it.

    Raises:
        DataError: anything else.
    """
    images = _grey_or_colour(array, where)
    if images.dtype == np.uint8 or images.size == 0:
        return images.astype(np.uint8, copy=False)

    if images.dtype.kind not in "iuf":
        advice = ": astype(np.uint8) * 255 makes black and white of no and yes" if images.dtype == bool else ""
        raise DataError(f"{where}: pixels 0–255 expected, values of type {images.dtype} found{advice}")
    exact = _whole(images) and images.min() >= 0 and images.max() <= 255
    if not exact:
        raise DataError(f"{where}: whole pixel values 0–255 expected, {_other_values(images)}")
    return images.astype(np.uint8)


def _other_values(images: NDArray[Any]) -> str:
    """What pixels are in the place of whole numbers 0–255, and what to do, for the end of a message."""
    is_number = np.isfinite(images) if images.dtype.kind == "f" else np.ones(images.shape, bool)
    if not is_number.all():
        first = np.unravel_index(int(np.argmin(is_number)), images.shape)
        return f"{images[first]:g} found in image {int(first[0]):,}: leave such images out, or fill in what is missing"

    low, high = images.min(), images.max()
    found = f"{images.dtype} from {low:g} to {high:g} found"
    if images.dtype.kind == "f" and 0 <= low < high <= 1:
        return f"{found}: where white is 1, np.round(images * 255).astype(np.uint8) makes them so"
    return f"{found}: scale and round them yourself, then save them as uint8"


def as_labels(array: NDArray[Any], where: str) -> NDArray[np.int64]:
    """An array of labels as int64 (N,).

    Args:
        array: whole numbers 0–999 of any type, or yes and no, which count as 1 and 0: (N,) or (N, 1).
        where: what an error message calls it.

    Raises:
        DataError: anything else.
    """
    labels = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.ndim != 1:
        is_yes_no = labels.ndim == 2 and bool(((labels == 0) | (labels == 1)).all())
        hint = ": of one-hot rows give labels.argmax(1)" if is_yes_no and (labels.sum(1) == 1).all() else ""
        if is_yes_no and not hint:
            hint = ": images of several classes, or of none, aren't learned; of one column, labels[:, 0] say, they are"
        raise DataError(f"{where}: one label an image, (N,), expected, {array.shape} found{hint}")
    if labels.dtype == bool:
        return labels.astype(np.int64)
    if labels.dtype.kind not in "iuf":
        raise DataError(f"{where}: whole numbers as labels expected, others found ({labels.dtype})")
    if not _whole(labels):
        row = int(np.argmin(np.isfinite(labels) & (labels == np.floor(labels))))
        found = f"others found ({labels.dtype}): {labels[row]:g} at image {row:,}"
        raise DataError(f"{where}: whole numbers as labels expected, {found}")
    wrong = (labels < 0) | (labels >= MAX_CLASSES)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{where}: labels 0 to {MAX_CLASSES - 1} expected, {labels[row]:g} found at image {row:,}: number the "
            "classes from 0 on, or give their names"
        )
    return labels.astype(np.int64)


def rows_of_block(rows: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """How many images are read at once where ``rows`` are asked for: fewer large ones, whatever their size."""
    return max(1, min(rows, BLOCK_BYTES // max(1, math.prod(shape[1:]) * dtype.itemsize)))


def alike(images: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The images of all parts in colour, if those of any part are: each part alone can't tell that its set is."""
    if not any(array.ndim == 4 for array in images.values()):
        return dict(images)
    return {
        part: array if array.ndim == 4 else np.repeat(array[..., None], 3, axis=3) for part, array in images.items()
    }


def is_grey(images_NHW3: NDArray[Any]) -> bool:
    """Whether R = G = B in every pixel. The first coloured block decides, so that colour is told at once."""
    rows = max(1, BLOCK // max(1, images_NHW3[:1].size))
    blocks = (images_NHW3[start : start + rows] for start in range(0, len(images_NHW3), rows))
    return all(bool((block == block[..., :1]).all()) for block in blocks)


def _grey_or_colour(array: NDArray[Any], where: str) -> NDArray[Any]:
    if array.ndim == 3:
        return array
    if array.ndim == 4 and array.shape[3] == 1:
        return array[..., 0]
    if array.ndim == 4 and array.shape[1] == 1:
        return array[:, 0]

    # PyTorch puts the channels before height and width
    if array.ndim == 4 and array.shape[1] == 3 and array.shape[3] != 3:
        array = array.transpose(0, 2, 3, 1)
    if array.ndim == 4 and array.shape[3] == 3:
        return array[..., 0] if is_grey(array) else array
    if array.ndim == 4 and array.shape[3] == 4:
        raise DataError(f"{where}: 1 or 3 channels expected, 4 found: put the pictures on a background first")
    raise DataError(
        f"{where}: images (N, height, width) or (N, height, width, 3) expected, an array {array.shape} found"
        f"{_advice(array)}"
    )


def _advice(array: NDArray[Any]) -> str:
    """How rows of pixels become images again, or one image a set, where that can be told."""
    side = math.isqrt(array.shape[1]) if array.ndim == 2 else 0
    if side > 3 and side**2 == array.shape[1]:
        return f": of square ones, reshape(-1, {side}, {side}) makes images"
    return ""


def _whole(array: NDArray[Any]) -> bool:
    """Whether all values are whole numbers; NaN and infinity are not."""
    return array.dtype.kind in "iu" or bool((np.isfinite(array) & (array == np.floor(array))).all())
