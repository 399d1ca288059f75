"""No honest picture has too many pieces, whatever it says of itself beside its pixels."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fittingroom.data.picture_file import open_picture
from fittingroom.data.picture_pieces import has_damaged_pixels, refuse_crumbs
from fittingroom.data.preprocessing import Preprocessing, read_picture
from fittingroom.errors import DataError


def saved(kind: str, side: int = 1_200, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((side, side), 100).save(file, kind, **options)
    return file.getvalue()


def png_of_chunks(size: int) -> bytes:
    """Its pixels in chunks of so many bytes."""
    content = saved("PNG")
    pixels = b"".join(content[at + 8 : at + 8 + length] for at, length, kind in _chunks(content) if kind == b"IDAT")
    parts = [pixels[start : start + size] for start in range(0, len(pixels), size)]
    packed = b"".join(
        struct.pack(">I", len(p)) + b"IDAT" + p + struct.pack(">I", zlib.crc32(b"IDAT" + p)) for p in parts
    )
    return content[:33] + packed + content[-12:]


def _chunks(content: bytes) -> list[tuple[int, int, bytes]]:
    at, found = 8, []
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        found.append((at, length, content[at + 4 : at + 8]))
        at += length + 12
    return found


def described() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for number in range(300):
        info.add_text(f"key {number}", "value")
    return info


HONEST: dict[str, Callable[[], bytes]] = {
    "PNG, described": lambda: saved("PNG", pnginfo=described()),
    "PNG in chunks of 8,192": lambda: png_of_chunks(8_192),
    "PNG in chunks of 1,024": lambda: png_of_chunks(1_024),
    "PNG, and what a disk that is full put there": lambda: saved("PNG") + bytes(3_000_000),
    "progressive JPEG": lambda: saved("JPEG", progressive=True, comment=b"c" * 60_000, icc_profile=bytes(900_000)),
    "JPEG with Exif": lambda: saved("JPEG", exif=b"Exif\0\0" + bytes(60_000)),
    "GIF": lambda: saved("GIF", comment=b"c" * 200_000),
    "BMP": lambda: saved("BMP"),
    "TIFF": lambda: saved("TIFF"),
    "WebP": lambda: saved("WEBP"),
}


@pytest.mark.parametrize("what", HONEST)
def test_an_honest_picture_is_not_refused(what: str) -> None:
    refuse_crumbs(io.BytesIO(HONEST[what]()), "a")


def test_a_picture_in_crumbs_is_refused_where_it_begins_within_a_file() -> None:
    file = io.BytesIO(b"before" + png_of_chunks(4))
    file.seek(6)
    with pytest.raises(DataError, match=r"a.png: at most .* pieces in .* bytes expected, more found: save it anew"):
        refuse_crumbs(file, "a.png")


def test_no_bit_of_a_pngs_pixels_changes_unsaid() -> None:
    """Pillow doesn't look at the checksum of pixels: of 6,000 such damages it shows other pixels in 261, unsaid."""
    content = saved("PNG", side=12)
    with open_picture(content, "whole") as picture:
        whole = np.asarray(picture)

    (at, length, _) = next(chunk for chunk in _chunks(content) if chunk[2] == b"IDAT")
    for bit in range(8 * (at + 8), 8 * (at + 8 + length)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DataError, match="damaged"):
            np.asarray(read_picture(bytes(changed), "damaged", Preprocessing()))

    assert (read_picture(content, "whole", Preprocessing()) == whole).all()
    assert not any(has_damaged_pixels(png_of_chunks(size)) for size in (100, 8_192))
