"""The images that tell two runs apart: as a contact sheet, and for the page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fittingroom.compare.answers import Answers
from fittingroom.errors import ArtifactError, DataError
from fittingroom.rendering.contact_sheet import Row, contact_sheet

if TYPE_CHECKING:
    from PIL import Image

ACROSS, ROWS = 14, 6  # images in a row of the sheet; rows for each side, a row a mistake


@dataclass(frozen=True)
class Apart:
    """An image that one side gets right and the other wrong; with several seeds, at least half of its seeds more.

    Attributes:
        image: SHA-256 of (shape, pixels).
        truth: its class.
        said: what the side that is wrong says most often when it is wrong.
        by: how much larger the other side's share of right answers is, 0.5 to 1.
        won_by_second: which side is right.
    """

    image: str
    truth: str
    said: str
    by: float
    won_by_second: bool


def images_apart(first: Answers, second: Answers) -> list[Apart]:
    """Every image that tells the runs apart, the most decided first, then in file order."""
    by_N = second.right.mean(axis=0) - first.right.mean(axis=0)
    rows = np.flatnonzero(np.abs(by_N) >= 0.5)
    found = []
    for row in rows[np.argsort(-np.abs(by_N[rows]), kind="stable")]:
        loser = first if by_N[row] > 0 else second
        wrong = Counter(loser.said[~loser.right[:, row], row].tolist())
        said, _ = wrong.most_common(1)[0]
        image, truth = first.images[row][0], str(first.truth[row])
        found.append(Apart(image, truth, said, abs(float(by_N[row])), bool(by_N[row] > 0)))
    return found


def open_images(first: Answers, second: Answers, apart: list[Apart]) -> dict[str, NDArray[np.uint8]]:
    """The pixels of these images by their SHA-256, from the data of either run.

    Raises:
        DataError: the data can't be opened, or isn't what the runs were judged on; with the reason.
    """
    wanted = {each.image for each in apart}
    reason = ""
    for side in (first, second):
        try:
            splits = side.run.open_data()
        except (DataError, ArtifactError, OSError) as error:
            reason = str(error)
            continue
        found: dict[str, NDArray[np.uint8]] = {}
        for part in (splits.test, splits.validation, splits.train):
            if part is not None and len(found) < len(wanted):
                hashes = (digest.hex() for digest in part.image_hashes())
                found |= {digest: image for digest, image in zip(hashes, part.images, strict=True) if digest in wanted}
        if len(found) == len(wanted):
            return found
        reason = f"{side.run.path}: {len(wanted) - len(found):,} of the images are no longer in its data"
    raise DataError(reason)


def draw_sheet(
    first: Answers, second: Answers, apart: list[Apart], images: dict[str, NDArray[np.uint8]]
) -> Image.Image | None:
    """The most frequent mistakes that only one side makes, a row each; None where nothing tells the sides apart."""
    rows = []
    for right, wrong, won_by_second in ((second, first, True), (first, second, False)):
        mistakes = Counter((each.truth, each.said) for each in apart if each.won_by_second == won_by_second)
        for (truth, said), count in mistakes.most_common(ROWS):
            shown = [
                images[each.image]
                for each in apart
                if (each.truth, each.said, each.won_by_second) == (truth, said, won_by_second)
            ]
            note = f"{wrong.name} says {said}: {count:,}"
            rows.append(Row(f"{truth}, as {right.name} says", note, np.stack(shown[:ACROSS])))
    if not rows:
        return None
    wins = sum(each.won_by_second for each in apart)
    rule = "" if first.seeds == second.seeds == 1 else " (by at least half of its seeds)"
    return contact_sheet(
        rows,
        title=f"{first.name} and {second.name}",
        subtitle=f"of {len(first.images):,} images, {second.name} is right on {wins:,} that {first.name} gets "
        f"wrong, {first.name} on {len(apart) - wins:,} that {second.name} gets wrong{rule}; "
        "the most frequent of these mistakes",
    )
