"""Data sets of other libraries → what a data set here is made of: PyTorch's, Hugging Face's, and data frames.

None of these libraries is imported: what they give is asked for by the names that they have in common.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.formats.columns import (
    GROUP,
    IMAGE_NAMES,
    LABEL_NAMES_IN_WORDS,
    PARTS,
    label_column,
    named,
)
from fittingroom.data.in_memory import Taken, as_array, is_missing, kind_of, take_arrays, take_images, take_labels
from fittingroom.data.preprocessing import Preprocessing
from fittingroom.errors import DataError

IN_ITS_COLUMN = (*IMAGE_NAMES, "pixels", "file", "path", "filename")
"""What a frame's column may be called that has the image of a row in one cell."""

OF_IMAGES = ("Image", "Array2D", "Array3D")
"""The kinds of Hugging Face's features that an image may be."""

MAX_DEPTH = 10  # of subsets of subsets


def take_pairs(
    pairs: Any, classes: Sequence[str] | None, *, where: str, preprocessing: Preprocessing | None = None
) -> Taken:
    """A data set of PyTorch's kind, which gives (image, label); see :meth:`fittingroom.Dataset.from_torch`."""
    classes = _classes_of(pairs) if classes is None else classes
    tensors = getattr(pairs, "tensors", None)
    if isinstance(tensors, tuple) and len(tensors) == 2:  # a TensorDataset: all of it at once
        return replace(take_arrays(*tensors, classes, where=where, preprocessing=preprocessing), notes=())

    labels: list[Any] = []

    def images() -> Iterator[Any]:
        for row, pair in enumerate(_items(pairs)):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise DataError(f"{where}: a pair (image, label) expected at {row:,}, {kind_of(pair)} found")
            image, label = pair

            # some sets have an axis for their one label, as MedMNIST's do
            if getattr(label, "ndim", 0) > 0:
                if math.prod(label.shape) != 1:
                    problem = "one label an image expected, several found: give the data set, not a loader"
                    raise DataError(f"{where}: {problem}")
                label = label.reshape(-1)[0]
            labels.append(label)
            yield image

    # Floats of 0–1 are what such a set gives: nothing to be told.
    made, notes = take_images(images(), where, preprocessing=preprocessing, tells_values=False)
    numbers, names = take_labels(labels, classes, where)
    return Taken(made, numbers, names, notes=notes)


def take_hugging_face(
    dataset: Any, image: str | None, label: str | None, *, where: str, preprocessing: Preprocessing | None = None
) -> Taken:
    """A data set as Hugging Face's library has it; see :meth:`fittingroom.Dataset.from_hf`."""
    if isinstance(dataset, Mapping):
        parts = ", ".join(map(str, dataset))
        problem = f"one part of the data set expected, all of them found: give one of {parts}"
        raise DataError(f"{where}: {problem}; fittingroom.Splits.from_hf takes all")
    features = dict(getattr(dataset, "features", None) or {})
    columns = list(features) or list(getattr(dataset, "column_names", None) or ())
    of_images = [name for name, kind in features.items() if type(kind).__name__ in OF_IMAGES]
    image = _column(image, named(columns, IMAGE_NAMES) or next(iter(of_images), None), columns, "image", where)
    label = _label_column(label, columns, where)

    labels: list[Any] = []

    def images() -> Iterator[Any]:
        for row in dataset:
            if label is not None:
                labels.append(row[label])
            yield row[image]

    made, notes = take_images(images(), where, preprocessing=preprocessing)
    if label is None or all(type(value) is int and value == -1 for value in labels):  # as a test set without them has
        return Taken(made, None, (), notes=notes)
    names = getattr(features.get(label), "names", None)
    numbers, classes = take_labels(labels, names, where)
    return Taken(made, numbers, classes, notes=notes)


def parts_by_name(parts: Any, where: str) -> dict[str, Any]:
    """The parts of a data set of Hugging Face's as ours are called; see :meth:`fittingroom.Splits.from_hf`."""
    if not isinstance(parts, Mapping):
        problem = f"parts by their names expected, as load_dataset gives them, {kind_of(parts)} found"
        raise DataError(f"{where}: {problem}: Dataset.from_hf takes one part")
    named_so = {PARTS.get(str(name).lower()): part for name, part in parts.items()}
    if None in named_so or len(named_so) < len(parts) or "train" not in named_so:
        raise DataError(
            f"{where}: parts called train, validation and test expected, found {', '.join(map(str, parts))}: make each "
            "by Dataset.from_hf, and of them fittingroom.Splits(train, test=test)"
        )
    return {str(name): part for name, part in named_so.items()}


