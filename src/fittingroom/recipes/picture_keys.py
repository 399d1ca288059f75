"""The keys by which a recipe says how pictures become images: what each takes in TOML, and its one form."""

from __future__ import annotations

from typing import Any, Literal, get_args

from fittingroom.files.records import brief

Channels = Literal[1, 3]
Resize = Literal["pad", "crop", "stretch"]
Photo = Literal["none", "fashion-mnist"]

LARGEST_SIDE = 256  # pixels, of the images of a data set
BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0)}
AUTO = "auto"  # in TOML the same as leaving ``photo`` out


def size_problem(value: Any) -> str | None:
    """What is wrong with ``size``: one side in pixels or [height, width] expected; None for nothing."""
    sides = [value, value] if type(value) is int else value
    is_pair = isinstance(sides, list | tuple) and len(sides) == 2
    if is_pair and all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in sides):
        return None
    return f"a side of 1–{LARGEST_SIDE} pixels, or [height, width], expected, {brief(value)} found"


def background_problem(value: Any) -> str | None:
    """What is wrong with ``background``: a name or [red, green, blue] expected; None for nothing."""
    is_rgb = isinstance(value, list | tuple) and len(value) == 3
    if is_rgb and all(type(level) is int and 0 <= level <= 255 for level in value):
        return None
    if isinstance(value, str) and value in BACKGROUNDS:
        return None
    return f"{', '.join(BACKGROUNDS)} or [red, green, blue], each 0–255, expected, {brief(value)} found"


def photo_problem(value: Any) -> str | None:
    """What is wrong with ``photo``; None for nothing."""
    if isinstance(value, str) and value in (AUTO, *get_args(Photo)):
        return None
    return f"{AUTO}, {' or '.join(get_args(Photo))} expected, {brief(value)} found"


def images_problem(
    asked_size: tuple[int, int] | None, asked_channels: int | None, size: tuple[int, int], channels: int
) -> str | None:
    """How images that are there already differ from what a recipe asks for; None where they don't.

    Args:
        asked_size, asked_channels: of the recipe; None where it leaves them to the data.
        size: (height, width) of the images.
        channels: 1 or 3, of the images.
    """
    if asked_size in (None, size) and asked_channels in (None, channels):
        return None

    # What the recipe leaves to the data is not said: "grey images", or "images of 32×32 pixels".
    kind = {1: "grey", 3: "colour"}
    asked = " ".join(
        text
        for text in (
            "" if asked_channels is None else kind[asked_channels],
            "images",
            "" if asked_size is None else "of {}×{} pixels".format(*asked_size),
        )
        if text
    )

    return (
        f"{asked} asked for by the recipe's size and channels, {kind[channels]} ones of {size[0]}×{size[1]} found: "
        "open the data with that size and these channels, or leave them out of the recipe"
    )


def size_of(value: Any) -> tuple[int, int] | None:
    """(height, width) of a ``size`` without a problem; None stays None."""
    if value is None:
        return None
    height, width = (value, value) if isinstance(value, int) else value
    return height, width


def background_of(value: Any) -> tuple[int, int, int] | None:
    """(red, green, blue) of a ``background`` without a problem; None stays None."""
    if value is None:
        return None
    red, green, blue = BACKGROUNDS[value] if isinstance(value, str) else value
    return red, green, blue


def photo_of(value: Any) -> Photo | None:
    """A ``photo`` without a problem, which is None where the data are to decide."""
    photo: Photo | None = None if value == AUTO else value
    return photo
