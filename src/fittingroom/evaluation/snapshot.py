"""``watch.json``: what a model in training says of a few validation images, for whoever watches it.

The training writes it over and over; nothing that is learned depends on it, and nothing but the page reads it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from fittingroom.files.atomic import atomic_write
from fittingroom.files.json_file import parse_json
from fittingroom.files.records import Count, Form, Positive, Share, read_record
from fittingroom.files.run_file import read_run_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE, FORMAT = "watch.json", 1
MAX_EXAMPLES, MAX_IMAGES = 20, 500
MAX_CLASSES = 20  # more can't be read as a matrix
PICTURE_SIDE = 64  # larger images are reduced to it
LIMIT = 8 << 20  # bytes of the file; twenty pictures in colour that don't compress have 400,000


class Example(TypedDict):
    """A validation image, and what the model says of it: numbers of classes, and the uncalibrated probability."""

    image: Annotated[str, Form(re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]*"), "a PNG in a data URI")]
    label: Count
    file: str | None
    predicted: Count
    probability: Share


class Matrix(TypedDict):
    """Counts of ``n`` validation images after ``step``: a row for each label, a column for each answer."""

    step: Count
    n: Count
    counts: list[list[Count]]


class Snapshot(TypedDict):
    """The file: the examples as they are after ``step`` steps; no matrix of more classes than can be read as one."""

    format: Positive
    step: Count
    classes: list[str]
    examples: list[Example]
    matrix: Matrix | None


@dataclass(frozen=True, eq=False)
class Chosen:
    """The validation images that are watched.

    Attributes:
        rows: of the validation set, int64 (≤ 500,), class by class in turn; the first 20 are the examples.
        labels: of these rows, int64 (≤ 500,).
        classes: names.
        pictures: of the examples, as data URIs.
        files: of the examples, where they came as files.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: Sequence[str]
    pictures: Sequence[str]
    files: Sequence[str | None]

    @classmethod
    def of(
        cls,
        images: NDArray[np.uint8],
        label_N: NDArray[np.int64],
        classes: Sequence[str],
        files: Sequence[str | None] | None,
    ) -> Chosen:
        """Choose among validation images uint8 (N, H, W) or (N, H, W, 3): the same ones for the same images."""
        import numpy as np

        from fittingroom.rendering.contact_sheet import png_uri

        # The first of each class, then the second of each: a rare class has its row of the matrix, too.
        turn = np.zeros(len(label_N), np.int64)
        for label in range(len(classes)):
            of_class = label_N == label
            turn[of_class] = np.arange(of_class.sum())
        rows = np.lexsort((label_N, turn))[:MAX_IMAGES]
        examples = rows[:MAX_EXAMPLES].tolist()
        return cls(
            rows=rows,
            labels=label_N[rows],
            classes=classes,
            pictures=[png_uri(images[row], PICTURE_SIDE) for row in examples],
            files=[None if files is None else files[row] for row in examples],
        )

    def counts(self, predicted_N: NDArray[np.int64]) -> list[list[int]]:
        """The confusion matrix of what was predicted for the rows."""
        from fittingroom.evaluation.metrics import confusion_matrix

        counts: list[list[int]] = confusion_matrix(self.labels, predicted_N, len(self.classes)).tolist()
        return counts


def write_snapshot(
    file: Path, chosen: Chosen, step: int, probability_NC: NDArray[np.float32], matrix: Matrix | None
) -> None:
    """Write the file whole or not at all. Raises OSError.

    Args:
        file: its path.
        chosen: the images.
        step: after which the model is asked.
        probability_NC: of the examples, uncalibrated.
        matrix: of all of the chosen, perhaps of an earlier step.
    """
    examples = [
        {
            "image": picture,
            "label": int(label),
            "file": name,
            "predicted": int(row.argmax()),
            "probability": 0.0 if math.isnan(row.max()) else round(float(row.max()), 4),  # of a net that overflows
        }
        for picture, label, name, row in zip(chosen.pictures, chosen.labels, chosen.files, probability_NC, strict=False)
    ]
    value: dict[str, Any] = {"format": FORMAT, "step": step, "classes": list(chosen.classes), "examples": examples}

    # It is written again in two seconds, and of no use after a power cut: nobody has to wait for the disk.
    with atomic_write(file, durable=False, follow_links=False) as opened:
        opened.write(json.dumps(value | {"matrix": matrix}).encode())


def read_snapshot(file: Path) -> Snapshot:
    """What the file says. Raises :class:`~fittingroom.errors.ArtifactError` where it is missing or damaged."""
    from fittingroom.errors import ArtifactError

    content = read_run_file(file, "what a training stores for its page", limit=LIMIT)
    try:
        value = parse_json(content)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{file}: JSON expected, but it can't be read: {error}") from None

    # A run's folder may come from a stranger: a class that isn't there would break the page that shows it.
    snapshot = read_record(Snapshot, value, str(file), advice="the training writes it anew")
    size = len(snapshot["classes"])
    numbers = [number for example in snapshot["examples"] for number in (example["label"], example["predicted"])]

    matrix = snapshot["matrix"]
    shape = [] if matrix is None else [len(matrix["counts"]), *map(len, matrix["counts"])]
    if snapshot["format"] != FORMAT or any(n >= size for n in numbers) or any(n != size for n in shape):
        raise ArtifactError(f"{file}: answers for {size} classes in format {FORMAT} expected, others found")
    return snapshot
