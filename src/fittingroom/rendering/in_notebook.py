"""How a value shows itself in a notebook: as a heading, a table with pictures in it, and a curve. Of bounded size.

Whatever is put in is escaped: names of classes, files and runs may be a stranger's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fittingroom.rendering.axes import Point, Scale, Tick, svg_path, thinned, ticks
from fittingroom.rendering.html_page import render_page

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPLATE = Path(__file__).with_name("in_notebook.html")
MOST_ROWS, LONGEST_TEXT = 20, 200  # of a table; characters of a cell
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 440, 160, 36, 18, 16  # of a curve, with the margins of its frame, in pixels
COLOURS = ("#2563eb", "#ea580c")  # apart for the colour-blind too
TILE, GAP = 32, 2  # the longest side of an image in a strip, and what lies between two


@dataclass(frozen=True)
class Strip:
    """Some images in one picture.

    Attributes:
        uri: the picture in a data URI.
        alt: what it shows, in words.
        height: as it is shown, in pixels of the page.
    """

    uri: str
    alt: str
    height: int


@dataclass(frozen=True)
class Line:
    """One line of a curve: its ``d`` in SVG, and its colour."""

    path: str
    colour: str


@dataclass(frozen=True)
class Curve:
    """A drawing of one or two lines."""

    title: str
    lines: Sequence[Line]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT


def notebook_view(
    title: str,
    subtitle: str = "",
    *,
    header: Sequence[str] = (),
    rows: Sequence[Sequence[str | Strip]] = (),
    curve: Curve | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The HTML of a value; of more than 20 rows the first, and how many there are."""
    shown = [[cell if isinstance(cell, Strip) else _brief(cell) for cell in row] for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        notes = [*notes, f"{MOST_ROWS} of {len(rows):,}"]
    content = {
        "title": _brief(title),
        "subtitle": _brief(subtitle),
        "header": header,
        "rows": shown,
        "curve": curve,
        "notes": [_brief(note) for note in notes],
    }
    return render_page(TEMPLATE, content)


def strip_of(images: NDArray[np.uint8], alt: str) -> Strip:
    """Images uint8 (N, H, W) or (N, H, W, 3) side by side, none longer than 32 pixels a side."""
    from fittingroom.rendering.contact_sheet import png_uri, reduced

    tiles = [reduced(image, TILE) for image in images]
    height, width = tiles[0].shape[:2]
    strip = np.zeros((height, len(tiles) * (width + GAP) - GAP, *tiles[0].shape[2:]), np.uint8)
    strip[:] = 255
    for number, tile in enumerate(tiles):
        left = number * (width + GAP)
        strip[:, left : left + width] = tile
    return Strip(png_uri(strip), _brief(alt), max(height, TILE))


def curve_of(title: str, lines: Sequence[Sequence[Point]], x_end: float) -> Curve:
    """Draw lines of values that aren't negative over 0 to ``x_end``, from 0 up."""
    highest = max(value for points in lines for _, value in points)
    x = Scale(0, x_end, LEFT, WIDTH - 12)
    y = Scale(0, highest, HEIGHT - BOTTOM, TOP + 4)
    return Curve(
        title,
        [
            Line(svg_path([(x(across), y(up)) for across, up in thinned(list(points))]), colour)
            for points, colour in zip(lines, COLOURS, strict=False)
            if points
        ],
        [Tick(x(value), f"{value:g}") for value in ticks(0, x_end, 5, least=1)],
        [Tick(y(value), f"{value:.3g}") for value in ticks(0, highest, 3)],
    )


def _brief(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
