"""What was found at one path that is audited: its parts, as far as they can be read, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.findings import Finding
from fittingroom.audit.values import as_pixels, as_whole_labels
from fittingroom.data.dataset import MAX_SIDE, Dataset
from fittingroom.data.fetch.known_sets import class_names_for
from fittingroom.data.formats.idx import QMNIST_COLUMNS
from fittingroom.data.formats.splits import read_class_names


@dataclass(eq=False)
class AuditedFile:
    """What lies at one path: a file, a folder, or a known set.

    Attributes:
        given: the path or name as it was given.
        findings: what is wrong with the bytes and the types of values.
        parts: (role, data), as far as they could be read; role as in :class:`fittingroom.audit.official_part.Part`.
        problem: why it couldn't be read, where no finding says so.
        notes: what its reader says of it, a sentence each: what was left out, what was resized.
        is_pictures: whether the images were decoded from picture files, or from those in a table, so that no byte
            between them can be missing.
    """

    given: str
    findings: list[Finding] = field(default_factory=list)
    parts: list[tuple[str, Dataset]] = field(default_factory=list)
    problem: str | None = None
    notes: tuple[str, ...] = ()
    is_pictures: bool = False


def add_part(
    audited_file: AuditedFile, role: str, pixels: NDArray[Any] | None, numbers: NDArray[Any] | None, file: Path
) -> None:
    """Make a part of the arrays, cut to the same length, with what is wrong with their values."""
    if pixels is None or pixels.ndim < 3:
        return

    images, labels = as_pixels(pixels, str(file)), None
    audited_file.findings += images.findings
    if images.array is None or max(images.array.shape[1:3]) > MAX_SIDE or not len(images.array):
        if not images.findings:
            audited_file.problem = (
                f"{file}: images of at most {MAX_SIDE} pixels a side expected, shape {pixels.shape} found"
            )
        return

    if numbers is not None and numbers.ndim == 2 and numbers.shape[1] == QMNIST_COLUMNS:
        numbers = numbers[:, 0]
    if numbers is not None and numbers.ndim <= 2:
        whole = as_whole_labels(numbers, str(file))
        audited_file.findings += whole.findings
        labels = whole.array

    # after a cut, only the first so many images have a label, or labels an image
    count = len(images.array) if labels is None else min(len(images.array), len(labels))
    if count == 0:
        return
    labels = None if labels is None else labels[:count]

    name = f"{file.parent.name if role else file.name} {role}".strip()
    if any(name == dataset.name for _, dataset in audited_file.parts):  # the parts of several sets in one folder
        name = f"{file.name} {role}"
    classes = _classes(audited_file, images.array, labels, file)
    audited_file.parts.append((role, Dataset(images.array[:count], labels, classes, name)))


def _classes(
    audited_file: AuditedFile, images: NDArray[np.uint8], labels: NDArray[Any] | None, file: Path
) -> tuple[str, ...]:
    if labels is None:
        return ()
    count = max(2, int(labels.max()) + 1)
    named = read_class_names(file.parent)
    if named is None:
        return class_names_for(images, count, file)

    if len(named) >= count:
        return named

    # numbers stand in for the names that are missing, so that the labels can be checked all the same
    wrong = np.flatnonzero(labels >= len(named))
    audited_file.findings.append(
        Finding(
            name="label-range",
            severity="error",
            where=str(file),
            message=f"{len(wrong):,} of {len(labels):,} labels are {len(named)} or more, where classes.txt names "
            f"{len(named)} classes; the first is {labels[wrong[0]]}, at image {wrong[0]:,}",
            effect="A loss over the named classes fails on them.",
            advice="Add the missing names to classes.txt, or correct the labels.",
            figures={"wrong": len(wrong), "n": len(labels), "classes": len(named)},
        )
    )
    return (*named, *map(str, range(len(named), count)))
