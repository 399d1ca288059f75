"""What the models of a run answered on a set of images, and two runs' answers brought together image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fittingroom.errors import ArtifactError, DataError
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions
from fittingroom.runs.run import Run

Split = Literal["test", "validation"]

Image = tuple[str, int]  # a SHA-256, and a number, as a set may hold the same image more than once


@dataclass(frozen=True, eq=False)
class Answers:
    """What every model of a run answered, one row a seed.

    Attributes:
        name: what messages call the run.
        run: of one seed or several.
        images: (N,) what each is recognised by: its pixels.
        classes: the model's class names.
        truth: (N,) true class names.
        predicted: (S, N) predicted class names.
        files: (N,) paths relative to the data; None for data that didn't come as picture files.
        sources: (N,) what each is recognised by where both sides have it: its file's bytes. None for arrays.
        groups: (N,) the group of each image, None for one in none; None where none are known.
    """

    name: str
    run: Run
    images: Sequence[Image]
    classes: tuple[str, ...]
    truth: NDArray[np.str_]
    predicted: NDArray[np.str_]
    files: Sequence[str] | None = None
    sources: Sequence[Image] | None = None
    groups: Sequence[str | None] | None = None

    @property
    def seeds(self) -> int:
        """How many models there are."""
        return len(self.predicted)

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """(S, N): whether each answer is right."""
        return np.asarray(self.predicted == self.truth)

    def subset(self, rows: NDArray[np.int64]) -> Answers:
        """The answers on these images alone, in this order."""
        optional = {name: getattr(self, name) for name in ("files", "sources", "groups")}
        known: dict[str, Any] = {
            name: None if values is None else [values[row] for row in rows] for name, values in optional.items()
        }
        return replace(
            self,
            images=[self.images[row] for row in rows],
            truth=self.truth[rows],
            predicted=self.predicted[:, rows],
            **known,
        )


def read_answers(run: Run, name: str, on: Split, *, models: Sequence[Run] | None = None) -> Answers:
    """Read the predictions of a run, or of all its members.

    Args:
        run: finished, of one seed or several.
        name: what messages call it.
        on: the set that it was judged on.
        models: the runs of one seed that it consists of; None for its members, or itself.

    Raises:
        ArtifactError: a member was not judged on that set, a file is damaged, or members were judged on other images.
    """
    models = models or run.members or [run]
    tables = [_read(model, on) for model in models]
    first = tables[0]

    # Each file may have its own order: all follow the first one's.
    predicted = []
    for model, table in zip(models, tables, strict=True):
        images, others = _recognise(first, table)
        row_of = {image: row for row, image in enumerate(others)}
        if row_of.keys() != set(images) or table.classes != first.classes:
            raise ArtifactError(
                f"{model.path}: judged on other images or classes than {models[0].path}: compare it alone"
            )
        predicted.append(np.array(table.classes)[table.predicted][[row_of[image] for image in images]])

    truth = np.array(first.classes)[first.truth]
    by_pixels = _numbered(first, first.images)
    by_source = None if first.sources is None else _numbered(first, first.sources)
    return Answers(
        name, run, by_pixels, first.classes, truth, np.stack(predicted), first.files, by_source, first.groups
    )


def pair(first: Answers, second: Answers) -> tuple[Answers, Answers]:
    """Take both runs' answers on the images that they have in common, in the order of the first.

    Raises:
        DataError: they have no image in common, or don't agree what is on one.
    """
    ours, theirs = first.images, second.images
    if first.sources is not None and second.sources is not None:
        ours, theirs = first.sources, second.sources
    row_of = {image: row for row, image in enumerate(theirs)}
    rows = np.array([(row, row_of[image]) for row, image in enumerate(ours) if image in row_of], dtype=np.int64)
    if len(rows) < 2:
        raise DataError(
            f"{first.name} and {second.name} were judged on different images ({len(first.images):,} and "
            f"{len(second.images):,}, {len(rows)} in common): nothing to compare; train or judge both on one data set"
        )
    first, second = first.subset(rows[:, 0]), second.subset(rows[:, 1])

    # Labels are compared by class name: by number, two lists of classes would pass for one.
    conflicts = np.flatnonzero(first.truth != second.truth)
    if len(conflicts):
        row = conflicts[0]
        raise DataError(
            f"{first.name} and {second.name} don't agree what is on {len(conflicts):,} of {len(rows):,} images; image "
            f"{first.images[row][0][:16]}… is {first.truth[row]} for one and {second.truth[row]} for the other. "
            f"Classes of {first.name}: {', '.join(first.classes)}; of {second.name}: {', '.join(second.classes)}. "
            "Judge both by the same labels"
        )
    return first, second


def _read(model: Run, on: Split) -> JudgedPredictions:
    path = model.predictions_file(on)
    if not path.exists():
        advice = {
            "test": f"`fittingroom evaluate {model.path}` does that, or compare them on validation",
            "validation": "it held none out; compare them on test",
        }
        raise ArtifactError(f"{model.path}: not judged on {on}, {path.name} is missing; {advice[on]}")
    return read_predictions(path, model.artifact.classes)


def _recognise(one: JudgedPredictions, other: JudgedPredictions) -> tuple[list[Image], list[Image]]:
    """The images of two tables, by their files where both have such, else by their pixels."""
    if one.sources is not None and other.sources is not None:
        return _numbered(one, one.sources), _numbered(other, other.sources)
    return _numbered(one, one.images), _numbered(other, other.images)


def _numbered(table: JudgedPredictions, hashes: Sequence[str]) -> list[Image]:
    """Each row's image. Equal images are numbered by their labels, so that the order of the rows doesn't matter."""
    count: Counter[str] = Counter()
    image_of: dict[int, Image] = {}
    for row in sorted(range(len(table)), key=lambda row: (hashes[row], table.classes[table.truth[row]])):
        image_of[row] = (hashes[row], count[hashes[row]])
        count[hashes[row]] += 1
    return [image_of[row] for row in range(len(table))]
