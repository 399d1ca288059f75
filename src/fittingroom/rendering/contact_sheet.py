"""Pictures of small images: a contact sheet to look at, and data URIs for a page. Pillow only."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

# One type scale and one palette; lengths in pixels of the sheet, which is made for screens of double density.
TITLE, LABEL, NOTE, CAPTION = 44, 28, 22, 18
MARGIN, GAP, LABEL_GAP, ROW_GAP = 72, 12, 36, 12
TILE = 112  # the least side of a tile; an image is enlarged by the whole number that reaches it
INK, MUTED, PAPER = (23, 25, 28), (110, 115, 122), (255, 255, 255)

# What has more letters than Pillow's own; Linux, Windows and macOS bring them under these names.
SYSTEM_TYPEFACES = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial.ttf", "malgun.ttf", "NotoSansCJK-Regular.ttc",
    "wqy-zenhei.ttc", "wqy-microhei.ttc", "msyh.ttc", "simsun.ttc", "Hiragino Sans GB.ttc", "Arial Unicode.ttf",
)  # fmt: skip
LACKING = "\uffff"  # no letter: a typeface draws for it what it draws for each that it lacks


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a contact sheet.

    Attributes:
        label: what the row shows.
        note: below the label, in small grey type.
        images: uint8 (N, H, W), grey, or (N, H, W, 3), colour.
        captions: two short texts below each image, or none.
    """

    label: str
    note: str
    images: NDArray[np.uint8]
    captions: tuple[tuple[str, str], ...] = ()


def contact_sheet(rows: Sequence[Row], *, title: str, subtitle: str = "") -> Image.Image:
    """Lay out rows of images of one size below a title, grey rows and coloured ones.

    Args:
        rows: one or more.
        title: in large type.
        subtitle: below it, in small grey type.

    Returns:
        An RGB image, in which every pixel of an image is a crisp square.

    Raises:
        ValueError: there is no row.
    """
    from PIL import Image, ImageDraw

    if not rows:
        raise ValueError("a contact sheet needs a row")

    # Enlarged by a whole number: by any other, some pixels would be wider than others.
    height, width = rows[0].images.shape[1:3]
    scale = max(1, round(TILE / max(height, width)))
    tile_height, tile_width = height * scale, width * scale
    columns = max(len(row.images) for row in rows)

    # One typeface for the whole sheet, one that has every letter in it.
    captions = [text for row in rows for pair in row.captions for text in pair]
    font = typeface([title, subtitle, *(text for row in rows for text in (row.label, row.note)), *captions])
    title_font, label_font, note_font, caption_font = font(TITLE), font(LABEL), font(NOTE), font(CAPTION)

    # The labels take the room that the longest needs, and nothing is cut: the sheet grows instead.
    labels_width = max(max(_length(label_font, row.label), _length(note_font, row.note)) for row in rows)
    left = MARGIN + labels_width + LABEL_GAP
    top = MARGIN + TITLE + 12 + NOTE + 48
    row_height = max(tile_height, LABEL + 10 + NOTE)
    below = [GAP + 2 * (CAPTION + 4) if row.captions else 0 for row in rows]
    sheet_width = left + columns * (tile_width + GAP) - GAP + MARGIN
    sheet_width = max(sheet_width, 2 * MARGIN + _length(title_font, title), 2 * MARGIN + _length(note_font, subtitle))
    sheet_height = top + len(rows) * (row_height + ROW_GAP) + sum(below) - ROW_GAP + MARGIN

    sheet = Image.new("RGB", (sheet_width, sheet_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, title_font, anchor="lt")
    draw.text((MARGIN, MARGIN + TITLE + 12), subtitle, MUTED, note_font, anchor="lt")

    for index, row in enumerate(rows):
        y = top + index * (row_height + ROW_GAP) + sum(below[:index])
        middle = y + row_height // 2
        draw.text((left - LABEL_GAP, middle - 3), row.label, INK, label_font, anchor="rs")
        draw.text((left - LABEL_GAP, middle + 8), row.note, MUTED, note_font, anchor="rt")

        for column, image in enumerate(row.images):
            tile = Image.fromarray(image).resize((tile_width, tile_height), Image.Resampling.NEAREST)
            sheet.paste(tile, (left + column * (tile_width + GAP), y + (row_height - tile_height) // 2))
        for column, pair in enumerate(row.captions):
            for line, (text, colour) in enumerate(zip(pair, (MUTED, INK), strict=True)):
                # on one line, whether the letters have ascenders or not
                place = (left + column * (tile_width + GAP), y + row_height + 6 + CAPTION + line * (CAPTION + 4))
                draw.text(place, _cut(caption_font, text, tile_width), colour, caption_font, anchor="ls")

    return sheet


def typeface(texts: Sequence[str]) -> Callable[[int], FreeTypeFont | ImageFont]:
    """Choose the typeface that Pillow brings, the same on every machine; for letters that it lacks, a system's.

    Of the system's it is the first that has all of them, or else the one that lacks fewest.
    """
    from PIL import ImageFont

    foreign = sorted({letter for text in texts for letter in text if not letter.isascii()})
    if not foreign:
        return ImageFont.load_default

    best, fewest = None, 0
    for name in SYSTEM_TYPEFACES:
        with suppress(OSError):
            font = ImageFont.truetype(name, LABEL)
            box = bytes(font.getmask(LACKING))
            lacks = sum(bytes(font.getmask(letter)) == box for letter in foreign)
            if best is None or lacks < fewest:
                best, fewest = name, lacks
            if not lacks:
                break
    return ImageFont.load_default if best is None else partial(ImageFont.truetype, best)


def _length(font: FreeTypeFont | ImageFont, text: str) -> int:
    return round(font.getlength(text))


def _cut(font: FreeTypeFont | ImageFont, text: str, width: int) -> str:
    """Keep the text, or as much of its beginning as fits, with a full stop for the rest."""
    while len(text) > 1 and _length(font, text) > width:
        text = text.rstrip(".")[:-1] + "."
    return text


def reduced(image: NDArray[np.uint8], longest_side: int) -> NDArray[np.uint8]:
    """An image uint8 (H, W) or (H, W, 3), made smaller where a side is longer than ``longest_side`` pixels."""
    from PIL import Image

    if max(image.shape[:2]) <= longest_side:
        return image
    picture = Image.fromarray(image)
    picture.thumbnail((longest_side, longest_side), Image.Resampling.BOX)
    return np.asarray(picture)


def png_uri(image: NDArray[np.uint8], longest_side: int | None = None) -> str:
    """Write an image as a PNG in a data URI, reduced to ``longest_side`` pixels where it is larger.

    Args:
        image: uint8 (H, W), grey, or (H, W, 3), colour.
        longest_side: in pixels; None leaves the image as it is.
    """
    from PIL import Image

    picture = Image.fromarray(image if longest_side is None else reduced(image, longest_side))
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=9)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
