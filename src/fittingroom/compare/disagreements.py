"""The discordant images, those that tell two runs apart: listed, opened, and as a contact sheet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fittingroom.compare.answers import Answers
from fittingroom.errors import ArtifactError, DataError
from fittingroom.rendering.contact_sheet import Row, contact_sheet

if TYPE_CHECKING:
    from PIL import Image

IMAGES_A_ROW, ROWS = 14, 6  # of the sheet; rows for each side, a row a mistake


@dataclass(frozen=True)
class DiscordantImage:
    """An image that one side gets right and the other wrong; with several seeds, at least half of its seeds more.

    Attributes:
        image: SHA-256 of (shape, pixels); where it isn't known, its file, id or row.
        truth: its class.
        predicted: what the side that is wrong says most often when it is wrong.
        margin: how much larger the other side's share of right answers is, 0.5 to 1.
        won_by_second: which side is right.
        file: where the image was read from, relative to its data; None where neither run knows.
    """

    image: str
    truth: str
    predicted: str
    margin: float
    won_by_second: bool
    file: str | None = None


@dataclass(frozen=True, eq=False)
class Disagreements:
    """Where two runs disagree.

    Attributes:
        first, second: their answers on the images that they have in common, in one order.
        images: every discordant image, those of the greatest margin first, then in file order.
    """

    first: Answers
    second: Answers
    images: Sequence[DiscordantImage]

    @property
    def pixels(self) -> dict[str, NDArray[np.uint8]]:
        """The pictures of these images, (H, W) or (H, W, 3), by their SHA-256; empty where the data can't be opened."""
        return self._opened[0]

    @property
    def missing(self) -> str:
        """Why there are no pixels; empty where there are."""
        return self._opened[1]

    @cached_property
    def _opened(self) -> tuple[dict[str, NDArray[np.uint8]], str]:
        if not self.images:
            return {}, ""
        try:
            return _open_pixels((self.first, self.second), {image.image for image in self.images}), ""
        except DataError as error:
            return {}, str(error)

    def as_dicts(self) -> list[dict[str, Any]]:
        """Every discordant image as JSON has it: its file, where it has one, its SHA-256, its class, who is right."""
        return [
            {
                "file": image.file,
                "image": image.image,
                "class": image.truth,
                "right": (self.second if image.won_by_second else self.first).name,
                "predicted": image.predicted,
                "margin": round(image.margin, 4),
            }
            for image in self.images
        ]

    def sheet(self) -> Image.Image | None:
        """Draw the most frequent mistakes that only one side makes, a row each; images of files with their names.

        Returns:
            None where no image tells the sides apart, or the data can't be opened.
        """
        if not self.images or self.missing:
            return None

        # By the side that makes them: the mistakes of one are images that the other has right.
        first, second = self.first, self.second
        rows = []
        for right, wrong, won_by_second in ((second, first, True), (first, second, False)):
            mistakes: dict[tuple[str, str], list[DiscordantImage]] = {}
            for image in self.images:
                if image.won_by_second == won_by_second:
                    mistakes.setdefault((image.truth, image.predicted), []).append(image)
            for (truth, predicted), images in sorted(mistakes.items(), key=lambda item: -len(item[1]))[:ROWS]:
                note = f"{wrong.name} says {predicted}: {len(images):,}"
                shown = images[:IMAGES_A_ROW]
                tiles = np.stack([self.pixels[image.image] for image in shown])
                has_files = any(image.file for image in shown)
                captions = tuple((PurePosixPath(image.file or "").name, "") for image in shown) if has_files else ()
                rows.append(Row(f"{truth}, as {right.name} says", note, tiles, captions))

        wins = sum(image.won_by_second for image in self.images)
        rule = "" if first.seeds == second.seeds == 1 else " (by at least half of its seeds)"
        return contact_sheet(
            rows,
            title=f"{first.name} and {second.name}",
            subtitle=f"of {len(first.images):,} images, {second.name} is right on {wins:,} that {first.name} gets "
            f"wrong, {first.name} on {len(self.images) - wins:,} that {second.name} gets wrong{rule}; "
            "the most frequent of these mistakes",
        )


def find_disagreements(first: Answers, second: Answers) -> Disagreements:
    """Find the discordant images of two runs, by their answers on the same images in the same order."""
    files = first.files or second.files
    margin_N = second.correct.mean(axis=0) - first.correct.mean(axis=0)
    rows = np.flatnonzero(np.abs(margin_N) >= 0.5)
    images = []
    for row in rows[np.argsort(-np.abs(margin_N[rows]), kind="stable")]:
        loser = first if margin_N[row] > 0 else second
        mistakes = Counter(loser.predicted[~loser.correct[:, row], row].tolist())
        predicted, _ = mistakes.most_common(1)[0]
        image, truth = first.images[row][0], str(first.truth[row])
        margin, file = float(margin_N[row]), files[row] if files else None
        images.append(DiscordantImage(image, truth, predicted, abs(margin), margin > 0, file))
    return Disagreements(first, second, images)


def _open_pixels(sides: Sequence[Answers], wanted: set[str]) -> dict[str, NDArray[np.uint8]]:
    """The images of these SHA-256, from the data of any side.

    Raises:
        DataError: no side's data can be opened, or it isn't what the runs were judged on; with the reason.
    """
    reason = ""
    for side in sides:
        if side.dataset is not None:
            found = {
                name: image
                for digest, image in zip(side.dataset.image_hashes(), side.dataset.images, strict=True)
                if (name := digest.hex()) in wanted
            }
            if len(found) == len(wanted):
                return found
        if side.run is None:
            reason = reason or "nothing says which data the files are about; give it as `data`"
            continue
        try:
            run = replace(side.run, splits=side.run.open_data())  # so that it is opened once
        except (DataError, ArtifactError, OSError) as error:
            reason = str(error)
            continue

        # The runs were judged on one of the two, and the images may have moved to the other since.
        pixels: dict[str, NDArray[np.uint8]] = {}
        for split in ("test", "validation"):
            if len(pixels) < len(wanted):
                with suppress(DataError):  # it has no such part
                    pixels |= run.images(split, wanted)
        if len(pixels) == len(wanted):
            return pixels
        reason = f"{side.run.path}: {len(wanted) - len(pixels):,} of the images are no longer in its data"
    raise DataError(reason)
