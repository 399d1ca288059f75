"""Label issues as a file: images whose label a fixed reference model disagrees with, and which model that was.

``fittingroom data check PATH --labels --suspects FILE`` writes one, ``fittingroom evaluate RUN --suspects FILE`` reads
it. For the official test images of Fashion-MNIST one ships with the package; scripts/make_suspects.py makes it.

The reference is fixed and named in the file: a model that is judged never chooses what it is judged on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.audit.reference import MANIFEST, TRAIN, hashes_of, manifest
from fittingroom.data.dataset import Dataset
from fittingroom.data.edit_lists import CORRECTED, image_name
from fittingroom.errors import DataError
from fittingroom.files.atomic import atomic_write
from fittingroom.files.json_file import read_json, write_json

FORMAT = 1
TABLE_COLUMNS = (
    *("part", "file", "row", "given", "suggested", "probability", "probability_of_given", "image"),
    CORRECTED,
)
SHIPPED = MANIFEST / "fashion-mnist-test-suspects.json"


@dataclass(frozen=True, kw_only=True)
class LabelIssue:
    """One label that the reference disagrees with.

    Attributes:
        image: the first 8 bytes of the SHA-256 of shape and pixels, 16 hexadecimal digits.
        row: of the part that was judged.
        given: the class that its label names.
        suggested: the class that the reference names.
        of_given, of_suggested: the reference's probability of the two, 0–1.
        file: where the image was read from, relative to its data; None for data that didn't come as picture files.
    """

    image: str
    row: int
    given: str
    suggested: str
    of_given: float
    of_suggested: float
    file: str | None = None

    @property
    def place(self) -> str:
        """What messages call the image: its file where it has one, else its row."""
        return self.file or f"row {self.row:,}"

    def as_dict(self) -> dict[str, Any]:
        """The issue as JSON has it: ``file`` only where there is one."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class LabelIssues:
    """The label issues of one part of a data set.

    Attributes:
        reference: the model that judged, in words.
        name: of the part that was judged.
        n: how many images the part has.
        images: the part's fingerprint by images alone.
        issues: worst first.
    """

    reference: str
    name: str
    n: int
    images: str
    issues: tuple[LabelIssue, ...]

    def are_of(self, dataset: Dataset) -> bool:
        """Whether it was these images that were judged, in whatever order."""
        return dataset.fingerprint.images == self.images

    def mask(self, dataset: Dataset) -> NDArray[np.bool_]:
        """bool (N,): the images whose label is an issue; a label that was changed since is one no longer."""
        if dataset.labels is None:
            return np.zeros(len(dataset), dtype=bool)

        # by image and label, not by row: the set may be in another order, and its labels corrected
        issues = {(int(issue.image, 16), issue.given) for issue in self.issues}
        names = [dataset.classes[label] for label in dataset.labels.tolist()]
        pairs = zip(hashes_of(dataset).tolist(), names, strict=True)
        return np.array([pair in issues for pair in pairs], dtype=bool)


def write_label_issues(path: Path, parts: list[LabelIssues]) -> None:
    """Write the label issues of each part.

    Raises:
        OSError: the file can't be written.
    """
    write_json(path, {"format": FORMAT, "parts": [_as_json(part) for part in parts]})


def write_issue_table(path: Path, issues: Iterable[tuple[str, Dataset, LabelIssues]]) -> None:
    """Write the label issues as a CSV that a person goes through and ``train --without`` and ``--labels`` take.

    Its columns: ``part``, ``file`` (where the data has files), ``row`` (of the part, from 0), ``given``, ``suggested``,
    ``probability`` (of the suggested class), ``probability_of_given``, ``image`` (the start of a SHA-256) and
    ``corrected``, which is empty.

    Args:
        path: of the file; one in which labels were filled in is never replaced.
        issues: of each part its name (``train``, ``validation``, ``test``), its images, and its label issues.

    Raises:
        DataError: the file is there, and has labels that were filled in.
        OSError: it can't be written.
    """
    refuse_filled_in(path)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(TABLE_COLUMNS)
    for part, dataset, of_part in issues:
        for issue in of_part.issues:
            probabilities = issue.of_suggested, issue.of_given
            image = image_name(dataset, issue.row)
            table.writerow([part, issue.file or "", issue.row, issue.given, issue.suggested, *probabilities, image, ""])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def refuse_filled_in(path: Path) -> None:
    """Raise DataError for a table in which a person has filled labels in: hours of work that nothing brings back."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError:
        return
    delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    filled = sum(
        bool((row.get(CORRECTED) or "").strip()) for row in csv.DictReader(io.StringIO(text), delimiter=delimiter)
    )
    if filled:
        raise DataError(
            f"{path}: a new file expected, one in which somebody filled in {filled:,} label{'s' * (filled != 1)} found"
            ": write to another"
        )


def read_label_issues(path: Path) -> list[LabelIssues]:
    """Read the label issues of each part.

    Raises:
        ArtifactError: the file is missing, damaged, or of another format.
        DataError: it is something else.
    """
    content = read_json(path, format_number=FORMAT)
    try:
        return [_parsed(part) for part in content["parts"]]
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"{path}: a file of label issues expected, something else found; make one by "
            "fittingroom data check DATA --labels --suspects FILE"
        ) from None


def label_issues_of(dataset: Dataset, path: Path | None = None) -> LabelIssues | None:
    """The label issues of a data set: from a file, or those that ship with the package.

    Args:
        dataset: what a model is judged on.
        path: a file that :func:`write_label_issues` wrote. None: what ships, if all images are official test images
            of Fashion-MNIST; nothing otherwise.

    Raises:
        ArtifactError, DataError: the file can't be read, or is of other images.
    """
    if path is None:
        return _shipped() if _is_official_test(dataset) else None

    parts = read_label_issues(path)
    fitting = next((part for part in parts if part.are_of(dataset)), None)
    if fitting is None:
        judged = ", ".join(f"{part.name} ({part.n:,} images)" for part in parts) or "nothing"
        raise DataError(
            f"{path}: label issues among the images of {dataset.name} ({len(dataset):,}) expected; these are of "
            f"{judged}; make others by fittingroom data check DATA --labels --suspects FILE"
        )
    return fitting


def _as_json(part: LabelIssues) -> dict[str, Any]:
    content = asdict(part)
    del content["issues"]
    # the key of format 1, from before the name changed
    return content | {"suspects": [issue.as_dict() for issue in part.issues]}


def _parsed(part: dict[str, Any]) -> LabelIssues:
    issues = tuple(LabelIssue(**issue) for issue in part["suspects"])
    if not all(len(issue.image) == 16 and int(issue.image, 16) >= 0 for issue in issues):
        raise ValueError

    others = {key: value for key, value in part.items() if key != "suspects"}
    return LabelIssues(**others, issues=issues)


@cache
def _shipped() -> LabelIssues:
    (part,) = read_label_issues(SHIPPED)
    return part


def _is_official_test(dataset: Dataset) -> bool:
    if dataset.image_size != (28, 28):
        return False
    return bool((manifest().rows_of(hashes_of(dataset)) >= TRAIN).all())
