"""The pieces of which a picture's file consists, counted before Pillow reads them one by one, in microseconds each.

A chunk of PNG has 12 bytes at least, a segment of JPEG 4, a block of GIF 3: a file in crumbs would take minutes. What
is passed over here is what Pillow passes over.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from fittingroom.errors import DataError

PNG = b"\x89PNG\r\n\x1a\n"
FEW_BYTES = 16_384  # of a file that may have any number of pieces
FEW_PIECES, BYTES_A_PIECE = 1_000, 256  # programs write larger ones, of 255 bytes in a GIF and 8,192 in a PNG
STANDALONE = (0x01, *range(0xD0, 0xDA), *range(0xF0, 0xFE))  # markers of JPEG without a length; 0x00 marks nothing
START_OF_SCAN, FILL = 0xDA, 0xFF
EXTENSION, PICTURE, TRAILER = b"!", b",", b";"  # of a GIF


def refuse_crumbs(file: BinaryIO, where: str) -> None:
    """Refuse a picture of very many pieces before its pixels. The file's place is moved.

    Args:
        file: open at the picture's beginning.
        where: what an error message calls it.

    Raises:
        DataError: more pieces than any program makes of a file of this size.
    """
    start = file.tell()
    size = file.seek(0, os.SEEK_END) - start
    if size <= FEW_BYTES:
        return
    file.seek(start)
    head = file.read(13)
    pieces = next((found for magic, found in PIECES.items() if head.startswith(magic)), None)
    if pieces is None:
        return

    most = FEW_PIECES + size // BYTES_A_PIECE
    file.seek(start)
    for count, _ in enumerate(pieces(file)):
        if count > most:
            raise DataError(f"{where}: at most {most:,} pieces in {size:,} bytes expected, more found: save it anew")


def has_damaged_pixels(png: bytes) -> bool:
    """Whether pixels of a PNG aren't those of its checksums, at which Pillow doesn't look: PNG, third edition, 5.3.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("L", (4, 4), 7).save(file, "PNG")
        >>> png = file.getvalue()
        >>> has_damaged_pixels(png), has_damaged_pixels(png[:45] + b"?" + png[46:])
        (False, True)
    """
    view, place = memoryview(png), len(PNG)
    while (kind := png[place + 4 : place + 8]) != b"IEND" and kind.isalpha():
        end = place + 8 + int.from_bytes(png[place : place + 4], "big")
        if kind == b"IDAT" and zlib.crc32(view[place + 4 : end]) != int.from_bytes(png[end : end + 4], "big"):
            return True
        place = end + 4
    return False


def _of_png(file: BinaryIO) -> Iterator[None]:
    """Chunks: PNG, third edition, 5.3."""
    file.seek(8, os.SEEK_CUR)
    while (head := file.read(8))[4:].isalpha() and head[4:] != b"IEND":
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
        yield


def _of_jpeg(file: BinaryIO) -> Iterator[None]:
    """Segments before the pixels, and each byte that fills the room between two: ITU-T T.81, B.1.1."""
    file.seek(2, os.SEEK_CUR)
    while byte := file.read(1):
        yield
        if byte[0] != FILL:
            continue
        while byte and byte[0] == FILL:
            yield
            byte = file.read(1)
        marker = byte[0] if byte else START_OF_SCAN
        if marker == START_OF_SCAN:
            return
        if marker and marker not in STANDALONE:
            length = file.read(2)
            file.seek(max(0, int.from_bytes(length, "big") - 2), os.SEEK_CUR)


def _of_gif(file: BinaryIO) -> Iterator[None]:
    """Blocks before the first picture, and the parts of each: GIF89a, 15 to 26."""
    flags = file.read(13)[10:11]
    if flags and flags[0] & 0x80:
        file.seek(3 * (2 << (flags[0] & 7)), os.SEEK_CUR)
    while byte := file.read(1):
        yield
        if byte in (PICTURE, TRAILER):
            return
        if byte == EXTENSION:
            file.seek(1, os.SEEK_CUR)
            while (length := file.read(1)) and length[0]:
                file.seek(length[0], os.SEEK_CUR)
                yield


PIECES: dict[bytes, Callable[[BinaryIO], Iterator[None]]] = {
    PNG: _of_png,
    b"\xff\xd8": _of_jpeg,
    b"GIF8": _of_gif,
}
