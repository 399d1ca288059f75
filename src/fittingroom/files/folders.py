"""Going through folders in folders: no deeper than a person puts them, and round in no circle of links."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fittingroom.errors import DataError

DEEPEST = 32  # folders in folders

Place = tuple[int, int]  # what tells a folder, by whatever path it is reached


def place_of(folder: Path) -> Place:
    """Where a folder lies on its disk."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def places_above(folder: Path) -> tuple[Place, ...]:
    """The folders that a folder lies in: a link from within it to one of them, such as to /, leads in a circle."""
    places = []
    for parent in folder.resolve().parents:
        with suppress(OSError):
            places.append(place_of(parent))
    return tuple(places)


def refuse_deep(folder: Path, depth: int) -> None:
    """Raise :class:`DataError` for a folder so deep in the data that nobody has put it there."""
    if depth > DEEPEST:
        raise DataError(f"{folder}: folders at most {DEEPEST} deep expected: move the classes further up")
