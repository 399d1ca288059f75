"""What the images, labels and class names of a data set may be; see :class:`fittingroom.data.dataset.Dataset`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fittingroom.data.preprocessing import MAX_SIDE
from fittingroom.errors import DataError, ImagesTooLarge

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CLASSES = 1000
LONGEST_NAME = 256  # characters of a class's name; those of a folder's are at most 255


def checked_images(images: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """The images of a set, read-only, uint8 (N, H, W) or (N, H, W, 3). Raises DataError for any others."""
    images = images if isinstance(images, np.ndarray) else np.asarray(images)
    is_grey, is_colour = images.ndim == 3, images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (is_grey or is_colour):
        raise DataError(
            f"{name}: images uint8 (N, H, W) or (N, H, W, 3) expected, {images.dtype} {images.shape} found; "
            "Dataset.from_arrays takes other arrays"
        )

    # larger ones have a type of error of their own, as whoever reads pictures can offer to resize them
    count, height, width = images.shape[:3]
    if count == 0:
        raise DataError(f"{name}: at least one image expected, none found")
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ImagesTooLarge(
            f"{name}: images of 1 to {MAX_SIDE} pixels a side expected, {height}×{width} found: "
            "resize or crop them first"
        )
    return read_only(images)


def checked_classes(classes: Sequence[str] | Mapping[int, str], name: str) -> tuple[str, ...]:
    """The names of a set's classes. Raises DataError for some that can't be."""
    if isinstance(classes, Mapping):  # such as {0: "cat", 1: "dog"}
        if sorted(classes) != list(range(len(classes))):
            raise DataError(f"{name}: names of the classes 0, 1, 2, … expected, {str(list(classes))[:60]} found")
        classes = [classes[number] for number in range(len(classes))]
    names = tuple(classes)
    if other := [each for each in names if not isinstance(each, str)]:
        kind = type(other[0]).__name__
        raise DataError(f"{name}: names of classes as text expected, {kind} found: {str(other[0])[:40]}")
    names = tuple(map(str, names))  # NumPy's texts are shown in a way of their own

    if "" in names:
        raise DataError(f"{name}: class {names.index('')} has an empty name: give it one")
    longest = max(names, key=len, default="")
    if len(longest) > LONGEST_NAME:
        raise DataError(
            f"{name}: names of classes of at most {LONGEST_NAME} characters expected, {longest[:40]!r}… of "
            f"{len(longest):,} found"
        )

    # names are written to files in UTF-8, which has no room for half of a pair
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{name}: names of classes in Unicode expected, half a character (a lone surrogate) found in "
            f"{next(ascii(found) for found in names if not _is_writable(found))}: write it anew"
        ) from None
    if len(set(names)) < len(names):
        repeated = [name for name, number in Counter(names).items() if number > 1]
        raise DataError(f"{name}: class names that differ expected, found more than once: {listed(repeated)}")
    return names


def _is_writable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def checked_labels(
    labels: NDArray[Any] | Sequence[int] | Sequence[str], count: int, classes: Sequence[str], name: str
) -> NDArray[np.int64]:
    """The labels of a set, read-only, int64 (N,), given as such or as names of its classes. Raises DataError."""
    labels, num_classes = np.asarray(labels), len(classes)
    if not 2 <= num_classes <= MAX_CLASSES:
        raise DataError(f"{name}: 2 to {MAX_CLASSES:,} classes expected, {num_classes:,} found")
    if labels.ndim == 1 and labels.dtype.kind in "UO" and all(isinstance(label, str) for label in labels.tolist()):
        labels = _numbers_of(labels.tolist(), classes, name)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(f"{name}: integer labels (N,) expected, {labels.dtype} {labels.shape} found")
    if len(labels) != count:
        raise DataError(f"{name}: {count:,} labels expected, one an image, {len(labels):,} found")

    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        row = int(np.argmax((labels < 0) | (labels >= num_classes)))
        raise DataError(
            f"{name}: labels 0 to {num_classes - 1} expected, {low} to {high} found, first at image {row:,}"
        )
    return read_only(labels.astype(np.int64, copy=False))


def _numbers_of(labels: Sequence[str], classes: Sequence[str], name: str) -> NDArray[np.int64]:
    place = {class_name: number for number, class_name in enumerate(classes)}
    unknown = next((row for row, label in enumerate(labels) if label not in place), None)
    if unknown is not None:
        raise DataError(
            f"{name}: labels among its classes, {listed(classes)}, expected, {labels[unknown]!r} found first at image "
            f"{unknown:,}"
        )
    return np.array([place[label] for label in labels], np.int64)


def one_an_image(values: Sequence[Any], count: int, name: str, field: str) -> tuple[Any, ...]:
    """Something of each image, as a tuple. Raises DataError where there are more or fewer."""
    if len(values) != count:
        raise DataError(f"{name}: {count:,} {field} expected, one an image, {len(values):,} found")
    return tuple(values)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous read-only view; the caller's own array keeps its flags."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def numbers_named(found: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...] | None:
    """The names among ``wanted`` of the same numbers, as ``00014`` of a folder is 14 of a table.

    None where some are no numbers, or one isn't there, or one is there twice.
    """
    if not all(name.isdecimal() for name in (*found, *wanted)):
        return None
    by_number = {int(name): name for name in wanted}
    names = [by_number.get(int(name)) for name in found]
    is_one_to_one = len(by_number) == len(wanted) and None not in names and len(set(names)) == len(found)
    return tuple(name for name in names if name) if is_one_to_one else None


def how_names_differ(found: Sequence[str], wanted: Sequence[str]) -> str:
    """The rest of a message on classes of other names, where it can be told what makes them so; else ""."""
    if all(name.isdecimal() for name in found) and len(found) <= len(wanted) and not wanted[0].isdecimal():
        return "; a file classes.txt beside the data, a name a line, says what its numbers are called"
    if {name.casefold() for name in found} <= {name.casefold() for name in wanted}:
        return "; capital letters alone make them differ"
    return ""


def listed(names: Sequence[str]) -> str:
    """Names in brackets for a message, at most twenty of them."""
    shown = ", ".join(names[:20])
    return f"[{shown}, … {len(names):,} in all]" if len(names) > 20 else f"[{shown}]"
