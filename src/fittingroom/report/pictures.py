"""The pictures of a page: images of the judged set, each with its label and the model's answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fittingroom.evaluation.mistakes import SuspiciousLabels, find_mistakes, right_answers
from fittingroom.rendering.contact_sheet import png_uri
from fittingroom.rendering.share import share_text
from fittingroom.rendering.sprite import Sprite, sprite_of
from fittingroom.report.run_summary import Judged, weakest_classes

MAX_MISTAKES, MAX_RIGHT_ANSWERS = 40, 12  # pictures of wrong answers; of right ones, for each class
MAX_SHEET_CLASSES = 20  # of more, the weakest are shown
MAX_CONFUSED = 6  # pictures for each cell of the confusion matrix
PICTURE_SIDE = 64  # larger images are reduced to it, so that the page stays below 3 MB


@dataclass(frozen=True)
class Picture:
    """One image of the judged set with the model's answer.

    ``source`` is a data URI, None where it isn't at hand; ``file`` a path relative to the data, None where they came as
    no picture files.
    """

    source: str | None
    file: str | None
    where: str
    truth: str
    answer: str
    probability: float
    has_label_issue: bool = False


@dataclass(frozen=True)
class Confused:
    """The images of one class that are taken for another.

    Attributes:
        place: row and column of the matrix.
        truth, answer: their classes.
        count: of all of them.
        tiles: of the surest of these mistakes, the place in the sprite in percent of its free width and height, and
            what is shown when it is pointed at.
    """

    place: tuple[int, int]
    truth: str
    answer: str
    count: int
    tiles: list[tuple[float, float, str]]


def confused_of(judged: Judged, images: dict[str, NDArray[np.uint8]]) -> tuple[list[Confused], Sprite | None]:
    """What lies behind each cell of the matrix, as far as the images are at hand; None where none are."""
    table, names = judged.table, judged.table.classes
    rows_of: dict[tuple[int, int], list[int]] = {}
    for row in find_mistakes(table).tolist():
        rows_of.setdefault((int(table.truth[row]), int(table.predicted[row])), []).append(row)

    shown = {
        place: [row for row in rows[:MAX_CONFUSED] if table.images[row] in images] for place, rows in rows_of.items()
    }
    order = [row for place in sorted(shown) for row in shown[place]]
    if not order:
        return [], None
    sprite = sprite_of([images[table.images[row]] for row in order])
    number_of = {row: number for number, row in enumerate(order)}

    def tile(row: int) -> tuple[float, float, str]:
        file = None if table.files is None else table.files[row]
        name = file or f"{judged.split} image {row:,}"
        says = f"{name}: {names[table.predicted[row]]} {share_text(table.confidence[row], 1)}"
        return *sprite.place(number_of[row]), says

    confused = [
        Confused(place, names[place[0]], names[place[1]], len(rows_of[place]), [tile(row) for row in shown[place]])
        for place in sorted(shown)
        if shown[place]
    ]
    return confused, sprite


def mistakes_of(judged: Judged, suspicious: SuspiciousLabels, images: dict[str, NDArray[np.uint8]]) -> list[Picture]:
    """The worst mistakes, the surest first."""
    issues = set(suspicious.rows)
    worst = find_mistakes(judged.table)[:MAX_MISTAKES].tolist()
    return [_picture(judged, row, images, has_label_issue=row in issues) for row in worst]


def answers_of(judged: Judged, images: dict[str, NDArray[np.uint8]]) -> list[tuple[str, list[Picture]]]:
    """Right answers of each class, from the surest to the least sure; of the weakest classes where they are many."""
    names = judged.table.classes
    if len(names) > MAX_SHEET_CLASSES:
        shown = [row["class"] for row in weakest_classes(judged.scores)[:MAX_SHEET_CLASSES]]
    else:
        shown = list(names)
    rows = {name: right_answers(judged.table, names.index(name), MAX_RIGHT_ANSWERS).tolist() for name in shown}
    return [(name, [_picture(judged, row, images) for row in of_class]) for name, of_class in rows.items() if of_class]


def _picture(
    judged: Judged, row: int, images: dict[str, NDArray[np.uint8]], *, has_label_issue: bool = False
) -> Picture:
    """One row of the predictions, with its image where that is among ``images``."""
    table = judged.table
    image = images.get(table.images[row])
    file = None if table.files is None else table.files[row]
    return Picture(
        source=None if image is None else png_uri(image, PICTURE_SIDE),
        file=file,
        where=f"{file or f'{judged.split} image {row:,}'}, SHA-256 {table.images[row][:16]}…",
        truth=table.classes[table.truth[row]],
        answer=table.classes[table.predicted[row]],
        probability=float(table.confidence[row]),
        has_label_issue=has_label_issue,
    )
