"""What the models of a run answered on a set of images, and two runs' answers brought together image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fittingroom.data.dataset import Dataset
from fittingroom.errors import ArtifactError, DataError
from fittingroom.evaluation.prediction_file import KEYS as KEYS_OF_FILES
from fittingroom.evaluation.predictions import JudgedPredictions, read_predictions
from fittingroom.runs.run import Run

Split = Literal["test", "validation"]
KEYS = ("source", *KEYS_OF_FILES)  # by what images may be paired, the surest first

Image = tuple[str, int]  # a SHA-256, and a number, as a set may hold the same image more than once


@dataclass(frozen=True, eq=False)
class Answers:
    """What every model of a run, or of files of predictions, answered, one row a seed.

    Attributes:
        name: what messages call the run.
        run: of one seed or several; None where nothing is known but the answers.
        images: (N,) what each is recognised by: its pixels; where these aren't known, the file, id or row.
        classes: the model's class names.
        truth: (N,) true class names.
        predicted: (S, N) predicted class names.
        files: (N,) paths relative to the data; None for data that didn't come as picture files.
        sources: (N,) what each is recognised by where both sides have it: its file's bytes. None for arrays.
        groups: (N,) the group of each image, None for one in none; None where none are known.
        ids, rows: (N,) what else a file may tell each image by; rows are those of the data.
        has_pixels: whether ``images`` are SHA-256 of pixels.
        folds: of the cross-validation that the answers come of; None where all of a row are one model's.
        numbered: whether the classes are numbers from 0 on, and no names.
        dataset: in which the images' pixels can be found, where there is no run.
        place: of the first file of predictions, where there is no run.
        notes: what to keep in mind of them.
        probabilities: float32 (S, N, C) in the order of ``classes``, where a file has them and they are asked for.
    """

    name: str
    run: Run | None
    images: Sequence[Image]
    classes: tuple[str, ...]
    truth: NDArray[np.str_]
    predicted: NDArray[np.str_]
    files: Sequence[str] | None = None
    sources: Sequence[Image] | None = None
    groups: Sequence[str | None] | None = None
    ids: Sequence[str] | None = None
    rows: Sequence[int] | None = None
    has_pixels: bool = True
    folds: int | None = None
    numbered: bool = False
    dataset: Dataset | None = None
    place: Path | None = None
    notes: tuple[str, ...] = ()
    probabilities: NDArray[np.float32] | None = None

    @property
    def keys(self) -> dict[str, Sequence[Hashable]]:
        """What its images can be told by: values by the names of :data:`KEYS`."""
        images = self.images if self.has_pixels else None
        known = (self.sources, images, self.files, self.ids, self.rows)
        return {name: values for name, values in zip(KEYS, known, strict=True) if values is not None}

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
        optional = {name: getattr(self, name) for name in ("files", "sources", "groups", "ids", "rows")}
        known: dict[str, Any] = {
            name: None if values is None else [values[row] for row in rows] for name, values in optional.items()
        }
        return replace(
            self,
            images=[self.images[row] for row in rows],
            truth=self.truth[rows],
            predicted=self.predicted[:, rows],
            probabilities=None if self.probabilities is None else self.probabilities[:, rows],
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

    # Both are kept: which of them the other side of a comparison knows isn't said yet.
    by_pixels = _numbered(first, first.images)
    by_source = None if first.sources is None else _numbered(first, first.sources)
    return Answers(
        name,
        run,
        by_pixels,
        first.classes,
        truth,
        np.stack(predicted),
        first.files,
        by_source,
        first.groups,
        rows=range(len(first)),
        folds=models[0].environment.folds if on == "validation" else None,
    )


def matched(first: Answers, second: Answers) -> tuple[Answers, Answers, str]:
    """Both sides' answers on the images that they have in common, and by which of :data:`KEYS` these were found.

    Raises:
        DataError: they have no image in common, or nothing by which to tell.
    """
    first, second = _named_alike(first, second)
    by = next((name for name in KEYS if name in first.keys and name in second.keys), None)
    if by is None:
        known = " and ".join(f"{side.name} tells its images by {' or '.join(side.keys)}" for side in (first, second))
        raise DataError(f"{known}: give the files the same column: image (SHA-256 of the pixels), file, id or row")

    # A file that says nothing of its images is taken to have all of them, in their order.
    ours, theirs = first.keys[by], second.keys[by]
    in_order = next((side for side in (first, second) if side.run is None and isinstance(side.rows, range)), None)
    if by == "row" and in_order is not None and len(ours) != len(theirs):
        raise DataError(
            f"{first.name} has {len(ours):,} images and {second.name} {len(theirs):,}, and {in_order.name} doesn't say "
            "which they are: give it a column image (SHA-256 of the pixels), file, id or row"
        )

    row_of = {image: row for row, image in enumerate(theirs)}
    rows = np.array([(row, row_of[image]) for row, image in enumerate(ours) if image in row_of], dtype=np.int64)
    if len(rows) < 2:
        raise DataError(
            f"{first.name} and {second.name} were judged on different images ({len(first.images):,} and "
            f"{len(second.images):,}, {len(rows)} in common): nothing to compare; train or judge both on one data set"
        )

    first, second = first.subset(rows[:, 0]), second.subset(rows[:, 1])
    return _knowing(first, second), _knowing(second, first), by


def _knowing(side: Answers, other: Answers) -> Answers:
    """A side with what the other knows of the same images, in the same order."""
    if side.groups is None:
        side = replace(side, groups=other.groups)
    if side.has_pixels or not other.has_pixels:
        return side
    return replace(
        side,
        images=other.images,
        has_pixels=True,
        sources=other.sources,
        files=side.files or other.files,
        groups=other.groups or side.groups,
    )


def _named_alike(first: Answers, second: Answers) -> tuple[Answers, Answers]:
    """Where the classes of one side are numbers, they get the names that the other has for these."""
    if first.numbered == second.numbered:
        return first, second
    if second.numbered:
        named, other = _named_alike(second, first)
        return other, named

    # From here on the first is the one with numbers.
    most = max(int(name) for name in first.classes)
    if most >= len(second.classes):
        return first, second  # the labels disagree then, and both lists are told

    names = np.array(second.classes)
    truth, predicted = (names[values.astype(np.int64)] for values in (first.truth, first.predicted))

    # That a 3 is a Dress is an assumption, unless the names are numbers themselves: it is said.
    notes = first.notes
    if tuple(map(str, range(len(names)))) != second.classes:
        meant = f"0 is {names[0]}, {len(names) - 1} is {names[-1]}"
        notes = (*notes, f"The classes of {first.name} are numbers, understood as in {second.name}: {meant}.")
    return replace(first, classes=second.classes, truth=truth, predicted=predicted, numbered=False, notes=notes), second


def pair(first: Answers, second: Answers) -> tuple[Answers, Answers]:
    """Take both runs' answers on the images that they have in common, in the order of the first.

    By the first of :data:`KEYS` that both have. What one side knows of the images, the other takes over.

    Raises:
        DataError: they have no image in common, or don't agree what is on one.
    """
    first, second, by = matched(first, second)

    # Labels are compared by class name: by number, two lists of classes would pass for one.
    conflicts = np.flatnonzero(first.truth != second.truth)
    if len(conflicts):
        row, of_all = conflicts[0], f"{len(conflicts):,} of {len(first.images):,}"
        place = f"{first.images[row][0][:16]}…" if first.has_pixels else first.images[row][0][:60]
        advice = "Judge both by the same labels"
        if by == "row":
            advice += ", or, where a file has the images in another order, give it a column image, file or id"
        raise DataError(
            f"{first.name} and {second.name} don't agree what is on {of_all} images; image "
            f"{place} is {first.truth[row]} for one and {second.truth[row]} for the other. "
            f"Classes of {first.name}: {', '.join(first.classes)}; of {second.name}: {', '.join(second.classes)}. "
            f"{advice}"
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
    return numbered_images(hashes, [table.classes[label] for label in table.truth])


def numbered_images(hashes: Sequence[str], truth: Sequence[str]) -> list[Image]:
    """Each row's image. Equal images are numbered by their labels, so that the order of the rows doesn't matter."""
    count: Counter[str] = Counter()
    image_of: dict[int, Image] = {}
    for row in sorted(range(len(hashes)), key=lambda row: (hashes[row], truth[row])):
        image_of[row] = (hashes[row], count[hashes[row]])
        count[hashes[row]] += 1
    return [image_of[row] for row in range(len(hashes))]
