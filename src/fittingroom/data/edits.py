"""What a person decided of single images: some are left out of a training, others get another label.

    part,file,row,given,suggested,…,corrected    as `data check --labels --csv` writes it; a person fills corrected in
    cat/17.jpg                                   or a file, or a row of train counted from 0, on each line

The test set stays as it is, whatever the list says of it: without images that models find hard, it would flatter them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np

from fittingroom.data.dataset import Dataset
from fittingroom.data.edit_lists import Places, corrections, read_list
from fittingroom.data.large import is_large
from fittingroom.data.large import without as without_rows
from fittingroom.data.splits import Splits, parts_of
from fittingroom.errors import DataError
from fittingroom.files.records import Form

EDITED = ("train", "validation")
ROWS = Form(re.compile(r"\d{1,12}( \d{1,12})*", re.ASCII), "rows such as 12 40")
ROWS_AND_CLASSES = Form(
    re.compile(r"\d{1,12}-\d{1,6}( \d{1,12}-\d{1,6})*", re.ASCII), "rows and classes such as 7-2 31-0"
)


@dataclass(frozen=True, kw_only=True)
class Edits:
    """What was changed in the data before a training, by part and row of the data as it is opened.

    Attributes:
        without: the list of what was left out, as it was given; "" where nothing was to be.
        labels: the table of corrected labels, as it was given; "" where there was none.
        removed: the rows of each part that are left out, in one line: ``12 40 96``.
        relabelled: the rows of each part with another label, and the number of its class: ``7-2 31-0``.

    Example:
        >>> Edits(without="issues.csv", labels="", removed={"train": "12 40"}, relabelled={}).in_words
        '2 images left out'
    """

    without: str
    labels: str
    removed: dict[str, Annotated[str, ROWS]]
    relabelled: dict[str, Annotated[str, ROWS_AND_CLASSES]]

    def __post_init__(self) -> None:
        """Refuse parts that no training is made of."""
        if other := sorted((self.removed.keys() | self.relabelled.keys()) - set(EDITED)):
            raise ValueError(f"rows of train or validation expected, some of {other[0][:60]} found")

    @property
    def in_words(self) -> str:
        """How many images are left out, and how many have another label; "" where nothing was changed."""
        removed, relabelled = (sum(len(rows.split()) for rows in of.values()) for of in (self.removed, self.relabelled))
        counts = (
            (removed, f"{removed:,} image{'s' * (removed != 1)} left out"),
            (relabelled, f"{relabelled:,} label{'s' * (relabelled != 1)} corrected"),
        )
        return ", ".join(text for count, text in counts if count)


def edited(
    data: Splits, *, without: str | Path | None = None, labels: str | Path | None = None
) -> tuple[Splits, Edits | None, list[str]]:
    """The data without the images of a list, and with the labels that a person corrected.

    Args:
        data: as it was opened.
        without: a file that names images, a CSV such as ``data check --labels --csv`` writes or a plain list: all that
            it names are left out, but for those that ``labels`` has another label for.
        labels: such a CSV with a column ``corrected``, or else one of class names, as ``predict --csv`` writes it; an
            empty cell changes nothing.

    Returns:
        The data, what was changed (None where neither is given), and what should be said of it.

    Raises:
        DataError: a list that can't be read, with images that the data lacks or classes that it doesn't have.
    """
    if without is None and labels is None:
        return data, None, []

    where = Places(data)
    new_label: dict[tuple[str, int], int] = {}
    in_test: dict[str, int] = {}
    if labels is not None:
        for place, label in corrections(where, Path(labels)):
            if place[0] not in EDITED:
                in_test[str(labels)] = in_test.get(str(labels), 0) + 1
            else:
                new_label[place] = label
    left_out: set[tuple[str, int]] = set()
    if without is not None:
        for place in where.find(read_list(Path(without), where.count)[0], Path(without)):
            if place[0] not in EDITED:
                in_test[str(without)] = in_test.get(str(without), 0) + 1
            elif place not in new_label:
                left_out.add(place)

    # a cell that repeats the label changes nothing
    parts = parts_of(data)
    changed = {(part, row): label for (part, row), label in new_label.items() if _labels(parts[part])[row] != label}
    edits = Edits(
        without="" if without is None else str(without),
        labels="" if labels is None else str(labels),
        removed=_in_lines((part, row, f"{row}") for part, row in left_out),
        relabelled=_in_lines((part, row, f"{row}-{label}") for (part, row), label in changed.items()),
    )
    given = " and ".join(dict.fromkeys(file for file in (edits.without, edits.labels) if file))
    notes = [f"{given}: {edits.in_words or 'nothing is changed by it'}"]
    notes += [
        f"{file}: {count:,} of its images {'are' if count != 1 else 'is'} of the test set, which stays as it is: "
        "changed where models disagree with it, it would flatter them"
        for file, count in in_test.items()
    ]
    return apply_edits(data, edits), edits, notes


def apply_edits(data: Splits, edits: Edits | None) -> Splits:
    """The data as opened, with what was changed in it when a run was started.

    Raises:
        DataError: the data has no such rows or classes, or nothing to train on is left.
    """
    if edits is None:
        return data
    parts = parts_of(data)
    for name in EDITED:
        removed = [int(row) for row in edits.removed.get(name, "").split()]
        pairs = [pair.split("-") for pair in edits.relabelled.get(name, "").split()]
        rows, numbers = [int(row) for row, _ in pairs], [int(number) for _, number in pairs]
        if not removed and not rows:
            continue

        # rows and labels were recorded by number: of other data they would change other images
        part = parts.get(name)
        if part is None or max([*removed, *rows]) >= len(part) or max(numbers, default=0) >= part.num_classes:
            raise DataError(
                f"{data.source or data.train.name}: {name} has fewer images or classes than when "
                f"{edits.without or edits.labels} was written: put the data back, or make the list anew"
            )
        parts[name] = _changed(part, removed, rows, numbers)
    return replace(data, train=parts["train"], validation=parts.get("validation"))


def _changed(part: Dataset, removed: Sequence[int], rows: Sequence[int], numbers: Sequence[int]) -> Dataset:
    """A part with other labels, then without some rows."""
    labels_N = _labels(part).copy()
    labels_N[list(rows)] = numbers
    part = replace(part, labels=labels_N)
    if not removed:
        return part
    is_removed = np.zeros(len(part), dtype=bool)
    is_removed[list(removed)] = True
    if is_removed.all():
        raise DataError(f"{part.name}: at least one image expected, none is left: the list names all of them")
    if is_large(part.images):  # never copied as a whole
        known = part.per_image(without_rows(np.arange(len(part)), is_removed))
        images, labels = without_rows(part.images, is_removed), without_rows(labels_N, is_removed)
        return Dataset(images, labels, part.classes, part.name, **known)
    return part.subset(~is_removed)


def _labels(part: Dataset) -> np.ndarray:
    if part.labels is None:
        raise DataError(f"{part.name}: labels expected, none found: there is nothing to correct")
    return part.labels


def _in_lines(found: Iterable[tuple[str, int, str]]) -> dict[str, str]:
    """The texts of each part in the order of their rows, in one line each."""
    by_part: dict[str, list[str]] = {}
    for part, _, text in sorted(found):
        by_part.setdefault(part, []).append(text)
    return {part: " ".join(texts) for part, texts in by_part.items()}
