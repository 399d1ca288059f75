"""What a notebook shows of images: some of each class, or of each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fittingroom.rendering.in_notebook import MOST_ROWS, Strip, notebook_view, strip_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

OF_A_CLASS, OF_A_PART = 8, 12  # images that are shown
MOST_NOTES = 5


def view_of_set(name: str, images: NDArray[np.uint8], labels: NDArray[np.int64] | None, classes: Sequence[str]) -> str:
    """The HTML of one set: a row for each class with its number of images and the first of them."""
    about = _about(images, labels, classes)
    if labels is None:
        return notebook_view(name, about, rows=[[strip_of(images[: 2 * OF_A_CLASS], "its first images")]])
    rows: list[Sequence[str | Strip]] = []
    for label, class_name in enumerate(classes):
        if label >= MOST_ROWS:  # the view says of how many the first are shown
            rows.append(["", "", ""])
            continue
        found = np.flatnonzero(labels == label)
        strip = strip_of(images[found[:OF_A_CLASS]], f"images of {class_name}") if len(found) else ""
        rows.append([class_name, f"{len(found):,}", strip])
    return notebook_view(name, about, header=("class", "images", ""), rows=rows)


def view_of_parts(title: str, parts: Mapping[str, tuple[Any, ...]], notes: Sequence[str]) -> str:
    """The HTML of a data set in parts.

    Args:
        title: what it was opened from.
        parts: name, images, labels and classes of each.
        notes: what whoever opened it should know.
    """
    rows: list[Sequence[str | Strip]] = []
    for part, (_, images, labels, classes) in parts.items():
        evenly = np.linspace(0, len(images) - 1, min(OF_A_PART, len(images))).astype(np.int64)
        rows.append([part, _about(images, labels, classes), strip_of(images[evenly], f"images of {part}")])
    return notebook_view(title, rows=rows, notes=list(notes)[:MOST_NOTES])


def _about(images: NDArray[np.uint8], labels: NDArray[np.int64] | None, classes: Sequence[str]) -> str:
    kind = "colour" if images.ndim == 4 else "grey"
    known = f"{len(classes):,} classes" if labels is not None else "unlabelled"
    return f"{len(images):,} {kind} images {images.shape[1]}×{images.shape[2]}, {known}"