def take_frame(
    frame: Any,
    image: str | None,
    label: str | None,
    classes: Sequence[str] | None,
    shape: Sequence[int] | None,
    *,
    where: str,
    scale: float | None = None,
    preprocessing: Preprocessing | None = None,
) -> Taken:
    """A data frame; see :meth:`fittingroom.Dataset.from_dataframe`."""
    frame = frame.collect() if hasattr(frame, "collect") else frame  # a lazy one of Polars
    if not hasattr(frame, "columns"):
        raise DataError(f"{where}: a data frame of pandas or Polars expected, {kind_of(frame)} found")
    columns = [str(name) for name in frame.columns]
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise DataError(f"{where}: columns of different names expected, {twice!r} found {columns.count(twice)} times")
    label = _label_column(None if label is None else str(label), columns, where)
    groups = None
    if (of_groups := named([name for name in columns if name != label], [GROUP])) is not None:
        groups = tuple(None if is_missing(value) else str(value) for value in _values(frame, of_groups))

    given = [name for name in columns if name not in (label, of_groups)]
    found = named(given, IN_ITS_COLUMN)
    if image is not None or found is not None:
        image = _column(None if image is None else str(image), found, columns, "image", where)
        pictures: Any = _values(frame, image)
        if pictures and np.ndim(pictures[0]) == 1 and not isinstance(pictures[0], str | bytes):
            pictures = _shaped(as_array(pictures, where), shape, where)
    else:
        pictures = _pixels(frame, given, shape, where)

    taken = take_arrays(
        pictures,
        None if label is None else _values(frame, label),
        classes,
        where=where,
        scale=scale,
        preprocessing=preprocessing,
    )
    return replace(taken, groups=groups)


def _items(dataset: Any) -> Iterable[Any]:
    """What a data set gives; one with a length is asked by numbers, as not all of them end with an IndexError."""
    if hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"):
        return (dataset[row] for row in range(len(dataset)))
    items: Iterable[Any] = dataset
    return items


def _classes_of(dataset: Any) -> Sequence[str] | None:
    """The names that torchvision's data sets have as ``classes``, also below a ``Subset``."""
    for _ in range(MAX_DEPTH):
        names: Any = getattr(dataset, "classes", None)
        if np.ndim(names) == 1 and len(names):  # a set of one's own may call anything so, their number for instance
            return [str(name) for name in names]
        dataset = getattr(dataset, "dataset", None)
    return None


def _column(asked: str | None, found: str | None, columns: Sequence[str], what: str, where: str) -> str:
    if asked is not None and asked not in columns:
        raise DataError(f"{where}: a column {asked!r} expected, found {', '.join(columns[:20])}")
    if asked is None and found is None:
        hint = f", called {LABEL_NAMES_IN_WORDS}" if what == "label" else ""
        raise DataError(f"{where}: a column of {what}s expected{hint}, found {', '.join(columns[:20])}; give {what}=")
    return asked or str(found)


def _label_column(asked: str | None, columns: Sequence[str], where: str) -> str | None:
    """The column of labels; None where there is none and none is asked for."""
    found = label_column(columns)
    return None if asked is None and found is None else _column(asked, found, columns, "label", where)


def _values(frame: Any, column: str) -> list[Any]:
    """A column as a list: Polars' and pandas' series both have this name for it."""
    values: list[Any] = _series(frame, column).to_list()
    return values


def _series(frame: Any, column: str) -> Any:
    """A column by its name as text; those that pandas made up are numbers."""
    return frame[next(name for name in frame.columns if str(name) == column)]


def _pixels(frame: Any, columns: Sequence[str], shape: Sequence[int] | None, where: str) -> NDArray[Any]:
    """The columns of single pixels, such as Kaggle's pixel1 to pixel784, as images."""
    called_so = [name for name in columns if re.fullmatch(r"(pixel|px|p)?[_ -]?\d+(x\d+)?", name, re.IGNORECASE)]
    chosen = called_so or list(columns)
    # all at once: to look each of 784 columns up by its text would take a second
    own_names = {str(name): name for name in frame.columns}
    values = np.column_stack([frame[own_names[name]].to_numpy() for name in chosen]) if chosen else np.empty((0, 0))
    if values.size == 0 or values.dtype.kind not in "iufb":
        raise DataError(
            f"{where}: a column of images, or one of numbers for each pixel, expected, found "
            f"{', '.join(columns[:20])}; give image="
        )
    return _shaped(values, shape, where)


def _shaped(flat_NP: NDArray[Any], shape: Sequence[int] | None, where: str) -> NDArray[Any]:
    """Rows of pixels as images; grey squares where no shape is given."""
    count = flat_NP.shape[1] if flat_NP.ndim == 2 else 0
    size = tuple(shape) if shape is not None else (math.isqrt(count),) * 2
    if count == 0 or math.prod(size) != count:
        raise DataError(
            f"{where}: {count:,} pixels an image are not {'×'.join(map(str, size))}: give shape=(H, W), or (H, W, 3) "
            "for colour"
        )
    return flat_NP.reshape(-1, *size)
