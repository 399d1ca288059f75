"""Netpbm (``.pbm``, ``.pgm``, ``.ppm``): the pixels of those kinds that Pillow reads one by one in Python.

A picture in text, or one whose white is no full byte, as of 12 bits, would take it seconds a megapixel; comments
between its numbers, hours. Where white is a full byte or two, Pillow reads the pixels at once, and is left to do so.

Source: netpbm.sourceforge.net/doc/ppm.html, and pgm.html, pbm.html beside it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from fittingroom.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

LONGEST_HEAD = 16_384  # bytes; comments may stand in it
MOST_IN_TEXT = 2_000_000  # values, of which Python makes numbers one by one
BYTES_IN_TEXT = 16  # that a value has at most, on average, with what is around it
MOST_COMMENTS = 100_000
BLOCK = 1 << 20  # values that are scaled at once

_BEGINNING = re.compile(rb"P[0-6fy]")  # what Pillow takes for one, with kinds that nobody else knows
_GAP = rb"(?:\s|#[^\r\n]*+)++"
_HEAD = re.compile(rb"P[14](?:%b\d{1,10}){2}\s|P[2356](?:%b\d{1,10}){3}\s|Pf\s" % (_GAP, _GAP))
_COMMENT = re.compile(rb"#[^\r\n]*")


def refuse_endless_head(file: BinaryIO) -> None:
    """Refuse a Netpbm file whose head Pillow would look for byte by byte; others pass. The file's place is moved.

    Raises:
        ValueError: no head, or one of far too many comments.
    """
    head = file.read(LONGEST_HEAD)
    if _BEGINNING.match(head) and not _HEAD.match(head):
        raise ValueError("the head of a Netpbm file expected")


def decoded(picture: Image.Image, content: bytes, where: str) -> Image.Image:
    """The picture with its pixels where Pillow would read them one by one; any other as it is.

    Args:
        picture: as Pillow has opened it, of not too many pixels.
        content: of its file.
        where: what an error message calls it.

    Raises:
        DataError: too many pixels in text.
        ValueError: pixels that are missing or no numbers.
    """
    from PIL import Image

    reader, _, offset, how = picture.tile[0]  # type: ignore[attr-defined]
    if reader == "raw":
        return picture

    (width, height), bands = picture.size, len(picture.getbands())
    count, white = width * height * bands, 1 if picture.mode == "1" else how[1]
    if reader == "ppm_plain":
        values = _in_text(content, offset, count, picture.mode, where)
    else:
        values = np.frombuffer(content, np.uint8 if white < 256 else ">u2", count, offset)
    pixels = _scaled(values, white, np.dtype(np.uint16 if picture.mode == "I" else np.uint8))
    return Image.fromarray(pixels.reshape((height, width, bands) if bands > 1 else (height, width)))


def _in_text(content: bytes, offset: int, count: int, mode: str, where: str) -> NDArray[np.int64]:
    if count > MOST_IN_TEXT:
        raise DataError(
            f"{where}: a Netpbm picture in text of at most {MOST_IN_TEXT:,} values expected, {count:,} found: "
            "save it as PNG"
        )
    text = content[offset : offset + BYTES_IN_TEXT * count + LONGEST_HEAD]
    if text.count(b"#") > MOST_COMMENTS:  # each takes microseconds
        raise ValueError("a picture expected, comments found")
    text = _COMMENT.sub(b" ", text)

    # of black and white, no blank need stand between two
    if mode == "1":
        values = 49 - np.frombuffer(b"".join(text.split()), np.uint8, count).astype(np.int64)
    else:
        values = np.fromiter(map(int, text.split(None, count)[:count]), np.int64, count)
    if values.min(initial=0) < 0 or (mode == "1" and values.max(initial=0) > 1):
        raise ValueError("numbers of pixels expected")
    return values


def _scaled(values: NDArray[np.integer], white: int, kind: np.dtype[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
    """Values of 0 to ``white`` as those of 0 to the largest of their new type, by a table and in blocks."""
    table = np.rint(np.arange(white + 1) / white * np.iinfo(kind).max).astype(kind)
    scaled = np.empty(len(values), kind)
    for start in range(0, len(values), BLOCK):
        scaled[start : start + BLOCK] = table[values[start : start + BLOCK].clip(max=white)]
    return scaled
