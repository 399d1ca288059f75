"""Where two runs differ, class by class: how many mistakes of each kind the one makes and the other doesn't."""

from __future__ import annotations

from dataclasses import dataclass

from fittingroom.compare.disagreements import Disagreements, DiscordantImage
from fittingroom.rendering.sprite import Sprite, sprite_of

MAX_CLASSES = 20  # more can't be read as a matrix
MAX_TILES = 6  # images of a cell


@dataclass(frozen=True)
class Tile:
    """One image of a cell: its place in the sprite, what is shown when it is pointed at, and whether it was gained."""

    x: float
    y: float
    says: str
    is_gained: bool


@dataclass(frozen=True)
class Cell:
    """Images of one class that only one of the two takes for another.

    Attributes:
        place: row and column of the matrix.
        truth, predicted: the classes.
        gained: images that the baseline takes for it, and the other run has right.
        lost: the other way round.
        tiles: of some of them, those of the greatest margin.
    """

    place: tuple[int, int]
    truth: str
    predicted: str
    gained: int
    lost: int
    tiles: list[Tile]


@dataclass(frozen=True)
class DifferenceMatrix:
    """The cells that have an image, by their place, and the classes in the order of rows and columns."""

    classes: tuple[str, ...]
    cells: dict[tuple[int, int], Cell]
    sprite: Sprite | None

    @property
    def largest(self) -> int:
        """The largest difference of a cell, at least 1."""
        return max([1, *(abs(cell.gained - cell.lost) for cell in self.cells.values())])


def difference_matrix(disagreements: Disagreements) -> DifferenceMatrix | None:
    """Count the discordant images by label and mistake; None where there are none, or too many classes."""
    classes = tuple(dict.fromkeys((*disagreements.first.classes, *disagreements.second.classes)))
    if not disagreements.images or len(classes) > MAX_CLASSES:
        return None

    by_place: dict[tuple[int, int], list[DiscordantImage]] = {}
    for image in disagreements.images:
        by_place.setdefault((classes.index(image.truth), classes.index(image.predicted)), []).append(image)

    # One sprite holds the images of all cells, in the cells' order: the page has one picture to decode.
    pixels = disagreements.pixels
    shown = {place: _some_of_each(images) if pixels else [] for place, images in sorted(by_place.items())}
    order = [image for images in shown.values() for image in images]
    sprite = sprite_of([pixels[image.image] for image in order]) if order else None
    number = iter(range(len(order)))

    def tile(image: DiscordantImage) -> Tile:
        assert sprite is not None, "there is an image"
        loser = disagreements.first if image.won_by_second else disagreements.second
        name = image.file or f"SHA-256 {image.image[:16]}…"
        return Tile(*sprite.place(next(number)), f"{name}: {image.predicted}, says {loser.name}", image.won_by_second)

    cells = {}
    for place, images in sorted(by_place.items()):
        gained = sum(image.won_by_second for image in images)
        tiles = [tile(image) for image in shown[place]]
        cells[place] = Cell(place, classes[place[0]], classes[place[1]], gained, len(images) - gained, tiles)
    return DifferenceMatrix(classes, cells, sprite)


def _some_of_each(images: list[DiscordantImage]) -> list[DiscordantImage]:
    """Up to six, gained ones first: half of each kind, or more of one where the other has fewer."""
    gained = [image for image in images if image.won_by_second]
    lost = [image for image in images if not image.won_by_second]
    gained = gained[: max(MAX_TILES // 2, MAX_TILES - len(lost))]
    return gained + lost[: MAX_TILES - len(gained)]
