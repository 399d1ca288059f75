"""Arrays of any type to uint8 images and int64 labels: exactly, or not at all."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import MAX_CLASSES
from fittingroom.errors import DataError


def as_images(array: NDArray[Any], where: str) -> NDArray[np.uint8]:
    """An array of grey images as uint8 (N, H, W), exactly: nothing is scaled or rounded.

    Args:
        array: whole numbers 0–255 of any type, (N, H, W), (N, H, W, 1), (N, 1, H, W), or (N, H, W, 3) with R=G=B.
        where: what an error message calls it.

    Raises:
        DataError: anything else.
    """
    images = _grey(array, where)
    if images.dtype == np.uint8 or images.size == 0:
        return images.astype(np.uint8, copy=False)

    if images.dtype.kind not in "iuf":
        raise DataError(f"{where}: pixels 0–255 expected, values of type {images.dtype} found")
    exact = _whole(images) and images.min() >= 0 and images.max() <= 255
    if not exact:
        raise DataError(
            f"{where}: whole pixel values 0–255 expected, {images.dtype} from {images.min():g} to "
            f"{images.max():g} found: scale and round them yourself, then save them as uint8"
        )
    return images.astype(np.uint8)


def as_labels(array: NDArray[Any], where: str) -> NDArray[np.int64]:
    """An array of labels as int64 (N,).

    Args:
        array: whole numbers 0–999 of any type, (N,) or (N, 1).
        where: what an error message calls it.

    Raises:
        DataError: anything else.
    """
    labels = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.ndim != 1:
        raise DataError(f"{where}: one label an image, (N,), expected, {array.shape} found")
    if labels.dtype.kind not in "iuf" or not _whole(labels):
        raise DataError(f"{where}: whole numbers as labels expected, others found ({labels.dtype})")
    wrong = (labels < 0) | (labels >= MAX_CLASSES)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{where}: labels 0 to {MAX_CLASSES - 1} expected, {labels[row]:g} found at image {row:,}")
    return labels.astype(np.int64)


def _grey(array: NDArray[Any], where: str) -> NDArray[Any]:
    if array.ndim == 3:
        return array
    if array.ndim == 4 and array.shape[3] == 1:
        return array[..., 0]
    if array.ndim == 4 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim == 4 and array.shape[3] == 3:
        if (array == array[..., :1]).all():
            return array[..., 0]
        raise DataError(f"{where}: grey images expected, colour found: convert them to grey first")
    raise DataError(f"{where}: images (N, height, width) expected, an array {array.shape} found")


def _whole(array: NDArray[Any]) -> bool:
    """Whether all values are whole numbers; NaN and infinity are not."""
    return array.dtype.kind in "iu" or bool((np.isfinite(array) & (array == np.floor(array))).all())
